"""The reader of changes says what Automerge says of them, and refuses whatever else it is given.

Method: the binding carries out drawn histories, and each of its changes is compared with what the
binding reports of it; then changes are cut, altered with and without a repaired checksum, and
written byte by byte where no binding would write them.
"""

import hashlib
import random
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.limits import (
    CHANGE_ACTORS_MAX,
    CHANGE_DEPS_MAX,
    CHANGE_INFLATED_BYTES_MAX,
    CHANGE_OPS_MAX,
    LEAF_BYTES_MAX,
)
from sync.change import MAGIC, Action, Change, parse_change, uleb
from sync.document import Documents, Edit
from sync.errors import ChangeError
from tests.sync.builders import CASE, DOCUMENT, Pen
from tests.sync.chunks import (
    ACTION_COLUMN,
    INSERT_COLUMN,
    KEY_COLUMN,
    Op,
    blob,
    body_of,
    chunk,
    column_data,
    columns,
    runs,
    sealed,
    sleb,
)
from tests.sync.stock import ALL_KINDS, Copies, Step, object_name, op_of, shown, standing, written
from tests.sync.stock import steps as histories

ACTOR, OTHER = b"a" * 16, b"b" * 16


def refusal(raw: bytes) -> str:
    with pytest.raises(ChangeError) as caught:
        parse_change(raw)
    return caught.value.code


def with_columns(data: dict[int, bytes], *, actor: bytes = ACTOR) -> bytes:
    """Return a chunk with these columns, whatever they hold."""
    return sealed(header(actor=actor) + columns(data))


def header(
    *, actor: bytes = ACTOR, seq: int = 1, start_op: int = 1, deps: int = 0, others: int = 0
) -> bytes:
    head = uleb(deps) + bytes(32) * deps + blob(actor) + uleb(seq) + uleb(start_op)
    head += sleb(0) + blob(b"") + uleb(others)
    return head + b"".join(blob(number.to_bytes(16, "big")) for number in range(others))


def one_put(**said: bytes) -> dict[int, bytes]:
    return column_data([Op(key="k", value="v")], {ACTOR: 0}) | {
        int(number[1:], 16): data for number, data in said.items()
    }


def rich_change() -> bytes:
    """Return one change with every kind of thing in it."""
    copies = Copies().play(
        [(0, "put", 0, 2), (1, "mixed", 0, 3), (2, "splice", 0, 3), (0, "merge", 1, 0)]
    )
    copies.play([(0, "merge", 2, 0), (0, "put", 0, 4)])
    return bytes(written(copies.copies[0])[-1].raw_bytes)


def compressed_change() -> bytes:
    return sealed(body_of(Pen().write(ACTOR, Edit(kind="case", texts={"t": "aa " * 60})).raw),
                  compressed=True)  # fmt: skip


# What the binding writes


@settings(max_examples=80, deadline=None)
@given(histories(*ALL_KINDS))
def test_every_change_of_the_binding_reads_as_the_binding_says(history: list[Step]) -> None:
    document = Copies().play(history).merged()
    for made in written(document):
        change = parse_change(bytes(made.raw_bytes))
        assert change.raw == made.raw_bytes
        assert change.hash == made.hash
        assert change.actor == made.actor_id
        assert change.deps == tuple(made.deps)
        assert (change.seq, change.start_op) == (made.seq, made.start_op)
        assert change.last_op == made.max_op
        assert change.last_op - change.start_op + 1 == len(made)
        last = {(op.object, op.key): op for op in change.map_ops}
        for (target, key), op in last.items():
            found = document.get(object_name(target), key, [change.hash])
            if op.action is Action.DELETE:
                # Who sets again the one of two rival values that shows removes the other.
                assert found is None or op_of(found[1]) not in op.replaces
                continue
            assert found is not None
            assert op_of(found[1]) == op.id
            value = shown(found[0])
            assert (op.value, type(op.value)) == (value, type(value))


@settings(max_examples=80, deadline=None)
@given(histories(*ALL_KINDS))
def test_the_operations_add_up_to_the_document(history: list[Step]) -> None:
    document = Copies().play(history).merged()
    changes = [parse_change(bytes(made.raw_bytes)) for made in written(document)]
    maps: dict[bytes, set[str]] = {}
    for (target, key), ops in standing(changes).items():
        maps.setdefault(object_name(target), set()).add(key)
        found = document.get(object_name(target), key)
        assert found is not None
        assert op_of(found[1]) == max(op.id for op in ops)
        # A rival that another head deletes shows there still: only where there is one head is
        # what shows at the heads what stands.
        if len(heads := document.get_heads()) == 1:
            assert document.get(object_name(target), key, heads) == found
    for name, keys in maps.items():
        assert set(document.keys(name)) == keys


@settings(max_examples=40, deadline=None)
@given(histories("splice", "mark", "list"))
def test_the_texts_and_lists_that_a_change_edits_are_named(history: list[Step]) -> None:
    copies = Copies().play(history)
    ours = {op_of(copies.text), op_of(copies.list)}
    document = copies.merged()
    for made in written(document):
        change = parse_change(bytes(made.raw_bytes))
        before = list(made.deps)
        for name in (copies.text, copies.list):
            if not before:
                continue
            was = (document.length(name, before), document.values(name, before))
            now = (document.length(name, [change.hash]), document.values(name, [change.hash]))
            if was != now:
                assert op_of(name) in change.sequence_objects
        assert change.sequence_objects <= ours
        alone = last_number(change) - len(change.map_ops)
        assert (alone == 0) == (not change.sequence_objects)


def last_number(change: Change) -> int:
    return change.last_op - change.start_op + 1


def test_what_our_own_pen_writes_is_read_back() -> None:
    pen = Pen()
    pen.write(ACTOR, Edit(kind="case", fields={"title": "Đất rẫy"}, texts={"summary": "một hai"}))
    edit = Edit(fields={"title": None, "n": 4}, events={"e": "{}"}, texts={"summary": "một ba"})
    change = pen.write(ACTOR, edit)
    done = [(op.key, op.action, op.value, len(op.replaces)) for op in change.map_ops]
    assert done == [
        ("title", Action.DELETE, None, 1),
        ("n", Action.SET, 4, 0),
        ("e", Action.SET, "{}", 0),
    ]
    assert len(change.sequence_objects) == 1


def test_a_compressed_change_reads_like_the_plain_one() -> None:
    plain = Pen().write(ACTOR, Edit(kind="case", texts={"t": "aa " * 60}))
    packed = parse_change(compressed_change())
    assert packed.hash == plain.hash
    assert packed.map_ops == plain.map_ops
    assert len(packed.raw) < len(plain.raw)
    documents = Documents(lambda _: [])
    documents.apply(DOCUMENT, packed.raw, packed.hash, new=True)
    assert documents.text(DOCUMENT, "t") == "aa " * 60


# Damage


def test_every_truncation_is_refused() -> None:
    for raw in (rich_change(), compressed_change()):
        for length in range(len(raw)):
            assert refusal(raw[:length]) in {"change_malformed", "change_checksum"}
        assert refusal(raw + b"\0") == "change_malformed"
        assert refusal(raw + raw) == "change_malformed"


def test_every_altered_bit_is_refused() -> None:
    raw = rich_change()
    for position in range(len(raw)):
        for bit in range(8):
            altered = bytearray(raw)
            altered[position] ^= 1 << bit
            assert refusal(bytes(altered)) in {"change_malformed", "change_checksum"}


def test_an_altered_bit_of_a_compressed_change_is_refused_or_says_the_same() -> None:
    raw = compressed_change()
    honest = parse_change(raw)
    for position in range(len(raw)):
        for bit in range(8):
            altered = bytearray(raw)
            altered[position] ^= 1 << bit
            try:
                read = parse_change(bytes(altered))
            except ChangeError:
                continue
            assert (read.hash, read.map_ops) == (honest.hash, honest.map_ops)


def damaged(body: bytes, damage: Sequence[tuple[int, int, int]]) -> bytes:
    out = bytearray(body)
    for where, how, byte in damage:
        at = where % max(1, len(out))
        if how == 0:
            out[at : at + 1] = bytes([byte])
        elif how == 1:
            out[at:at] = bytes([byte])
        elif how == 2:
            del out[at : at + 1]
        else:
            out[at : at + 1] = b"\xff" * 8 + bytes([byte & 0x7F])
    return bytes(out)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 3), st.integers(0, 255)),
        min_size=1,
        max_size=3,
    )
)
def test_damage_under_a_right_checksum_is_read_or_refused(
    damage: list[tuple[int, int, int]],
) -> None:
    raw = sealed(damaged(body_of(rich_change()), damage))
    try:
        change = parse_change(raw)
    except ChangeError:
        return
    assert change.hash == hashlib.sha256(raw[8:]).digest()
    assert all(change.start_op <= op.id[0] <= change.last_op for op in change.map_ops)
    # Whatever the reader lets pass, the binding takes or refuses in our words.
    documents = Documents(lambda _: [])
    with pytest.raises(ChangeError):
        documents.apply(DOCUMENT, raw, change.hash, new=True)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.integers(0, 255)),
        min_size=1,
        max_size=2,
    )
)
def test_a_damaged_first_change_never_breaks_the_binding(
    damage: list[tuple[int, int, int]],
) -> None:
    raw = sealed(damaged(body_of(Pen().write(ACTOR, CASE).raw), damage))
    documents = Documents(lambda _: [])
    try:
        change = parse_change(raw)
        documents.apply(DOCUMENT, raw, change.hash, new=True)
        documents.text(DOCUMENT, "summary")
    except ChangeError:
        pass
    honest = Pen().write(ACTOR, CASE)
    documents.apply(DOCUMENT, honest.raw, honest.hash, new=True)
    assert documents.text(DOCUMENT, "summary") == ""


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    assert refusal(noise) == "change_malformed"
    digest = hashlib.sha256(b"\x01" + uleb(len(noise)) + noise).digest()
    assert refusal(MAGIC + digest[:4] + b"\x01" + uleb(len(noise)) + noise).startswith("change_")


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73]),
        st.binary(max_size=12),
    )
)
def test_columns_of_noise_are_read_or_refused(data: dict[int, bytes]) -> None:
    try:
        change = parse_change(with_columns(data))
    except ChangeError:
        return
    assert last_number(change) <= CHANGE_OPS_MAX


# What no binding of ours may bring


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([Op(key="n", action=Action.INCREMENT, value=1)], "change_counter"),
        ([Op(key="n", action=Action.MAKE_TABLE)], "change_counter"),
        ([Op(key="n", value=1, kind=8)], "change_counter"),
        ([Op(key="t", action=Action.MAKE_TEXT),
          Op(target=(1, ACTOR), insert=True, value=1, kind=8)], "change_counter"),
        ([Op(key="n", action=8)], "change_malformed"),
        ([Op(key="n", action=-1 & 0xFFFF)], "change_malformed"),
        ([Op(key="n", value=b"x", kind=10)], "change_malformed"),
        ([Op(key="n", value=b"x", kind=15)], "change_malformed"),
        ([Op(key="n", value=b"\xff\xfe", kind=6)], "change_malformed"),
        ([Op(key="n", value=b"", kind=3)], "change_malformed"),
        ([Op(key="n", value=b"\x80", kind=4)], "change_malformed"),
        ([Op(key="n", value=b"\xff" * 11, kind=3)], "change_malformed"),
        ([Op(value=1)], "change_malformed"),
        ([Op(key="n", value=1, insert=True)], "change_malformed"),
        ([Op(key="n", value=1, replaces=[(1, ACTOR)])], "change_malformed"),
        ([Op(key="n", value=1, replaces=[(7, OTHER)])], "change_malformed"),
    ],
)  # fmt: skip
def test_an_operation_that_may_not_be_is_refused(ops: list[Op], code: str) -> None:
    assert refusal(chunk(ops, actor=ACTOR)) == code


def test_the_chunk_writer_of_these_tests_writes_what_the_binding_writes() -> None:
    honest = Pen().write(ACTOR, Edit(kind="case", fields={"n": 1, "title": "Đất"}))
    ops = [
        Op(key="kind", value="case"),
        *(Op(key=name, action=Action.MAKE_MAP) for name in ("fields", "texts", "events")),
        Op(key="n", target=(2, ACTOR), value=1),
        Op(key="title", target=(2, ACTOR), value="Đất"),
    ]
    assert chunk(ops, actor=ACTOR) == honest.raw


@pytest.mark.parametrize(
    "raw",
    [
        with_columns(one_put(x94=b"\x01")) + b"\0",
        with_columns(one_put(x62=b"\x01")),
        with_columns(one_put(x58=b"\x01")),
        with_columns(one_put(x1d=b"\x01")),
        with_columns(one_put(x01=b"\x7f\x00")),
        with_columns(one_put(x02=b"\x7f\x01")),
        with_columns(one_put(x01=b"\x7f\x05", x02=b"\x7f\x01")),
        with_columns(one_put(x15=runs(["k", "l"], lambda key: blob(key.encode())))),
        with_columns(one_put(x34=b"\x02")),
        with_columns(one_put(x56=b"\x02\x16")),
        with_columns(one_put(x57=b"vw")),
        with_columns(one_put(x57=b"")),
        with_columns(one_put(x70=b"\x7f\x01")),
        with_columns(one_put(x71=b"\x7f\x00")),
        with_columns(one_put(x70=b"\x7f\x01", x71=b"\x7f\x03", x73=b"\x7f\x00")),
        with_columns(one_put(), actor=b""),
        sealed(header(seq=0) + columns(one_put())),
        sealed(header(start_op=0) + columns(one_put())),
        sealed(header(start_op=(1 << 40) + 1) + columns(one_put())),
        sealed(header() + uleb(2) + (uleb(ACTION_COLUMN) + uleb(1)) * 2 + b"\x01\x01"),
        sealed(header()),
        sealed(b""),
        MAGIC + bytes(4) + b"\x00\x00",
        MAGIC + bytes(4) + b"\x03\x00",
    ],
)
def test_a_malformed_change_is_refused(raw: bytes) -> None:
    assert refusal(raw) in {"change_malformed", "change_checksum"}


def test_a_snapshot_of_a_document_is_not_a_change() -> None:
    saved = Copies().copies[0].save()
    assert refusal(bytes(saved)) == "change_malformed"


@pytest.mark.parametrize("number", [KEY_COLUMN, ACTION_COLUMN, 0x01, 0x56, 0x70, 0x71, 0x73])
def test_runs_of_nothing_are_refused(number: int) -> None:
    assert refusal(with_columns(one_put(**{f"x{number:x}": b"\x00\x00" * 1000}))) == (
        "change_malformed"
    )


def test_turns_of_nothing_are_refused() -> None:
    data = one_put() | {INSERT_COLUMN: b"\x00" * 1000}
    assert refusal(with_columns(data)) == "change_malformed"


# Bombs

HUGE = uleb((1 << 62) - 1)


@pytest.mark.parametrize(
    "raw",
    [
        bytes(LEAF_BYTES_MAX + 1),
        sealed(header(deps=CHANGE_DEPS_MAX + 1) + columns(one_put())),
        sealed(header(others=CHANGE_ACTORS_MAX + 1) + columns(one_put())),
        sealed(uleb(1 << 60)),
        sealed(header() + uleb(33)),
        with_columns({ACTION_COLUMN: sleb(CHANGE_OPS_MAX + 1) + b"\x01"}),
        with_columns({ACTION_COLUMN: sleb((1 << 62) - 1) + b"\x01"}),
        with_columns({ACTION_COLUMN: sleb(-(1 << 62)) + b"\x01"}),
        with_columns({ACTION_COLUMN: b"\x00" + HUGE}),
        with_columns({ACTION_COLUMN: (sleb(CHANGE_OPS_MAX // 2) + b"\x01") * 3}),
        with_columns(one_put(x34=HUGE)),
        with_columns(one_put(x73=b"\x00" + HUGE)),
    ],
)  # fmt: skip
def test_a_change_beyond_a_limit_is_refused(raw: bytes) -> None:
    assert refusal(raw) == "change_too_long"


def packed(body: bytes) -> bytes:
    """Return a compressed chunk, whose checksum nobody gets to look at."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    data = deflater.compress(body) + deflater.flush()
    return MAGIC + bytes(4) + b"\x02" + uleb(len(data)) + data


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    bomb = packed(bytes(64 << 20))
    assert len(bomb) < LEAF_BYTES_MAX
    tracemalloc.start()
    try:
        assert refusal(bomb) == "change_malformed"
        assert tracemalloc.get_traced_memory()[1] < 3 * CHANGE_INFLATED_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_compressed_data_that_is_none_is_refused() -> None:
    for data in (b"", b"\xff" * 20, random.Random(3).randbytes(200)):
        assert refusal(MAGIC + bytes(4) + b"\x02" + uleb(len(data)) + data) == "change_malformed"
    inner = packed(b"x" * 50)
    trailing = inner[9 + 1 :] + b"more"
    assert refusal(MAGIC + bytes(4) + b"\x02" + uleb(len(trailing)) + trailing) == (
        "change_malformed"
    )


def test_the_largest_change_is_read() -> None:
    data = {
        KEY_COLUMN: sleb(CHANGE_OPS_MAX) + blob(b"k"),
        ACTION_COLUMN: sleb(CHANGE_OPS_MAX) + b"\x01",
    }
    change = parse_change(with_columns(data))
    assert last_number(change) == len(change.map_ops) == CHANGE_OPS_MAX


def test_a_long_text_is_one_change() -> None:
    change = Pen().write(ACTOR, Edit(kind="case", texts={"summary": "Đất rẫy. " * 6_000}))
    assert last_number(change) == 4 + 1 + 54_000
    assert len(change.sequence_objects) == 1
