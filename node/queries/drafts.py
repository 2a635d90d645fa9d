"""Forms that were begun and not sent; each user sees only their own."""

import json
import sqlite3

from node.queries.facts import Draft, DraftLine


def list_drafts(db: sqlite3.Connection, user: str) -> list[DraftLine]:
    """Return the drafts of a user, newest first."""
    rows = db.execute(
        "SELECT id, saved_ms FROM draft WHERE user = ? ORDER BY saved_ms DESC", (user,)
    )
    return [DraftLine(id=row[0], saved_ms=row[1]) for row in rows]


def find_draft(db: sqlite3.Connection, user: str, draft: str) -> Draft | None:
    """Return one draft of a user."""
    row = db.execute(
        "SELECT id, saved_ms, body FROM draft WHERE user = ? AND id = ?", (user, draft)
    ).fetchone()
    if row is None:
        return None
    return Draft(id=row[0], saved_ms=row[1], body=json.loads(row[2]))
