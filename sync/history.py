"""What a node knows of a log it holds, as frames need it."""

from schemas.errors import RecordError
from schemas.record import Leaf, Writer, decode_leaf, decode_writer
from sync.errors import LogError
from sync.store import Log, Store


class LogHistory:
    """A log in the store as the past of a frame.

    Leaves that arrived but are not covered by a tree head yet count too: a frame may build on them.
    """

    def __init__(self, store: Store, log: Log) -> None:
        """Look into one log."""
        self._store = store
        self._log = log

    def leaf(self, seq: int, /) -> Leaf | None:
        """Return an earlier leaf, None if it has not arrived or is none."""
        try:
            return decode_leaf(self._store.leaf(self._log.number, seq))
        except LogError:
            pending = self._store.pending(self._log, seq, seq + 1)
        except RecordError:
            return None
        try:
            return decode_leaf(pending[0]) if pending else None
        except RecordError:
            return None

    def writer(self, number: int, /) -> Writer | None:
        """Return a writer that an earlier leaf declared."""
        row = self._store.db.execute(
            "SELECT body FROM writer WHERE log = ? AND number = ?", (self._log.number, number)
        ).fetchone()
        return decode_writer(bytes(row[0])) if row else None

    def previous(self, document: bytes, seq: int, /) -> int | None:
        """Return the last leaf below seq that is a change of the document."""
        row = self._store.db.execute(
            "SELECT max(seq) FROM change WHERE document = ? AND log = ? AND seq < ?",
            (document, self._log.number, seq),
        ).fetchone()
        return None if row[0] is None else int(row[0])
