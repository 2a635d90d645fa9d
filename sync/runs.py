"""Writes the columns of an Automerge change as Automerge's own encoder does.

What `sync.columns` reads. A column is given run by run, so that what the letters of long texts have
in common costs nothing; runs of equal entries behind each other become one.
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sync.change import uleb

# Letters in a row that are as long as each other, or each another length than its neighbours, by
# their meta bytes: a text of 1 to 4 bytes.
_LENGTHS: Final = re.compile(
    b"|".join(b"%c{2,}" % meta for meta in (0x16, 0x26, 0x36, 0x46))
    + b"|(?:"
    + b"|".join(b"%c(?!%c)" % (meta, meta) for meta in (0x16, 0x26, 0x36, 0x46))
    + b")+"
)
_SIGNED: Final = tuple(bytes([number & 0x7F]) for number in range(-0x40, 0x40))
# An entry, None for null, and how often it stands in a row. Below 0 it is a piece of a column: so
# many entries as they are written, each another than its neighbours. With 0 it is a piece as it
# stands in a column, which goes on with nothing before or behind it.
Run = tuple[Any, int]


class Steps:
    """A column of differences."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.runs: list[Run] = []
        self._last = 0

    def put(self, entry: int) -> None:
        """Append a number."""
        self.runs.append((entry - self._last, 1))
        self._last = entry

    def climb(self, count: int) -> None:
        """Append so many numbers, each one above the one before; none is fine."""
        if count:
            self.runs.append((1, count))
            self._last += count


def numbers(runs: Sequence[Run]) -> bytes:
    """Return a column of numbers."""
    return _column(runs, uleb)


def differences(steps: Steps) -> bytes:
    """Return a column of differences."""
    return _column(steps.runs, sleb)


def texts(runs: Sequence[Run]) -> bytes:
    """Return a column of texts, given in UTF-8."""
    return _column(runs, sized)


def sized(text: bytes) -> bytes:
    """Return a text with its length before it."""
    return uleb(len(text)) + text


def booleans(runs: Sequence[Run]) -> bytes:
    """Return a column of truth values, given as 0 and 1."""
    out, value, size = bytearray(), 0, 0
    for entry, count in runs:
        if entry != value:
            # Only the first run may be empty.
            out += uleb(size)
            value, size = entry, 0
        size += count
    return bytes(out + uleb(size))


def unlike(entries: Sequence[Any], write: Callable[[Any], bytes]) -> list[Run]:
    """Return the runs of one or more entries as few, if none equals its neighbour."""
    if len(entries) < 4 or any(map(operator.eq, entries, entries[1:])):
        return [(entry, 1) for entry in entries]
    inner = b"".join([write(entry) for entry in entries[1:-1]])
    return [(entries[0], 1), (inner, 2 - len(entries)), (entries[-1], 1)]


def lengths(metas: bytes) -> Iterator[Run]:
    """Yield the runs of the meta bytes of letters."""
    parts = _LENGTHS.findall(metas)
    yield from _lengths(parts[0])
    if len(parts) > 2:
        # Their neighbours are others, whatever stands before and behind the letters.
        yield b"".join(map(_ENCODED.__getitem__, parts[1:-1])), 0
    if len(parts) > 1:
        yield from _lengths(parts[-1])


def _lengths(part: bytes) -> list[Run]:
    if len(part) > 1 and part[0] == part[1]:
        return [(part[0], len(part))]
    if len(part) < 3:
        return [(meta, 1) for meta in part]
    return [(part[0], 1), (part[1:-1], 2 - len(part)), (part[-1], 1)]


class _Encoded(dict[bytes, bytes]):
    """Lengths in a row as they stand in a column."""

    def __missing__(self, part: bytes) -> bytes:
        is_repeated = len(part) > 1 and part[0] == part[1]
        found = sleb(len(part)) + part[:1] if is_repeated else sleb(-len(part)) + part
        if len(part) <= _SHORT:
            self[part] = found
        return found


# There are a few hundred such.
_SHORT: Final = 5
_ENCODED: Final = _Encoded()


def sleb(number: int) -> bytes:
    """Return the number as signed LEB128."""
    if -0x40 <= number < 0x40:
        return _SIGNED[number + 0x40]
    out = bytearray()
    while not -0x40 <= number < 0x40:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


def _column(runs: Sequence[Run], write: Callable[[Any], bytes]) -> bytes:
    """Return +n and an entry for one that repeats, -n and entries, 0 and n for n nulls."""
    if len(runs) < 2:
        return b"".join([_run(entry, count, write) for entry, count in runs if entry is not None])
    out, single, size = bytearray(), bytearray(), 0
    last: Any = None
    times = 0
    for entry, count in (*runs, _END):
        if times and count > 0 and entry == last:
            times += count
            continue
        if times == 1 and last is not None:
            single += write(last)
            size += 1
        elif times:
            out += _literals(single, size)
            single, size = bytearray(), 0
            out += b"\0" + uleb(times) if last is None else sleb(times) + write(last)
        if count > 0:
            last, times = entry, count
            continue
        times = 0
        if count < 0:
            single += entry
            size -= count
        else:
            out += _literals(single, size) + entry
            single, size = bytearray(), 0
    # A column of nothing but nulls is left out.
    return bytes(out) if out[:1] != b"\0" or any(entry is not None for entry, _ in runs) else b""


def _literals(entries: bytearray, count: int) -> bytes:
    return sleb(-count) + entries if count else b""


def _run(entry: Any, count: int, write: Callable[[Any], bytes]) -> bytes:
    """Return a column of one run."""
    return sleb(-1 if count == 1 else count) + write(entry)


_END: Final[Run] = (b"", 0)
