"""Goal: the API does what the pages need, once, for those who may, and says clearly why not.

Method: a real commune or province in this process, asked over HTTP as a browser asks.
"""

import hashlib
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from node.web.api_node import STREAMS_A_PERSON_MAX
from node.web.api_visits import DRAFT_BYTES_MAX
from schemas.limits import ATTACHMENT_BYTES_MAX
from tests.web.offices import (
    OpenOffice,
    denunciation_form,
    mint,
    register,
    tell,
    visit_form,
)

PDF = b"%PDF-1.7 a scan of a petition"


def test_a_visit_becomes_cases_that_are_listed_found_and_read(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        made = await register(lan, titles=("Đền bù đất rẫy", "Sửa cầu treo"))
        assert len(made["case_ids"]) == len(made["petition_ids"]) == 2
        found = (await lan.get("/api/v1/cases?text=cau+treo")).body
        assert [line["id"] for line in found["cases"]] == [made["case_ids"][1]]
        case = (await lan.get(f"/api/v1/cases/{made['case_ids'][0]}")).body
        assert case["file"]["line"]["title"] == "Đền bù đất rẫy"
        assert case["file"]["line"]["state"] == "readback_confirmed"
        assert case["file"]["line"]["sync"] == {"level": "here"}
        assert case["file"]["people"][0]["full_name"] == "Vi Thị Mơ"
        assert "classified" in case["allowed_events"]
        assert case["file"]["deadlines"]
        visits = (await lan.get("/api/v1/visits")).body["visits"]
        assert visits[0]["id"] == made["visit_id"]
        assert (await lan.get("/api/v1/today")).body["new_count"] == 2

    tell(tmp_path, story)


def test_an_event_moves_the_case_and_one_that_is_not_possible_says_why(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        event = {"type": "classified", "case_type": "khieu_nai"}
        tips = (await lan.get(f"/api/v1/cases/{case}")).body["tips"]
        reply = await lan.post(f"/cases/{case}/events", {"event": event, "follows": tips})
        assert reply.status == 200, reply.text
        assert (await lan.get(f"/api/v1/cases/{case}")).body["file"]["line"][
            "state"
        ] == "classified"
        reply = await lan.post(f"/cases/{case}/events", {"event": {"type": "filed"}})
        assert (reply.status, reply.code) == (409, "transition_illegal")
        assert "trạng thái" in reply.body["message"]
        reply = await lan.post(f"/cases/{case}/events", {"event": {"type": "accepted"}})
        assert (reply.status, reply.code) == (422, "request_invalid")
        assert [entry["field"] for entry in reply.body["fields"]] == ["on"]

    tell(tmp_path, story)


def test_a_page_that_is_out_of_date_is_told_so(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        tips = (await lan.get(f"/api/v1/cases/{case}")).body["tips"]
        event = {"type": "classified", "case_type": "khieu_nai"}
        await lan.post(f"/cases/{case}/events", {"event": event, "follows": tips})
        reply = await lan.post(f"/cases/{case}/events", {"event": event, "follows": tips})
        assert (reply.status, reply.code) == (409, "case_changed")

    tell(tmp_path, story)


def test_edits_of_one_version_on_two_devices_are_both_kept_and_one_is_chosen(
    tmp_path: Path,
) -> None:
    async def story(office: OpenOffice) -> None:
        lan, mai = await office.browser("lan"), await office.browser("mai")
        case = (await register(lan))["case_ids"][0]
        base = (await lan.get(f"/api/v1/documents/{case}")).body["heads"]
        for browser, title in ((lan, "Đất rẫy bản Hòa Sơn"), (mai, "Đất rẫy ở Xốp Tụ")):
            body = {"base": base, "fields": {"title": title}}
            assert (await browser.post(f"/documents/{case}/fields", body)).status == 200
        found = (await lan.get(f"/api/v1/cases/{case}")).body
        values = found["file"]["rivals"][0]["values"]
        assert {value["value"] for value in values} == {"Đất rẫy bản Hòa Sơn", "Đất rẫy ở Xốp Tụ"}
        assert {value["name"] for value in values} == {"Nguyễn Thị Lan", "Lê Thị Mai"}
        for value in values:
            now = (await lan.get(f"/api/v1/cases/{case}")).body
            chosen = {"base": now["heads"], "fields": {"title": value["value"]}}
            await lan.post(f"/documents/{case}/fields", chosen)
            now = (await lan.get(f"/api/v1/cases/{case}")).body
            assert now["file"]["rivals"] == []
            assert now["file"]["line"]["title"] == value["value"]

    tell(tmp_path, story)


def test_a_request_that_comes_twice_is_done_once(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        first = await lan.post("/visits", visit_form(), key="a")
        again = await lan.post("/visits", visit_form(), key="a")
        assert first.body == again.body
        assert await office.rows("SELECT count(*) FROM visits") == [(1,)]
        other = await lan.post("/visits", visit_form(titles=("Khác",)), key="a")
        assert (other.status, other.code) == (409, "request_id_reused")
        mai = await office.browser("mai")
        assert (await mai.post("/visits", visit_form(), key="a")).body != first.body

    tell(tmp_path, story)


def test_a_form_with_missing_and_absurd_fields_is_told_which(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        form = visit_form(held_on="hôm qua", nonsense=1)
        form["people"][0]["birth_year"] = 1066
        form["petitions"][0]["case_type"] = "khieu"
        reply = await lan.post("/visits", form)
        assert (reply.status, reply.code) == (422, "request_invalid")
        fields = {entry["field"]: entry["message"] for entry in reply.body["fields"]}
        assert set(fields) == {
            "held_on",
            "nonsense",
            "people.0.birth_year",
            "petitions.0.case_type",
        }
        assert "should" not in " ".join(fields.values())
        reply = await lan.post("/visits", visit_form(people=[]))
        assert [entry["field"] for entry in reply.body["fields"]] == ["people"]
        assert await office.rows("SELECT count(*) FROM visits") == [(0,)]

    tell(tmp_path, story)


# Denunciations


def test_a_denunciation_is_kept_without_anything_that_names_its_author(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        reply = await lan.post("/visits", denunciation_form())
        assert reply.status == 200, reply.text
        case = reply.body["case_ids"][0]
        found = (await lan.get(f"/api/v1/cases/{case}")).body
        assert found["file"]["line"]["envelope_number"] == "PB-07/2026"
        assert found["file"]["has_sealed_ref"] is True
        assert "TC-7F3K" not in repr(await office.rows("SELECT data FROM leaf"))
        assert (await lan.post(f"/cases/{case}/reference")).code == "not_permitted"
        mai = await office.browser("mai")
        assert (await mai.post(f"/cases/{case}/reference")).body == {"reference": "TC-7F3K"}
        assert found["file"]["people"] == []
        assert not found["can_attach"]
        reply = await lan.upload(case, PDF)
        assert (reply.status, reply.code) == (422, "denunciation_sealed")
        body = {"fields": {"title": "Ông A tố cáo"}}
        reply = await lan.post(f"/documents/{case}/fields", body)
        assert (reply.status, reply.code) == (422, "denunciation_sealed")
        editable = (await lan.get(f"/api/v1/documents/{case}")).body["document"]
        assert editable["is_sealed"]
        assert "title" not in editable["fields"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "form",
    [
        denunciation_form() | {"people": [{"full_name": "Vi Thị Mơ"}]},
        denunciation_form() | {"statement": "Tôi là Vi Thị Mơ"},
        denunciation_form(content="Tôi là Vi Thị Mơ"),
        denunciation_form(title="Vi Thị Mơ tố cáo"),
    ],
)
def test_a_denunciation_that_names_somebody_is_refused(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        reply = await lan.post("/visits", form)
        assert (reply.status, reply.code[:12]) == (422, "denunciation")
        assert await office.rows("SELECT count(*) FROM leaf") == [(0,)]

    tell(tmp_path, story)


def test_a_draft_of_a_denunciation_forgets_who_came(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, draft = await office.browser("lan"), f"/api/v1/drafts/{mint(1)}"
        form = visit_form(statement="Tôi là Vi Thị Mơ")
        assert (await lan.ask("PUT", draft, {"body": form})).status == 200
        form["petitions"][0] |= {"case_type": "to_cao", "envelope_number": "PB-1"}
        assert (await lan.ask("PUT", draft, {"body": form})).status == 200
        kept = (await lan.get(draft)).body["body"]
        assert kept["petitions"] == [{"case_type": "to_cao", "envelope_number": "PB-1"}]
        assert "Mơ" not in repr(await office.rows("SELECT * FROM draft"))

    tell(tmp_path, story)


# Drafts


def test_a_draft_holds_no_number_of_an_identity_paper(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, draft = await office.browser("lan"), f"/api/v1/drafts/{mint(1)}"
        await lan.ask("PUT", draft, {"body": visit_form()})
        rows = repr(await office.rows("SELECT body FROM draft"))
        assert "Vi Thị Mơ" in rows
        assert "040162001234" not in rows

    tell(tmp_path, story)


def test_one_user_never_sees_the_drafts_of_another(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, mai = await office.browser("lan"), await office.browser("mai")
        draft = f"/api/v1/drafts/{mint(1)}"
        await lan.ask("PUT", draft, {"body": visit_form()})
        assert (await mai.get(draft)).status == 404
        assert (await mai.get("/api/v1/drafts")).body == {"drafts": []}
        await mai.ask("DELETE", draft)
        assert (await lan.get(draft)).status == 200
        await lan.ask("DELETE", draft)
        assert (await lan.get(draft)).status == 404

    tell(tmp_path, story)


# Files


def test_a_file_comes_back_as_it_was_under_a_harmless_name(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        reply = await lan.upload(case, PDF, '../../đơn "khiếu nại"<>.pdf')
        assert reply.status == 200, reply.text
        assert reply.body["sha256"] == hashlib.sha256(PDF).hexdigest()
        assert reply.body["media_type"] == "application/pdf"
        assert "/" not in reply.body["name"]
        assert not set('<>"') & set(reply.body["name"])
        back = await lan.get(f"/api/v1/documents/{case}/attachments/{reply.body['sha256']}")
        assert back.content == PDF
        assert back.headers["Content-Disposition"].startswith("attachment; ")
        assert back.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in back.headers["Content-Security-Policy"]
        head = await lan.ask("HEAD", f"/api/v1/documents/{case}/attachments/{reply.body['sha256']}")
        assert head.headers["Content-Length"] == str(len(PDF))
        assert not list(office.node.incoming_folder.iterdir())

    tell(tmp_path, story)


def test_a_page_disguised_as_a_file_is_never_shown_as_one(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        reply = await lan.upload(case, b"<script>alert(1)</script>", "a.html")
        assert reply.body["media_type"] == "application/octet-stream"
        url = f"/api/v1/documents/{case}/attachments/{reply.body['sha256']}?inline=1"
        assert (await lan.get(url)).headers["Content-Disposition"].startswith("attachment; ")

    tell(tmp_path, story)


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        reply = await lan.upload(case, bytes(ATTACHMENT_BYTES_MAX + 1))
        assert (reply.status, reply.code) == (413, "attachment_too_large")
        assert not list(office.node.incoming_folder.iterdir())
        assert await office.rows("SELECT count(*) FROM attachments") == [(0,)]
        assert (await lan.upload(case, b"")).code == "attachment_empty"

    tell(tmp_path, story)


def test_an_upload_without_a_file_says_so(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        address = f"/api/v1/documents/{case}/attachments"
        assert (await lan.ask("POST", address, {"file": "x"})).code == "file_missing"
        form = FormData()
        form.add_field("other", b"x", filename="x")
        assert (await lan.ask("POST", address, form)).code == "file_missing"
        broken = {"Content-Type": "multipart/form-data; boundary=b"}
        reply = await lan.ask("POST", address, FormData(), broken)
        assert reply.status == 400
        assert (await lan.upload(mint(9), PDF)).status == 404

    tell(tmp_path, story)


def test_a_file_of_another_document_is_not_found_under_this_one(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        first, second = (await register(lan, titles=("Một", "Hai")))["case_ids"]
        sha256 = (await lan.upload(first, PDF)).body["sha256"]
        assert (await lan.get(f"/api/v1/documents/{second}/attachments/{sha256}")).status == 404
        assert (await lan.get(f"/api/v1/documents/{first}/attachments/..%2f..%2fkey")).status == 404

    tell(tmp_path, story)


def test_the_signed_record_of_a_case_can_be_downloaded(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        reply = await lan.get(f"/api/v1/cases/{case}/record")
        assert reply.body["document"] == case
        assert (await lan.get(f"/api/v1/cases/{mint(4)}/record")).status == 404

    tell(tmp_path, story)


# Directives, the link


def test_a_province_directs_and_only_the_addressed_may_answer(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        binh = await office.browser("binh")
        form = {"to_codes": ["40.17083"], "title": "Giải quyết dứt điểm", "due_on": "2027-01-15"}
        reply = await binh.post("/directives", form, key="d")
        assert reply.status == 200, reply.text
        assert (await binh.post("/directives", form, key="d")).body == reply.body
        directive = f"/directives/{reply.body['id']}"
        found = (await binh.get(f"/api/v1{directive}")).body
        assert (found["state"], found["offices"][0]["code"]) == ("issued", "40.17083")
        assert len((await binh.get("/api/v1/directives")).body["directives"]) == 1
        event = {"event": {"type": "directive_acknowledged"}}
        assert (await binh.post(f"{directive}/events", event)).status == 403
        event = {"event": {"type": "directive_withdrawn", "reason": "Nhầm nơi nhận"}}
        assert (await binh.post(f"{directive}/events", event)).status == 200
        foreign = form | {"to_codes": ["38.1"]}
        assert (await binh.post("/directives", foreign)).code == "address_foreign"

    tell(tmp_path, story, "province")


def test_the_link_says_what_waits_and_news_arrive_by_themselves(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        before = (await lan.get("/api/v1/link")).body["waiting"]["records"]
        async with lan._client.get("/api/v1/news") as stream:
            first = await _event(stream)
            made = await register(lan)
            second = await _event(stream)
            assert first["digest"] != second["digest"]
            assert second["link"]["waiting"]["records"] > before
        case = made["case_ids"][0]
        assert (await lan.get(f"/api/v1/documents/{case}/sync")).body["sync"] == {"level": "here"}
        async with lan._client.get(f"/api/v1/news?document={case}") as stream:
            assert (await _event(stream))["document"]["level"] == "here"

    tell(tmp_path, story)


async def _event(stream: Any) -> dict[str, Any]:
    while True:
        line = (await stream.content.readline()).decode()
        if line.startswith("data: "):
            found: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return found


def test_a_person_has_so_many_streams_of_news_and_others_have_theirs(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, mai = await office.browser("lan"), await office.browser("mai")
        async with AsyncExitStack() as stack:
            for _ in range(STREAMS_A_PERSON_MAX):
                stream = await stack.enter_async_context(lan._client.get("/api/v1/news"))
                assert stream.status == 200
            refused = await lan.get("/api/v1/news")
            assert (refused.status, refused.code) == (429, "streams_too_many")
            assert (await lan.get("/api/v1/link")).status == 200
            async with mai._client.get("/api/v1/news") as stream:
                await _event(stream)
        async with lan._client.get("/api/v1/news") as stream:
            await _event(stream)

    tell(tmp_path, story)


def test_pages_left_behind_one_after_the_other_do_not_count_as_open(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        stale = [lan._client.get("/api/v1/news") for _ in range(STREAMS_A_PERSON_MAX)]
        opened = [await stream for stream in stale]
        for stream in opened:
            stream.close()
        await office.until("SELECT 1")
        assert (await lan.get("/api/v1/link")).status == 200
        async with lan._client.get("/api/v1/news") as stream:
            assert stream.status == 200
            await _event(stream)

    tell(tmp_path, story)


def test_a_draft_has_a_longest_size(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, draft = await office.browser("lan"), f"/api/v1/drafts/{mint(1)}"
        form = visit_form() | {"statement": "x" * (DRAFT_BYTES_MAX // 2)}
        assert (await lan.ask("PUT", draft, {"body": form})).status == 200
        longer = visit_form() | {"statement": "x" * DRAFT_BYTES_MAX}
        reply = await lan.ask("PUT", draft, {"body": longer})
        assert (reply.status, reply.code) == (413, "draft_too_long")
        kept = (await lan.get(draft)).body["body"]
        assert kept["statement"] == form["statement"], "what was kept before stays"

    tell(tmp_path, story)


def test_looking_is_no_news(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        async with lan._client.get("/api/v1/news") as stream:
            first = await _event(stream)
            await lan.get(f"/api/v1/cases/{case}")
            await lan.get("/api/v1/cases?text=mo")
            await register(lan, titles=("Việc khác",))
            second = await _event(stream)
            assert second["link"]["waiting"]["records"] > first["link"]["waiting"]["records"]

    tell(tmp_path, story)


def test_the_switch_of_the_demo_is_in_the_demo_only(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        assert (await lan.post("/link/cut", {"cut": True})).status == 200
        object.__setattr__(office.node.config, "is_demo", False)
        assert (await lan.post("/link/cut", {"cut": True})).code == "demo_only"

    tell(tmp_path, story)


def test_files_can_be_sent_out_of_their_hours_and_who_said_so_is_noted(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hour = office.node.clock.now_ms() // 3_600_000 + 7
        hours = f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"
        object.__setattr__(office.node.config, "bulk_hours", hours)
        lan = await office.browser("lan")
        before = (await lan.get("/api/v1/link")).body["files"]
        assert before["opens_ms"] is not None
        answer = (await lan.post("/link/files", {"now": True})).body["files"]
        assert answer["is_early"]
        assert answer["opens_ms"] is None
        assert not (await lan.post("/link/files", {"now": False})).body["files"]["is_early"]
        rows = await office.node.read(
            lambda db: db.execute(
                "SELECT detail FROM audit WHERE action = 'link.files' ORDER BY rowid"
            ).fetchall()
        )
        assert [row[0] for row in rows] == ["true", "false"]

    tell(tmp_path, story)
