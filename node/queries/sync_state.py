"""Who has countersigned what, from the newest leaf of each document in each log that goes up."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from node.bulk import file_times
from node.config import Config
from node.queries.facts import SyncState, Waiting, WaitingFiles
from schemas.codes import Tier

_HERE: Final = SyncState(level="here")
_COMMUNE: Final = SyncState(level="commune")
_PROVINCE: Final = SyncState(level="province")
_CENTRE: Final = SyncState(level="centre")
_CHUNK: Final = 500
# Every page says how long the rest will take; it must not weigh a whole log for that.
_WEIGHED_MAX: Final = 1_000


def sync_states(
    db: sqlite3.Connection, tier: Tier, documents: Sequence[str]
) -> dict[str, SyncState]:
    """Return the state of each document.

    A tier has a document when it countersigned every leaf of it, or wrote the leaf itself. What
    stands in no log of ours came from the tier above, which therefore has it.
    """
    if tier is Tier.CENTRE:
        return dict.fromkeys(documents, _CENTRE)
    held: dict[str, tuple[bool, bool, bool]] = {}
    for start in range(0, len(documents), _CHUNK):
        some = documents[start : start + _CHUNK]
        marks = ",".join("?" * len(some))
        rows = db.execute(_HELD.format(marks=marks), list(some))
        held.update({row[0]: (bool(row[1]), bool(row[2]), bool(row[3])) for row in rows})
    return {document: _state(tier, held.get(document)) for document in documents}


def _state(tier: Tier, held: tuple[bool, bool, bool] | None) -> SyncState:
    by_commune, by_province, by_centre = held or (True, True, tier is Tier.PROVINCE)
    if tier is Tier.OUTPOST:
        return _COMMUNE if by_commune else _HERE
    if by_centre:
        return _CENTRE
    return _PROVINCE if by_province or tier is Tier.PROVINCE else _HERE


_HELD: Final = """
SELECT r.document_id,
    min(l.tier = 'commune' OR r.last_seq < coalesce(
        (SELECT max(size) FROM cosignature WHERE log = r.log AND tier = 'commune'), 0)),
    min(l.tier = 'province' OR r.last_seq < coalesce(
        (SELECT max(size) FROM cosignature WHERE log = r.log AND tier = 'province'), 0)),
    min(l.tier = 'centre' OR r.last_seq < coalesce(
        (SELECT max(size) FROM cosignature WHERE log = r.log AND tier = 'centre'), 0))
FROM record_logs r JOIN log l ON l.number = r.log
WHERE r.document_id IN ({marks})
GROUP BY r.document_id
"""


def waiting(db: sqlite3.Connection, tier: Tier) -> Waiting:
    """Return what the tier above has not countersigned yet; nothing at the centre."""
    above = _ABOVE.get(tier)
    if above is None:
        return Waiting(records=0, bytes=0, cosigned_ms=None)
    records = size_bytes = 0
    newest_s = None
    for number, size, cosigned, timestamp_s in db.execute(_UP_LOGS, (above.value, above.value)):
        if size > cosigned:
            records += size - cosigned
            size_bytes += _size_bytes(db, number, cosigned, size)
        if timestamp_s is not None:
            newest_s = max(newest_s or 0, timestamp_s)
    return Waiting(
        records=records,
        bytes=size_bytes,
        cosigned_ms=None if newest_s is None else newest_s * 1000,
    )


def waiting_files(db: sqlite3.Connection, tier: Tier, config: Config, now_ms: int) -> WaitingFiles:
    """Return which files have not gone to the tier above, as far as it said what it lacks."""
    times = file_times(db, config, now_ms)
    count, size_bytes = (0, 0) if tier not in _ABOVE else db.execute(_FILES).fetchone()
    return WaitingFiles(
        count=count, bytes=size_bytes, opens_ms=times.opens_ms, is_early=times.is_early
    )


def _size_bytes(db: sqlite3.Connection, log: int, start: int, end: int) -> int:
    """Return how long the leaves from start to end are together; of very many, roughly."""
    looked_at = min(end - start, _WEIGHED_MAX)
    found: int = db.execute(
        "SELECT coalesce(sum(length(data)), 0) FROM leaf WHERE log = ? AND seq >= ? AND seq < ?",
        (log, start, start + looked_at),
    ).fetchone()[0]
    return found * (end - start) // looked_at


# What came from a tier above is there.
_FILES: Final = """
SELECT count(*), coalesce(sum(b.size_bytes - coalesce(a.sent_bytes, 0)), 0)
FROM blob b LEFT JOIN blob_above a ON a.sha256 = b.sha256 LEFT JOIN peer p ON p.peer = b.source
WHERE b.complete = 1 AND coalesce(a.sent_bytes, 0) < b.size_bytes
AND (p.peer IS NULL OR p.is_child = 1)
"""
_ABOVE: Final = {
    Tier.OUTPOST: Tier.COMMUNE,
    Tier.COMMUNE: Tier.PROVINCE,
    Tier.PROVINCE: Tier.CENTRE,
}
_UP_LOGS: Final = """
SELECT l.number, l.size, coalesce(max(c.size), 0), max(c.timestamp_s)
FROM log l LEFT JOIN cosignature c ON c.log = l.number AND c.tier = ?
WHERE l.purpose = 'up' AND l.tier != ? AND (l.valid_size IS NULL OR l.size <= l.valid_size)
GROUP BY l.number
"""


def changed_ms(db: sqlite3.Connection, document: str) -> int | None:
    """Return when a document last changed here; None if it is not here."""
    for table in ("cases", "directives", "visits", "people", "petitions", "groups"):
        row = db.execute(f"SELECT changed_ms FROM {table} WHERE id = ?", (document,)).fetchone()
        if row is not None:
            return int(row[0])
    return None


def news_digest(db: sqlite3.Connection) -> str:
    """Return a text that differs whenever records, or who holds them, are not the same as before.

    Looking at a page commits too (the audit trail), but is no news.
    """
    sizes = db.execute("SELECT coalesce(sum(size), 0), count(*) FROM log").fetchone()
    cosigned = db.execute("SELECT coalesce(sum(size), 0) FROM cosignature").fetchone()
    acked = db.execute("SELECT coalesce(sum(acked), 0) FROM cursor").fetchone()
    files = db.execute("SELECT count(*) FROM blob WHERE complete = 0").fetchone()
    alarms = db.execute("SELECT coalesce(max(number), 0) FROM alarm").fetchone()
    return f"{sizes[0]}.{sizes[1]}.{cosigned[0]}.{acked[0]}.{files[0]}.{alarms[0]}"
