"""Numbers out of many measurements, and progress for whoever waits."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_SHOW_EVERY_S: Final = 0.5


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below or at which so large a share of all lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the value in the middle."""
    return percentile(values, 0.5)


def aims_table(figures: Mapping[str, Any], aims: Mapping[str, tuple[float, bool]]) -> str:
    """Return figures for people, a line each.

    Args:
        figures: by name.
        aims: what the product wants to reach, and whether less is better.
    """
    width = 2 + max(map(len, figures))
    lines = []
    for name, value in figures.items():
        aim, is_less_better = aims.get(name, (None, True))
        wanted = "" if aim is None else f"  (aim: {'<=' if is_less_better else '>='} {aim:,})"
        shown = f"{value:>14,}" if type(value) in (int, float) else f"{value!s:>14}"
        lines.append(f"{name:<{width}}{shown}{wanted}")
    return "\n".join(lines)


@dataclass(slots=True)
class Stopwatch:
    """Adds up wall time and processor time of this process over several laps."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    _wall: float = 0.0
    _cpu: float = 0.0

    def __enter__(self) -> "Stopwatch":
        """Start a lap."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """End the lap."""
        self.wall_s += time.perf_counter() - self._wall
        self.cpu_s += time.process_time() - self._cpu


class Progress:
    """Tells on standard error what is being done, on one line if a person watches."""

    def __init__(self) -> None:
        """Start with nothing said."""
        self._is_watched = sys.stderr.isatty()
        self._shown_s = 0.0
        self._what = ""

    def show(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show a stage, and how far it is."""
        is_new, self._what = what != self._what, what
        now_s = time.monotonic()
        is_due = now_s - self._shown_s >= _SHOW_EVERY_S or done >= total
        if not is_new and not (is_due and self._is_watched):
            return
        self._shown_s = now_s
        text = f"{what}: {done:,} of {total:,}" if total else what
        if self._is_watched:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(what, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Leave a line that stays."""
        self.close()
        print(text, file=sys.stderr, flush=True)
        self._what = ""

    def close(self) -> None:
        """Clear the line."""
        if self._is_watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
