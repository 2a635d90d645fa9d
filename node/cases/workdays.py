"""Counts calendar and working days.

Counting starts on the next day, and a time limit whose last day is a day off ends on the next
working day (Civil Code 2015, Art. 147 and 148; not verified, see counting.toml). Public holidays
and substitute days come from the `holidays` package, the days that the Government moves from yearly
files. Saturday and Sunday are days off.
"""

from collections.abc import Iterable
from datetime import date
from functools import cache

import holidays

from schemas.law.holidays import YearOverride
from schemas.law.rules import Unit

# Friday, 31 December 9999: no date comes after it.
_LAST = date.max.toordinal()
_SATURDAY = 5
# A time limit of law is days to years; a longer count is a mistake in the data.
_DAYS_MAX = 36_500
# Years for which the lunar calendar of the package is known.
_YEAR_MIN, _YEAR_MAX = 1945, 2098


class Calendar:
    """The working days of Viet Nam, by the package and the yearly overrides."""

    def __init__(self, overrides: Iterable[YearOverride] = ()) -> None:
        """Take overrides; of two for one year, the later one counts alone."""
        by_year = {override.year: override for override in overrides}
        self._off = frozenset(day.on for override in by_year.values() for day in override.off)
        self._working = frozenset(
            day.on for override in by_year.values() for day in override.working
        )

    def is_working_day(self, day: date) -> bool:
        """Tell whether offices work on a day."""
        if day in self._off:
            return False
        if day in self._working:
            return True
        off, working = _national_days(day.year)
        return day in working or (day.weekday() < _SATURDAY and day not in off)

    def next_working_day(self, day: date) -> date:
        """Return the day itself if offices work on it, else the first one after it that is."""
        while not self.is_working_day(day):
            day = _after(day, 1)
        return day

    def due(self, start: date, days: int, unit: Unit) -> date:
        """Return the last day of a time limit.

        Args:
            start: the day of what triggers it, not counted itself; 0 days end on it.
            days: length, from 0 to a hundred years.
            unit: what to count.
        """
        if not 0 <= days <= _DAYS_MAX:
            raise ValueError(f"a time limit of {days} days")
        if days == 0:
            return start
        if unit is Unit.CALENDAR:
            return self.next_working_day(_after(start, days))
        day = start
        for _ in range(days):
            day = self.next_working_day(_after(day, 1))
        return day

    def last_day(self, start: date, days: int) -> date:
        """Return the last of so many calendar days, day off or not, for keeping and posting."""
        if not 0 <= days <= _DAYS_MAX:
            raise ValueError(f"a duration of {days} days")
        return _after(start, days)


def look_up_days_off(year: int) -> None:
    """Have the days off of a year at hand: the first look takes a fifth of a second."""
    _national_days(year)


def _after(day: date, days: int) -> date:
    """Return the day so many days later; a record may hold any date, and none must stop a node."""
    return date.fromordinal(min(day.toordinal() + days, _LAST))


@cache
def _national_days(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Return the public days off of a year, and the weekend days that are worked instead."""
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        return frozenset(), frozenset()
    # A day worked at the end of a year may be moved to a day off of the next.
    known = holidays.country_holidays("VN", years=(year, year + 1))
    off = frozenset(day for day in known if day.year == year)
    working = frozenset(day for day in known.weekend_workdays if day.year == year)
    return off, working
