"""Runs many stories: `scripts/simulate --seeds N`, or one again: `scripts/simulate --show SEED`."""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.simulation.world import Plan, World

_WIDTH = 60


def main() -> int:
    """Run the stories that the command line asks for; 1 if a promise broke."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many stories (1000)")
    parser.add_argument("--first", type=int, default=10_000, help="the first seed (10000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--show", type=int, metavar="SEED", help="tell one story line by line")
    options = parser.parse_args()
    if options.show is not None:
        return _show(options.show)
    return _run_many(range(options.first, options.first + options.seeds), options.jobs)


def _show(seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder), _plan(seed), tell=print)
        try:
            world.run()
        finally:
            world.close()
    print(f"seed {seed}: every promise held")
    return 0


def _run_many(seeds: range, jobs: int) -> int:
    began_s, done, counts = time.monotonic(), 0, Counter[str]()
    broken: list[int] = []
    with multiprocessing.Pool(jobs, maxtasksperchild=50) as pool:
        try:
            for seed, trouble, happened in pool.imap_unordered(_run_one, seeds):
                done += 1
                counts.update(happened)
                if trouble:
                    broken.append(seed)
                    print(f"\nseed {seed}: {trouble}")
                _progress(done, len(seeds), began_s, len(broken))
        except KeyboardInterrupt:
            print(f"\nstopped after {done} of {len(seeds)} stories")
            return 130
    told = ", ".join(
        f"{counts[name]} {name}" for name in ("deeds", "contacts", "crashes", "restores")
    )
    print(f"\n{done} stories in {time.monotonic() - began_s:.0f} s: {told}")
    if broken:
        print(f"promises broke with the seeds {sorted(broken)}")
        print(f"to see one: scripts/simulate --show {min(broken)}")
        return 1
    print("every promise held")
    return 0


def _plan(seed: int) -> Plan:
    """Let disks be put back to an earlier state in every second story."""
    return Plan(restores=seed % 2 * 3)


def _run_one(seed: int) -> tuple[int, str, Counter[str]]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder), _plan(seed))
        try:
            world.run()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return seed, f"{type(error).__name__}: {error}", world.counts
        finally:
            world.close()
    return seed, "", world.counts


def _progress(done: int, total: int, began_s: float, broken: int) -> None:
    if not sys.stdout.isatty():
        return
    left_s = (time.monotonic() - began_s) / done * (total - done)
    bar = "#" * (_WIDTH * done // total)
    print(f"\r[{bar:<{_WIDTH}}] {done}/{total}, {broken} broken, {left_s:.0f} s left ", end="")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
