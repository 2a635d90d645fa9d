"""Leaves that were taken out of a log: evidence of what else was told under its name."""

from typing import Final

from crypto.merkle import frontier_at
from schemas.ids import DocumentId
from sync.log import Log
from sync.store import Store

# A node is restored once in years; a second epoch within this time means that something goes on.
_IN_TURN_MS: Final = 7 * 86_400_000
IN_TURN: Final = (
    "It was not the first within a week: two machines seem to run under one key. Stop one of them"
    " for good; if that cannot be, end the key at the tier above with `tiepdan revoke`"
)


def in_turn(store: Store, owner: bytes, now_ms: int) -> bool:
    """Tell whether a node opened another epoch a short while ago, as two machines do in turn."""
    row = store.db.execute(
        "SELECT max(a.at_ms) FROM alarm a JOIN log l ON lower(hex(l.log_id)) = a.log_id"
        " WHERE l.owner = ? AND a.code IN ('epoch_opened', 'epochs_in_turn', 'log_behind',"
        " 'log_forked') AND l.epoch > 0 AND a.evidence = ''",
        (owner,),
    ).fetchone()
    return row[0] is not None and abs(now_ms - row[0]) < _IN_TURN_MS


def cut(store: Store, log: Log, size: int) -> set[DocumentId]:
    """Take the leaves from size on out of a log and keep them apart.

    Returns:
        The documents that must be made again.
    """
    if size == log.size:
        return set()
    # First all hashes, while the leaves are here.
    log.frontier = frontier_at(size, lambda level, at: store.subtree_hash(log, level, at))
    bounds = (log.number, size)
    store.db.execute(
        "INSERT INTO apart_leaf (log, seq, data, is_judged)"
        " SELECT log, seq, data, 0 FROM leaf WHERE log = ? AND seq >= ? ORDER BY seq",
        bounds,
    )
    rows = store.db.execute(
        "SELECT document FROM change WHERE log = ?1 AND seq >= ?2 UNION"
        " SELECT document FROM waiting_change WHERE log = ?1 AND seq >= ?2 UNION"
        " SELECT document FROM dead_letter WHERE log = ?1 AND seq >= ?2 AND document != x''",
        bounds,
    ).fetchall()
    for table in ("leaf", "writer", "dead_letter"):
        store.db.execute(f"DELETE FROM {table} WHERE log = ? AND seq >= ?", bounds)
    for table in ("head", "cosignature"):
        store.db.execute(f"DELETE FROM {table} WHERE log = ? AND size > ?", bounds)
    store.db.execute("DELETE FROM subtree WHERE log = ? AND ((position + 1) << level) > ?", bounds)
    log.subtrees = [row for row in log.subtrees if (row[1] + 1) << row[0] <= size]
    log.head_signature, log.unsigned, log.dirty = b"", size > 0, True
    return {DocumentId(bytes(row[0])) for row in rows}


def keep_apart(store: Store, log: Log) -> None:
    """Close a received log whose owner opened a later epoch: what no head covers is evidence."""
    store.db.execute(
        "INSERT INTO apart_leaf (log, seq, data, is_judged)"
        " SELECT log, seq, data, 1 FROM pending_leaf WHERE log = ? ORDER BY seq",
        (log.number,),
    )
    store.drop_pending(log)
    log.awaited, log.doubts, log.fault, log.dirty = None, 0, "", True
