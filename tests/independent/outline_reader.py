"""Reads and writes outlines and traces of changes from docs/PROTOCOL.md section 7.3 alone."""

import io
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import cbor2

from tests.independent.change_reader import Refused, need

VALUES = (0, 1, 1, 1, 16, 12, 32)

Place = tuple[int, int] | None
# Sequence number, first operation minus 1 and minus last, other actors, steps.
Outline = tuple[int, int, list[int | bytes], list[list[Any]]]


def leb(number: int) -> bytes:
    """Return a number as unsigned LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


class Cursor:
    """Takes numbers and bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self.stream.read(size)
        need(len(data) == size, "frame is cut short")
        return data

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.stream.read()

    def number(self, largest: int = (1 << 64) - 1, smallest: int = 0) -> int:
        """Return the next number."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                need(smallest <= value <= largest, "number is out of range")
                return value
        raise Refused("number is too long")

    def signed(self) -> int:
        """Return the next number that was written zigzag."""
        number = self.number()
        return -(number >> 1) - 1 if number & 1 else number >> 1

    def place(self) -> Place:
        """Return an operation: the number of its actor and its own."""
        actor = self.number()
        return (actor - 1, self.number()) if actor else None

    def text(self) -> bytes:
        """Return the next text, its tokens as they are."""
        found = b""
        while (byte := self.take(1)) != b"\0":
            found += byte
            if byte == b"\xff":
                token = self.take(1)
                need(token[0] < len(VALUES), "unknown token")
                found += token + self.take(VALUES[token[0]])
        return found


def read_outline(cursor: Cursor) -> Outline:
    """Return the next outline, its texts as they are and those behind it left out."""
    seq, start = cursor.number(), cursor.signed()
    actors = [cursor.number() or cursor.take(cursor.number()) for _ in range(cursor.number())]
    steps: list[list[Any]] = []
    for _ in range(cursor.number(200_000, 1)):
        action, target = cursor.number(9), cursor.place()
        if action >= 8:
            need(target, "letters of no text")
            steps.append([action, target, cursor.place()])
            steps[-1] += [cursor.number()] if action == 9 else []
            continue
        key, meta = cursor.text(), cursor.number()
        need(meta & 15 != 6 or meta == 6, "a text with its length")
        value = b"" if meta == 6 else cursor.take(meta >> 4)
        replaced = [(cursor.number(), cursor.number()) for _ in range(cursor.number())]
        steps.append([action, target, key, meta, value, replaced])
    return seq, start, actors, steps


def opened(leaf: Any) -> tuple[int, list[bytes], Cursor]:
    """Return the last operation of a leaf's change, its actors, and what stands behind its own."""
    chunk = leaf[4]
    assert (leaf[0], chunk[:4], chunk[8]) == (0, bytes.fromhex("856f4a83"), 1)
    cursor = Cursor(chunk[9:])
    cursor.number()
    for _ in range(cursor.number()):
        cursor.take(32)
    actors = [cursor.take(cursor.number())]
    inside = Cursor(cursor.rest())
    raw = inside.stream.getvalue()
    _, start = inside.number(), inside.number()
    assert inside.take(2) == b"\0\0"
    actors += [inside.take(inside.number()) for _ in range(inside.number())]
    columns = columns_of(inside)
    return start + len(entries(columns.get(0x42, b""), 0x42)) - 1, actors, Cursor(raw)


def columns_of(cursor: Cursor) -> dict[int, bytes]:
    """Return the columns that follow."""
    specs = [(cursor.number(), cursor.number()) for _ in range(cursor.number())]
    return {number: cursor.take(length) for number, length in specs}


def change(outline: Outline, earlier: Any, plain: Callable[[bytes], bytes]) -> bytes:
    """Return a change from its sequence number on."""
    seq, start, named, steps = outline
    last, known, _ = opened(earlier) if earlier is not None else (0, [], None)
    start += last + 1
    actors = [known[actor - 1] if isinstance(actor, int) else actor for actor in named]
    rows: list[Row] = []
    going_on: Any = None
    for step in steps:
        action, place = step[0], step[2]
        need(action < 8 or going_on != (action, place), "two steps that are one")
        rows += operations(step, start + len(rows), plain)
        need(len(rows) <= 200_000, "too many operations")
        going_on = None
        if action == 8:
            going_on = (8, (0, start + len(rows) - 1))
        elif action == 9:
            going_on = (9, (place[0], place[1] + step[3]))
    head = leb(seq) + leb(start) + b"\0\0" + leb(len(actors))
    columns = {number: data for number, data in encode(rows).items() if data}
    specs = b"".join(leb(number) + leb(len(data)) for number, data in columns.items())
    return b"".join(
        [head, *(leb(len(a)) + a for a in actors), leb(len(columns)), specs, *columns.values()]
    )


# Object, key or letter, whether it inserts, action, meta, value, replaced.
Row = tuple[Place, bytes | tuple[int | None, int], bool, int, int, bytes, list[tuple[int, int]]]


def operations(step: list[Any], number: int, plain: Callable[[bytes], bytes]) -> list[Row]:
    """Return the operations of a step of which the first has a number."""
    action, target, *rest = step
    if action == 9:
        (actor, first), count = rest
        need(0 < count <= 200_000, "no letters, or too many")
        ids = [(actor, first + k) for k in range(count)]
        return [(target, letter, False, 3, 0, b"", [letter]) for letter in ids]
    if action == 8:
        after, text = rest
        letters = [letter.encode() for letter in plain(text).decode()]
        need(letters, "no letters")
        keys = [after or (None, 0), *((0, number + k) for k in range(len(letters) - 1))]
        return [
            (target, key, True, 1, len(letter) << 4 | 6, letter, [])
            for key, letter in zip(keys, letters, strict=True)
        ]
    key, meta, value, replaced, *behind = rest
    if behind:
        value = plain(behind[0])
        meta = len(value) << 4 | 6
    return [(target, plain(key), False, action, meta, value, replaced)]


def encode(rows: list[Row]) -> dict[int, bytes]:
    """Return all columns as Automerge's encoder writes them."""
    keys = [row[1] for row in rows]
    named = [key if isinstance(key, bytes) else None for key in keys]
    letters = [(None, None) if isinstance(key, bytes) else key for key in keys]
    replaced = [one for row in rows for one in row[6]]
    return {
        0x01: runs([row[0] and row[0][0] for row in rows], leb),
        0x02: runs([row[0] and row[0][1] for row in rows], leb),
        0x11: runs([actor for actor, _ in letters], leb),
        0x13: runs(steps_between([number for _, number in letters]), signed_leb),
        0x15: runs(named, lambda key: leb(len(key)) + key),
        0x34: truths([row[2] for row in rows]),
        0x42: runs([row[3] for row in rows], leb),
        0x56: runs([row[4] for row in rows], leb),
        0x57: b"".join(row[5] for row in rows),
        0x70: runs([len(row[6]) for row in rows], leb),
        0x71: runs([actor for actor, _ in replaced], leb),
        0x73: runs(steps_between([number for _, number in replaced]), signed_leb),
    }


def steps_between(entries: Sequence[int | None]) -> list[int | None]:
    """Return each number as its distance from the one before."""
    last, out = 0, list[int | None]()
    for entry in entries:
        out.append(None if entry is None else entry - last)
        last = last if entry is None else entry
    return out


def signed_leb(number: int) -> bytes:
    """Return a number as signed LEB128."""
    size = number.bit_length() // 7 + 1
    parts = [number >> 7 * k & 0x7F for k in range(size)]
    return bytes([*(part | 0x80 for part in parts[:-1]), parts[-1]])


def truths(entries: Sequence[bool]) -> bytes:
    """Return lengths of runs, false first."""
    lengths = [len(list(group)) for _, group in groupby([False, *entries])]
    return leb(lengths[0] - 1) + b"".join(map(leb, lengths[1:]))


def runs(entries: Sequence[Any], write: Callable[[Any], bytes]) -> bytes:
    """Return +n and an entry, -n and entries, or 0 and n for nulls."""
    groups = [(entry, len(list(group))) for entry, group in groupby(entries)]
    if all(entry is None for entry, _ in groups):
        return b""
    out = b""
    for single, some in groupby(groups, lambda group: group[0] is not None and group[1] == 1):
        found = list(some)
        if single:
            out += signed_leb(-len(found)) + b"".join(write(entry) for entry, _ in found)
        else:
            for entry, count in found:
                out += b"\0" + leb(count) if entry is None else signed_leb(count) + write(entry)
    return out


def trace(data: bytes) -> bytes:
    """Return what frames look back at of a leaf."""
    try:
        kind, _, document, clock, _ = leaf = cbor2.loads(data)
        _, actors, inside = opened(leaf)
        raw = inside.rest()
        seq, start, steps = steps_of(raw)
        again = change((seq, start - 1, list(actors[1:]), steps), None, lambda text: text)
    except (AssertionError, Refused, ValueError, TypeError, IndexError):
        return data
    if kind or again != raw:
        return data

    def spell(text: bytes) -> bytes:
        return IDS.sub(lambda found: spelled(found[0], document, clock), text)

    out = leb(seq) + leb(2 * start - 2) + leb(len(actors) - 1)
    out += b"".join(b"\0" + leb(len(actor)) + actor for actor in actors[1:]) + leb(len(steps))
    behind = b""
    for action, target, *rest in steps:
        out += leb(action) + placed(target)
        if action >= 8:
            out += placed(rest[0])
            behind += spell(rest[1]) + b"\0" if action == 8 else b""
            out += leb(rest[1]) if action == 9 else b""
            continue
        key, meta, value, replaced, *texts = rest
        out += spell(key) + b"\0" + leb(meta) + value + leb(len(replaced))
        out += b"".join(leb(actor) + leb(number) for actor, number in replaced)
        behind += b"".join(spell(text) + b"\0" for text in texts)
    return out + behind


IDS = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{24}"
)


def spelled(text: bytes, document: bytes, clock: int) -> bytes:
    """Return an id as the trace of a leaf has it."""
    raw = bytes.fromhex(text.replace(b"-", b"").decode())
    distance = int.from_bytes(raw[:8], "big") - clock
    if len(raw) == 12 and 0 <= distance < 256:
        return b"\xff\x01" + bytes([distance])
    if raw == document:
        return b"\xff\x03\0"
    return b"\xff" + bytes([{16: 4, 12: 5, 32: 6}[len(raw)]]) + raw


def placed(place: Place) -> bytes:
    """Return a place as an outline has it."""
    return leb(place[0] + 1) + leb(place[1]) if place else b"\0"


def steps_of(raw: bytes) -> tuple[int, int, list[list[Any]]]:
    """Return sequence number, first operation and steps of a change as Automerge wrote it."""
    cursor = Cursor(raw)
    seq, start = cursor.number(), cursor.number()
    cursor.take(2)
    for _ in range(cursor.number()):
        cursor.take(cursor.number())
    columns = columns_of(cursor)
    actions = entries(columns[0x42], 0x42)
    none = [None] * len(actions)

    def column(number: int) -> list[Any]:
        return entries(columns.get(number, b""), number) or none

    objects = [o if o[0] is not None else None for o in zip(column(1), column(2), strict=True)]
    letters = zip(column(0x11), column(0x13), strict=True)
    values = Cursor(columns.get(0x57, b""))
    replaced = list(zip(column(0x71), column(0x73), strict=True))
    steps: list[list[Any]] = []
    going_on: tuple[int, Place] | None = None
    rows = zip(
        *(actions, objects, letters, column(0x15), column(0x56), column(0x70), inserts(columns)),
        strict=True,
    )
    for at, (action, target, letter, key, meta, count, is_insert) in enumerate(rows, start):
        value = values.take((meta or 0) >> 4)
        old, replaced = replaced[: count or 0], replaced[count or 0 :]
        place = letter if letter[0] is not None else None
        if key is not None:
            text = [value] if meta & 15 == 6 else []
            steps.append(
                [action, target, key, 6 if text else meta, b"" if text else value, old, *text]
            )
            assert b"\0" not in key + b"".join(text)
            b"".join(text).decode()
            going_on = None
        elif is_insert:
            assert b"\0" not in value
            value.decode()
            if going_on == (8, place):
                steps[-1][3] += value
            else:
                steps.append([8, target, place, value])
            going_on = (8, (0, at))
        else:
            assert place
            if going_on == (9, place):
                steps[-1][3] += 1
            else:
                steps.append([9, target, place, 1])
            going_on = (9, (place[0], place[1] + 1))
    return seq, start, steps


def inserts(columns: dict[int, bytes]) -> list[bool]:
    """Return for each operation whether it inserts."""
    cursor, out = Cursor(columns[0x34]), list[bool]()
    is_insert = False
    while rest := cursor.rest():
        cursor = Cursor(rest)
        out += [is_insert] * cursor.number()
        is_insert = not is_insert
    return out


def entries(data: bytes, column: int) -> list[Any]:
    """Return the entries of a column."""
    cursor, out, last = Cursor(data), list[Any](), 0

    def one() -> Any:
        nonlocal last
        if column == 0x15:
            return cursor.take(cursor.number())
        if column not in (0x13, 0x73):
            return cursor.number()
        last += whole(cursor)
        return last

    while data[cursor.stream.tell() :]:
        head = whole(cursor)
        if head == 0:
            out += [None] * cursor.number()
        elif head < 0:
            out += [one() for _ in range(-head)]
        else:
            at = cursor.stream.tell()
            for _ in range(head):
                cursor.stream.seek(at)
                out.append(one())
    return out


def whole(cursor: Cursor) -> int:
    """Return the next number as signed LEB128."""
    value = shift = 0
    while True:
        byte = cursor.take(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value - (1 << shift) if byte & 0x40 else value
