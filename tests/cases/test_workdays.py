"""Days are counted as the law counts them, around weekends, Tết and moved days.

Method: known dates of 2025 to 2027, and properties over random days.
"""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cases.workdays import Calendar
from schemas.law.holidays import MovedDay, YearOverride
from schemas.law.rules import Unit

CALENDAR = Calendar()
DAYS = st.dates(date(2012, 1, 1), date(2060, 12, 31))


def moved(day: date) -> MovedDay:
    return MovedDay(on=day, source="Công văn thử nghiệm", verified=False)


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2026, 9, 3), True),
        (date(2026, 9, 2), False),
        (date(2026, 9, 5), False),
        (date(2026, 9, 6), False),
        (date(2026, 4, 27), False),
        (date(2026, 2, 17), False),
        (date(2027, 2, 8), False),
        (date(2026, 3, 2), True),
    ],
)
def test_offices_close_on_weekends_holidays_and_substitute_days(day: date, works: bool) -> None:
    assert CALENDAR.is_working_day(day) is works


def test_counting_starts_on_the_next_day() -> None:
    assert CALENDAR.due(date(2026, 9, 7), 1, Unit.CALENDAR) == date(2026, 9, 8)
    assert CALENDAR.due(date(2026, 9, 7), 1, Unit.WORKING) == date(2026, 9, 8)
    assert CALENDAR.due(date(2026, 9, 7), 0, Unit.WORKING) == date(2026, 9, 7)


def test_a_last_day_on_a_day_off_moves_to_the_next_working_day() -> None:
    assert CALENDAR.due(date(2026, 9, 2), 10, Unit.CALENDAR) == date(2026, 9, 14)
    assert CALENDAR.due(date(2026, 2, 6), 10, Unit.CALENDAR) == date(2026, 2, 23)


def test_working_days_skip_every_day_off() -> None:
    assert CALENDAR.due(date(2026, 9, 3), 5, Unit.WORKING) == date(2026, 9, 10)
    assert CALENDAR.due(date(2026, 4, 24), 3, Unit.WORKING) == date(2026, 5, 4)


def test_keeping_and_posting_end_on_the_very_day() -> None:
    assert CALENDAR.last_day(date(2026, 9, 4), 15) == date(2026, 9, 19)


def test_a_moved_day_of_the_yearly_file_counts() -> None:
    override = YearOverride(
        year=2026, off=(moved(date(2026, 9, 4)),), working=(moved(date(2026, 9, 5)),)
    )
    calendar = Calendar([override])
    assert not calendar.is_working_day(date(2026, 9, 4))
    assert calendar.is_working_day(date(2026, 9, 5))
    assert calendar.due(date(2026, 9, 3), 1, Unit.WORKING) == date(2026, 9, 5)


def test_a_later_file_of_a_year_replaces_an_earlier_one() -> None:
    shipped = YearOverride(year=2026, off=(moved(date(2026, 9, 4)),))
    calendar = Calendar([shipped, YearOverride(year=2026)])
    assert calendar.is_working_day(date(2026, 9, 4))


def test_a_weekend_day_that_is_worked_instead_is_known() -> None:
    # 26 April 2025 was worked for 2 May 2025.
    assert CALENDAR.is_working_day(date(2025, 4, 26))
    assert not CALENDAR.is_working_day(date(2025, 5, 2))


def test_a_year_beyond_the_lunar_tables_has_weekends_only() -> None:
    assert CALENDAR.is_working_day(date(2300, 1, 1))
    assert not CALENDAR.is_working_day(date(2300, 1, 6))


@pytest.mark.parametrize("days", [-1, 40_000])
def test_an_absurd_length_is_a_mistake(days: int) -> None:
    with pytest.raises(ValueError, match="days"):
        CALENDAR.due(date(2026, 9, 1), days, Unit.CALENDAR)
    with pytest.raises(ValueError, match="days"):
        CALENDAR.last_day(date(2026, 9, 1), days)


@given(start=DAYS, days=st.integers(1, 90))
def test_a_time_limit_ends_on_a_working_day_and_is_never_too_short(start: date, days: int) -> None:
    for unit in Unit:
        due = CALENDAR.due(start, days, unit)
        assert CALENDAR.is_working_day(due)
        assert due >= start + timedelta(days=days)


@given(start=DAYS, days=st.integers(1, 40))
def test_so_many_working_days_lie_within_the_time_limit(start: date, days: int) -> None:
    due = CALENDAR.due(start, days, Unit.WORKING)
    between = (start + timedelta(days=n) for n in range(1, (due - start).days + 1))
    assert sum(map(CALENDAR.is_working_day, between)) == days
