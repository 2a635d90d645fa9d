"""Goal: a passkey signs in its owner at this node's own page, once per challenge, and nobody else.

Method: a real commune, asked under the name localhost by a software authenticator that answers as
it should, and then wrongly in one way at a time. The real browser is in tests/story.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.accounts import AccountError
from node.passkeys import CHALLENGE_MS_MAX, NONCE_BYTES, Challenges, site_of
from tests.web.authenticator import Authenticator, blob, text
from tests.web.offices import PASSWORD, Browser, OpenOffice, Reply, tell

NOW_MS = 1_795_000_000_000
HOST = {"Host": "localhost:8080"}
ORIGIN = "http://localhost:8080"


async def options(browser: Browser, path: str) -> dict[str, Any]:
    reply = await browser.ask("GET", f"/api/v1{path}", headers=HOST)
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.body["options"]
    return found


async def enrol(browser: Browser, device: Authenticator, password: str = PASSWORD) -> Reply:
    made = device.make(await options(browser, "/me/passkeys/options"))
    body = {"name": "Máy ở quầy", "password": password, "credential": made}
    return await browser.ask("POST", "/api/v1/me/passkeys", body, HOST)


async def sign_in(browser: Browser, credential: dict[str, Any]) -> Reply:
    body = {"credential": credential}
    reply = await browser.ask("POST", "/api/v1/sign-in/passkey", body, HOST)
    if reply.status == 200:
        browser.csrf = reply.body["csrf"]
    return reply


def test_a_passkey_signs_in_its_owner_and_the_password_goes_on_working(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tablet = await office.browser("lan"), await office.browser()
        device = Authenticator("localhost", ORIGIN)
        assert (await enrol(lan, device)).status == 200
        asked = await options(tablet, "/sign-in/passkey")
        assert asked["userVerification"] == "required"
        assert (await sign_in(tablet, device.answer(asked))).body["user"] == "lan"
        assert (await tablet.get("/api/v1/cases")).status == 200
        assert (await (await office.browser()).sign_in("lan")).status == 200
        rows = await office.rows("SELECT action FROM audit WHERE action LIKE '%passkey%'")
        assert [row[0] for row in rows] == ["account.passkey_add", "account.passkey_sign_in"]

    tell(tmp_path, story)


def _wrong_origin(device: Authenticator) -> None:
    device.origin = "http://localhost:9"


def _wrong_site(device: Authenticator) -> None:
    device.site = "evil.local"


def _nobody_verified(device: Authenticator) -> None:
    device.is_verified = False


def _cloned(device: Authenticator) -> None:
    device.uses = -1


def _unknown(device: Authenticator) -> None:
    device.id = b"another"


def _other_key(device: Authenticator) -> None:
    device.key = Authenticator("", "").key


@pytest.mark.parametrize(
    "spoil", [_wrong_origin, _wrong_site, _nobody_verified, _cloned, _unknown, _other_key]
)
def test_a_wrong_answer_signs_nobody_in_and_all_refusals_look_the_same(
    tmp_path: Path, spoil: Callable[[Authenticator], None]
) -> None:
    async def story(office: OpenOffice) -> None:
        lan, thief = await office.browser("lan"), await office.browser()
        device = Authenticator("localhost", ORIGIN, uses=3)
        assert (await enrol(lan, device)).status == 200
        spoil(device)
        reply = await sign_in(thief, device.answer(await options(thief, "/sign-in/passkey")))
        assert (reply.status, reply.code) == (401, "passkey_refused")
        assert reply.body["message"] == "Khóa đăng nhập không được chấp nhận."
        assert (await thief.get("/api/v1/me")).status == 401

    tell(tmp_path, story)


def test_an_answer_counts_once(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, thief = await office.browser("lan"), await office.browser()
        device = Authenticator("localhost", ORIGIN)
        await enrol(lan, device)
        answer = device.answer(await options(thief, "/sign-in/passkey"))
        assert (await sign_in(thief, answer)).status == 200
        assert (await sign_in(await office.browser(), answer)).code == "passkey_refused"

    tell(tmp_path, story)


def test_a_challenge_for_adding_is_none_for_signing_in(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        device = Authenticator("localhost", ORIGIN)
        await enrol(lan, device)
        answer = device.answer(await options(lan, "/me/passkeys/options"))
        assert (await sign_in(await office.browser(), answer)).code == "passkey_refused"

    tell(tmp_path, story)


def test_adding_needs_the_password_and_guessing_it_is_slowed_down(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        device = Authenticator("localhost", ORIGIN)
        replies = [await enrol(lan, device, "sai mật khẩu") for _ in range(6)]
        assert [reply.code for reply in replies[:5]] == ["password_wrong"] * 5
        assert replies[5].code == "sign_in_throttled"
        assert await office.rows("SELECT count(*) FROM passkey") == [(0,)]

    tell(tmp_path, story)


def test_a_passkey_ends_with_its_removal_a_reset_and_a_closed_account(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        hung = await office.browser("hung")
        for user, end in (("lan", "removed"), ("mai", "reset"), ("tam", "closed")):
            owner, other = await office.browser(user), await office.browser()
            device = Authenticator("localhost", ORIGIN, id=user.encode())
            passkey = (await enrol(owner, device)).body["passkeys"][0]["id"]
            if end == "removed":
                thief = await office.browser("ky")
                path = f"/api/v1/me/passkeys/{passkey}"
                assert (await thief.ask("DELETE", path)).code == "passkey_unknown"
                assert (await owner.ask("DELETE", path)).status == 200
            elif end == "reset":
                assert (await hung.post(f"/accounts/{user}/password")).status == 200
            else:
                await hung.post(f"/accounts/{user}", {"is_active": False})
            answer = device.answer(await options(other, "/sign-in/passkey"))
            assert (await sign_in(other, answer)).code == "passkey_refused", end

    tell(tmp_path, story)


def test_an_address_has_no_passkeys(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        nobody = await office.browser()
        assert (await nobody.get("/api/v1/sign-in/passkey")).code == "passkey_needs_name"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"response": None},
        {"rawId": 3, "response": {"clientDataJSON": "x"}},
        {"response": {"clientDataJSON": text(b'{"type": 1}')}},
        {"response": {"clientDataJSON": text(b"[]")}},
    ],
)
def test_nonsense_is_refused(tmp_path: Path, credential: dict[str, Any]) -> None:
    async def story(office: OpenOffice) -> None:
        assert (await sign_in(await office.browser(), credential)).code == "passkey_refused"

    tell(tmp_path, story)


def test_challenges_are_ours_young_and_for_one_purpose() -> None:
    ours, foreign = Challenges(b"a"), Challenges(b"b")
    made = ours.make("sign in", bytes(NONCE_BYTES), NOW_MS)
    for taken, purpose, at_ms in (
        (foreign, "sign in", NOW_MS),
        (ours, "add lan", NOW_MS),
        (ours, "sign in", NOW_MS + CHALLENGE_MS_MAX + 1),
        (ours, "sign in", NOW_MS - 1),
    ):
        with pytest.raises(AccountError):
            taken.take(purpose, made, at_ms)
    for wrong in (b"", made[:-1], made + b"x", bytes(len(made))):
        with pytest.raises(AccountError):
            ours.take("sign in", wrong, NOW_MS)
    ours.take("sign in", made, NOW_MS + CHALLENGE_MS_MAX)
    with pytest.raises(AccountError):
        ours.take("sign in", made, NOW_MS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.168.1.7"])
def test_a_site_is_a_name(host: str) -> None:
    with pytest.raises(AccountError):
        site_of("http", host, host)
    found = site_of("https", "MuongXen.local", "MuongXen.local:8443")
    assert (found.name, found.origin) == ("muongxen.local", "https://muongxen.local:8443")
    assert blob(text(b"ab")) == b"ab"
