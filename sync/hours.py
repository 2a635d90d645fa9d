"""Hours of the day in which files travel: between two times of day, or at any time."""

import re
from dataclasses import dataclass
from typing import Final

_MINUTE_MS: Final = 60_000
_DAY_MIN: Final = 24 * 60
_FORM: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Hours:
    """From one minute of the day up to another, over midnight too; equal ones mean any time.

    Attributes:
        offset_min: minutes that the place is ahead of UTC, the same all year.
    """

    start_min: int = 0
    end_min: int = 0
    offset_min: int = 0

    def opens_ms(self, now_ms: int) -> int:
        """Return when they begin next; now, if they have begun."""
        length = (self.end_min - self.start_min) % _DAY_MIN
        minute = now_ms // _MINUTE_MS
        passed = (minute + self.offset_min - self.start_min) % _DAY_MIN
        if not length or passed < length:
            return now_ms
        return (minute + _DAY_MIN - passed) * _MINUTE_MS


ANY_TIME: Final = Hours()


def parse_hours(text: str, offset_min: int) -> Hours:
    """Return hours written as `20:00-06:00`; nothing means any time.

    Raises:
        ValueError: written otherwise.
    """
    if not text:
        return ANY_TIME
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"no hours: {text!r:.40}")
    start, end = (int(found[n]) * 60 + int(found[n + 1]) for n in (1, 3))
    if start == end:
        raise ValueError("hours that begin when they end")
    return Hours(start, end, offset_min)
