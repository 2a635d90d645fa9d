"""Goal: the API answers those who may and nobody else, and leaves a trail of who looked.

Method: a real commune in this process, asked over HTTP as a browser asks, and as none should.
"""

from pathlib import Path

import pytest
from aiohttp import FormData

from tests.web.offices import (
    PASSWORD,
    OpenOffice,
    mint,
    register,
    tell,
    visit_form,
)

PDF = b"%PDF-1.7 a scan of a petition"


# Who may


def test_without_a_session_nothing_but_health_and_signing_in_is_answered(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        nobody = await office.browser()
        assert (await nobody.get("/api/v1/health")).body["status"] == "ok"
        for path in (
            "/today",
            "/cases",
            f"/cases/{mint(1)}",
            "/me",
            "/link",
            "/technician",
            "/news",
        ):
            reply = await nobody.get(f"/api/v1{path}")
            assert (reply.status, reply.code) == (401, "sign_in_needed"), path
        assert (await nobody.post("/visits", visit_form())).status == 401

    tell(tmp_path, story)


def test_the_administrator_sees_no_case_content(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, ky = await office.browser("lan"), await office.browser("ky")
        made = await register(lan)
        case = made["case_ids"][0]
        sha256 = (await lan.upload(case, PDF)).body["sha256"]
        for path in (
            "/today",
            "/cases",
            f"/cases/{case}",
            f"/cases/{case}/record",
            f"/documents/{case}",
            f"/documents/{case}/attachments/{sha256}",
            "/visits",
            "/directives",
        ):
            reply = await ky.get(f"/api/v1{path}")
            assert (reply.status, reply.code) == (403, "not_permitted"), path
        reply = await ky.get("/api/v1/technician")
        assert reply.status == 200
        assert "Mơ" not in reply.text
        assert "rẫy" not in reply.text

    tell(tmp_path, story)


def test_an_auditor_reads_and_writes_nothing(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tam = await office.browser("lan"), await office.browser("tam")
        case = (await register(lan))["case_ids"][0]
        assert (await tam.get(f"/api/v1/cases/{case}")).body["allowed_events"] == []
        assert (await tam.post("/visits", visit_form())).status == 403
        body = {"fields": {"title": "Khác"}}
        assert (await tam.post(f"/documents/{case}/fields", body)).status == 403
        event = {"event": {"type": "noted", "text": "x"}}
        assert (await tam.post(f"/cases/{case}/events", event)).status == 403

    tell(tmp_path, story)


def test_the_sealed_number_is_opened_for_those_who_may_and_the_look_is_noted(
    tmp_path: Path,
) -> None:
    async def story(office: OpenOffice) -> None:
        lan, mai = await office.browser("lan"), await office.browser("mai")
        person = (await register(lan))["people_ids"][0]
        assert (await lan.post(f"/people/{person}/identity")).status == 403
        reply = await mai.post(f"/people/{person}/identity")
        assert reply.body == {"number": "040162001234"}
        rows = await office.rows(
            "SELECT user, document_id FROM audit WHERE action = ?", "person.identity"
        )
        assert rows == [("mai", person)]
        assert "040162001234" not in repr(await office.rows("SELECT * FROM audit"))

    tell(tmp_path, story)


def test_looks_and_changes_stand_in_the_audit_trail(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        case = (await register(lan))["case_ids"][0]
        for _ in range(3):
            await lan.get(f"/api/v1/cases/{case}")
        await lan.get("/api/v1/cases?text=mo")
        await lan.post(f"/cases/{case}/events", {"event": {"type": "noted", "text": "Gọi lại"}})
        rows = await office.rows("SELECT action, document_id, detail FROM audit ORDER BY number")
        assert rows[0][0] == "account.sign_in"
        assert rows[2:] == [
            ("case.read", case, ""),
            ("case.search", "", rows[3][2]),
            ("case.act", case, "noted"),
        ]

    tell(tmp_path, story)


# Requests that no page of ours sends


def test_a_change_without_the_token_or_from_a_foreign_page_is_refused(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        for headers in (
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": "x"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            reply = await lan.ask("POST", "/api/v1/visits", visit_form(), headers)
            assert (reply.status, reply.code) == (403, "csrf_failed"), headers
        form = FormData({"user": "lan", "password": PASSWORD})
        assert (await lan.ask("POST", "/api/v1/sign-in", form)).code == "json_needed"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("localhost", 200),
        ("muongxen.local:8443", 421),
        ("[::1]", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
    ],
)
def test_a_name_that_is_not_ours_is_refused(tmp_path: Path, host: str, status: int) -> None:
    async def story(office: OpenOffice) -> None:
        nobody = await office.browser()
        reply = await nobody.ask("GET", "/api/v1/health", headers={"Host": host})
        assert reply.status == status

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", "json_malformed"), (b"[]", "request_invalid"), (b"\xff", "json_malformed")],
)
def test_a_body_that_is_no_form_is_told_so(tmp_path: Path, content: bytes, code: str) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        async with lan._client.post(
            "/api/v1/visits",
            data=content,
            headers={"X-CSRF-Token": lan.csrf, "Content-Type": "application/json"},
        ) as answer:
            assert (await answer.json())["code"] == code

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/cases?state=x", 422, "request_invalid"),
        ("/api/v1/cases?sise=1", 422, "request_invalid"),
        ("/api/v1/cases?after=x", 422, "request_invalid"),
        ("/api/v1/cases/x", 404, "not_found"),
        (f"/api/v1/cases/{mint(3)}", 404, "not_found"),
        ("/api/v1/nothing", 404, "page_unknown"),
        ("/api/v1/visits/x", 404, "page_unknown"),
    ],
)
def test_what_is_not_there_has_a_stable_code(
    tmp_path: Path, path: str, status: int, code: str
) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        reply = await lan.get(path)
        assert (reply.status, reply.code) == (status, code)

    tell(tmp_path, story)


def test_the_sentence_comes_in_the_language_of_the_reader(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        vietnamese = (await lan.get(f"/api/v1/cases/{mint(3)}")).body["message"]
        await lan.get("/language/en")
        english = (await lan.get(f"/api/v1/cases/{mint(3)}")).body["message"]
        assert (vietnamese, english) == (
            "Không có hồ sơ này tại đây.",
            "There is no such record here.",
        )

    tell(tmp_path, story)


# Signing in


def test_wrong_passwords_are_refused_alike_and_then_slowed_down(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        nobody = await office.browser()
        replies = [await nobody.sign_in("lan", "sai mật khẩu") for _ in range(7)]
        assert [reply.status for reply in replies[:5]] == [401] * 5
        assert (replies[-1].status, replies[-1].code) == (429, "sign_in_throttled")
        assert int(replies[-1].headers["Retry-After"]) > 0
        unknown = await nobody.sign_in("khong-co", "sai mật khẩu")
        assert unknown.body == replies[0].body

    tell(tmp_path, story)


def test_a_session_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        nobody = await office.browser()
        reply = await nobody.sign_in("lan")
        cookies = reply.headers.getall("Set-Cookie")
        assert len(cookies) == 2
        assert all("HttpOnly" in cookie and "SameSite=Strict" in cookie for cookie in cookies)
        assert all("40_17083" in cookie for cookie in cookies)
        await nobody.post("/sign-out")
        assert (await nobody.get("/api/v1/me")).status == 401

    tell(tmp_path, story)


def test_the_own_password_is_changed_with_the_old_one(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, elsewhere = await office.browser("lan"), await office.browser("lan")
        wrong = await lan.post("/me/password", {"old": "sai", "new": "một mật khẩu mới"})
        assert (wrong.status, wrong.code) == (422, "password_wrong")
        short = await lan.post("/me/password", {"old": PASSWORD, "new": "ngắn"})
        assert (short.status, short.code) == (422, "password_too_short")
        body = {"old": PASSWORD, "new": "một mật khẩu mới"}
        assert (await lan.post("/me/password", body)).status == 200
        assert (await lan.get("/api/v1/me")).status == 200
        assert (await elsewhere.get("/api/v1/me")).status == 401
        assert (await elsewhere.sign_in("lan", "một mật khẩu mới")).status == 200

    tell(tmp_path, story)
