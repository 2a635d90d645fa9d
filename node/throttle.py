"""Slows down callers: each may ask some times at once, and then once in so many seconds."""

from dataclasses import dataclass


@dataclass(slots=True)
class _Asked:
    """How often a caller may ask at once, as it was at a time."""

    left: float
    at_s: float


class Throttle:
    """Counts what callers ask, by whatever tells them apart; forgets those who rest."""

    def __init__(self, at_once: int, every_s: float, callers_max: int) -> None:
        """Let each of so many callers ask at_once times, then once in every_s."""
        self._at_once = at_once
        self._every_s = every_s
        self._callers_max = callers_max
        self._callers: dict[str, _Asked] = {}

    def wait_s(self, caller: str, now_s: float) -> float:
        """Return 0 where the caller may ask, and count it; else after how many seconds it may."""
        whole_s = self._at_once * self._every_s
        self._callers = {c: a for c, a in self._callers.items() if now_s - a.at_s < whole_s}
        if caller not in self._callers and len(self._callers) >= self._callers_max:
            return self._every_s
        known = self._callers.setdefault(caller, _Asked(self._at_once, now_s))
        gained = (now_s - known.at_s) / self._every_s
        known.left, known.at_s = min(known.left + gained, self._at_once), now_s
        if known.left < 1:
            return (1 - known.left) * self._every_s
        known.left -= 1
        return 0.0
