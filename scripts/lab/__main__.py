"""Runs programs at two ends of a bad line: `scripts/linklab --rate 64 --delay 300 --loss 20`."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from scripts.lab.lab import FAR_ADDRESS, NEAR_ADDRESS, Lab, LabError, open_lab
from scripts.lab.line import QUEUE_BYTES, Counts, Shape


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status of the program at the near end."""
    options = _parser().parse_args(arguments)
    try:
        up = _shape(options, options.rate)
        down = _shape(options, options.rate if options.down_rate is None else options.down_rate)
        with open_lab(up, down, seed=options.seed) as lab:
            return _run(lab, options)
    except (LabError, ValueError) as error:
        print(f"linklab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/linklab", description=__doc__)
    parser.add_argument("--rate", type=float, default=0, metavar="KBIT", help="kbit/s, 0: no limit")
    parser.add_argument("--down-rate", type=float, metavar="KBIT", help="towards the near end")
    parser.add_argument("--delay", type=float, default=0, metavar="MS", help="one direction")
    parser.add_argument("--jitter", type=float, default=0, metavar="MS", help="up to so much more")
    parser.add_argument("--loss", type=float, default=0, metavar="PERCENT")
    parser.add_argument("--burst", type=float, default=1, help="mean length of a run of losses")
    parser.add_argument("--block-udp", action="store_true", help="let TCP through alone")
    parser.add_argument("--queue", type=int, default=QUEUE_BYTES, metavar="BYTES")
    parser.add_argument(
        "--cut", type=_span, action="append", default=[], metavar="FROM-TO", help="seconds; repeat"
    )
    parser.add_argument("--seed", type=int, default=1, help="of losses and jitter")
    parser.add_argument("--far", metavar="COMMAND", help="runs at the far end meanwhile")
    parser.add_argument("command", nargs="*", help="runs at the near end; a shell if none is given")
    return parser


def _span(text: str) -> tuple[float, float]:
    first, _, last = text.partition("-")
    return float(first), float(last)


def _shape(options: argparse.Namespace, rate: float) -> Shape:
    return Shape(
        rate_bps=int(rate * 1_000),
        delay_ms=options.delay,
        jitter_ms=options.jitter,
        loss=options.loss / 100,
        burst=options.burst,
        queue_bytes=options.queue,
        blocks_udp=options.block_udp,
    )


def _run(lab: Lab, options: argparse.Namespace) -> int:
    print(f"linklab: near is {NEAR_ADDRESS}, far is {FAR_ADDRESS}", file=sys.stderr)
    print(
        f"linklab: a shell at the far end: {shlex.join(lab.far.command(['bash']))}", file=sys.stderr
    )
    if options.far:
        lab.far.start(shlex.split(options.far))
    lab.schedule(options.cut)
    # Ctrl-C is for the program at the near end; the lab ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = options.command or [os.environ.get("SHELL", "/bin/sh")]
    status = lab.near.run(command, preexec_fn=_restore_interrupt).returncode
    traffic = lab.traffic()
    print(f"linklab: up   {_told(traffic.up)}", file=sys.stderr)
    print(f"linklab: down {_told(traffic.down)}", file=sys.stderr)
    return int(status)


def _restore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _told(counts: Counts) -> str:
    return (
        f"{counts.packets} packets, {counts.bytes} bytes; {counts.lost} lost on the way,"
        f" {counts.dropped} dropped by the queue, {counts.cut} by cuts"
    )


if __name__ == "__main__":
    sys.exit(main())
