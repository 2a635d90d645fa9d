"""One machine: a commune's counter, a province's intake, a province's memory."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.clock import Clock
from node.config import Config
from node.samples.texts import communes
from scripts.benchmarks.bulk import fill
from scripts.benchmarks.counter import CounterTimes, measure_counter
from scripts.benchmarks.ingest import Batch, measure_ingest, seed_cases
from scripts.benchmarks.measure import Progress, median, percentile
from scripts.benchmarks.memory import Memory, fill_province, measure_memory
from scripts.benchmarks.offices import at_work, enrol_all, hastily

# By convention on a disk, where the usual folder for such things may be in memory.
_TEMPORARY: Final = Path("/var/tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is made and measured.

    Attributes:
        bytes: free space that it needs.
    """

    counter_cases: int
    counter_rounds: int
    base_cases: int
    ingest_visits: int
    ingest_batches: int
    memory_cases: int
    memory_visits: int
    memory_work_s: float
    bytes: int


FULL: Final = Size(
    counter_cases=100_000,
    counter_rounds=500,
    base_cases=20_000,
    ingest_visits=3_000,
    ingest_batches=5,
    memory_cases=1_000_000,
    memory_visits=500,
    memory_work_s=30.0,
    bytes=22_000_000_000,
)
QUICK: Final = Size(
    counter_cases=5_000,
    counter_rounds=100,
    base_cases=1_000,
    ingest_visits=600,
    ingest_batches=3,
    memory_cases=5_000,
    memory_visits=50,
    memory_work_s=6.0,
    bytes=500_000_000,
)


def measure_local(size: Size, data: Path | None, progress: Progress) -> dict[str, Any]:
    """Make what is missing, measure, and return the figures.

    Args:
        size: FULL or QUICK.
        data: folder that is kept and used again; None: one that is removed.
        progress: is told.

    Raises:
        RuntimeError: there is not enough space, or the product failed.
    """
    with _folder(data, size) as folder:
        counter = _counter(folder, size, progress)
        ingest = _ingest(folder, size, progress)
        memory = _memory(folder, size, progress)
    return _figures(size, counter, ingest, memory)


@contextmanager
def _folder(data: Path | None, size: Size) -> Iterator[Path]:
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        yield data
        return
    place = _TEMPORARY if _TEMPORARY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tiepdan-bench-", dir=place) as name:
        free = shutil.disk_usage(name).free
        if free < size.bytes:
            raise RuntimeError(
                f"{name} has {free >> 30} GiB free, and this needs {size.bytes >> 30};"
                " use --quick, or --data with a folder on another disk"
            )
        yield Path(name)


def _counter(folder: Path, size: Size, progress: Progress) -> CounterTimes:
    data, place = folder / f"counter-{size.counter_cases}", communes()[-1]
    rng, now_ms = random.Random(1), Clock().now_ms()
    with _made_once(data) as is_new:
        if is_new:
            enrol_all(data, [place], now_ms, Config())
            with at_work(data / place.folder, rng) as commune, hastily(commune):
                seed_cases(commune, place, rng, now_ms)
                for done in fill(
                    commune, commune, place, cases=size.counter_cases, rng=rng, now_ms=now_ms
                ):
                    progress.show("filling a commune", done, size.counter_cases)
    progress.show("working at the commune's counter")
    return measure_counter(
        data / place.folder, place, random.Random(now_ms), rounds=size.counter_rounds
    )


def _ingest(folder: Path, size: Size, progress: Progress) -> list[Batch]:
    data = folder / "ingest"
    _remove(data)
    data.mkdir()
    try:
        return measure_ingest(
            data,
            random.Random(2),
            progress,
            visits=size.ingest_visits,
            batches=size.ingest_batches,
            base_cases=size.base_cases,
            now_ms=Clock().now_ms(),
        )
    finally:
        _remove(data)


def _memory(folder: Path, size: Size, progress: Progress) -> Memory:
    data = folder / f"memory-{size.memory_cases}"
    with _made_once(data) as is_new:
        if is_new:
            fill_province(
                data,
                random.Random(3),
                progress,
                cases=size.memory_cases,
                now_ms=Clock().now_ms(),
            )
    now_ms = Clock().now_ms()
    return measure_memory(
        data,
        random.Random(now_ms),
        progress,
        visits=size.memory_visits,
        work_s=size.memory_work_s,
        now_ms=now_ms,
    )


@contextmanager
def _made_once(data: Path) -> Iterator[bool]:
    """Tell whether a folder has to be made; what was interrupted is made anew."""
    whole = data / "whole"
    is_new = not whole.exists()
    if is_new:
        _remove(data)
        data.mkdir()
    yield is_new
    whole.touch()


def _remove(data: Path) -> None:
    if data.exists():
        shutil.rmtree(data)


def _figures(
    size: Size, counter: CounterTimes, ingest: list[Batch], memory: Memory
) -> dict[str, Any]:
    rates = [batch.changes / batch.wall_s for batch in ingest]
    return {
        "register_p50_ms": round(percentile(counter.register, 0.5), 2),
        "register_p99_ms": round(percentile(counter.register, 0.99), 2),
        "register_max_ms": round(max(counter.register), 2),
        "open_p50_ms": round(percentile(counter.open, 0.5), 2),
        "open_p99_ms": round(percentile(counter.open, 0.99), 2),
        "search_p50_ms": round(percentile(counter.search, 0.5), 2),
        "search_p99_ms": round(percentile(counter.search, 0.99), 2),
        "search_max_ms": round(max(counter.search), 2),
        "counter_cases": size.counter_cases,
        "counter_rounds": size.counter_rounds,
        "searches": len(counter.search),
        "ingest_per_s": round(median(rates)),
        "ingest_per_s_min": round(min(rates)),
        "ingest_per_s_max": round(max(rates)),
        "ingest_per_cpu_s": round(median([batch.changes / batch.cpu_s for batch in ingest])),
        "ingest_changes": sum(batch.changes for batch in ingest),
        "ingest_base_cases": size.base_cases,
        "rss_mb_1m": round(memory.rss_mb, 1),
        "rss_idle_mb": round(memory.idle_mb, 1),
        "rss_peak_mb": round(memory.peak_mb, 1),
        "rss_cases": size.memory_cases,
        "rss_answers": memory.requests,
        "rss_received": memory.received,
        "quick": size is QUICK,
    }
