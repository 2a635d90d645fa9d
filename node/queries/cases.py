"""Lists of cases: search, filters, keyset paging."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from node.folding import match_query
from node.queries.facts import CaseLine, CasePage, Office, SyncState
from node.queries.offices import office_names
from node.queries.sync_state import sync_states
from schemas.codes import CaseState, CaseType, Tier

# Days before a deadline from which it counts as soon: a working week.
SOON_DAYS: Final = 7
PAGE_SIZE_MAX: Final = 200
# Counting further would cost more than the number is worth.
COUNT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and when a query is asked."""

    own: Office
    tier: Tier
    today: date


class CaseFilter(BaseModel):
    """What the list of cases shows; every filter narrows it.

    Attributes:
        text: words of title, people, respondent, numbers; without diacritics too.
        order: `changed` newest change first, `due` next deadline first, `number` newest case first;
            a search is always by number.
        after: `next` of the page before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(default="", max_length=200)
    state: CaseState | None = None
    case_type: CaseType | None = None
    commune: str = Field(default="", pattern=r"^([0-9]{1,2}(\.[0-9]{1,5})?)?$")
    only: Literal["", "open", "closed", "overdue", "soon", "conflict", "new"] = ""
    order: Literal["changed", "due", "number"] = "changed"
    after: str = Field(default="", pattern=r"^([0-9A-Za-z-]{0,16}:[0-9]{1,15})?$")
    size: int = Field(default=50, ge=1, le=PAGE_SIZE_MAX)


@dataclass(slots=True)
class _Where:
    """Conditions and their parameters, in order."""

    conditions: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def add(self, condition: str, *parameters: object) -> None:
        self.conditions.append(condition)
        self.parameters += parameters

    @property
    def text(self) -> str:
        return " AND ".join(self.conditions) or "1"


def list_cases(
    db: sqlite3.Connection, place: Place, wanted: CaseFilter, *, since_ms: int = 0
) -> CasePage:
    """Return one page of the cases that a filter lets through.

    Args:
        db: reading connection.
        place: where and when.
        wanted: the filter.
        since_ms: when "new" begins.
    """
    where, source, key = _conditions(place, wanted, since_ms)
    if key is _FOUND:
        rows, count = _found(db, where, source, wanted)
    else:
        rows, count = _listed(db, where, source, key, wanted)
    shown = rows[: wanted.size]
    return CasePage(
        cases=case_lines(db, place, shown),
        next=key.cursor(shown[-1]) if len(rows) > wanted.size else "",
        count=min(count, COUNT_MAX),
        count_is_more=count > COUNT_MAX,
    )


def _listed(
    db: sqlite3.Connection, where: _Where, source: str, key: "_Key", wanted: CaseFilter
) -> tuple[list[sqlite3.Row], int]:
    """Return the rows of a page and one more, and how many there are in all, up to a limit."""
    count: int = db.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {where.text} LIMIT {COUNT_MAX + 1})",
        where.parameters,
    ).fetchone()[0]
    if wanted.after:
        first, _, number = wanted.after.partition(":")
        key.start_after(where, first, int(number))
    rows = db.execute(
        f"SELECT c.* FROM {source} WHERE {where.text} ORDER BY {key.order} LIMIT ?",
        [*where.parameters, wanted.size + 1],
    ).fetchall()
    return rows, count


def _found(
    db: sqlite3.Connection, where: _Where, source: str, wanted: CaseFilter
) -> tuple[list[sqlite3.Row], int]:
    """Return the same for a search, going through what the index finds only once if that will do.

    With a rare filter and frequent words that is the whole cost.
    """

    def numbers(limit: int) -> list[int]:
        query = f"SELECT s.rowid FROM {source} WHERE {where.text} ORDER BY s.rowid DESC LIMIT ?"
        return [row[0] for row in db.execute(query, [*where.parameters, limit])]

    found = numbers(COUNT_MAX + 1)
    count = len(found)
    if wanted.after:
        last = int(wanted.after.partition(":")[2])
        found = [number for number in found if number < last]
        if len(found) <= wanted.size and count > COUNT_MAX:
            where.add("s.rowid < ?", last)
            found = numbers(wanted.size + 1)
    page = found[: wanted.size + 1]
    rows = db.execute(
        f"SELECT * FROM cases WHERE number IN ({', '.join('?' * len(page))}) ORDER BY number DESC",
        page,
    ).fetchall()
    return rows, count


@dataclass(frozen=True, slots=True)
class _Key:
    """What a list is sorted by: a column, or the number alone, and in which direction."""

    column: str
    is_ascending: bool
    number: str = "c.number"

    @property
    def order(self) -> str:
        direction = "" if self.is_ascending else " DESC"
        first = f"c.{self.column}{direction}, " if self.column else ""
        return f"{first}{self.number}{direction}"

    def start_after(self, where: _Where, first: str, number: int) -> None:
        sign = ">" if self.is_ascending else "<"
        if not self.column:
            where.add(f"{self.number} {sign} ?", number)
        elif self.column == "changed_ms":
            value = int(first) if first.isdigit() else 0
            where.add(f"(c.changed_ms, {self.number}) {sign} (?, ?)", value, number)
        else:
            where.add(f"(c.{self.column}, {self.number}) {sign} (?, ?)", first, number)

    def cursor(self, row: sqlite3.Row) -> str:
        first = row[self.column] if self.column else ""
        return f"{first}:{row['number']}"


_CHANGED: Final = _Key("changed_ms", False)
_DUE: Final = _Key("due_on", True)
_NUMBER: Final = _Key("", False)
# The index gives its matches by rowid already: no sort, however common the word.
_FOUND: Final = _Key("", False, "s.rowid")


def _conditions(place: Place, wanted: CaseFilter, since_ms: int) -> tuple[_Where, str, _Key]:
    where, source, key = _Where(), "cases c", _key(wanted)
    if query := match_query(wanted.text):
        source = "case_search s CROSS JOIN cases c INDEXED BY cases_narrow ON c.number = s.rowid"
        where.add("case_search MATCH ?", query)
        key = _FOUND
    if wanted.state:
        where.add("c.state = ?", wanted.state.value)
    if wanted.case_type:
        where.add("c.case_type = ?", wanted.case_type.value)
    if wanted.commune:
        where.add("c.commune = ?", wanted.commune)
    _add_only(where, place, wanted, since_ms)
    return where, source, key


def _key(wanted: CaseFilter) -> _Key:
    if wanted.only in ("overdue", "soon"):
        return _DUE
    return {"changed": _CHANGED, "due": _DUE, "number": _NUMBER}[wanted.order]


def _add_only(where: _Where, place: Place, wanted: CaseFilter, since_ms: int) -> None:
    today = place.today.isoformat()
    match wanted.only:
        case "open":
            where.add("c.is_open = 1")
        case "closed":
            where.add("c.is_open = 0")
        case "overdue":
            where.add("c.is_open = 1 AND c.due_on != '' AND c.due_on < ?", today)
        case "soon":
            last = (place.today + timedelta(days=SOON_DAYS)).isoformat()
            where.add("c.is_open = 1 AND c.due_on >= ? AND c.due_on <= ?", today, last)
        case "conflict":
            where.add("(c.in_conflict = 1 OR c.rival_fields > 0)")
        case "new":
            # A case that came since then was also changed since then, and that has an index.
            since = (place.today - timedelta(days=1)).isoformat()
            where.add("c.changed_ms >= ? AND c.received_on >= ?", since_ms, since)
        case "":
            pass
    if wanted.order == "due" and wanted.only not in ("overdue", "soon"):
        where.add("c.due_on != ''")


def case_lines(db: sqlite3.Connection, place: Place, rows: Sequence[sqlite3.Row]) -> list[CaseLine]:
    """Return rows of the table cases as facts."""
    names = office_names(db, place.own)
    states = sync_states(db, place.tier, [row["id"] for row in rows])
    return [_line(row, place, names, states) for row in rows]


def _line(
    row: sqlite3.Row, place: Place, names: dict[str, str], states: dict[str, SyncState]
) -> CaseLine:
    values = dict(row)
    return CaseLine(
        **{name: values[name] for name in _LINE_COLUMNS},
        commune_name=names.get(row["commune"], row["commune"]),
        days_left=days_left(row["due_on"], place.today) if row["is_open"] else None,
        sync=states[row["id"]],
    )


_LINE_COLUMNS: Final = tuple(CaseLine.model_fields.keys() - {"commune_name", "days_left", "sync"})


def days_left(due_on: str, today: date) -> int | None:
    """Return the days until an ISO date, negative after it; None for an empty one."""
    return (date.fromisoformat(due_on) - today).days if due_on else None
