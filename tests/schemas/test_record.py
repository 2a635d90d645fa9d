"""A leaf has one spelling, and whatever is not that spelling is refused with our error.

Method: leaves, writers and chains are written and read back; then each is truncated, flipped and
written in the other ways that CBOR knows.
"""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cbor import read_item
from schemas.errors import RecordError
from schemas.hlc import HLC_MAX
from schemas.limits import LEAF_BYTES_MAX
from schemas.record import (
    Leaf,
    Writer,
    decode_certificates,
    decode_leaf,
    decode_writer,
    encode_certificates,
)

leaves = st.builds(
    Leaf,
    type=st.integers(0, 255),
    writer=st.integers(0, 1 << 32),
    document=st.just(b"") | st.binary(min_size=16, max_size=16),
    hlc=st.integers(0, HLC_MAX),
    body=st.binary(max_size=400),
)
writers = st.builds(
    Writer,
    node=st.binary(min_size=32, max_size=32),
    device=st.binary(min_size=16, max_size=16),
    epoch=st.integers(0, 1 << 32),
    tier=st.text(max_size=20),
    code=st.text(max_size=20),
    user=st.text(max_size=200),
    name=st.text(max_size=200),
    role=st.text(max_size=40),
)
LEAF = Leaf(type=0, writer=1, document=b"d" * 16, hlc=5, body=b"body")
WRITER = Writer(
    node=b"n" * 32, device=b"d" * 16, epoch=0, tier="commune", code="40.17083",
    user="lan", name="Nguyễn Thị Lan", role="reception_officer",
)  # fmt: skip
DECODERS: tuple[tuple[Callable[[bytes], object], bytes], ...] = (
    (decode_leaf, LEAF.encode()),
    (decode_writer, WRITER.encode()),
    (decode_certificates, encode_certificates([b"one", b"two"])),
)


def readable(decode: Callable[[bytes], object], data: bytes) -> bool:
    try:
        decode(data)
    except RecordError:
        return False
    return True


@given(leaves)
def test_a_leaf_is_read_as_it_was_written(leaf: Leaf) -> None:
    assert decode_leaf(leaf.encode()) == leaf


@given(writers)
def test_a_writer_is_read_as_it_was_written(writer: Writer) -> None:
    assert decode_writer(writer.encode()) == writer


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_a_chain_is_read_as_it_was_written(chain: list[bytes]) -> None:
    assert decode_certificates(encode_certificates(chain)) == chain


@pytest.mark.parametrize(("decode", "data"), DECODERS)
def test_every_truncation_and_flipped_bit_is_refused_or_says_something_else(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    whole = decode(data)
    assert not any(readable(decode, data[:end]) for end in range(len(data)))
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            if readable(decode, bytes(flipped)):
                assert decode(bytes(flipped)) != whole


@given(st.binary(max_size=120))
@settings(max_examples=200)
def test_random_bytes_raise_nothing_but_our_error(data: bytes) -> None:
    for decode, _ in DECODERS:
        readable(decode, data)


# A number, a length and an array in more bytes than they need, and of no stated length.
OTHER_SPELLINGS = (
    b"\x85\x18\x00" + LEAF.encode()[2:],
    b"\x98\x05" + LEAF.encode()[1:],
    b"\x9f" + LEAF.encode()[1:] + b"\xff",
    LEAF.encode()[:-5] + b"\x58\x04body",
    LEAF.encode()[:-5] + b"\x5f\x44body\xff",
    b"\xd9\xd9\xf7" + LEAF.encode(),
    b"\x85\xf9\x00\x00" + LEAF.encode()[2:],
    LEAF.encode() + b"\x00",
)


@pytest.mark.parametrize("data", OTHER_SPELLINGS)
def test_another_spelling_of_a_leaf_is_refused(data: bytes) -> None:
    assert not readable(decode_leaf, data)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (decode_writer, b"\x98\x08" + WRITER.encode()[1:]),
        (decode_certificates, b"\x98\x02" + encode_certificates([b"one", b"two"])[1:]),
    ],
)
def test_the_bodies_that_a_log_defines_have_one_spelling_too(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    assert not readable(decode, data)


@pytest.mark.parametrize(
    "items",
    [
        [256, 0, b"", 0, b""],
        [-1, 0, b"", 0, b""],
        [True, 0, b"", 0, b""],
        [0, (1 << 32) + 1, b"", 0, b""],
        [0, 0, b"short", 0, b""],
        [0, 0, "", 0, b""],
        [0, 0, b"", HLC_MAX + 1, b""],
        [0, 0, b"", 0, "text"],
        [0, 0, b"", 0],
        {"type": 0},
        None,
    ],
    ids=repr,
)
def test_what_only_looks_like_a_leaf_is_refused(items: Any) -> None:
    assert not readable(decode_leaf, cbor2.dumps(items, canonical=True))


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, b"n" * 31), (0, "n" * 32), (1, b"d"), (2, -1), (2, True), (3, 5), (6, "x" * 201)],
)
def test_what_only_looks_like_a_writer_is_refused(place: int, value: object) -> None:
    items = read_item(WRITER.encode())
    items[place] = value
    assert not readable(decode_writer, cbor2.dumps(items, canonical=True))


@pytest.mark.parametrize("items", [[], [b""] * 5, ["text"], [[]], b"", {}], ids=repr)
def test_what_only_looks_like_a_chain_is_refused(items: Any) -> None:
    assert not readable(decode_certificates, cbor2.dumps(items, canonical=True))


def test_a_leaf_has_a_longest_size() -> None:
    largest = Leaf(type=0, writer=1, document=b"d" * 16, hlc=5, body=bytes(LEAF_BYTES_MAX - 26))
    assert len(largest.encode()) == LEAF_BYTES_MAX
    assert decode_leaf(largest.encode()) == largest
    with pytest.raises(RecordError) as refusal:
        decode_leaf(largest.encode() + b"x")
    assert refusal.value.code == "leaf_too_long"


# The reader of CBOR

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.binary(), inner, max_size=4)
    ),
    max_leaves=12,
)


def depth(item: Any) -> int:
    if not isinstance(item, list | dict):
        return 0
    inner = item.values() if isinstance(item, dict) else item
    return 1 + max(map(depth, inner), default=0)


@given(plain)
@settings(max_examples=200)
def test_what_a_full_encoder_writes_is_read(item: Any) -> None:
    if depth(item) <= 8:
        assert read_item(cbor2.dumps(item)) == item


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x18",
        b"\x1c",
        b"\x1f",
        b"\x61\xff",
        b"\x62a",
        b"\x81" * 9 + b"\x80",
        b"\xa1\x01\x01",
        b"\xa1\x80\x01",
        b"\xa2\x61a\x01\x61a\x02",
        b"\xa1\x61a",
        b"\xc0\x00",
        b"\xf7",
        b"\xf8\x20",
        b"\xfb" + bytes(8),
        b"\xff",
        b"\x00\x00",
    ],
    ids=lambda data: data.hex(),
)
def test_what_nobody_may_send_is_not_read(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_item(data)
