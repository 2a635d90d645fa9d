"""Messages between two nodes: each is one CBOR array `[kind, ...]`, some in a WebSocket message.

The set is closed: a kind that is not listed here costs the link. docs/PROTOCOL.md describes each.
A log is named by its id, or shorter by a reference: the number of its offer in this session.
"""

from collections.abc import Callable, Sequence
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

PROTOCOL_VERSION = 1
# How a frame holds its leaves: one by one; packed; packed with the sender's dictionary n (2 + n).
PLAIN = 0
PACKED = 1
WITH_DICTIONARY = 2
REFERENCE_BYTES_MAX = 4
REFERENCES_MAX = 1 << 20
DICTIONARY_NAME_BYTES = 8
_SEQ_MAX = 1 << 53


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


Message = Hello | Frame | Head | Ack | Want | Chunk | Problem | Revoked

_KINDS: tuple[type[Message], ...] = (Hello, Frame, Head, Ack, Want, Chunk, Problem, Revoked)


def encode_message(message: Message) -> bytes:
    """Return the bytes of one message; several joined make one WebSocket message."""
    kind = _KINDS.index(type(message)) + 1
    match message:
        case Hello():
            offers = [
                [o.owner, o.purpose, o.epoch, o.from_seq, o.size, o.cosigned, o.cosigned_above]
                for o in message.offers
            ]
            names = list(message.dictionaries)
            body = [message.version, message.now_ms, message.first, offers, names]
        case Frame():
            body = [message.log, message.priority, message.first_seq, message.coding]
            body.append(list(message.leaves) if message.coding == PLAIN else message.data)
            if message.coding != PLAIN and message.total != len(message.data):
                body += [message.offset, message.total]
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
    return cbor2.dumps([kind, *body])


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
    if type(kind) is not int or not 1 <= kind <= len(_DECODERS):
        raise MessageError("message_unknown", f"unknown kind of message {kind!r:.40}")
    return _DECODERS[kind - 1](body)


def _hello(body: list[Any]) -> Hello:
    version, now_ms, first, offers, dictionaries = _items(body, 5)
    return Hello(
        version=_uint(version, 255),
        now_ms=_uint(now_ms, _SEQ_MAX),
        first=_uint(first, REFERENCES_MAX),
        offers=tuple(_offer(offer) for offer in _list(offers, OFFERS_MAX)),
        dictionaries=tuple(_bytes(item, DICTIONARY_NAME_BYTES) for item in _list(dictionaries, 16)),
    )


def _offer(item: Any) -> Offer:
    owner, purpose, epoch, from_seq, size, cosigned, above = _items(item, 7)
    offer = Offer(
        owner=b"" if owner == b"" else _bytes(owner, 32),
        purpose=_text(purpose, 80),
        epoch=_uint(epoch, 1 << 32),
        from_seq=_uint(from_seq),
        size=_uint(size),
        cosigned=_uint(cosigned),
        cosigned_above=_uint(above),
    )
    if offer.from_seq > offer.size:
        raise MessageError("message_malformed", "an offer starts behind its end")
    return offer


def _frame(body: list[Any]) -> Frame:
    if len(body) not in (5, 7):
        raise MessageError("message_malformed", "a frame has five items, a part of one has seven")
    frame = Frame(
        log=_reference(body[0]),
        priority=_uint(body[1], 3),
        first_seq=_uint(body[2]),
        coding=_uint(body[3], WITH_DICTIONARY + 15),
    )
    content = body[4]
    if frame.coding == PLAIN:
        leaves = tuple(_blob(leaf, LEAF_BYTES_MAX) for leaf in _list(content, FRAME_LEAVES_MAX))
        if not leaves or len(body) != 5:
            raise MessageError("message_malformed", "a frame holds at least one leaf")
        return replace(frame, leaves=leaves)
    data = _blob(content, PACKED_BYTES_MAX)
    offset, total = (0, len(data)) if len(body) == 5 else map(_packed_size, body[5:])
    behind = total - offset - len(data)
    if not data or behind < 0:
        raise MessageError("message_malformed", "a part of a frame lies outside of it")
    if behind and len(data) < PART_BYTES_MIN:
        raise MessageError("message_malformed", "a part of a frame is too small")
    return replace(frame, data=data, offset=offset, total=total)


def _packed_size(value: Any) -> int:
    return _uint(value, PACKED_BYTES_MAX)


def _head(body: list[Any]) -> Head:
    log, size, root, signature = _items(body, 4)
    return Head(
        log=_reference(log),
        size=_uint(size),
        root=b"" if root == b"" else _bytes(root, 32),
        signature=_bytes(signature, 64),
    )


def _ack(body: list[Any]) -> Ack:
    log, have_seq, gaps, cosignatures = _items(body, 4)
    return Ack(
        log=_reference(log),
        have_seq=_uint(have_seq),
        gaps=tuple(_gap(gap) for gap in _list(gaps, GAPS_MAX)),
        cosignatures=tuple(_cosigned(c) for c in _list(cosignatures, COSIGNATURES_MAX)),
    )


def _gap(item: Any) -> tuple[int, int]:
    first, count = _items(item, 2)
    return _uint(first), _uint(count)


def _cosigned(item: Any) -> Cosigned:
    peer_id, size, timestamp_s, signature = _items(item, 4)
    return Cosigned(
        peer_id=b"" if peer_id == b"" else _bytes(peer_id, 32),
        size=_uint(size),
        timestamp_s=_uint(timestamp_s),
        signature=_bytes(signature, 64),
    )


def _want(body: list[Any]) -> Want:
    sha256, offset, length = _items(body, 3)
    return Want(
        sha256=_bytes(sha256, 32),
        offset=_uint(offset, ATTACHMENT_BYTES_MAX),
        length=_uint(length, ATTACHMENT_BYTES_MAX),
    )


def _chunk(body: list[Any]) -> Chunk:
    sha256, offset, total, data = _items(body, 4)
    return Chunk(
        sha256=_bytes(sha256, CHUNK_NAME_BYTES),
        offset=_uint(offset, ATTACHMENT_BYTES_MAX),
        total=_uint(total, ATTACHMENT_BYTES_MAX),
        data=_blob(data, CHUNK_BYTES),
    )


def _problem(body: list[Any]) -> Problem:
    code, detail, log = _items(body, 3)
    named = b"" if log == b"" else _reference(log)
    return Problem(code=_text(code, 60), detail=_text(detail, 500), log=named)


def _revoked(body: list[Any]) -> Revoked:
    (statement,) = _items(body, 1)
    return Revoked(statement=_blob(statement, REVOCATION_BYTES_MAX))


_DECODERS: tuple[Callable[[list[Any]], Message], ...] = (
    _hello,
    _frame,
    _head,
    _ack,
    _want,
    _chunk,
    _problem,
    _revoked,
)


def _items(value: object, count: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) != count:
        raise MessageError("message_malformed", f"expected an array of {count} items")
    return value


def _reference(value: object) -> bytes:
    if isinstance(value, bytes) and (len(value) == 16 or 1 <= len(value) <= REFERENCE_BYTES_MAX):
        return value
    raise MessageError("message_malformed", "expected the id of a log or the number of its offer")


def _list(value: object, count_max: int) -> list[Any]:
    if not isinstance(value, list):
        raise MessageError("message_malformed", "expected an array")
    if len(value) > count_max:
        raise MessageError("message_too_long", f"{len(value)} items where {count_max} are allowed")
    return value


def _uint(value: object, maximum: int = _SEQ_MAX) -> int:
    if type(value) is not int or not 0 <= value <= maximum:
        raise MessageError("message_malformed", f"expected a number from 0 to {maximum}")
    return value


def _bytes(value: object, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise MessageError("message_malformed", f"expected {size} bytes")
    return value


def _blob(value: object, size_max: int) -> bytes:
    if not isinstance(value, bytes) or len(value) > size_max:
        raise MessageError("message_malformed", f"expected at most {size_max} bytes")
    return value


def _text(value: object, chars_max: int) -> str:
    if not isinstance(value, str) or len(value) > chars_max:
        raise MessageError("message_malformed", f"expected a text of at most {chars_max} letters")
    return value
