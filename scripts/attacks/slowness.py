"""Many who connect and say nothing, or letter by letter: others must be served meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from node.callers import CALLERS_MAX
from scripts.attacks.report import Report
from scripts.attacks.world import OFFICER, Line, World

_SLOW: Final = CALLERS_MAX + 80
_BODIES: Final = 40
_ANSWER_S_MAX: Final = 5.0
# Until an end shows: a letter has to be refused first.
_HEARD_S: Final = 5.0
# The node gives a stranger's body 30 s.
_BODY_S_MAX: Final = 45.0
_HEAD: Final = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
_POST: Final = (
    b"POST /api/v1/sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


async def attack(world: World, report: Report) -> None:
    """Hold slow connections at each port, and look that an officer is served."""
    ports = {
        "the pages": (world.commune.web_port, _HEAD),
        "the pages on the LAN": (world.lan_port, b"\x16\x03\x01"),
        "the port for children": (world.province.sync_port, b"\x16\x03\x01"),
    }
    for said, (port, first) in ports.items():
        await _heads(world, report, said, port, first)
    left_s = max(_HEARD_S, world.slow_since_s + _BODY_S_MAX - time.monotonic())
    ended = await _ended(world.slow_bodies, left_s, _BODIES)
    report.tried(
        "bodies that do not come", f"{ended} of {_BODIES} had to go", refused=ended == _BODIES
    )


@asynccontextmanager
async def slow_bodies(world: World) -> AsyncIterator[None]:
    """Hold sign-ins of which one sign came, while all else is tried."""
    async with lines(world.commune.web_port, _BODIES, _POST) as held:
        world.slow_bodies, world.slow_since_s = held, time.monotonic()
        yield


async def _heads(world: World, report: Report, said: str, port: int, first: bytes) -> None:
    async with lines(port, _SLOW, first) as held:
        await _served(world, report, f"{_SLOW} slow callers at {said}")
        wanted = _SLOW - CALLERS_MAX
        ended = await _ended(held, _HEARD_S, wanted)
        report.tried(
            f"more than {CALLERS_MAX} slow callers at {said}",
            f"{ended} had to go",
            refused=ended >= wanted,
        )


async def _served(world: World, report: Report, beside: str) -> None:
    began = time.monotonic()
    async with world.signed_in(OFFICER) as officer:
        reply = await officer.ask("GET", "/api/v1/today")
    took_s = time.monotonic() - began
    report.tried(
        f"{beside} keep an officer waiting",
        f"{reply.status} after {took_s:.1f} s",
        refused=reply.status == 200 and took_s < _ANSWER_S_MAX,
    )


@asynccontextmanager
async def lines(port: int, count: int, first: bytes) -> AsyncIterator[list[Line]]:
    """Hold connections on each of which something was said."""
    held: list[Line] = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            held.append((reader, writer))
        yield held
    finally:
        for _, writer in held:
            writer.transport.abort()


async def _ended(held: list[Line], wait_s: float, enough: int) -> int:
    """Send a letter a second on each, and return how many were ended by the node."""
    ends = time.monotonic() + wait_s
    while True:
        ended = sum(reader.at_eof() or writer.is_closing() for reader, writer in held)
        if ended >= enough or time.monotonic() > ends:
            return ended
        for reader, writer in held:
            if not writer.is_closing() and not reader.at_eof():
                writer.write(b"a")
        await asyncio.sleep(0.5)
