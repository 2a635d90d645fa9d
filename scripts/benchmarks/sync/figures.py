"""The figures of `bench sync`: which rows there are, how they are measured, how long that takes."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from node.clock import Clock
from scripts.benchmarks.measure import Progress
from scripts.benchmarks.sync import messages
from scripts.benchmarks.sync.congestion import measure_congestion
from scripts.benchmarks.sync.held import measure_held
from scripts.benchmarks.sync.herd import measure_herd
from scripts.benchmarks.sync.results import Results
from scripts.benchmarks.sync.sizes import FULL, Size
from scripts.benchmarks.sync.stage import Job, do_jobs, open_stages
from scripts.benchmarks.sync.transfers import (
    catching_up,
    copying,
    cutting,
    overtaking,
    sending,
    slow,
)
from scripts.benchmarks.sync.wire import measure_wire
from scripts.lab.lab import LabError
from scripts.lab.line import Shape

_LOSS: Final = 0.2
_BURST: Final = 3.0
_SOME: Final = 500
_COPIED_WITHIN_S: Final = 3_600.0
_OVERTAKES_A_JOB: Final = 5
# Of the seeds of the transfers, so that each has its own, whatever --seed is.
_SEED_STEP: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured.

    Attributes:
        data: folder that keeps what takes long to make; None: one in the user's cache.
        seed: of cases, edits, losses and cuts.
        only: rows; empty: all but those that must be asked for.
    """

    size: Size
    data: Path | None = None
    seed: int = 1
    only: Collection[str] = ()

    @property
    def rows(self) -> list[str]:
        """Return the rows that are measured."""
        return list(self.only) or [name for name in ROWS if name != "congestion"]


def measure_sync(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Measure the rows asked for and return the figures; each is told as soon as it is there.

    A row that fails stands under `failed` with the reason; the others are measured all the same.

    Raises:
        RuntimeError: there is no such row.
    """
    unknown = sorted(set(plan.only) - set(ROWS))
    if unknown:
        raise RuntimeError(f"no such rows: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    rows, size, now_ms = plan.rows, plan.size, Clock().now_ms()
    results = Results(progress)
    progress.say(f"size {size.name}: about {round(about_s(size, rows) / 60, 1)} minutes")
    before = os.getloadavg()[0]
    for names, measure in _GROUPS:
        chosen = [name for name in names if name in rows]
        if not chosen:
            continue
        try:
            measure(plan, chosen, results, now_ms)
        except (RuntimeError, OSError, LabError) as error:
            results.fail(", ".join(chosen), str(error))
    _leave_out(size, rows, results)
    return results.as_object() | {
        "rows": rows,
        "size": size.name,
        "seed": plan.seed,
        "load_average": [before, os.getloadavg()[0]],
    }


def about_s(size: Size, rows: Collection[str]) -> float:
    """Return how many seconds this takes about, on a machine that has nothing else to do."""
    transfers = [job for row, jobs in _JOBS.items() if row in rows for job in jobs(size, 0)]
    parts = {
        "lone_app": 2 + size.wire_runs,
        "copy_messages": 3 * size.wire_runs,
        "idle_open": 3,
        "wire": size.wire_runs * (7 + size.lone + size.idle_new) + 65 * size.keepalive,
        "n_changes": 5 * len(size.held) + 0.7e-3 * sum(size.held),
        "ingest": 2 + size.communes * size.backlog / 700,
        "congestion": 600 * size.congestion_runs / size.stages,
    }
    waits = sum(job.about_s for job in transfers) / size.stages + 2.5 * size.stages
    longest = max((job.about_s for job in transfers), default=0.0)
    return sum(seconds for row, seconds in parts.items() if row in rows) + (
        max(waits, longest) if transfers else 0.0
    )


def _messages(plan: Plan, rows: Sequence[str], results: Results, now_ms: int) -> None:
    """Bytes of messages, in this process."""
    size, seed = plan.size, plan.seed
    results.progress.show("counting bytes of messages")
    if "lone_app" in rows:
        lone = messages.lone_changes(seed, size.lone * size.wire_runs, now_ms)
        results.put("lone_app_up_bytes", [taken.up for taken in lone])
        results.put("lone_app_both_bytes", [taken.both for taken in lone])
    if "idle_open" in rows:
        results.put("idle_open_bytes", [messages.idle_hour(now_ms).both])
    if "copy_messages" in rows:
        taken = [
            messages.copy_and_batch(seed + run, size.held[0], now_ms)
            for run in range(size.wire_runs)
        ]
        results.put("first_copy_bytes_per_case", [copy for copy, _ in taken], 1)
        results.put("batch_bytes_per_edit", [batch for _, batch in taken], 1)


def _wire(plan: Plan, rows: Sequence[str], results: Results, now_ms: int) -> None:
    """Bytes on the line."""
    wire = measure_wire(plan.size, plan.seed, results.progress, now_ms)
    results.put("lone_wire_bytes", wire.lone)
    results.put("lone_centre_wire_bytes", wire.lone_centre)
    results.put("batch_wire_bytes_per_edit", wire.batch, 1)
    results.put("first_copy_wire_bytes_per_case", wire.first_copy, 1)
    results.put("idle_new_wire_bytes", wire.idle_new)
    results.put("idle_keepalive_wire_bytes", wire.keepalive)


def _held(plan: Plan, rows: Sequence[str], results: Results, now_ms: int) -> None:
    """Bytes of a few edits, by how many cases there are."""
    found = measure_held(plan.size, plan.data, plan.seed, results, now_ms)
    results.note("n_changes_bytes", found)


def _taken_in(plan: Plan, rows: Sequence[str], results: Results, now_ms: int) -> None:
    """What a province takes in of many communes at once."""
    size = plan.size
    herd = measure_herd(results.progress, count=size.communes, backlog=size.backlog)
    results.put("ingest_per_s", [herd.changes / herd.cpu_s])
    results.put("ingest_wall_per_s", [herd.changes / herd.wall_s])
    results.put("starved_p99_s", herd.waits_s, 2, "p99")
    results.put("starved_lone_s", herd.lone_waits_s, 2, "max")
    results.note("ingest_rss_before_mb", round(herd.rss_mb[0], 1))
    # Flat: what the first half needed is enough for the rest.
    results.note("ingest_rss_half_mb", round(max(herd.rss_mb[: len(herd.rss_mb) // 2 + 1]), 1))
    results.note("ingest_rss_peak_mb", round(max(herd.rss_mb), 1))
    results.note("ingest_rss_after_mb", round(herd.rss_mb[-1], 1))
    results.note("ingest_communes", size.communes)
    results.note("ingest_changes", herd.changes)


def _timed(plan: Plan, rows: Sequence[str], results: Results, now_ms: int) -> None:
    """Seconds over slow lines, several side by side; what is done is told at once."""
    size = plan.size
    transfers = [
        transfer
        for row, make in _JOBS.items()
        if row in rows
        for transfer in make(size, plan.seed * _SEED_STEP)
    ]
    missing = {key: sum(t.key == key for t in transfers) for key in {t.key for t in transfers}}
    taken: dict[str, list[Any]] = {key: [] for key in missing}
    with open_stages(size.stages, plan.seed, results.progress) as stages:
        if "congestion" in rows:
            table = measure_congestion(stages, size.congestion_runs, results.progress)
            for name, figure in table.items():
                results.note(name, figure)
        try:
            for number, value in do_jobs(stages, [t.job for t in transfers], results.progress):
                key = transfers[number].key
                taken[key].append(value)
                missing[key] -= 1
                if not missing[key]:
                    _show(results, key, taken[key])
        finally:
            # Of what was interrupted, that which is there.
            for key, left in missing.items():
                if left and taken[key]:
                    _show(results, key, taken[key])


def _show(results: Results, key: str, values: Sequence[Any]) -> None:
    """Keep the figures of all transfers of a kind."""
    match key:
        case "cut":
            results.put("cut_resent_bytes_max", [cut.again_bytes for cut in values], take="max")
            results.put("cut_lost", [cut.lost for cut in values], take="sum")
            results.put("cut_doubled", [cut.doubled for cut in values], take="sum")
        case "copy":
            results.put("first_copy_26000_bytes", [copy.bytes for copy in values])
            results.put("first_copy_26000_again_bytes", [copy.again_bytes for copy in values])
            results.put("first_copy_26000_contacts", [copy.contacts for copy in values])
            results.put("first_copy_26000_s", [copy.took_s for copy in values], 1)
        case _:
            seconds = [s for some in values for s in (some if isinstance(some, list) else [some])]
            results.put(key, seconds, 2, "p95" if "_p95_" in key else "median")


@dataclass(frozen=True, slots=True)
class _Transfer:
    """A job.

    Attributes:
        key: what its figure is called.
        about_s: that it takes.
    """

    key: str
    job: Job[Any]
    about_s: float


def _lines(name: str, runs: int, lossy_runs: int, burst_runs: int) -> list[tuple[str, Shape]]:
    """Return what a row is called over each line, as often as it is repeated there."""
    return [
        *[(f"{name}_p95_s_loss20", slow(_LOSS))] * lossy_runs,
        *[(f"{name}_p95_s_loss20_burst3", slow(_LOSS, _BURST))] * burst_runs,
        *[(f"{name}_s", slow())] * runs,
    ]


def _some(size: Size, seed: int) -> list[_Transfer]:
    lines = _lines("t500", size.runs, size.lossy_runs, size.burst_runs)
    return [
        _Transfer(key, sending(line, _SOME, seed + 10_000 + n * 1_000), 20 if line.loss else 9)
        for n, (key, line) in enumerate(lines)
    ]


def _week(size: Size, seed: int) -> list[_Transfer]:
    count = size.week_changes
    lines = _lines("t3500", size.week_runs, size.week_lossy_runs, 0)
    return [
        _Transfer(
            key,
            catching_up(line, count, seed + 200_000 + n * 1_000),
            8 + count / (50 if line.loss else 120),
        )
        for n, (key, line) in enumerate(lines)
    ]


def _cuts(size: Size, seed: int) -> list[_Transfer]:
    return [
        _Transfer("cut", cutting(_SOME, seed + 500_000 + number * 1_000), 12.0)
        for number in range(size.cuts)
    ]


def _copy(size: Size, seed: int) -> list[_Transfer]:
    """Return the job that comes first, because it needs a new stage."""
    about_s = 10 + size.copied_cases / 40
    job = copying(size.copied_cases, size.contact_s, _COPIED_WITHIN_S)
    return [_Transfer("copy", job, about_s)]


def _overtakes(size: Size, seed: int) -> list[_Transfer]:
    """Return the jobs that come last, because each leaves a file behind that goes up."""
    count = min(size.overtakes, _OVERTAKES_A_JOB)
    lines = [("overtake_s", slow()), ("overtake_p95_s_loss20", slow(_LOSS))]
    return [
        _Transfer(key, overtaking(line, count), 12 + 4 * count)
        for _ in range(0, size.overtakes, _OVERTAKES_A_JOB)
        for key, line in lines
    ]


_JOBS: Final[dict[str, Callable[[Size, int], list[_Transfer]]]] = {
    "first_copy_26000": _copy,
    "t3500": _week,
    "t500": _some,
    "cut": _cuts,
    "overtake": _overtakes,
}
_Measure: TypeAlias = Callable[[Plan, Sequence[str], Results, int], None]
# What is measured together, because it shares its nodes.
_GROUPS: Final[Sequence[tuple[Sequence[str], _Measure]]] = (
    (("lone_app", "idle_open", "copy_messages"), _messages),
    (("wire",), _wire),
    (("ingest",), _taken_in),
    ((*_JOBS, "congestion"), _timed),
    (("n_changes",), _held),
)
ROWS: Final = tuple(row for rows, _ in _GROUPS for row in rows)


def _leave_out(size: Size, rows: Collection[str], results: Results) -> None:
    """Say what a smaller size than the full one leaves out."""
    if size is FULL:
        return
    said = {
        "copy_messages": [f"first_copy_bytes_per_case is of {size.held[0]:,} cases"],
        "wire": [
            "idle_keepalive_wire_bytes takes more than a minute",
            f"first_copy_wire_bytes_per_case is of {size.held[0]:,} cases",
        ],
        "t500": [
            f"t500_p95_s_loss20 is of {size.lossy_runs} transfer(s), not {FULL.lossy_runs}",
            "t500 with losses in runs takes up to minutes",
        ],
        "t3500": [
            f"t3500_p95_s_loss20 is of {size.week_changes:,} changes,"
            f" {size.week_lossy_runs} transfer(s)"
        ],
        "cut": [f"cut_* are of {size.cuts} cuts, not {FULL.cuts}"],
        "overtake": [f"overtake_* are of {size.overtakes} change(s), not {FULL.overtakes}"],
        "first_copy_26000": [f"first_copy_26000_* are of {size.copied_cases:,} cases"],
        "n_changes": [
            f"n_changes_bytes with {count:,} cases" for count in FULL.held if count not in size.held
        ],
        "ingest": [f"ingest_* and starved_* are of {size.communes} communes"],
    }
    results.left_out += [text for row, texts in said.items() if row in rows for text in texts]
