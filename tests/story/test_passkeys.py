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


def open_page(browser: Browser, *, is_verified: bool = True) -> tuple[Page, CDPSession, str]:
    """Open a page on a device that holds passkeys, and shows a finger by itself or never."""
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
    }
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


@pytest.mark.serial
def test_by_an_address_no_passkey_is_offered(tmp_path: Path) -> None:
    with commune(tmp_path) as url, chromium() as browser:
        page, _, _ = open_page(browser)
        page.goto(url.replace("localhost", "127.0.0.1") + "/sign-in")
        expect(page.locator("#sign-in")).to_be_visible()
        expect(page.locator("#passkey")).to_be_hidden()
