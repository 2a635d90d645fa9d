"""The one place where time is read."""

import asyncio
import time
from datetime import date, datetime
from zoneinfo import ZoneInfo

PLACE = ZoneInfo("Asia/Ho_Chi_Minh")
# All year; there is no summer time.
PLACE_OFFSET_MIN = 7 * 60


class Clock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Return wall time in milliseconds since 1970; it may jump."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards, for durations."""
        return time.monotonic()

    def today(self) -> date:
        """Return the date at the place the node serves."""
        return datetime.fromtimestamp(time.time(), PLACE).date()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def date_of(ms: int) -> date:
    """Return the date at the place for a wall time."""
    return datetime.fromtimestamp(ms / 1000, PLACE).date()
