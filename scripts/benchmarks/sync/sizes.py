"""How much `bench sync` measures: at full size, quickly, or barely at all."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        name: of the size.
        stages: side by side.
        wire_runs: of the bytes of messages and on the line.
        lone: status changes, in each of those runs.
        idle_new: new connections, in each of those runs.
        keepalive: wait for one.
        runs: of a transfer without loss.
        lossy_runs: of one with loss.
        burst_runs: of one that loses packets in runs of three.
        week_runs: of one with the changes of a week.
        week_lossy_runs: of such a one with loss.
        week_changes: in it.
        overtakes: status changes beside a file, for each shape of the line.
        copied_cases: in short contacts.
        contact_s: length of these.
        held: numbers of cases that both ends hold while few are edited; of the first one is the
            first copy, too.
        held_runs: batches of edits at each of them.
        congestion_runs: for each algorithm and loss.
    """

    name: str
    stages: int
    wire_runs: int
    lone: int
    idle_new: int
    keepalive: bool
    runs: int
    lossy_runs: int
    burst_runs: int
    week_runs: int
    week_lossy_runs: int
    week_changes: int
    cuts: int
    overtakes: int
    copied_cases: int
    contact_s: float
    held: tuple[int, ...]
    held_runs: int
    communes: int
    backlog: int
    congestion_runs: int


FULL: Final = Size(
    name="full",
    stages=4,
    wire_runs=3,
    lone=11,
    idle_new=3,
    keepalive=True,
    runs=9,
    lossy_runs=20,
    burst_runs=20,
    week_runs=5,
    week_lossy_runs=20,
    week_changes=3_500,
    cuts=200,
    overtakes=20,
    copied_cases=26_000,
    contact_s=20.0,
    held=(1_000, 26_000, 1_000_000),
    held_runs=9,
    communes=130,
    backlog=200,
    congestion_runs=3,
)
QUICK: Final = Size(
    name="quick",
    stages=5,
    wire_runs=1,
    lone=2,
    idle_new=1,
    keepalive=False,
    runs=1,
    lossy_runs=1,
    burst_runs=0,
    week_runs=0,
    week_lossy_runs=1,
    week_changes=400,
    cuts=3,
    overtakes=1,
    copied_cases=150,
    contact_s=6.0,
    held=(300,),
    held_runs=1,
    communes=10,
    backlog=100,
    congestion_runs=1,
)
# Shows that everything works, in seconds; its figures say little.
TINY: Final = Size(
    name="tiny",
    stages=1,
    wire_runs=1,
    lone=1,
    idle_new=1,
    keepalive=False,
    runs=1,
    lossy_runs=0,
    burst_runs=0,
    week_runs=0,
    week_lossy_runs=0,
    week_changes=10,
    cuts=1,
    overtakes=0,
    copied_cases=20,
    contact_s=5.0,
    held=(20,),
    held_runs=1,
    communes=1,
    backlog=20,
    congestion_runs=0,
)
