"""Goal: over a real bad line the link finds the way that gets through, and loses nothing on it.

Method: commune, province and centre as the benchmarks run them, in network namespaces, over an
emulated line of 64 kbit/s and 600 ms.
"""

import time
from dataclasses import replace

import pytest

from scripts.benchmarks.sync.stage import FREE, Stage, open_stage
from scripts.benchmarks.sync.transfers import compare, slow

pytestmark = pytest.mark.serial

_KNOWN = {"within_s": 120.0}


def _wait_for_way(stage: Stage, way: str, within_s: float = 120.0) -> None:
    until_s = time.monotonic() + within_s
    while not (stage.ask("up", 1.0) and stage.ask("way")[0] == way):
        assert time.monotonic() < until_s, stage.ask("way")
        time.sleep(0.2)


def test_a_line_that_loses_packets_is_crossed_by_datagrams_and_one_without_udp_by_tcp() -> None:
    with open_stage() as stage:
        stage.lab.shape(FREE)
        stage.ask("connect")
        _wait_for_way(stage, "websocket")
        # TCP drowns: the link moves while changes are on their way.
        stage.lab.shape(slow(0.2))
        stage.ask("change", {"seed": 1_000, "count": 250})
        _wait_for_way(stage, "datagrams")
        assert stage.ask("way")[1] in ("losses", "unreachable")
        assert stage.ask("known", _KNOWN) is not None
        # A cut in the middle of a transfer by datagrams.
        stage.ask("change", {"seed": 2_000, "count": 250})
        stage.lab.schedule([(1.0, 2.0)])
        assert stage.ask("known", _KNOWN) is not None
        # A firewall that lets no UDP through.
        stage.lab.shape(replace(FREE, blocks_udp=True))
        stage.ask("change", {"seed": 3_000, "count": 100})
        _wait_for_way(stage, "websocket")
        assert stage.ask("known", _KNOWN) is not None
        assert stage.ask("way") == ["websocket", "broken"]
        assert compare(stage) == (0, 0)
