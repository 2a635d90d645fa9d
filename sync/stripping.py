"""One leaf without what the receiver can work out from the log before it, and back again.

Left out of a change: Automerge's mark, checksum and length; the actor, which the writer and the
document give; the dependencies, when they are the document's last change in this log; the id of the
document, when an earlier leaf says it. Inside, ids written as hexadecimal text become short tokens.
What comes out is the same leaf to the byte, or the leaf is sent as it is.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Protocol

from crypto.identity import actor_id
from schemas.errors import RecordError
from schemas.hlc import HLC_MAX
from schemas.ids import document_text, event_id
from schemas.record import Leaf, LeafType, Writer, decode_leaf
from sync.change import MAGIC, uleb
from sync.errors import FrameError

_ESCAPE: Final = 0xFF
_EVENTS_MAX: Final = 256
# How far back the text of another document's id may lie: a registration writes a handful at once.
_NEAR: Final = 32
_HEX: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{24}|\xff"
)
_CHANGE_CHUNK: Final = 1


class Tag(IntFlag):
    """How one leaf is written."""

    RAW = 0
    CHANGE = 1
    NEW_DOCUMENT = 2
    OWN_DEPS = 4
    OWN_ACTOR = 8


class Token(IntEnum):
    """What stands behind the escape byte."""

    ESCAPE = 0
    OWN_EVENT = 1
    EARLIER_EVENT = 2
    NEAR_DOCUMENT = 3
    UUID = 4
    EVENT = 5
    DIGEST = 6


class History(Protocol):
    """What both sides know of a log before a leaf."""

    def leaf(self, seq: int, /) -> Leaf | None:
        """Return an earlier leaf, None if it has not arrived or is none."""

    def writer(self, number: int, /) -> Writer | None:
        """Return a writer that an earlier leaf declared."""

    def previous(self, document: bytes, seq: int, /) -> int | None:
        """Return the last leaf below seq that is a change of the document; senders ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripped:
    """What is sent of one leaf.

    Attributes:
        body: the whole leaf when the tag is RAW, else the rest of the change.
        back: how many leaves before this one the document's last change stands; 0 if new.
        document: 16 bytes of a new document.
        deps: hashes that are not the document's last change here.
        actor: of somebody else than the writer, which makes it a dead letter that is kept.
    """

    tag: Tag
    body: bytes
    writer: int = 0
    hlc: int = 0
    back: int = 0
    document: bytes = b""
    deps: tuple[bytes, ...] = ()
    actor: bytes = b""


def strip(data: bytes, seq: int, history: History) -> Stripped:
    """Return a leaf without what history tells; as it is, if it cannot be rebuilt to the byte."""
    stripped = _strip(data, seq, history)
    if stripped is not None and rebuild(stripped, seq, history) == data:
        return stripped
    return Stripped(tag=Tag.RAW, body=data)


def _strip(data: bytes, seq: int, history: History) -> Stripped | None:
    try:
        leaf = decode_leaf(data)
    except RecordError:
        return None
    parts = _open(leaf.body) if leaf.type == LeafType.CHANGE and leaf.document else None
    writer = history.writer(leaf.writer)
    if parts is None or writer is None:
        return None
    deps, actor, rest = parts
    earlier = history.previous(leaf.document, seq)
    before = None if earlier is None else history.leaf(earlier)
    tag = Tag.CHANGE
    if before is None or earlier is None:
        tag |= Tag.NEW_DOCUMENT
    if list(deps) != _usual_deps(before):
        tag |= Tag.OWN_DEPS
    if actor != _usual_actor(writer, leaf.document):
        tag |= Tag.OWN_ACTOR
    return Stripped(
        tag=tag,
        body=_Tokens(leaf, writer, seq, before, history).squeeze(rest),
        writer=leaf.writer,
        hlc=leaf.hlc,
        back=0 if earlier is None else seq - earlier,
        document=leaf.document if Tag.NEW_DOCUMENT in tag else b"",
        deps=deps if Tag.OWN_DEPS in tag else (),
        actor=actor if Tag.OWN_ACTOR in tag else b"",
    )


def rebuild(stripped: Stripped, seq: int, history: History) -> bytes:
    """Return the leaf.

    Raises:
        FrameError: history lacks what it builds on (`frame_early`), or it is no leaf at all.
    """
    if stripped.tag == Tag.RAW:
        return stripped.body
    before = None
    document = stripped.document
    if Tag.NEW_DOCUMENT not in stripped.tag:
        before = history.leaf(seq - stripped.back) if stripped.back <= seq else None
        if before is None:
            raise FrameError("frame_early", "the leaf builds on one that has not arrived")
        document = before.document
    writer = history.writer(stripped.writer)
    if writer is None:
        raise FrameError("frame_early", "the leaf's writer has not arrived")
    if len(document) != 16 or not 0 <= stripped.hlc <= HLC_MAX:
        raise FrameError("frame_malformed", "the leaf's document or clock is none")
    own_deps = Tag.OWN_DEPS in stripped.tag
    deps = list(stripped.deps) if own_deps else _usual_deps(before)
    own_actor = Tag.OWN_ACTOR in stripped.tag
    actor = stripped.actor if own_actor else _usual_actor(writer, document)
    leaf = Leaf(
        type=LeafType.CHANGE, writer=stripped.writer, document=document, hlc=stripped.hlc, body=b""
    )
    rest = _Tokens(leaf, writer, seq, before, history).expand(stripped.body)
    body = uleb(len(deps)) + b"".join(deps) + uleb(len(actor)) + actor + rest
    framed = bytes([_CHANGE_CHUNK]) + uleb(len(body)) + body
    chunk = MAGIC + hashlib.sha256(framed).digest()[:4] + framed
    return Leaf(
        type=leaf.type, writer=leaf.writer, document=document, hlc=leaf.hlc, body=chunk
    ).encode()


def _open(chunk: bytes) -> tuple[tuple[bytes, ...], bytes, bytes] | None:
    """Return (deps, actor, the rest) of a change chunk; None if it has another layout."""
    if chunk[:4] != MAGIC or len(chunk) < 12 or chunk[8] != _CHANGE_CHUNK:
        return None
    try:
        length, at = read_uleb(chunk, 9)
        if at + length != len(chunk):
            return None
        count, at = read_uleb(chunk, at)
        deps = tuple(chunk[at + 32 * index : at + 32 * index + 32] for index in range(count))
        size, at = read_uleb(chunk, at + 32 * count)
    except FrameError:
        return None
    return deps, chunk[at : at + size], chunk[at + size :]


def _usual_deps(before: Leaf | None) -> list[bytes]:
    if before is None or len(before.body) < 12 or before.body[8] != _CHANGE_CHUNK:
        return []
    return [hashlib.sha256(before.body[8:]).digest()]


def _usual_actor(writer: Writer, document: bytes) -> bytes:
    return actor_id(writer.node, writer.device, writer.epoch, document)


class _Tokens:
    """Ids inside a change as short tokens, and back."""

    def __init__(
        self, leaf: Leaf, writer: Writer, seq: int, before: Leaf | None, history: History
    ) -> None:
        """Work for one leaf, of which document, clock and writer count."""
        self._leaf = leaf
        self._device = writer.device
        self._seq = seq
        self._before = before
        self._history = history

    def squeeze(self, data: bytes) -> bytes:
        """Return the data with tokens."""
        return _HEX.sub(self._token, data)

    def _token(self, found: re.Match[bytes]) -> bytes:
        text = found.group()
        if len(text) == 1:
            return bytes([_ESCAPE, Token.ESCAPE])
        if len(text) == 64:
            return bytes([_ESCAPE, Token.DIGEST]) + bytes.fromhex(text.decode())
        raw = bytes.fromhex(text.decode().replace("-", ""))
        if len(text) == 24:
            return self._event_token(text, raw)
        for back in range(min(_NEAR, self._seq + 1)):
            if self._near(back) == raw:
                return bytes([_ESCAPE, Token.NEAR_DOCUMENT, back])
        return bytes([_ESCAPE, Token.UUID]) + raw

    def _event_token(self, text: bytes, raw: bytes) -> bytes:
        clock = int.from_bytes(raw[:8], "big")
        for token, hlc, device in self._event_bases():
            offset = clock - hlc
            if 0 <= offset < _EVENTS_MAX and event_id(clock, device).encode() == text:
                return bytes([_ESCAPE, token, offset])
        return bytes([_ESCAPE, Token.EVENT]) + raw

    def _event_bases(self) -> list[tuple[Token, int, bytes]]:
        bases = [(Token.OWN_EVENT, self._leaf.hlc, self._device)]
        if self._before is not None:
            writer = self._history.writer(self._before.writer)
            if writer is not None:
                bases.append((Token.EARLIER_EVENT, self._before.hlc, writer.device))
        return bases

    def _near(self, back: int) -> bytes:
        """Return the document of the leaf so far back; of this one for 0."""
        if back == 0:
            return self._leaf.document
        leaf = self._history.leaf(self._seq - back) if back <= self._seq else None
        return leaf.document if leaf is not None else b""

    def expand(self, data: bytes) -> bytes:
        """Return the data without tokens.

        Raises:
            FrameError: a token that says nothing.
        """
        out = bytearray()
        position = 0
        while (at := data.find(_ESCAPE, position)) >= 0:
            out += data[position:at]
            token = data[at + 1] if at + 1 < len(data) else -1
            read = _SIZES.get(token)
            if read is None or at + 2 + read > len(data):
                raise FrameError("frame_malformed", "a token that says nothing")
            position = at + 2 + read
            out += self._text(token, data[at + 2 : position])
        return bytes(out + data[position:])

    def _text(self, token: int, value: bytes) -> bytes:
        match token:
            case Token.ESCAPE:
                return bytes([_ESCAPE])
            case Token.NEAR_DOCUMENT:
                document = self._near(value[0]) if value[0] < _NEAR else b""
                if len(document) != 16:
                    raise FrameError("frame_early", "a document nearby that has not arrived")
                return document_text(document).encode()
            case Token.UUID:
                return document_text(value).encode()
            case Token.OWN_EVENT | Token.EARLIER_EVENT:
                for known, hlc, device in self._event_bases():
                    if known == token and hlc + value[0] <= HLC_MAX:
                        return event_id(hlc + value[0], device).encode()
                raise FrameError("frame_malformed", "an event that is not there")
        return value.hex().encode()


_SIZES: Final = {
    Token.ESCAPE.value: 0,
    Token.OWN_EVENT.value: 1,
    Token.EARLIER_EVENT.value: 1,
    Token.NEAR_DOCUMENT.value: 1,
    Token.UUID.value: 16,
    Token.EVENT.value: 12,
    Token.DIGEST.value: 32,
}


def read_uleb(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned LEB128 number at a position, and the position behind it.

    Raises:
        FrameError: it is cut off, or larger than 2^63.
    """
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise FrameError("frame_malformed", "a number is cut off or too long")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
