"""Nodes as processes of their own, and a client that talks to them as the pages do."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from node.accounts import Accounts
from node.config import read_config, write_config
from node.entropy import system_entropy, system_rng
from node.station import opened_station
from schemas.codes import Role

PASSWORD = "mật khẩu để thử"
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def add_account(folder: Path, user: str, name: str, role: Role, password: str = PASSWORD) -> None:
    """Add an account to a node that is not running, or give it another password."""
    with opened_station(folder, system_rng()) as station:
        accounts = Accounts(station.connection)
        with station.replica.transaction():
            accounts.put(
                user=user, name=name, role=role, password=password, salt=system_entropy(16)
            )


class NodeProcess:
    """One node, started, killed and started again on the same ports."""

    def __init__(self, folder: Path, *, parent_port: int = 0) -> None:
        """Choose ports; nothing starts yet."""
        self.folder = folder
        self.web_port = free_port()
        self.sync_port = free_port()
        config = read_config(folder)
        parent = f"127.0.0.1:{parent_port}" if parent_port else ""
        write_config(
            folder,
            replace(
                config,
                web_port=self.web_port,
                sync_port=self.sync_port,
                parent=parent,
                is_demo=True,
            ),
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self.web_port}"

    def start(self) -> None:
        """Start the process; wait_until_up tells when it answers."""
        log = (self.folder / "node.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "node.cli", "serve", "--data", str(self.folder)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            )

    @property
    def pid(self) -> int:
        """Number of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process that was started is still there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End the process as a power cut does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """End the process as the service manager does, and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=20)

    async def wait_until_up(self, timeout_s: float = 40) -> None:
        """Wait until the pages answer."""
        async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as client:
            while True:
                try:
                    async with client.get(f"{self.url}/api/v1/health") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)


class Refused(Exception):
    """A node's answer that is not a success."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        """Keep status and body."""
        super().__init__(f"{status} {body.get('code')} {body.get('message')}")
        self.status = status
        self.code = str(body.get("code", ""))
        self.body = body


class Person:
    """Somebody at a browser: signs in, asks, and asks again when no answer came."""

    def __init__(self, node: NodeProcess, user: str) -> None:
        """Belong to a node."""
        self._node = node
        self._user = user
        self._csrf = ""
        self._client = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def close(self) -> None:
        """Close the browser."""
        await self._client.close()

    async def sign_in(self) -> None:
        """Sign in."""
        body = {"user": self._user, "password": PASSWORD}
        answer = await self.ask("POST", "/sign-in", body)
        self._csrf = answer["csrf"]

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | aiohttp.FormData | None = None,
        key: str = "",
    ) -> dict[str, Any]:
        """Ask once.

        Raises:
            Refused: the node said no.
            aiohttp.ClientError: there was no answer.
        """
        headers = {"X-CSRF-Token": self._csrf}
        if key:
            headers["Idempotency-Key"] = key
        content = body if isinstance(body, aiohttp.FormData) else None
        async with self._client.request(
            method,
            f"{self._node.url}/api/v1{path}",
            json=None if content is not None or body is None else body,
            data=content,
            headers=headers,
        ) as answer:
            text = await answer.text()
            found: dict[str, Any] = json.loads(text) if text else {}
            if answer.status >= 400:
                raise Refused(answer.status, found)
            return found

    async def insist(
        self, method: str, path: str, body: Mapping[str, Any] | bytes | None, key: str
    ) -> dict[str, Any]:
        """Ask until there is an answer, as the outbox of a page does; bytes are a file."""
        async with asyncio.timeout(60):
            while True:
                content: Mapping[str, Any] | aiohttp.FormData | None
                if isinstance(body, bytes):
                    content = aiohttp.FormData()
                    content.add_field(
                        "file", body, filename="scan.pdf", content_type="application/pdf"
                    )
                else:
                    content = body
                try:
                    return await self.ask(method, path, content, key)
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.1)
