"""A node on a LAN of two hosts, and the people at their browsers: the technician and a tablet."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

from node.config import read_config, write_config
from schemas.codes import Role
from scripts.lab.ethernet import open_ethernet
from scripts.lab.lab import ROOT, Host
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import PASSWORD, add_account

NAME = "tiepdan-40-17083.local"
PORT = 8444
URL = f"https://{NAME}:{PORT}"
LOCAL = "http://127.0.0.1:8080"
_WAIT_MS = 30_000
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class World:
    """Everything on the LAN.

    Attributes:
        outside: the host with the tablet.
        node: the host with the node.
        folder: for files of the test.
    """

    def __init__(self, folder: Path, outside: Host, node: Host, playwright: Playwright) -> None:
        self.folder = folder
        self.outside = outside
        self.node = node
        self._playwright = playwright
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Serve the node and wait until it answers on the LAN."""
        self._process = self.node.start(
            [sys.executable, "-m", "tests.lan.node_with_a_clock", str(self.data)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{URL}\n"

    def stop(self) -> None:
        """Stop the node as the service manager does."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(timeout=20) == 0

    @property
    def data(self) -> Path:
        """The node's data folder."""
        return self.folder / "commune"

    def pass_five_minutes(self) -> None:
        """Let codes expire."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def browser(self, host: Host, profile: str, *flags: str) -> Browser:
        """Start a browser on a host, with a home folder of its own."""
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        assert program is not None, "chromium is missing; scripts/test installs it"
        home = self.folder / profile
        home.mkdir(exist_ok=True)
        start = self.folder / f"{profile}.sh"
        start.write_text(f'#!/bin/sh\nexec {" ".join(host.command([program]))} "$@"\n')
        start.chmod(0o700)
        return self._playwright.chromium.launch(
            executable_path=str(start),
            args=[*_FLAGS, *flags],
            env={**os.environ, "HOME": str(home)},
        )

    def page(self, browser: Browser) -> Page:
        """Open a fresh window."""
        page = browser.new_context(viewport={"width": 1100, "height": 900}, locale="vi").new_page()
        page.set_default_timeout(_WAIT_MS)
        return page

    def technician(self, browser: Browser) -> Page:
        """Sign the technician in at the node itself, and open the devices."""
        page = self.page(browser)
        page.goto(f"{LOCAL}/sign-in?next=/devices")
        sign_in(page, "ky")
        return page

    def trust_site(self, profile: str, certificate: Path) -> None:
        """Install a CA in a browser's home, as a person does with a file that was compared."""
        store = self.folder / profile / ".pki" / "nssdb"
        store.mkdir(parents=True)
        for command in (
            ["-N", "--empty-password"],
            ["-A", "-t", "C,,", "-n", "site", "-i", str(certificate)],
        ):
            subprocess.run(["certutil", "-d", f"sql:{store}", *command], check=True)

    def program(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start `tiepdan` on the other host."""
        return self.outside.start(
            [sys.executable, "-m", "node.cli", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


def sign_in(page: Page, user: str) -> None:
    """Sign in at the page that is open."""
    page.fill("input[name=user]", user)
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url)


@contextmanager
def open_world(folder: Path, playwright: Playwright) -> Iterator[World]:
    """Make the LAN and serve a commune's node on it."""
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    commune = folder / "commune"
    add_account(commune, "ky", "Vi Văn Kỹ", Role.NODE_ADMIN)
    add_account(commune, "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    with open_ethernet() as (outside, node):
        config = replace(
            read_config(commune), parent="", web_port=8080, lan_host=node.address, lan_port=PORT
        )
        write_config(commune, config)
        world = World(folder, outside, node, playwright)
        world.start()
        yield world
        world.stop()
