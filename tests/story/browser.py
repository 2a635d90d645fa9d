"""Debian's Chromium, driven by Playwright, as the people at the desks use it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from tests.story.processes import PASSWORD, NodeProcess

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser that scripts/test installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "chromium is missing; scripts/test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def signed_in(browser: Browser, node: NodeProcess, user: str) -> Page:
    """Open a fresh browser window and sign in with the keyboard."""
    page = browser.new_context(viewport={"width": 1000, "height": 800}, locale="vi").new_page()
    page.set_default_timeout(20_000)
    page.goto(f"{node.url}/sign-in")
    page.fill("input[name=user]", user)
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)
    return page
