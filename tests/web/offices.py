"""A real node with its pages, in this process, and browsers that talk to it."""

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import CookieJar, FormData
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from multidict import CIMultiDictProxy

from node.app import Node
from node.clock import Clock
from node.config import read_config, write_config
from node.entropy import system_entropy
from node.station import open_station
from node.web.api_repo import CONNECTIONS
from node.web.server import build_web
from schemas.codes import Role
from schemas.ids import document_text, mint_document_id
from tests.node.places import make_centre, make_commune, make_province

PASSWORD = "mật khẩu để thử"
STAFF = {
    "lan": ("Nguyễn Thị Lan", Role.RECEPTION_OFFICER),
    "mai": ("Lê Thị Mai", Role.RECEPTION_LEAD),
    "hung": ("Trần Văn Hùng", Role.COMMUNE_CHAIR),
    "tam": ("Lô Văn Tám", Role.AUDITOR),
    "ky": ("Vi Văn Kỹ", Role.NODE_ADMIN),
}
PROVINCE_STAFF = {
    "binh": ("Phạm Văn Bình", Role.PROVINCIAL_RECEPTION_BOARD),
    "kha": ("Hồ Thị Kha", Role.NODE_ADMIN),
    "sang": ("Võ Văn Sáng", Role.AUDITOR),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the node answered."""

    status: int
    headers: CIMultiDictProxy[str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found

    @property
    def code(self) -> str:
        return str(self.body["code"])


class Browser:
    """One browser with its cookies."""

    def __init__(self, server: TestServer) -> None:
        self._client: TestClient[Any, Any] = TestClient(server, cookie_jar=CookieJar(unsafe=True))
        self.csrf = ""

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | FormData | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask for an address of the node; a mapping is sent as JSON, with the CSRF token."""
        async with self._client.request(
            method,
            path,
            json=body if isinstance(body, Mapping) else None,
            data=body if isinstance(body, FormData) else None,
            headers={"X-CSRF-Token": self.csrf, **(headers or {})},
            allow_redirects=False,
        ) as answer:
            return Reply(status=answer.status, headers=answer.headers, content=await answer.read())

    async def send(self, path: str, content: bytes, kind: str) -> Reply:
        """Send bytes that need not be what they say."""
        headers = {"X-CSRF-Token": self.csrf, "Content-Type": kind}
        async with self._client.post(path, data=content, headers=headers) as answer:
            return Reply(status=answer.status, headers=answer.headers, content=await answer.read())

    async def get(self, path: str) -> Reply:
        """Read something."""
        return await self.ask("GET", path)

    async def post(self, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Reply:
        """Change something through the API."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.ask("POST", f"/api/v1{path}", body or {}, headers)

    async def sign_in(self, user: str, password: str = PASSWORD) -> Reply:
        """Sign in and keep the token."""
        reply = await self.post("/sign-in", {"user": user, "password": password})
        if reply.status == 200:
            self.csrf = reply.body["csrf"]
        return reply

    async def upload(self, document: str, content: bytes, name: str = "scan.pdf") -> Reply:
        """Attach a file to a document."""
        form = FormData()
        # aiohttp warns about large bytes, which would block the loop while they are sent.
        form.add_field("file", io.BytesIO(content), filename=name, content_type="application/pdf")
        return await self.ask("POST", f"/api/v1/documents/{document}/attachments", form)

    def cookies(self) -> str:
        """Return the cookies as a header says them."""
        return "; ".join(f"{c.key}={c.value}" for c in self._client.session.cookie_jar)

    async def close(self) -> None:
        """Close the browser, not the server."""
        await self._client.session.close()


class OpenOffice:
    """A running node and its address."""

    def __init__(self, node: Node, server: TestServer) -> None:
        self.node = node
        self._server = server
        self._browsers: list[Browser] = []

    @property
    def app(self) -> Application:
        """What the server serves."""
        return self._server.app

    async def browser(self, user: str = "") -> Browser:
        """Open a browser, signed in if a user is named."""
        browser = Browser(self._server)
        self._browsers.append(browser)
        if user:
            reply = await browser.sign_in(user)
            assert reply.status == 200, reply.text
        return browser

    async def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return rows of the node's database."""
        return await self.node.read(
            lambda db: [tuple(row) for row in db.execute(sql, parameters).fetchall()]
        )

    async def until(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of the node's database once there are any."""
        async with asyncio.timeout(30):
            while True:
                seen = self.node.changes.number
                if rows := await self.rows(sql, *parameters):
                    return rows
                await self.node.changes.wait(seen, 0.2)

    def address(self, scheme: str = "http") -> str:
        """Return where the node can be reached."""
        return f"{scheme}://{self._server.host}:{self._server.port}"

    @property
    def pages(self) -> Application:
        """What is served at the node itself."""
        return self._server.app

    def cut_programs(self) -> None:
        """Cut the connections of all programs that speak automerge-repo."""
        for task in [*self._server.app[CONNECTIONS]]:
            task.cancel()

    async def close(self) -> None:
        """Close all browsers."""
        for browser in self._browsers:
            await browser.close()


@asynccontextmanager
async def open_office(
    folder: Path, tier: str = "commune", prepare: Callable[[Path], None] | None = None
) -> AsyncIterator[OpenOffice]:
    """Run a commune or a province with its staff for the length of a block; nothing is dialled.

    Before it starts, `prepare` may fill the folders.
    """
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    staff: Mapping[str, tuple[str, Role]] = STAFF
    if tier == "commune":
        make_commune(folder / "commune", folder / "province")
    else:
        staff = PROVINCE_STAFF
    if prepare is not None:
        prepare(folder)
    place = folder / tier
    write_config(place, replace(read_config(place), parent="", is_demo=True))
    rng = random.Random(1)
    node = Node(open_station(place, rng), Clock(), rng)
    server = TestServer(build_web(node))
    office = OpenOffice(node, server)
    try:
        await node.write(lambda _: _hire(node, staff))
        await server.start_server()
        assert server.runner is not None
        assert server.runner.server is not None
        # As a node serves: a page that goes away cancels no handler.
        server.runner.server.handler_cancellation = False
        async with asyncio.TaskGroup() as group:
            packing = group.create_task(node.packs.run())
            try:
                yield office
            finally:
                packing.cancel()
    finally:
        await office.close()
        await server.close()
        await node.close()


def _hire(node: Node, staff: Mapping[str, tuple[str, Role]]) -> None:
    for user, (name, role) in staff.items():
        node.accounts.put(
            user=user, name=name, role=role, password=PASSWORD, salt=system_entropy(16)
        )


def mint(seed: int) -> str:
    """Return a document id, the same for the same seed."""
    return document_text(mint_document_id(1_790_000_000_000, random.Random(seed)))


def visit_form(
    titles: Sequence[str] = ("Đất rẫy bị thu hồi",), **changes: object
) -> dict[str, Any]:
    """Return a visit as the page sends it, with one person and one complaint for each title."""
    form: dict[str, Any] = {
        "held_on": Clock().today().isoformat(),
        "people": [
            {
                "full_name": "Vi Thị Mơ",
                "birth_year": 1962,
                "address": "bản Hòa Sơn",
                "identity_type": "cccd",
                "identity_number": "040162001234",
                "identity_checked": True,
            }
        ],
        "petitions": [
            {"case_type": "khieu_nai", "title": title, "content": f"Nội dung: {title}."}
            for title in titles
        ],
        "statement_recorded": True,
        "readback": "signature",
    }
    return form | changes


def denunciation_form(**changes: object) -> dict[str, Any]:
    """Return a denunciation as the page sends it."""
    petition = {
        "case_type": "to_cao",
        "written": True,
        "identity_mode": "named",
        "envelope_number": "PB-07/2026",
        "sealed_ref": "TC-7F3K",
    }
    return {"held_on": Clock().today().isoformat(), "petitions": [petition | changes]}


def tell(
    folder: Path, story: Callable[[OpenOffice], Awaitable[None]], tier: str = "commune"
) -> None:
    """Run a story in an office of its own."""

    async def run() -> None:
        async with open_office(folder, tier) as office:
            await story(office)

    asyncio.run(run())


async def register(lan: Browser, titles: Sequence[str] = ("Đất rẫy",)) -> dict[str, Any]:
    """Register a visit with one complaint for each title, and return the ids."""
    reply = await lan.post("/visits", visit_form(titles))
    assert reply.status == 200, reply.text
    return reply.body
