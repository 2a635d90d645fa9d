"""Goal: files travel between two times of day, wherever midnight lies, and the pages know when.

Method: hypothesis compares with counting minutes; odd spellings are refused.
"""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.hours import ANY_TIME, Hours, parse_hours

MINUTE_MS = 60_000
DAY_MIN = 1_440


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def test_a_night_in_vietnam_begins_at_20_and_ends_at_6() -> None:
    night = parse_hours("20:00-06:00", 7 * 60)
    noon, evening = at("2026-11-24T05:00:00"), at("2026-11-24T13:00:00")
    assert night.opens_ms(noon) == evening
    for now_ms in (evening, at("2026-11-24T22:59:59")):
        assert night.opens_ms(now_ms) == now_ms
    assert night.opens_ms(at("2026-11-24T23:00:00")) == at("2026-11-25T13:00:00")


def test_without_hours_it_is_always_time() -> None:
    assert parse_hours("", 420) == ANY_TIME
    assert ANY_TIME.opens_ms(12_345) == 12_345


minutes = st.integers(0, DAY_MIN - 1)


@given(minutes, minutes, st.integers(-720, 840), st.integers(0, 1 << 41))
def test_they_open_at_the_first_minute_that_is_within(
    start: int, end: int, offset: int, now_ms: int
) -> None:
    hours = Hours(start, end, offset)

    def within(minute: int) -> bool:
        of_day = (minute + offset) % DAY_MIN
        return start == end or (
            start <= of_day < end if start < end else of_day >= start or of_day < end
        )

    now = now_ms // MINUTE_MS
    first = next(minute for minute in range(now, now + 2 * DAY_MIN) if within(minute))
    assert hours.opens_ms(now_ms) == (now_ms if first == now else first * MINUTE_MS)


@pytest.mark.parametrize(
    "text", ["20:00", "20-6", "24:00-06:00", "20:00-06:60", "08:00-08:00", " "]
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hours"):
        parse_hours(text, 0)
