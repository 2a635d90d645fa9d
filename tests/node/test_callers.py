"""Goal: whoever opens handshakes and leaves them lying keeps nobody else out.

Method: hypothesis lets callers of some places come and go; then a real province, strangers and
communes on loopback, where every address of 127/8 is a place.
"""

import asyncio
import socket
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.callers import Callers
from node.dtls import Dialling
from node.folder import open_folder
from node.tls import client_context
from tests.node.places import (
    Running,
    make_centre,
    make_commune,
    make_province,
    running,
    set_parent,
)
from tests.node.test_datagram_nodes import by_datagrams

_FEW: Final = 8


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.callers.CALLERS_MAX", _FEW)


def _places(folder: Path) -> tuple[Path, Path]:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    return folder / "province", folder / "commune"


@pytest.mark.usefixtures("_few")
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=80))
def test_there_are_never_more_than_the_bound_and_only_the_place_with_most_loses(
    steps: list[tuple[int, bool]],
) -> None:
    callers, here = Callers[int](), dict[int, int]()
    for number, (place, ends) in enumerate(steps):
        if ends and here:
            callers.end(next(iter(here)))
            del here[next(iter(here))]
        here[number] = place
        leaving = callers.admit(number, (f"10.0.0.{place}", 1))
        if leaving is not None:
            counts = Counter(here.values())
            assert counts[here[leaving]] == max(counts.values())
            assert leaving == next(n for n in here if here[n] == here[leaving]), "the oldest"
            del here[leaving]
        assert len(callers) == len(here) <= _FEW


@pytest.mark.usefixtures("_few")
def test_a_network_of_ipv6_is_one_place_and_ipv4_within_it_is_many() -> None:
    callers = Callers[str]()
    assert callers.admit("other", ("2001:db8:1::1", 1, 0, 0)) is None
    for number in range(_FEW - 1):
        assert callers.admit(f"one {number}", (f"2001:db8:2::{number}", 1, 0, 0)) is None
    assert callers.admit("one more", ("2001:db8:2::99", 1, 0, 0)) == "one 0"
    mapped = Callers[str]()
    for number in range(_FEW):
        assert mapped.admit(f"{number}", (f"::ffff:10.0.0.{number}", 1, 0, 0)) is None
    assert mapped.admit("again", ("::ffff:10.0.0.7", 1, 0, 0)) == "7"


def _has_arrived(at: Running) -> bool:
    return at.node.link.state == "up"


@pytest.mark.usefixtures("_few")
def test_strangers_who_connect_and_say_nothing_keep_no_commune_out(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            strangers = []
            for _ in range(3 * _FEW):
                stranger = socket.socket()
                stranger.bind(("127.0.0.9", 0))
                stranger.connect(("127.0.0.1", province.port))
                stranger.setblocking(False)
                strangers.append(stranger)
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                await commune.wait_for(_has_arrived)
                await commune.register("Đòi đất")
                await province.wait_for_rows("cases", 1)
            gone = 0
            for stranger in strangers:
                try:
                    gone += stranger.recv(1) == b""
                except BlockingIOError:
                    continue
                finally:
                    stranger.close()
            assert gone >= 2 * _FEW, "the oldest had to go"

    asyncio.run(story())


@pytest.mark.usefixtures("_few")
def test_strangers_who_begin_datagrams_and_go_no_further_keep_no_commune_out(
    tmp_path: Path,
) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            dialling = Dialling(open_folder(commune_at))
            strangers = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2 * _FEW)]
            loop = asyncio.get_running_loop()
            for stranger in strangers:
                stranger.bind(("127.0.0.9", 0))
                stranger.connect(("127.0.0.1", province.port))
                stranger.setblocking(False)
                secured = dialling.dial()
                stranger.send(secured.begin()[0])
                # The cookie comes back: the address is a true one.
                _, answers = secured.receive(await loop.sock_recv(stranger, 2_000))
                for answer in answers:
                    stranger.send(answer)
                assert await loop.sock_recv(stranger, 2_000), "the certificates"
            set_parent(commune_at, province.port)
            async with by_datagrams(commune_at) as commune:
                await commune.wait_for(_has_arrived)
                await commune.register("Đòi đất")
                await province.wait_for_rows("cases", 1)
            for stranger in strangers:
                stranger.close()

    asyncio.run(story())


def test_all_communes_of_a_province_may_shake_hands_at_once_from_one_address(
    tmp_path: Path,
) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            context = client_context(open_folder(commune_at))

            async def shake() -> None:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", province.port, ssl=context, ssl_handshake_timeout=60
                )
                writer.close()

            async with asyncio.TaskGroup() as group:
                for _ in range(130):
                    group.create_task(shake())

    asyncio.run(story())
