"""What a few edits take on the line, by how many cases both ends hold.

The same thousand cases and the same edits each time; all other cases are copies of these that
both ends got in bulk (bulk.py), so that they hold the same long log. There is no centre, which
would have to get them all over a line.
"""

import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.samples.texts import communes
from scripts.benchmarks.bulk import fill
from scripts.benchmarks.families import lone_cases
from scripts.benchmarks.measure import Progress
from scripts.benchmarks.offices import PROVINCE, at_work, hastily, synchronise
from scripts.benchmarks.peers.casebook import Case, make_cases
from scripts.benchmarks.peers.commune import write_cases
from scripts.benchmarks.peers.scenarios import temporary_folder
from scripts.benchmarks.sync.results import Results
from scripts.benchmarks.sync.sizes import Size
from scripts.benchmarks.sync.stage import PAIR, open_pair
from scripts.benchmarks.sync.wire import edit

_ORIGINALS: Final = 1_000
_SEED: Final = 1
_DAY_MS: Final = 86_400_000
# Numbers from which on a folder is kept, and bytes for each of its cases, at both ends together.
_KEPT_FROM: Final = 100_000
_BYTES_A_CASE: Final = 12_000
# Certificates expire.
_KEPT_S: Final = 30 * 86_400
_MADE: Final = "made"


@dataclass(frozen=True, slots=True)
class Held:
    """Cases that a commune and its province hold.

    Attributes:
        folder: of both.
        originals: those that can be edited.
    """

    folder: Path
    originals: Sequence[Case]


def measure_held(
    size: Size, data: Path | None, seed: int, results: Results, now_ms: int
) -> dict[str, int]:
    """Return bytes of IP packets, both ways, that 100 edits in one transaction take, by cases held.

    Args:
        size: how much.
        data: folder that keeps what takes long to make; None: one in the user's cache.
        seed: of the edits.
        results: is told the spread, and what there is no room for.
        now_ms: wall clock.
    """
    found: dict[str, int] = {}
    for count in size.held:
        needed = count * _BYTES_A_CASE
        place = _kept(data, count) if count >= _KEPT_FROM else None
        if place is not None and not _is_made(place) and _free(place) < needed:
            results.left_out.append(
                f"n_changes_bytes with {count:,} cases needs {needed >> 30} GiB in {place.parent};"
                " --data DIR names another folder"
            )
            continue
        with _holding(place, count, now_ms, results.progress) as held:
            results.progress.show(f"editing with {count:,} cases held")
            with open_pair(held.folder) as stage:
                stage.taken(("connect", None), ("known", {"within_s": 600.0}))
                taken = [
                    edit(stage, held.originals, seed + now_ms + run, now_ms)
                    for run in range(size.held_runs)
                ]
        results.put(f"n_changes_bytes_{count}", taken)
        found[str(count)] = int(results.figures[f"n_changes_bytes_{count}"])
    return found


def _kept(data: Path | None, count: int) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (data or cache / "tiepdan-bench").absolute() / f"held-{count}"


def _is_made(place: Path) -> bool:
    made = place / _MADE
    return made.exists() and time.time() - made.stat().st_mtime < _KEPT_S


def _free(place: Path) -> int:
    place.parent.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(place.parent).free


@contextmanager
def _holding(place: Path | None, count: int, now_ms: int, progress: Progress) -> Iterator[Held]:
    """Yield so many cases, in a folder that is kept or, without a place, in one that vanishes."""
    if place is None:
        with temporary_folder() as name:
            yield make_held(Path(name), count, now_ms, progress)
        return
    if not _is_made(place):
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        held = make_held(place, count, now_ms, progress)
        (place / _MADE).write_text(str(now_ms))
        yield held
        return
    made_ms = int((place / _MADE).read_text())
    yield Held(place, _originals(count, made_ms))


def make_held(folder: Path, count: int, now_ms: int, progress: Progress) -> Held:
    """Make a commune and its province that both hold so many cases, in an empty folder."""
    PAIR.enrol(folder)
    place, rng = communes()[0], random.Random(1)
    originals = _originals(count, now_ms)
    with (
        at_work(folder / place.folder, rng) as commune,
        at_work(folder / PROVINCE.folder, rng) as province,
        hastily(commune),
        hastily(province),
    ):
        write_cases(commune, originals)
        synchronise(commune, province, now_ms)
        for station, what in ((commune, "a commune"), (province, "its province")):
            filled = fill(
                station,
                commune,
                place,
                cases=count,
                rng=random.Random(count),
                now_ms=now_ms,
                originals=lone_cases,
            )
            for done in filled:
                progress.show(f"filling {what}", done, count)
    return Held(folder, originals)


def _originals(count: int, now_ms: int) -> list[Case]:
    """Return cases whose register numbers have room for as many as will be there."""
    return [
        replace(case, fields=case.fields | {"register_number": f"{number:07}/2026/STD"})
        for number, case in enumerate(
            make_cases(_SEED, min(count, _ORIGINALS), now_ms - _DAY_MS), 1
        )
    ]
