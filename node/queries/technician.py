"""What the person who looks after the node sees: logs, peers, alarms, dead letters."""

import sqlite3
from typing import Final

from node.queries.facts import (
    Alarm,
    AuditLine,
    DeadLetter,
    LogLine,
    PeerLine,
    Storage,
    Technician,
)
from schemas.ids import document_text

_SHOWN_MAX: Final = 200
_COUNTED: Final = ("cases", "visits", "people", "petitions", "directives", "attachments", "leaf")


def technician(db: sqlite3.Connection) -> Technician:
    """Return the state of the node without any content of cases."""
    missing = db.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM blob WHERE complete = 0"
    ).fetchone()
    return Technician(
        logs=_logs(db),
        peers=_peers(db),
        alarms=alarms(db),
        dead_letters=dead_letters(db),
        storage=_storage(db),
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
)


def _peers(db: sqlite3.Connection) -> list[PeerLine]:
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
        )
        for row in rows
    ]


def _storage(db: sqlite3.Connection) -> Storage:
    row = db.execute("SELECT value FROM meta WHERE key = 'scrubbed'").fetchone()
    return Storage(
        read_ms=int.from_bytes(row[0], "big") if row else None,
        damaged=db.execute("SELECT count(*) FROM damage").fetchone()[0],
    )
