"""Goal: the technician makes tokens at the page, and sees what became of them.

Method: a real province and a real commune, asked over HTTP as a browser asks.
"""

from dataclasses import replace
from pathlib import Path

from crypto.enrolment import parse_token
from tests.web.offices import OpenOffice, tell


def test_the_technician_makes_and_withdraws_a_token_at_the_page(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        kha = await office.browser("kha")
        reply = await kha.post("/tokens", {"code": "40.17083"})
        assert (reply.status, reply.code) == (422, "token_address_missing")
        folder = office.node._station.folder
        object.__setattr__(folder, "config", replace(folder.config, sync_address="10.0.0.1:8443"))
        made = await kha.post("/tokens", {"code": "40.17083"}, key="once")
        assert made.status == 200
        token = parse_token(made.body["line"])
        assert (token.code, token.address) == ("40.17083", "10.0.0.1:8443")
        assert token.expires_ms == made.body["expires_ms"]
        assert made.body["picture"].startswith("data:image/svg+xml")
        seen = (await kha.get("/api/v1/technician")).body
        (line,) = seen["tokens"]
        assert (line["code"], line["state"], line["used_by"]) == ("40.17083", "open", "")
        assert seen["certificate"]["state"] == "good"
        assert seen["certificate"]["key"] == folder.subject.peer_id.hex()[:32]
        page = (await kha.get("/technician")).text
        assert 'data-withdraw="40.17083"' in page
        assert made.body["line"] not in page
        # What repeats a request is kept for a while: a secret must not be.
        assert await office.rows("SELECT * FROM done_request WHERE answer LIKE '%40.17083@%'") == []
        trail = await office.rows("SELECT user, detail FROM audit WHERE action = 'token.make'")
        assert trail == [("kha", "40.17083")]
        assert (await kha.ask("DELETE", "/api/v1/tokens/40.17083")).status == 200
        gone = await kha.ask("DELETE", "/api/v1/tokens/40.17083")
        assert (gone.status, gone.code) == (422, "token_unknown")
        for code, status in (("41.1", 422), ("40", 422), ("40.17083/../x", 422)):
            assert (await kha.post("/tokens", {"code": code})).status == status

    tell(tmp_path, story, "province")


def test_nobody_but_the_technician_makes_tokens(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        for user in ("binh", "sang"):
            browser = await office.browser(user)
            reply = await browser.post("/tokens", {"code": "40.17083"})
            assert (reply.status, reply.code) == (403, "not_permitted")
            reply = await browser.ask("DELETE", "/api/v1/tokens/40.17083")
            assert reply.status == 403

    tell(tmp_path, story, "province")


def test_a_commune_is_told_whether_it_has_a_spare_key(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        ky = await office.browser("ky")
        seen = (await ky.get("/api/v1/technician")).body["certificate"]
        assert (seen["has_spare"], seen["state"]) == (False, "good")
        assert "tiepdan spare" in (await ky.get("/technician")).text
        chain = office.node._station.folder.path / "chain.pem"
        chain.with_name("spare.pem").write_bytes(chain.read_bytes())
        assert (await ky.get("/api/v1/technician")).body["certificate"]["has_spare"]
        # Nobody without a sign-in learns more than how near the end is.
        nobody = await office.browser()
        health = (await nobody.get("/api/v1/health")).body
        assert (health["certificate"], health["status"]) == ("good", "ok")

    tell(tmp_path, story)
