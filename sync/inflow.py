"""What comes in on the datagram link: pieces in any order, some twice; messages in order, once.

Each stream has an order of its own: what is missing in one holds up no other.
"""

from collections import deque
from typing import Final

from schemas.limits import MESSAGE_BYTES_MAX
from sync.errors import LinkError
from sync.outflow import LENGTH_BYTES, PIECES_AHEAD_MAX
from sync.packets import SEEN_BITS, Piece, Seen, Stream, Taken

# Whole messages that wait to be fetched; pieces behind them stay where they are.
_READY_BYTES_MAX: Final = 256 << 10
_BITS: Final = (1 << SEEN_BITS) - 1


class _Arriving:
    """One stream.

    Attributes:
        taken: pieces below are taken.
    """

    def __init__(self) -> None:
        self.taken = 0
        self._ahead: dict[int, bytes] = {}
        self._stream = bytearray()
        self._ready: deque[bytes] = deque()
        self._ready_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Of what waits here."""
        return self._ready_bytes + len(self._stream) + sum(map(len, self._ahead.values()))

    def put(self, number: int, data: bytes) -> None:
        if number >= self.taken + PIECES_AHEAD_MAX:
            raise LinkError("packet_early", "a piece beyond those that we said we hold")
        if number >= self.taken:
            self._ahead.setdefault(number, data)
            self._move()

    def take(self) -> bytes | None:
        if not self._ready:
            return None
        message = self._ready.popleft()
        self._ready_bytes -= len(message)
        self._move()
        return message

    def _move(self) -> None:
        while self._ready_bytes < _READY_BYTES_MAX and self.taken in self._ahead:
            self._stream += self._ahead.pop(self.taken)
            self.taken += 1
            self._part()

    def _part(self) -> None:
        """Take whole messages out of the stream."""
        at = 0
        while len(self._stream) - at >= LENGTH_BYTES:
            size_bytes = int.from_bytes(self._stream[at : at + LENGTH_BYTES], "big")
            if not 1 <= size_bytes <= MESSAGE_BYTES_MAX:
                raise LinkError("packet_malformed", f"a message of {size_bytes} bytes")
            if len(self._stream) - at < LENGTH_BYTES + size_bytes:
                break
            at += LENGTH_BYTES
            self._ready.append(bytes(self._stream[at : at + size_bytes]))
            self._ready_bytes += size_bytes
            at += size_bytes
        del self._stream[:at]


class Inflow:
    """The receiving half.

    Of each stream it holds no more than one message, the ready ones and the pieces ahead.

    Attributes:
        packets: that came, each counted once.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.packets = 0
        self._highest: int | None = None
        self._before = 0
        self._streams = tuple(_Arriving() for _ in Stream)
        self._is_greeted = False

    def seen(self) -> Seen | None:
        """Return what to acknowledge; None before anything came."""
        if self._highest is None:
            return None
        return Seen(highest=self._highest, before=self._before, taken=self.taken)

    def note(self, number: int) -> bool:
        """Count a packet; tell whether packets before it are missing or it comes late."""
        if self._highest is None:
            self._highest = number
            self.packets += 1
            return number > 0
        ahead = number - self._highest
        if ahead > 0:
            self._before = ((self._before << 1 | 1) << (ahead - 1)) & _BITS
            self._highest = number
            self.packets += 1
            return ahead > 1
        if -SEEN_BITS <= ahead < 0:
            bit = 1 << (-ahead - 1)
            self.packets += not self._before & bit
            self._before |= bit
        return True

    @property
    def taken(self) -> Taken:
        """Of each stream, pieces below are taken."""
        urgent, records, files = self._streams
        return urgent.taken, records.taken, files.taken

    @property
    def held_bytes(self) -> int:
        """Of what came and was not fetched."""
        return sum(arriving.held_bytes for arriving in self._streams)

    def put(self, piece: Piece) -> None:
        """Take a piece in.

        Raises:
            LinkError: it is beyond what we hold, or the stream holds no messages.
        """
        self._streams[piece.stream].put(piece.number, piece.data)

    def take(self) -> bytes | None:
        """Return the next whole message of the first stream that has one; None: it is not here.

        Nothing is taken before the first urgent message: that is the greeting.

        Raises:
            LinkError: the stream holds no messages.
        """
        streams = self._streams if self._is_greeted else self._streams[:1]
        found = (arriving.take() for arriving in streams)
        message = next((message for message in found if message is not None), None)
        self._is_greeted = self._is_greeted or message is not None
        return message
