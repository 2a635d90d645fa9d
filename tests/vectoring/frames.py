"""Sections 7.2 and 7.3: packed frames, what is left out of leaves, and parts."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

import zstandard

from schemas.ids import document_text, event_id
from schemas.limits import FRAME_BYTES_MAX
from sync.change import uleb
from sync.cursor import Cursor
from sync.document import Edit
from sync.errors import FrameError
from sync.framing import columns, dictionaries, pack, past_needed, unpack
from sync.stripping import Stripped, Tag, read_whole, strip
from tests.sync.builders import (
    COMMUNE,
    DOCUMENT,
    NOW,
    LogBuilder,
    Pen,
    actor,
    actor_of,
    device,
    logs,
    noise,
    place,
    writer_of,
)
from tests.sync.chunks import Op, chunk
from tests.sync.known import Known
from tests.vectoring.layout import Earlier
from tests.vectoring.world import document, log_of_the_commune

FORMAT: Final = zstandard.FORMAT_ZSTD1_MAGICLESS
CASE_OF_NOISE: Final = Edit(kind="case", texts={"summary": noise(1_800, 1)})
NEWEST: Final = next(iter(dictionaries().items()))


def inflate(frame: bytes, dictionary: bytes, past: Sequence[bytes]) -> bytes:
    """Return the columns of a frame with any zstd."""
    cursor = Cursor(frame)
    if cursor.number():
        cursor.number()
    cursor.take(10 * cursor.number())
    packed = cursor.rest()
    help_ = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if past:
        raw = zstandard.DICT_TYPE_RAWCONTENT
        help_ = zstandard.ZstdCompressionDict(dictionary + b"".join(past), dict_type=raw)
    opener = zstandard.ZstdDecompressor(dict_data=help_, format=FORMAT, max_window_size=2 << 20)
    with opener.stream_reader(packed) as stream:
        return stream.read(1 << 21)


def frames(earlier: Earlier) -> Any:
    """Return a log in frames of every sort; first and count say which leaves a frame holds."""
    log = log_of_the_commune()
    last = len(log) - 1
    cases: list[tuple[str, int, int, bool, int]] = [
        ("the first leaves", 0, last + 1, False, 0),
        ("one late leaf", last, 1, False, 0),
        ("one late leaf, with the dictionary", last, 1, True, 0),
        ("with the past", 5, last - 4, False, 5),
        ("with a part of the past", 5, last - 4, False, 2),
        ("with the dictionary and the past", 5, last - 4, True, 5),
    ]
    found = []
    for number, (what, first, count, is_helped, past) in enumerate(cases):
        dictionary = NEWEST[1] if is_helped else b""
        before = traces(log[first - past : first])
        made, wholes = pack(
            first, log[first : first + count], Known(log), dictionary=dictionary, past=before
        )

        def read(data: bytes, dictionary: bytes = dictionary, past: Any = before) -> Any:
            return past_needed(data), inflate(data, dictionary, past)

        kept = earlier.keep(("frames", number, "frame"), made, read)
        found.append(
            {
                "columns": read(kept)[1],
                "count": len(wholes),
                "dictionary": NEWEST[0] if is_helped else b"",
                "first": first,
                "frame": kept,
                "past": past,
                "what": what,
            }
        )
    return {
        "frames": found,
        "log": log,
        "parts": parts(earlier),
        "refused": list(refused()),
        "traces": traces(log),
    }


def traces(leaves: Sequence[bytes]) -> list[bytes]:
    """Return what later frames look back at of each leaf."""
    return [read_whole(leaf).trace() for leaf in leaves]


def parts(earlier: Earlier) -> Any:
    """Return a leaf that is too long for a frame, in parts."""
    builder = logs(COMMUNE)[COMMUNE]
    draft = Pen()
    builder.change(draft.write(actor(COMMUNE), CASE_OF_NOISE).raw)
    *before, leaf = builder.leaves
    made, _ = pack(2, [leaf], Known(before))
    kept = earlier.keep(("parts", "frame"), made, lambda data: unpack(2, data, Known(before)))
    return {
        "before": before,
        "frame": kept,
        "leaf": leaf,
        "parts": [
            {"data": kept[at : at + FRAME_BYTES_MAX], "offset": at, "total": len(kept)}
            for at in range(0, len(kept), FRAME_BYTES_MAX)
        ],
    }


def stripping(_: Earlier) -> Any:
    """Return leaves with what is left of them, token by token and tag by tag."""
    log, whats = odd_log()
    known = Known(log)
    return {
        "log": log,
        "stripped": [
            {
                "body": each.body,
                "outline": each.written[0],
                "seq": seq,
                "tag": each.tag,
                "texts": each.written[1],
                "what": what,
            }
            for seq, what in whats.items()
            for each, _ in (strip(log[seq], seq, known),)
        ],
    }


def odd_log() -> tuple[list[bytes], dict[int, str]]:
    """Return a log in which each leaf uses one token or tag, and what it uses."""
    builder = logs(COMMUNE)[COMMUNE]
    other, stranger = document(7), document(8)
    whats: dict[int, str] = {}

    def add(what: str, raw: bytes, where: bytes = DOCUMENT, hlc: int = NOW) -> None:
        whats[len(builder.leaves)] = what
        builder.change(raw, document=where, hlc=hlc)

    own = writer_of(place(COMMUNE))
    first = chunk([Op(key="kind", value="case")], actor=actor(COMMUNE))
    add("the first change of a document", first)
    add("of another document", chunk([Op(key="a", value="b")], actor=actor_of(own, other)), other)
    tails = {
        "FF 00": b"\xff",
        "FF 01": event_id(NOW + 9, device(COMMUNE)).encode(),
        "FF 02": event_id(NOW + 9, device(COMMUNE)).encode(),
        "FF 03, of itself": document_text(DOCUMENT).encode(),
        "FF 03, of another": document_text(other).encode(),
        "FF 04": document_text(stranger).encode(),
        "FF 05": event_id(NOW, b"\xab" * 16).encode(),
        "FF 06": sha256(b"a file").hexdigest().encode(),
        "capitals are no token": sha256(b"a file").hexdigest().upper().encode(),
    }
    clock = NOW
    for number, (what, tail) in enumerate(tails.items()):
        earlier = sha256(builder_body(builder)).digest()
        clock = NOW + 7 if what == "FF 01" else NOW + (number << 20)
        raw = chunk(
            [Op(key="n", value=number)],
            actor=actor(COMMUNE),
            seq=number + 2,
            start_op=number + 2,
            deps=[earlier],
            tail=tail,
        )
        add(what, raw, hlc=clock)
    add(
        "dependencies that are not the usual ones",
        chunk([], actor=actor(COMMUNE), deps=[b"d" * 32]),
    )
    add("an actor that is not the usual one", chunk([], actor=b"somebody"))
    add("no change at all", b"no change at all")
    return builder.leaves, whats


def builder_body(builder: LogBuilder) -> bytes:
    """Return what the last change of DOCUMENT is hashed over: its chunk without 8 bytes."""
    known = Known(builder.leaves)
    seq = known.previous(DOCUMENT, len(builder.leaves))
    assert seq is not None
    leaf = known.leaf(seq)
    assert leaf is not None
    return leaf.body[8:]


def compressed(data: bytes) -> bytes:
    """Return a frame without past around columns; what no zstd changes, as its block is raw."""
    assert len(data) < 256
    # No past, no born document; a frame with the window of 1 KiB, and one raw block, the last.
    return b"\0\0" + bytes([0, 0]) + (1 | len(data) << 3).to_bytes(3, "little") + data


def refused() -> Iterator[dict[str, Any]]:
    """Yield frames that nobody may read, or not yet, after the first two leaves of the log."""
    log = log_of_the_commune()[:2]
    raw = Stripped(tag=Tag.RAW, body=b"leaf")
    change = token(b"")
    whole = columns([raw])
    assert unpack(2, compressed(whole), Known(log)) == [b"leaf"]
    bad = {
        "nothing": b"",
        "a past of 257 leaves": uleb(257) + uleb(1) + compressed(whole)[1:],
        "a count of 513 leaves": uleb(1) + uleb(513) + compressed(whole)[1:],
        "not zstd": b"\0\0" + b"not zstd",
        "zstd with its mark": b"\0\0\x28\xb5\x2f\xfd" + compressed(whole)[2:],
        "an id without a document": b"\0\1" + bytes(10) + compressed(whole)[2:],
        "a document without an id": compressed(
            uleb(1) + b"\3" + uleb(1) + uleb(0) + uleb(0) + uleb(0) + uleb(0)
        ),
        "an id of another version": b"\0\1"
        + bytes(10)
        + compressed(uleb(1) + b"\3" + uleb(1) + uleb(0) + uleb(0) + uleb(0) + uleb(0))[2:],
        "no leaves": compressed(uleb(0)),
        "513 leaves": compressed(uleb(513)),
        "tag 2 without 1": compressed(uleb(1) + b"\2"),
        "tag 16 without 1": compressed(uleb(1) + b"\x10"),
        "tag 64": compressed(uleb(1) + b"\x41"),
        "cut short": compressed(whole[:-1]),
        "a byte more": compressed(whole + b"\0"),
        "a number of 11 bytes": compressed(b"\x80" * 10 + b"\0"),
        "a leaf that builds on itself": compressed(uleb(1) + b"\1" + uleb(1) + bytes(5)),
        "a counter of 17 bits": compressed(
            uleb(1) + b"\x23" + uleb(1) + uleb(0) + uleb(1 << 16) + DOCUMENT + uleb(0)
        ),
        "an unknown token": compressed(columns([token(b"\xff\x07")])),
        "half a token": compressed(columns([token(b"\xff\x05" + bytes(11))])),
        "a token of an earlier leaf where there is none": compressed(
            columns([token(b"\xff\x02\0")])
        ),
        "a writer that was not declared": compressed(columns([change._replace(writer=9)])),
        "a leaf of the document that has not come": compressed(
            columns([change._replace(tag=Tag.CHANGE, back=3, document=b"")])
        ),
        **{what: compressed(columns([outlined(*said)])) for what, said in BAD_OUTLINES.items()},
    }
    for what, data in bad.items():
        yield {"frame": data, "reason": reason(log, data), "what": what}


def token(body: bytes) -> Stripped:
    """Return a stripped change with this rest."""
    tag = Tag.CHANGE | Tag.NEW_DOCUMENT | Tag.OTHER_ID
    return Stripped(tag=tag, body=body, writer=1, hlc=NOW, document=DOCUMENT)


def outlined(steps: bytes, texts: bytes = b"") -> Stripped:
    """Return a stripped change with this outline, from its number of steps on."""
    tag = Tag.CHANGE | Tag.NEW_DOCUMENT | Tag.OTHER_ID | Tag.OUTLINE
    written = b"\1\0\0" + steps, texts
    return Stripped(tag=tag, writer=1, hlc=NOW, document=DOCUMENT, written=written)


# Steps on the text that operation 5 made: letters are typed (8) or removed (9).
BAD_OUTLINES: Final = {
    "no steps": (b"\0",),
    "an unknown step": (b"\1\x0a\1\5\0",),
    "letters typed into nothing": (b"\1\x08\0\0", b"a\0"),
    "no letters typed": (b"\1\x08\1\5\0", b"\0"),
    "half a letter typed": (b"\1\x08\1\5\0", b"\xc4\0"),
    "typed in two steps what is one": (b"\2\x08\1\5\0\x08\1\5\1\1", b"a\0b\0"),
    "removed in two steps what is one": (b"\2\x09\1\5\1\7\1\x09\1\5\1\x08\1",),
    "200,001 letters removed": (b"\1\x09\1\5\1\7" + uleb(200_001),),
    "a text without its end": (b"\1\1\1\2a\0\6\0", b"a"),
    "a text with its length": (b"\1\1\1\2a\0\x16a\0",),
}


def reason(log: Sequence[bytes], data: bytes) -> str:
    """Return why a frame cannot be read after these leaves.

    Raises:
        AssertionError: it can.
    """
    try:
        needed, _ = past_needed(data)
        unpack(len(log), data, Known(log), past=log[len(log) - needed :] if needed else ())
    except FrameError as error:
        return error.code
    raise AssertionError("a frame that nobody may read was read")
