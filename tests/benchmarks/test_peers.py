"""Goal: `scripts/bench peers` compares with the better peer, and says how sure it is.

Method: figures made here instead of measured; that the programs run is seen by running the command.
"""

from typing import Any

from scripts.benchmarks.peers.scenarios import FULL, Outcome
from scripts.benchmarks.peers.table import AIMS, figures, table

HELD = {f"{name}_reconnect_cases": 2_000 for name in ("automerge_repo", "pouchdb", "tiepdan")}


def outcome(times: float) -> Outcome:
    return Outcome(
        first_copy_bytes=[900.0 * times, 1_000.0 * times, 1_200.0 * times],
        first_copy_s=[1.0 * times, 2.0 * times, 3.0 * times],
        batch_bytes=[100.0 * times] * 3,
        lone_bytes=[500.0 * times] * 21,
        reconnect_bytes=[2_000.0 * times] * 3,
    )


def compared() -> dict[str, Any]:
    outcomes = {"automerge_repo": outcome(4), "pouchdb": outcome(9), "tiepdan": outcome(1)}
    return figures(FULL, outcomes)


def test_every_ratio_is_to_the_better_peer_and_has_its_spread() -> None:
    found = compared()
    for name in AIMS:
        assert found[name] == 4
        spread = found["spread"][name]
        assert spread["min"] == spread["median"] == spread["max"] == 4
    assert found["spread"]["ratio_lone_bytes"]["n"] == 21
    assert found["spread"]["ratio_batch_bytes"]["n"] == 3


def test_the_table_marks_what_is_met_and_missed() -> None:
    lines = table(compared() | HELD).splitlines()
    assert [line.split()[-1] for line in lines[1:6]] == ["met", "MISSED", "MISSED", "met", "met"]
    assert "1,000.0 (900.0-1,200.0)" in lines[3]
