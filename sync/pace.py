"""How much may be on its way: what the line carries in one round trip, and a little more.

The rate is the best of the last deliveries, the round trip the shortest of all, in BBR's manner
(draft-cardwell-iccrg-bbr-congestion-control); what a cut loses is never more than that. Below,
TCP holds back what follows a lost packet until that has come again: where this happens, the line
would stand still meanwhile if no more were on its way, so the time held back counts as way, too.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

_SAMPLES: Final = 10
# Losses come unevenly; of the time that they hold back, the mean of so many counts.
_HELD_SAMPLES: Final = 32
_GAIN: Final = 1.25
# Where the least window, and so much more, is all that a line carries, it is tried with more only
# once after so many windows.
_LEAST: Final = 1.05
_TRY_EVERY: Final = 16
# A sample longer than this tells of a clock that was set, not of a line.
_TRIP_MS_MAX: Final = 120_000


@dataclass(frozen=True, slots=True)
class Departure:
    """When something left, and how much had been delivered by then.

    Attributes:
        queued_bytes: that had to arrive with it, itself included; None: not known.
    """

    at_ms: int
    delivered_bytes: int
    queued_bytes: int | None = None


class Pace:
    """The line in one direction.

    Attributes:
        delivered_bytes: acknowledged since the start.
    """

    def __init__(self, window_min: int, window_max: int) -> None:
        """Know nothing: the smallest window."""
        self._window_min = window_min
        self._window_max = window_max
        self._rates: deque[float] = deque(maxlen=_SAMPLES)
        self._held_ms: deque[float] = deque(maxlen=_HELD_SAMPLES)
        # Of all: what waits in a queue, ours included, must not count as the length of the way.
        self._trip_ms: int | None = None
        # Until so much is delivered, the line was found to carry no more than the least window.
        self._full_until_bytes = 0
        self.delivered_bytes = 0

    def widen(self, window_min: int) -> None:
        """Let at least so much be on its way from now on."""
        self._window_min = min(max(self._window_min, window_min), self._window_max)

    def depart(self, now_ms: int, queued_bytes: int | None = None) -> Departure:
        """Return the mark that something leaves with."""
        return Departure(now_ms, self.delivered_bytes, queued_bytes)

    def arrive(self, left: Departure, size_bytes: int, now_ms: int) -> None:
        """Learn from what was delivered."""
        self.delivered_bytes += size_bytes
        trip_ms = now_ms - left.at_ms
        if 0 <= trip_ms < _TRIP_MS_MAX:
            trip_ms = max(1, trip_ms)
            self._trip_ms = trip_ms if self._trip_ms is None else min(self._trip_ms, trip_ms)
            self._rates.append((self.delivered_bytes - left.delivered_bytes) * 1_000 / trip_ms)
            if left.queued_bytes is not None:
                # What waited behind our own bytes does not tell of losses.
                own_ms = left.queued_bytes * 1_000 / max(self._rates)
                self._held_ms.append(max(0.0, trip_ms - max(self._trip_ms, own_ms)))
                is_full = self._carried_bytes() <= self._window_min * _LEAST
                if left.queued_bytes > self._window_min and is_full:
                    self._full_until_bytes = self.delivered_bytes + _TRY_EVERY * self._window_min

    def _carried_bytes(self) -> float:
        held_ms = sum(self._held_ms) / max(1, len(self._held_ms))
        return max(self._rates) * ((self._trip_ms or 0) + held_ms) / 1_000

    @property
    def rate_bytes_s(self) -> float | None:
        """What the line carries; None before anything was delivered."""
        return max(self._rates, default=None)

    @property
    def trip_ms(self) -> int | None:
        """The round trip; None before anything was delivered."""
        return self._trip_ms

    @property
    def window_bytes(self) -> int:
        """What may be on its way together."""
        if self._trip_ms is None:
            return self._window_min
        carried = self._carried_bytes()
        if self.delivered_bytes >= self._full_until_bytes or carried > self._window_min * _LEAST:
            carried *= _GAIN
        return int(min(max(carried, self._window_min), self._window_max))
