"""Goal: in a real browser a person adds a passkey and signs in with it, without typing a password.

Method: Debian's Chromium with its virtual authenticator (DevTools protocol) at a commune's node, by
the name localhost.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.browser import chromium
from tests.story.processes import PASSWORD, NodeProcess, add_account


@contextmanager
def commune(folder: Path) -> Iterator[str]:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    add_account(folder / "commune", "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    node = NodeProcess(folder / "commune")
    node.start()
    try:
        asyncio.run(node.wait_until_up())
        yield f"http://localhost:{node.web_port}"
    finally:
        node.kill()


# Of whom the browser is unlocked, or nothing.
_OPEN_FOR = "async () => (await (await import('/static/safe.js')).current())?.user || ''"

_PASSKEYS_HERE = """async () => {
  const { readOf } = await import('/static/keep.js');
  return (await readOf('boxes', 'lan')).map((box) => box.passkeys.length);
}"""


def open_page(
    browser: Browser, *, is_verified: bool = True, derives: bool = False
) -> tuple[Page, CDPSession, str]:
    """Open a page on a device that holds passkeys, and shows a finger by itself or never.

    Passkeys of one that derives (WebAuthn's extension "prf") can open what the browser keeps.
    """
    page = browser.new_context(viewport={"width": 1000, "height": 900}, locale="vi").new_page()
    page.set_default_timeout(20_000)
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": is_verified,
        "automaticPresenceSimulation": True,
    } | ({"ctap2Version": "ctap2_1", "hasPrf": True} if derives else {})
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return page, session, str(made["authenticatorId"])


@pytest.mark.serial
def test_a_person_adds_a_passkey_and_signs_in_with_it(tmp_path: Path) -> None:
    with commune(tmp_path) as url, chromium() as browser:
        page, session, device = open_page(browser)
        page.goto(f"{url}/sign-in")
        page.fill("input[name=user]", "lan")
        page.fill("input[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{url}/")
        page.goto(f"{url}/account")
        page.click("[data-add-passkey]")
        page.fill("dialog [name=name]", "Máy ở quầy")
        page.fill("dialog [name=password]", "sai mật khẩu")
        page.click("dialog button.main")
        expect(page.locator("dialog [role=alert], dialog .fielderror").first).to_be_visible()
        # The device holds what the node refused; the next one takes its place.
        session.send("WebAuthn.clearCredentials", {"authenticatorId": device})
        page.fill("dialog [name=password]", PASSWORD)
        page.click("dialog button.main")
        expect(page.locator("[data-passkey] strong")).to_have_text("Máy ở quầy")
        # The page loads again to show it; its buttons answer once it has.
        page.wait_for_load_state("load")
        page.click("[data-sign-out]")
        page.wait_for_url(f"{url}/sign-in")
        page.click("#passkey")
        page.wait_for_url(f"{url}/")
        expect(page.locator(".who a").first).to_have_text("Nguyễn Thị Lan")
        session.send(
            "WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False}
        )
        page.click("[data-sign-out]")
        page.wait_for_url(f"{url}/sign-in")
        page.click("#passkey")
        expect(page.locator("#passkey")).to_be_enabled()
        assert page.url == f"{url}/sign-in"
        page.fill("input[name=user]", "lan")
        page.fill("input[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{url}/")


def sign_in_with_password(page: Page, url: str) -> None:
    page.goto(f"{url}/sign-in")
    page.fill("input[name=user]", "lan")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")


def add_passkey(page: Page, url: str) -> None:
    page.goto(f"{url}/account")
    page.click("[data-add-passkey]")
    page.fill("dialog [name=name]", "Máy ở quầy")
    page.fill("dialog [name=password]", PASSWORD)
    page.click("dialog button.main")
    expect(page.locator("[data-passkey]")).to_have_count(1)
    page.wait_for_load_state("load")


def sign_in_again_with_passkey(page: Page, url: str) -> None:
    page.click("[data-sign-out]")
    page.wait_for_url(f"{url}/sign-in")
    assert page.evaluate(_OPEN_FOR) == ""
    page.click("#passkey")
    page.wait_for_url(f"{url}/")


@pytest.mark.serial
def test_a_passkey_that_derives_a_key_opens_what_the_browser_keeps_and_tells_the_node_nothing(
    tmp_path: Path,
) -> None:
    with commune(tmp_path) as url, chromium() as browser:
        page, _, _ = open_page(browser, derives=True)
        told: list[str] = []
        page.on("request", lambda request: told.append(request.post_data or ""))
        sign_in_with_password(page, url)
        add_passkey(page, url)
        sign_in_again_with_passkey(page, url)
        assert page.evaluate(_OPEN_FOR) == "lan"
        page.goto(f"{url}/visits/new")
        page.locator("#visit[data-ready]").wait_for()
        expect(page.locator("#outbox")).to_be_hidden()
        answers = [body for body in told if "clientDataJSON" in body]
        assert len(answers) == 2
        assert not any("prf" in body for body in answers)
        page.goto(f"{url}/account")
        page.click("[data-passkey] [data-drop]")
        expect(page.locator("[data-passkey]")).to_have_count(0)
        assert page.evaluate(_PASSKEYS_HERE) == [0]


@pytest.mark.serial
def test_after_a_passkey_that_derives_none_the_page_says_what_is_locked_and_the_password_opens_it(
    tmp_path: Path,
) -> None:
    with commune(tmp_path) as url, chromium() as browser:
        page, _, _ = open_page(browser)
        sign_in_with_password(page, url)
        add_passkey(page, url)
        sign_in_again_with_passkey(page, url)
        assert page.evaluate(_OPEN_FOR) == ""
        page.goto(f"{url}/visits/new")
        page.locator("#visit[data-ready]").wait_for()
        outbox = page.locator("#outbox")
        expect(outbox).to_contain_text("Nơi giữ tạm trên thiết bị này đang khóa")
        expect(outbox.locator("[name=password]")).to_be_in_viewport()
        outbox.locator("[name=password]").fill("không phải mật khẩu")
        page.keyboard.press("Enter")
        expect(outbox.locator(".wrong")).to_be_visible()
        outbox.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(outbox).to_be_hidden()
        assert page.evaluate(_OPEN_FOR) == "lan"


@pytest.mark.serial
def test_a_password_that_this_browser_does_not_know_yet_is_checked_by_the_node(
    tmp_path: Path,
) -> None:
    with commune(tmp_path) as url, chromium() as browser:
        page, _, _ = open_page(browser)
        sign_in_with_password(page, url)
        add_passkey(page, url)
        page.evaluate(
            "async () => (await import('/static/keep.js')).transact(['boxes', 'settings'],"
            " (all) => { all.objectStore('boxes').clear(); all.objectStore('settings').clear(); })"
        )
        page.goto(f"{url}/visits/new")
        page.locator("#visit[data-ready]").wait_for()
        outbox = page.locator("#outbox")
        outbox.locator("[name=password]").fill("không phải mật khẩu")
        page.keyboard.press("Enter")
        expect(outbox.locator(".wrong")).to_be_visible()
        outbox.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(outbox).to_be_hidden()
        assert page.evaluate(_OPEN_FOR) == "lan"
        page.locator("#people [name=full_name]").fill("Lầu Bá Tủa")
        expect(page.locator("#saved")).to_contain_text("Đã lưu nháp")


@pytest.mark.serial
def test_by_an_address_no_passkey_is_offered(tmp_path: Path) -> None:
    with commune(tmp_path) as url, chromium() as browser:
        page, _, _ = open_page(browser)
        page.goto(url.replace("localhost", "127.0.0.1") + "/sign-in")
        expect(page.locator("#sign-in")).to_be_visible()
        expect(page.locator("#passkey")).to_be_hidden()
