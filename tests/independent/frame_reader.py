"""Reads packed frames of a link from docs/PROTOCOL.md section 7.3 alone."""

import io
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import accumulate, groupby
from typing import Any

import cbor2
import zstandard

TOKEN = re.compile(
    rb"\xff(?:(\x00)|([\x01\x02\x03].)|\x04(.{16})|\x05(.{12})|\x06(.{32}))", re.DOTALL
)

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
        return self.stream.read(size)

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.stream.read()

    def number(self) -> int:
        """Return the next number."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

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
            assert byte
            found += byte
            if byte == b"\xff":
                token = self.take(1)
                found += token + self.take(VALUES[token[0]])
        return found


def inflate(data: bytes, dictionary: bytes, past: Sequence[bytes]) -> bytes:
    """Return the columns of a packed frame."""
    help_ = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if past:
        assert sum(map(len, past)) <= 131_072
        help_ = zstandard.ZstdCompressionDict(
            dictionary + b"".join(past), dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
    reader = zstandard.ZstdDecompressor(
        dict_data=help_,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        max_window_size=2 << 20,
    ).stream_reader(data)
    with reader:
        return reader.read((1 << 20) + 4_096)


def read_frame(data: bytes, dictionary: bytes, before: Sequence[bytes]) -> list[bytes]:
    """Return the leaves of a frame that follows all leaves before it."""
    head = Cursor(data)
    needed = head.number()
    count = head.number() if needed else 0
    assert needed <= min(256, len(before))
    born = [head.take(10) for _ in range(head.number())]
    past = [trace(leaf) for leaf in before[len(before) - needed :]]
    cursor = Cursor(inflate(head.rest(), dictionary, past))
    tags = cursor.take(cursor.number())
    assert not needed or count == len(tags)
    changes = [tag for tag in tags if tag]
    writers = [cursor.number() for _ in changes]
    times = list(accumulate(cursor.signed() for _ in changes))
    clocks = [ms << 16 | cursor.number() for ms in times]
    backs = [0 if tag & 2 else cursor.number() for tag in changes]
    documents = [
        b""
        if not tag & 2
        else cursor.take(16)
        if tag & 32
        else (ms + cursor.signed()).to_bytes(6, "big") + born.pop(0)
        for tag, ms in zip(changes, times, strict=True)
    ]
    assert not born
    deps = [
        [cursor.take(32) for _ in range(cursor.number())] if tag & 4 else None for tag in changes
    ]
    actors = [cursor.take(cursor.number()) if tag & 8 else None for tag in changes]
    lengths = [cursor.number() for tag in tags if not tag & 16]
    bodies = iter([cursor.take(length) for length in lengths])
    outlines = [read_outline(cursor) for tag in tags if tag & 16]
    for _, _, _, steps in outlines:
        for step in steps:
            step.extend([cursor.text()] if step[0] == 8 or step[0] < 8 and step[3] == 6 else [])
    assert not cursor.take(1)
    said = iter(outlines)
    rows = zip(writers, clocks, backs, documents, deps, actors, strict=True)
    leaves = list(before)
    for tag in tags:
        body = next(said) if tag & 16 else next(bodies)
        leaves.append(build(leaves, body, *next(rows)) if tag else body)
    return leaves[len(before) :]


def declared(leaves: Sequence[bytes], number: int) -> tuple[bytes, bytes, int]:
    """Return node, device and epoch of a writer."""
    for leaf in leaves:
        kind, declares, _, _, body = cbor2.loads(leaf)
        if (kind, declares) == (1, number):
            node, device, epoch, *_ = cbor2.loads(body)
            return node, device, epoch
    raise AssertionError("no such writer")


def build(
    leaves: Sequence[bytes],
    body: bytes | Outline,
    writer: int,
    clock: int,
    back: int,
    document: bytes,
    deps: list[bytes] | None,
    actor: bytes | None,
) -> bytes:
    """Return the leaf that follows these."""
    earlier = cbor2.loads(leaves[-back]) if back else None
    if earlier is not None:
        document = earlier[2]
    if deps is None:
        has_chunk = earlier is not None and earlier[4][8] == 1
        deps = [sha256(earlier[4][8:]).digest()] if earlier is not None and has_chunk else []
    node, device, epoch = declared(leaves, writer)
    if actor is None:
        said = b"tiepdan actor v1\n" + node + device + epoch.to_bytes(8, "big") + document
        actor = sha256(said).digest()[:16]

    events = [(clock, device)]
    if earlier is not None:
        events.append((earlier[3], declared(leaves, earlier[1])[1]))

    def plain(text: bytes) -> bytes:
        return TOKEN.sub(lambda found: expand(found, leaves, document, events), text)

    rest = plain(body) if isinstance(body, bytes) else contents(body, earlier, plain)
    contents = leb(len(deps)) + b"".join(deps) + leb(len(actor)) + actor + rest
    framed = b"\1" + leb(len(contents)) + contents
    chunk = bytes.fromhex("856f4a83") + sha256(framed).digest()[:4] + framed
    return cbor2.dumps([0, writer, document, clock, chunk])


def expand(
    found: re.Match[bytes],
    leaves: Sequence[bytes],
    document: bytes,
    events: list[tuple[int, bytes]],
) -> bytes:
    """Return what a token stands for; events are the clocks and devices that it may count from."""
    escape, short, whole_uuid, whole_event, digest = found.groups()
    if escape:
        return b"\xff"
    if whole_uuid:
        return uuid(whole_uuid)
    if not short:
        return bytes((whole_event or digest).hex(), "ascii")
    token, k = short
    if token == 3:
        return uuid(document if k == 0 else cbor2.loads(leaves[-k])[2])
    clock, device = events[token - 1]
    return ((clock + k).to_bytes(8, "big") + device[:4]).hex().encode()


def uuid(raw: bytes) -> bytes:
    """Return a document id as text."""
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])).encode()


def read_outline(cursor: Cursor) -> Outline:
    """Return the next outline, its texts as they are and those behind it left out."""
    seq, start = cursor.number(), cursor.signed()
    actors = [cursor.number() or cursor.take(cursor.number()) for _ in range(cursor.number())]
    steps: list[list[Any]] = []
    for _ in range(cursor.number()):
        action, target = cursor.number(), cursor.place()
        if action >= 8:
            assert target
            steps.append([action, target, cursor.place()])
            steps[-1] += [cursor.number()] if action == 9 else []
            continue
        key, meta = cursor.text(), cursor.number()
        value = b"" if meta == 6 else cursor.take(meta >> 4)
        replaced = [(cursor.number(), cursor.number()) for _ in range(cursor.number())]
        steps.append([action, target, key, meta, value, replaced])
    return seq, start, actors, steps


def opened(leaf: Any) -> tuple[int, list[bytes], Cursor]:
    """Return the last operation of a leaf's change, its actors, and the contents behind the first.

    Raises whatever comes if it has none.
    """
    chunk = leaf[4]
    assert leaf[0] == 0 and chunk[:4] == bytes.fromhex("856f4a83") and chunk[8] == 1
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
    return start + len(numbers(columns.get(0x42, b""))) - 1, actors, Cursor(raw)


def columns_of(cursor: Cursor) -> dict[int, bytes]:
    """Return the columns that follow."""
    specs = [(cursor.number(), cursor.number()) for _ in range(cursor.number())]
    return {number: cursor.take(length) for number, length in specs}


def contents(outline: Outline, earlier: Any, plain: Callable[[bytes], bytes]) -> bytes:
    """Return a change from its sequence number on."""
    seq, start, named, steps = outline
    last, known, _ = opened(earlier) if earlier is not None else (0, [], None)
    start += last + 1
    actors = [known[actor - 1] if isinstance(actor, int) else actor for actor in named]
    rows: list[Row] = []
    for step in steps:
        rows += operations(step, start + len(rows), plain)
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
        ids = [(actor, first + k) for k in range(count)]
        return [(target, letter, False, 3, 0, b"", [letter]) for letter in ids]
    if action == 8:
        after, text = rest
        letters = [letter.encode() for letter in plain(text).decode()]
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


def numbers(data: bytes) -> list[int]:
    """Return the entries of a column of numbers without nulls."""
    cursor, out = Cursor(data), list[int]()
    while head := cursor.take(1):
        size = head[0] & 0x7F
        shift = 7
        while head[0] & 0x80:
            head = cursor.take(1)
            size |= (head[0] & 0x7F) << shift
            shift += 7
        if head[0] & 0x40:
            out += [cursor.number() for _ in range((1 << shift) - size)]
        else:
            out += [cursor.number()] * size
    return out


def trace(data: bytes) -> bytes:
    """Return what frames look back at of a leaf, as far as the test's leaves need it."""
    raise NotImplementedError
