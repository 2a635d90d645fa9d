"""Goal: what common work costs on the line stays within budgets, in bytes of messages both ways.

Method: two real replicas; messages of both sides are encoded and counted. The texts are invented
here, so that no dictionary was trained on them.
Some changes cost the same whatever else there is. What cuts cost stands in test_cuts.py, bytes
on a real line in scripts/benchmarks/sync.
"""

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from schemas.events import Accepted, Registered
from schemas.ids import DocumentId, EventId
from schemas.wire import Ack, Frame, Head, Hello, encode_message
from tests.sync.builders import CENTRE, COMMUNE, NOW_MS, PROVINCE, Link, Node, new_node, sync

FAMILY = ("Lò", "Vi", "Moong", "Cụt", "Xồng", "Hờ", "Già", "Lầu", "Kha", "Ốc")
GIVEN = ("Thoong", "Bá Chù", "Y Xia", "Văn Nghín", "Thị Piêng", "Bá Tểnh", "May Pha", "Xeo Vừ")
WHERE = ("khe Nóng", "cầu treo", "đập tràn", "rẫy sắn", "nhà văn hóa", "trạm y tế", "lớp mầm non")
WHAT = (
    *("sạt taluy", "mất nước sinh hoạt", "trâu phá lúa", "thiếu tên trong sổ hộ nghèo"),
    *("đường liên bản lún", "chậm cấp gạo", "tranh nguồn nước", "cây đổ chắn lối"),
)
EXTRA = ("từ tháng trước", "đã báo trưởng bản", "chưa ai xuống xem", "nay nặng thêm", "xin xét sớm")


def cost(link: Link, since: int, *kinds: type, from_parent: bool | None = None) -> int:
    """Return bytes of messages sent since a number of them, both ways unless said."""
    return sum(
        len(encode_message(message))
        for sender, message in link.sent[since:]
        if (not kinds or isinstance(message, kinds)) and from_parent in (None, sender)
    )


def fields_of(number: int) -> dict[str, str]:
    """Return ten fields as somebody would fill them in."""
    rng = random.Random(number)
    name = f"{rng.choice(FAMILY)} {rng.choice(GIVEN)}"
    return {
        "title": f"{rng.choice(WHAT)} ở {rng.choice(WHERE)}",
        "applicant": name,
        "phone": f"03{rng.randrange(10**8):08}",
        "village": f"bản {rng.choice(WHERE).split()[-1].capitalize()} {rng.randrange(1, 5)}",
        "location": rng.choice(WHERE),
        "household": str(rng.randrange(1, 9)),
        "demand": f"{rng.choice(EXTRA)}, {rng.choice(EXTRA)}",
        "received_on": f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        "channel": rng.choice(("trực tiếp", "bưu chính", "điện thoại")),
        "note": rng.choice(EXTRA),
    }


def open_cases(node: Node, count: int) -> list[DocumentId]:
    """Open cases of ten fields each, one after the other."""
    with node.transaction():
        return [_open(node, number) for number in range(count)]


def _open(node: Node, number: int) -> DocumentId:
    document = DocumentId(random.Random(f"case {number}").randbytes(16))
    node.replica.write(
        node.author(),
        document,
        now_ms=NOW_MS + number * 90_000,
        kind="case",
        fields=fields_of(number),
        texts={"summary": ""},
        events=[Registered()],
    )
    return document


def test_one_status_change_on_an_open_link(commune: Node, province: Node) -> None:
    (case,) = open_cases(commune, 1)
    link = Link(commune, province).run()
    (registered,) = [EventId(row[0]) for row in commune.rows("SELECT id FROM event")]
    accepted = Accepted(follows=(registered,), on=date(2026, 12, 1))
    commune.write(case, NOW_MS + 3_600_000, events=[accepted])
    since = len(link.sent)
    link.run()
    assert cost(link, since, Frame, Head, from_parent=False) <= 125
    assert cost(link, since, from_parent=False) <= 125
    # The answer holds the parent's cosignature.
    assert cost(link, since, Ack, from_parent=True) <= 90


def test_a_hundred_edits_of_one_field_each_in_a_batch(commune: Node, province: Node) -> None:
    cases = open_cases(commune, 100)
    link = Link(commune, province).run()
    edit_all(commune, cases)
    since = len(link.sent)
    link.run()
    assert cost(link, since) <= 30 * len(cases)


def test_an_open_link_is_silent_for_an_hour_without_changes(
    commune: Node, province: Node, tmp_path: Path
) -> None:
    sync_all(commune, province, new_node(CENTRE, tmp_path))
    link = Link(commune, province).run()
    since = len(link.sent)
    for _ in range(12 * 60):
        link.now_ms += 5_000
        link.run()
    assert cost(link, since) <= 60


def test_fifty_edits_cost_the_same_whatever_else_both_ends_hold(tmp_path: Path) -> None:
    taken = {held: edits_among(held, tmp_path / str(held)) for held in (50, 1_300)}
    (few, few_bytes), (many, many_bytes) = taken.values()
    # Larger numbers of leaves take a byte more, and what is packed together differs a little.
    assert many_bytes <= few_bytes * 1.05
    assert many <= few + 1


def edits_among(held: int, folder: Path) -> tuple[int, int]:
    """Return messages and bytes, both ways, of edits of the first fifty of so many cases."""
    commune, province = new_node(COMMUNE, folder), new_node(PROVINCE, folder)
    cases = open_cases(commune, held)
    link = Link(commune, province).run()
    edit_all(commune, cases[:50])
    since = len(link.sent)
    link.run()
    return len(link.sent) - since, cost(link, since)


def edit_all(node: Node, cases: Sequence[DocumentId]) -> None:
    """Edit a field of each case, all in one transaction."""
    with node.transaction():
        for number, case in enumerate(cases):
            node.replica.write(
                node.author(),
                case,
                now_ms=NOW_MS + 1_000_000_000 + number * 40_000,
                fields={"note": f"{random.Random(~number).choice(EXTRA)} {number}"},
            )


def test_the_first_copy_of_a_thousand_cases(commune: Node, province: Node) -> None:
    cases = open_cases(commune, 1_000)
    link = Link(commune, province).run()
    assert province.log(commune.place).head() == commune.log(commune.place).head()
    assert cost(link, 0) <= 75 * len(cases)


def test_a_link_over_which_nothing_has_to_go(commune: Node, province: Node, tmp_path: Path) -> None:
    sync_all(commune, province, new_node(CENTRE, tmp_path))
    link = Link(commune, province).run()
    assert [type(message) for _, message in link.sent] == [Hello, Hello]
    assert cost(link, 0) <= 200


def sync_all(commune: Node, province: Node, centre: Node) -> None:
    """Open some cases and let all tiers sign for them."""
    open_cases(commune, 20)
    for _ in range(3):
        sync(commune, province)
        sync(province, centre)
