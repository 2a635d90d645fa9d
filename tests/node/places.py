"""Nodes for tests: enrolled folders, and nodes that run in this process over real TLS."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from crypto.certificates import chain_from_pem
from node.app import Node
from node.clock import Clock
from node.config import Config, read_config, write_config
from node.folder import init_folder, install_chain, sign_request
from node.link import Downlink
from node.registration import RegisteredVisit, register_visit
from node.requests import PersonEntry, PetitionEntry, RegisterVisit
from node.station import open_station
from node.websocket import PATH
from schemas.codes import CaseType, IdentityType, Tier
from sync.replica import Author

DAY_MS = 24 * 3_600 * 1_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_centre(folder: Path, at_ms: int | None = None) -> None:
    """Make a centre that listens for provinces on any free port, now or at a time."""
    init_folder(
        folder,
        tier=Tier.CENTRE,
        code="0",
        name="Trung ương",
        config=Config(web_port=0, sync_host="127.0.0.1", sync_port=0),
        now_ms=at_ms or Clock().now_ms(),
    )


def make_below(
    folder: Path,
    parent: Path,
    *,
    tier: Tier,
    code: str,
    name: str,
    signed_at_ms: int | None = None,
    days: int = 365,
) -> None:
    """Make a node and enrol it at its parent, as files on a stick."""
    listens = tier is Tier.PROVINCE
    request = init_folder(
        folder,
        tier=tier,
        code=code,
        name=name,
        config=Config(
            web_port=0, sync_host="127.0.0.1" if listens else "", sync_port=0, parent="127.0.0.1:1"
        ),
        now_ms=Clock().now_ms(),
    )
    assert request is not None
    at_ms = Clock().now_ms() if signed_at_ms is None else signed_at_ms
    *chain, root = chain_from_pem(
        sign_request(parent, request.read_bytes(), at_ms, days, again=True)
    )
    install_chain(folder, chain, root)


def make_province(folder: Path, centre: Path, at_ms: int | None = None) -> None:
    """Make the province Nghệ An, now or at a time."""
    make_below(folder, centre, tier=Tier.PROVINCE, code="40", name="Nghệ An", signed_at_ms=at_ms)


def make_commune(folder: Path, province: Path, code: str = "40.17083") -> None:
    """Make a commune of Nghệ An."""
    make_below(folder, province, tier=Tier.COMMUNE, code=code, name=f"Xã {code}")


def set_parent(folder: Path, port: int) -> None:
    """Point a node at its parent."""
    write_config(folder, replace(read_config(folder), parent=f"127.0.0.1:{port}"))


class Running:
    """A node at work, without its pages.

    Attributes:
        port: where children dial, 0 if nobody can.
    """

    def __init__(self, node: Node, port: int) -> None:
        """Hold a started node."""
        self.node = node
        self.port = port
        self.station = node._station

    async def register(self, title: str) -> RegisteredVisit:
        """Register a visit with one person and one complaint."""
        return await self.node.write(
            lambda now_ms: register_visit(self.station.desk, self.officer(), visit(title), now_ms)
        )

    def officer(self) -> Author:
        """Return a reception officer at the node itself."""
        return Author(
            user="lan",
            name="Nguyễn Thị Lan",
            role="reception_officer",
            device=self.station.replica.device,
        )

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        row = await self.node.read(
            lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone()
        )
        return int(row[0])

    async def wait_for(self, condition: Callable[["Running"], bool], timeout_s: float = 20) -> None:
        """Wait until a condition on this node holds."""
        async with asyncio.timeout(timeout_s):
            seen = 0
            while not condition(self):
                seen = await self.node.changes.wait(seen, 0.2)

    async def wait_for_rows(self, table: str, count: int, timeout_s: float = 20) -> None:
        """Wait until a table has at least so many rows."""
        async with asyncio.timeout(timeout_s):
            seen = 0
            while await self.count(table) < count:
                seen = await self.node.changes.wait(seen, 0.2)

    def link_code(self) -> str:
        """Return the stable code of why the link is down, or empty."""
        error = self.node.link.last_error
        return error[0] if error else ""


def visit(title: str) -> RegisterVisit:
    """Return a form with one invented person and one complaint."""
    today = Clock().today()
    return RegisterVisit(
        held_on=today,
        people=(
            PersonEntry(
                full_name="Vi Văn Khăm",
                birth_year=1971,
                address="Bản Xốp Tụ",
                identity_type=IdentityType.CITIZEN_CARD,
                identity_number="040071000123",
                identity_checked=True,
            ),
        ),
        petitions=(
            PetitionEntry(case_type=CaseType.COMPLAINT, title=title, content="Đất rẫy bị thu hồi."),
        ),
        statement="Ông trình bày về thửa đất.",
        statement_recorded=True,
        readback="fingerprint",
    )


@asynccontextmanager
async def running(folder: Path, *, renews: bool = False) -> AsyncIterator[Running]:
    """Run a node's links for the length of a block, and have its certificate renewed if asked."""
    rng = random.Random(1)
    node = Node(open_station(folder, rng), Clock(), rng)
    listener = None
    port = 0
    downlink = Downlink(node._station.folder, node, node.clock)
    node.showing.append(downlink.show_anew)
    if node.config.sync_host:
        listener = await downlink.listen()
        port = listener.port
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(downlink.run())]
            if node.uplink:
                tasks.append(group.create_task(node.uplink.run()))
            if renews:
                tasks.append(group.create_task(node.renewal.run()))
            try:
                yield Running(node, port)
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        if listener is not None:
            await listener.close()
        await node.close()


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Listen in a parent's place and let a handler answer whoever dials; yields the port."""
    app = web.Application()
    app.router.add_get(PATH, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
