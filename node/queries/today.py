"""What needs somebody today."""

import sqlite3
from datetime import datetime, time, timedelta
from typing import Final

from node.clock import PLACE
from node.queries.cases import CaseFilter, Place, list_cases
from node.queries.facts import CasePage, Today
from node.queries.files import directives
from node.queries.reception import reception_periods

_SHOWN: Final = 5


def yesterday_ms(place: Place) -> int:
    """Return when yesterday began at the place, in milliseconds since 1970."""
    start = datetime.combine(place.today - timedelta(days=1), time(), PLACE)
    return int(start.timestamp() * 1000)


def today(db: sqlite3.Connection, place: Place) -> Today:
    """Return the counts, and the first few of each list."""
    since_ms = yesterday_ms(place)

    def first(wanted: CaseFilter) -> CasePage:
        return list_cases(db, place, wanted, since_ms=since_ms)

    overdue = first(CaseFilter(only="overdue", size=_SHOWN))
    soon = first(CaseFilter(only="soon", size=_SHOWN))
    conflicts = first(CaseFilter(only="conflict", size=_SHOWN))
    new = first(CaseFilter(only="new", size=_SHOWN))
    waiting = directives(db, place, only_waiting=True)
    return Today(
        overdue_count=overdue.count,
        soon_count=soon.count,
        conflict_count=conflicts.count,
        directive_count=len(waiting),
        new_count=new.count,
        open_count=first(CaseFilter(only="open", size=1)).count,
        overdue=overdue.cases,
        soon=soon.cases,
        conflicts=conflicts.cases,
        new=new.cases,
        directives=waiting[:_SHOWN],
        reception=reception_periods(db, place),
    )
