"""Goal: frames give back the very leaves, whatever those are, and refuse everything else in order.

Method: logs of real changes and of nonsense; histories that know all, little or nothing; hypothesis
alters, cuts and invents frames.
"""

import hashlib
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Noted, PersonJoined
from schemas.ids import document_text, event_id, mint_document_id
from schemas.limits import FRAME_BYTES_MAX, FRAME_LEAVES_MAX
from schemas.record import Leaf, decode_leaf
from sync.document import Edit
from sync.errors import FrameError
from sync.framing import Growing, dictionaries, pack, past_needed, unpack
from sync.past import PAST_BYTES_MAX, PAST_LEAVES_MAX
from sync.stripping import Tag, read_whole, strip
from sync.tokens import History
from tests.sync.builders import (
    CASE,
    COMMUNE,
    DOCUMENT,
    NEIGHBOUR,
    NOW,
    NOW_MS,
    LogBuilder,
    Pen,
    actor_of,
    place,
    writer_of,
)
from tests.sync.known import Known

DICTIONARY = zstandard.train_dictionary(
    1_024,
    [f'{{"follows":["{n}"],"type":"classified","title":"Đơn {n}"}}'.encode() for n in range(999)],
).as_bytes()


def story() -> list[bytes]:
    """Return a log in which two documents are made and worked on by two writers."""
    builder = LogBuilder(place(COMMUNE))
    lan, dung = writer_of(place(COMMUNE)), writer_of(place(COMMUNE), device=b"d" * 16, user="dung")
    builder.declare(1, lan).declare(2, dung)
    rng = random.Random(1)
    other = mint_document_id(NOW_MS, rng)
    first, second = Pen(), Pen(other)
    clock = NOW
    for number in range(12):
        clock += 1 << 20
        for pen, kind in ((first, "case"), (second, "person")):
            writer, who = ((lan, 1), (dung, 2))[(number + (kind == "person")) % 2]
            events: dict[str, str] = {
                event_id(clock, writer.device): Noted(text=f"Ghi chú số {number}").encode(),
                event_id(clock + 1, writer.device): PersonJoined(
                    person=document_text(other)
                ).encode(),
            }
            edit = Edit(
                kind=kind if not pen.changes else None,
                fields={"title": f"Vụ việc thứ {number}"},
                texts={"summary": "Thửa đất này gia đình tôi canh tác." * number},
                events=events,
            )
            change = pen.write(actor_of(writer, pen.document), edit)
            builder.change(change.raw, writer=who, document=pen.document, hlc=clock)
    return builder.leaves


STORY = story()


def packed(
    first_seq: int,
    leaves: Sequence[bytes],
    history: History,
    *,
    past: Sequence[bytes] = (),
    **how: Any,
) -> tuple[bytes, int]:
    """Return a frame with these leaves as its past, and how many it holds."""
    data, wholes = pack(first_seq, leaves, history, past=traces(past), **how)
    assert [whole.data for whole in wholes] == list(leaves[: len(wholes)])
    return data, len(wholes)


def traces(leaves: Sequence[bytes]) -> list[bytes]:
    return [read_whole(leaf).trace() for leaf in leaves]


def frames(leaves: Sequence[bytes], history: History, dictionary: bytes = b"") -> list[bytes]:
    made, seq = [], 0
    while seq < len(leaves):
        data, count = packed(seq, leaves[seq:], history, dictionary=dictionary)
        made.append(data)
        seq += count
    return made


@pytest.mark.parametrize("dictionary", [b"", DICTIONARY])
def test_a_log_goes_through_frames_and_comes_out_the_same(dictionary: bytes) -> None:
    received: list[bytes] = []
    sizes = []
    for data in frames(STORY, Known(STORY), dictionary):
        sizes.append(len(data))
        received += unpack(len(received), data, Known(received), dictionary=dictionary)
    assert received == STORY
    assert len(sizes) > 1
    assert max(sizes) <= FRAME_BYTES_MAX


def test_a_late_change_alone_is_small_and_builds_on_what_arrived() -> None:
    last = len(STORY) - 1
    data, count = packed(last, STORY[last:], Known(STORY))
    assert count == 1
    assert len(data) < len(STORY[last]) - 100
    assert unpack(last, data, Known(STORY[:last])) == STORY[last:]


def test_a_status_change_fits_the_byte_budget() -> None:
    builder = LogBuilder(place(COMMUNE)).declare(1, writer_of(place(COMMUNE)))
    pen, actor = Pen(), actor_of(writer_of(place(COMMUNE)))
    device = writer_of(place(COMMUNE)).device
    clock = NOW
    builder.change(pen.write(actor, CASE).raw, hlc=clock)
    closed = '{"document_number":"12/TB-UBND","follows":["%s"],"reason":"answered","type":"closed"}'
    clock += 1 << 40
    body = closed % event_id(NOW, device)
    builder.change(pen.write(actor, Edit(events={event_id(clock, device): body})).raw, hlc=clock)
    shipped = next(iter(dictionaries().values()))
    data, _ = packed(3, builder.leaves[3:], Known(builder.leaves), dictionary=shipped)
    assert len(data) <= 64
    back = unpack(3, data, Known(builder.leaves[:3]), dictionary=shipped)
    assert back == builder.leaves[3:]


def test_a_frame_whose_past_has_not_arrived_waits() -> None:
    last = len(STORY) - 1
    data, _ = packed(last, STORY[last:], Known(STORY))
    for known in (0, 3, last - 2):
        with pytest.raises(FrameError) as early:
            unpack(last, data, Known(STORY[:known]))
        assert early.value.code == "frame_early"


leaves = st.lists(
    st.one_of(
        st.sampled_from(STORY),
        st.binary(max_size=300),
        st.builds(
            lambda kind, writer, hlc, body: Leaf(
                type=kind, writer=writer, document=DOCUMENT, hlc=hlc, body=body
            ).encode(),
            st.integers(0, 255),
            st.integers(0, 5),
            st.integers(0, (1 << 63) - 1),
            st.binary(max_size=100),
        ),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(leaves, st.integers(0, len(STORY)))
def test_any_leaves_come_out_the_same(some: list[bytes], known: int) -> None:
    history = Known(STORY[:known])
    data, count = packed(known, some, history)
    assert unpack(known, data, history) == some[:count]


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("0123456789abcdef-ÿđ"), min_size=10, max_size=200)
    | st.binary(max_size=200)
)
def test_any_words_inside_a_change_come_out_the_same(words: str | bytes) -> None:
    writer = writer_of(place(COMMUNE))
    text = words if isinstance(words, str) else words.decode("latin-1")
    raw = Pen().write(actor_of(writer), Edit(kind="case", fields={"title": text})).raw
    builder = LogBuilder(place(COMMUNE)).declare(1, writer).change(raw)
    stripped, _ = strip(builder.leaves[2], 2, Known(builder.leaves))
    assert stripped.tag != Tag.RAW
    data, _ = packed(2, builder.leaves[2:], Known(builder.leaves))
    assert unpack(2, data, Known(builder.leaves[:2])) == builder.leaves[2:]


def readable(data: bytes) -> bool:
    try:
        unpack(5, data, Known(STORY[:5]))
    except FrameError as error:
        code = error.code
    else:
        return True
    assert code in ("frame_malformed", "frame_early")
    return False


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    readable(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
def test_an_altered_or_truncated_frame_never_does_more_than_be_refused(
    at: int, flip: int, is_plain: bool
) -> None:
    data, _ = packed(5, STORY[5:9], Known(STORY))
    if is_plain:
        # Altered before it was compressed, so that what stands behind zstd is reached too.
        opened = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
        plain = bytearray(opened.decompress(data[2:], max_output_size=1 << 20))
        plain[at % len(plain)] ^= flip
        parameters = zstandard.ZstdCompressionParameters(
            format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
        )
        again = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(plain))
        data = b"\x00\x00" + again
    else:
        changed = bytearray(data)
        changed[at % len(data)] ^= flip
        readable(data[: at % len(data)])
        data = bytes(changed)
    readable(data)


def test_a_frame_that_inflates_beyond_all_bounds_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(
        format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
    )
    bomb = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(100 << 20))
    assert len(bomb) < 20_000
    assert not readable(b"\x00\x00" + bomb)


def test_dictionaries_are_named_by_their_content() -> None:
    assert dictionaries()
    for digest, data in dictionaries().items():
        assert hashlib.sha256(data).digest() == digest
        assert len(data) <= 16 << 10


def test_a_frame_under_another_dictionary_is_refused() -> None:
    data, _ = packed(0, STORY[:4], Known([]), dictionary=DICTIONARY)
    with pytest.raises(FrameError):
        unpack(0, data, Known([]))


@pytest.mark.parametrize("size_max", [241, 292, 317, 327, 338])
def test_a_frame_of_several_leaves_is_never_longer_than_it_may_be(size_max: int) -> None:
    # It would go in parts, which the receiver takes for those of one leaf.
    for start in range(0, len(STORY), 3):
        data, count = packed(start, STORY[start:], Known(STORY), size_max=size_max)
        assert len(data) <= size_max or count == 1


@pytest.mark.parametrize("dictionary", [b"", DICTIONARY])
def test_leaves_before_a_frame_make_room_for_more_in_it(dictionary: bytes) -> None:
    start = len(STORY) // 2
    _, alone = packed(start, STORY[start:], Known(STORY), dictionary=dictionary, size_max=600)
    data, count = packed(
        start,
        STORY[start:],
        Known(STORY),
        dictionary=dictionary,
        past=STORY[:start],
        size_max=600,
    )
    assert len(data) <= 600
    assert count > alone
    needed, said = past_needed(data)
    assert said == count
    past = traces(STORY[start - needed : start])
    back = unpack(start, data, Known(STORY[:start]), dictionary=dictionary, past=past)
    assert back == STORY[start : start + count]
    for wrong in ([], past[1:], [*past, b"one more"]):
        with pytest.raises(FrameError):
            unpack(start, data, Known(STORY[:start]), dictionary=dictionary, past=wrong)


def test_a_past_has_bounds() -> None:
    long_ago = [STORY[-1]] * (2 * PAST_LEAVES_MAX)
    data, _ = packed(len(long_ago), STORY[:1], Known([]), past=long_ago)
    assert 0 < past_needed(data)[0] <= PAST_LEAVES_MAX
    huge = [bytes(PAST_BYTES_MAX), *STORY[:2]]
    data, _ = packed(3, STORY[3:5], Known(STORY), past=huge)
    assert past_needed(data)[0] == 2
    for claim in (b"", b"\x81", b"\xff\x7f\x01", b"\x01\x00", b"\x01\xff\x7f"):
        with pytest.raises(FrameError):
            past_needed(claim)


def test_a_foreign_actor_and_foreign_dependencies_are_sent_in_full() -> None:
    lan, stranger = writer_of(place(COMMUNE)), writer_of(place(NEIGHBOUR))
    pen = Pen()
    pen.write(actor_of(lan), CASE)
    change = pen.write(actor_of(stranger), Edit(fields={"title": "Của người khác"}))
    builder = LogBuilder(place(COMMUNE)).declare(1, lan).change(change.raw)
    stripped, _ = strip(builder.leaves[2], 2, Known(builder.leaves))
    foreign = Tag.NEW_DOCUMENT | Tag.OWN_DEPS | Tag.OWN_ACTOR
    assert stripped.tag & foreign == foreign
    data, _ = packed(2, builder.leaves[2:], Known(builder.leaves))
    assert unpack(2, data, Known(builder.leaves[:2])) == builder.leaves[2:]


def test_a_frame_holds_a_bounded_number_of_leaves() -> None:
    many = [Leaf(type=7, writer=1, document=b"", hlc=5, body=b"").encode()] * 2_000
    data, count = packed(0, many, Known([]))
    assert count <= FRAME_LEAVES_MAX
    assert unpack(0, data, Known([])) == many[:count]


def test_a_growing_history_knows_what_was_added() -> None:
    growing = Growing(Known(STORY[:1]), 1)
    for leaf in STORY[1:6]:
        growing.add(read_whole(leaf))
    assert growing.writer(2) is not None
    assert growing.previous(decode_leaf(STORY[3]).document, 6) == 5
    assert growing.leaf(4) == decode_leaf(STORY[4])
    assert growing.leaf(6) is None


def test_threads_pack_and_read_beside_each_other_without_a_crash() -> None:
    # The library's objects are not for two threads at once: sharing one killed the process.
    name, dictionary = next(iter(dictionaries().items()))
    assert name

    def work(number: int) -> list[bytes]:
        leaves = [*STORY[:3], _nonsense(number)]
        found = []
        for _ in range(150):
            data, count = packed(0, leaves, Known([]), dictionary=dictionary, size_max=1 << 20)
            assert count == len(leaves)
            found = unpack(0, data, Known([]), dictionary=dictionary)
        return found

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(16)))
    assert [leaves[-1] for leaves in found] == [_nonsense(number) for number in range(16)]


def _nonsense(number: int) -> bytes:
    return random.Random(number).randbytes(20_000)
