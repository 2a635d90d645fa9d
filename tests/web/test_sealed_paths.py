"""Goal: the name of a denouncer comes into a node by no door, the small ones included.

Method: a real node with its pages in this process; each test tries one door by the API.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.web.offices import (
    Browser,
    OpenOffice,
    denunciation_form,
    register,
    tell,
    visit_form,
)

NAME = "Nguyễn Văn A"


async def denounce(lan: Browser) -> dict[str, Any]:
    """Register a denunciation and return its ids."""
    reply = await lan.post("/visits", denunciation_form())
    assert reply.status == 200, reply.text
    return reply.body


async def holds_name(office: OpenOffice) -> bool:
    """Tell whether the name stands in a leaf or a draft."""
    leaves = await office.rows("SELECT count(*) FROM leaf WHERE instr(data, ?)", NAME.encode())
    drafts = await office.rows("SELECT count(*) FROM draft WHERE instr(body, ?)", NAME)
    return (leaves[0][0], drafts[0][0]) != (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"place": f"nhà {NAME}"},
        {"register_number": NAME},
        {"topic": NAME},
        {"petition_register": NAME},
        {"title": NAME},
        {"location": NAME},
    ],
)
def test_the_form_of_a_denunciation_takes_no_words(
    tmp_path: Path, changes: Mapping[str, str]
) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        form = denunciation_form()
        for name, value in changes.items():
            if name in ("place", "register_number"):
                form[name] = value
            else:
                form["petitions"][0][name.replace("petition_register", "register_number")] = value
        reply = await lan.post("/visits", form)
        assert (reply.status, reply.code) == (422, "denunciation_sealed")
        assert not await holds_name(office)

    tell(tmp_path, story)


def test_numbers_of_a_denunciation_are_codes_and_not_words(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        made = await denounce(lan)
        for document in (made["case_ids"][0], made["petition_ids"][0]):
            for field in ("envelope_number", "sealed_ref"):
                path = f"/documents/{document}/fields"
                reply = await lan.post(path, {"fields": {field: f"{NAME}, bản Hòa Sơn"}})
                assert (reply.status, reply.code) == (422, "denunciation_sealed")
                assert (await lan.post(path, {"fields": {field: "PB-08/2026"}})).status == 200
        reply = await lan.post(
            f"/documents/{made['case_ids'][0]}/fields", {"fields": {"letter_number": "12/QĐ-UBND"}}
        )
        assert reply.status == 200, reply.text
        assert not await holds_name(office)

    tell(tmp_path, story)


def test_the_visit_of_a_denunciation_takes_no_words_and_no_papers(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        visit = (await denounce(lan))["visit_id"]
        path = f"/documents/{visit}/fields"
        for body in (
            {"texts": {"statement": f"Tôi là {NAME}"}},
            {"fields": {"place": f"nhà {NAME}"}},
            {"fields": {"result": NAME}},
        ):
            reply = await lan.post(path, body)
            assert (reply.status, reply.code) == (422, "denunciation_sealed")
        assert (await lan.upload(visit, b"%PDF-1.7 scan")).code == "denunciation_sealed"
        assert not await holds_name(office)

    tell(tmp_path, story)


def test_a_denunciation_never_joins_a_case_that_names_people(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        named, sealed = await register(lan), await denounce(lan)
        reply = await lan.post(
            "/visits", denunciation_form(joins_case=True, case_id=named["case_ids"][0])
        )
        assert reply.code == "denunciation_linked"
        form = visit_form()
        form["petitions"][0] |= {"joins_case": True, "case_id": sealed["case_ids"][0]}
        assert (await lan.post("/visits", form)).code == "denunciation_linked"
        for case, petition in (
            (named["case_ids"][0], sealed["petition_ids"][0]),
            (sealed["case_ids"][0], named["petition_ids"][0]),
        ):
            event = {"type": "petition_linked", "petition": petition, "case": case}
            reply = await lan.post(f"/cases/{case}/events", {"event": event})
            assert reply.code == "denunciation_linked"

    tell(tmp_path, story)


def test_a_second_denunciation_of_the_same_matter_joins_the_first(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        first = await denounce(lan)
        reply = await lan.post(
            "/visits",
            denunciation_form(
                joins_case=True, case_id=first["case_ids"][0], envelope_number="PB-08/2026"
            ),
        )
        assert reply.status == 200, reply.text

    tell(tmp_path, story)


def test_a_directive_about_a_denunciation_says_nothing_in_words(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, hung = await office.browser("lan"), await office.browser("hung")
        case = (await denounce(lan))["case_ids"][0]
        form = {
            "case_id": case,
            "to_codes": ["40.17083"],
            "title": "Xem xét, báo cáo",
            "due_on": "2027-01-01",
        }
        reply = await hung.post("/directives", form | {"body": f"Đơn của {NAME}"})
        assert (reply.status, reply.code) == (422, "denunciation_sealed")
        directive = (await hung.post("/directives", form)).body["id"]
        assert (await lan.upload(directive, b"%PDF-1.7 scan")).code == "denunciation_sealed"
        events = f"/directives/{directive}/events"
        told = {"type": "directive_reported", "text": f"Đã làm việc với {NAME}"}
        assert (await lan.post(events, {"event": told})).code == "denunciation_sealed"
        told["text"] = "45/BC-UBND"
        assert (await lan.post(events, {"event": told})).status == 200
        reply = await hung.post(f"/documents/{directive}/fields", {"texts": {"body": NAME}})
        assert reply.code == "denunciation_sealed"
        assert not await holds_name(office)

    tell(tmp_path, story)


@pytest.mark.parametrize("words", [1, 2_000])
def test_a_draft_that_was_thrown_away_is_gone_from_the_disk(tmp_path: Path, words: int) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        form = visit_form(statement=f"Tôi là {NAME}. " * words)
        for saved in range(3):
            body = {"body": form | {"register_number": str(saved)}}
            assert (await lan.ask("PUT", "/api/v1/drafts/d", body)).status == 200
        files = list((tmp_path / "commune").glob("tiepdan.db*"))
        assert any(NAME.encode() in file.read_bytes() for file in files)
        assert (await lan.ask("DELETE", "/api/v1/drafts/d")).status == 200
        assert not any(NAME.encode() in file.read_bytes() for file in files)

    tell(tmp_path, story)


def test_a_draft_of_a_denunciation_keeps_codes_only(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        body = denunciation_form(topic=NAME, sealed_ref=[NAME], envelope_number="PB-07/2026")
        body |= {"register_number": NAME, "held_on": {"day": NAME}}
        await lan.ask("PUT", "/api/v1/drafts/d", {"body": body})
        kept = (await lan.get("/api/v1/drafts/d")).body["body"]
        assert kept["petitions"][0]["envelope_number"] == "PB-07/2026"
        assert not await holds_name(office)

    tell(tmp_path, story)
