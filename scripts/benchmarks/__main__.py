"""The command line of the benchmarks."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any, Final

from scripts.benchmarks.local import FULL, QUICK, measure_local
from scripts.benchmarks.measure import Progress, aims_table
from scripts.benchmarks.peers import scenarios, table
from scripts.benchmarks.sync import figures as sync
from scripts.benchmarks.sync import sizes
from scripts.benchmarks.sync.table import table as sync_table
from scripts.lab.lab import LabError

# What the product wants to reach, and whether less is better.
_AIMS: Final = {
    "register_p99_ms": (10, True),
    "search_p99_ms": (30, True),
    "ingest_per_s": (3_000, False),
    "rss_mb_1m": (200, True),
}


def main() -> int:
    """Run a benchmark and return the exit status."""
    options = _parser().parse_args()
    progress = Progress()
    try:
        figures = options.measure(options, progress)
    except KeyboardInterrupt:
        progress.close()
        return 130
    except (RuntimeError, OSError, LabError) as error:
        progress.close()
        print(f"bench: {error}", file=sys.stderr)
        return 1
    progress.close()
    print(json.dumps(figures) if options.json else options.table(figures))
    return 1 if figures.get("failed") else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the product.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    local = commands.add_parser("local", help="counter, search, intake and memory of one machine")
    local.add_argument("--data", type=Path, help="folder that is kept and used again")
    local.set_defaults(measure=_local, table=_table)
    peers = commands.add_parser(
        "peers", help="bytes and seconds over a line, beside automerge-repo and PouchDB"
    )
    peers.add_argument(
        "--data", type=Path, help="folder that keeps their packages; else one in the user's cache"
    )
    peers.set_defaults(measure=_peers, table=table.table)
    link = commands.add_parser(
        "sync", help="bytes and seconds of the link over good and bad lines, cuts, a herd"
    )
    link.add_argument("--only", default="", metavar="ROW[,ROW]", help=f"of {', '.join(sync.ROWS)}")
    link.add_argument(
        "--seed", type=int, default=1, help="of cases, losses and cuts (default: %(default)s)"
    )
    link.add_argument(
        "--data",
        type=Path,
        help="folder that keeps a million cases, 12 GB; else one in the user's cache",
    )
    link.set_defaults(measure=_sync, table=sync_table)
    for command in (local, peers, link):
        command.add_argument(
            "--json", action="store_true", help="one JSON object on standard output"
        )
        command.add_argument(
            "--quick", action="store_true", help="less than a minute, with fewer cases"
        )
    return parser


def _local(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    return measure_local(QUICK if options.quick else FULL, options.data, progress)


def _peers(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    size = scenarios.QUICK if options.quick else scenarios.FULL
    _end_when_terminated()
    return table.measure_peers(size, options.data, progress)


def _sync(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    _end_when_terminated()
    plan = sync.Plan(
        size=sizes.QUICK if options.quick else sizes.FULL,
        data=options.data,
        seed=options.seed,
        only=[name for name in options.only.split(",") if name],
    )
    return sync.measure_sync(plan, progress)


def _end_when_terminated() -> None:
    """Let whatever ends us let us end the programs at the two ends, and remove their folders."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _table(figures: dict[str, Any]) -> str:
    return aims_table(figures, _AIMS)


if __name__ == "__main__":
    sys.exit(main())
