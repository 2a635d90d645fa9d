"""Goal: no request, however hostile, stops a page, the node or the person after it.

Method: a real node with its pages in this process; requests that no page of ours would send.
"""

import asyncio
import time
from datetime import date
from pathlib import Path

import pytest
from aiohttp import FormData

from node.cases.workdays import Calendar
from node.web.rendering import day, moment
from schemas.law.rules import Unit
from tests.web.offices import OpenOffice, register, tell, visit_form


def test_a_stranger_cannot_keep_the_node_busy_with_a_form_of_many_keys(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        stranger = await office.browser()
        reply = await stranger.post("/sign-in", {f"k{number}": 1 for number in range(50_000)})
        assert (reply.status, reply.code) == (413, "request_too_large")
        unsized = FormData()
        unsized.add_field("x", "y")
        reply = await stranger.ask("POST", "/api/v1/sign-in", unsized)
        assert reply.status == 415

    tell(tmp_path, story)


def test_a_form_wrong_in_thousands_of_places_is_answered_at_once(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        made = await register(lan)
        unfit: list[str] = []
        wrong = {"fields": {f"k{number}": unfit for number in range(20_000)}}
        began = time.monotonic()
        reply = await lan.post(f"/documents/{made['case_ids'][0]}/fields", wrong)
        assert (reply.status, reply.code) == (422, "request_invalid")
        assert len(reply.body["fields"]) <= 50
        assert time.monotonic() - began < 5

    tell(tmp_path, story)


def test_a_date_field_takes_nothing_but_a_date_and_the_page_stays(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        made = await register(lan)
        petition = f"/documents/{made['petition_ids'][0]}/fields"
        for value in ("<script>", "20260101", "2026-W01-1", "2026-13-45"):
            reply = await lan.post(petition, {"fields": {"petition_date": value}})
            assert (reply.status, reply.code) == (422, "field_malformed")
        for value in ("2026-11-23", ""):
            assert (await lan.post(petition, {"fields": {"petition_date": value}})).status == 200
        assert (await lan.get(f"/cases/{made['case_ids'][0]}")).status == 200

    tell(tmp_path, story)


def test_a_visit_on_the_last_day_there_is_can_be_registered(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        for held_on in ("9999-12-31", "0001-01-01"):
            reply = await lan.post("/visits", visit_form(held_on=held_on))
            assert reply.status == 200, reply.text
            assert (await lan.get(f"/cases/{reply.body['case_ids'][0]}")).status == 200

    tell(tmp_path, story)


@pytest.mark.parametrize("unit", list(Unit))
def test_a_time_limit_never_runs_past_the_last_date(unit: Unit) -> None:
    last = day_of("9999-12-31")
    assert Calendar().due(day_of("9999-12-30"), 36_500, unit) == last
    assert Calendar().last_day(last, 30) == last


def test_a_page_shows_what_is_no_date_as_it_is() -> None:
    assert day("<script>") == "<script>"
    assert day("") == ""
    assert moment(1 << 62) == "?"


def test_an_address_to_go_back_to_never_leads_to_another_site(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        for back in (
            "/%09/evil.example",
            "//evil.example",
            "/%5Cevil.example",
            "/%0D/evil.example",
        ):
            reply = await lan.get(f"/language/en?back={back}")
            assert (reply.status, reply.headers["Location"]) == (303, "/")
            reply = await lan.get(f"/sign-in?next={back}")
            assert (reply.status, reply.headers["Location"]) == (303, "/")

    tell(tmp_path, story)


def test_strangers_who_guess_never_keep_a_known_browser_waiting(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, stranger = await office.browser("lan"), await office.browser()
        async with asyncio.TaskGroup() as group:
            guesses = [
                group.create_task(stranger.sign_in(f"nobody{number}", "đoán mò một chút"))
                for number in range(200)
            ]
            await asyncio.sleep(0.2)
            began = time.monotonic()
            assert (await lan.sign_in("lan")).status == 200
            assert time.monotonic() - began < 2
        assert {guess.result().status for guess in guesses} == {401, 429}

    tell(tmp_path, story)


def test_a_number_that_was_looked_for_stands_nowhere_in_plain(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tam = await office.browser("lan"), await office.browser("tam")
        await register(lan)
        for text in ("040162001234", "Mơ 0401 6200 1234"):
            assert (await lan.get(f"/api/v1/cases?text={text}")).status == 200
        # Sealed in the trail, and not even to be read by those who may open the trail.
        found = (await tam.get("/api/v1/audit?action=case.search")).body["lines"]
        assert [line["detail"] for line in found] == ["Mơ •••", "•••"]
        for file in (tmp_path / "commune").glob("tiepdan.db*"):
            assert b"040162001234" not in file.read_bytes()

    tell(tmp_path, story)


def test_failed_attempts_are_forgotten_when_they_no_longer_count(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        stranger = await office.browser()
        await office.node.write(
            lambda now_ms: office.node.accounts.note_failure("old", None, now_ms - 3_600_000)
        )
        await stranger.sign_in("nobody", "đoán mò một chút")
        assert await office.rows("SELECT user FROM failed_sign_in") == [("nobody",)]

    tell(tmp_path, story)


def test_what_is_no_text_is_refused_in_words_wherever_it_stands(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        for body in ({"a": "\ud800"}, {"a": nested(900)}):
            reply = await lan.ask("PUT", "/api/v1/drafts/x", {"body": body})
            assert (reply.status, reply.code) == (400, "json_malformed")
        reply = await lan.post("/visits", visit_form(), key="khóa")
        assert (reply.status, reply.code) == (422, "request_id_too_long")
        foreign = {"User-Agent": "trình duyệt \udcff"}
        answer = await lan.ask(
            "POST", "/api/v1/sign-in", {"user": "lan", "password": "không đúng"}, foreign
        )
        assert answer.status == 401

    tell(tmp_path, story)


def nested(depth: int) -> list[object]:
    """Return lists inside each other."""
    found: list[object] = []
    for _ in range(depth):
        found = [found]
    return found


def day_of(text: str) -> date:
    """Return the date written in ISO form."""
    return date.fromisoformat(text)
