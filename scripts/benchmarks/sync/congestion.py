"""The same over lossier and lossier lines: TCP with either congestion control, and datagrams.

TCP's algorithm is set on the commune's socket, which sends nearly all; the province keeps its own.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from scripts.benchmarks.measure import Progress, median
from scripts.benchmarks.sync.stage import Job, Stage, Steps, do_jobs
from scripts.benchmarks.sync.transfers import sending, slow
from scripts.lab.lab import FAR_ADDRESS
from scripts.lab.line import Shape

ALGORITHMS: Final = ("bbr", "cubic")
DATAGRAMS: Final = "datagrams"
# Share lost, and mean length of a run of losses.
_LINES: Final = ((0.0, 1.0), (0.05, 1.0), (0.1, 1.0), (0.2, 1.0), (0.3, 1.0), (0.2, 3.0))
_CHANGES: Final = 500
_PIPE_BYTES: Final = 64 << 10
_FIRST_PORT: Final = 9_000
_LOOK_S: Final = 0.1


def measure_congestion(stages: Sequence[Stage], runs: int, progress: Progress) -> dict[str, Any]:
    """Return seconds by way and line, lowest first; None where the system has no such way."""
    piped = [(name, line) for name in ALGORITHMS for line in _LINES for _ in range(runs)]
    sent = [
        (name, line) for name in (*ALGORITHMS, DATAGRAMS) for line in _LINES for _ in range(runs)
    ]
    jobs: list[Job[float | None]] = [
        _piping(slow(*line), name, _FIRST_PORT + number)
        for number, (name, line) in enumerate(piped)
    ]
    jobs += [
        sending(slow(*line), _CHANGES, 50_000 + number * 1_000, name)
        for number, (name, line) in enumerate(sent)
    ]
    took = [seconds for _, seconds in sorted(do_jobs(stages, jobs, progress))]
    return {
        "congestion_64k_s": _by_way(piped, took[: len(piped)]),
        "congestion_500_s": _by_way(sent, took[len(piped) :]),
    }


def _by_way(
    cases: Sequence[tuple[str, tuple[float, float]]], took: Sequence[float | None]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, line in dict.fromkeys(cases):
        values = sorted(
            seconds
            for case, seconds in zip(cases, took, strict=True)
            if case == (name, line) and seconds is not None
        )
        said = f"{line[0]:.0%}" + (f" in runs of {line[1]:.0f}" if line[1] > 1 else "")
        found.setdefault(name, {})[said] = (
            {"median": round(median(values), 1), "max": round(values[-1], 1)} if values else None
        )
    return found


def _piping(shape: Shape, algorithm: str, port: int) -> Job[float | None]:
    """Return a job: seconds of 64 KiB over plain TCP, with the nodes' link down."""

    def job(stage: Stage) -> Steps[float | None]:
        yield "disconnect", None
        stage.lab.shape(shape)
        command = [sys.executable, "-P", "-m", "scripts.benchmarks.sync.pipe"]
        place = [FAR_ADDRESS, str(port)]
        stage.lab.far.start([*command, "far", *place])
        near = stage.lab.near.start(
            [*command, "near", *place, algorithm, str(_PIPE_BYTES)], stdout=subprocess.PIPE
        )
        while near.poll() is None:
            yield "rest", _LOOK_S
        said = near.communicate()[0]
        if near.returncode:
            raise RuntimeError("plain TCP did not get through")
        seconds: float | None = json.loads(said)
        return seconds

    return job
