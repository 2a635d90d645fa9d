"""Goal: a peer with a good certificate and bad manners costs its link, never the node.

Method: the real link over real TLS, against parents and children that do what ours would not.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from node.exchange import Exchange, Portion, Sessions
from node.folder import open_folder
from node.tls import server_context
from node.websocket import PATH
from schemas.wire import Head, Hello, Message, encode_message
from sync.blobs import BlobFiles
from sync.packets import Stream
from sync.session import Session
from tests.node.places import (
    make_centre,
    make_commune,
    make_province,
    running,
    serving,
    set_parent,
)

_ASKED = encode_message(Head(log=bytes(16), size=1, root=bytes(32), signature=bytes(64)))


def _places(folder: Path) -> tuple[Path, Path]:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    return folder / "province", folder / "commune"


async def _greet(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_bytes(encode_message(Hello(version=1, now_ms=0, offers=())))
    await socket.receive()
    return socket


async def _hang_up(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    assert request.transport is not None
    request.transport.abort()
    return socket


async def _say_text(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("xin chào")
    await socket.receive()
    return socket


def test_a_parent_that_hangs_up_at_once_or_says_text_is_dialled_again(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        for handler in (_hang_up, _say_text):
            async with serving(handler, server_context(open_folder(province_at))) as port:
                set_parent(commune_at, port)
                async with running(commune_at) as commune:
                    await commune.wait_for(lambda at: at.link_code() != "")
                    await commune.register("Đòi đất")
                    assert await commune.count("cases") >= 1

    asyncio.run(story())


def test_a_parent_that_leads_to_a_line_without_certificates_gets_nothing(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with serving(_greet, None) as plain:

            async def lead_away(_: web.Request) -> web.StreamResponse:
                raise web.HTTPFound(f"http://127.0.0.1:{plain}{PATH}")

            async with serving(lead_away, server_context(open_folder(province_at))) as port:
                set_parent(commune_at, port)
                async with running(commune_at) as commune:
                    await commune.register("Đòi đất")
                    await commune.wait_for(lambda at: at.link_code() == "certificate_missing")

    asyncio.run(story())


@pytest.mark.parametrize("parent", ["a" * 70 + ":8443", "..:8443", "xn--:8443"])
def test_a_wrong_address_of_the_parent_leaves_the_node_at_work(tmp_path: Path, parent: str) -> None:
    _, commune_at = _places(tmp_path)
    (commune_at / "node.toml").write_text(f"web_port = 0\nparent = {json.dumps(parent)}\n")

    async def story() -> None:
        async with running(commune_at) as commune:
            await commune.register("Đòi đất")
            await commune.wait_for(lambda at: at.link_code() != "")
            assert await commune.count("cases") == 1

    asyncio.run(story())


def test_a_node_stops_when_it_is_told_even_while_its_link_breaks(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with serving(_say_text, server_context(open_folder(province_at))) as port:
            set_parent(commune_at, port)
            for number in range(30):
                async with asyncio.timeout(10), running(commune_at):
                    # The link breaks within some milliseconds: sooner or later both coincide.
                    await asyncio.sleep(0.004 * number)

    asyncio.run(story())


class _Flood:
    """A peer that asks without end and fetches no answer; also the node behind the link."""

    rate_bytes_s = None

    def __init__(self) -> None:
        """Count what was asked."""
        self.asked = 0

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        self.asked += 1
        return _ASKED

    async def send_bytes(self, _: bytes, /, stream: Stream = Stream.URGENT) -> None:
        await asyncio.Event().wait()

    def has_news(self) -> bool:
        return True

    async def step(self, _: Session, take: Callable[[], Portion]) -> list[Message]:
        portion = take()
        assert portion.room_bytes or portion.messages
        return list(portion.messages)

    async def wait_for_news(self, _: Session) -> None:
        await asyncio.Event().wait()


def test_a_peer_that_asks_and_never_listens_is_not_read_any_further() -> None:
    async def story() -> None:
        flood = _Flood()
        link = Exchange(flood, cast("Session", flood), cast("Sessions", flood))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await link.run()
        assert flood.asked < 1_000

    asyncio.run(story())


def test_what_others_send_leaves_the_last_of_the_disk_to_those_who_work_here(
    tmp_path: Path,
) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            province.node.disk_reserve_bytes = 1 << 60
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                await commune.register("Đòi đất")
                await commune.wait_for(lambda at: at.link_code() == "disk_full")
                assert await province.count("cases") == 0
                await province.register("Việc của tỉnh")
                province.node.disk_reserve_bytes = 0
                await province.wait_for_rows("cases", 2)

    asyncio.run(story())


def test_files_of_others_are_fetched_where_there_is_room_and_they_are_wanted(
    tmp_path: Path,
) -> None:
    assert BlobFiles(tmp_path).may_fetch(1)
    assert BlobFiles(tmp_path, reserve_bytes=1).may_fetch(1)
    assert not BlobFiles(tmp_path, reserve_bytes=1 << 60).may_fetch(1)
    assert not BlobFiles(tmp_path, fetches=False).may_fetch(1)
