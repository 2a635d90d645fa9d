"""Ids in hexadecimal text as short tokens, and back: what the log tells need not be sent."""

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from schemas.hlc import HLC_MAX
from schemas.ids import document_text, event_id
from schemas.record import Leaf, Writer
from sync.change import Change
from sync.errors import FrameError

_ESCAPE: Final = 0xFF
_EVENTS_MAX: Final = 256
# How far back the text of another document's id may lie: a registration writes a handful at once.
_NEAR: Final = 32
_HEX: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{24}|\xff"
)


# Every id begins and ends with so many hexadecimal digits.
_DIGITS: Final = b"0" * 8
_AS_DIGITS: Final = bytes(48 if byte in b"0123456789abcdef" else 32 for byte in range(256))


def _spelled(data: bytes, token: Callable[[re.Match[bytes]], bytes]) -> bytes:
    """Return data with a token in place of each id and each escape byte."""
    if _ESCAPE in data:
        return _HEX.sub(token, data)
    # Only where ids can be: most texts hold none.
    digits = data.translate(_AS_DIGITS)
    start = digits.find(_DIGITS)
    if start < 0:
        return data
    end = digits.rfind(_DIGITS) + len(_DIGITS)
    return data[:start] + _HEX.sub(token, data[start:end]) + data[end:]


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

    def change(self, seq: int, /) -> Change | None:
        """Return the change in an earlier leaf; None: nobody has looked at it yet."""

    def previous(self, document: bytes, seq: int, /) -> int | None:
        """Return the last leaf below seq that is a change of the document; senders ask."""


class Tokens:
    """Ids inside a change as short tokens, and back."""

    def __init__(
        self,
        document: bytes,
        hlc: int,
        writer: Writer,
        seq: int,
        before: Leaf | None,
        history: History,
    ) -> None:
        """Work for one leaf of a document, with the clock reading `hlc`."""
        self._document = document
        self._hlc = hlc
        self._device = writer.device
        self._seq = seq
        self._before = before
        self._history = history
        self._bases: list[tuple[Token, int, bytes]] = []

    def squeeze(self, data: bytes) -> bytes:
        """Return the data with tokens."""
        return _spelled(data, self._token)

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
        if not self._bases:
            self._bases.append((Token.OWN_EVENT, self._hlc, self._device))
            writer = self._history.writer(self._before.writer) if self._before else None
            if self._before is not None and writer is not None:
                self._bases.append((Token.EARLIER_EVENT, self._before.hlc, writer.device))
        return self._bases

    def _near(self, back: int) -> bytes:
        """Return the document of the leaf so far back; of this one for 0."""
        if back == 0:
            return self._document
        leaf = self._history.leaf(self._seq - back) if back <= self._seq else None
        return leaf.document if leaf is not None else b""

    def expand(self, data: bytes) -> bytes:
        """Return the data without tokens.

        Raises:
            FrameError: a token that says nothing.
        """
        if _ESCAPE not in data:
            return data
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


def squeeze_alone(leaf: Leaf, data: bytes) -> bytes:
    """Return data of a leaf with such tokens as the leaf alone tells of."""

    def token(found: re.Match[bytes]) -> bytes:
        text = found.group()
        if len(text) == 1:
            return bytes([_ESCAPE, Token.ESCAPE])
        raw = bytes.fromhex(text.decode().replace("-", ""))
        if len(text) == 24:
            offset = int.from_bytes(raw[:8], "big") - leaf.hlc
            if 0 <= offset < _EVENTS_MAX:
                return bytes([_ESCAPE, Token.OWN_EVENT, offset])
        if raw == leaf.document:
            return bytes([_ESCAPE, Token.NEAR_DOCUMENT, 0])
        return bytes([_ESCAPE, _PLAIN[len(raw)]]) + raw

    return _spelled(data, token)


_PLAIN: Final = {16: Token.UUID, 12: Token.EVENT, 32: Token.DIGEST}
