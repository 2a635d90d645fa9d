"""Working hours at an office: when things of the past happened."""

import random
from datetime import date, datetime, time, timedelta
from typing import Final

from node.clock import PLACE, date_of

_MORNING: Final = (450, 690)  # 7:30 to 11:30, in minutes of the day
_AFTERNOON: Final = (810, 1_010)  # 13:30 to 16:50
_SATURDAY: Final = 5
_MINUTE_MS: Final = 60_000
_DAY: Final = timedelta(1)


def office_day(day: date, *, forward: bool) -> date:
    """Return the day itself, or at a weekend the working day before or after it."""
    while day.weekday() >= _SATURDAY:
        day += _DAY if forward else -_DAY
    return day


def moment(rng: random.Random, day: date) -> int:
    """Return some time of a day's working hours, in milliseconds since 1970."""
    start, end = _MORNING if rng.random() < 0.6 else _AFTERNOON
    minutes = timedelta(minutes=rng.randint(start, end), seconds=rng.randint(0, 59))
    return int((datetime.combine(day, time(), PLACE) + minutes).timestamp() * 1000)


def past_moment(rng: random.Random, now_ms: int, age_days: int) -> int:
    """Return a working moment so many days ago; earlier where that lies in the future."""
    day = office_day(date_of(now_ms) - age_days * _DAY, forward=False)
    at_ms = moment(rng, day)
    while at_ms > now_ms - 30 * _MINUTE_MS:
        day = office_day(day - _DAY, forward=False)
        at_ms = moment(rng, day)
    return at_ms


def later_moment(rng: random.Random, since_ms: int, after_days: int, last_ms: int) -> int:
    """Return a working moment some days after another, and after the last thing that happened."""
    day = office_day(date_of(since_ms) + after_days * _DAY, forward=True)
    return max(moment(rng, day), last_ms + rng.randint(12, 40) * _MINUTE_MS)
