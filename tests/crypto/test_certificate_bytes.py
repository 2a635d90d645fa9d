"""Certificates and requests as bytes: read back the same, and no damage raises a foreign error.

Method: round trips, every cut, single flipped bits and random bytes in one commune's certificate.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.certificates import (
    Subject,
    chain_from_der,
    chain_from_pem,
    chain_to_der,
    chain_to_pem,
    issue,
    make_request,
    make_root,
    request_from_pem,
    request_to_pem,
    subject_of,
    subject_of_request,
    verify_chain,
)
from crypto.errors import CertificateError, CryptoError
from crypto.identity import NodeKey
from schemas.codes import Tier

NOW_MS = 1_790_000_000_000
ROOT_KEY, PROVINCE_KEY, COMMUNE_KEY = (NodeKey.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
ROOT = make_root(ROOT_KEY, "Gốc", NOW_MS, 3650)
PROVINCE_REQUEST = make_request(PROVINCE_KEY, Tier.PROVINCE, "40", "Tỉnh mẫu")
PROVINCE = issue(ROOT, ROOT_KEY, PROVINCE_REQUEST, NOW_MS, 730)
COMMUNE_REQUEST = make_request(COMMUNE_KEY, Tier.COMMUNE, "40.17083", "Xã mẫu")
COMMUNE = issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, NOW_MS, 365)
CHAIN = [COMMUNE, PROVINCE]


def test_a_chain_is_written_and_read_the_same() -> None:
    assert chain_from_pem(chain_to_pem(CHAIN)) == CHAIN
    assert chain_from_der(chain_to_der(CHAIN)) == CHAIN


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\xff" * 40])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    for read in (chain_from_pem, request_from_pem, lambda data: chain_from_der([data])):
        with pytest.raises(CertificateError) as caught:
            read(data)
        assert caught.value.code == "certificate_malformed"


def test_every_cut_of_a_certificate_is_refused() -> None:
    (data,) = chain_to_der([COMMUNE])
    for end in range(len(data)):
        with pytest.raises(CertificateError):
            chain_from_der([data[:end]])


def test_another_spelling_of_the_signature_is_refused() -> None:
    # Where the last bit of a signature is 0, the bit string around it can call that bit unused; a
    # reader that allows it sees one certificate under two hashes.
    for day in range(64):
        made = issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, NOW_MS + day * 86_400_000, 365)
        if made.signature[-1] & 1 == 0:
            break
    data = bytearray(chain_to_der([made])[0])
    assert data[-65] == 0
    data[-65] = 1
    with pytest.raises(CertificateError) as caught:
        verify_chain([*chain_from_der([bytes(data)]), PROVINCE], ROOT, None)
    assert caught.value.code == "certificate_malformed"


@given(seed=st.integers(0, 2**32))
def test_an_altered_certificate_never_verifies(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(chain_to_der([COMMUNE])[0])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    with pytest.raises(CryptoError):
        verify_chain([*chain_from_der([bytes(data)]), PROVINCE], ROOT, NOW_MS)


@given(seed=st.integers(0, 2**32))
def test_an_altered_request_raises_only_our_error(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(request_to_pem(COMMUNE_REQUEST))
    data[rng.randrange(28, len(data) - 27)] = rng.randrange(256)
    try:
        found = subject_of_request(request_from_pem(bytes(data)))
    except CryptoError:
        return
    assert found == subject_of(COMMUNE)


@given(seed=st.integers(0, 2**32))
def test_reading_an_altered_certificate_raises_only_our_error(seed: int) -> None:
    """As a province could sign anything, the reader must stand any content."""
    rng = random.Random(seed)
    data = bytearray(chain_to_der([COMMUNE])[0])
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        (certificate,) = chain_from_der([bytes(data)])
        found = subject_of(certificate)
    except CryptoError:
        return
    assert isinstance(found, Subject)
