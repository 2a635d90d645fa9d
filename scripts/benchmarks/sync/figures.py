"""The figures of `bench sync`: which rows there are, how much each is repeated, what they mean."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from node.clock import Clock
from scripts.benchmarks.measure import Progress, aims_table, median, percentile
from scripts.benchmarks.sync import messages
from scripts.benchmarks.sync.congestion import measure_congestion
from scripts.benchmarks.sync.herd import measure_herd
from scripts.benchmarks.sync.stage import Job, do_jobs, open_stages
from scripts.benchmarks.sync.transfers import catching_up, cutting, overtaking, sending, slow
from scripts.benchmarks.sync.wire import measure_contacts, measure_wire
from scripts.lab.line import Shape

# What the product wants to reach, and whether less is better.
AIMS: Final = {
    "lone_app_up_bytes": (140, True),
    "lone_wire_bytes": (500, True),
    "batch_bytes_per_edit": (60, True),
    "first_copy_message_bytes_per_case": (110, True),
    "idle_new_wire_bytes": (2_500, True),
    "t500_s": (5, True),
    "t500_p95_s_loss20": (10, True),
    "t3500_p95_s_loss20": (45, True),
    "cut_resent_bytes_max": (6_000, True),
    "cut_lost": (0, True),
    "cut_doubled": (0, True),
    "overtake_s": (1.5, True),
    "overtake_p95_s_loss20": (4, True),
    "first_copy_26000_bytes": (4_000_000, True),
    "ingest_per_s": (3_000, False),
}
_LOSS: Final = 0.2
_BURST: Final = 3.0
_MANY: Final = 3_500
_SOME: Final = 500
# While 500 changes are on their way at the earliest.
_CUT_WITHIN_S: Final = 3.0
_COPIED_WITHIN_S: Final = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        stages: side by side.
        wire_runs: of the bytes on the line.
        lone: status changes, in each of those runs.
        keepalive: wait for one.
        runs: of a transfer without loss.
        lossy_runs: of one with loss.
        burst_runs: of one that loses packets in runs of three.
        week_runs: of one with the changes of a week.
        overtakes: status changes beside a file, for each shape of the line.
        copied_cases: in short contacts.
        contact_s: length of these.
        congestion_runs: for each algorithm and loss.
    """

    stages: int
    wire_runs: int
    lone: int
    keepalive: bool
    runs: int
    lossy_runs: int
    burst_runs: int
    week_runs: int
    cuts: int
    overtakes: int
    copied_cases: int
    contact_s: float
    communes: int
    backlog: int
    congestion_runs: int


FULL: Final = Size(
    stages=4,
    wire_runs=3,
    lone=11,
    keepalive=True,
    runs=9,
    lossy_runs=20,
    burst_runs=20,
    week_runs=20,
    cuts=200,
    overtakes=20,
    copied_cases=26_000,
    contact_s=20.0,
    communes=130,
    backlog=200,
    congestion_runs=3,
)
QUICK: Final = Size(
    stages=3,
    wire_runs=1,
    lone=2,
    keepalive=False,
    runs=1,
    lossy_runs=1,
    burst_runs=0,
    week_runs=0,
    cuts=5,
    overtakes=1,
    copied_cases=300,
    contact_s=7.0,
    communes=10,
    backlog=100,
    congestion_runs=1,
)


def measure_sync(size: Size, only: Collection[str], progress: Progress) -> dict[str, Any]:
    """Measure the rows asked for and return the figures.

    Args:
        size: FULL or QUICK.
        only: names in ROWS; empty: all but those that must be asked for.
        progress: is told.

    Raises:
        RuntimeError: there is no such row, or a program failed.
        LabError: there can be no lab here.
    """
    unknown = sorted(set(only) - set(ROWS))
    if unknown:
        raise RuntimeError(f"no such rows: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    wanted = only or [name for name in ROWS if name != "congestion"]
    now_ms = Clock().now_ms()
    found: dict[str, Any] = {}
    left_out: list[str] = []
    for rows, measure in _GROUPS:
        chosen = [name for name in rows if name in wanted]
        if chosen:
            found |= measure(size, chosen, progress, now_ms, left_out)
    return found | {"rows": list(wanted), "left_out": left_out, "quick": size is QUICK}


def _spread(name: str, values: Sequence[float], digits: int = 1) -> dict[str, Any]:
    """Return the median under a name, and what the values lie between."""
    found = {name: median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
    return {key: round(value, digits) for key, value in found.items()} | {
        f"{name}_runs": len(values)
    }


def _late(name: str, values: Sequence[float]) -> dict[str, Any]:
    """Return the 95th percentile under a name, with the median, the extremes and the number."""
    middle = name.replace("_p95", "")
    return {name: round(percentile(values, 0.95), 2), **_spread(middle, values, 2)}


def _messages(
    size: Size, rows: Sequence[str], progress: Progress, now_ms: int, left_out: list[str]
) -> dict[str, Any]:
    """Bytes of messages, in this process."""
    progress.show("counting bytes of messages")
    found: dict[str, Any] = {}
    if "lone_app" in rows:
        lone = messages.lone_changes(size.lone * size.wire_runs, now_ms)
        found |= _spread("lone_app_up_bytes", [taken.up for taken in lone])
        found |= _spread("lone_app_both_bytes", [taken.both for taken in lone])
    if "idle_open" in rows:
        found["idle_open_bytes"] = messages.idle_hour(now_ms).both
    if "first_copy_messages" in rows:
        taken = [messages.first_copy(run, 1_000, now_ms) for run in range(size.wire_runs)]
        found |= _spread("first_copy_message_bytes_per_case", taken)
    return found


def _wire(
    size: Size, rows: Sequence[str], progress: Progress, now_ms: int, left_out: list[str]
) -> dict[str, Any]:
    """Bytes on the line."""
    keepalive = size.keepalive
    wire = measure_wire(progress, now_ms, runs=size.wire_runs, lone=size.lone, keepalive=keepalive)
    found = _spread("lone_wire_bytes", wire.lone)
    found |= _spread("lone_centre_wire_bytes", wire.lone_centre)
    found |= _spread("batch_bytes_per_edit", wire.batch)
    found |= _spread("first_copy_bytes_per_case", wire.first_copy)
    found |= _spread("idle_new_wire_bytes", wire.idle_new)
    found["n_changes_bytes"] = {"1000": round(median(wire.batch) * 100)}
    if keepalive:
        found["idle_keepalive_wire_bytes"] = wire.keepalive[0]
    else:
        left_out.append("idle_keepalive_wire_bytes takes more than a minute")
    return found


def _contacts(
    size: Size, rows: Sequence[str], progress: Progress, now_ms: int, left_out: list[str]
) -> dict[str, Any]:
    """A first copy in short contacts."""
    taken = measure_contacts(
        progress,
        now_ms,
        cases=size.copied_cases,
        shape=slow(),
        contact_s=size.contact_s,
        within_s=_COPIED_WITHIN_S,
    )
    if size.copied_cases != FULL.copied_cases:
        left_out.append(f"first_copy_26000_bytes is for {size.copied_cases} cases")
    return {
        "first_copy_26000_bytes": taken.bytes,
        "first_copy_26000_cases": size.copied_cases,
        "first_copy_26000_contacts": taken.contacts,
        "first_copy_26000_again_bytes": taken.again_bytes,
        "n_changes_bytes_held": {str(size.copied_cases): taken.edit_bytes},
    }


def _timed(
    size: Size, rows: Sequence[str], progress: Progress, now_ms: int, left_out: list[str]
) -> dict[str, Any]:
    """Seconds over slow lines, several side by side."""
    jobs = [(key, job) for row in rows if row in _JOBS for key, job in _JOBS[row](size)]
    found: dict[str, Any] = {}
    with open_stages(size.stages, progress) as stages:
        if "congestion" in rows:
            found |= measure_congestion(stages, size.congestion_runs, progress)
        taken: dict[str, list[Any]] = {}
        done = do_jobs(stages, [job for _, job in jobs], progress)
        for (key, _), value in zip(jobs, done, strict=True):
            taken.setdefault(key, []).append(value)
    for key, values in taken.items():
        found |= _shown(key, values)
    if "t500" in rows and not size.burst_runs:
        left_out.append("t500 with losses in runs takes up to minutes")
    if "t3500" in rows and not size.week_runs:
        left_out.append("t3500 takes most of a minute each time")
    return found


def _shown(key: str, values: Sequence[Any]) -> dict[str, Any]:
    if key == "cut":
        return {
            "cut_resent_bytes_max": max(cut.again_bytes for cut in values),
            "cut_resent_bytes_median": median([cut.again_bytes for cut in values]),
            "cut_lost": sum(cut.lost for cut in values),
            "cut_doubled": sum(cut.doubled for cut in values),
            "cut_runs": len(values),
        }
    if key.startswith("overtake"):
        values = [seconds for some in values for seconds in some]
    return _late(key, values) if "_p95" in key else _spread(key, values, 2)


def _lines(name: str, runs: int, lossy_runs: int, burst_runs: int) -> list[tuple[str, Shape]]:
    """Return what a row is called over each line, as often as it is repeated there."""
    return [
        *[(f"{name}_s", slow())] * runs,
        *[(f"{name}_p95_s_loss20", slow(_LOSS))] * lossy_runs,
        *[(f"{name}_p95_s_loss20_burst3", slow(_LOSS, _BURST))] * burst_runs,
    ]


def _some(size: Size) -> list[tuple[str, Job[Any]]]:
    lines = _lines("t500", size.runs, size.lossy_runs, size.burst_runs)
    return [(key, sending(line, _SOME, 10_000 + n * 1_000)) for n, (key, line) in enumerate(lines)]


def _week(size: Size) -> list[tuple[str, Job[Any]]]:
    lines = _lines("t3500", min(size.runs, size.week_runs), size.week_runs, size.week_runs)
    return [
        (key, catching_up(line, _MANY, 200_000 + n * 1_000)) for n, (key, line) in enumerate(lines)
    ]


def _cuts(size: Size) -> list[tuple[str, Job[Any]]]:
    return [
        ("cut", cutting(_SOME, 500_000 + number * 1_000, _CUT_WITHIN_S))
        for number in range(size.cuts)
    ]


def _overtakes(size: Size) -> list[tuple[str, Job[Any]]]:
    """Return few jobs, because each sends a whole file in the end."""
    lines = [("overtake_s", slow()), ("overtake_p95_s_loss20", slow(_LOSS))]
    return [(key, overtaking(line, size.overtakes)) for key, line in lines]


def _taken_in(
    size: Size, rows: Sequence[str], progress: Progress, now_ms: int, left_out: list[str]
) -> dict[str, Any]:
    """What a province takes in of many communes at once."""
    herd = measure_herd(progress, count=size.communes, backlog=size.backlog)
    return {
        "ingest_per_s": round(herd.changes / herd.cpu_s),
        "ingest_wall_per_s": round(herd.changes / herd.wall_s),
        "starved_p99_s": round(percentile(herd.waits_s, 0.99), 2),
        "starved_median_s": round(median(herd.waits_s), 2),
        "starved_lone_max_s": round(max(herd.lone_waits_s), 2),
        "starved_lone_median_s": round(median(herd.lone_waits_s), 2),
        "ingest_rss_before_mb": round(herd.rss_mb[0], 1),
        # Flat: what the first half needed is enough for the rest.
        "ingest_rss_half_mb": round(max(herd.rss_mb[: len(herd.rss_mb) // 2 + 1]), 1),
        "ingest_rss_peak_mb": round(max(herd.rss_mb), 1),
        "ingest_rss_after_mb": round(herd.rss_mb[-1], 1),
        "ingest_communes": size.communes,
        "ingest_changes": herd.changes,
    }


_JOBS: Final[Mapping[str, Callable[[Size], list[tuple[str, Job[Any]]]]]] = {
    "t3500": _week,
    "t500": _some,
    "cut": _cuts,
    "overtake": _overtakes,
}
_Measure: TypeAlias = Callable[[Size, Sequence[str], Progress, int, list[str]], dict[str, Any]]
# What is measured together, because it shares its nodes.
_GROUPS: Final[Sequence[tuple[Sequence[str], _Measure]]] = (
    (("lone_app", "first_copy_messages", "idle_open"), _messages),
    (("wire",), _wire),
    ((*_JOBS, "congestion"), _timed),
    (("first_copy_26000",), _contacts),
    (("ingest",), _taken_in),
)
ROWS: Final = tuple(row for rows, _ in _GROUPS for row in rows)


def table(found: Mapping[str, Any]) -> str:
    """Return the figures for people."""
    return aims_table(found, AIMS)
