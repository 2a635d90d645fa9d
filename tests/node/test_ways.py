"""Goal: a node that starts again dials first what was better in this network, for a while.

Method: a file in a folder and times as numbers; then a real province that is dialled on loopback.
"""

import asyncio
from pathlib import Path

import pytest

from node.clock import Clock
from node.dialling import Dialler
from node.folder import open_folder
from node.ways import WAYS_NAME, Ways
from tests.node.places import make_centre, make_commune, make_province, running, set_parent

_PARENT, _OWN, _NOW_MS, _DAY_MS = "tinh.vn:8443", "10.1.2.3", 1_790_000_000_000, 86_400_000


def test_the_better_way_of_a_network_is_remembered_for_a_week_and_not_for_others(
    tmp_path: Path,
) -> None:
    assert Ways(tmp_path).better(_PARENT, _OWN, _NOW_MS) == "websocket"
    Ways(tmp_path).keep(_PARENT, _OWN, "datagrams", _NOW_MS)
    ways = Ways(tmp_path)
    assert ways.better(_PARENT, _OWN, _NOW_MS + 6 * _DAY_MS) == "datagrams"
    assert ways.better(_PARENT, _OWN, _NOW_MS + 8 * _DAY_MS) == "websocket"
    assert ways.better(_PARENT, _OWN, _NOW_MS - 1) == "websocket", "the clock was set"
    assert ways.better(_PARENT, "192.168.1.7", _NOW_MS) == "websocket"
    assert ways.better("khac.vn:8443", _OWN, _NOW_MS) == "websocket"


def test_what_is_not_better_any_more_is_forgotten(tmp_path: Path) -> None:
    Ways(tmp_path).keep(_PARENT, _OWN, "datagrams", _NOW_MS)
    Ways(tmp_path).keep(_PARENT, "10.9.9.9", "datagrams", _NOW_MS)
    Ways(tmp_path).keep(_PARENT, _OWN, "websocket", _NOW_MS + 1)
    assert Ways(tmp_path).better(_PARENT, _OWN, _NOW_MS + 2) == "websocket"
    assert Ways(tmp_path).better(_PARENT, "10.9.9.9", _NOW_MS + 2) == "datagrams"


def test_little_is_written_and_few_networks_are_kept(tmp_path: Path) -> None:
    ways = Ways(tmp_path)
    for number in range(50):
        ways.keep(_PARENT, f"10.0.0.{number}", "datagrams", _NOW_MS)
    file = tmp_path / WAYS_NAME
    assert file.stat().st_size < 1_000
    written = file.stat().st_mtime_ns
    ways.keep(_PARENT, "10.0.0.49", "datagrams", _NOW_MS + 3_600_000)
    ways.keep(_PARENT, "10.0.0.1", "websocket", _NOW_MS + 3_600_000)
    assert file.stat().st_mtime_ns == written
    assert Ways(tmp_path).better(_PARENT, "10.0.0.49", _NOW_MS) == "datagrams"


@pytest.mark.parametrize("text", ["", "{", "7", "[7]", '[{"parent": "x"}]', "\xff", '{"a": 1}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / WAYS_NAME).write_bytes(text.encode("latin-1"))
    ways = Ways(tmp_path)
    assert ways.better(_PARENT, _OWN, _NOW_MS) == "websocket"
    ways.keep(_PARENT, _OWN, "datagrams", _NOW_MS)
    assert Ways(tmp_path).better(_PARENT, _OWN, _NOW_MS) == "datagrams"


def test_a_node_that_starts_again_dials_the_way_that_was_better(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")

    async def story() -> None:
        async with running(tmp_path / "province") as province:
            set_parent(tmp_path / "commune", province.port)
            before = Dialler(open_folder(tmp_path / "commune"), Clock())
            usual = await before.open()
            better = await before.open_other("losses")
            assert better is not None
            assert (usual.way, better.way) == ("websocket", "datagrams")
            await usual.close()
            await better.close()
            after = Dialler(open_folder(tmp_path / "commune"), Clock())
            first = await after.open()
            assert (first.way, after.choice.reason) == ("datagrams", "remembered")
            calm = await after.open_other("calm")
            assert calm is not None
            await first.close()
            await calm.close()
            last = Dialler(open_folder(tmp_path / "commune"), Clock())
            again = await last.open()
            assert (again.way, last.choice.reason) == ("websocket", "usual")
            await again.close()

    asyncio.run(story())
