"""Goal: those in charge keep the accounts, and nobody locks the office out or rises by himself.

Method: a real commune, asked over HTTP by its chair, its lead, and those they make.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.password import hash_password
from node.accounts import ONE_TIME_MS_MAX, SIGN_IN_AGE_MS_MAX, AccountError, find_account
from node.staff import Manager, add_account, change_account, one_time_password, reset_password
from node.views import migrations
from schemas.codes import Role, Tier
from sync.database import open_database
from tests.web.offices import Browser, OpenOffice, tell

NEW = "mật khẩu của riêng tôi"
NOW_MS = 1_795_000_000_000
MACHINE = Manager(user="", role="", tier=Tier.COMMUNE)
CHAIR = Manager(user="hung", role="commune_chair", tier=Tier.COMMUNE)


async def made(
    browser: Browser, user: str = "xuan", role: str = "reception_officer"
) -> dict[str, Any]:
    reply = await browser.post("/accounts", {"user": user, "name": "Lò Thị Xuân", "role": role})
    assert reply.status == 200, reply.text
    return reply.body


def test_a_new_account_works_only_after_its_password_was_changed(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hung, xuan = await office.browser("hung"), await office.browser()
        password = (await made(hung))["password"]
        assert (await xuan.sign_in("xuan", password)).body["must_change_password"] is True
        reply = await xuan.get("/api/v1/cases")
        assert (reply.status, reply.code) == (403, "password_must_change")
        for path in ("/", "/cases", "/visits/new"):
            assert (await xuan.get(path)).headers["Location"] == "/account"
        assert "do người khác đặt" in (await xuan.get("/account")).text
        same = await xuan.post("/me/password", {"old": password, "new": password})
        assert (same.status, same.code) == (422, "password_same")
        assert (await xuan.post("/me/password", {"old": password, "new": NEW})).status == 200
        assert (await xuan.get("/api/v1/cases")).status == 200
        assert (await (await office.browser()).sign_in("xuan", password)).status == 401

    tell(tmp_path, story)


def test_a_one_time_password_stands_nowhere_in_plain(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hung = await office.browser("hung")
        password = (await made(hung))["password"]
        again = (await hung.post("/accounts/xuan/password", key="once")).body["password"]
        assert again != password
        for file in (tmp_path / "commune").rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert password.encode() not in content, file
                assert again.encode() not in content, file

    tell(tmp_path, story)


def test_a_reset_ends_what_the_old_password_had_begun(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hung, lan = await office.browser("hung"), await office.browser("lan")
        password = (await hung.post("/accounts/lan/password")).body["password"]
        assert (await lan.get("/api/v1/me")).status == 401
        assert (await lan.sign_in("lan")).status == 401
        assert (await lan.sign_in("lan", password)).status == 200

    tell(tmp_path, story)


def test_a_closed_account_is_out_at_once_and_its_name_stays(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        mai, lan = await office.browser("mai"), await office.browser("lan")
        assert (await mai.post("/accounts/lan", {"is_active": False})).status == 200
        assert (await lan.get("/api/v1/me")).status == 401
        assert (await lan.sign_in("lan")).status == 401
        listed = {
            line["user"]: line for line in (await mai.get("/api/v1/accounts")).body["accounts"]
        }
        assert listed["lan"]["is_active"] is False
        assert (await mai.post("/accounts/lan", {"is_active": True})).status == 200
        assert (await lan.sign_in("lan")).status == 200

    tell(tmp_path, story)


def test_a_new_role_counts_from_the_next_sign_in(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hung, lan = await office.browser("hung"), await office.browser("lan")
        assert (await hung.post("/accounts/lan", {"role": "interpreter"})).status == 200
        assert (await lan.get("/api/v1/me")).status == 401
        await lan.sign_in("lan")
        assert (await lan.get("/api/v1/cases")).status == 403
        assert (await lan.get("/")).headers["Location"] == "/account"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("who", "path", "body", "code"),
    [
        ("mai", "/accounts/mai", {"role": "commune_chair"}, "account_own"),
        ("mai", "/accounts/mai", {"is_active": False}, "account_own"),
        ("mai", "/accounts/lan", {"role": "commune_chair"}, "role_not_yours"),
        ("mai", "/accounts/hung", {"is_active": False}, "role_not_yours"),
        ("mai", "/accounts/hung/password", {}, "role_not_yours"),
        ("mai", "/accounts/tam", {"role": "verifier"}, "role_not_yours"),
        ("mai", "/accounts/ky/password", {}, "role_not_yours"),
        ("hung", "/accounts/lan", {"role": "provincial_chair"}, "role_not_yours"),
        ("hung", "/accounts/nobody", {"is_active": False}, "account_unknown"),
        ("ky", "/accounts/lan/password", {}, "not_permitted"),
        ("lan", "/accounts/mai", {"is_active": False}, "not_permitted"),
        ("tam", "/accounts/lan", {"role": "auditor"}, "not_permitted"),
    ],
)
def test_nobody_reaches_beyond_the_own_right(
    tmp_path: Path, who: str, path: str, body: dict[str, Any], code: str
) -> None:
    async def story(office: OpenOffice) -> None:
        before = await office.rows("SELECT * FROM account")
        browser = await office.browser(who)
        assert (await browser.post(path, body)).code == code
        assert await office.rows("SELECT * FROM account") == before

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("user", "code"), [("lan", "account_exists"), ("Đào", "account_name_unfit")]
)
def test_an_account_name_is_new_and_can_be_typed(tmp_path: Path, user: str, code: str) -> None:
    async def story(office: OpenOffice) -> None:
        hung = await office.browser("hung")
        reply = await hung.post("/accounts", {"user": user, "name": "X", "role": "verifier"})
        assert reply.code == code

    tell(tmp_path, story)


def test_the_last_one_in_charge_stays_even_for_the_technician(tmp_path: Path) -> None:
    db = open_database(tmp_path / "staff.db", (migrations,))
    phc = hash_password(NEW, bytes(16))
    for user, role in (("hung", Role.COMMUNE_CHAIR), ("lan", Role.RECEPTION_OFFICER)):
        add_account(db, MACHINE, user=user, name=user, role=role, phc=phc, now_ms=NOW_MS)
    for change in ({"is_active": False}, {"role": Role.VERIFIER}):
        with pytest.raises(AccountError) as caught:
            change_account(db, MACHINE, "hung", **change)
        assert caught.value.code == "account_last"
    change_account(db, CHAIR, "lan", role=Role.RECEPTION_LEAD)
    change_account(db, MACHINE, "hung", is_active=False)
    with pytest.raises(AccountError):
        change_account(db, MACHINE, "lan", is_active=False)
    db.close()


def test_a_one_time_password_ends(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hung, xuan = await office.browser("hung"), await office.browser()
        password = (await made(hung))["password"]
        later = NOW_MS - ONE_TIME_MS_MAX
        db = office.node.accounts.db
        await office.node.write(
            lambda _: db.execute("UPDATE account SET once_until_ms = ? WHERE user='xuan'", (later,))
        )
        reply = await xuan.sign_in("xuan", password)
        assert (reply.status, reply.code) == (401, "one_time_password_old")

    tell(tmp_path, story)


def test_a_reset_forgets_which_browsers_were_known(tmp_path: Path) -> None:
    db = open_database(tmp_path / "staff.db", (migrations,))
    add_account(db, MACHINE, user="lan", name="Lan", role=Role.VERIFIER, phc="x", now_ms=NOW_MS)
    db.execute("INSERT INTO known_browser VALUES ('lan', x'01')")
    reset_password(db, CHAIR, "lan", "y", NOW_MS)
    assert db.execute("SELECT count(*) FROM known_browser").fetchone()[0] == 0
    account = find_account(db, "lan")
    assert account is not None
    assert (account.password, account.once_until_ms) == ("y", NOW_MS + ONE_TIME_MS_MAX)
    with pytest.raises(AccountError):
        reset_password(db, replace(CHAIR, user="lan"), "lan", "z", NOW_MS)
    db.close()


def test_one_time_passwords_are_long_and_can_be_read_from_paper() -> None:
    made = {one_time_password(bytes([seed]) * 32) for seed in range(100)}
    assert len(made) == 100
    assert all(len(text) == 19 and text.count("-") == 3 for text in made)
    assert not set("".join(made)) & set("01ilo")


def test_the_own_sessions_are_listed_and_the_others_end(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tablet, mai = [await office.browser(user) for user in ("lan", "lan", "mai")]
        found = (await lan.get("/api/v1/me/sessions")).body["sessions"]
        assert [line["is_this"] for line in found].count(True) == 1
        assert len(found) == 2
        assert "phiên này" in (await lan.get("/account")).text
        assert (await lan.post("/me/sessions/end")).body == {"ended": 1}
        assert (await tablet.get("/api/v1/me")).status == 401
        assert (await lan.get("/api/v1/me")).status == 200
        assert (await mai.get("/api/v1/me")).status == 200

    tell(tmp_path, story)


def test_signing_in_needs_no_other_node_however_long_the_line_is_down(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        # Ninety days go by: sessions end, accounts do not.
        lan = await office.browser("lan")
        clock = office.node.clock
        later = clock.now_ms() + 90 * 86_400_000
        office.node.clock = type("Later", (type(clock),), {"now_ms": lambda _: later})()
        assert SIGN_IN_AGE_MS_MAX < 90 * 86_400_000
        assert (await lan.get("/api/v1/me")).status == 401
        assert (await lan.sign_in("lan")).status == 200
        assert (await lan.get("/api/v1/cases")).status == 200

    tell(tmp_path, story)
