"""Finds out what two sets of records lack of each other: negentropy, protocol version 1.

The initiator splits its sorted items into ranges and sends a fingerprint of each. Where one
differs, the other side splits further, down to lists of ids; from those the initiator learns what
only it has and what only the peer has. The responder learns nothing and keeps no state; nor does
the initiator, so each function is message in, message out. Cost goes by how many ranges differ, not
by the size of the sets.

Who calls must limit the rounds, since a peer could invent differences for ever.

Source: docs/negentropy-protocol-v1.md of github.com/hoytech/negentropy. Messages are byte for byte
those of its implementations, with one exception, marked below, where those lose differences.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, Protocol

from sync.errors import NegentropyError

VERSION: Final = 0x61
ID_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 16
FRAME_BYTES_MIN: Final = 4096
"""A smaller frame could not hold one split range and the rest's fingerprint."""
INFINITY: Final = (1 << 64) - 1
"""The timestamp that no item may have: the end of the last range."""

_SKIP, _FINGERPRINT, _ID_LIST = 0, 1, 2
_VERSIONS: Final = range(0x60, 0x70)
_BUCKETS: Final = 16
# Kept free in a frame for the fingerprint of the rest.
_RESERVE_BYTES: Final = 200
_SUM_MASK: Final = (1 << 8 * ID_BYTES) - 1
_VARINT_BYTES_MAX: Final = 10
_EMPTY_FINGERPRINT: Final = hashlib.sha256(bytes(ID_BYTES + 1)).digest()[:FINGERPRINT_BYTES]
# Items between two stored sums: a range is summed from at most twice as many ids.
_STRIDE: Final = 16


class Item(NamedTuple):
    """A record as this protocol sees it; items are sorted by timestamp, then by id.

    Attributes:
        timestamp: 0 to 2^64 - 2; anything that puts new records near each other.
        id: 32 bytes that stand for the whole record and look random, so a hash.
    """

    timestamp: int
    id: bytes


class Bound(NamedTuple):
    """Where a range ends: before the first item that is not smaller.

    Attributes:
        timestamp: of the first item behind the range, or INFINITY.
        prefix: 0 to 32 bytes, enough of that item's id to tell it from the item before it.
    """

    timestamp: int
    prefix: bytes = b""


class Items(Protocol):
    """A sorted set, read by index: 0 <= start <= end <= size(). It holds still for one call."""

    def size(self) -> int:
        """Return the number of items."""

    def items(self, start: int, end: int) -> Iterable[Item]:
        """Return these items in order; it is often left before its end."""

    def id_sum(self, start: int, end: int) -> int:
        """Return the sum of these ids, each a little endian number, modulo 2^256."""

    def lower_bound(self, start: int, end: int, bound: Bound) -> int:
        """Return the first index from start whose item is not below the bound, or end.

        An id below a prefix is one that sorts before it as bytes do.
        """


class Findings(NamedTuple):
    """What the initiator learns from one message; with a frame limit, some of it twice.

    Attributes:
        reply: to be sent, or None: all is known.
        have: what the peer lacks, as index ranges of our items, ascending and never touching.
        need: ids the peer says it has and we lack, as it lists them.
    """

    reply: bytes | None
    have: list[range]
    need: list[bytes]


def initiate(items: Items) -> bytes:
    """Return the first message of an initiator; it fits the smallest frame."""
    writer = _Writer()
    _split(items, 0, items.size(), Bound(INFINITY), writer)
    return bytes(writer.data)


def probe(items: Items) -> bytes:
    """Return a first message of 20 bytes instead: best where both sides will mostly be equal."""
    writer = _Writer()
    writer.fingerprint(Bound(INFINITY), fingerprint(items, 0, items.size()))
    return bytes(writer.data)


def reconcile(items: Items, message: bytes, *, frame_bytes_max: int | None) -> Findings:
    """Return what the initiator learns from a responder's message, and what it asks next.

    Args:
        items: the initiator's set; it may grow from message to message.
        message: an answer of the responder.
        frame_bytes_max: of the reply, at least FRAME_BYTES_MIN; None for no limit.

    Raises:
        NegentropyError: the message is malformed, or the peer speaks another version.
        ValueError: frame_bytes_max is too small.
    """
    turn = _Turn(items, message, frame_bytes_max)
    if turn.version != VERSION:
        raise NegentropyError(
            "negentropy_version", f"the peer speaks version {turn.version - 0x60}"
        )
    turn.run(is_initiator=True)
    reply = bytes(turn.output.data) if len(turn.output.data) > 1 else None
    return Findings(reply, turn.have, turn.need)


def respond(items: Items, message: bytes, *, frame_bytes_max: int | None) -> bytes:
    """Return the responder's answer; to a version we do not speak, the one we do.

    Without a limit, and if the initiator asks for it, this is every id there is.

    Args:
        items: the responder's set; it may grow from message to message.
        message: of the initiator.
        frame_bytes_max: of the answer, at least FRAME_BYTES_MIN; None for no limit.

    Raises:
        NegentropyError: the message is malformed.
        ValueError: frame_bytes_max is too small.
    """
    turn = _Turn(items, message, frame_bytes_max)
    if turn.version == VERSION:
        turn.run(is_initiator=False)
    return bytes(turn.output.data)


def fingerprint(items: Items, start: int, end: int) -> bytes:
    """Return the 16 bytes that stand for these items: a hash over their sum and their number."""
    total = items.id_sum(start, end).to_bytes(ID_BYTES, "little")
    return hashlib.sha256(total + _varint(end - start)).digest()[:FINGERPRINT_BYTES]


class ItemVector:
    """A sorted set in memory, 45 bytes an item, that answers in logarithmic time."""

    __slots__ = ("_ids", "_sums", "_timestamps")

    def __init__(self, items: Iterable[tuple[int, bytes]]) -> None:
        """Sort the items; no order is expected.

        Raises:
            ValueError: an item is there twice, or is none.
        """
        ordered = sorted(items)
        for timestamp, identity in ordered:
            if not 0 <= timestamp < INFINITY or len(identity) != ID_BYTES:
                raise ValueError(f"no item: timestamp {timestamp}, id of {len(identity)} bytes")
        if any(one == other for one, other in pairwise(ordered)):
            raise ValueError("an item is there twice")
        self._timestamps = array("Q", (timestamp for timestamp, _ in ordered))
        self._ids = b"".join(identity for _, identity in ordered)
        # Not reduced modulo 2^256: differences of these are sums of ranges.
        strides = (self._plain_sum(at, at + _STRIDE) for at in range(0, len(ordered), _STRIDE))
        self._sums = list(accumulate(strides, initial=0))

    def size(self) -> int:
        """Return the number of items."""
        return len(self._timestamps)

    def items(self, start: int, end: int) -> Iterator[Item]:
        """Yield these items in order."""
        return map(self._item, range(start, end))

    def id_sum(self, start: int, end: int) -> int:
        """Return the sum of these ids modulo 2^256."""
        return (self._sum_before(end) - self._sum_before(start)) & _SUM_MASK

    def lower_bound(self, start: int, end: int, bound: Bound) -> int:
        """Return the first index from start whose item is not below the bound, or end."""
        sought: tuple[int, bytes] = bound
        return bisect_left(range(end), sought, lo=start, key=self._item)

    def _item(self, index: int) -> Item:
        at = index * ID_BYTES
        return Item(self._timestamps[index], self._ids[at : at + ID_BYTES])

    def _sum_before(self, index: int) -> int:
        stride = index // _STRIDE
        return self._sums[stride] + self._plain_sum(stride * _STRIDE, index)

    def _plain_sum(self, start: int, end: int) -> int:
        ids = self._ids[start * ID_BYTES : end * ID_BYTES]
        return sum(
            int.from_bytes(ids[at : at + ID_BYTES], "little") for at in range(0, len(ids), ID_BYTES)
        )


class _Turn:
    """One message, worked off range by range into a reply."""

    __slots__ = (
        *("_full", "_items", "_lower", "_previous", "_reader", "_room", "_size", "_skipped"),
        *("have", "need", "output", "version"),
    )

    def __init__(self, items: Items, message: bytes, frame_bytes_max: int | None) -> None:
        if frame_bytes_max is not None and frame_bytes_max < FRAME_BYTES_MIN:
            raise ValueError(f"a frame of {frame_bytes_max} bytes")
        self._room = None if frame_bytes_max is None else frame_bytes_max - _RESERVE_BYTES
        self._items, self._size = items, items.size()
        self._reader = _Reader(message)
        self._lower, self._previous = 0, Bound(0)
        # Ranges up to here need no answer; said only if one behind them gets one.
        self._skipped = False
        self._full = False
        self.output = _Writer()
        self.have: list[range] = []
        self.need: list[bytes] = []
        self.version = self._reader.byte()
        if self.version not in _VERSIONS:
            raise _malformed("the message names no protocol version")

    def run(self, *, is_initiator: bool) -> None:
        """Answer range by range until the message ends or the frame is full."""
        while not self._full and not self._reader.at_end:
            bound = self._reader.bound()
            mode = self._reader.varint()
            upper = self._items.lower_bound(self._lower, self._size, bound)
            if mode == _SKIP:
                self._skipped = True
            elif mode == _FINGERPRINT:
                self._answer_fingerprint(upper, bound)
            elif mode != _ID_LIST:
                raise _malformed(f"a range of mode {mode}")
            elif is_initiator:
                self._compare(upper)
            else:
                upper = self._answer_ids(upper, bound)
            self._lower, self._previous = upper, bound

    def _answer_fingerprint(self, upper: int, bound: Bound) -> None:
        """Split the range if it differs."""
        theirs = self._reader.take(FINGERPRINT_BYTES)
        if theirs == fingerprint(self._items, self._lower, upper):
            self._skipped = True
            return
        start = len(self.output.data)
        self._say_skipped()
        _split(self._items, self._lower, upper, bound, self.output)
        if self._is_over(len(self.output.data)):
            del self.output.data[start:]
            # The rest's fingerprint leaves this range out, as in the implementations of others: so
            # it differs from what the peer has, and the peer splits. Not so where the peer has
            # nothing from here on: leaving out what we have here would then make both sides equal.
            self._ask_for_rest(self._lower if theirs == _EMPTY_FINGERPRINT else upper)

    def _answer_ids(self, upper: int, bound: Bound) -> int:
        """List our ids of the range, as many as fit, and return where the list ends."""
        self._reader.ids()
        listed, room_taken = bytearray(), len(self.output.data)
        for index, item in enumerate(self._items.items(self._lower, upper), self._lower):
            if self._is_over(room_taken + len(listed)):
                upper, bound = index, Bound(item.timestamp, item.id)
                break
            listed += item.id
        self._say_skipped()
        self.output.ids(bound, listed)
        if self._is_over(len(self.output.data)):
            self._ask_for_rest(upper)
        return upper

    def _compare(self, upper: int) -> None:
        """Note what the peer's list lacks of ours, and ours of the peer's."""
        self._skipped = True
        theirs = self._reader.ids()
        if not theirs:
            # Perhaps all we have; it need not be read to be known.
            self._add_have(self._lower, upper)
            return
        for index, item in enumerate(self._items.items(self._lower, upper), self._lower):
            if item.id in theirs:
                del theirs[item.id]
            else:
                self._add_have(index, index + 1)
        self.need += theirs

    def _add_have(self, start: int, end: int) -> None:
        if self.have and self.have[-1].stop == start:
            start = self.have.pop().start
        if start < end:
            self.have.append(range(start, end))

    def _say_skipped(self) -> None:
        if self._skipped:
            self.output.skip(self._previous)
            self._skipped = False

    def _is_over(self, size_bytes: int) -> bool:
        return self._room is not None and size_bytes > self._room

    def _ask_for_rest(self, start: int) -> None:
        self._full = True
        rest = fingerprint(self._items, start, self._size)
        self.output.fingerprint(Bound(INFINITY), rest)


def _split(items: Items, start: int, end: int, bound: Bound, output: "_Writer") -> None:
    """Write the range as fingerprints of equal parts, or, if it holds few items, as their ids."""
    count = end - start
    if count < 2 * _BUCKETS:
        output.ids(bound, b"".join(item.id for item in items.items(start, end)))
        return
    small, larger = divmod(count, _BUCKETS)
    for bucket in range(_BUCKETS):
        stop = start + small + (bucket < larger)
        upper = bound if stop == end else _bound_between(*items.items(stop - 1, stop + 1))
        output.fingerprint(upper, fingerprint(items, start, stop))
        start = stop


def _bound_between(before: Item, after: Item) -> Bound:
    """Return the shortest bound that has the one item below it and the other not."""
    if before.timestamp != after.timestamp:
        return Bound(after.timestamp)
    shared = next(at for at in range(ID_BYTES) if before.id[at] != after.id[at])
    return Bound(after.timestamp, after.id[: shared + 1])


def _varint(number: int) -> bytes:
    """Return the number in base 128, highest digit first, all digits but the last marked."""
    digits = bytearray((number & 0x7F,))
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))


def _malformed(what: str) -> NegentropyError:
    return NegentropyError("negentropy_malformed", what)


class _Writer:
    """A message in the making; bounds must ascend."""

    __slots__ = ("_timestamp", "data")

    def __init__(self) -> None:
        self.data = bytearray((VERSION,))
        self._timestamp = 0

    def skip(self, bound: Bound) -> None:
        """Say that the range needs no answer."""
        self._range(bound, _SKIP)

    def fingerprint(self, bound: Bound, digest: bytes) -> None:
        """Ask whether the range is the same there."""
        self._range(bound, _FINGERPRINT)
        self.data += digest

    def ids(self, bound: Bound, ids: bytes | bytearray) -> None:
        """Say all that is in the range."""
        self._range(bound, _ID_LIST)
        self.data += _varint(len(ids) // ID_BYTES) + ids

    def _range(self, bound: Bound, mode: int) -> None:
        timestamp, prefix = bound
        self.data += _varint(0 if timestamp == INFINITY else 1 + timestamp - self._timestamp)
        self.data += _varint(len(prefix)) + prefix + _varint(mode)
        self._timestamp = timestamp


class _Reader:
    """A cursor over a message of the peer; raises NegentropyError and nothing else."""

    __slots__ = ("_bound", "_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0
        self._bound = Bound(0)

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._position == len(self._data)

    def take(self, size: int) -> bytes:
        """Return so many bytes."""
        start, end = self._position, self._position + size
        if end > len(self._data):
            raise _malformed("the message ends too early")
        self._position = end
        return self._data[start:end]

    def byte(self) -> int:
        """Return one byte as a number."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Return a number below 2^64 in its shortest form."""
        number = 0
        for _ in range(_VARINT_BYTES_MAX):
            digit = self.byte()
            if digit == 0x80 and number == 0:
                raise _malformed("a number is not in its shortest form")
            number = number << 7 | digit & 0x7F
            if digit < 0x80 and number <= INFINITY:
                return number
        raise _malformed("a number has more than 64 bits")

    def bound(self) -> Bound:
        """Return the end of the next range, which is not before the end of the last."""
        offset = self.varint()
        timestamp = min(self._bound.timestamp + offset - 1, INFINITY) if offset else INFINITY
        size = self.varint()
        if size > ID_BYTES:
            raise _malformed(f"a bound with {size} bytes of an id")
        bound = Bound(timestamp, self.take(size))
        if timestamp == INFINITY and size:
            raise _malformed("a bound behind the end")
        # Bytes of an id that are left out stand for zeros.
        if timestamp == self._bound.timestamp and _padded(bound) < _padded(self._bound):
            raise _malformed("ranges are not in order")
        self._bound = bound
        return bound

    def ids(self) -> dict[bytes, None]:
        """Return a list of ids as an ordered set."""
        data = self.take(self.varint() * ID_BYTES)
        return dict.fromkeys(data[at : at + ID_BYTES] for at in range(0, len(data), ID_BYTES))


def _padded(bound: Bound) -> bytes:
    return bound.prefix.ljust(ID_BYTES, b"\0")
