"""Messages survive the wire, and nothing that comes in can do more than be refused.

Method: every message, and every sequence of them, is written and read back; every truncation,
flipped bit and random byte string may only raise MessageError, whatever it costs to write, and at
once.
"""

import tracemalloc
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import MessageError
from schemas.limits import (
    ATTACHMENT_BYTES_MAX,
    CHUNK_BYTES,
    CHUNK_NAME_BYTES,
    COSIGNATURES_MAX,
    FRAME_LEAVES_MAX,
    GAPS_MAX,
    LEAF_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    OFFERS_MAX,
    PACKED_BYTES_MAX,
    PART_BYTES_MIN,
)
from schemas.wire import (
    DICTIONARY_NAME_BYTES,
    PACKED,
    REFERENCES_MAX,
    WITH_DICTIONARY,
    Ack,
    Chunk,
    Cosigned,
    Frame,
    Head,
    Hello,
    Message,
    Offer,
    Priority,
    Problem,
    Revoked,
    Want,
    decode_messages,
    encode_message,
)
from schemas.wire_audit import Reconcile, Repair
from schemas.wire_items import REFERENCE_BYTES_MAX

SEQ_MAX = 1 << 53
numbers = st.integers(0, SEQ_MAX)
keys = st.binary(min_size=32, max_size=32)
# A log by its id, or by the number of its offer.
named = st.binary(min_size=16, max_size=16) | st.binary(min_size=1, max_size=REFERENCE_BYTES_MAX)
names = st.binary(min_size=DICTIONARY_NAME_BYTES, max_size=DICTIONARY_NAME_BYTES)
signatures = st.binary(min_size=64, max_size=64)
lengths = st.integers(0, ATTACHMENT_BYTES_MAX)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    first, size = sorted((draw(numbers), draw(numbers)))
    return Offer(
        owner=draw(st.just(b"") | keys),
        purpose=draw(st.text(max_size=80)),
        epoch=draw(st.integers(0, 1 << 32)),
        from_seq=first,
        size=size,
        cosigned=draw(numbers),
        cosigned_above=draw(numbers),
    )


@st.composite
def packed_frames(draw: st.DrawFn) -> Frame:
    """Return a packed frame, whole or a part of one."""
    data = draw(st.binary(min_size=1, max_size=2 * PART_BYTES_MIN))
    before = draw(st.integers(0, 900))
    behind = draw(st.integers(0, 900)) if len(data) >= PART_BYTES_MIN else 0
    return Frame(
        log=draw(named),
        priority=draw(st.sampled_from(Priority).map(int)),
        first_seq=draw(numbers),
        coding=draw(st.integers(PACKED, WITH_DICTIONARY + 15)),
        data=data,
        offset=before,
        total=before + len(data) + behind,
    )


@st.composite
def gaps(draw: st.DrawFn, at_least: int = 0) -> tuple[tuple[int, int], ...]:
    """Return gaps in order, none empty."""
    ends = draw(st.lists(numbers, unique=True, max_size=10).map(sorted))
    found = [(first, end - first) for first, end in zip(ends[::2], ends[1::2], strict=False)]
    return tuple(found or [(0, 1)] * at_least)


cosigned = st.builds(
    Cosigned,
    peer_id=st.just(b"") | keys,
    size=numbers,
    timestamp_s=numbers,
    signature=signatures,
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        version=st.integers(0, 255),
        now_ms=numbers,
        first=st.integers(0, REFERENCES_MAX),
        offers=st.lists(offers(), max_size=3).map(tuple),
        dictionaries=st.lists(names, max_size=16).map(tuple),
    ),
    st.builds(
        Frame,
        log=named,
        priority=st.sampled_from(Priority).map(int),
        first_seq=numbers,
        leaves=st.lists(st.binary(max_size=300), min_size=1, max_size=9).map(tuple),
    ),
    packed_frames(),
    st.builds(Head, log=named, size=numbers, root=st.just(b"") | keys, signature=signatures),
    st.builds(
        Ack,
        log=named,
        have_seq=numbers,
        gaps=st.lists(st.tuples(numbers, numbers), max_size=5).map(tuple),
        cosignatures=st.lists(cosigned, max_size=COSIGNATURES_MAX).map(tuple),
    ),
    st.builds(Want, sha256=keys, offset=lengths, length=lengths),
    st.builds(
        Chunk,
        sha256=st.binary(min_size=CHUNK_NAME_BYTES, max_size=CHUNK_NAME_BYTES),
        offset=lengths,
        total=lengths,
        data=st.binary(max_size=CHUNK_BYTES),
    ),
    st.builds(
        Problem,
        code=st.text(max_size=60),
        detail=st.text(max_size=500),
        log=st.just(b"") | named,
    ),
    st.builds(Revoked, statement=st.binary(max_size=300)),
    st.builds(
        Reconcile,
        log=st.just(b"") | st.binary(min_size=16, max_size=16),
        step=st.integers(0, 1 << 16),
        data=st.binary(max_size=300),
        lacks=gaps(),
    ),
    st.builds(Repair, log=st.binary(min_size=16, max_size=16), gaps=gaps(1)),
    st.builds(
        Repair,
        log=st.binary(min_size=16, max_size=16),
        seq=numbers,
        leaf=st.binary(max_size=300),
        size=numbers,
        signature=st.just(b"") | signatures,
        proof=st.lists(keys, max_size=9).map(tuple),
    ),
)

LOG, KEY, NAME = b"l" * 16, b"k" * 32, b"n" * 8
FRAME = Frame(log=LOG, priority=2, first_seq=7, leaves=(b"leaf",))
PART = Frame(log=b"\1", priority=2, first_seq=7, coding=2, data=b"part", offset=1_200, total=1_204)
OFFER = Offer(owner=KEY, purpose="up", epoch=0, from_seq=0, size=1)
SAMPLES: tuple[Message, ...] = (
    Hello(version=1, now_ms=0, first=3, offers=(OFFER,), dictionaries=(NAME,)),
    FRAME,
    PART,
    replace(PART, offset=0, total=4),
    Head(log=LOG, size=1, root=KEY, signature=bytes(64)),
    Head(log=b"\0", size=1, root=b"", signature=bytes(64)),
    Ack(
        log=LOG,
        have_seq=3,
        gaps=((3, 2),),
        cosignatures=(Cosigned(peer_id=KEY, size=1, timestamp_s=1, signature=bytes(64)),),
    ),
    Want(sha256=KEY, offset=0, length=1),
    Chunk(sha256=NAME, offset=0, total=4, data=b"data"),
    Problem(code="log_forked", detail="Hai chuyện khác nhau", log=LOG),
    Revoked(statement=b"said"),
)


def readable(data: bytes) -> bool:
    """Tell whether data is a message; any error but MessageError fails the test."""
    try:
        decode_messages(data)
    except MessageError:
        return False
    return True


@given(messages)
@settings(max_examples=200)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode_messages(encode_message(message)) == [message]


@given(st.lists(messages, min_size=1, max_size=5))
@settings(max_examples=100)
def test_messages_that_travel_together_are_read_in_their_order(together: list[Message]) -> None:
    assert decode_messages(b"".join(map(encode_message, together))) == together


def test_one_bad_message_among_others_makes_all_of_them_refused() -> None:
    good = encode_message(FRAME)
    for bad in (b"\0", cbor2.dumps([9]), good[:-1], b"\xff"):
        for together in (good + bad, bad + good, good + bad + good):
            assert not readable(together)


def test_a_message_without_content_is_refused() -> None:
    assert not readable(b"")


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_every_truncation_is_refused(message: Message) -> None:
    data = encode_message(message)
    assert readable(data)
    assert not any(readable(data[:end]) for end in range(len(data)))
    assert not readable(data + b"\0")


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_flipped_bit_is_refused_or_read_as_another_message(message: Message) -> None:
    data = encode_message(message)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            readable(bytes(flipped))


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_random_bytes_are_refused(data: bytes) -> None:
    readable(data)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.integers(0, 8), st.lists(trees, max_size=7))
@example(2, [LOG, 2, 0, False, [b"leaf"]])
@settings(max_examples=300)
def test_any_cbor_may_come_in(kind: int, body: list[Any]) -> None:
    readable(cbor2.dumps([kind, *body]))


@pytest.mark.parametrize(
    "body",
    [
        [2, LOG, 2, 7, False, [b"leaf"]],
        [2, LOG, 2, 7, 0.0, [b"leaf"]],
        [2, LOG, 2, 7, 1, [b"leaf"]],
        [2, LOG, 2, 7, 0, b"leaf"],
        [2, LOG, 2, 7, 0, [b"leaf"], 0, 4],
        [2, LOG, 2, 7, 18, b"leaf"],
        [2, b"", 2, 7, 0, [b"leaf"]],
        [2, b"12345", 2, 7, 0, [b"leaf"]],
        [2, 0, 2, 7, 0, [b"leaf"]],
        # Parts that are empty, lie outside of the whole, or say half of where they lie.
        [2, LOG, 2, 7, 1, b""],
        [2, LOG, 2, 7, 1, b"", 4, 8],
        [2, LOG, 2, 7, 1, b"part", 5, 8],
        [2, LOG, 2, 7, 1, b"part", 0, 3],
        [2, LOG, 2, 7, 1, b"part", 0],
        [2, LOG, 2, 7, 1, b"part", -1, 8],
        [2, LOG, 2, 7, 1, b"part", 0, True],
        [2, LOG, 2, 7, 1, b"part", 0, 8, 0],
        [2, LOG, 2, 7, 1, bytes(PART_BYTES_MIN), 0, PACKED_BYTES_MAX + 1],
        [2, LOG, 2, 7, 1, bytes(PART_BYTES_MIN - 1), 0, PART_BYTES_MIN],
        [2, LOG, 4, 7, 0, [b"leaf"]],
        [2, LOG, True, 7, 0, [b"leaf"]],
        [2, LOG, 2, 7, 0, []],
        [2, LOG, 2, 7, 0, "leaf"],
        [2, LOG, 2, 7, 0, ["leaf"]],
        [2, LOG, 2, SEQ_MAX + 1, 0, [b"leaf"]],
        [2, LOG[1:], 2, 7, 0, [b"leaf"]],
        [1, 1, 0, 0, [[KEY, "up", 0, 2, 1, 0, 0]], []],
        [1, 1, 0, 0, [[KEY[1:], "up", 0, 0, 1, 0, 0]], []],
        [1, 256, 0, 0, [], []],
        [1, 1, 0, REFERENCES_MAX + 1, [], []],
        [1, 1, 0, [], []],
        [1, 1, 0, 0, [], [b"short"]],
        [1, 1, 0, 0, [], [KEY]],
        [3, LOG, 1, KEY[1:], bytes(64)],
        [3, LOG, 1, b"", b""],
        [4, LOG, 0, [], [[KEY[1:], 1, 1, bytes(64)]]],
        [5, KEY, 0, ATTACHMENT_BYTES_MAX + 1],
        [7, "code", 3, b""],
        [7, "c" * 61, "", b""],
        [0],
        [8],
        [True, 1],
        [],
        {},
        "hello",
        7,
        None,
    ],
    ids=repr,
)
def test_what_only_looks_like_a_message_is_refused(body: Any) -> None:
    assert not readable(cbor2.dumps(body))


def test_every_limit_is_kept() -> None:
    offer = [KEY, "up", 0, 0, 1, 0, 0]
    cosignature = [KEY, 1, 1, bytes(64)]
    within = (
        [1, 1, 0, REFERENCES_MAX, [offer] * OFFERS_MAX, [NAME] * 16],
        [2, LOG, 2, 7, 0, [b""] * FRAME_LEAVES_MAX],
        [2, LOG, 2, 7, 0, [bytes(LEAF_BYTES_MAX)]],
        [2, LOG, 2, 7, 1, bytes(PACKED_BYTES_MAX)],
        [4, LOG, 0, [[1, 1]] * GAPS_MAX, [cosignature] * COSIGNATURES_MAX],
        [6, NAME, 0, 1, bytes(CHUNK_BYTES)],
    )
    beyond = (
        [1, 1, 0, 0, [offer] * (OFFERS_MAX + 1), []],
        [1, 1, 0, 0, [], [NAME] * 17],
        [2, LOG, 2, 7, 0, [b""] * (FRAME_LEAVES_MAX + 1)],
        [2, LOG, 2, 7, 0, [bytes(LEAF_BYTES_MAX + 1)]],
        [2, LOG, 2, 7, 1, bytes(PACKED_BYTES_MAX + 1)],
        [4, LOG, 0, [[1, 1]] * (GAPS_MAX + 1), []],
        [4, LOG, 0, [], [cosignature] * (COSIGNATURES_MAX + 1)],
        [6, NAME, 0, 1, bytes(CHUNK_BYTES + 1)],
    )
    assert [readable(cbor2.dumps(body)) for body in within] == [True] * len(within)
    assert [readable(cbor2.dumps(body)) for body in beyond] == [False] * len(beyond)
    with pytest.raises(MessageError, match="bytes") as refusal:
        decode_messages(bytes(MESSAGE_BYTES_MAX + 1))
    assert refusal.value.code == "message_too_long"


def test_an_unknown_kind_and_a_malformed_message_are_told_apart() -> None:
    with pytest.raises(MessageError) as refusal:
        decode_messages(cbor2.dumps([99]))
    assert refusal.value.code == "message_unknown"
    with pytest.raises(MessageError) as refusal:
        decode_messages(encode_message(replace(PART, coding=WITH_DICTIONARY + 16)))
    assert refusal.value.code == "message_malformed"


def test_a_frame_that_is_whole_does_not_say_so() -> None:
    whole = replace(PART, offset=0, total=len(PART.data))
    assert len(cbor2.loads(encode_message(whole))) == 6
    assert len(cbor2.loads(encode_message(PART))) == 8


def test_a_long_explanation_is_cut_not_refused() -> None:
    (message,) = decode_messages(encode_message(Problem(code="disk_full", detail="đ" * 900)))
    assert isinstance(message, Problem)
    assert message.detail == "đ" * 500


def _big(tag: bytes, size_bytes: int) -> bytes:
    return tag + b"\x5a" + size_bytes.to_bytes(4, "big") + b"\xff" * size_bytes


HOSTILE = {
    "a number of a megabyte": b"\x81" + _big(b"\xc2", 1_000_000),
    "a decimal of a megabyte": b"\x81\xc4\x82\x01" + _big(b"\xc2", 1_000_000),
    "a huge power": b"\x81\xc5\x82\x1b\x7f" + b"\xff" * 7 + b"\x01",
    "keys that collide": b"\x81"
    + cbor2.dumps({number * (2**61 - 1): 1 for number in range(60_000)}),
    "arrays in arrays": b"\x81" * 1_000_000,
    "endless arrays": b"\x9f" * 1_000_000,
    "tags of tags": b"\xc6" * 1_000_000,
    "maps in maps": b"\xa1\x61a" * 300_000,
    "an array that says it is long": b"\x9b" + b"\xff" * 8,
    "a text that says it is long": b"\x7b" + b"\x7f" * 8,
    "a map that says it is long": b"\xba" + b"\xff" * 4,
    "a million numbers": b"\x9a" + (1_000_000).to_bytes(4, "big") + b"\x00" * 1_000_000,
    "a regular expression": b"\x81\xd8\x23" + cbor2.dumps("(?:" * 50_000 + ")" * 50_000),
    "a cycle": b"\xd8\x1c\x81\xd8\x1d\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_message_cannot_keep_a_node_busy_or_fill_its_memory(name: str) -> None:
    tracemalloc.start()
    try:
        assert not readable(HOSTILE[name])
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
