"""Writes the columns of an Automerge change as Automerge's own encoder does.

What `sync.columns` reads. A column is given run by run, so that what the letters of long texts have
in common costs nothing; runs of equal entries behind each other become one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sync.change import uleb

_REPEATED: Final = re.compile(rb"(.)\1+", re.DOTALL)
_SIGNED: Final = tuple(bytes([number & 0x7F]) for number in range(-0x40, 0x40))
# An entry, None for null, and how often it stands in a row. Below 0 it is a piece of a column: so
# many entries as they are written, each another than its neighbours.
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
    return _column(runs, lambda text: uleb(len(text)) + text)


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


def singly(entries: bytes) -> Iterator[Run]:
    """Yield runs of numbers below 0x80, one in each byte."""
    at = 0
    for found in _REPEATED.finditer(entries):
        start, end = found.span()
        if at < start:
            yield from _single(entries[at:start])
        yield entries[start], end - start
        at = end
    if at < len(entries):
        yield from _single(entries[at:])


def _single(entries: bytes) -> Iterator[Run]:
    """Yield numbers that differ from their neighbours; those at the ends may meet equals."""
    yield entries[0], 1
    if len(entries) > 2:
        yield entries[1:-1], 2 - len(entries)
    if len(entries) > 1:
        yield entries[-1], 1


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
    for entry, count in (*runs, (_END, 1)):
        if entry == last:
            times += count
            continue
        if times == 1 and last is not None:
            single += write(last)
            size += 1
        elif times < 0:
            single += last
            size -= times
        elif times:
            if size:
                out += sleb(-size) + single
                single, size = bytearray(), 0
            out += b"\0" + uleb(times) if last is None else sleb(times) + write(last)
        last, times = entry, count
    if size:
        out += sleb(-size) + single
    # A column of nothing but nulls is left out.
    return bytes(out) if out[:1] != b"\0" or any(entry is not None for entry, _ in runs) else b""


def _run(entry: Any, count: int, write: Callable[[Any], bytes]) -> bytes:
    """Return a column of one run."""
    return sleb(-1 if count == 1 else count) + write(entry)


_END: Final = object()
