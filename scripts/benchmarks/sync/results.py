"""Figures as they are found: values under their names, what they lie between, what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from scripts.benchmarks.measure import Progress, median, percentile

# What of many measurements is the figure.
Statistic = Literal["median", "p95", "p99", "max", "sum"]
_TAKE: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "median": median,
    "p95": lambda values: percentile(values, 0.95),
    "p99": lambda values: percentile(values, 0.99),
    "max": max,
    "sum": sum,
}


@dataclass(slots=True)
class Results:
    """What was found so far; each figure is told at once.

    Attributes:
        progress: is told.
        figures: by name.
        spread: by name: least, median and most of the measurements, and how many there were.
        left_out: sentences on what this size does not measure.
        failed: why a row was not measured to its end, by row.
    """

    progress: Progress
    figures: dict[str, Any] = field(default_factory=dict)
    spread: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def put(
        self, name: str, values: Sequence[float], digits: int = 0, take: Statistic = "median"
    ) -> None:
        """Keep a figure with its measurements; without any, nothing."""
        if not values:
            return
        found = {"min": min(values), "median": median(values), "max": max(values)}
        self.spread[name] = {key: _round(value, digits) for key, value in found.items()}
        self.spread[name]["n"] = len(values)
        self.note(name, _round(_TAKE[take](values), digits))

    def note(self, name: str, value: Any) -> None:
        """Keep a figure that was measured once, or says what others are of."""
        self.figures[name] = value
        spread = self.spread.get(name)
        between = ""
        if spread is not None and spread["n"] > 1:
            between = f" ({spread['min']:,} to {spread['max']:,}, {spread['n']} times)"
        self.progress.say(f"{name} {value}{between}")

    def fail(self, row: str, reason: str) -> None:
        """Keep why a row was not measured to its end."""
        self.failed[row] = reason
        self.progress.say(f"{row} FAILED: {reason}")

    def as_object(self) -> dict[str, Any]:
        """Return all as one object."""
        return self.figures | {
            "spread": self.spread,
            "left_out": self.left_out,
            "failed": self.failed,
        }


def _round(value: float, digits: int) -> float:
    return round(value, digits) if digits else round(value)
