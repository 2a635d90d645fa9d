"""Goal: an outline gives back the very change, is short, and a peer's nonsense is refused in order.

Method: changes that the binding makes, of texts that hypothesis edits; outlines that are altered or
invented; leaves of every kind, whose traces must not depend on how they came.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.limits import CHANGE_OPS_MAX
from schemas.record import decode_leaf
from sync.change import Change, parse_change, uleb
from sync.cursor import Cursor
from sync.document import Edit
from sync.errors import ChangeError, FrameError
from sync.outline import Outline, Put, Removed, Step, Typed, read_outlines, write_outline
from sync.outlined import Chunk, change_of
from sync.outlining import columns_of, contents_of, known_of, outline_of
from sync.past import PAST_LEAVES_MAX, Past
from sync.plain import plain_texts
from sync.registers import Registers
from sync.stripping import read_whole
from tests.sync.builders import CASE, COMMUNE, LogBuilder, Pen, actor_of, noise, place, writer_of
from tests.sync.chunks import sealed

LAN = writer_of(place(COMMUNE))
DUNG = writer_of(place(COMMUNE), device=b"d" * 16, user="dung")


def log_of(*edits: Edit) -> list[bytes]:
    """Return a log in which two people make these edits of one case in turn."""
    builder = LogBuilder(place(COMMUNE)).declare(1, LAN).declare(2, DUNG)
    pen = Pen()
    for number, edit in enumerate((CASE, *edits)):
        writer = (LAN, DUNG)[number % 2]
        change = pen.write(actor_of(writer), edit)
        builder.change(change.raw, writer=1 + number % 2, hlc=(1 << 40) + number)
    return builder.leaves


def as_sent(outline: Outline) -> Outline:
    """Return an outline after its way through a frame."""
    written, behind = write_outline(outline, lambda text: text)
    (bare,) = read_outlines(Cursor(written), 1)
    cursor = Cursor(behind)
    texts = [cursor.text() for _ in range(bare.texts_behind)]
    cursor.end()
    return bare.filled(texts, lambda text: text)


def taken(outline: Outline) -> bytes:
    """Return the change that a receiver makes of an outline."""
    outline.check()
    return contents_of(outline)


words = st.text(alphabet="aăâđ ếự\n😀0f-", max_size=30)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_every_change_that_we_make_has_an_outline_and_comes_out_the_same(
    told: list[tuple[str, str]],
) -> None:
    edits = [
        Edit(fields={"title": f"{number} {title}"}, texts={"summary": text})
        for number, (title, text) in enumerate(told)
    ]
    for data in log_of(*edits)[3:]:
        outline = read_whole(data).outline
        assert outline is not None
        change = parse_change(decode_leaf(data).body)
        rest = contents_of(as_sent(outline))
        assert change.raw.endswith(rest)
        assert outline_of(rest) == outline
        assert known_of(change.actor, rest) == (change.last_op, change.actors)
        related = outline.related((change.start_op + 5, change.actors))
        assert related.resolved((change.start_op + 5, change.actors)) == outline


def read_both_ways(outline: Outline, chunk: bytes) -> tuple[Change, Change | None]:
    """Return what the columns of a change say, and what is taken from its outline."""
    read = parse_change(chunk)
    rest = Chunk(chunk, read.hash, read.deps, read.actor)
    return read, change_of(outline, columns_of(outline), rest)


def check_the_same(read: Change, known: Change | None) -> None:
    assert known is not None
    letters = tuple(some._replace(metas=list(some.metas)) for some in known.letters)
    columns = known.columns if known.letters else read.columns
    assert known._replace(typed=None, letters=letters, columns=columns) == read
    first = Registers()
    assert plain_texts(first, known) == plain_texts(first, read)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(words, words), max_size=4))
def test_what_we_write_is_known_from_its_outline_alone(told: list[tuple[str, str]]) -> None:
    edits = [
        Edit(fields={"title": title or None, "year": number}, texts={"summary": text})
        for number, (title, text) in enumerate(told)
    ]
    for data in log_of(*edits)[3:]:
        outline = read_whole(data).outline
        assert outline is not None
        read, known = read_both_ways(outline, decode_leaf(data).body)
        check_the_same(read, known)


def test_letters_that_were_typed_in_a_row_are_one_step() -> None:
    long, rewritten = noise(400, 1), noise(300, 2)
    edits = [Edit(texts={"summary": long}), Edit(texts={"summary": long[:100] + rewritten})]
    first, second = (read_whole(data).outline for data in log_of(*edits)[4:])
    assert first is not None
    assert [type(step) for step in first.steps] == [Typed]
    assert second is not None
    assert {type(step) for step in second.steps} == {Typed, Removed}
    assert len(write_outline(first, lambda text: text)[0]) <= 32


MAP, TEXT_OF = (0, 3), (0, 9)
Values = Sequence[tuple[int, bytes]]
TEXTS: Values = [(6, text) for text in (b"", b"a", "ự".encode())]
# Nothing, truth, numbers, bytes, a counter, and kinds that there are not.
VALUES: Values = [
    *TEXTS,
    *((kind | len(data) << 4, data) for kind in range(16) if kind != 6 for data in (b"", b"\x05")),
]


def outlines_of(
    refs: st.SearchStrategy[tuple[int, int]], actions: Sequence[int], values: Values
) -> st.SearchStrategy[Outline]:
    """Return outlines that refer to such operations."""
    steps = st.one_of(
        st.builds(
            lambda target, action, key, value, over: Put(
                target, action, key, value[0], value[1], over
            ),
            st.none() | refs,
            st.sampled_from(actions),
            st.sampled_from([b"title", b"", "đơn".encode()]),
            st.sampled_from(values),
            st.lists(refs, max_size=2).map(tuple),
        ),
        st.builds(Typed, refs, st.none() | refs, st.sampled_from([b"a", "ựx".encode(), b"mmm"])),
        st.builds(Removed, refs, refs, st.integers(1, 300)),
    )
    return st.builds(
        lambda seq, before, some: Outline(
            seq=seq, before=before, actors=(b"a" * 16,), steps=tuple(some)
        ),
        st.integers(1, 300),
        st.integers(0, 300),
        st.lists(steps, max_size=8),
    )


outlines = outlines_of(st.tuples(st.integers(0, 3), st.integers(0, 200)), range(8), VALUES)
usual = outlines_of(st.tuples(st.integers(0, 1), st.integers(0, 9)), [0, 1, 3, 4], TEXTS)


@settings(max_examples=200, deadline=None)
@given(outlines)
def test_an_outline_that_is_taken_is_the_one_that_its_change_has(outline: Outline) -> None:
    assert as_sent(outline) == outline
    try:
        outline.check()
    except FrameError:
        # What could be said in fewer steps: no change has it.
        assert outline_of(contents_of(outline)) != outline
        return
    assert outline_of(contents_of(outline)) == outline


@settings(max_examples=400, deadline=None)
@given(
    outlines | usual,
    st.just([b"b"]) | st.lists(st.binary(max_size=2), max_size=3),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    st.binary(max_size=2),
)
def test_whatever_an_outline_says_its_columns_say_too(
    outline: Outline, actors: list[bytes], deps: list[bytes], actor: bytes
) -> None:
    outline = outline._replace(actors=tuple(actors))
    try:
        outline.check()
    except FrameError:
        return
    body = b"".join([uleb(len(deps)), *deps, uleb(len(actor)), actor, contents_of(outline)])
    try:
        read, known = read_both_ways(outline, sealed(body))
    except ChangeError:
        rest = Chunk(b"", b"", tuple(deps), actor)
        assert change_of(outline, columns_of(outline), rest) is None
    else:
        check_the_same(read, known)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 59), st.integers(1, 255))
def test_no_bytes_in_place_of_an_outline_do_more_than_be_refused(
    tail: bytes, at: int, flip: int
) -> None:
    outline = read_whole(log_of(Edit(fields={"title": "Đơn"}))[-1]).outline
    assert outline is not None
    written = bytearray(write_outline(outline, lambda text: text)[0] + tail)
    written[at % len(written)] ^= flip
    for data in (bytes(written), tail):
        try:
            for bare in read_outlines(Cursor(data), 1):
                whole = bare.filled([b"x"] * bare.texts_behind, lambda text: text).resolved((3, ()))
                whole.check()
                contents_of(whole)
        except FrameError:
            continue


@pytest.mark.parametrize(
    "step",
    [
        Removed(TEXT_OF, (0, 1), CHANGE_OPS_MAX + 1),
        Typed(TEXT_OF, None, b""),
        Typed(TEXT_OF, None, b"\x80"),
        Typed(TEXT_OF, None, b"a\x00b"),
        Put(MAP, 8, b"k", 6, b"", ()),
        Put(MAP, 1, b"k", 0x16, b"a", ()),
        Put(MAP, 1, b"\xc3", 6, b"", ()),
        Put((300, 1), 1, b"k", 6, b"", ()),
        Put(MAP, 1, b"k", 6, b"", ((0, -1),)),
    ],
)
def test_a_step_that_no_change_can_have_is_refused(step: Step) -> None:
    with pytest.raises(FrameError):
        taken(Outline(seq=1, before=0, actors=(), steps=(step,)))


def test_a_trace_does_not_depend_on_how_a_leaf_came() -> None:
    leaves = log_of(*[Edit(fields={"title": f"Đơn {number}"}) for number in range(300)])
    reads: list[tuple[int, int]] = []

    def read(start: int, end: int) -> list[bytes]:
        reads.append((start, end))
        return leaves[start:end]

    warm, cold = Past(read), Past(lambda start, end: leaves[start:end])
    warm.before(50)
    for start in range(50, 300, 10):
        warm.add(start, [read_whole(leaf) for leaf in leaves[start : start + 10]])
    assert reads == [(0, 50)]
    assert warm.before(300, 20) == cold.before(300, 20)
    assert warm.before(300) == cold.before(300)
    assert len(cold.before(300)) == PAST_LEAVES_MAX
    assert reads == [(0, 50)], "what is held is not read again"


def test_a_past_that_has_not_come_is_none() -> None:
    leaves = log_of(Edit(fields={"title": "Đơn"}))
    past = Past(lambda start, end: leaves[start : min(end, 3)])
    assert past.before(4) == []
    past.add(4, [read_whole(leaves[0])])
    assert past.before(3) == [read_whole(leaf).trace() for leaf in leaves[:3]]
