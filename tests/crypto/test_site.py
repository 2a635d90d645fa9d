"""The site's CA: OpenSSL agrees with its certificates, and with its limits."""

import random
import subprocess
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from crypto import p256
from crypto.errors import CertificateError, SignatureError
from crypto.site import (
    PAGE_DAYS,
    Address,
    check_device,
    check_site,
    is_private,
    issue_device,
    issue_page,
    make_site,
    read_certificate_der,
)
from tests.crypto.forging import forged_page

NOW = 1_790_000_000_000
NAME = "tiepdan-40-17083.local"


def new_key(seed: int) -> ec.EllipticCurvePrivateKey:
    return p256.p256_key(random.Random(seed).randbytes(p256.SECRET_BYTES))


SITE_KEY, KEY = new_key(1), new_key(2)
SITE = make_site(SITE_KEY, "Xã Mỹ Lý", "40.17083", NOW)
POINT = p256.point_of(KEY.public_key())


def openssl_verifies(folder: Path, leaf: x509.Certificate, purpose: str) -> bool:
    (folder / "site.pem").write_bytes(SITE.public_bytes(Encoding.PEM))
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(NOW // 1000)]
    command += ["-purpose", purpose, "-CAfile", str(folder / "site.pem"), str(folder / "leaf.pem")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def page(addresses: Sequence[str] = ("192.168.1.5",), now_ms: int = NOW) -> x509.Certificate:
    found = [ip_address(address) for address in addresses]
    return issue_page(SITE, SITE_KEY, KEY.public_key(), NAME, found, now_ms)


def forged(name: x509.GeneralName) -> x509.Certificate:
    return forged_page(SITE, SITE_KEY, KEY.public_key(), page(), name)


def test_openssl_takes_the_certificate_of_the_pages(tmp_path: Path) -> None:
    assert openssl_verifies(tmp_path, page(["192.168.1.5", "fd00::7"]), "sslserver")


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("chinhphu.vn"),
        x509.DNSName("local.vn"),
        x509.IPAddress(ip_address("8.8.8.8")),
        x509.IPAddress(ip_address("2001:db8::1")),
    ],
)
def test_a_stolen_site_key_speaks_for_nothing_outside(
    tmp_path: Path, name: x509.GeneralName
) -> None:
    assert not openssl_verifies(tmp_path, forged(name), "sslserver")


def test_openssl_takes_a_devices_certificate_for_a_client_only(tmp_path: Path) -> None:
    device = issue_device(SITE, SITE_KEY, POINT, "Máy bảng quầy 1", NOW)
    assert openssl_verifies(tmp_path, device, "sslclient")
    assert not openssl_verifies(tmp_path, device, "sslserver")
    check_device(device, SITE, POINT)


def test_the_pages_certificate_lives_as_briefly_as_browsers_ask() -> None:
    for now_ms in (NOW, 0, NOW + 5 * 365 * 86_400_000):
        leaf = page(now_ms=now_ms)
        assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= PAGE_DAYS


def test_a_clock_that_was_set_back_makes_no_certificate_older_than_its_ca() -> None:
    assert page(now_ms=0).not_valid_before_utc == SITE.not_valid_before_utc


@given(st.ip_addresses())
def test_only_private_addresses_stand_in_a_certificate(address: Address) -> None:
    names = page([str(address)]).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (address in names.value.get_values_for_type(x509.IPAddress)) == is_private(address)


def test_a_ca_that_could_speak_for_any_address_is_not_taken_for_a_site() -> None:
    check_site(SITE)
    wide = (
        x509.CertificateBuilder(SITE.subject, SITE.subject, SITE_KEY.public_key(), 7)
        .not_valid_before(SITE.not_valid_before_utc)
        .not_valid_after(SITE.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    with pytest.raises(CertificateError, match="NameConstraints"):
        check_site(_sign_without_limits(wide))
    with pytest.raises(CertificateError):
        check_site(page())


def _sign_without_limits(builder: x509.CertificateBuilder) -> x509.Certificate:
    return builder.sign(SITE_KEY, SHA256())


def test_a_certificate_with_a_key_of_no_known_kind_is_refused() -> None:
    # id-ecPublicKey, and a number that nobody has given to anything.
    known, unknown = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0206")
    strange = read_certificate_der(SITE.public_bytes(Encoding.DER).replace(known, unknown))
    with pytest.raises(CertificateError, match="key type"):
        check_site(strange)
    with pytest.raises(CertificateError, match="key type"):
        check_device(page(), strange, POINT)


def test_a_device_certificate_of_another_site_or_key_is_refused() -> None:
    other_key = new_key(3)
    other = make_site(other_key, "Xã Khác", "40.16813", NOW)
    device = issue_device(other, other_key, POINT, "Máy bảng", NOW)
    with pytest.raises(CertificateError):
        check_device(device, SITE, POINT)
    with pytest.raises(CertificateError) as caught:
        check_device(device, other, p256.point_of(other_key.public_key()))
    assert caught.value.code == "certificate_foreign_key"


@given(st.binary(max_size=70))
def test_only_a_point_on_the_curve_is_a_key(point: bytes) -> None:
    with pytest.raises(SignatureError):
        issue_device(SITE, SITE_KEY, point, "Máy bảng", NOW)


@given(st.binary(max_size=200), st.binary(max_size=70))
def test_a_signature_holds_for_its_message_alone(message: bytes, nonsense: bytes) -> None:
    signature = p256.sign(KEY, message)
    p256.verify(POINT, message, signature)
    for forged_signature, of in ((signature, message + b"."), (nonsense, message)):
        with pytest.raises(SignatureError):
            p256.verify(POINT, of, forged_signature)
