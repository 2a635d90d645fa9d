"""What is inside a pack, as bytes: entries of messages, pieces of files, and the end of a part.

An entry is its kind (one byte), the length of its content (four bytes, the highest first), and the
content. Messages are those of the link, compressed with zstd; pieces of files come as they are, as
most files are compressed already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cbor2
import zstandard

from schemas.cbor import read_item
from schemas.errors import MessageError
from schemas.limits import (
    ATTACHMENT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PACK_ENTRY_BYTES_MAX,
    PACK_PARTS_MAX,
    PACK_PIECE_BYTES,
)
from schemas.wire import Message, decode_messages, encode_message
from sync.errors import PackError

PACK_ID_BYTES: Final = 16
END_BYTES: Final = 6

_MESSAGES, _PIECE, _END = 1, 2, 3
_PREFIX_BYTES: Final = 5
_PIECE_PREFIX_BYTES: Final = 48
_LEVEL: Final = 9
_WINDOW_BYTES_MAX: Final = 2 << 20
_TIME_MAX: Final = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which part of which pack a file is.

    Attributes:
        part: number of the part, from 1.
        made_ms: the sender's wall clock when the pack was begun.
        receiver: code of the office that it is for, for people.
    """

    pack_id: bytes
    part: int
    made_ms: int
    receiver: str

    def encode(self) -> bytes:
        """Return it as bytes."""
        return cbor2.dumps([self.pack_id, self.part, self.made_ms, self.receiver])


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of the link, in their order."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of a file; the pieces of a file follow each other in one part."""

    sha256: bytes
    offset: int
    total: int
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The end of a part; is_last tells that no other part follows."""

    is_last: bool


Entry = Messages | Piece | End


def decode_about(data: bytes) -> About:
    """Return which part of which pack it is.

    Raises:
        PackError: pack_malformed.
    """
    try:
        items = read_item(data)
    except ValueError as error:
        raise _malformed("what it is about cannot be read") from error
    match items:
        case [bytes() as pack_id, int() as part, int() as made_ms, str() as receiver] if (
            len(pack_id) == PACK_ID_BYTES
            and type(part) is type(made_ms) is int
            and receiver.isprintable()
            and 1 <= part <= PACK_PARTS_MAX
            and 0 <= made_ms < _TIME_MAX
        ):
            about = About(pack_id=pack_id, part=part, made_ms=made_ms, receiver=receiver)
            if about.encode() == data:
                return about
    raise _malformed("what it is about does not have the form of it")


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    match entry:
        case Messages():
            plain = b"".join(encode_message(message) for message in entry.messages)
            compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
            return _entry(_MESSAGES, compressor.compress(plain))
        case Piece():
            offset, total = entry.offset.to_bytes(8, "big"), entry.total.to_bytes(8, "big")
            return _entry(_PIECE, entry.sha256 + offset + total + entry.data)
        case End():
            return _entry(_END, bytes([entry.is_last]))


def _entry(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(4, "big") + content


class EntryReader:
    """Reads entries from bytes that come in pieces of any size.

    Attributes:
        end: the end of the part, once it came.
    """

    def __init__(self) -> None:
        """Start in front of the first entry."""
        self._waiting = bytearray()
        self.end: End | None = None

    def feed(self, data: bytes) -> Iterator[Entry]:
        """Yield the entries that are whole now.

        Raises:
            PackError: pack_malformed.
        """
        self._waiting += data
        at = 0
        while len(self._waiting) - at >= _PREFIX_BYTES:
            size = int.from_bytes(self._waiting[at + 1 : at + _PREFIX_BYTES], "big")
            if size > PACK_ENTRY_BYTES_MAX:
                raise _malformed("an entry is too long")
            end = at + _PREFIX_BYTES + size
            if end > len(self._waiting):
                break
            if self.end is not None:
                raise _malformed("something follows its end")
            kind, content = self._waiting[at], bytes(self._waiting[at + _PREFIX_BYTES : end])
            at = end
            entry = _decode(kind, content)
            self.end = entry if isinstance(entry, End) else None
            yield entry
        del self._waiting[:at]

    def finish(self) -> None:
        """Check that the last entry was the end.

        Raises:
            PackError: pack_malformed.
        """
        if self.end is None or self._waiting:
            raise _malformed("it does not end as a part ends")


def _decode(kind: int, content: bytes) -> Entry:
    match kind:
        case 1:
            return Messages(tuple(_messages(content)))
        case 2:
            return _piece(content)
        case 3 if content in (b"\0", b"\1"):
            return End(content == b"\1")
    raise _malformed("an entry is of no known kind")


def _messages(content: bytes) -> Sequence[Message]:
    # As a stream, because an entry may claim any size and have room made for it.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
    try:
        with decompressor.stream_reader(content) as stream:
            plain = stream.read(MESSAGE_BYTES_MAX + 1)
    except zstandard.ZstdError as error:
        raise _malformed("an entry does not inflate") from error
    try:
        return decode_messages(plain)
    except MessageError as error:
        raise _malformed(str(error)) from error


def _piece(content: bytes) -> Piece:
    piece = Piece(
        sha256=content[:32],
        offset=int.from_bytes(content[32:40], "big"),
        total=int.from_bytes(content[40:_PIECE_PREFIX_BYTES], "big"),
        data=content[_PIECE_PREFIX_BYTES:],
    )
    is_whole = 0 < len(piece.data) <= PACK_PIECE_BYTES
    if not is_whole or piece.offset + len(piece.data) > piece.total > 0:
        raise _malformed("a piece of a file lies outside of it")
    if not 0 < piece.total <= ATTACHMENT_BYTES_MAX:
        raise _malformed("a file is empty or too long")
    return piece


def _malformed(why: str) -> PackError:
    return PackError(
        "pack_malformed",
        f"this pack is not one that this version understands: {why}",
        "Does the other office have a newer version of tiepdan?",
    )
