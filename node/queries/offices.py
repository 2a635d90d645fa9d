"""Names of the offices that this node knows."""

import sqlite3

from node.queries.facts import Office
from sync.revocations import by_node, known_of


def office_names(db: sqlite3.Connection, own: Office) -> dict[str, str]:
    """Return the name of each office by its code, our own among them.

    At an outpost our own is that of its commune.
    """
    names = {row[0]: row[1] for row in db.execute("SELECT code, name FROM peer")}
    return {own.code: own.name} | names


def offices_below(db: sqlite3.Connection) -> list[Office]:
    """Return the offices that directives can be addressed to, by code."""
    rows = db.execute(
        "SELECT code, name FROM peer WHERE is_child = 1 AND tier != 'outpost'"
        " GROUP BY code ORDER BY code"
    )
    return [Office(code=row[0], name=row[1]) for row in rows]


def outposts_below(db: sqlite3.Connection) -> list[Office]:
    """Return the outposts that work for this commune and whose keys are good, by code."""
    revoked = by_node(known_of(db))
    rows = db.execute(
        "SELECT code, name, peer FROM peer WHERE is_child = 1 AND tier = 'outpost' ORDER BY code"
    )
    good = {row[0]: row[1] for row in rows if (bytes(row[2]), row[0]) not in revoked}
    return [Office(code=code, name=name) for code, name in good.items()]
