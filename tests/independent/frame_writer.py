"""Writes packed frames of a link, from docs/PROTOCOL.md section 7.3 alone; see frame_reader.py."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cbor2
import zstandard

from tests.independent.change_reader import Reader, uleb_bytes
from tests.independent.frame_reader import build, declared, read_frame, uuid
from tests.independent.outline_reader import trace

HEXADECIMAL = re.compile(
    rb"(\xff)|([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    rb"|([0-9a-f]{64})|([0-9a-f]{24})"
)


@dataclass(frozen=True)
class Stripped:
    """A leaf as it stands in the columns; those of changes are empty for other leaves."""

    tag: int
    body: bytes
    writer: int = 0
    hlc: int = 0
    back: int = 0
    document: bytes = b""
    deps: Sequence[bytes] | None = None
    actor: bytes | None = None


def write_frame(leaves: Sequence[bytes], before: Sequence[bytes], past: int = 0) -> bytes:
    """Return the packed frame of leaves that follow all leaves before them."""
    known, rows = list(before), list[Stripped]()
    for leaf in leaves:
        rows.append(strip(leaf, known))
        known.append(leaf)
    columns = write_columns(rows)
    history = b"".join(trace(leaf) for leaf in before[len(before) - past :])
    help_ = zstandard.ZstdCompressionDict(history, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=0,
        write_checksum=0,
        write_dict_id=0,
        window_log=20,
    )
    packer = zstandard.ZstdCompressor(
        dict_data=help_ if past else None, compression_params=parameters
    )
    head = uleb_bytes(past) + (uleb_bytes(len(leaves)) if past else b"")
    born = [row.document[6:] for row in rows if row.tag & 2 and not row.tag & 32]
    frame = head + uleb_bytes(len(born)) + b"".join(born) + packer.compress(columns)
    assert read_frame(frame, b"", before) == list(leaves)
    return frame


def write_columns(rows: Sequence[Stripped]) -> bytes:
    changes = [row for row in rows if row.tag]
    out = uleb_bytes(len(rows)) + bytes(row.tag for row in rows)
    out += b"".join(uleb_bytes(row.writer) for row in changes)
    last_ms = 0
    for row in changes:
        step, last_ms = (row.hlc >> 16) - last_ms, row.hlc >> 16
        out += uleb_bytes(2 * step if step >= 0 else -2 * step - 1)
    out += b"".join(uleb_bytes(row.hlc & 0xFFFF) for row in changes)
    out += b"".join(uleb_bytes(row.back) for row in changes if not row.tag & 2)
    for row in changes:
        if row.tag & 2:
            step = int.from_bytes(row.document[:6]) - (row.hlc >> 16)
            time = uleb_bytes(2 * step if step >= 0 else -2 * step - 1)
            out += row.document if row.tag & 32 else time
    for row in changes:
        if row.deps is not None:
            out += uleb_bytes(len(row.deps)) + b"".join(row.deps)
    for row in changes:
        if row.actor is not None:
            out += uleb_bytes(len(row.actor)) + row.actor
    out += b"".join(uleb_bytes(len(row.body)) for row in rows)
    return out + b"".join(row.body for row in rows)


def strip(leaf: bytes, before: Sequence[bytes]) -> Stripped:
    """Return the shortest form that gives the leaf back, or the leaf as it is."""
    whole = Stripped(tag=0, body=leaf)
    kind, writer, document, hlc, chunk = cbor2.loads(leaf)
    if kind != 0 or chunk[8] != 1:
        return whole
    reader = Reader(Reader(chunk[9:]).prefixed())
    deps = [reader.take(32) for _ in range(reader.uleb())]
    actor, rest = reader.prefixed(), reader.take(reader.left)
    earlier = [cbor2.loads(each) for each in before]
    backs = (
        n for n, each in enumerate(reversed(earlier), 1) if each[0] == 0 and each[2] == document
    )
    back = next(backs, 0)
    _, device, *_ = declared(before, writer)
    events = [(hlc, device)]
    if back:
        events.append((earlier[-back][3], declared(before, earlier[-back][1])[1]))
    documents = [document, *(each[2] for each in reversed(earlier[-31:]))]

    def token(found: re.Match[bytes]) -> bytes:
        return write_token(found, events, documents)

    body = HEXADECIMAL.sub(token, rest)
    for left_out in (12, 8, 4, 0):
        given_deps = None if left_out & 4 else deps
        given_actor = None if left_out & 8 else actor
        first = b"" if back else document
        made = build(before, body, writer, hlc, back, first, given_deps, given_actor)
        if made == leaf:
            is_timed = document[6] >> 4 == 7 and document[8] >> 6 == 2
            tag = 1 + (0 if back else 2 if is_timed else 34) + (12 - left_out)
            return Stripped(tag, body, writer, hlc, back, first, given_deps, given_actor)
    return whole


def write_token(
    found: re.Match[bytes], events: Sequence[tuple[int, bytes]], documents: Sequence[bytes]
) -> bytes:
    escape, document, digest, event = found.groups()
    if escape:
        return b"\xff\0"
    if document:
        raw = bytes.fromhex(document.replace(b"-", b"").decode())
        if raw in documents:
            return bytes([0xFF, 3, documents.index(raw)])
        return b"\xff\4" + raw if uuid(raw) == document else found.group()
    if digest:
        return b"\xff\6" + bytes.fromhex(digest.decode())
    raw = bytes.fromhex(event.decode())
    for number, (hlc, device) in enumerate(events, 1):
        ahead = int.from_bytes(raw[:8]) - hlc
        if raw[8:] == device[:4] and 0 <= ahead <= 255:
            return bytes([0xFF, number, ahead])
    return b"\xff\5" + raw
