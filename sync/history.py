"""What a node knows of a log it holds, as frames need it."""

from collections.abc import Iterator, Sequence
from typing import Final

from schemas.errors import RecordError
from schemas.record import Leaf, LeafType, Writer, decode_leaf, decode_writer
from sync.log import Log
from sync.past import Past
from sync.store import Store

# A leaf that declares a writer: an array of five that begins with a 1.
_WRITER_START: Final = bytes([0x85, LeafType.WRITER])


class LogHistory:
    """A log in the store as the past of a frame.

    Leaves that arrived but are not covered by a tree head yet count too: a frame may build on them.
    """

    def __init__(self, store: Store, log: Log) -> None:
        """Look into one log.

        Attributes:
            past: traces of its last leaves.
        """
        self._store = store
        self._log = log
        self._writers: dict[int, Writer] = {}
        self.past = Past(self._between)
        rows = store.db.execute(
            "SELECT data FROM pending_leaf WHERE log = ? AND substr(data, 1, 2) = ? ORDER BY seq",
            (log.number, _WRITER_START),
        )
        self.learn([row[0] for row in rows])

    def learn(self, leaves: Sequence[bytes]) -> None:
        """Note the writers that leaves declare which no head covers yet."""
        for data in leaves:
            leaf = read_leaf(data) if data.startswith(_WRITER_START) else None
            if leaf is not None and leaf.type == LeafType.WRITER:
                writer = read_writer(leaf)
                # The first declaration counts, as it does for whoever packed the frame.
                if writer is not None and self.writer(leaf.writer) is None:
                    self._writers[leaf.writer] = writer

    def leaf(self, seq: int, /) -> Leaf | None:
        """Return an earlier leaf, None if it has not arrived or is none."""
        for table in ("leaf", "pending_leaf"):
            row = self._store.db.execute(
                f"SELECT data FROM {table} WHERE log = ? AND seq = ?", (self._log.number, seq)
            ).fetchone()
            if row is not None:
                return read_leaf(bytes(row[0]))
        return None

    def change(self, seq: int, /) -> None:
        """Return nothing: it is read from its leaf."""

    def _between(self, start: int, end: int) -> list[bytes]:
        leaves = self._store.leaves(self._log, start, end - start)
        return leaves + self._store.pending(self._log, start + len(leaves), end)

    def writer(self, number: int, /) -> Writer | None:
        """Return a writer that an earlier leaf declared."""
        writer = self._writers.get(number)
        if writer is None:
            row = self._store.db.execute(
                "SELECT body FROM writer WHERE log = ? AND number = ?", (self._log.number, number)
            ).fetchone()
            if row is None:
                return None
            writer = self._writers[number] = decode_writer(bytes(row[0]))
        return writer

    def previous(self, document: bytes, seq: int, /) -> int | None:
        """Return the last leaf below seq that is a change of the document."""
        row = self._store.db.execute(
            "SELECT max(seq) FROM change WHERE document = ? AND log = ? AND seq < ?",
            (document, self._log.number, seq),
        ).fetchone()
        return None if row[0] is None else int(row[0])


def read_leaf(data: bytes) -> Leaf | None:
    """Return the leaf, None if it is none."""
    try:
        return decode_leaf(data)
    except RecordError:
        return None


def is_certificates(data: bytes) -> bool:
    """Tell whether a leaf holds certificates."""
    leaf = read_leaf(data)
    return leaf is not None and leaf.type == LeafType.CERTIFICATES


def certificates_in(store: Store, log: Log) -> Iterator[bytes]:
    """Yield the bodies of a log's leaves that hold certificates, in their order.

    One that the disk altered is left out.
    """
    # They are few and stand early; a type column would cost every leaf.
    rows = store.db.execute("SELECT data FROM leaf WHERE log = ? ORDER BY seq", (log.number,))
    for (data,) in rows.fetchall():
        leaf = read_leaf(data)
        if leaf is not None and leaf.type == LeafType.CERTIFICATES:
            yield leaf.body


def read_writer(leaf: Leaf) -> Writer | None:
    """Return the writer that a leaf declares, None if it does not."""
    try:
        return decode_writer(leaf.body)
    except RecordError:
        return None
