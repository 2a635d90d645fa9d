"""Decodes the columns of an Automerge change: runs of numbers, of texts, of booleans.

Letters of long texts make columns of hundreds of short runs, so this is a hot path: what fits one
byte is read without a call.
"""

from collections.abc import Callable, Sequence
from typing import Final

from schemas.limits import CHANGE_OPS_MAX
from sync.errors import ChangeError

# Column numbers: id << 4 | type, where 0x08 would mean deflated.
OBJECT_ACTOR, OBJECT_COUNTER = 0x01, 0x02
KEY_ACTOR, KEY_COUNTER, KEY_TEXT = 0x11, 0x13, 0x15
INSERT, ACTION = 0x34, 0x42
VALUE_META, VALUE_RAW = 0x56, 0x57
PRED_COUNT, PRED_ACTOR, PRED_COUNTER = 0x70, 0x71, 0x73
Span = tuple[int, int]
# Heads of a run of one, and of one literal.
_ONE: Final = b"\x01\x7f"


def uints(data: bytes, wanted: int = CHANGE_OPS_MAX + 1) -> list[int | None]:
    """Return the entries of a run-length column of numbers: +n repeats, -n literals, 0 nulls.

    Args:
        data: the column.
        wanted: so many of the first entries are enough.
    """
    end = len(data)
    if end == 2 and data[0] in _ONE and data[1] < 0x80:
        # Most changes are one operation.
        return [data[1]]
    entries: list[int | None] = []
    position = 0
    while position < end and len(entries) < wanted:
        head = data[position]
        if head < 0x80:
            length, position = head - ((head & 0x40) << 1), position + 1
        else:
            length, position = _long(data, position, Reader.sint)
        if length < 0:
            few = data[position : position - length]
            if few.isascii() and len(few) == -length:
                # Each below 0x80, so each in one byte.
                entries += few
                position -= length
            else:
                position = _literals(entries, data, position, -length)
            continue
        number = data[position]
        if number < 0x80:
            position += 1
        else:
            number, position = _long(data, position, Reader.uint)
        size = length or number
        _check_size(entries, size)
        entries += [number if length else None] * size
    if len(entries) > CHANGE_OPS_MAX:
        raise _too_long()
    return entries


def texts(data: bytes) -> tuple[list[str | None], list[Span]]:
    """Return the entries of a run-length column of texts, and (start, end) of each run of nulls."""
    reader, entries, nulls = Reader(data), list[str | None](), list[Span]()
    while reader.position < len(data):
        length = reader.sint()
        if length > 0:
            _check_size(entries, length)
            entries += [reader.blob().decode()] * length
        elif length < 0:
            _check_size(entries, -length)
            entries += [reader.blob().decode() for _ in range(-length)]
        else:
            size = reader.uint()
            _check_size(entries, size)
            nulls.append((len(entries), len(entries) + size))
            entries += [None] * size
    return entries, nulls


def deltas(data: bytes) -> list[int | None]:
    """Return the entries of a run-length column of differences, added up."""
    reader, entries, total = Reader(data), list[int | None](), 0
    while reader.position < len(data):
        length = reader.sint()
        size = abs(length) or reader.uint()
        _check_size(entries, size)
        if length == 0:
            entries += [None] * size
            continue
        if length > 0:
            step = reader.sint()
            # Letters typed one after the other are one long run.
            entries += (
                range(total + step, total + step * size + 1, step)
                if step > 0
                else [total + step * count for count in range(1, size + 1)]
            )
            total += step * size
            continue
        for _ in range(size):
            total += reader.sint()
            entries.append(total)
    return entries


def booleans(data: bytes) -> list[bool]:
    """Return the entries of a column of booleans: lengths of runs, false first."""
    if data == b"\x01":
        return [False]
    reader, value = Reader(data), False
    entries: list[bool] = []
    while reader.position < len(data):
        size = reader.uint()
        if size == 0 and reader.position > 1:
            # Only the first may be empty, where a column starts with true.
            raise ChangeError("change_malformed", "a run of nothing")
        if len(entries) + size > CHANGE_OPS_MAX:
            raise _too_long()
        entries += [value] * size
        value = not value
    if data and not entries:
        raise ChangeError("change_malformed", "a run of nothing")
    return entries


def _literals(entries: list[int | None], data: bytes, position: int, size: int) -> int:
    """Append so many literal numbers, and return the position behind them."""
    _check_size(entries, size)
    reader = Reader(data, position)
    entries += [reader.uint() for _ in range(size)]
    return reader.position


def _check_size(entries: Sequence[object], size: int) -> None:
    if size == 0:
        # Nothing but empty runs would keep us busy without ever reaching the limit below.
        raise ChangeError("change_malformed", "a run of nothing")
    if len(entries) + size > CHANGE_OPS_MAX:
        raise _too_long()


def _too_long() -> ChangeError:
    return ChangeError("change_too_long", "the change has too many operations")


def _overlong() -> ChangeError:
    return ChangeError("change_malformed", "a number is not in its shortest form")


def _long(data: bytes, position: int, read: "Callable[[Reader], int]") -> tuple[int, int]:
    """Return a number of more than one byte, and the position behind it."""
    reader = Reader(data, position)
    return read(reader), reader.position


class Reader:
    """A cursor over bytes; reading past the end raises IndexError or ChangeError."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def uint(self) -> int:
        """Return an unsigned LEB128."""
        byte = self.data[self.position]
        if byte < 0x80:
            self.position += 1
            return byte
        result = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0:
                    raise _overlong()
                return result
            shift += 7
            if shift > 63:
                raise ChangeError("change_malformed", "a number is too long")

    def sint(self) -> int:
        """Return a signed LEB128."""
        byte = self.data[self.position]
        if byte < 0x80:
            self.position += 1
            return byte - 0x80 if byte & 0x40 else byte
        result = shift = before = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if byte == (0x7F if before & 0x40 else 0):
                    raise _overlong()
                return result - (1 << shift) if byte & 0x40 else result
            before = byte
            if shift > 63:
                raise ChangeError("change_malformed", "a number is too long")

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        end = self.position + size
        if end > len(self.data):
            raise ChangeError("change_malformed", "the change ends early")
        data = self.data[self.position : end]
        self.position = end
        return data

    def rest(self) -> bytes:
        """Return all bytes that follow."""
        return self.take(len(self.data) - self.position)

    def blob(self) -> bytes:
        """Return bytes with their length before them."""
        return self.take(self.uint())

    def count(self, maximum: int) -> int:
        """Return a number of entries, up to a maximum."""
        count = self.uint()
        if count > maximum:
            raise ChangeError("change_too_long", f"{count} entries where {maximum} are allowed")
        return count
