"""What the person who looks after the node sees: logs, peers, alarms, dead letters."""

import sqlite3
from typing import Final

from crypto.tiers import is_above
from node.queries.node_facts import (
    Alarm,
    AuditLine,
    DeadLetter,
    LogLine,
    PeerLine,
    RevocationLine,
    Storage,
    Technician,
    WaitingLine,
)
from schemas.ids import document_text
from sync.revocations import by_node, known_of

_SHOWN_MAX: Final = 200
_COUNTED: Final = ("cases", "visits", "people", "petitions", "directives", "attachments", "leaf")


def technician(db: sqlite3.Connection, code: str) -> Technician:
    """Return the state of the node with that code, without any content of cases."""
    revoked = revocations(db)
    missing = db.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM blob WHERE complete = 0"
    ).fetchone()
    return Technician(
        logs=_logs(db),
        peers=_peers(db, code, {line.peer_id for line in revoked if line.counts}),
        alarms=alarms(db),
        dead_letters=dead_letters(db),
        storage=_storage(db),
        waiting=waiting_changes(db),
        revocations=revoked,
        missing_blobs=missing[0],
        missing_blob_bytes=missing[1],
        counts={
            name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED
        },
    )


def alarms(db: sqlite3.Connection) -> list[Alarm]:
    """Return the newest alarms."""
    rows = db.execute(
        "SELECT number, at_ms, code, log_id, detail FROM alarm ORDER BY number DESC LIMIT ?",
        (_SHOWN_MAX,),
    )
    return [Alarm(**dict(row)) for row in rows]


def dead_letters(db: sqlite3.Connection) -> list[DeadLetter]:
    """Return the newest leaves without effect."""
    rows = db.execute(
        "SELECT l.log_id, d.seq, d.document, d.code, d.detail FROM dead_letter d"
        " JOIN log l ON l.number = d.log ORDER BY d.log DESC, d.seq DESC LIMIT ?",
        (_SHOWN_MAX,),
    )
    return [
        DeadLetter(
            log=bytes(row["log_id"]).hex(),
            seq=row["seq"],
            document_id=document_text(row["document"]) if len(row["document"]) == 16 else "",
            code=row["code"],
            detail=row["detail"],
        )
        for row in rows
    ]


def waiting_changes(db: sqlite3.Connection) -> list[WaitingLine]:
    """Return changes that wait, those that wait for good first."""
    rows = db.execute(_WAITING, (_SHOWN_MAX,))
    return [
        WaitingLine(
            log=bytes(row["log_id"]).hex(),
            seq=row["seq"],
            document_id=document_text(row["document"]),
            builds_on_revoked=bool(row["for_good"]),
        )
        for row in rows
    ]


# What waits for a change that does not count and stands nowhere else, or for one that so waits;
# copies that we sent on wait beside what they are copies of.
_WAITING: Final = """
WITH RECURSIVE for_good (document, hash) AS (
    SELECT w.document, w.hash FROM waiting_change w JOIN quarantined_change q
    ON q.document = w.document AND q.hash = w.missing
    UNION
    SELECT w.document, w.hash FROM waiting_change w JOIN for_good g
    ON g.document = w.document AND g.hash = w.missing
)
SELECT l.log_id, w.seq, w.document, g.hash IS NOT NULL AS for_good
FROM waiting_change w JOIN log l ON l.number = w.log
LEFT JOIN for_good g ON g.document = w.document AND g.hash = w.hash
WHERE l.source IS NOT NULL OR l.purpose = 'up'
ORDER BY for_good DESC, w.log DESC, w.seq DESC LIMIT ?
"""


def revocations(db: sqlite3.Connection) -> list[RevocationLine]:
    """Return what was said of revoked keys, the newest first."""
    ours = {bytes(row[0]) for row in db.execute("SELECT owner FROM log WHERE source IS NULL")}
    known = known_of(db)
    counting = {one.id for some in by_node(known).values() for one in some}
    return [
        RevocationLine(
            peer_id=said.key.hex(),
            code=said.code,
            signer_code=one.signer_code,
            signer_name=one.signer_name,
            at_ms=said.at_ms,
            reason=said.reason,
            counts=one.id in counting,
            is_ours=said.key in ours,
            set_aside=db.execute(
                "SELECT count(*) FROM quarantined_change q JOIN log l ON l.number = q.log"
                " WHERE l.owner = ?",
                (said.key,),
            ).fetchone()[0],
            last_valid=[(mark.log_id.hex(), mark.last_valid_seq) for mark in said.marks],
        )
        for one in sorted(known, key=lambda one: (one.revocation.at_ms, one.id), reverse=True)
        for said in (one.revocation,)
    ]


def _logs(db: sqlite3.Connection) -> list[LogLine]:
    rows = db.execute(
        "SELECT l.*, coalesce((SELECT max(size) FROM cosignature WHERE log = l.number"
        " AND tier = 'province'), 0) AS province_size, coalesce((SELECT max(size) FROM cosignature"
        " WHERE log = l.number AND tier = 'centre'), 0) AS centre_size FROM log l ORDER BY number"
    )
    return [
        LogLine(
            log_id=bytes(row["log_id"]).hex(),
            **{name: row[name] for name in _LOG_COLUMNS},
        )
        for row in rows
    ]


_LOG_COLUMNS: Final = (
    "purpose",
    "epoch",
    "tier",
    "code",
    "size",
    "province_size",
    "centre_size",
    "fault",
    "valid_size",
)


def _peers(db: sqlite3.Connection, code: str, revoked: set[str]) -> list[PeerLine]:
    audits = {
        row["peer"]: AuditLine(
            at_ms=row["at_ms"] or None,
            **{name: row[name] for name in ("logs", "lacked", "came_back", "lacked_there")},
        )
        for row in db.execute("SELECT * FROM peer_audit")
    }
    rows = db.execute(
        "SELECT p.*, coalesce((SELECT max(acked) FROM cursor WHERE peer = p.peer), 0) AS acked"
        " FROM peer p ORDER BY p.code, p.peer"
    )
    return [
        PeerLine(
            peer_id=bytes(row["peer"]).hex(),
            tier=row["tier"],
            code=row["code"],
            name=row["name"],
            is_child=bool(row["is_child"]),
            acked=row["acked"],
            audit=audits.get(row["peer"]),
            is_below=is_above(code, row["code"]),
            is_revoked=bytes(row["peer"]).hex() in revoked,
        )
        for row in rows
    ]


def _storage(db: sqlite3.Connection) -> Storage:
    row = db.execute("SELECT value FROM meta WHERE key = 'scrubbed'").fetchone()
    return Storage(
        read_ms=int.from_bytes(row[0], "big") if row else None,
        damaged=db.execute("SELECT count(*) FROM damage").fetchone()[0],
    )
