"""Runs many stories: `scripts/simulate --seeds N`, or one again: `scripts/simulate --show SEED`."""

import argparse
import heapq
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.simulation.plans import draw_plan
from tests.simulation.world import World

_TOLD: Final = ("deeds", "contacts", "crashes", "packs taken", "bad sticks", "restores", "damaged")
# A process that ran so many stories is replaced, so that whatever it keeps is given back.
_STORIES_PER_PROCESS: Final = 200
_LINE_EVERY_S: Final = 60.0
_TERMINAL_EVERY_S: Final = 0.2


def main() -> int:
    """Run the stories that the command line asks for; 1 if a promise broke."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many stories (1000)")
    parser.add_argument("--first", type=int, default=10_000, help="the first seed (10000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--failures", type=int, default=3, help="stop after so many stories that broke one (3)"
    )
    parser.add_argument("--show", type=int, metavar="SEED", help="tell one story line by line")
    options = parser.parse_args()
    if options.show is not None:
        return _show(options.show)
    seeds = range(options.first, options.first + options.seeds)
    run = Run(seeds, failures_max=options.failures)
    run.all(options.jobs)
    return run.conclude()


def _show(seed: int) -> int:
    plan = draw_plan(seed)
    print(plan)
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder), plan, tell=print)
        try:
            world.run()
        finally:
            world.close()
    print(f"seed {seed}: every promise held")
    return 0


class Run:
    """Many stories, told in several processes; the seeds that broke something are all it keeps.

    Attributes:
        next_seed: all before it are told.
    """

    def __init__(self, seeds: range, *, failures_max: int) -> None:
        self.next_seed = seeds.start
        self._seeds = seeds
        self._failures_max = failures_max
        self._began_s = self._shown_s = time.monotonic()
        self._done = 0
        self._ahead: list[int] = []
        self._counts = Counter[str]()
        self._broken: list[int] = []
        self._is_interrupted = False

    def all(self, jobs: int) -> None:
        """Tell all stories, until too many broke a promise or somebody interrupts."""
        with multiprocessing.Pool(jobs, maxtasksperchild=_STORIES_PER_PROCESS) as pool:
            try:
                for seed, trouble, happened in pool.imap_unordered(run_one, self._seeds):
                    self._take(seed, trouble, happened)
                    if len(self._broken) >= self._failures_max:
                        return
            except KeyboardInterrupt:
                self._is_interrupted = True

    def conclude(self) -> int:
        """Say what happened; return the exit status."""
        spent_s = time.monotonic() - self._began_s
        told = ", ".join(f"{self._counts[name]} {name}" for name in _TOLD)
        print(f"\n{self._done} stories in {spent_s:.0f} s ({self._rate:.1f} a second): {told}")
        if self.next_seed < self._seeds.stop:
            left = self._seeds.stop - self.next_seed
            print(f"to go on: scripts/simulate --first {self.next_seed} --seeds {left}")
        for seed in sorted(self._broken):
            print(f"a promise broke; to see it: scripts/simulate --show {seed}")
        if self._broken:
            return 1
        if self._is_interrupted:
            return 130
        print("every promise held")
        return 0

    @property
    def _rate(self) -> float:
        return self._done / max(0.001, time.monotonic() - self._began_s)

    def _take(self, seed: int, trouble: str, happened: Counter[str]) -> None:
        self._done += 1
        self._counts.update({name: happened[name] for name in _TOLD})
        heapq.heappush(self._ahead, seed)
        while self._ahead and self._ahead[0] == self.next_seed:
            heapq.heappop(self._ahead)
            self.next_seed += 1
        if trouble:
            self._broken.append(seed)
            print(f"\nseed {seed}: {trouble}")
        self._show_progress()

    def _show_progress(self) -> None:
        is_terminal = sys.stdout.isatty()
        now_s = time.monotonic()
        if now_s - self._shown_s < (_TERMINAL_EVERY_S if is_terminal else _LINE_EVERY_S):
            return
        self._shown_s = now_s
        left_s = int((len(self._seeds) - self._done) / self._rate)
        line = (
            f"{self._done} of {len(self._seeds)} stories, {self._rate:.1f} a second,"
            f" {len(self._broken)} broken, {left_s // 3600}:{left_s // 60 % 60:02} h left"
        )
        print(f"\r{line} " if is_terminal else line, end="" if is_terminal else "\n", flush=True)


def run_one(seed: int) -> tuple[int, str, Counter[str]]:
    """Tell one story; return its seed, what broke (or nothing), and what happened how often."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder), draw_plan(seed))
        try:
            world.run()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return seed, f"{type(error).__name__}: {error}"[:2_000], world.counts
        finally:
            world.counts["damaged"] = world.wire.counts["damaged"]
            world.close()
    return seed, "", world.counts


if __name__ == "__main__":
    sys.exit(main())
