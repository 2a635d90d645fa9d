"""One packet of the datagram link: numbers, what came, and a piece of what is being sent.

A packet is what one DTLS record carries. Every packet has a number of its own, one above that of
the packet before it, also when it carries a piece again: so an acknowledgement always tells which
sending of a piece arrived.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from sync.errors import LinkError

_ACKED, _PIECE, _ASKS, _ENDS = 1, 2, 4, 8
# Above these flags stands the number of the stream.
_STREAM_AT: Final = 4
_HEAD: Final = struct.Struct(">BI")
_ACK: Final = struct.Struct(">IQIII")
_NUMBER: Final = struct.Struct(">I")
# So many numbers below the highest one does an acknowledgement speak of.
SEEN_BITS: Final = 64
NUMBER_MAX: Final = 2**32 - 1
PIECE_BYTES_MAX: Final = 1_136
PACKET_BYTES_MAX: Final = _HEAD.size + _ACK.size + _NUMBER.size + PIECE_BYTES_MAX


class Stream(IntEnum):
    """Messages arrive in order within one; a lower number never waits for a higher one."""

    URGENT = 0
    RECORDS = 1
    BULK = 2


Taken: TypeAlias = tuple[int, int, int]


class Piece(NamedTuple):
    """A part of a stream; its number counts the pieces of that stream."""

    stream: Stream
    number: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the sender of a packet has of the other side.

    Attributes:
        highest: the highest number that came.
        before: bit i is set if the number highest - 1 - i came.
        taken: of each stream, pieces below are taken; at most PIECES_AHEAD_MAX from there on are
            held.
    """

    highest: int
    before: int
    taken: Taken

    def has(self, number: int) -> bool:
        """Tell whether a packet is said to have come."""
        back = self.highest - number
        return back == 0 or (0 < back <= SEEN_BITS and bool(self.before >> (back - 1) & 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet.

    Attributes:
        seen: None as long as nothing came.
        piece: None: carries none.
        asks: wants to be acknowledged though it carries no piece.
        ends: the sender has closed the link.
    """

    number: int
    seen: Seen | None = None
    piece: Piece | None = None
    asks: bool = False
    ends: bool = False

    @property
    def wants_answer(self) -> bool:
        """Whether it is to be acknowledged."""
        return self.piece is not None or self.asks


def encode_packet(packet: Packet) -> bytes:
    """Return the bytes of a packet."""
    flags = _ASKS * packet.asks | _ENDS * packet.ends
    parts = [b""]
    if packet.seen is not None:
        flags |= _ACKED
        parts.append(_ACK.pack(packet.seen.highest, packet.seen.before, *packet.seen.taken))
    if packet.piece is not None:
        flags |= _PIECE | packet.piece.stream << _STREAM_AT
        parts += [_NUMBER.pack(packet.piece.number), packet.piece.data]
    parts[0] = _HEAD.pack(flags, packet.number)
    return b"".join(parts)


def decode_packet(data: bytes) -> Packet:
    """Return the packet with these bytes.

    Raises:
        LinkError: they are none.
    """
    try:
        flags, number = _HEAD.unpack_from(data)
        stream = flags >> _STREAM_AT
        if stream > Stream.BULK or (stream and not flags & _PIECE):
            raise LinkError("packet_malformed", f"a packet with the flags {flags}")
        at, seen, piece = _HEAD.size, None, None
        if flags & _ACKED:
            highest, before, *taken = _ACK.unpack_from(data, at)
            seen = Seen(highest=highest, before=before, taken=(taken[0], taken[1], taken[2]))
            at += _ACK.size
        if flags & _PIECE:
            (count,) = _NUMBER.unpack_from(data, at)
            piece = Piece(Stream(stream), count, data[at + _NUMBER.size :])
            at = len(data)
            if not 1 <= len(piece.data) <= PIECE_BYTES_MAX:
                raise LinkError("packet_malformed", f"a piece of {len(piece.data)} bytes")
    except struct.error as error:
        raise LinkError("packet_malformed", f"a packet of {len(data)} bytes") from error
    if at != len(data):
        raise LinkError("packet_malformed", f"{len(data) - at} bytes behind a packet")
    return Packet(
        number=number,
        seen=seen,
        piece=piece,
        asks=bool(flags & _ASKS),
        ends=bool(flags & _ENDS),
    )
