"""Reads packed frames of a link from docs/PROTOCOL.md section 7.3 alone."""

import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Any

import cbor2
import zstandard

from tests.independent.change_reader import Refused, need
from tests.independent.outline_reader import Cursor, Outline, change, leb, read_outline, trace

PAST_SIZE_BYTES_MAX, INFLATED_SIZE_BYTES_MAX, LEAVES_MAX = 131_072, (1 << 20) + 4_096, 512

TOKEN = re.compile(
    rb"\xff(?:(\x00)|([\x01\x02\x03].)|\x04(.{16})|\x05(.{12})|\x06(.{32}))|\xff", re.DOTALL
)


def inflate(data: bytes, dictionary: bytes, past: Sequence[bytes]) -> bytes:
    """Return the columns of a packed frame."""
    help_ = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if past:
        need(sum(map(len, past)) <= PAST_SIZE_BYTES_MAX, "past is too long")
        help_ = zstandard.ZstdCompressionDict(
            dictionary + b"".join(past), dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
    reader = zstandard.ZstdDecompressor(
        dict_data=help_,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        max_window_size=2 << 20,
    ).stream_reader(data)
    with reader:
        try:
            data = reader.read(INFLATED_SIZE_BYTES_MAX + 1)
        except zstandard.ZstdError as error:
            raise Refused("frame does not inflate") from error
    need(len(data) <= INFLATED_SIZE_BYTES_MAX, "frame inflates too far")
    return data


def read_frame(data: bytes, dictionary: bytes, before: Sequence[bytes]) -> list[bytes]:
    """Return the leaves of a frame that follows all leaves before it."""
    head = Cursor(data)
    needed = head.number(min(256, len(before)))
    count = head.number(LEAVES_MAX, 1) if needed else 0
    born = [head.take(10) for _ in range(head.number(LEAVES_MAX))]
    past = [trace(leaf) for leaf in before[len(before) - needed :]]
    cursor = Cursor(inflate(head.rest(), dictionary, past))
    tags = cursor.take(cursor.number(LEAVES_MAX, 1))
    need(not needed or count == len(tags), "frame holds other leaves than it says")
    need(all(tag < 64 and (tag & 1 or not tag) for tag in tags), "unknown tag")
    changes = [tag for tag in tags if tag]
    writers = [cursor.number(1 << 32) for _ in changes]
    times = list(accumulate(cursor.signed() for _ in changes))
    clocks = [ms << 16 | cursor.number(0xFFFF) for ms in times]
    need(all(0 <= clock < 1 << 63 for clock in clocks), "clock reading is out of range")
    backs = [0 if tag & 2 else cursor.number(smallest=1) for tag in changes]
    documents = [document_of(cursor, tag, ms, born) for tag, ms in zip(changes, times, strict=True)]
    need(not born, "an id without a document")
    deps = [
        [cursor.take(32) for _ in range(cursor.number(64))] if tag & 4 else None for tag in changes
    ]
    actors = [cursor.take(cursor.number(1_000)) if tag & 8 else None for tag in changes]
    lengths = [cursor.number() for tag in tags if not tag & 16]
    bodies = iter([cursor.take(length) for length in lengths])
    outlines = [read_outline(cursor) for tag in tags if tag & 16]
    for _, _, _, steps in outlines:
        for step in steps:
            step.extend([cursor.text()] if step[0] == 8 or (step[0] < 8 and step[3] == 6) else [])
    need(not cursor.rest(), "bytes follow the leaves")
    said = iter(outlines)
    rows = zip(writers, clocks, backs, documents, deps, actors, strict=True)
    leaves = list(before)
    for tag in tags:
        body: Any = next(said) if tag & 16 else next(bodies)
        leaves.append(build(leaves, body, *next(rows)) if tag else body)
    return leaves[len(before) :]


def document_of(cursor: Cursor, tag: int, ms: int, born: list[bytes]) -> bytes:
    """Return the id of a new document; nothing for another."""
    if not tag & 2:
        return b""
    if tag & 32:
        return cursor.take(16)
    ms += cursor.signed()
    need(born and 0 <= ms < 1 << 48, "a document without an id")
    rest = born.pop(0)
    need(rest[0] >> 4 == 7 and rest[2] >> 6 == 2, "an id of another version")
    return ms.to_bytes(6, "big") + rest


def declared(leaves: Sequence[bytes], number: int) -> tuple[bytes, bytes, int, bytes]:
    """Return node, device, epoch and own actor, if any, of a writer."""
    for leaf in leaves:
        kind, declares, _, _, body = cbor2.loads(leaf)
        if (kind, declares) == (1, number):
            items = cbor2.loads(body)
            node, device, epoch = items[:3]
            return node, device, epoch, items[8] if len(items) > 8 else b""
    raise Refused("writer has not been declared")


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
    need(back <= len(leaves), "leaf builds on one that has not come")
    earlier = cbor2.loads(leaves[-back]) if back else None
    if earlier is not None:
        document = earlier[2]
    if deps is None:
        has_chunk = earlier is not None and earlier[4][8] == 1
        deps = [sha256(earlier[4][8:]).digest()] if earlier is not None and has_chunk else []
    node, device, epoch, chosen = declared(leaves, writer)
    if actor is None:
        said = b"tiepdan actor v1\n" + node + device + epoch.to_bytes(8, "big") + document
        actor = chosen or sha256(said).digest()[:16]

    events = [(clock, device)]
    if earlier is not None:
        events.append((earlier[3], declared(leaves, earlier[1])[1]))

    def plain(text: bytes) -> bytes:
        return TOKEN.sub(lambda found: expand(found, leaves, document, events), text)

    rest = plain(body) if isinstance(body, bytes) else change(body, earlier, plain)
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
        need(whole_event or digest, "token that says nothing")
        return bytes((whole_event or digest).hex(), "ascii")
    token, k = short
    if token == 3:
        need(k < min(32, len(leaves) + 1), "document of a leaf too far back")
        return uuid(document if k == 0 else cbor2.loads(leaves[-k])[2])
    need(token <= len(events), "event of an earlier leaf where there is none")
    clock, device = events[token - 1]
    return ((clock + k).to_bytes(8, "big") + device[:4]).hex().encode()


def uuid(raw: bytes) -> bytes:
    """Return a document id as text."""
    need(len(raw) == 16, "no document id")
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])).encode()
