"""The traces of a log's last leaves, which frames look back at."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from sync.stripping import Whole, read_whole

# Further back, little is found that is not nearer too.
PAST_BYTES_MAX: Final = 128 << 10
PAST_LEAVES_MAX: Final = 256

Read = Callable[[int, int], list[bytes]]


class Past:
    """The last leaves of a log that frames were made of or read from, and their traces."""

    def __init__(self, read: Read) -> None:
        """Begin empty.

        Args:
            read: returns leaves from one number up to another, as far as they have come.
        """
        self._read = read
        self._end = 0
        self._traces: deque[bytes] = deque(maxlen=PAST_LEAVES_MAX)

    def add(self, first_seq: int, wholes: Iterable[Whole]) -> None:
        """Add leaves; others than the next ones are not worth it, as they must be read anew."""
        if first_seq != self._end:
            return
        for whole in wholes:
            self._traces.append(whole.trace())
            self._end += 1

    def before(self, seq: int, count: int = PAST_LEAVES_MAX) -> list[bytes]:
        """Return the traces of so many leaves right before one; none if not all have come."""
        start = max(0, seq - count)
        held = self._end - len(self._traces)
        if self._end != seq or held > start:
            self._traces.clear()
            leaves = self._read(start, seq)
            if len(leaves) < seq - start:
                return []
            self._traces.extend(read_whole(leaf).trace() for leaf in leaves)
            self._end, held = seq, start
        return [*self._traces][start - held :]
