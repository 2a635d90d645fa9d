"""Cases of ten fields for the comparison, invented from a seed: every system gets the same values.

The words are this module's own. Those of the demo's samples train the dictionary of the frames, so
cases made of them would flatter tiepdan.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas.ids import document_text, mint_document_id

# A commune's desks register a case every few minutes of a working day.
_MEAN_GAP_S: Final = 400
# The fields that clerks correct.
_EDITED: Final = ("title", "location", "respondent_name", "register_number")

_FAMILY: Final = ("Nguyễn", "Trần", "Lò", "Quàng", "Phạm", "Đinh", "Hà", "Giàng", "Bùi", "Cầm")
_MIDDLE: Final = ("Văn", "Thị", "Đức", "Minh", "Xuân", "Ngọc", "Hữu", "Thanh", "Bích", "Quang")
_GIVEN: Final = (
    *("Hòa", "Thơm", "Tuyết", "Khang", "Dũng", "Mận", "Phượng", "Sửu", "Oanh", "Lực", "Toàn"),
    *("Yến", "Chiến", "Nhung", "Bình", "Thêm", "Vượng", "Hạnh", "Sơn", "Diệp", "Trọng", "Én"),
)
_HAMLETS: Final = (
    *("Suối Bùa", "Nà Tòng", "Đồng Chằm", "Khe Vằn", "Pá Khoang", "Cốc Lải", "Trại Mới"),
    *("Hang Dơi", "Bãi Sậy", "Phiêng Ban", "Làng Sảng", "Ngòi Lửa", "Thung Mây", "Bó Mười"),
)
_OFFICES: Final = (
    *("Ủy ban nhân dân xã", "Phòng Kinh tế xã", "Ban quản lý dự án khu vực", "Trạm y tế xã"),
    *("Chi nhánh Văn phòng đăng ký đất đai", "Công ty thủy nông", "Trường trung học cơ sở"),
)
_WANTS: Final = (
    *("xem xét lại", "đề nghị hủy", "không đồng ý với", "yêu cầu giải thích", "xin sớm có"),
    *("phản ánh chậm trả", "khiếu nại lần đầu đối với", "kiến nghị điều chỉnh"),
)
_THINGS: Final = (
    *("phương án đền bù cây cối hoa màu", "biên bản đo đạc lại thửa ruộng", "hóa đơn tiền điện"),
    *("danh sách hộ cận nghèo năm nay", "quyết định xử phạt vi phạm xây dựng", "mốc lộ giới"),
    *("giấy chứng nhận quyền sử dụng đất", "lịch cấp nước tưới vụ chiêm", "mức đóng góp làm cống"),
    *("hỗ trợ nhà bị tốc mái", "chế độ người có công", "việc xả nước thải trại lợn"),
    *("chỉ giới bãi tập kết cát sỏi", "kết quả bình xét học bổng", "trợ cấp hằng tháng"),
)
_STORIES: Final = (
    "Gia đình canh tác ổn định từ năm {year}, có {count} hộ liền kề xác nhận.",
    "Ngày {day} cán bộ đến kiểm tra nhưng không lập biên bản, không cho ký.",
    "Diện tích trên giấy là {area} mét vuông, đo thực tế hụt {short} mét vuông.",
    "Đã gửi đơn ở xã {count} lần, lần gần nhất ngày {day}, chưa nhận được trả lời.",
    "Mưa lớn làm nước tràn vào {count} nhà, đường vào xóm {hamlet} lầy không đi được.",
    "Số tiền được thông báo {money} nghìn đồng, thấp hơn hộ bên cạnh {short} nghìn đồng.",
    "Bà con xóm {hamlet} đã họp và cử {person} thay mặt trình bày.",
    "Kèm theo {count} ảnh chụp, bản sao trích lục và giấy mời số {number}.",
    "Ông {person} nói sẽ khắc phục trước ngày {day} nhưng đến nay vẫn nguyên trạng.",
    "Đề nghị cơ quan có thẩm quyền cử người xuống tận nơi, có mặt trưởng thôn {hamlet}.",
)
_TOPICS: Final = ("dat_dai", "moi_truong", "chinh_sach", "xay_dung", "thuy_loi", "giao_duc")
_CHANNELS: Final = ("visit", "visit", "visit", "post", "box", "forwarded")
_TYPES: Final = ("khieu_nai", "kien_nghi", "kien_nghi", "phan_anh", "phan_anh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case.

    Attributes:
        id: a document id, the same in all systems.
        at_ms: when it was registered.
    """

    id: str
    at_ms: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One field of a case gets a new value."""

    id: str
    at_ms: int
    field: str
    value: str


def make_cases(seed: int, count: int, last_ms: int) -> list[Case]:
    """Return cases in order of time, the last of them at last_ms."""
    rng = random.Random(seed)
    at_ms, times = last_ms, []
    for _ in range(count):
        times.append(at_ms)
        at_ms -= 1_000 + int(rng.expovariate(1 / _MEAN_GAP_S) * 1_000)
    return [_case(rng, number, at_ms) for number, at_ms in enumerate(reversed(times), 1)]


def make_edits(seed: int, cases: Sequence[Case], times_ms: Sequence[int]) -> list[Edit]:
    """Return an edit at each of these times, each of another case."""
    rng = random.Random(seed)
    chosen = rng.sample(list(cases), len(times_ms))
    edits = []
    for case, at_ms in zip(chosen, times_ms, strict=True):
        field = rng.choice(_EDITED)
        value = _edited(rng, field)
        while value == case.fields[field]:
            value = _edited(rng, field)
        edits.append(Edit(id=case.id, at_ms=at_ms, field=field, value=value))
    return edits


def write_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write cases for the programs at the ends of the line, as JSON lines."""
    with path.open("w", encoding="utf-8") as stream:
        for case in cases:
            stream.write(json.dumps(asdict(case), ensure_ascii=False) + "\n")


def read_cases(path: Path) -> list[Case]:
    """Return what write_cases wrote."""
    with path.open(encoding="utf-8") as stream:
        return [Case(**json.loads(line)) for line in stream]


def _case(rng: random.Random, number: int, at_ms: int) -> Case:
    day = datetime.fromtimestamp(at_ms / 1_000, UTC).date()
    fields = {
        "title": _edited(rng, "title"),
        "topic": rng.choice(_TOPICS),
        "location": _edited(rng, "location"),
        "respondent_name": _edited(rng, "respondent_name"),
        "respondent_code": f"40.{rng.randint(17_000, 17_129)}",
        "register_number": f"{number:05}/{day.year}/STD",
        "summary": " ".join(
            _filled(rng, story) for story in rng.sample(_STORIES, rng.randint(1, 4))
        ),
        "received_on": day.isoformat(),
        "channel": rng.choice(_CHANNELS),
        "case_type": rng.choice(_TYPES),
    }
    return Case(id=document_text(mint_document_id(at_ms, rng)), at_ms=at_ms, fields=fields)


def _edited(rng: random.Random, field: str) -> str:
    match field:
        case "title":
            text = f"{rng.choice(_WANTS)} {rng.choice(_THINGS)} ở xóm {rng.choice(_HAMLETS)}"
            return text[0].upper() + text[1:]
        case "location":
            plot, sheet = rng.randint(1, 980), rng.randint(1, 64)
            return f"thửa {plot}, tờ bản đồ {sheet}, xóm {rng.choice(_HAMLETS)}"
        case "respondent_name":
            if rng.random() < 0.4:
                return _person(rng)
            return f"{rng.choice(_OFFICES)} {rng.choice(_HAMLETS)}"
        case _:
            return f"{rng.randint(1, 99_999):05}/{rng.randint(2024, 2026)}/STD-{rng.randint(1, 9)}"


def _person(rng: random.Random) -> str:
    return f"{rng.choice(_FAMILY)} {rng.choice(_MIDDLE)} {rng.choice(_GIVEN)}"


def _filled(rng: random.Random, story: str) -> str:
    return story.format(
        year=rng.randint(1979, 2021),
        count=rng.randint(2, 17),
        day=f"{rng.randint(1, 28):02}/{rng.randint(1, 12):02}/{rng.randint(2024, 2026)}",
        area=rng.randint(80, 9_700),
        short=rng.randint(3, 640),
        money=rng.randint(400, 96_000),
        number=rng.randint(1, 480),
        hamlet=rng.choice(_HAMLETS),
        person=_person(rng),
    )
