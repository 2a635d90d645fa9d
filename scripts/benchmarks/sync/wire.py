"""Bytes of IP packets, both ways, over a line as fast as the machine: TLS, TCP and IP are in.

Counting ends when the line has been silent for a while and no node computes.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from scripts.benchmarks.measure import Progress
from scripts.benchmarks.peers.casebook import Case, make_cases, make_edits
from scripts.benchmarks.sync.sizes import Size
from scripts.benchmarks.sync.stage import Stage, open_stage

_DAY_MS: Final = 86_400_000
_EDITS: Final = 100
# One keepalive a minute from either side; longer, so that one is surely in.
KEEPALIVE_S: Final = 65.0
_WITHIN: Final = ("known", {"within_s": 600.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Bytes, one number for each repetition.

    Attributes:
        first_copy: of a province without cases, a case.
        batch: one-field edits of different cases in one transaction, an edit.
        lone: one status change, acknowledged and countersigned by the province.
        lone_centre: what the centre's countersignature adds.
        idle_new: a new connection with a resumed session, nothing changed.
        keepalive: an open connection for the time of one keepalive.
    """

    first_copy: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    lone: list[float] = field(default_factory=list)
    lone_centre: list[float] = field(default_factory=list)
    idle_new: list[float] = field(default_factory=list)
    keepalive: list[float] = field(default_factory=list)


def measure_wire(size: Size, seed: int, progress: Progress, now_ms: int) -> Wire:
    """Return what everything takes, with as many cases as the least that are held.

    Args:
        size: how much.
        seed: of the cases and edits.
        progress: is told.
        now_ms: wall clock.
    """
    wire, lone = Wire(), size.lone
    for run in range(size.wire_runs):
        progress.show("counting bytes on the line", run, size.wire_runs)
        cases = make_cases(seed + run, size.held[0], now_ms - _DAY_MS)
        with open_stage(cases) as stage:
            taken = stage.taken(("connect", None), _WITHIN)
            wire.first_copy.append(taken / len(cases))
            wire.batch.append(edit(stage, cases, seed + run, now_ms) / edits_of(cases))
            stage.taken(("open", 2 * lone), _WITHIN)
            with_centre = [stage.taken(("act", None), _WITHIN) for _ in range(lone)]
            for _ in range(size.idle_new):
                stage.taken(("disconnect", None))
                wire.idle_new.append(stage.taken(("connect", None), ("up", 10.0)))
            if size.keepalive and not run:
                wire.keepalive.append(_keepalive(stage))
            stage = _without_centre(stage)
            alone = [stage.taken(("act", None), _WITHIN) for _ in range(lone)]
            wire.lone.extend(alone)
            wire.lone_centre.extend(
                whole - part for whole, part in zip(sorted(with_centre), sorted(alone), strict=True)
            )
    return wire


def edit(stage: Stage, cases: Sequence[Case], seed: int, now_ms: int) -> int:
    """Edit a field each of 100 cases, or of all if fewer, in one transaction; return bytes."""
    edits = make_edits(seed, cases, [now_ms] * edits_of(cases))
    return stage.taken(("edit", [asdict(made) for made in edits]), _WITHIN)


def edits_of(cases: Sequence[Case]) -> int:
    """Return how many edits are made of so many cases."""
    return min(_EDITS, len(cases))


def _keepalive(stage: Stage) -> int:
    before = stage.lab.traffic().bytes
    time.sleep(KEEPALIVE_S)
    return stage.lab.traffic().bytes - before


def _without_centre(stage: Stage) -> Stage:
    """Stop the centre; the province goes on."""
    ends = stage.ends
    assert ends.centre is not None
    ends.near.others = tuple(other for other in ends.near.others if other is not ends.centre)
    ends.centre.stop()
    others = tuple(pid for pid in ends.pids if pid != ends.centre.pid)
    stage = replace(stage, ends=replace(ends, pids=others, centre=None))
    stage.settle()
    return stage
