"""The one writer of a simulated node: links take turns at it, and each piece takes its time."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from node.turns import Turns
from tests.simulation.promises import BrokenPromise

# Links wait for one piece of each other, and for as much again if their own last one was long.
_PIECES_MAX: Final = 2


class SimulatedWriter:
    """Runs pieces of work one after the other, as node/writer.py does; goes with the process."""

    def __init__(
        self, after: Callable[[int, Callable[[], None]], None], now_ms: Callable[[], int]
    ) -> None:
        """Schedule by after(delay_ms, action), by the time of the world."""
        self._after = after
        self._now_ms = now_ms
        self._turns: Turns[bytes, Callable[[], int]] = Turns()
        self._is_busy = False
        # Since when those who wait do.
        self._since_ms: dict[bytes, int] = {}
        # The longest piece of each owner.
        self._longest_ms: defaultdict[bytes, int] = defaultdict(int)

    def run_for(self, owner: bytes, work: Callable[[], int]) -> None:
        """Run work of a link, which returns how many milliseconds it takes, when it is its turn."""
        self._turns.add(owner, work)
        self._since_ms.setdefault(owner, self._now_ms())
        if not self._is_busy:
            self._go_on()

    def _go_on(self) -> None:
        self._is_busy = False
        while self._turns and not self._is_busy:
            self._check_wait(self._now_ms() - min(self._since_ms.values(), default=self._now_ms()))
            owner, work = self._turns.next()
            self._since_ms.pop(owner, None)
            spent_ms = work()
            self._turns.spend(owner, spent_ms)
            self._longest_ms[owner] = max(self._longest_ms[owner], spent_ms)
            if spent_ms:
                self._is_busy = True
                self._after(spent_ms, self._go_on)

    def _check_wait(self, waited_ms: int) -> None:
        fair_ms = _PIECES_MAX * sum(self._longest_ms.values())
        if waited_ms > fair_ms:
            raise BrokenPromise("starved", f"a link waited {waited_ms} ms, not {fair_ms}")
