"""Writes Automerge change chunks byte by byte, so that tests can say what no binding would write.

Source: Automerge binary format 1.0, sections "Change chunks" and "Operation columns".
"""

import hashlib
import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sync.change import MAGIC, Action, OpId, uleb

T = TypeVar("T")

KEY_COLUMN: Final = 0x15
INSERT_COLUMN: Final = 0x34
ACTION_COLUMN: Final = 0x42


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation.

    Attributes:
        target: the object that it works on; None is the root.
        key: of a map; None for an operation on a sequence.
        after: for a sequence, the item it stands behind or works on; None is the start.
        value: what it sets; kind says how it is written, and is guessed when None.
    """

    key: str | None = None
    target: OpId | None = None
    action: int = Action.SET
    value: object = None
    kind: int | None = None
    insert: bool = False
    after: OpId | None = None
    replaces: Sequence[OpId] = ()


def chunk(
    ops: Sequence[Op],
    *,
    actor: bytes,
    seq: int = 1,
    start_op: int = 1,
    deps: Sequence[bytes] = (),
    tail: bytes = b"",
) -> bytes:
    """Return the chunk of a change with these operations."""
    ids = [used for op in ops for used in (op.target, op.after, *op.replaces) if used is not None]
    others = sorted({owner for _, owner in ids} - {actor})
    actors = {owner: number for number, owner in enumerate([actor, *others])}
    head = uleb(len(deps)) + b"".join(sorted(deps)) + blob(actor) + uleb(seq) + uleb(start_op)
    head += sleb(0) + blob(b"") + uleb(len(others)) + b"".join(blob(other) for other in others)
    return sealed(head + columns(column_data(ops, actors)) + tail)


def sealed(body: bytes, *, compressed: bool = False) -> bytes:
    """Return the chunk around the body of a change, with its checksum."""
    digest = hashlib.sha256(b"\x01" + uleb(len(body)) + body).digest()
    if compressed:
        deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        body = deflater.compress(body) + deflater.flush()
    return MAGIC + digest[:4] + bytes([2 if compressed else 1]) + uleb(len(body)) + body


def body_of(raw: bytes) -> bytes:
    """Return the body of a chunk that is not compressed."""
    at = 9
    while raw[at] & 0x80:
        at += 1
    return raw[at + 1 :]


def columns(data: dict[int, bytes]) -> bytes:
    """Return the table of columns and their data; empty ones are left out."""
    present = {number: content for number, content in sorted(data.items()) if content}
    table = b"".join(uleb(number) + uleb(len(content)) for number, content in present.items())
    return uleb(len(present)) + table + b"".join(present.values())


def column_data(ops: Sequence[Op], actors: dict[bytes, int]) -> dict[int, bytes]:
    """Return the columns of operations by number."""
    preds = [pred for op in ops for pred in op.replaces]
    values = [scalar(op) for op in ops]
    return {
        0x01: runs((actors[op.target[1]] if op.target else None for op in ops), uleb),
        0x02: runs((op.target[0] if op.target else None for op in ops), uleb),
        0x11: runs((actors[op.after[1]] if op.after else None for op in ops), uleb),
        0x13: deltas(_item(op) for op in ops),
        0x15: runs((op.key for op in ops), lambda key: blob(key.encode())),
        0x34: booleans(op.insert for op in ops),
        0x42: runs((int(op.action) for op in ops), uleb),
        0x56: runs((len(data) << 4 | kind for kind, data in values), uleb),
        0x57: b"".join(data for _, data in values),
        0x70: runs((len(op.replaces) for op in ops), uleb),
        0x71: runs((actors[owner] for _, owner in preds), uleb),
        0x73: deltas(counter for counter, _ in preds),
    }


def _item(op: Op) -> int | None:
    if op.key is not None:
        return None
    return op.after[0] if op.after else 0


def scalar(op: Op) -> tuple[int, bytes]:
    """Return the kind and the bytes of an operation's value."""
    value = op.value
    if isinstance(value, bool):
        kind, data = int(value) + 1, b""
    elif isinstance(value, str):
        kind, data = 6, value.encode()
    elif isinstance(value, int):
        kind, data = 4, sleb(value)
    else:
        kind, data = (7, value) if isinstance(value, bytes) else (0, b"")
    return (kind if op.kind is None else op.kind), data


def runs(values: Iterable[T | None], write: Callable[[T], bytes]) -> bytes:
    """Return a run-length column: +n repeats, -n literals, 0 nulls; empty when all is null."""
    found = [(value, len(list(group))) for value, group in itertools.groupby(values)]
    if all(value is None for value, _ in found):
        return b""
    data = b""
    literals: list[bytes] = []
    for value, count in [*found, (None, 0)]:
        if value is not None and count == 1:
            literals.append(write(value))
            continue
        if literals:
            data += sleb(-len(literals)) + b"".join(literals)
            literals = []
        if value is None:
            data += sleb(0) + uleb(count) if count else b""
        else:
            data += sleb(count) + write(value)
    return data


def deltas(values: Iterable[int | None]) -> bytes:
    """Return a column of differences."""
    steps: list[int | None] = []
    last = 0
    for value in values:
        steps.append(None if value is None else value - last)
        last = last if value is None else value
    return runs(steps, sleb)


def booleans(values: Iterable[bool]) -> bytes:
    """Return a column of truth values: lengths of runs, false first."""
    groups = [(value, len(list(group))) for value, group in itertools.groupby(values)]
    first = [0] if groups and groups[0][0] else []
    return b"".join(map(uleb, [*first, *(count for _, count in groups)]))


def blob(data: bytes) -> bytes:
    """Return bytes after their length."""
    return uleb(len(data)) + data


def sleb(number: int) -> bytes:
    """Return the number as signed LEB128."""
    out = bytearray()
    while not -64 <= number < 64:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)
