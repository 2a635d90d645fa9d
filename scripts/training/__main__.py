"""Trains the dictionary of frames: `scripts/train-dictionary`.

The samples are leaves of several pasts of the demo, stripped as frames strip them. The result is
named by its SHA-256; a node understands every dictionary in the folder and writes with the newest,
so an old one stays until no node of the field needs it.
"""

import argparse
import hashlib
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import zstandard

from node.clock import Clock
from node.config import Config
from node.demo_past import Past
from node.samples.incidents import past_of
from node.samples.texts import communes, places
from scripts.benchmarks.offices import at_work, enrol_all
from sync.framing import columns
from sync.history import LogHistory
from sync.replica import Replica
from sync.stripping import strip

_FOLDER: Final = Path(__file__).parents[2] / "sync" / "dictionaries"
_BYTES: Final = 16 << 10
_PASTS: Final = 6
# Frames hold some leaves each; the dictionary must serve lone ones and many.
_TOGETHER: Final = (1, 1, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, write the file, and say how well it does."""
    parser = argparse.ArgumentParser(prog="scripts/train-dictionary", description=__doc__)
    parser.add_argument("--seed", type=int, default=4_000, help="of the first past")
    options = parser.parse_args(arguments)
    samples: list[bytes] = []
    for seed in range(options.seed, options.seed + _PASTS):
        samples += _past(seed)
        print(f"{len(samples)} samples, {sum(map(len, samples))} bytes", file=sys.stderr)
    trained = zstandard.train_dictionary(_BYTES, list(samples), level=12).as_bytes()
    name = hashlib.sha256(trained).hexdigest()
    (_FOLDER / f"{name}.zdict").write_bytes(trained)
    print(name)
    return 0


def _past(seed: int) -> list[bytes]:
    """Return samples of one past: of every log, at the node that wrote it."""
    now_ms, rng = Clock().now_ms(), random.Random(seed)
    samples: list[bytes] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        data = Path(name)
        enrol_all(data, list(communes()), now_ms, Config())
        stations = {
            place.folder: stack.enter_context(at_work(data / place.folder, rng))
            for place in places()
        }
        for station in stations.values():
            station.connection.execute("PRAGMA synchronous = OFF")
        started_ms = now_ms - 200 * 86_400_000
        for _ in Past(stations, rng, started_ms).play(past_of(rng, now_ms)):
            pass
        for station in stations.values():
            samples += _samples(station.replica)
    return samples


def _samples(replica: Replica) -> Iterator[bytes]:
    store = replica.store
    for log in store.logs():
        if log.source is not None:
            continue
        history = LogHistory(store, log)
        leaves = store.leaves(log, 0, log.size)
        entries = [strip(leaf, seq, history)[0] for seq, leaf in enumerate(leaves)]
        for count in _TOGETHER:
            for start in range(0, len(entries), count):
                yield columns(entries[start : start + count])


if __name__ == "__main__":
    sys.exit(main())
