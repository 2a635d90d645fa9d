"""Changes that were read when their leaves were put together, kept until these are used.

A leaf waits for its tree head, often for moments only; its change need not be read anew then.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from crypto.merkle import leaf_hash
from schemas.record import Leaf
from sync.change import Change
from sync.stripping import Whole

# Of changes; in memory what is kept of them takes some nine times as much.
_BYTES_MAX: Final = 2 << 20


class Reading(NamedTuple):
    """A leaf and the change in it."""

    leaf: Leaf
    change: Change


class Readings:
    """By the hash of a leaf, so true whatever is rolled back."""

    def __init__(self) -> None:
        """Begin empty."""
        self._found: dict[bytes, Reading] = {}
        self._size_bytes = self._left_out_bytes = 0

    def keep(self, wholes: Iterable[Whole]) -> None:
        """Keep what was read of leaves, if there is room: the earlier ones are wanted sooner."""
        for data, leaf, _, change in wholes:
            if leaf is not None and change is not None:
                self._keep(data, Reading(leaf, change))

    def _keep(self, data: bytes, reading: Reading) -> None:
        size_bytes = len(reading.leaf.body)
        if self._size_bytes >= _BYTES_MAX:
            self._left_out_bytes += size_bytes
            if self._left_out_bytes < _BYTES_MAX:
                return
            # It seems that nobody comes for what is here.
            self._found.clear()
            self._size_bytes = self._left_out_bytes = 0
        digest = leaf_hash(data)
        if digest not in self._found:
            self._found[digest] = reading
            self._size_bytes += size_bytes

    def take(self, digest: bytes) -> Reading | None:
        """Return what was read of a leaf by its hash, and keep it no longer."""
        found = self._found.pop(digest, None)
        if found is not None:
            self._size_bytes -= len(found.leaf.body)
        return found
