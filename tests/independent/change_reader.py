"""Reads Automerge changes, from docs/PROTOCOL.md section 5 alone.

Part of record_checker.py. Source: the public Automerge binary format specification 1.0 (change
chunks; run length, delta, boolean and value columns).
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, islice, pairwise
from typing import Any

MAGIC = bytes.fromhex("856f4a83")
INFLATED_SIZE_BYTES_MAX = 8 << 20
OPERATIONS_MAX, DEPS_MAX, ACTORS_MAX, COLUMNS_MAX = 200_000, 64, 256, 32
MAKE_MAP, SET, MAKE_LIST, DELETE, MAKE_TEXT, INCREMENT, MAKE_TABLE, MARK = range(8)
NOTHING, FALSE, TRUE, UNSIGNED, SIGNED, FRACTION, TEXT, BYTES, COUNTER, TIME = range(10)
PLAIN = (UNSIGNED, SIGNED, TEXT)
# A column number is the format's column id << 4 | type.
OBJECT_ACTOR, OBJECT_COUNTER, KEY_ACTOR, KEY_COUNTER, KEY_TEXT = 0x01, 0x02, 0x11, 0x13, 0x15
INSERT, ACTION, VALUE_META, VALUE_RAW = 0x34, 0x42, 0x56, 0x57
PRED_COUNT, PRED_ACTOR, PRED_COUNTER, EXPAND, MARK_NAME = 0x70, 0x71, 0x73, 0x94, 0xA5
COLUMNS = frozenset(
    (OBJECT_ACTOR, OBJECT_COUNTER, KEY_ACTOR, KEY_COUNTER, KEY_TEXT, INSERT, ACTION, VALUE_META)
) | {VALUE_RAW, PRED_COUNT, PRED_ACTOR, PRED_COUNTER, EXPAND, MARK_NAME}

Id = tuple[int, bytes]
Value = str | int | None


class Refused(Exception):
    """The file proves nothing."""


def need(truth: object, reason: str) -> None:
    """Refuse unless the condition holds."""
    if not truth:
        raise Refused(reason)


class Reader:
    """Takes bytes from the front; running out of them is a refusal."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size_bytes: int) -> bytes:
        need(size_bytes <= self.left, "bytes are missing")
        self.at += size_bytes
        return self.data[self.at - size_bytes : self.at]

    def prefixed(self) -> bytes:
        return self.take(self.uleb())

    def uleb(self, largest: int = (1 << 64) - 1) -> int:
        digits = self._digits()
        need(len(digits) == 1 or digits[-1], "number is not in its shortest form")
        value = sum(digit << 7 * place for place, digit in enumerate(digits))
        need(value <= largest, "number is too large")
        return value

    def sleb(self) -> int:
        digits = self._digits()
        is_negative = digits[-1] >= 0x40
        idle = len(digits) > 1 and digits[-1] == (0x7F if digits[-2] & 0x40 else 0)
        need(not idle, "number is not in its shortest form")
        value = sum(digit << 7 * place for place, digit in enumerate(digits))
        value -= is_negative << 7 * len(digits)
        need(-(1 << 63) <= value < 1 << 63, "number is too large")
        return value

    def _digits(self) -> list[int]:
        """Return the digits of a LEB128 number, the lowest first."""
        digits = [self.take(1)[0]]
        while digits[-1] >= 0x80:
            need(len(digits) < 10, "number is too long")
            digits[-1] &= 0x7F
            digits.append(self.take(1)[0])
        return digits


@dataclass(frozen=True)
class Operation:
    """One row of a change.

    Attributes:
        target: the object it works on; None is the root.
        key: of a map; None inside a text.
        place: inside a text, the letter that it works on, or after which it inserts one; None is
            the beginning.
        insert: it makes a letter.
    """

    id: Id
    target: Id | None
    key: str | None
    place: Id | None
    insert: bool
    action: int
    kind: int
    value: Value
    replaces: list[Id]


@dataclass(frozen=True)
class Change:
    """One change chunk, read."""

    hash: bytes
    deps: list[bytes]
    actors: list[bytes]
    seq: int
    start: int
    operations: list[Operation]

    @property
    def actor(self) -> bytes:
        """Who made it; the others in its list are those that its operations may name."""
        return self.actors[0]

    @property
    def last(self) -> int:
        """Number of its last operation."""
        return self.start + len(self.operations) - 1


def read_change(chunk: bytes) -> Change:
    """Read one change chunk; a compressed one counts as what it inflates to."""
    reader = Reader(chunk)
    need(reader.take(4) == MAGIC, "not an Automerge chunk")
    checksum, kind, body = reader.take(4), reader.take(1), reader.prefixed()
    need(kind in (b"\x01", b"\x02") and not reader.left, "chunk is not one change")
    if kind == b"\x02":
        inflater = zlib.decompressobj(wbits=-15)
        body = inflater.decompress(body, INFLATED_SIZE_BYTES_MAX)
        need(inflater.eof and not inflater.unused_data, "compressed change is not whole")
    digest = sha256(b"\x01" + uleb_bytes(len(body)) + body).digest()
    need(checksum == digest[:4], "checksum of a change is wrong")
    reader = Reader(body)
    deps = [reader.take(32) for _ in range(reader.uleb(DEPS_MAX))]
    actor, seq, start = reader.prefixed(), reader.uleb(), reader.uleb()
    reader.sleb()  # the time: the clock reading of the leaf stands for it
    reader.prefixed().decode()
    actors = [actor, *(reader.prefixed() for _ in range(reader.uleb(ACTORS_MAX)))]
    sizes = [(reader.uleb(), reader.uleb()) for _ in range(reader.uleb(COLUMNS_MAX))]
    columns = {spec: reader.take(size) for spec, size in sizes}
    rising = all(one < other for (one, _), (other, _) in pairwise(sizes))
    need(rising and columns.keys() <= COLUMNS, "columns are unknown, or do not rise")
    rows = list(read_operations(columns, actors, start))
    return Change(digest, deps, actors, seq, start, rows)


def uleb_bytes(number: int) -> bytes:
    """Write a number as LEB128."""
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + uleb_bytes(high) if high else bytes([low])


def runs(data: bytes, read: Callable[[Reader], Any]) -> list[Any]:
    """Read a run length column: repeated values, literal values, runs of nothing."""
    reader, values = Reader(data), list[Any]()
    while reader.left:
        count = reader.sleb()
        size = abs(count) or reader.uleb()
        need(0 < size <= OPERATIONS_MAX - len(values), "too many operations, or an empty run")
        if count < 0:
            values += [read(reader) for _ in range(size)]
        else:
            values += [read(reader) if count else None] * size
    return values


def booleans(data: bytes) -> list[bool]:
    """Read a boolean column: lengths of runs in turn, of false first."""
    reader, values = Reader(data), list[bool]()
    is_true = False
    while reader.left:
        is_first, size = reader.at == 0, reader.uleb()
        need(size or (is_first and reader.left), "empty run")
        need(size <= OPERATIONS_MAX - len(values), "too many operations")
        values += [is_true] * size
        is_true = not is_true
    return values


def sums(steps: list[int | None]) -> list[int | None]:
    """Add up the differences of a delta column; a null is none."""
    totals = accumulate(step or 0 for step in steps)
    return [None if step is None else total for step, total in zip(steps, totals, strict=True)]


def read_value(kind: int, data: bytes, *, in_map: bool) -> Value:
    part = Reader(data)
    value: Value = None
    if kind in (UNSIGNED, SIGNED):
        value = part.uleb() if kind == UNSIGNED else part.sleb()
    elif kind == TEXT:
        value = part.take(part.left).decode()
    elif kind == FRACTION:
        need(len(part.take(part.left)) == 8, "fraction has not 8 bytes")
    elif kind == TIME:
        part.sleb()
    elif kind == BYTES or not in_map:
        part.take(part.left)
    need(kind <= TIME and kind != COUNTER, "counter, or a value of an unknown kind")
    need(not part.left, "bytes follow a value")
    return value


def id_of(actor: int | None, counter: int | None, actors: Sequence[bytes]) -> Id | None:
    if actor is None and counter is None:
        return None
    need(actor is not None and counter is not None, "id of an operation is incomplete")
    return (counter or 0, actors[actor or 0])


def read_operations(
    columns: dict[int, bytes], actors: Sequence[bytes], start: int
) -> Iterator[Operation]:
    """Read the rows of a change."""

    def column(spec: int, read: Callable[[Reader], Any] = Reader.uleb) -> list[Any]:
        return runs(columns.get(spec, b""), read)

    actions, raw = column(ACTION), Reader(columns.get(VALUE_RAW, b""))
    owners, counters = column(PRED_ACTOR), sums(column(PRED_COUNTER, Reader.sleb))
    replaced = [id_of(*each, actors) for each in zip(owners, counters, strict=True)]
    rows = [column(OBJECT_ACTOR), column(OBJECT_COUNTER)]
    rows += [column(KEY_TEXT, lambda r: r.prefixed().decode())]
    rows += [column(KEY_ACTOR), sums(column(KEY_COUNTER, Reader.sleb))]
    rows += [booleans(columns.get(INSERT, b"")), column(VALUE_META), column(PRED_COUNT)]
    need(all(len(each) in (0, len(actions)) for each in rows), "columns of different lengths")
    need(len(rows[5]) == len(actions), "column of insertions is missing")
    full = [each or [None] * len(actions) for each in rows]
    counts = full.pop()
    need(sum(count or 0 for count in counts) == len(replaced), "replaced operations")
    queue = iter(replaced)
    for index, row in enumerate(zip(actions, *full, counts, strict=True)):
        action, owner, counter, key, at_actor, at, insert, meta, count = row
        need(action is not None and action <= MARK, "unknown action")
        need(action not in (INCREMENT, MAKE_TABLE), "counter or table")
        place = check_key(key, at_actor, at, bool(insert), actors)
        mine = list(islice(queue, count or 0))
        need(None not in mine, "replaced operation without an id")
        yield Operation(
            id=(start + index, actors[0]),
            target=id_of(owner, counter, actors),
            key=key,
            place=place,
            insert=bool(insert),
            action=action,
            kind=(meta or 0) & 15,
            value=read_value((meta or 0) & 15, raw.take((meta or 0) >> 4), in_map=key is not None),
            replaces=[each for each in mine if each is not None],
        )
    need(not raw.left, "bytes follow the last value")
    column(MARK_NAME, lambda r: r.prefixed().decode())
    need(columns.get(EXPAND, b"\0")[-1:] < b"\x80", "column of marks ends within a number")


def check_key(
    key: str | None, actor: int | None, counter: int | None, insert: bool, actors: Sequence[bytes]
) -> Id | None:
    """Return the letter that an operation inside a text works on; None is the beginning."""
    if key is not None:
        need(actor is None and counter is None, "key of a map and of a text at once")
        need(not insert, "a map has no positions")
        return None
    if actor is None and counter == 0:
        return None
    found = id_of(actor, counter, actors)
    need(found, "operation without a key")
    return found
