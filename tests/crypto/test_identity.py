"""Keys come from one seed, signatures verify, and ids are fixed for decades.

Method: RFC 8032 vectors, ids recomputed from their definition, and altered signatures.
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import CryptoError, SignatureError
from crypto.identity import NodeKey, actor_id, device_id, log_id, verify

PEER_ID = "0eb75a2a2b081304a89edf765fd72cca5b2c0d2b511680f0cdae13903ba831bb"
OFFICE_PUBLIC = "682e7d08df1004e05cd1a7d266d13141d3b18aeea7f3f0666aadc73b27da1410"
KEY = NodeKey.from_seed(bytes(range(32)))


def test_one_seed_always_gives_the_same_two_keys() -> None:
    again = NodeKey.from_seed(bytes(range(32)))
    assert (again.peer_id, again.office_public) == (KEY.peer_id, KEY.office_public)
    # Fixed here so that no later version derives other keys from the seeds in use.
    assert KEY.peer_id.hex() == PEER_ID
    assert KEY.office_public.hex() == OFFICE_PUBLIC


def test_the_two_keys_of_a_seed_have_nothing_in_common() -> None:
    assert KEY.private_key.private_bytes_raw() != KEY.office_private.private_bytes_raw()
    assert KEY.private_key.private_bytes_raw() != KEY.seed


def test_generated_keys_differ() -> None:
    assert NodeKey.generate().peer_id != NodeKey.generate().peer_id


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        NodeKey.from_seed(bytes(size))


def test_a_key_shown_in_a_log_hides_its_secret() -> None:
    assert repr(KEY) == f"NodeKey({KEY.peer_id[:4].hex()})"


def test_a_published_signature_verifies() -> None:
    # RFC 8032 section 7.1, test 2.
    verify(
        bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
        b"\x72",
        bytes.fromhex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    )


@given(message=st.binary(max_size=100), bit=st.integers(0, 511))
def test_an_altered_signature_is_refused(message: bytes, bit: int) -> None:
    signature = bytearray(KEY.sign(message))
    verify(KEY.peer_id, message, bytes(signature))
    with pytest.raises(SignatureError):
        verify(KEY.peer_id, message + b"x", bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureError):
        verify(KEY.peer_id, message, bytes(signature))


@given(key=st.binary(max_size=40), message=st.binary(max_size=4), signature=st.binary(max_size=70))
def test_arbitrary_keys_and_signatures_raise_only_our_error(
    key: bytes, message: bytes, signature: bytes
) -> None:
    with pytest.raises(CryptoError):
        verify(key, message, signature)


def test_the_ids_are_hashes_of_what_they_name() -> None:
    def first_16(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()[:16]

    epoch = (3).to_bytes(8, "big")
    device = device_id(KEY.peer_id)
    document = bytes(range(16))
    assert device == first_16(b"tiepdan device v1\n" + KEY.peer_id)
    assert log_id(KEY.peer_id, "up", 3) == first_16(
        b"tiepdan log v1\n" + KEY.peer_id + b"up\x00" + epoch
    )
    assert actor_id(KEY.peer_id, device, 3, document) == first_16(
        b"tiepdan actor v1\n" + KEY.peer_id + device + epoch + document
    )


def test_a_new_epoch_gives_new_logs_and_actors() -> None:
    assert log_id(KEY.peer_id, "up", 0) != log_id(KEY.peer_id, "up", 1)
    assert actor_id(KEY.peer_id, bytes(16), 0, bytes(16)) != actor_id(
        KEY.peer_id, bytes(16), 1, bytes(16)
    )
