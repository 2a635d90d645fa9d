"""The audit trail as its page shows it: filtered, newest first."""

import sqlite3
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from node.clock import PLACE
from node.trail import TrailLine


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailQuery:
    """Which lines are wanted; what is empty filters nothing.

    Attributes:
        since: first day.
        until: last day.
        before: only lines with a lower number; 0 for all.
        size: one line more is returned where there are more.
    """

    user: str
    action: str
    document: str
    since: date | None
    until: date | None
    before: int
    size: int


def trail_lines(db: sqlite3.Connection, query: TrailQuery) -> list[TrailLine]:
    """Return lines, newest first."""
    wanted = {
        "user = ?": query.user,
        "action = ?": query.action,
        "document_id = ?": query.document,
        "at_ms >= ?": _start_ms(query.since, 0),
        "at_ms < ?": _start_ms(query.until, 1),
        "number < ?": query.before,
    }
    where = " AND ".join(condition for condition, value in wanted.items() if value) or "1"
    values = [value for value in wanted.values() if value]
    rows = db.execute(
        "SELECT number, at_ms, user, role, action, document_id, detail, link FROM audit"
        f" WHERE {where} ORDER BY number DESC LIMIT ?",
        (*values, query.size + 1),
    ).fetchall()
    return [TrailLine(**dict(row)) for row in rows]


def trail_choices(db: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Return the users and the actions that stand in the trail, sorted."""
    users = db.execute("SELECT DISTINCT user FROM audit WHERE user != '' ORDER BY user")
    actions = db.execute("SELECT DISTINCT action FROM audit ORDER BY action")
    return [row[0] for row in users], [row[0] for row in actions]


def _start_ms(day: date | None, days_later: int) -> int:
    if day is None:
        return 0
    start = day + timedelta(days=days_later)
    return int(datetime.combine(start, time(), PLACE).timestamp() * 1000)
