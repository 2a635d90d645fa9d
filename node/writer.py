"""The one thread that writes: units of work queue up and run one after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# More waiting work than this means that the disk cannot follow; callers wait for a place.
_WAITING_MAX = 1_000


class WriterThread:
    """Runs functions that use the writing connection, in order."""

    def __init__(self) -> None:
        """Start the thread at the first use."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._places = asyncio.Semaphore(_WAITING_MAX)

    async def run(self, work: Callable[[], T]) -> T:
        """Run one unit of work and return its result.

        A cancelled waiter does not stop the work: writes are idempotent.
        """
        async with self._places:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def run_from_thread(self, work: Callable[[], T]) -> T:
        """Run one unit of work for another thread, which waits for it."""
        return self._executor.submit(work).result()

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._executor.shutdown(wait=True)


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
