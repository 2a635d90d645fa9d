"""What is known of a log whose first leaves have arrived."""

from collections.abc import Sequence

from schemas.record import Leaf, LeafType, Writer, decode_leaf, decode_writer


class Known:
    """The history of a log of which the first leaves have arrived."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = [decode_leaf(leaf) for leaf in leaves]
        self._writers = {
            leaf.writer: decode_writer(leaf.body)
            for leaf in self._leaves
            if leaf.type == LeafType.WRITER
        }

    def leaf(self, seq: int, /) -> Leaf | None:
        return self._leaves[seq] if 0 <= seq < len(self._leaves) else None

    def change(self, seq: int, /) -> None:
        return None

    def writer(self, number: int, /) -> Writer | None:
        return self._writers.get(number)

    def previous(self, document: bytes, seq: int, /) -> int | None:
        found = [
            number
            for number, leaf in enumerate(self._leaves[:seq])
            if leaf.type == LeafType.CHANGE and leaf.document == document
        ]
        return found[-1] if found else None
