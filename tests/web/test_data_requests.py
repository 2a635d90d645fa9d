"""Goal: what people ask about their own data is written down, waits visibly, and is answered once.

Method: a real commune, asked over HTTP by those who take requests and those who answer.
"""

from pathlib import Path
from typing import Any

from tests.web.offices import Browser, OpenOffice, Reply, register, tell

ASKED = {
    "type": "data_requested",
    "right": "deletion",
    "on": "2026-11-24",
    "text": "Xóa số điện thoại",
}


async def record(browser: Browser, person: str, event: dict[str, Any], key: str = "") -> Reply:
    return await browser.post(f"/people/{person}/events", {"event": event}, key)


def test_a_request_is_taken_down_listed_and_answered_once(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, mai = await office.browser("lan"), await office.browser("mai")
        person = (await register(lan))["people_ids"][0]
        made = (await record(lan, person, ASKED, "k")).body["event_ids"]
        assert (await record(lan, person, ASKED, "k")).body["event_ids"] == made
        (line,) = (await lan.get("/api/v1/data-requests")).body["requests"]
        assert (line["full_name"], line["right"], line["answer"]) == ("Vi Thị Mơ", "deletion", "")
        assert "Xóa số điện thoại" in (await mai.get("/data-requests")).text
        answer = {
            "type": "data_answered",
            "request": made[0],
            "answer": "refused",
            "on": "2026-11-25",
            "reason": "Hồ sơ phải lưu trữ.",
        }
        assert (await record(lan, person, answer)).code == "not_permitted"
        assert (await record(mai, person, answer)).status == 200
        assert (await record(mai, person, answer)).code == "request_unknown"
        (line,) = (await lan.get("/api/v1/data-requests")).body["requests"]
        assert (line["answer"], line["reason"]) == ("refused", "Hồ sơ phải lưu trữ.")
        rows = await office.rows("SELECT user, detail FROM audit WHERE action = 'person.request'")
        assert rows == [("lan", "data_requested"), ("mai", "data_answered")]

    tell(tmp_path, story)


def test_an_answer_belongs_to_a_request_of_that_person(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, mai = await office.browser("lan"), await office.browser("mai")
        one, other = [(await register(lan, (t,)))["people_ids"][0] for t in ("A", "B")]
        made = (await record(lan, one, ASKED)).body["event_ids"][0]
        answer = {"type": "data_answered", "request": made, "answer": "granted"}
        answer |= {"on": "2026-11-25", "reason": "x"}
        assert (await record(mai, other, answer)).code == "request_unknown"
        assert (await record(mai, one, {"type": "noted", "text": "x"})).code == "event_foreign"
        case = (await register(lan, ("C",)))["case_ids"][0]
        assert (await record(lan, case, ASKED)).code == "not_found"

    tell(tmp_path, story)


def test_a_request_is_an_event_of_the_signed_record(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        person = (await register(lan))["people_ids"][0]
        await record(lan, person, ASKED)
        held = await office.rows("SELECT type FROM timeline WHERE document_id = ?", person)
        assert ("data_requested",) in held
        assert await office.rows("SELECT count(*) FROM dead_letter") == [(0,)]

    tell(tmp_path, story)
