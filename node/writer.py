"""The one thread that writes: units of work wait for their turn and run one after the other.

People at a page go before links. Links share what is left evenly by the time that their work takes,
so that a peer with a long backlog, or one whose messages are dear, makes nobody wait but itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from node.clock import Clock
from node.turns import Turns

T = TypeVar("T")

# More waiting work than this means that the disk cannot follow; callers wait for a place.
_WAITING_MAX: Final = 1_000


class _Unit:
    """What makes a unit of work once the thread is free for it, and who waits for its result."""

    __slots__ = ("done", "prepare")

    def __init__(
        self, prepare: Callable[[], Callable[[], Any]], done: "asyncio.Future[Any]"
    ) -> None:
        self.prepare = prepare
        self.done = done


class WriterThread:
    """Runs functions that use the writing connection."""

    def __init__(self, clock: Clock) -> None:
        """Start the thread at the first use."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._clock = clock
        self._places = asyncio.Semaphore(_WAITING_MAX)
        self._people: deque[_Unit] = deque()
        self._links: Turns[bytes, _Unit] = Turns()
        self._is_busy = False
        self._is_closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run one unit of work for somebody at a page, or for the node itself; return its result.

        A cancelled waiter does not stop the work once it began: writes are idempotent.
        """
        return await self._wait(None, lambda: work)

    async def run_for(self, peer_id: bytes, work: Callable[[], T]) -> T:
        """Run one unit of work for a link when it is its peer's turn, and return its result."""
        return await self._wait(peer_id, lambda: work)

    async def run_prepared(self, peer_id: bytes, prepare: Callable[[], Callable[[], T]]) -> T:
        """Do the same with work that is made, here in the loop, when the turn has come.

        So it takes along what has come while it waited.
        """
        return await self._wait(peer_id, prepare)

    async def _wait(self, peer_id: bytes | None, prepare: Callable[[], Callable[[], T]]) -> T:
        async with self._places:
            done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            unit = _Unit(prepare, done)
            if peer_id is None:
                self._people.append(unit)
            else:
                self._links.add(peer_id, unit)
            self._go_on()
            return await done

    def _go_on(self) -> None:
        """Hand the next unit to the thread, which has one at a time so that order can change."""
        while not (self._is_busy or self._is_closed) and (self._people or self._links):
            peer_id, unit = None, None
            if self._people:
                unit = self._people.popleft()
            else:
                peer_id, unit = self._links.next()
            if unit.done.cancelled():
                continue
            self._is_busy = True
            begun_s = self._clock.monotonic_s()
            running = asyncio.get_running_loop().run_in_executor(self._executor, unit.prepare())
            running.add_done_callback(partial(self._end, unit, peer_id, begun_s))

    def _end(
        self, unit: _Unit, peer_id: bytes | None, begun_s: float, ended: "asyncio.Future[Any]"
    ) -> None:
        self._is_busy = False
        if peer_id is not None:
            self._links.spend(peer_id, self._clock.monotonic_s() - begun_s)
        if not unit.done.done():
            if ended.cancelled():
                unit.done.cancel()
            elif (error := ended.exception()) is not None:
                unit.done.set_exception(error)
            else:
                unit.done.set_result(ended.result())
        elif not ended.cancelled():
            # Nobody waits any more; the error was translated for a waiter only.
            ended.exception()
        self._go_on()

    def run_from_thread(self, work: Callable[[], T]) -> T:
        """Run one unit of work for another thread, which waits for it."""
        return self._executor.submit(work).result()

    def close(self) -> None:
        """Finish what runs, then end the thread; who waits is cancelled."""
        self._is_closed = True
        self._executor.shutdown(wait=True)
        while self._links:
            self._people.append(self._links.next()[1])
        for unit in self._people:
            unit.done.cancel()


class ChangeCounter:
    """Counts commits and link changes, so that pages and links can wait for news."""

    def __init__(self) -> None:
        """Start at zero."""
        self.number = 0
        self._news = asyncio.Condition()

    async def announce(self) -> None:
        """Wake everybody who waits."""
        async with self._news:
            self.number += 1
            self._news.notify_all()

    async def wait(self, after: int, timeout_s: float) -> int:
        """Return the count once it is above `after`, or as it is when time is up."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: self.number > after)
        except TimeoutError:
            return self.number
        return self.number
