"""What a child's log lacks of a document: changes that stand in other logs, to be copied."""

from contextlib import suppress

from schemas.errors import RecordError
from schemas.ids import DocumentId
from schemas.record import Leaf, decode_leaf
from sync.change import parse_change
from sync.errors import ChangeError, LogError
from sync.log import Log
from sync.store import Peer, Store


def lacking(store: Store, child: Peer, log: Log, document: DocumentId) -> list[tuple[Leaf, int]]:
    """Return changes of a document that a child holds in no log, and the log each stands in.

    Args:
        store: in a transaction.
        child: who reads the log.
        log: own, downwards.
        document: that concerns the child.
    """
    rows = store.db.execute(_LACKING, (child.peer_id, log.number, log.purpose, document)).fetchall()
    found = [(leaf, row[0]) for row in rows if (leaf := _intact(store, *row))]
    return sorted(found, key=lambda item: (item[0].hlc, item[0].body))


def _intact(store: Store, number: int, seq: int, change_hash: bytes) -> Leaf | None:
    """Return the leaf of a change; None if the disk lost it, or altered it since it was read.

    When it is back, its document counts as changed.
    """
    with suppress(ChangeError, LogError, RecordError):
        leaf = decode_leaf(store.leaf(number, seq))
        if parse_change(leaf.body).hash == change_hash:
            return leaf
    store.damage.suspect(number, seq)
    return None


# Of an earlier epoch's log the child holds what it countersigned.
_LACKING = """
SELECT min(c.log), c.seq, c.hash FROM change c WHERE c.document = ?4
AND NOT EXISTS (
    SELECT 1 FROM change o JOIN log l ON l.number = o.log
    LEFT JOIN cosignature s ON s.log = l.number AND s.peer = ?1
    WHERE o.document = c.document AND o.hash = c.hash
    AND (l.source = ?1 OR l.number = ?2 OR (l.purpose = ?3 AND o.seq < s.size)))
GROUP BY c.hash
"""
