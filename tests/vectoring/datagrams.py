"""Section 7.8: packets, and how messages are cut into pieces."""

import random
from typing import Any, Final

from sync.errors import LinkError
from sync.outflow import Outflow
from sync.packets import (
    NUMBER_MAX,
    PIECE_BYTES_MAX,
    SEEN_BITS,
    Packet,
    Piece,
    Seen,
    Stream,
    decode_packet,
    encode_packet,
)
from tests.vectoring.layout import Earlier

_SEEN: Final = Seen(highest=70, before=1 | 1 << 3 | 1 << SEEN_BITS - 1, taken=(9, 300, 0))
_GOOD: Final = {
    "the first one, which carries the beginning of the greeting": Packet(
        number=0, piece=Piece(Stream.URGENT, 0, b"\x00\x00\x0fgreeting")
    ),
    "an acknowledgement alone": Packet(number=1, seen=Seen(highest=0, before=0, taken=(1, 0, 0))),
    "a piece of stream 1, and packets 69, 66 and 6 came beside 70": Packet(
        number=258, seen=_SEEN, piece=Piece(Stream.RECORDS, 65_537, b"leaves")
    ),
    "the longest": Packet(
        number=NUMBER_MAX,
        seen=_SEEN,
        piece=Piece(Stream.BULK, 7, random.Random(78).randbytes(PIECE_BYTES_MAX)),
    ),
    "an answer is asked for": Packet(number=3, seen=_SEEN, asks=True),
    "the end": Packet(number=4, seen=_SEEN, ends=True),
}


def datagrams(_: Earlier) -> Any:
    """Return packets with what they say, others that are none, and two streams in pieces."""
    whole = encode_packet(_GOOD["an acknowledgement alone"])
    bad = {
        "nothing": b"",
        "a number that is cut short": bytes(4),
        "an unknown stream": b"\x32" + bytes(8) + b"data",
        "a stream without a piece": b"\x10" + bytes(4),
        "an acknowledgement that is cut short": whole[:-1],
        "a byte more": whole + b"\0",
        "an empty piece": b"\x02" + bytes(8),
        "a piece of 1,137 bytes": b"\x02" + bytes(8 + PIECE_BYTES_MAX + 1),
    }
    return {
        "good": [shown(what, packet) for what, packet in _GOOD.items()],
        "refused": [
            {"packet": each, "reason": reason(each), "what": what} for what, each in bad.items()
        ],
        "streams": streams(),
    }


def shown(what: str, packet: Packet) -> dict[str, Any]:
    """Return a packet with what it says."""
    data = encode_packet(packet)
    assert decode_packet(data) == packet
    seen, piece = packet.seen, packet.piece
    return {
        "acknowledges": seen
        and {
            "came": [n for n in range(seen.highest, seen.highest - 65, -1) if seen.has(n)],
            "taken": seen.taken,
        },
        "asks": packet.asks,
        "ends": packet.ends,
        "number": packet.number,
        "packet": data,
        "piece": piece
        and {"data": piece.data, "number": piece.number, "stream": int(piece.stream)},
        "what": what,
    }


def reason(data: bytes) -> str:
    """Return why bytes are no packet.

    Raises:
        AssertionError: they are one.
    """
    try:
        decode_packet(data)
    except LinkError as error:
        return error.code
    raise AssertionError("bytes that are no packet were taken")


def streams() -> list[dict[str, Any]]:
    """Return the messages of two streams, and their pieces in the order in which they leave."""
    draw = random.Random(79).randbytes
    said = {Stream.URGENT: [draw(20), draw(1_500)], Stream.RECORDS: [draw(1_133)]}
    outflow = Outflow()
    for stream, messages in said.items():
        for message in messages:
            outflow.put(message, stream)
    pieces: dict[Stream, list[bytes]] = {stream: [] for stream in said}
    for _ in range(3):
        piece = outflow.next_piece()
        assert piece is not None
        assert piece.number == len(pieces[piece.stream])
        pieces[piece.stream].append(piece.data)
    return [
        {"messages": messages, "pieces": pieces[stream], "stream": int(stream)}
        for stream, messages in said.items()
    ]
