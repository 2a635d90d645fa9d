"""Start slots: who may begin a link now, and when the others are to dial again.

After an outage every child dials at once, each with its backlog. Those that begin are few at a
time, so that each is through soon; the others get a time at which they are let in for certain. A
slot is for the start only: it is free again once the child has caught up, or after some seconds, so
a child with a long backlog keeps its link and nobody waits for its end. Who dials again and again
gets a time as well. Times are seconds of a clock that never runs backwards.
"""

from dataclasses import dataclass
from typing import Final

# So many keep the writer busy; more would only make handshakes and greetings wait for each other.
STARTING_MAX: Final = 64
# A start that takes longer holds no slot any more.
START_S: Final = 10.0
# What a start is taken to last before any was seen, and at least; and how much each one counts.
FIRST_GUESS_S: Final = 2.0
_START_S_MIN: Final = 0.5
_NEWS: Final = 1 / 8
# Not worth coming back for.
_SOON_S: Final = 0.1
# Who is so late has to ask anew.
_LATE_S: Final = 120.0
# A line that falls and comes back may dial so often at once, and then once in so many seconds.
DIALS_AT_ONCE: Final = 30
DIAL_EVERY_S: Final = 2.0


@dataclass(slots=True)
class _Dials:
    """How often a child may dial at once, as it was at a time."""

    left: float
    at_s: float


class Slots:
    """Hands out start slots to children, which are named by whatever tells them apart."""

    def __init__(self) -> None:
        """Start with all slots free."""
        self._starting: dict[bytes, float] = {}
        self._turns: dict[bytes, float] = {}
        self._dials: dict[bytes, _Dials] = {}
        self._last_turn_s = 0.0
        self._usual_s = FIRST_GUESS_S

    def ask(self, child: bytes, now_s: float) -> float:
        """Return 0 where the child may start, else after how many seconds it is to dial again."""
        self._forget(now_s)
        wait_s = self._rest_s(child, now_s)
        if wait_s > 0:
            return wait_s
        turn_s = self._turns.get(child)
        if turn_s is None:
            if len(self._starting) < STARTING_MAX and self._last_turn_s <= now_s:
                self._start(child, now_s)
                return 0.0
            # Those who had to wait come back as far apart as slots become free.
            apart_s = self._usual_s / STARTING_MAX
            turn_s = self._turns[child] = self._last_turn_s = (
                max(self._last_turn_s, now_s) + apart_s
            )
        if turn_s - now_s > _SOON_S:
            return turn_s - now_s
        # At its turn it is let in without counting, or the turn would be no promise.
        self._start(child, now_s)
        return 0.0

    def end(self, child: bytes, now_s: float) -> None:
        """Free the slot of a child that has caught up or gone."""
        begun_s = self._starting.pop(child, None)
        if begun_s is not None:
            self._learn(now_s - begun_s)

    def _learn(self, took_s: float) -> None:
        took_s = min(max(took_s, _START_S_MIN), START_S)
        self._usual_s += (took_s - self._usual_s) * _NEWS

    @property
    def starting(self) -> tuple[bytes, ...]:
        """Who holds a slot."""
        return tuple(self._starting)

    def _start(self, child: bytes, now_s: float) -> None:
        self._turns.pop(child, None)
        self._starting[child] = now_s
        self._dials[child].left -= 1

    def _rest_s(self, child: bytes, now_s: float) -> float:
        """Return how long a child that dials too often has to rest."""
        known = self._dials.setdefault(child, _Dials(DIALS_AT_ONCE, now_s))
        gained = (now_s - known.at_s) / DIAL_EVERY_S
        known.left, known.at_s = min(known.left + gained, DIALS_AT_ONCE), now_s
        return 0.0 if known.left >= 1 else (1 - known.left) * DIAL_EVERY_S

    def _forget(self, now_s: float) -> None:
        for child in [c for c, s in self._starting.items() if now_s - s >= START_S]:
            self.end(child, now_s)
        self._turns = {c: s for c, s in self._turns.items() if now_s - s < _LATE_S}
        whole_s = DIALS_AT_ONCE * DIAL_EVERY_S
        self._dials = {c: d for c, d in self._dials.items() if now_s - d.at_s < whole_s}
