"""What a province takes in: a commune's log as messages of the protocol, batch after batch.

Only the province's work is timed: decoding the messages, its transactions with their commits on the
disk, encoding the answers. The commune in the same process makes the messages meanwhile, untimed.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config import Config
from node.samples.texts import Place, communes
from node.station import Station
from scripts.benchmarks.bulk import fill
from scripts.benchmarks.deeds import deeds, do_all
from scripts.benchmarks.measure import Progress, Stopwatch
from scripts.benchmarks.offices import PROVINCE, End, at_work, enrol_all, hastily, synchronise

# As long as the longest course of a case, about, so that visits and later events mix.
_DAYS: Final = 60
_SEED_VISITS: Final = 150
# With as many digits as the greatest number that a copy may get.
FIRST_VISIT: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one delivery took."""

    changes: int
    wall_s: float
    cpu_s: float


def measure_ingest(
    data: Path,
    rng: random.Random,
    progress: Progress,
    *,
    visits: int,
    batches: int,
    base_cases: int,
    now_ms: int,
) -> list[Batch]:
    """Return what each batch of a commune's changes took at its province.

    Args:
        data: empty folder.
        rng: source of everything.
        progress: is told.
        visits: of the delivering commune, in all batches.
        batches: how many; one more, before the others, warms up.
        base_cases: of another commune, that the province holds before.
        now_ms: wall clock.
    """
    place, other, *_ = communes()
    enrol_all(data, [place, other], now_ms, Config())
    with (
        at_work(data / PROVINCE.folder, rng) as province,
        at_work(data / place.folder, rng) as commune,
        at_work(data / other.folder, rng) as before,
        hastily(commune),
    ):
        with hastily(province), hastily(before):
            seed_cases(before, other, rng, now_ms)
            synchronise(before, province, now_ms)
            filled = fill(province, before, other, cases=base_cases, rng=rng, now_ms=now_ms)
            for done in filled:
                progress.show("filling a province", done, base_cases)
        todo = deeds(rng, place, visits, days=_DAYS, first=FIRST_VISIT, now_ms=now_ms)
        lower, upper = End(commune, province), End(province, commune)
        measured = []
        for number in range(batches + 1):
            progress.show("taking in changes at the province", number, batches + 1)
            some = todo[
                number * len(todo) // (batches + 1) : (number + 1) * len(todo) // (batches + 1)
            ]
            for _ in do_all(commune, place, some):
                continue
            measured.append(_deliver(lower, upper, province, now_ms))
        refused = province.connection.execute("SELECT count(*) FROM dead_letter").fetchone()[0]
        if refused:
            raise RuntimeError(f"the province refused {refused} changes")
        return measured[1:]


def _deliver(lower: End, upper: End, province: Station, now_ms: int) -> Batch:
    """Let the two exchange until both are silent, with the province timed."""
    before, watch = _changes(province), Stopwatch()
    upwards = lower.step([], now_ms)
    while True:
        with watch:
            downwards = upper.step(upwards, now_ms)
        upwards = lower.step(downwards, now_ms)
        if not (upwards or downwards):
            break
    return Batch(changes=_changes(province) - before, wall_s=watch.wall_s, cpu_s=watch.cpu_s)


def _changes(station: Station) -> int:
    return int(station.connection.execute("SELECT count(*) FROM change").fetchone()[0])


def seed_cases(station: Station, place: Place, rng: random.Random, now_ms: int) -> None:
    """Let an office do what copies are made of: visits of three years, some with a long course."""
    todo = deeds(rng, place, _SEED_VISITS, days=3 * 365, first=FIRST_VISIT, now_ms=now_ms)
    for _ in do_all(station, place, todo):
        continue
