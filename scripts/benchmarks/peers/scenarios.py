"""What is measured: a first copy, a batch of edits, an edit alone, a reconnect without changes.

Bytes are those of whole IP packets, both directions, counted where they enter the line: headers,
handshakes and acknowledgements are in. Counting begins just before the order is given and ends when
the far end has everything, the line has been silent for a while and both programs idle. What a
system sends without being asked meanwhile (pings) counts too.

- First copy: the near end holds the cases, the far end nothing; from the order to connect. The
  seconds end when the far end can read all of them; for tiepdan, whose near end is told, when the
  province has also signed for them and the commune knows it.
- Batch: edits of one field each, of different cases, made in one go on the open link.
- Alone: one such edit on the open link once that is silent.
- Reconnect: both ends hold the same cases and met before, in the same processes; the link is
  closed, then from the order to connect. automerge-repo, which takes so many bytes for each
  document, is asked with 2,000 of them at most: with ten thousand, loading them takes many minutes.

Where the systems differ, the peers are favoured: they run without TLS and without knowing who is at
the other end, automerge-repo writes nothing to the disk, PouchDB replicates upwards only. tiepdan
runs with TLS and certificates of both ends, signs, and gets the countersignature.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scripts.benchmarks.measure import Progress
from scripts.benchmarks.peers.casebook import Case, Edit, make_cases, make_edits, write_cases
from scripts.benchmarks.peers.processes import Ends, System, uninterrupted
from scripts.lab.lab import Lab, open_lab

# Longer than any pause inside an exchange: acknowledgements of TCP are delayed up to 0.2 s, changes
# are gathered for 0.1 s by tiepdan and by automerge-repo.
_QUIET_S: Final = 0.4
_LOOK_EVERY_S: Final = 0.05
# A program that uses less of a processor than this waits for nothing but time.
_IDLE_SHARE: Final = 0.1
_DAY_MS: Final = 86_400_000
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        runs: how often the whole is repeated, with other values each time.
        lone_edits: in each run; an odd number.
        held_cases: that both ends hold at a reconnect.
    """

    runs: int
    cases: int = 1_000
    batch_edits: int = 100
    lone_edits: int
    held_cases: int


FULL: Final = Size(runs=3, lone_edits=7, held_cases=26_000)
QUICK: Final = Size(runs=1, lone_edits=3, held_cases=2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one system took; one number for each run, of lone edits one for each edit.

    Attributes:
        first_copy_bytes: a case.
        first_copy_s: for all cases, from the order to connect until all have arrived.
        batch_bytes: an edit.
    """

    first_copy_bytes: list[float]
    first_copy_s: list[float]
    batch_bytes: list[float]
    lone_bytes: list[float]
    reconnect_bytes: list[float]


def measure(system: System, size: Size, progress: Progress, now_ms: int) -> Outcome:
    """Return what a system takes for everything.

    Args:
        system: which.
        size: how much.
        progress: is told.
        now_ms: wall clock; the cases are of the time before.

    Raises:
        RuntimeError: a program failed, or the far end does not hold what was written.
        LabError: there can be no lab here.
    """
    outcome = Outcome(
        first_copy_bytes=[], first_copy_s=[], batch_bytes=[], lone_bytes=[], reconnect_bytes=[]
    )
    for run in range(size.runs):
        progress.show(f"{system.name}: copying and editing, run {run + 1} of {size.runs}")
        with temporary_folder() as name:
            _copy_and_edit(system, size, Path(name), run, outcome, now_ms)
    held = held_cases(system, size)
    progress.show(f"{system.name}: reconnecting with {held:,} cases")
    with temporary_folder() as name:
        outcome.reconnect_bytes.extend(_reconnect(system, held, size.runs, Path(name), now_ms))
    return outcome


def held_cases(system: System, size: Size) -> int:
    """Return how many cases both ends of a system hold at a reconnect."""
    return size.held_cases if system.held_max is None else min(size.held_cases, system.held_max)


def temporary_folder() -> TemporaryDirectory[str]:
    """Return a folder that vanishes after its block."""
    # By convention on a disk, where the usual folder for such things may be in memory.
    place = Path("/var/tmp")
    return TemporaryDirectory(prefix="tiepdan-bench-", dir=place if place.is_dir() else None)


def _copy_and_edit(
    system: System, size: Size, folder: Path, run: int, outcome: Outcome, now_ms: int
) -> None:
    yesterday_ms = now_ms - _DAY_MS
    cases = make_cases(run, size.cases, yesterday_ms)
    write_cases(folder / "cases", cases)
    times_ms = [
        yesterday_ms + _DAY_MS * (number + 1) // (size.batch_edits + 1)
        for number in range(size.batch_edits)
    ]
    batch = make_edits(run + 1_000, cases, times_ms)
    rest = [case for case in cases if case.id not in {edit.id for edit in batch}]
    alone = make_edits(run + 2_000, rest, [now_ms] * size.lone_edits)
    with open_ends(system, folder, is_shared=False) as (lab, ends):
        copied_s, copied_bytes = _copy(lab, ends, cases)
        outcome.first_copy_s.append(copied_s)
        outcome.first_copy_bytes.append(copied_bytes / len(cases))
        outcome.batch_bytes.append(_edit(lab, ends, batch) / len(batch))
        outcome.lone_bytes.extend(_edit(lab, ends, [edit]) for edit in alone)
        _check(system, ends, cases, [*batch, *alone])


def _reconnect(system: System, held: int, runs: int, folder: Path, now_ms: int) -> list[int]:
    cases = make_cases(0, held, now_ms - _DAY_MS)
    write_cases(folder / "cases", cases)
    with open_ends(system, folder, is_shared=True) as (lab, ends):
        ends.near.ask("connect")
        settle(lab, ends)
        taken = []
        for _ in range(runs):
            ends.near.ask("disconnect")
            settle(lab, ends)
            before = lab.traffic().bytes
            ends.near.ask("connect")
            settle(lab, ends)
            taken.append(lab.traffic().bytes - before)
    return taken


@contextmanager
def open_ends(
    system: System, folder: Path, *, is_shared: bool, seed: int = 1
) -> Iterator[tuple[Lab, Ends]]:
    """Run a system at both ends of an unshaped line, with the cases of the folder."""
    with ExitStack() as stack:
        with uninterrupted():
            lab = stack.enter_context(open_lab(seed=seed))
        for host in (lab.near, lab.far):
            # Else the kernel now and then asks for a router, which nobody here needs.
            host.run(["ip", "-6", "address", "flush", "dev", "line0"])
        ends = system.start(lab, folder, folder / "cases", is_shared=is_shared)
        yield lab, ends


def _copy(lab: Lab, ends: Ends, cases: Sequence[Case]) -> tuple[float, int]:
    """Connect for the first time; return seconds and bytes."""
    expected = [
        Edit(id=case.id, at_ms=case.at_ms, field="summary", value=case.fields["summary"])
        for case in cases
    ]
    ends.witness.ask("expect", [asdict(edit) for edit in expected])
    before, started_s = lab.traffic().bytes, time.monotonic()
    ends.near.ask("connect")
    ends.witness.ask("arrived")
    took_s = time.monotonic() - started_s
    settle(lab, ends)
    return took_s, lab.traffic().bytes - before


def _edit(lab: Lab, ends: Ends, edits: Sequence[Edit]) -> int:
    """Make edits together on the open, idle link; return bytes."""
    orders = [asdict(edit) for edit in edits]
    ends.witness.ask("expect", orders)
    before = lab.traffic().bytes
    ends.near.ask("edit", orders)
    ends.witness.ask("arrived")
    settle(lab, ends)
    return lab.traffic().bytes - before


def _check(system: System, ends: Ends, cases: Sequence[Case], edits: Sequence[Edit]) -> None:
    """Compare what the far end holds with what was written.

    Raises:
        RuntimeError: they differ.
    """
    wanted = {case.id: dict(case.fields) for case in cases}
    for edit in edits:
        wanted[edit.id][edit.field] = edit.value
    if ends.contents() != wanted:
        raise RuntimeError(f"{system.name}: the far end does not hold what was written")


def settle(lab: Lab, ends: Ends) -> None:
    """Wait until nothing crosses the line and no program computes."""
    state, since_s = _state(lab, ends), time.monotonic()
    while True:
        time.sleep(_LOOK_EVERY_S)
        seen, now_s = _state(lab, ends), time.monotonic()
        is_busy = seen[1] - state[1] > max(_QUIET_S, now_s - since_s) * _IDLE_SHARE
        if seen[0] != state[0] or is_busy:
            state, since_s = seen, now_s
        elif now_s - since_s >= _QUIET_S:
            return


def _state(lab: Lab, ends: Ends) -> tuple[int, float]:
    """Return bytes on the line so far and processor seconds of all programs."""
    traffic = lab.traffic()
    return traffic.bytes, sum(cpu_s(pid) for pid in ends.pids)


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    # After the name in brackets, which may hold spaces; user and system time are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
