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
_OWN: Final = Own(program="scripts.benchmarks.sync.commune", has_centre=True)


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
def open_stages(count: int, progress: Progress) -> Iterator[list[Stage]]:
    """Run several stages side by side."""
    with ExitStack() as stack:
        stages = []
        for number in range(count):
            progress.show("starting nodes", number, count)
            stages.append(stack.enter_context(open_stage(seed=number)))
        yield stages


def do_jobs(stages: Sequence[Stage], jobs: Sequence[Job[T]], progress: Progress) -> list[T]:
    """Do every job on whichever stage is free; return what they return, in their order."""
    waiting = deque(enumerate(jobs))
    free, busy = deque(stages), dict[int, tuple[int, Stage, Steps[T]]]()
    results: dict[int, T] = {}

    def go_on(number: int, stage: Stage, steps: Steps[T], answer: Any) -> None:
        try:
            name, argument = steps.send(answer)
        except StopIteration as end:
            results[number] = end.value
            busy.pop(stage.ends.near.fileno(), None)
            free.append(stage)
            return
        busy[stage.ends.near.fileno()] = (number, stage, steps)
        stage.ends.near.tell(name, argument)

    while len(results) < len(jobs):
        while waiting and free:
            number, job = waiting.popleft()
            stage = free.popleft()
            go_on(number, stage, job(stage), None)
        for descriptor in select.select(list(busy), [], [], _LOOK_S)[0]:
            number, stage, steps = busy[descriptor]
            go_on(number, stage, steps, stage.ends.near.hear())
        progress.show("sending over slow lines", len(results), len(jobs))
    return [results[number] for number in range(len(jobs))]
