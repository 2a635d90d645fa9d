"""The same over lossier and lossier lines with either algorithm of TCP's congestion control.

The algorithm is set on the commune's socket, which sends nearly all; the province keeps its own.
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
_LOSSES: Final = (0.0, 0.05, 0.1, 0.2, 0.3)
_CHANGES: Final = 500
_PIPE_BYTES: Final = 64 << 10
_FIRST_PORT: Final = 9_000
_LOOK_S: Final = 0.1


def measure_congestion(stages: Sequence[Stage], runs: int, progress: Progress) -> dict[str, Any]:
    """Return medians of seconds by algorithm and loss; None where the system has no such one."""
    cases = [
        (algorithm, loss, run)
        for algorithm in ALGORITHMS
        for loss in _LOSSES
        for run in range(runs)
    ]
    jobs: list[Job[float | None]] = [
        _piping(slow(loss), algorithm, _FIRST_PORT + number)
        for number, (algorithm, loss, _) in enumerate(cases)
    ]
    jobs += [
        sending(slow(loss), _CHANGES, 50_000 + number * 1_000, algorithm)
        for number, (algorithm, loss, _) in enumerate(cases)
    ]
    took = [seconds for _, seconds in sorted(do_jobs(stages, jobs, progress))]
    return {
        "congestion_64k_s": _by_algorithm(cases, took[: len(cases)]),
        "congestion_500_s": _by_algorithm(cases, took[len(cases) :]),
    }


def _by_algorithm(
    cases: Sequence[tuple[str, float, int]], took: Sequence[float | None]
) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for algorithm in ALGORITHMS:
        found[algorithm] = {}
        for loss in _LOSSES:
            values = [
                seconds
                for case, seconds in zip(cases, took, strict=True)
                if case[:2] == (algorithm, loss) and seconds is not None
            ]
            found[algorithm][f"{loss:.0%}"] = round(median(values), 2) if values else None
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
