"""Whose turn it is among many who want the same worker: each gets an equal share of its time.

Start-time fair queueing (Goyal, Vin, Cheng 1996): a piece of work starts, in virtual time, where
its owner's last one ended, or now if that is past; the earliest start goes first. Who wants much
waits for the others after each piece; who wanted nothing for a while is next.
"""

import heapq
import itertools
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

# Owners whose share is used up are few; others are forgotten from so many on.
_REMEMBERED: Final = 1_000


class Turns(Generic[K, T]):
    """Waiting pieces of work by owner."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._now = 0.0
        # Where in virtual time the last piece of each owner ended.
        self._ends: dict[K, float] = {}
        self._waiting: list[tuple[float, int, K, T]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """Return how many pieces wait."""
        return len(self._waiting)

    def add(self, owner: K, piece: T) -> None:
        """Let a piece wait for its owner's turn; an owner waits with one at a time."""
        start = max(self._now, self._ends.get(owner, 0.0))
        heapq.heappush(self._waiting, (start, next(self._numbers), owner, piece))

    def next(self) -> tuple[K, T]:
        """Return the piece whose turn it is.

        Raises:
            IndexError: none waits.
        """
        start, _, owner, piece = heapq.heappop(self._waiting)
        self._now = max(self._now, start)
        return owner, piece

    def spend(self, owner: K, amount: float) -> None:
        """Note what the owner's piece took, once it is done; always in the same unit."""
        self._ends[owner] = max(self._now, self._ends.get(owner, 0.0)) + amount
        if len(self._ends) > _REMEMBERED:
            self._ends = {key: end for key, end in self._ends.items() if end > self._now}
