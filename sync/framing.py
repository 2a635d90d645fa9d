"""Frames: consecutive leaves of a log in at most 1,200 bytes, stripped, in columns, compressed.

Layout before compression: number of leaves, then each column for all leaves: tags, writers, clocks
(milliseconds as differences, counters), ways back to the document's last change or its id,
dependencies and actors that are not the usual ones, lengths, bodies. Compressed with zstd, without
its mark, sizes and checksum: what carries frames is authenticated, and tree heads check the rest.
"""

import hashlib
import itertools
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import zstandard

from schemas.hlc import reading, reading_ms
from schemas.limits import FRAME_BYTES_MAX, FRAME_LEAVES_MAX, LEAF_BYTES_MAX
from schemas.record import Leaf, LeafType, Writer
from sync.change import uleb
from sync.errors import FrameError
from sync.history import read_leaf, read_writer
from sync.stripping import History, Stripped, Tag, read_uleb, rebuild, strip

# Higher levels take four times as long for one byte in fifty.
_LEVEL: Final = 12
# Further back, little is found that is not nearer too.
PAST_BYTES_MAX: Final = 128 << 10
PAST_LEAVES_MAX: Final = 256
# What we write with; the others in the folder are for reading.
_NEWEST: Final = bytes.fromhex("fbb61872e55285f6909f1eeeda0b39d7e64192b02bb92467edc0286b449861c1")
_COUNTER: Final = 0xFFFF
# How many leaves of the past, and how many in the frame.
_HEAD_BYTES_MAX: Final = 4
# The largest leaf alone, with its columns.
_INFLATED_BYTES_MAX: Final = LEAF_BYTES_MAX + 4_096
_WINDOW_BYTES_MAX: Final = 2 << 20
# What leaves shrink to at first guess.
_RATIO: Final = 0.3
_TRIES: Final = 4
_PARAMETERS: Final = zstandard.ZstdCompressionParameters.from_level(
    _LEVEL,
    format=zstandard.FORMAT_ZSTD1_MAGICLESS,
    write_content_size=False,
    write_dict_id=False,
)


class Growing:
    """A history that goes on with the leaves of a frame."""

    def __init__(self, base: History, first_seq: int) -> None:
        """Continue a history from a leaf on."""
        self._base = base
        self._first_seq = first_seq
        self._leaves: list[Leaf | None] = []
        self._writers: dict[int, Writer] = {}
        self._documents: dict[bytes, int] = {}

    def add(self, data: bytes) -> None:
        """Add the next leaf."""
        leaf = read_leaf(data)
        if leaf is not None and leaf.type == LeafType.WRITER:
            writer = read_writer(leaf)
            if writer is not None:
                self._writers.setdefault(leaf.writer, writer)
        elif leaf is not None and leaf.type == LeafType.CHANGE:
            self._documents[leaf.document] = self._first_seq + len(self._leaves)
        self._leaves.append(leaf)

    def leaf(self, seq: int, /) -> Leaf | None:
        """Return a leaf before or of this frame."""
        if seq < self._first_seq:
            return self._base.leaf(seq)
        index = seq - self._first_seq
        return self._leaves[index] if index < len(self._leaves) else None

    def writer(self, number: int, /) -> Writer | None:
        """Return a writer declared before or in this frame."""
        return self._base.writer(number) or self._writers.get(number)

    def previous(self, document: bytes, seq: int, /) -> int | None:
        """Return the document's last change below seq."""
        found = self._documents.get(document)
        return found if found is not None else self._base.previous(document, self._first_seq)


def pack(
    first_seq: int,
    leaves: Sequence[bytes],
    history: History,
    *,
    dictionary: bytes = b"",
    past: Sequence[bytes] = (),
    size_max: int = FRAME_BYTES_MAX,
) -> tuple[bytes, int]:
    """Return a frame of the first leaves, as many as fit, and how many those are; at least one.

    A leaf that is too large by itself makes a frame that is too large. With the leaves right before
    it as its past, a frame holds two or three times as many.
    """
    past = _near(past)
    if past:
        size_max -= _HEAD_BYTES_MAX
    growing = Growing(history, first_seq)
    stripped: list[Stripped] = []
    compress = _compressor(dictionary, b"".join(past)).compress
    count = _guess(leaves, size_max)
    best: tuple[bytes, int] | None = None
    ceiling = len(leaves) + 1
    for _ in range(_TRIES):
        for offset, leaf in enumerate(leaves[len(stripped) : count], len(stripped)):
            stripped.append(strip(leaf, first_seq + offset, growing))
            growing.add(leaf)
        data = compress(columns(stripped[:count]))
        if len(data) <= size_max or count == 1:
            best = (data, count)
        else:
            ceiling = count
        wanted = max(1, int(count * size_max / len(data) * 0.97))
        floor = best[1] if best else 0
        wanted = min(max(wanted, floor + 1), ceiling - 1, FRAME_LEAVES_MAX)
        if wanted <= floor:
            break
        count = wanted
    data, count = best or (compress(columns(stripped[:1])), 1)
    head = uleb(len(past)) + uleb(count) if past else b"\x00"
    return head + data, count


def _near(leaves: Sequence[bytes]) -> Sequence[bytes]:
    """Return the last of some leaves, as many as help."""
    total, count = 0, 0
    for leaf in reversed(leaves[-PAST_LEAVES_MAX:]):
        total += len(leaf)
        if total > PAST_BYTES_MAX:
            break
        count += 1
    return leaves[len(leaves) - count :]


def _guess(leaves: Sequence[bytes], size_max: int) -> int:
    total, sizes = 0.0, itertools.accumulate(len(leaf) * _RATIO for leaf in leaves)
    for count, total in enumerate(sizes, start=1):
        if total > size_max:
            return min(count, FRAME_LEAVES_MAX)
    return min(len(leaves), FRAME_LEAVES_MAX)


def past_needed(data: bytes) -> tuple[int, int]:
    """Return how many leaves right before a frame it was packed with, and how many it then holds.

    Raises:
        FrameError: it is no frame.
    """
    needed, at = read_uleb(data, 0)
    if needed == 0:
        return 0, 0
    count, _ = read_uleb(data, at)
    if needed > PAST_LEAVES_MAX or not 0 < count <= FRAME_LEAVES_MAX:
        raise FrameError("frame_malformed", "a frame with a past or a count beyond all bounds")
    return needed, count


def read_frame(data: bytes, dictionary: bytes = b"", past: Sequence[bytes] = ()) -> list[Stripped]:
    """Return the leaves in a frame as they were sent, which needs no more of the log than its past.

    Args:
        data: the frame.
        dictionary: that it was packed with.
        past: the leaves right before it, as many as past_needed says.

    Raises:
        FrameError: it is no frame.
    """
    needed, count = past_needed(data)
    if len(past) != needed or sum(map(len, past)) > PAST_BYTES_MAX:
        raise FrameError("frame_malformed", "a frame with another past")
    packed = data[len(uleb(needed)) + (len(uleb(count)) if needed else 0) :]
    entries = _entries(_inflate(packed, dictionary, b"".join(past)))
    if needed and len(entries) != count:
        raise FrameError("frame_malformed", "a frame that does not hold what it says")
    return entries


def unpack(
    first_seq: int,
    data: bytes,
    history: History,
    *,
    dictionary: bytes = b"",
    past: Sequence[bytes] = (),
) -> list[bytes]:
    """Return the leaves in a frame.

    Raises:
        FrameError: it is not one, or builds on leaves that have not arrived (`frame_early`).
    """
    return restore(first_seq, read_frame(data, dictionary, past), history)


def restore(first_seq: int, entries: Sequence[Stripped], history: History) -> list[bytes]:
    """Return the leaves of a frame that was read.

    Raises:
        FrameError: they are none, or build on leaves that have not arrived (`frame_early`).
    """
    growing = Growing(history, first_seq)
    leaves: list[bytes] = []
    for seq, stripped in enumerate(entries, first_seq):
        leaf = rebuild(stripped, seq, growing)
        if len(leaf) > LEAF_BYTES_MAX:
            raise FrameError("frame_malformed", "a leaf is too long")
        leaves.append(leaf)
        growing.add(leaf)
    return leaves


def _inflate(data: bytes, dictionary: bytes, past: bytes) -> bytes:
    # As a stream, because a frame may claim any size and have room made for it.
    try:
        with _decompressor(dictionary, past).stream_reader(data) as stream:
            plain = stream.read(_INFLATED_BYTES_MAX + 1)
    except zstandard.ZstdError as error:
        raise FrameError("frame_malformed", "the frame does not inflate") from error
    if len(plain) > _INFLATED_BYTES_MAX:
        raise FrameError("frame_malformed", "the frame inflates beyond its limit")
    return plain


def columns(entries: Sequence[Stripped]) -> bytes:
    """Return leaves as a frame holds them before compression."""
    changes = [entry for entry in entries if entry.tag != Tag.RAW]
    news = [entry for entry in changes if Tag.NEW_DOCUMENT in entry.tag]
    old = [entry for entry in changes if Tag.NEW_DOCUMENT not in entry.tag]
    times = [reading_ms(entry.hlc) for entry in changes]
    out = [uleb(len(entries)), bytes(entry.tag for entry in entries)]
    out += [uleb(entry.writer) for entry in changes]
    out += [uleb(_zigzag(ms - before)) for before, ms in itertools.pairwise([0, *times])]
    out += [uleb(entry.hlc & _COUNTER) for entry in changes]
    out += [uleb(entry.back) for entry in old]
    out += [entry.document for entry in news]
    out += [
        uleb(len(entry.deps)) + b"".join(entry.deps)
        for entry in changes
        if Tag.OWN_DEPS in entry.tag
    ]
    out += [uleb(len(entry.actor)) + entry.actor for entry in changes if Tag.OWN_ACTOR in entry.tag]
    out += [uleb(len(entry.body)) for entry in entries]
    out += [entry.body for entry in entries]
    return b"".join(out)


def _entries(data: bytes) -> list[Stripped]:
    """Return what _columns wrote.

    Raises:
        FrameError: it wrote nothing of the kind.
    """
    reader = _Reader(data)
    count = reader.number(FRAME_LEAVES_MAX)
    if count == 0:
        raise FrameError("frame_malformed", "a frame without leaves")
    tags = [_tag(byte) for byte in reader.take(count)]
    changes = [tag for tag in tags if tag != Tag.RAW]
    writers = [reader.number(1 << 32) for _ in changes]
    steps = [_unzigzag(reader.number()) for _ in changes]
    times = list(itertools.accumulate(steps))
    clocks = [_clock(ms, reader.number(_COUNTER)) for ms in times]
    backs = [0 if Tag.NEW_DOCUMENT in tag else reader.number() for tag in changes]
    documents = [reader.take(16) if Tag.NEW_DOCUMENT in tag else b"" for tag in changes]
    deps = [
        tuple(reader.take(32) for _ in range(reader.number(64))) if Tag.OWN_DEPS in tag else ()
        for tag in changes
    ]
    actors = [reader.take(reader.number(1_000)) if Tag.OWN_ACTOR in tag else b"" for tag in changes]
    lengths = [reader.number(len(data)) for _ in tags]
    bodies = [reader.take(length) for length in lengths]
    reader.end()
    rows = iter(zip(writers, clocks, backs, documents, deps, actors, strict=True))
    found = []
    for tag, body in zip(tags, bodies, strict=True):
        if tag == Tag.RAW:
            found.append(Stripped(tag=tag, body=body))
            continue
        writer, hlc, back, document, own_deps, actor = next(rows)
        if back == 0 and Tag.NEW_DOCUMENT not in tag:
            raise FrameError("frame_malformed", "a leaf that builds on itself")
        found.append(
            Stripped(
                tag=tag,
                body=body,
                writer=writer,
                hlc=hlc,
                back=back,
                document=document,
                deps=own_deps,
                actor=actor,
            )
        )
    return found


def _tag(byte: int) -> Tag:
    if byte > 15 or (byte and not byte & Tag.CHANGE):
        raise FrameError("frame_malformed", f"unknown tag {byte}")
    return Tag(byte)


def _clock(ms: int, counter: int) -> int:
    if not 0 <= ms < 1 << 47:
        raise FrameError("frame_malformed", "a clock out of all bounds")
    return reading(ms, counter)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _unzigzag(number: int) -> int:
    return number >> 1 if not number & 1 else -((number + 1) >> 1)


class _Reader:
    """A cursor over the columns; whatever does not fit raises FrameError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, maximum: int = 1 << 60) -> int:
        value, self._at = read_uleb(self._data, self._at)
        if value > maximum:
            raise FrameError("frame_malformed", "a number is too large")
        return value

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise FrameError("frame_malformed", "the frame is cut off")
        self._at += size
        return taken

    def end(self) -> None:
        if self._at != len(self._data):
            raise FrameError("frame_malformed", "bytes follow the end of the frame")


def _compressor(dictionary: bytes, past: bytes) -> zstandard.ZstdCompressor:
    """Return a new one: the library crashes the process where two threads use one."""
    help_ = _together(dictionary, past) if past else _trained(dictionary)
    return zstandard.ZstdCompressor(dict_data=help_, compression_params=_PARAMETERS)


def _decompressor(dictionary: bytes, past: bytes) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(
        dict_data=_together(dictionary, past) if past else _trained(dictionary),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        max_window_size=_WINDOW_BYTES_MAX,
    )


@cache
def _trained(dictionary: bytes) -> zstandard.ZstdCompressionDict | None:
    """Return a dictionary made ready, which threads may share."""
    if not dictionary:
        return None
    made = zstandard.ZstdCompressionDict(dictionary)
    made.precompute_compress(compression_params=_PARAMETERS)
    return made


def _together(dictionary: bytes, past: bytes) -> zstandard.ZstdCompressionDict:
    """Return words to look back at: the dictionary's, then the past, which is nearest."""
    content = dictionary + past
    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


@cache
def dictionaries() -> dict[bytes, bytes]:
    """Return the dictionaries that this version knows by their SHA-256; the first is for writing.

    `scripts/train-dictionary` makes them.
    """
    folder = files("sync") / "dictionaries"
    found = [item.read_bytes() for item in folder.iterdir() if item.name.endswith(".zdict")]
    by_digest = {hashlib.sha256(data).digest(): data for data in found}
    return dict(sorted(by_digest.items(), key=lambda item: item[0] != _NEWEST))
