"""Reads what a frame holds from the front: numbers, bytes, texts."""

import re
from typing import Final

from sync.errors import FrameError

# A text ends with a zero; what stands for an id in it may hold zeros itself.
_TEXT: Final = re.compile(
    rb"(?:[^\x00\xff]++|\xff(?:\x00|[\x01-\x03].|\x04.{16}|\x05.{12}|\x06.{32}))*+\x00", re.DOTALL
)


class Cursor:
    """A position in bytes; whatever does not fit raises FrameError."""

    def __init__(self, data: bytes) -> None:
        """Begin at the start."""
        self._data = data
        self._at = 0

    def number(self, maximum: int = 1 << 60) -> int:
        """Return the next number."""
        at = self._at
        if at < len(self._data) and (value := self._data[at]) < 0x80:
            self._at = at + 1
        else:
            value, self._at = read_uleb(self._data, at)
        if value > maximum:
            raise FrameError("frame_malformed", "a number is too large")
        return value

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise FrameError("frame_malformed", "the frame is cut off")
        self._at += size
        return taken

    def text(self) -> bytes:
        """Return the next text, with tokens and without its end."""
        found = _TEXT.match(self._data, self._at)
        if found is None:
            raise FrameError("frame_malformed", "a text is cut off")
        start, self._at = found.span()
        return self._data[start : self._at - 1]

    def skip(self, data: bytes) -> bool:
        """Pass over bytes if they are the next ones."""
        is_next = self._data.startswith(data, self._at)
        if is_next:
            self._at += len(data)
        return is_next

    def since(self, at: int) -> bytes:
        """Return what was passed over from a position on."""
        return self._data[at : self._at]

    @property
    def at(self) -> int:
        """How many bytes were passed over."""
        return self._at

    def end(self) -> None:
        """Refuse what follows."""
        if self._at != len(self._data):
            raise FrameError("frame_malformed", "bytes follow the end of the frame")

    def rest(self) -> bytes:
        """Return what follows."""
        return self._data[self._at :]


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


def zigzag(number: int) -> int:
    """Return a number of either sign as one that is not negative."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    """Return what zigzag was given."""
    return number >> 1 if not number & 1 else -((number + 1) >> 1)
