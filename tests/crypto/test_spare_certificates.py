"""A key succeeds another only by a certificate that says so, and stock OpenSSL accepts it.

Method: the offices of test_certificates.py, and certificates that say it wrongly.
"""

from pathlib import Path

import pytest
from cryptography import x509

from crypto.certificates import issue, make_request, verify_chain
from crypto.errors import CertificateError
from crypto.extensions import SUCCEEDS_OID
from schemas.codes import Tier
from tests.crypto.test_certificates import (
    CHAIN,
    COMMUNE,
    COMMUNE_KEY,
    COMMUNE_NAME,
    FORGER_KEY,
    NOW_MS,
    OTHER_KEY,
    PROVINCE,
    PROVINCE_KEY,
    ROOT,
    ROOT_KEY,
    forge,
    openssl_verify,
    refused,
)


def test_a_spare_key_is_certified_for_the_key_that_it_may_succeed(tmp_path: Path) -> None:
    succeeds = COMMUNE_KEY.peer_id
    request = make_request(FORGER_KEY, Tier.COMMUNE, "40.17083", COMMUNE_NAME, succeeds)
    chain = [issue(PROVINCE, PROVINCE_KEY, request, NOW_MS, 90), PROVINCE]
    assert verify_chain(chain, ROOT, NOW_MS).succeeds == COMMUNE_KEY.peer_id
    assert verify_chain(CHAIN, ROOT, NOW_MS).succeeds == b""
    done = openssl_verify(tmp_path, ROOT, chain)
    assert done.stdout == "leaf.pem: OK\n", done.stderr


def test_only_a_commune_has_a_spare_key() -> None:
    request = make_request(OTHER_KEY, Tier.PROVINCE, "41", "Tỉnh khác", PROVINCE_KEY.peer_id)
    with pytest.raises(CertificateError) as caught:
        issue(ROOT, ROOT_KEY, request, NOW_MS, 90)
    assert caught.value.code == "certificate_malformed"


@pytest.mark.parametrize("value", [b"", b"\x04\x1f" + bytes(31), b"\x04\x21" + bytes(33)])
def test_a_malformed_word_on_whom_a_key_succeeds_is_refused(value: bytes) -> None:
    extension = x509.UnrecognizedExtension(SUCCEEDS_OID, value)
    forged = forge(COMMUNE, PROVINCE_KEY, add=[(extension, False)])
    refused([forged, PROVINCE], "certificate_malformed")
    forged = forge(COMMUNE, PROVINCE_KEY, add=[(extension, True)])
    refused([forged, PROVINCE], "certificate_malformed")
