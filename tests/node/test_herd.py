"""Goal: many children at once get in one after the other, and a bad one keeps no other out.

Method: a real province and real communes over TLS on loopback; bounds are lowered so that a few
communes are a herd.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiohttp import web

from node.folder import open_folder
from node.tls import client_context, server_context
from node.websocket import PATH
from schemas.codes import Tier
from tests.node.places import (
    Running,
    make_centre,
    make_commune,
    make_province,
    running,
    serving,
    set_parent,
)

_HERD: Final = 6


def _places(folder: Path, communes: int) -> tuple[Path, list[Path]]:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    made = [folder / f"commune-{number}" for number in range(communes)]
    for number, place in enumerate(made):
        make_commune(place, folder / "province", f"40.{17_000 + number}")
    return folder / "province", made


def _is_countersigned(at: Running) -> bool:
    row = at.station.replica.store.db.execute(
        "SELECT l.size, (SELECT max(c.size) FROM cosignature c WHERE c.log = l.number"
        " AND c.tier = ?) FROM log l WHERE l.source IS NULL AND l.purpose = 'up'",
        (Tier.PROVINCE.value,),
    ).fetchone()
    return row is not None and row[0] == row[1]


@asynccontextmanager
async def _dialled(folder: Path, port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a link with a node's own keys and say nothing."""
    context = client_context(open_folder(folder))
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"wss://127.0.0.1:{port}{PATH}", ssl=context) as socket,
    ):
        yield socket


def test_after_an_outage_all_get_in_at_the_times_they_were_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.slots.STARTING_MAX", 1)
    monkeypatch.setattr("node.slots.FIRST_GUESS_S", 0.5)
    province_at, communes_at = _places(tmp_path, _HERD)
    told: list[str] = []

    async def story() -> None:
        async with running(province_at) as province, AsyncExitStack() as stack:
            communes = []
            for place in communes_at:
                set_parent(place, province.port)
                commune = await stack.enter_async_context(running(place))
                await commune.node.set_link_cut(True)
                await commune.register("Khi mất mạng")
                communes.append(commune)

            async def come_back(commune: Running) -> None:
                await commune.node.set_link_cut(False)

                def has_arrived(at: Running) -> bool:
                    if at.link_code() == "parent_busy" and at.node.link.state == "down":
                        told.append(at.link_code())
                    return _is_countersigned(at)

                await commune.wait_for(has_arrived)

            async with asyncio.TaskGroup() as group:
                for commune in communes:
                    group.create_task(come_back(commune))
            assert await province.count("cases") == _HERD

    asyncio.run(story())
    assert told, "somebody had to wait"


def test_a_child_that_is_told_to_wait_says_when_and_comes_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.slots.DIALS_AT_ONCE", 2)
    province_at, [commune_at] = _places(tmp_path, 1)

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                for _ in range(3):
                    await commune.wait_for(
                        lambda at: at.node.link.state == "up" or at.link_code() == "parent_busy"
                    )
                    if commune.link_code() == "parent_busy":
                        break
                    await commune.node.set_link_cut(True)
                    await commune.node.set_link_cut(False)
                else:
                    await commune.wait_for(lambda at: at.link_code() == "parent_busy")
                retry_at_ms = commune.node.link.retry_at_ms
                assert retry_at_ms is not None
                assert 0 <= retry_at_ms - commune.node.clock.now_ms() <= 3_000
                await commune.register("Đến lượt")
                await commune.wait_for(_is_countersigned)
                assert commune.node.link.last_error is None

    asyncio.run(story())


def test_a_new_link_of_a_child_takes_the_place_of_its_earlier_one(tmp_path: Path) -> None:
    province_at, [commune_at] = _places(tmp_path, 1)

    async def story() -> None:
        async with running(province_at) as province:
            async with _dialled(commune_at, province.port) as first:
                assert (await first.receive()).type is aiohttp.WSMsgType.BINARY, "its greeting"
                async with _dialled(commune_at, province.port) as second:
                    assert (await second.receive()).type is aiohttp.WSMsgType.BINARY
                    async with asyncio.timeout(5):
                        while (await first.receive()).type is aiohttp.WSMsgType.BINARY:
                            continue
                    assert not second.closed
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                await commune.register("Sau đó")
                await commune.wait_for(_is_countersigned)

    asyncio.run(story())


def test_links_on_which_nothing_is_said_keep_no_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.slots.STARTING_MAX", 2)
    monkeypatch.setattr("node.slots.START_S", 0.5)
    province_at, communes_at = _places(tmp_path, 4)

    async def story() -> None:
        async with running(province_at) as province, AsyncExitStack() as stack:
            for mute in communes_at[:2]:
                await stack.enter_async_context(_dialled(mute, province.port))
            for place in communes_at[2:]:
                set_parent(place, province.port)
                commune = await stack.enter_async_context(running(place))
                await commune.register("Việc bình thường")
                await commune.wait_for(_is_countersigned)

    asyncio.run(story())


@pytest.mark.parametrize(
    "named", ["", "soon", "-1", "1" * 30, "0.5", "Wed, 21 Oct 2026 07:28:00 GMT"]
)
def test_a_parent_that_names_no_time_is_dialled_again_like_one_that_is_away(
    tmp_path: Path, named: str
) -> None:
    province_at, [commune_at] = _places(tmp_path, 1)

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": named})

    async def story() -> None:
        async with serving(refuse, server_context(open_folder(province_at))) as port:
            set_parent(commune_at, port)
            async with running(commune_at) as commune:
                await commune.wait_for(lambda at: at.link_code() == "link_unreachable")

    asyncio.run(story())
