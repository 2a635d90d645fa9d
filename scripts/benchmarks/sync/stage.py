"""Stages: a commune, its province and the centre at the ends of a line, and jobs done on several.

A job is a generator that yields orders for the commune and is sent their answers; while one stage
waits for its slow line, the others go on. All in one thread, so that Ctrl-C ends everything.
"""

import select
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from scripts.benchmarks.measure import Progress
from scripts.benchmarks.peers.casebook import Case, write_cases
from scripts.benchmarks.peers.processes import Ends, Own
from scripts.benchmarks.peers.scenarios import open_ends, settle, temporary_folder
from scripts.lab.lab import Lab
from scripts.lab.line import Shape

T = TypeVar("T")

FREE: Final = Shape()
_LOOK_S: Final = 1.0
_SEEDS: Final = 1_000
_PROGRAM: Final = "scripts.benchmarks.sync.commune"
_OWN: Final = Own(program=_PROGRAM, has_centre=True)
# The same without a centre.
PAIR: Final = Own(program=_PROGRAM)


@dataclass(frozen=True, slots=True)
class Stage:
    """Three nodes at work; the line between the lower two is free at first, the link down."""

    lab: Lab
    ends: Ends
    folder: Path

    def ask(self, name: str, argument: Any = None) -> Any:
        """Give the commune an order and return the answer."""
        return self.ends.near.ask(name, argument)

    def settle(self) -> None:
        """Wait until nothing crosses the line and no node computes."""
        settle(self.lab, self.ends)

    def taken(self, *orders: tuple[str, Any]) -> int:
        """Give orders one after the other; return the bytes that crossed the line until silence."""
        before = self.lab.traffic().bytes
        for name, argument in orders:
            self.ask(name, argument)
        self.settle()
        return self.lab.traffic().bytes - before


Steps: TypeAlias = Generator[tuple[str, Any], Any, T]
Job: TypeAlias = Callable[[Stage], Steps[T]]


@contextmanager
def open_stage(cases: Sequence[Case] = (), *, seed: int = 1) -> Iterator[Stage]:
    """Run a stage whose commune holds these cases."""
    with temporary_folder() as name:
        folder = Path(name)
        write_cases(folder / "cases", cases)
        with open_ends(_OWN, folder, is_shared=False, seed=seed) as (lab, ends):
            yield Stage(lab, ends, folder)


@contextmanager
def open_pair(folder: Path) -> Iterator[Stage]:
    """Run a commune and its province, without a centre, of folders that PAIR enrolled."""
    write_cases(folder / "cases", [])
    with open_ends(PAIR, folder, is_shared=True) as (lab, ends):
        yield Stage(lab, ends, folder)


@contextmanager
def open_stages(count: int, seed: int, progress: Progress) -> Iterator[list[Stage]]:
    """Run several stages side by side, whose lines lose other packets with another seed."""
    with ExitStack() as stack:
        stages = []
        for number in range(count):
            progress.show("starting nodes", number, count)
            stages.append(stack.enter_context(open_stage(seed=seed * _SEEDS + number)))
        yield stages


def do_jobs(
    stages: Sequence[Stage], jobs: Sequence[Job[T]], progress: Progress
) -> Iterator[tuple[int, T]]:
    """Do every job on whichever stage is free; yield its number and its result once it is done.

    Raises:
        RuntimeError: a program failed, or a job.
    """
    waiting = deque(enumerate(jobs))
    free, busy = deque(stages), dict[int, tuple[int, Stage, Steps[T]]]()
    done = 0
    while waiting or busy:
        while waiting and free:
            number, job = waiting.popleft()
            stage = free.popleft()
            steps = job(stage)
            stage.ends.near.tell(*next(steps))
            busy[stage.ends.near.fileno()] = (number, stage, steps)
        progress.show("sending over slow lines", done, len(jobs))
        ready = select.select(list(busy), [], [], _LOOK_S)[0]
        for descriptor in ready:
            number, stage, steps = busy[descriptor]
            try:
                order = steps.send(stage.ends.near.hear())
            except StopIteration as end:
                del busy[descriptor]
                free.append(stage)
                done += 1
                yield number, end.value
            else:
                stage.ends.near.tell(*order)
        for _, stage, _ in busy.values():
            stage.ends.near.check_others()
