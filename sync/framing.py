"""Frames: consecutive leaves of a log in at most 1,200 bytes, stripped, in columns, compressed.

Layout: what it was packed with, the random parts of new document ids, which nothing makes smaller,
and the rest compressed with zstd, without its mark, sizes and checksum: what carries frames is
authenticated, and tree heads check the rest. Before compression: number of leaves, then each column
for all leaves: tags, writers, clocks (milliseconds as differences, counters), ways back to the
document's last change or its id, dependencies and actors that are not the usual ones, bodies,
outlines, texts.
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
from sync.change import Change, uleb
from sync.cursor import Cursor, read_uleb, unzigzag, zigzag
from sync.errors import FrameError
from sync.history import read_writer
from sync.outline import read_outlines
from sync.past import PAST_BYTES_MAX, PAST_LEAVES_MAX, Past
from sync.stripping import Stripped, Tag, Whole, is_timed, rebuild, strip
from sync.tokens import History

# Higher levels take four times as long for one byte in fifty.
_LEVEL: Final = 12
# What we write with; the others in the folder are for reading.
_NEWEST: Final = bytes.fromhex("f84f31ecfa884b194e935e45dcf521b8fdd768af25b352895124cd6270c5c44d")
_COUNTER: Final = 0xFFFF
# How many leaves of the past, and how many in the frame.
_HEAD_BYTES_MAX: Final = 4
# The largest leaf alone, with its columns.
_INFLATED_BYTES_MAX: Final = LEAF_BYTES_MAX + 4_096
_WINDOW_BYTES_MAX: Final = 2 << 20
# What leaves shrink to at first guess.
_RATIO: Final = 0.2
_TRIES: Final = 4
# Of what would fit if all leaves were alike.
_CAREFUL: Final = 0.97
_PARAMETERS: Final = zstandard.ZstdCompressionParameters.from_level(
    _LEVEL,
    format=zstandard.FORMAT_ZSTD1_MAGICLESS,
    write_content_size=False,
    write_dict_id=False,
)
_TAGS_MAX: Final = 2 * Tag.OTHER_ID - 1
# Of a UUID of version 7, its time in milliseconds, and the rest.
_TIME_BYTES: Final = 6
_RANDOM_BYTES: Final = 10


class Growing:
    """A history that goes on with the leaves of a frame."""

    def __init__(self, base: History, first_seq: int) -> None:
        """Continue a history from a leaf on."""
        self._base = base
        self._first_seq = first_seq
        self._wholes: list[Whole] = []
        self._writers: dict[int, Writer] = {}
        self._documents: dict[bytes, int] = {}

    def add(self, whole: Whole) -> None:
        """Add the next leaf."""
        leaf = whole.leaf
        if leaf is not None and leaf.type == LeafType.WRITER:
            writer = read_writer(leaf)
            if writer is not None:
                self._writers.setdefault(leaf.writer, writer)
        elif leaf is not None and leaf.type == LeafType.CHANGE:
            self._documents[leaf.document] = self._first_seq + len(self._wholes)
        self._wholes.append(whole)

    def leaf(self, seq: int, /) -> Leaf | None:
        """Return a leaf before or of this frame."""
        if seq < self._first_seq:
            return self._base.leaf(seq)
        index = seq - self._first_seq
        return self._wholes[index].leaf if index < len(self._wholes) else None

    def change(self, seq: int, /) -> Change | None:
        """Return the change in a leaf of this frame, if it was seen on the way."""
        index = seq - self._first_seq
        return self._wholes[index].change if 0 <= index < len(self._wholes) else None

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
    likely: int | None = None,
    size_max: int = FRAME_BYTES_MAX,
) -> tuple[bytes, list[Whole]]:
    """Return a frame of the first leaves, as many as fit, and those leaves; at least one.

    A leaf that is too large by itself makes a frame that is too large.

    Args:
        first_seq: number of the first leaf.
        leaves: from there on, more than will fit.
        history: of the log.
        dictionary: that the receiver has.
        past: traces of the leaves right before; two or three times as many leaves then fit.
        likely: how many leaves will fit; None: not known.
        size_max: bytes of the frame.
    """
    past = _near(past)
    size_max -= _HEAD_BYTES_MAX if past else 1
    growing = Growing(history, first_seq)
    stripped: list[Stripped] = []
    wholes: list[Whole] = []
    compressor = _compressor(dictionary, b"".join(past))

    def frame(count: int) -> bytes:
        for offset, leaf in enumerate(leaves[len(stripped) : count], len(stripped)):
            entry, whole = strip(leaf, first_seq + offset, growing)
            stripped.append(entry)
            wholes.append(whole)
            growing.add(whole)
        entries = stripped[:count]
        return _born(entries) + compressor.compress(columns(entries))

    count = likely or _guess(leaves, size_max)
    count = min(count, len(leaves), FRAME_LEAVES_MAX)
    best: tuple[bytes, int] | None = None
    ceiling = len(leaves) + 1
    for _ in range(_TRIES):
        data = frame(count)
        if len(data) <= size_max or count == 1:
            best = (data, count)
        else:
            ceiling = count
        wanted = max(1, int(count * size_max / len(data) * _CAREFUL))
        floor = best[1] if best else 0
        wanted = min(max(wanted, floor + 1), ceiling - 1, FRAME_LEAVES_MAX)
        if wanted <= floor:
            break
        count = wanted
    data, count = best or (frame(1), 1)
    head = uleb(len(past)) + uleb(count) if past else b"\x00"
    return head + data, wholes[:count]


def _near(traces: Sequence[bytes]) -> Sequence[bytes]:
    """Return the last of some traces, as many as help."""
    total, count = 0, 0
    for trace in reversed(traces[-PAST_LEAVES_MAX:]):
        total += len(trace)
        if total > PAST_BYTES_MAX:
            break
        count += 1
    return traces[len(traces) - count :]


def _guess(leaves: Sequence[bytes], size_max: int) -> int:
    total, sizes = 0.0, itertools.accumulate(len(leaf) * _RATIO for leaf in leaves)
    for count, total in enumerate(sizes, start=1):
        if total > size_max:
            return count
    return len(leaves)


def _born(entries: Sequence[Stripped]) -> bytes:
    """Return how many new documents have an id of version 7, and the random parts of those ids."""
    ids = [entry.document[_TIME_BYTES:] for entry in entries if _is_born(entry.tag)]
    return uleb(len(ids)) + b"".join(ids)


def _is_born(tag: int) -> bool:
    return tag & (Tag.NEW_DOCUMENT | Tag.OTHER_ID) == Tag.NEW_DOCUMENT


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
        past: traces of the leaves right before it, as many as past_needed says.

    Raises:
        FrameError: it is no frame.
    """
    needed, count = past_needed(data)
    if len(past) != needed or sum(map(len, past)) > PAST_BYTES_MAX:
        raise FrameError("frame_malformed", "a frame with another past")
    cursor = Cursor(data)
    for _ in (needed, count) if needed else (needed,):
        cursor.number()
    born = [cursor.take(_RANDOM_BYTES) for _ in range(cursor.number(FRAME_LEAVES_MAX))]
    entries = _entries(_inflate(cursor.rest(), dictionary, b"".join(past)), born)
    if needed and len(entries) != count:
        raise FrameError("frame_malformed", "a frame that does not hold what it says")
    return entries


def read_after(past: Past, first_seq: int, data: bytes, dictionary: bytes) -> list[Stripped]:
    """Return the leaves in a frame as they were sent, in a log with such a past.

    Raises:
        FrameError: it is no frame, or its past has not come (`frame_early`).
    """
    needed, _ = past_needed(data)
    if needed > first_seq:
        raise FrameError("frame_malformed", "a frame with more past than there is")
    traces = past.before(first_seq, needed) if needed else []
    if len(traces) < needed:
        raise FrameError("frame_early", "the leaves before the frame have not arrived")
    return read_frame(data, dictionary, traces)


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
    entries = read_frame(data, dictionary, past)
    return [whole.data for whole in restore(first_seq, entries, history)]


def restore(first_seq: int, entries: Sequence[Stripped], history: History) -> list[Whole]:
    """Return the leaves of a frame that was read.

    Raises:
        FrameError: they are none, or build on leaves that have not arrived (`frame_early`).
    """
    growing = Growing(history, first_seq)
    wholes: list[Whole] = []
    for seq, stripped in enumerate(entries, first_seq):
        whole = rebuild(stripped, seq, growing)
        if len(whole.data) > LEAF_BYTES_MAX:
            raise FrameError("frame_malformed", "a leaf is too long")
        wholes.append(whole)
        growing.add(whole)
    return wholes


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
    news = [entry for entry in changes if entry.tag & Tag.NEW_DOCUMENT]
    old = [entry for entry in changes if not entry.tag & Tag.NEW_DOCUMENT]
    times = [reading_ms(entry.hlc) for entry in changes]
    out = [uleb(len(entries)), bytes(entry.tag for entry in entries)]
    out += [uleb(entry.writer) for entry in changes]
    out += [uleb(zigzag(ms - before)) for before, ms in itertools.pairwise([0, *times])]
    out += [uleb(entry.hlc & _COUNTER) for entry in changes]
    out += [uleb(entry.back) for entry in old]
    out += [_document(entry) for entry in news]
    out += [
        uleb(len(entry.deps)) + b"".join(entry.deps)
        for entry in changes
        if entry.tag & Tag.OWN_DEPS
    ]
    out += [uleb(len(entry.actor)) + entry.actor for entry in changes if entry.tag & Tag.OWN_ACTOR]
    plain = [entry for entry in entries if not entry.tag & Tag.OUTLINE]
    out += [uleb(len(entry.body)) for entry in plain]
    out += [entry.body for entry in plain]
    out += [entry.written[0] for entry in entries]
    out += [entry.written[1] for entry in entries]
    return b"".join(out)


def _document(entry: Stripped) -> bytes:
    """Return what stands in the columns of a new document's id: how far its time is off, or all."""
    if not _is_born(entry.tag):
        return entry.document
    ms = int.from_bytes(entry.document[:_TIME_BYTES], "big")
    return uleb(zigzag(ms - reading_ms(entry.hlc)))


def _entries(data: bytes, born: Sequence[bytes]) -> list[Stripped]:
    """Return what _columns wrote.

    Raises:
        FrameError: it wrote nothing of the kind.
    """
    cursor = Cursor(data)
    count = cursor.number(FRAME_LEAVES_MAX)
    if count == 0:
        raise FrameError("frame_malformed", "a frame without leaves")
    tags = [_tag(byte) for byte in cursor.take(count)]
    changes = [tag for tag in tags if tag != Tag.RAW]
    writers = [cursor.number(1 << 32) for _ in changes]
    steps = [unzigzag(cursor.number()) for _ in changes]
    times = list(itertools.accumulate(steps))
    clocks = [_clock(ms, cursor.number(_COUNTER)) for ms in times]
    backs = [0 if tag & Tag.NEW_DOCUMENT else cursor.number() for tag in changes]
    documents = _documents(cursor, changes, times, born)
    deps = [
        tuple(cursor.take(32) for _ in range(cursor.number(64))) if tag & Tag.OWN_DEPS else ()
        for tag in changes
    ]
    actors = [cursor.take(cursor.number(1_000)) if tag & Tag.OWN_ACTOR else b"" for tag in changes]
    plain = [tag for tag in tags if not tag & Tag.OUTLINE]
    lengths = [cursor.number(len(data)) for _ in plain]
    bodies = iter([cursor.take(length) for length in lengths])
    bare = read_outlines(cursor, sum(1 for tag in changes if tag & Tag.OUTLINE))
    outlines = iter([(one, tuple(cursor.text() for _ in range(one.texts_behind))) for one in bare])
    cursor.end()
    rows = iter(zip(writers, clocks, backs, documents, deps, actors, strict=True))
    found = []
    for tag in tags:
        if tag == Tag.RAW:
            found.append(Stripped(tag=tag, body=next(bodies)))
            continue
        writer, hlc, back, document, own_deps, actor = next(rows)
        if back == 0 and not tag & Tag.NEW_DOCUMENT:
            raise FrameError("frame_malformed", "a leaf that builds on itself")
        outline, texts = next(outlines) if tag & Tag.OUTLINE else (None, ())
        found.append(
            Stripped(
                tag=tag,
                body=b"" if outline else next(bodies),
                writer=writer,
                hlc=hlc,
                back=back,
                document=document,
                deps=own_deps,
                actor=actor,
                outline=outline,
                texts=texts,
            )
        )
    return found


def _documents(
    cursor: Cursor, changes: Sequence[int], times: Sequence[int], born: Sequence[bytes]
) -> list[bytes]:
    """Return the ids of new documents, nothing for the others."""
    rest, documents = iter(born), []
    for tag, ms in zip(changes, times, strict=True):
        if _is_born(tag):
            ms += unzigzag(cursor.number())
            random = next(rest, None)
            if random is None or not 0 <= ms < 1 << 8 * _TIME_BYTES:
                raise FrameError("frame_malformed", "a document without an id")
            documents.append(ms.to_bytes(_TIME_BYTES, "big") + random)
            if not is_timed(documents[-1]):
                raise FrameError("frame_malformed", "an id of another version")
        else:
            documents.append(cursor.take(16) if tag & Tag.NEW_DOCUMENT else b"")
    if next(rest, None) is not None:
        raise FrameError("frame_malformed", "an id without a document")
    return documents


def _tag(byte: int) -> int:
    if byte > _TAGS_MAX or (byte and not byte & Tag.CHANGE):
        raise FrameError("frame_malformed", f"unknown tag {byte}")
    return byte


def _clock(ms: int, counter: int) -> int:
    if not 0 <= ms < 1 << 47:
        raise FrameError("frame_malformed", "a clock out of all bounds")
    return reading(ms, counter)


def _compressor(dictionary: bytes, past: bytes) -> zstandard.ZstdCompressor:
    """Return a new one: the library crashes the process where two threads use one."""
    help_ = _together(dictionary, past) if past else _trained(dictionary)
    if past and help_ is not None:
        # Several tries are made with it.
        help_.precompute_compress(compression_params=_PARAMETERS)
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
