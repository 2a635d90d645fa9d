"""Messages between two nodes: each is one CBOR array `[kind, ...]`, some in a WebSocket message.

The set is closed: a kind that is not listed here costs the link. docs/PROTOCOL.md describes each.
A log is named by its id, or shorter by a reference: the number of its offer in this session.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import cbor2

from schemas.cbor import read_items
from schemas.errors import MessageError
from schemas.limits import (
    ATTACHMENT_BYTES_MAX,
    CHUNK_BYTES,
    CHUNK_NAME_BYTES,
    COSIGNATURES_MAX,
    FRAME_LEAVES_MAX,
    GAPS_MAX,
    LEAF_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    OFFERS_MAX,
    PACKED_BYTES_MAX,
    PART_BYTES_MIN,
    REVOCATION_BYTES_MAX,
)
from schemas.wire_audit import (
    Reconcile,
    Repair,
    audit_items,
    read_reconcile,
    read_repair,
)
from schemas.wire_items import (
    SEQ_MAX,
    read_array,
    read_blob,
    read_bytes,
    read_list,
    read_reference,
    read_text,
    read_uint,
)

PROTOCOL_VERSION = 1
# How a frame holds its leaves: one by one; packed; packed with the sender's dictionary n (2 + n).
PLAIN = 0
PACKED = 1
WITH_DICTIONARY = 2
REFERENCES_MAX = 1 << 20
DICTIONARY_NAME_BYTES = 8


class Priority(IntEnum):
    """Order of sending; a lower number never waits for a higher one."""

    CONTROL = 0
    STATUS = 1
    RECORDS = 2
    BULK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A log that the sender will send.

    Attributes:
        owner: public key that signs its tree heads; empty for the sender's own.
        purpose: "up", or "down" for a log of the sender that the receiver reads.
        from_seq: first leaf the sender believes the receiver lacks.
        size: leaves it holds under a tree head.
        cosigned: leaves of which it knows that the receiver cosigned them.
        cosigned_above: leaves of which it knows that the top tier cosigned them.
    """

    owner: bytes
    purpose: str
    epoch: int
    from_seq: int
    size: int
    cosigned: int = 0
    cosigned_above: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First message of each side; sent again when further logs appear.

    Attributes:
        version: protocol version of the sender.
        now_ms: the sender's wall clock, for warnings only.
        first: number of the first offer, counted over the session; those behind it follow.
        offers: logs the sender will send.
        dictionaries: first 8 bytes of the digests of the dictionaries that the sender understands.
    """

    version: int
    now_ms: int
    offers: tuple[Offer, ...]
    first: int = 0
    dictionaries: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Consecutive leaves of one log, or a part of one packed leaf that is too large for a frame.

    Attributes:
        log: id or reference.
        leaves: as they are, when the coding is PLAIN.
        coding: PLAIN, PACKED, or WITH_DICTIONARY plus the number of one in the sender's HELLO.
        data: the packed leaves (sync/framing.py), or the part of them from `offset`.
        total: bytes of the whole.
    """

    log: bytes
    priority: int
    first_seq: int
    leaves: tuple[bytes, ...] = ()
    coding: int = PLAIN
    data: bytes = b""
    offset: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A signed tree head; also asks for an acknowledgement with all cosignatures.

    Attributes:
        root: empty where the receiver computes it from the leaves.
    """

    log: bytes
    size: int
    root: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """One cosignature over the head of `size` leaves; peer_id is empty for the sender's own."""

    peer_id: bytes
    size: int
    timestamp_s: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What the receiver holds durably.

    Attributes:
        have_seq: every leaf below is stored.
        gaps: (first, count) ranges missing between have_seq and the highest leaf stored; behind
            them (end, 0) says that leaves are stored up to `end`.
        cosignatures: the newest of each cosigner, if it was not told in this session.
    """

    log: bytes
    have_seq: int
    gaps: tuple[tuple[int, int], ...]
    cosignatures: tuple[Cosigned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Asks for bytes of a blob, from `offset`, at most `length`."""

    sha256: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Bytes of a blob; empty data with total 0 says that the sender does not hold it.

    Attributes:
        sha256: the first 8 bytes tell enough: only what was asked for is taken.
    """

    sha256: bytes
    offset: int
    total: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why the sender will close the link, or will take no more of one log."""

    code: str
    detail: str
    log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A signed revocation, ahead of the log that it stands in (schemas/revocation.py)."""

    statement: bytes


Message = Hello | Frame | Head | Ack | Want | Chunk | Problem | Revoked | Reconcile | Repair

_KINDS: dict[type[Message], int] = {
    Hello: 1,
    Frame: 2,
    Head: 3,
    Ack: 4,
    Want: 5,
    Chunk: 6,
    Problem: 7,
    Revoked: 8,
    Reconcile: 9,
    Repair: 10,
}


def encode_message(message: Message) -> bytes:
    """Return the bytes of one message; several joined make one WebSocket message."""
    kind = _KINDS[type(message)]
    match message:
        case Hello():
            offers = [
                [o.owner, o.purpose, o.epoch, o.from_seq, o.size, o.cosigned, o.cosigned_above]
                for o in message.offers
            ]
            names = list(message.dictionaries)
            body = [message.version, message.now_ms, message.first, offers, names]
        case Frame():
            body = _frame_items(message)
        case Head():
            body = [message.log, message.size, message.root, message.signature]
        case Ack():
            cosignatures = [
                [c.peer_id, c.size, c.timestamp_s, c.signature] for c in message.cosignatures
            ]
            gaps = [list(gap) for gap in message.gaps]
            body = [message.log, message.have_seq, gaps, cosignatures]
        case Want():
            body = [message.sha256, message.offset, message.length]
        case Chunk():
            body = [message.sha256, message.offset, message.total, message.data]
        case Problem():
            body = [message.code, message.detail[:500], message.log]
        case Revoked():
            body = [message.statement]
        case Reconcile() | Repair():
            body = audit_items(message)
    return cbor2.dumps([kind, *body])


def _frame_items(frame: Frame) -> list[Any]:
    items: list[Any] = [frame.log, frame.priority, frame.first_seq, frame.coding]
    items.append(list(frame.leaves) if frame.coding == PLAIN else frame.data)
    if frame.coding != PLAIN and frame.total != len(frame.data):
        items += [frame.offset, frame.total]
    return items


def decode_messages(data: bytes) -> list[Message]:
    """Return the messages in one WebSocket message: a CBOR sequence (RFC 8742), at least one.

    Raises:
        MessageError: malformed, beyond a limit, or of an unknown kind.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise MessageError("message_too_long", f"a message of {len(data)} bytes")
    try:
        items = read_items(data)
    except ValueError as error:
        raise MessageError("message_malformed", f"this message is not CBOR: {error}") from error
    if not items:
        raise MessageError("message_malformed", "a message without content")
    return [_message(item) for item in items]


def _message(items: Any) -> Message:
    if not isinstance(items, list) or not items:
        raise MessageError("message_malformed", "a message is an array")
    kind, *body = items
    if type(kind) is not int or kind not in _DECODERS:
        raise MessageError("message_unknown", f"unknown kind of message {kind!r:.40}")
    return _DECODERS[kind](body)


def _hello(body: list[Any]) -> Hello:
    version, now_ms, first, offers, dictionaries = read_array(body, 5)
    return Hello(
        version=read_uint(version, 255),
        now_ms=read_uint(now_ms, SEQ_MAX),
        first=read_uint(first, REFERENCES_MAX),
        offers=tuple(_offer(offer) for offer in read_list(offers, OFFERS_MAX)),
        dictionaries=tuple(
            read_bytes(item, DICTIONARY_NAME_BYTES) for item in read_list(dictionaries, 16)
        ),
    )


def _offer(item: Any) -> Offer:
    owner, purpose, epoch, from_seq, size, cosigned, above = read_array(item, 7)
    offer = Offer(
        owner=b"" if owner == b"" else read_bytes(owner, 32),
        purpose=read_text(purpose, 80),
        epoch=read_uint(epoch, 1 << 32),
        from_seq=read_uint(from_seq),
        size=read_uint(size),
        cosigned=read_uint(cosigned),
        cosigned_above=read_uint(above),
    )
    if offer.from_seq > offer.size:
        raise MessageError("message_malformed", "an offer starts behind its end")
    return offer


def _frame(body: list[Any]) -> Frame:
    if len(body) not in (5, 7):
        raise MessageError("message_malformed", "a frame has five items, a part of one has seven")
    frame = Frame(
        log=read_reference(body[0]),
        priority=read_uint(body[1], 3),
        first_seq=read_uint(body[2]),
        coding=read_uint(body[3], WITH_DICTIONARY + 15),
    )
    content = body[4]
    if frame.coding == PLAIN:
        leaves = tuple(
            read_blob(leaf, LEAF_BYTES_MAX) for leaf in read_list(content, FRAME_LEAVES_MAX)
        )
        if not leaves or len(body) != 5:
            raise MessageError("message_malformed", "a frame holds at least one leaf")
        return replace(frame, leaves=leaves)
    data = read_blob(content, PACKED_BYTES_MAX)
    offset, total = (0, len(data)) if len(body) == 5 else map(_packed_size, body[5:])
    behind = total - offset - len(data)
    if not data or behind < 0:
        raise MessageError("message_malformed", "a part of a frame lies outside of it")
    if behind and len(data) < PART_BYTES_MIN:
        raise MessageError("message_malformed", "a part of a frame is too small")
    return replace(frame, data=data, offset=offset, total=total)


def _packed_size(value: Any) -> int:
    return read_uint(value, PACKED_BYTES_MAX)


def _head(body: list[Any]) -> Head:
    log, size, root, signature = read_array(body, 4)
    return Head(
        log=read_reference(log),
        size=read_uint(size),
        root=b"" if root == b"" else read_bytes(root, 32),
        signature=read_bytes(signature, 64),
    )


def _ack(body: list[Any]) -> Ack:
    log, have_seq, gaps, cosignatures = read_array(body, 4)
    return Ack(
        log=read_reference(log),
        have_seq=read_uint(have_seq),
        gaps=tuple(_gap(gap) for gap in read_list(gaps, GAPS_MAX)),
        cosignatures=tuple(_cosigned(c) for c in read_list(cosignatures, COSIGNATURES_MAX)),
    )


def _gap(item: Any) -> tuple[int, int]:
    first, count = read_array(item, 2)
    return read_uint(first), read_uint(count)


def _cosigned(item: Any) -> Cosigned:
    peer_id, size, timestamp_s, signature = read_array(item, 4)
    return Cosigned(
        peer_id=b"" if peer_id == b"" else read_bytes(peer_id, 32),
        size=read_uint(size),
        timestamp_s=read_uint(timestamp_s),
        signature=read_bytes(signature, 64),
    )


def _want(body: list[Any]) -> Want:
    sha256, offset, length = read_array(body, 3)
    return Want(
        sha256=read_bytes(sha256, 32),
        offset=read_uint(offset, ATTACHMENT_BYTES_MAX),
        length=read_uint(length, ATTACHMENT_BYTES_MAX),
    )


def _chunk(body: list[Any]) -> Chunk:
    sha256, offset, total, data = read_array(body, 4)
    return Chunk(
        sha256=read_bytes(sha256, CHUNK_NAME_BYTES),
        offset=read_uint(offset, ATTACHMENT_BYTES_MAX),
        total=read_uint(total, ATTACHMENT_BYTES_MAX),
        data=read_blob(data, CHUNK_BYTES),
    )


def _problem(body: list[Any]) -> Problem:
    code, detail, log = read_array(body, 3)
    named = b"" if log == b"" else read_reference(log)
    return Problem(code=read_text(code, 60), detail=read_text(detail, 500), log=named)


def _revoked(body: list[Any]) -> Revoked:
    (statement,) = read_array(body, 1)
    return Revoked(statement=read_blob(statement, REVOCATION_BYTES_MAX))


_DECODERS: dict[int, Callable[[list[Any]], Message]] = {
    1: _hello,
    2: _frame,
    3: _head,
    4: _ack,
    5: _want,
    6: _chunk,
    7: _problem,
    8: _revoked,
    9: read_reconcile,
    10: read_repair,
}
