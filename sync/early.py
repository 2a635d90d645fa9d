"""Frames that arrived but cannot be read yet: parts of one, or what builds on leaves to come."""

from hashlib import sha256

from sync.database import Connection
from sync.log import Log


class EarlyFrames:
    """The table of such frames."""

    def __init__(self, connection: Connection) -> None:
        """Work on the store's connection."""
        self._db = connection

    def put_part(
        self, log: Log, first_seq: int, offset: int, total: int, dictionary: bytes, data: bytes
    ) -> bytes | None:
        """Keep a part of a frame; return the whole once all its parts are here.

        Parts of the same leaf packed otherwise are of no use any more.
        """
        digest = sha256(dictionary).digest()
        kind = self._db.execute(
            "SELECT total, dictionary, count FROM early_frame WHERE log = ? AND first_seq = ?"
            " LIMIT 1",
            (log.number, first_seq),
        ).fetchone()
        if kind is not None and kind != (total, digest, 0):
            self.drop(log, first_seq)
        log.arrivals += 1
        self._db.execute(
            "INSERT OR IGNORE INTO early_frame VALUES (?, ?, ?, ?, 0, ?, ?)",
            (log.number, first_seq, offset, total, digest, data),
        )
        here = self._db.execute(
            "SELECT sum(length(data)) FROM early_frame WHERE log = ? AND first_seq = ?",
            (log.number, first_seq),
        ).fetchone()
        if here[0] < total:
            return None
        rows = self._db.execute(
            "SELECT offset, data FROM early_frame WHERE log = ? AND first_seq = ? ORDER BY offset",
            (log.number, first_seq),
        )
        whole = bytearray()
        for at, part in rows.fetchall():
            if at != len(whole):
                return None
            whole += part
        if len(whole) < total:
            return None
        self.drop(log, first_seq)
        return bytes(whole)

    def put(self, log: Log, first_seq: int, count: int, dictionary: bytes, data: bytes) -> None:
        """Keep a frame of so many leaves that builds on leaves which have not come.

        It takes the place of another that begins with the same leaf.
        """
        self.drop(log, first_seq)
        self._db.execute(
            "INSERT INTO early_frame VALUES (?, ?, 0, ?, ?, ?, ?)",
            (log.number, first_seq, len(data), count, sha256(dictionary).digest(), data),
        )

    def ranges(self, log: Log) -> list[tuple[int, int]]:
        """Return (first, count) of the frames that wait to be read."""
        return self._db.execute(
            "SELECT first_seq, count FROM early_frame WHERE log = ? AND count > 0", (log.number,)
        ).fetchall()

    def next_frame(self, log: Log) -> tuple[int, bytes, bytes] | None:
        """Return (first, data, digest of the dictionary) of the first that waits to be read."""
        row: tuple[int, bytes, bytes] | None = self._db.execute(
            "SELECT first_seq, data, dictionary FROM early_frame WHERE log = ? AND count > 0"
            " ORDER BY first_seq LIMIT 1",
            (log.number,),
        ).fetchone()
        return row

    def drop(self, log: Log, first_seq: int) -> None:
        """Forget the frame, or the parts of it, that begin with a leaf."""
        log.arrivals += 1
        self._db.execute(
            "DELETE FROM early_frame WHERE log = ? AND first_seq = ?", (log.number, first_seq)
        )

    def drop_below(self, log: Log, seq: int) -> None:
        """Forget what begins with a leaf that is in use by now."""
        self._db.execute(
            "DELETE FROM early_frame WHERE log = ? AND first_seq < ?", (log.number, seq)
        )

    def drop_all(self, log: Log) -> None:
        """Forget all frames of a log."""
        self._db.execute("DELETE FROM early_frame WHERE log = ?", (log.number,))
