"""Bytes of IP packets, both ways, over a line as fast as the machine: TLS, TCP and IP are in.

Counting ends when the line has been silent for a while and no node computes.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from scripts.benchmarks.measure import Progress
from scripts.benchmarks.peers.casebook import Case, make_cases, make_edits
from scripts.benchmarks.sync.stage import FREE, Stage, open_stage
from scripts.lab.line import Shape

_DAY_MS: Final = 86_400_000
_EDITS: Final = 100
# One keepalive a minute from either side; longer, so that one is surely in.
KEEPALIVE_S: Final = 65.0
_CUT_S: Final = 1.0
# Until the connection is being made again.
_GAP_S: Final = 1.2
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


def measure_wire(progress: Progress, now_ms: int, *, runs: int, lone: int, keepalive: bool) -> Wire:
    """Return what everything takes, with 1,000 cases.

    Args:
        progress: is told.
        now_ms: wall clock.
        runs: repetitions of the whole, each with other cases.
        lone: status changes in each run.
        keepalive: wait for one.
    """
    wire = Wire()
    for run in range(runs):
        progress.show("counting bytes on the line", run, runs)
        cases = make_cases(run, 1_000, now_ms - _DAY_MS)
        with open_stage(cases) as stage:
            taken = stage.taken(("connect", None), _WITHIN)
            wire.first_copy.append(taken / len(cases))
            wire.batch.append(edit(stage, cases, run, now_ms) / _EDITS)
            stage.taken(("open", 2 * lone), _WITHIN)
            with_centre = [stage.taken(("act", None), _WITHIN) for _ in range(lone)]
            for _ in range(3):
                stage.taken(("disconnect", None))
                wire.idle_new.append(stage.taken(("connect", None), ("up", 10.0)))
            if keepalive and not run:
                wire.keepalive.append(_keepalive(stage))
            stage = _without_centre(stage)
            alone = [stage.taken(("act", None), _WITHIN) for _ in range(lone)]
            wire.lone.extend(alone)
            wire.lone_centre.extend(
                whole - part for whole, part in zip(sorted(with_centre), sorted(alone), strict=True)
            )
    return wire


def edit(stage: Stage, cases: Sequence[Case], seed: int, now_ms: int) -> int:
    """Edit a field each of 100 cases in one transaction; return bytes."""
    edits = make_edits(seed, cases, [now_ms] * _EDITS)
    return stage.taken(("edit", [asdict(made) for made in edits]), _WITHIN)


def _keepalive(stage: Stage) -> int:
    before = stage.lab.traffic().bytes
    time.sleep(KEEPALIVE_S)
    return stage.lab.traffic().bytes - before


def _without_centre(stage: Stage) -> Stage:
    """Stop the centre; the province goes on."""
    ends = stage.ends
    assert ends.centre is not None
    ends.centre.stop()
    others = tuple(pid for pid in ends.pids if pid != ends.centre.pid)
    stage = replace(stage, ends=replace(ends, pids=others, centre=None))
    stage.settle()
    return stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """A first copy in many short contacts.

    Attributes:
        bytes: of all contacts.
        contacts: how many it took.
        again_bytes: of frames that were handed to the link a second time.
        edit_bytes: what 100 edits took afterwards.
    """

    bytes: int
    contacts: int
    again_bytes: int
    edit_bytes: int


def measure_contacts(
    progress: Progress, now_ms: int, *, cases: int, shape: Shape, contact_s: float, within_s: float
) -> Contacts:
    """Return what a first copy takes over a line that is cut again and again.

    Args:
        progress: is told.
        now_ms: wall clock.
        cases: that the commune holds.
        shape: of the line.
        contact_s: from cut to cut; the line is mended after a second.
        within_s: gives up afterwards.

    Raises:
        RuntimeError: it was not done in time.
    """
    made = make_cases(0, cases, now_ms - _DAY_MS)
    with open_stage(made) as stage:
        stage.lab.shape(shape)
        before, contacts, until_s = stage.lab.traffic().bytes, 0, time.monotonic() + within_s
        stage.ask("connect")
        while True:
            contacts += 1
            progress.show(f"copying {cases:,} cases, contact {contacts}")
            stage.lab.schedule([(contact_s, contact_s + _CUT_S)])
            order = {"within_s": contact_s + _GAP_S, "broken": (contact_s, _CUT_S)}
            if stage.ask("known", order) is not None:
                break
            if time.monotonic() > until_s:
                raise RuntimeError(f"{cases:,} cases were not copied within {within_s:.0f} s")
        # The next cut, planned for a contact that was not needed, must not come.
        stage.lab.schedule([])
        stage.settle()
        taken = stage.lab.traffic().bytes - before
        stage.lab.shape(FREE)
        return Contacts(
            bytes=taken,
            contacts=contacts,
            again_bytes=stage.ask("sent")[1],
            edit_bytes=edit(stage, made, 1, now_ms),
        )
