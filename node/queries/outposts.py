"""Outposts of a commune as its technician sees them."""

import sqlite3
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Final

from node.issuing import issued
from node.queries.node_facts import OutpostLine
from node.travelling import chosen
from schemas.codes import Tier
from sync.revocations import by_node, known_of

_FACTS: Final = """
SELECT coalesce((SELECT sum(size) FROM log WHERE owner = :peer AND purpose = 'up'), 0) AS records,
    (SELECT max(at_ms) FROM contact WHERE peer = :peer) AS contact_ms,
    (SELECT max(timestamp_s) * 1000 FROM cosignature c JOIN log l ON l.number = c.log
        WHERE l.owner = :peer AND l.purpose = 'up' AND c.tier = 'commune') AS sent_ms,
    (SELECT count(DISTINCT c.document) FROM log l JOIN change c ON c.log = l.number
        JOIN document d ON d.id = c.document AND d.kind = 'case'
        WHERE l.purpose = 'down/' || lower(hex(:peer)) AND l.source IS NULL) AS cases
"""


def outposts(db: sqlite3.Connection, path: Path) -> list[OutpostLine]:
    """Return the machines that were enrolled here as outposts, by code; the revoked ones too.

    Args:
        db: with rows by name.
        path: data folder of the commune.

    Raises:
        KeyfileError: a file of what was issued is damaged.
    """
    revoked = by_node(known_of(db))
    return sorted(_lines(db, path, revoked), key=lambda line: (line.code, line.peer_id))


def _lines(
    db: sqlite3.Connection, path: Path, revoked: Container[tuple[bytes, str]]
) -> Iterable[OutpostLine]:
    for each in issued(path):
        who = each.subject
        if who.tier is not Tier.OUTPOST:
            continue
        facts = db.execute(_FACTS, {"peer": bytes(who.peer_id)}).fetchone()
        yield OutpostLine(
            peer_id=who.peer_id.hex(),
            code=who.code,
            name=who.name,
            is_revoked=(who.peer_id, who.code) in revoked,
            accounts=list(chosen(path, who.code)),
            records=facts["records"],
            cases=facts["cases"],
            contact_ms=max(filter(None, (facts["contact_ms"], facts["sent_ms"])), default=None),
        )
