"""Names of the offices that this node knows."""

import sqlite3

from node.queries.facts import Office


def office_names(db: sqlite3.Connection, own: Office) -> dict[str, str]:
    """Return the name of each office by its code, our own among them."""
    names = {row[0]: row[1] for row in db.execute("SELECT code, name FROM peer")}
    return names | {own.code: own.name}


def offices_below(db: sqlite3.Connection) -> list[Office]:
    """Return the offices that directives can be addressed to, by code."""
    rows = db.execute("SELECT code, name FROM peer WHERE is_child = 1 GROUP BY code ORDER BY code")
    return [Office(code=row[0], name=row[1]) for row in rows]
