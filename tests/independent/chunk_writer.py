"""Writes Automerge changes byte by byte, for forger.py: also those that no program would make.

Source: the public Automerge binary format specification 1.0, as for change_reader.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Any

from tests.independent.change_reader import (
    ACTION,
    INSERT,
    KEY_ACTOR,
    KEY_COUNTER,
    KEY_TEXT,
    MAGIC,
    MAKE_MAP,
    MAKE_TEXT,
    OBJECT_ACTOR,
    OBJECT_COUNTER,
    PRED_ACTOR,
    PRED_COUNT,
    PRED_COUNTER,
    SET,
    TEXT,
    VALUE_META,
    VALUE_RAW,
    Id,
    Reader,
    read_change,
    uleb_bytes,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One operation; place is the letter it works on or inserts after, None the beginning."""

    target: Id | None = None
    key: str | None = None
    place: Id | None = None
    insert: bool = False
    action: int = SET
    kind: int = TEXT
    value: bytes = b""
    replaces: Sequence[Id] = ()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a change chunk is made of."""

    deps: Sequence[bytes] = ()
    actor: bytes
    seq: int = 1
    start: int = 1
    time: bytes = b"\0"
    message: bytes = b""
    others: Sequence[bytes] = ()
    columns: dict[int, bytes] = field(default_factory=dict)
    tail: bytes = b""

    def chunk(self) -> bytes:
        body = uleb_bytes(len(self.deps)) + b"".join(self.deps) + blob(self.actor)
        body += uleb_bytes(self.seq) + uleb_bytes(self.start) + self.time + blob(self.message)
        body += uleb_bytes(len(self.others)) + b"".join(map(blob, self.others))
        present = [(spec, data) for spec, data in self.columns.items() if data]
        body += uleb_bytes(len(present))
        body += b"".join(uleb_bytes(spec) + uleb_bytes(len(data)) for spec, data in present)
        return sealed(body + b"".join(data for _, data in present) + self.tail)

    def with_column(self, spec: int, change: Callable[[bytes], bytes]) -> bytes:
        """Return the chunk with one column rewritten."""
        data = change(self.columns.get(spec, b""))
        columns = dict(sorted((self.columns | {spec: data}).items()))
        return replace(self, columns=columns).chunk()


def sealed(body: bytes) -> bytes:
    digest = sha256(b"\x01" + uleb_bytes(len(body)) + body).digest()
    return MAGIC + digest[:4] + b"\x01" + uleb_bytes(len(body)) + body


def blob(data: bytes) -> bytes:
    return uleb_bytes(len(data)) + data


def sleb_bytes(number: int) -> bytes:
    """Write a number as signed LEB128."""
    if -0x40 <= number < 0x40:
        return bytes([number & 0x7F])
    return bytes([number & 0x7F | 0x80]) + sleb_bytes(number >> 7)


def take_apart(chunk: bytes) -> Parts:
    """Return what a chunk that is not compressed is made of."""
    reader = Reader(chunk[9:])
    reader = Reader(reader.prefixed())
    deps = [reader.take(32) for _ in range(reader.uleb())]
    actor, seq, start = reader.prefixed(), reader.uleb(), reader.uleb()
    begin = reader.at
    while reader.take(1)[0] >= 0x80:
        pass  # a number in whatever form
    time, message = reader.data[begin : reader.at], reader.prefixed()
    others = [reader.prefixed() for _ in range(reader.uleb())]
    sizes = [(reader.uleb(), reader.uleb()) for _ in range(reader.uleb())]
    columns = {spec: reader.take(size) for spec, size in sizes}
    tail = reader.take(reader.left)
    return Parts(
        deps=deps,
        actor=actor,
        seq=seq,
        start=start,
        time=time,
        message=message,
        others=others,
        columns=columns,
        tail=tail,
    )


def runs(values: Iterable[Any], write: Callable[[Any], bytes]) -> bytes:
    """Write a run length column; nothing if it holds nothing."""
    out, literals = b"", list[bytes]()

    def flush() -> bytes:
        data = sleb_bytes(-len(literals)) + b"".join(literals) if literals else b""
        literals.clear()
        return data

    groups = [(value, len(list(group))) for value, group in groupby(values)]
    if [value for value, _ in groups] == [None]:
        return b""
    for value, size in groups:
        if value is None:
            out += flush() + b"\0" + uleb_bytes(size)
        elif size == 1:
            literals.append(write(value))
        else:
            out += flush() + sleb_bytes(size) + write(value)
    return out + flush()


def deltas(values: Iterable[int | None]) -> bytes:
    values = list(values)
    known = [0, *(value for value in values if value is not None)]
    steps = iter([later - earlier for earlier, later in pairwise(known)])
    return runs([None if value is None else next(steps) for value in values], sleb_bytes)


def booleans(values: Sequence[bool]) -> bytes:
    sizes = [len(list(group)) for _, group in groupby(values)]
    return b"".join(map(uleb_bytes, [0, *sizes] if values[:1] == [True] else sizes))


def write_rows(rows: Sequence[Row], *, actor: bytes, **head: Any) -> Parts:
    """Return a change of these operations, laid out as Automerge does."""
    replaced = [each for row in rows for each in row.replaces]
    used = [each for row in rows for each in (row.target, row.place) if each] + replaced
    others = sorted({owner for _, owner in used} - {actor})
    number = {owner: place for place, owner in enumerate([actor, *others])}
    places = [row.place or (0, b"") if row.key is None else None for row in rows]
    columns = {
        OBJECT_ACTOR: runs((number[r.target[1]] if r.target else None for r in rows), uleb_bytes),
        OBJECT_COUNTER: runs((r.target[0] if r.target else None for r in rows), uleb_bytes),
        KEY_ACTOR: runs((number[r.place[1]] if r.place else None for r in rows), uleb_bytes),
        KEY_COUNTER: deltas(place[0] if place else None for place in places),
        KEY_TEXT: runs((r.key for r in rows), lambda key: blob(key.encode())),
        INSERT: booleans([r.insert for r in rows]),
        ACTION: runs((r.action for r in rows), uleb_bytes),
        VALUE_META: runs((len(r.value) << 4 | r.kind for r in rows), uleb_bytes),
        VALUE_RAW: b"".join(r.value for r in rows),
        PRED_COUNT: runs((len(r.replaces) for r in rows), uleb_bytes),
        PRED_ACTOR: runs((number[owner] for _, owner in replaced), uleb_bytes),
        PRED_COUNTER: deltas(counter for counter, _ in replaced),
    }
    return Parts(actor=actor, others=others, columns=columns, **head)


def start_rows(actor: bytes) -> list[Row]:
    """Return the start of a document: operations 1 to 8."""
    maps = [Row(key=key, action=MAKE_MAP, kind=0) for key in ("fields", "texts", "events")]
    fields, texts, text = (2, actor), (3, actor), (5, actor)
    return [
        Row(key="kind", value=b"case"),
        *maps,
        Row(target=texts, key="summary", action=MAKE_TEXT, kind=0),
        Row(target=text, insert=True, value=b"x"),
        Row(target=text, insert=True, place=(6, actor), value=b"y"),
        Row(target=fields, key="title", value=b"z"),
    ]


class Writing:
    """A document that is written change by change, each after any of those before it."""

    def __init__(self, actor: bytes, more: Sequence[Row] = ()) -> None:
        self.actor = actor
        self.chunks = [write_rows([*start_rows(actor), *more], actor=actor).chunk()]

    def add(self, rows: Sequence[Row], after: Sequence[int] = (-1,), **head: Any) -> bytes:
        """Return a further change; the head has at least its actor, its seq and its start."""
        deps = sorted(read_change(self.chunks[each]).hash for each in after)
        self.chunks.append(write_rows(rows, deps=deps, **head).chunk())
        return self.chunks[-1]
