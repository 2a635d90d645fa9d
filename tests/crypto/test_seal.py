"""A sealed value opens for its offices, in its place and unaltered, and in no other case.

Method: round trips, every cut, single flipped bits, and arbitrary bytes.
"""

import random

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import SealError
from crypto.identity import NodeKey
from crypto.seal import (
    RECIPIENTS_MAX,
    SEALED_BYTES_MAX,
    from_text,
    office_key_id,
    open_sealed,
    recipients_of,
    seal,
    to_text,
)

COMMUNE, PROVINCE, CENTRE = (NodeKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
OFFICES = [COMMUNE.office_public, PROVINCE.office_public]
CONTEXT = bytes(16) + b"identity_number"
BLOB = seal(b"001099000000", OFFICES, CONTEXT)


def code_of(blob: bytes, key: NodeKey, context: bytes) -> str:
    with pytest.raises(SealError) as caught:
        open_sealed(blob, key.office_private, context)
    return caught.value.code


@given(plaintext=st.binary(max_size=300), context=st.binary(max_size=60))
def test_every_recipient_opens_it(plaintext: bytes, context: bytes) -> None:
    blob = seal(plaintext, OFFICES, context)
    for key in (COMMUNE, PROVINCE):
        assert open_sealed(blob, key.office_private, context) == plaintext
    assert code_of(blob, CENTRE, context) == "not_a_recipient"


def test_a_sealed_value_shows_neither_its_text_nor_who_can_open_it_by_name() -> None:
    assert b"001099000000" not in BLOB
    assert not any(office in BLOB for office in OFFICES)


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert seal(b"001099000000", OFFICES, CONTEXT) != BLOB


def test_a_sealed_value_moved_to_another_place_does_not_open() -> None:
    assert code_of(BLOB, COMMUNE, CONTEXT + b"2") == "sealed_tampered"
    assert code_of(BLOB, COMMUNE, b"") == "sealed_tampered"


def test_a_repeated_recipient_counts_once() -> None:
    assert recipients_of(seal(b"x", OFFICES * 2, b"")) == {office_key_id(o) for o in OFFICES}


@pytest.mark.parametrize(
    "recipients",
    [[], [COMMUNE.office_public] * (RECIPIENTS_MAX + 1), [bytes(31)], [bytes(32)]],
    ids=["none", "too many", "too short", "low order"],
)
def test_a_value_without_proper_recipients_is_not_sealed(recipients: list[bytes]) -> None:
    with pytest.raises(SealError) as caught:
        seal(b"x", recipients, b"")
    assert caught.value.code == "recipients_wrong"


def test_every_cut_is_refused() -> None:
    for end in range(len(BLOB)):
        assert code_of(BLOB[:end], COMMUNE, CONTEXT) == "sealed_malformed"
    assert code_of(BLOB + b"\x00", COMMUNE, CONTEXT) == "sealed_malformed"


@given(seed=st.integers(0, 2**32))
def test_no_flipped_bit_goes_unnoticed(seed: int) -> None:
    rng = random.Random(seed)
    blob = bytearray(seal(b"001099000000", [COMMUNE.office_public], CONTEXT))
    blob[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)
    with pytest.raises(SealError):
        open_sealed(bytes(blob), COMMUNE.office_private, CONTEXT)


@given(blob=st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_our_error(blob: bytes) -> None:
    with pytest.raises(SealError):
        open_sealed(blob, COMMUNE.office_private, CONTEXT)


@pytest.mark.parametrize(
    "items",
    [
        [2, {bytes(8): bytes(48)}],
        [True, {bytes(8): bytes(48)}],
        [1, {}],
        [1, {bytes(7): bytes(48)}],
        [1, {bytes(8): bytes(47)}],
        [1, {bytes(8): "x" * 48}],
        [1, {"x" * 8: bytes(48)}],
        [1, {bytes([n]) * 8: bytes(48) for n in range(RECIPIENTS_MAX + 1)}],
        [1, {bytes(8): bytes(48)}, 0],
        {1: bytes(48)},
    ],
)
def test_another_shape_is_refused(items: object) -> None:
    assert code_of(cbor2.dumps(items), COMMUNE, CONTEXT) == "sealed_malformed"


def test_another_spelling_of_the_same_value_is_refused() -> None:
    version, sealed = cbor2.loads(BLOB)
    swapped = dict(reversed(sealed.items()))
    assert code_of(cbor2.dumps([version, swapped]), COMMUNE, CONTEXT) == "sealed_malformed"


def test_a_value_beyond_the_limit_is_refused() -> None:
    blob = seal(bytes(SEALED_BYTES_MAX), [COMMUNE.office_public], b"")
    assert code_of(blob, COMMUNE, b"") == "sealed_malformed"


@given(blob=st.binary(max_size=100))
def test_the_text_of_a_sealed_value_is_read_back(blob: bytes) -> None:
    text = to_text(blob)
    assert from_text(text) == blob
    assert not set(text) & set("+/=")


@given(text=st.text(max_size=40))
def test_arbitrary_text_raises_only_our_error(text: str) -> None:
    try:
        blob = from_text(text)
    except SealError:
        return
    assert to_text(blob) == text
