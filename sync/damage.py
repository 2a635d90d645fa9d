"""Which stored leaves are not what their log's head covers: lost from the disk, or altered."""

from sync.database import Connection
from sync.log import SUBTREE_LEVEL, Log


class Damage:
    """Blocks of 2^SUBTREE_LEVEL leaves that do not add up, as the last look at them showed.

    Attributes:
        suspects: the number of each log of which something was not where it should be, or did not
            add up at a peer, with the first leaf in question; they are looked at before others. In
            memory only: a fault of the disk shows again.
    """

    def __init__(self, connection: Connection) -> None:
        """Work on the database of a store."""
        self._db = connection
        self.suspects: dict[int, int] = {}
        # By the number of the log; None: not read yet.
        self._blocks: dict[int, set[int]] | None = None

    def forget(self) -> None:
        """Drop what memory holds of a transaction that was rolled back."""
        self._blocks = None

    def _known(self) -> dict[int, set[int]]:
        if self._blocks is None:
            self._blocks = {}
            for number, position in self._db.execute("SELECT log, position FROM damage").fetchall():
                self._blocks.setdefault(number, set()).add(position)
        return self._blocks

    def suspect(self, number: int, first: int) -> None:
        """Let a log be looked at from a leaf on."""
        self.suspects[number] = min(first, self.suspects.get(number, first))

    def logs(self) -> set[int]:
        """Return the numbers of the logs with damage."""
        return {*self._known()}

    def blocks(self, log: Log) -> set[int]:
        """Return the positions of the blocks that do not add up."""
        return {*self._known().get(log.number, ())}

    def add(self, log: Log, position: int, now_ms: int) -> bool:
        """Note a block; return whether it is news."""
        blocks = self._known().setdefault(log.number, set())
        if position in blocks:
            return False
        blocks.add(position)
        self._db.execute("INSERT INTO damage VALUES (?, ?, ?)", (log.number, position, now_ms))
        return True

    def remove(self, log: Log, position: int) -> None:
        """Note that a block adds up."""
        blocks = self._known().get(log.number, set())
        if position in blocks:
            blocks.remove(position)
            if not blocks:
                del self._known()[log.number]
            self._db.execute(
                "DELETE FROM damage WHERE log = ? AND position = ?", (log.number, position)
            )

    def is_doubtful(self, log: Log) -> bool:
        """Tell whether a log has damage, or may have."""
        return log.number in self.suspects or log.number in self._known()

    def holds_back(self, log: Log, first: int) -> bool:
        """Tell whether leaves from the first on may be damaged."""
        if log.number in self.suspects:
            return True
        blocks = self._known().get(log.number, ())
        return any(position >= first >> SUBTREE_LEVEL for position in blocks)
