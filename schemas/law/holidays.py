"""Days that the Government moved in one year: extra days off, and days off that are worked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from schemas.errors import LawError
from schemas.law.table import Entry, parse_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedDay:
    """One day and the decision that moved it."""

    on: date
    source: str
    verified: bool
    ref: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class YearOverride:
    """What differs in one year from the usual days off."""

    year: int
    off: tuple[MovedDay, ...] = ()
    working: tuple[MovedDay, ...] = ()


def parse_holidays(text: str) -> YearOverride:
    """Return the override of one year.

    Raises:
        LawError: unknown or missing keys, wrong values, a day of another year or twice.
    """
    document = Entry(parse_toml(text), "holidays")
    year = document.take("year", int)
    off = tuple(_moved_day(item, year) for item in document.take_list("off", dict))
    working = tuple(_moved_day(item, year) for item in document.take_list("working", dict))
    document.end()
    days = [moved.on for moved in (*off, *working)]
    if len(set(days)) < len(days):
        raise LawError("law_id_twice", f"a day of {year} stands twice")
    return YearOverride(year=year, off=off, working=working)


def _moved_day(item: Mapping[str, Any], year: int) -> MovedDay:
    entry = Entry(item, f"holidays {year}")
    day = MovedDay(
        on=entry.take("on", date),
        source=entry.take("source", str),
        verified=entry.take("verified", bool),
        ref=entry.take("ref", str, ""),
        note=entry.take("note", str, ""),
    )
    entry.end()
    if day.on.year != year:
        raise LawError("law_value_wrong", f"{day.on} is not in {year}")
    if day.verified and not day.ref:
        raise LawError("law_ref_missing", f"{day.on} is verified but does not say where")
    return day
