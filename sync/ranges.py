"""Which sequence numbers have arrived: a sorted list of disjoint ranges."""

import bisect
from collections.abc import Iterable


class Ranges:
    """A set of numbers kept as half-open ranges."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        """Hold the given numbers."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for number in numbers:
            self.add(number, number + 1)

    def copy(self) -> "Ranges":
        """Return another set of the same numbers."""
        made = Ranges()
        made._starts, made._ends = list(self._starts), list(self._ends)
        return made

    def add(self, start: int, end: int) -> None:
        """Add all numbers from start up to, not including, end."""
        if start >= end:
            return
        first = bisect.bisect_left(self._ends, start)
        last = bisect.bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    @property
    def end(self) -> int:
        """The number behind the highest that is held; 0 if none is."""
        return self._ends[-1] if self._ends else 0

    def covers(self, start: int, end: int) -> bool:
        """Tell whether every number from start up to, not including, end is held."""
        return self.contiguous_end(start) >= end

    def contiguous_end(self, start: int) -> int:
        """Return the first number from start on that is not held."""
        index = bisect.bisect_right(self._starts, start) - 1
        if index < 0 or self._ends[index] < start:
            return start
        return self._ends[index]

    def gaps(self, start: int) -> list[tuple[int, int]]:
        """Return (first, count) of what is missing between start and the highest number held."""
        found: list[tuple[int, int]] = []
        position = start
        for held_start, held_end in zip(self._starts, self._ends, strict=True):
            if held_end <= position:
                continue
            if held_start > position:
                found.append((position, held_start - position))
            position = held_end
        return found
