"""Who has the same identity paper: marks that only the holder of the office key can make.

A number has twelve digits, so a plain hash of it is found by trying. A mark is keyed by the office
key: the database alone tells which people share a paper, never which paper. Marks are made beside
the work, where numbers can be opened: at the office that sealed them and at the province.
"""

import sqlite3
from typing import Final

from node.errors import RequestError
from node.seals import Seals
from schemas.ids import parse_document_id

_PENDING: Final = (
    "SELECT p.id, p.identity_sealed, p.changed_ms FROM people p"
    " LEFT JOIN paper_mark m ON m.person_id = p.id WHERE p.identity_sealed != ''"
    " AND (m.person_id IS NULL OR m.changed_ms != p.changed_ms OR m.office_key != ?) LIMIT ?"
)


def has_pending(db: sqlite3.Connection, seals: Seals) -> bool:
    """Tell whether people wait for a mark that can be made now."""
    return seals.is_open and db.execute(_PENDING, (seals.key_id, 1)).fetchone() is not None


def make_marks(db: sqlite3.Connection, seals: Seals, count: int) -> int:
    """Make marks for at most so many people, in a transaction, and return for how many.

    What was not sealed for this office gets an empty mark, so that it is not tried again.
    """
    if not seals.is_open:
        return 0
    rows = db.execute(_PENDING, (seals.key_id, count)).fetchall()
    for person, sealed, changed_ms in rows:
        try:
            mark = seals.paper_mark(parse_document_id(person), sealed)
        except RequestError:
            mark = b""
        db.execute(
            "INSERT OR REPLACE INTO paper_mark VALUES (?, ?, ?, ?)",
            (person, changed_ms, seals.key_id, mark),
        )
    return len(rows)
