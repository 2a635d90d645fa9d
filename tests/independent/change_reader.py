"""Reads Automerge changes and the documents they make, from docs/PROTOCOL.md section 5 alone.

Part of record_checker.py. Source: the public Automerge binary format specification 1.0 (change
chunks; run length, delta and value columns).
"""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, islice
from typing import Any

MAGIC = bytes.fromhex("856f4a83")
INFLATED_SIZE_BYTES_MAX = 8 << 20
OPERATIONS_MAX = 1 << 21
MAKE_MAP, SET, DELETE, MAKE_TEXT, INCREMENT, MAKE_TABLE = 0, 1, 3, 4, 5, 6
UNSIGNED, SIGNED, TEXT, COUNTER = 3, 4, 6, 8
PLAIN = (UNSIGNED, SIGNED, TEXT)

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

    def uleb(self) -> int:
        return self._leb()[0]

    def sleb(self) -> int:
        value, bits, is_negative = self._leb()
        return value - (1 << bits) if is_negative else value

    def _leb(self) -> tuple[int, int, bool]:
        value = bits = 0
        while bits < 70:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value, bits, bool(byte & 0x40)
        raise Refused("number is too long")


@dataclass(frozen=True)
class Operation:
    """One row of a change; target is None for the root, key is None inside a text."""

    id: Id
    target: Id | None
    key: str | None
    action: int
    kind: int
    value: Value
    replaces: list[Id]


@dataclass(frozen=True)
class Change:
    """One change chunk, read."""

    hash: bytes
    deps: list[bytes]
    actor: bytes
    seq: int
    operations: list[Operation]


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
    deps = [reader.take(32) for _ in range(reader.uleb())]
    actor, seq, start = reader.prefixed(), reader.uleb(), reader.uleb()
    need(0 < start < 1 << 32, "operations are numbered out of range")
    reader.sleb()  # the time: the clock reading of the leaf stands for it
    reader.prefixed().decode()
    actors = [actor, *(reader.prefixed() for _ in range(reader.uleb()))]
    sizes = [(reader.uleb(), reader.uleb()) for _ in range(reader.uleb())]
    columns = {spec: reader.take(size) for spec, size in sizes}
    return Change(digest, deps, actor, seq, list(read_operations(columns, actors, start)))


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
        need(len(values) + size <= OPERATIONS_MAX, "too many operations")
        if count < 0:
            values += [read(reader) for _ in range(size)]
        else:
            values += [read(reader) if count else None] * size
    return values


def read_value(meta: int, raw: Reader) -> Value:
    part, kind = Reader(raw.take(meta >> 4)), meta & 15
    if kind in (UNSIGNED, SIGNED):
        return part.uleb() if kind == UNSIGNED else part.sleb()
    return part.data.decode() if kind == TEXT else None


def read_operations(
    columns: dict[int, bytes], actors: Sequence[bytes], start: int
) -> Iterator[Operation]:
    """Read the rows; a column number is the format's column id << 4 | type."""

    def column(spec: int, read: Callable[[Reader], Any] = Reader.uleb) -> list[Any]:
        return runs(columns.get(spec, b""), read)

    actions, raw = column(0x42), Reader(columns.get(0x57, b""))
    counters = accumulate(column(0x73, Reader.sleb))
    replaced = zip(counters, [actors[each] for each in column(0x71)], strict=True)
    rows = [column(0x01), column(0x02), column(0x15, lambda r: r.prefixed().decode())]
    rows += [column(0x56), column(0x70)]
    padded = [each + [None] * (len(actions) - len(each)) for each in rows]
    for index, row in enumerate(zip(actions, *padded, strict=True)):
        action, actor, target, key, meta, pred_count = row
        yield Operation(
            id=(start + index, actors[0]),
            target=None if actor is None else (target, actors[actor]),
            key=key,
            action=action,
            kind=(meta or 0) & 15,
            value=read_value(meta or 0, raw),
            replaces=list(islice(replaced, pred_count or 0)),
        )


@dataclass(frozen=True)
class Entry:
    """A change with what its leaf says: the writer's device and the clock reading."""

    change: Change
    device: bytes
    hlc: int


def read_document(entries: list[Entry]) -> dict[str, Any]:
    """Apply all changes; return the kind, and for each field its values, the shown one first."""
    hashes = {entry.change.hash for entry in entries}
    need(len(hashes) == len(entries), "change is in the file twice")
    need(all(hashes.issuperset(entry.change.deps) for entry in entries), "change is missing")
    seqs: dict[bytes, list[int]] = {}
    for entry in entries:
        seqs.setdefault(entry.change.actor, []).append(entry.change.seq)
    gapless = all(sorted(each) == list(range(1, len(each) + 1)) for each in seqs.values())
    need(gapless, "an actor's changes are not consecutive")
    starts = [entry.change for entry in entries if not entry.change.deps]
    need(len(starts) == 1, "document has not one start")
    kind, objects, made = read_start(starts[0])
    fields: dict[str, dict[Id, Value]] = {}
    replaced: set[Id] = set()
    for entry in entries:
        for operation in entry.change.operations:
            if operation.id in made:
                continue
            check_operation(operation, objects, entry)
            replaced.update(operation.replaces)
            if operation.action == SET and objects.get(operation.target) == "fields":
                fields.setdefault(str(operation.key), {})[operation.id] = operation.value
    shown = {
        key: [values[each] for each in sorted(values, reverse=True) if each not in replaced]
        for key, values in fields.items()
    }
    return {"kind": kind, "fields": {key: values for key, values in shown.items() if values}}


def read_start(change: Change) -> tuple[str, dict[Id | None, str], set[Id]]:
    """Return the kind, the name of each object, and the operations that made them."""
    kind: Value = None
    objects: dict[Id | None, str] = {}
    made: set[Id] = set()
    for operation in change.operations:
        path = (objects.get(operation.target, ""), operation.action)
        if operation.target is None and operation.key == "kind" and operation.action == SET:
            kind = operation.value
        elif operation.target is None:
            need(operation.action == MAKE_MAP, "root is misshapen")
            objects[operation.id] = str(operation.key)
        elif path == ("texts", MAKE_TEXT):
            objects[operation.id] = "text"
        else:
            continue
        need(not operation.replaces, "first change replaces something")
        made.add(operation.id)
    maps = sorted(name for name in objects.values() if name != "text")
    need(maps == ["events", "fields", "texts"], "root is misshapen")
    need(isinstance(kind, str) and kind, "kind is not a text")
    return str(kind), objects, made


def check_operation(operation: Operation, objects: dict[Id | None, str], entry: Entry) -> None:
    """Refuse what would be a dead letter."""
    place = objects.get(operation.target)
    need(place, "operation on the root or on an object that the document lacks")
    need(operation.action not in (INCREMENT, MAKE_TABLE), "counter or table")
    need(operation.kind != COUNTER, "counter")
    need(place != "texts", "texts are made with their document")
    if place == "fields":
        is_set = operation.action == SET and operation.kind in PLAIN
        need(operation.action == DELETE or is_set, "field is not a text or number")
    if place == "events":
        need(operation.action == SET and operation.kind == TEXT, "event is removed or no text")
        need(not operation.replaces, "event is changed")
        need(re.fullmatch(r"[0-9a-f]{24}", str(operation.key)), "event id")
        event_id = bytes.fromhex(str(operation.key))
        need(event_id[8:] == entry.device[:4], "event names another device")
        ahead = int.from_bytes(event_id[:8]) - entry.hlc
        need(0 <= ahead <= 255, "event is not of its leaf's time")
