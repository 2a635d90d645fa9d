"""The site's own CA: what browsers and devices on the LAN trust after pairing.

Browsers take no Ed25519 certificate, and no public CA certifies `.local` names; so each site has a
small CA of its own (ECDSA P-256). Who installs it takes a risk, which name constraints keep small:
it may only speak of `.local` names and private addresses (RFC 5280 section 4.2.1.10), so that a
stolen site key opens no connection to anything outside.

- CA: path length 0, keyCertSign, name constraints critical;
- page certificate: serverAuth, the node's `.local` name and its addresses on the LAN; short-lived,
  as browsers ask;
- device certificate: clientAuth, one URI `tiepdan:device:<device id, hex>`, the device's own key.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crypto.errors import UNREADABLE, CertificateError
from crypto.identity import device_id
from crypto.p256 import point_of, public_key_of

FINGERPRINT_BYTES: Final = 32
SITE_DAYS: Final = 3_650
# Browsers take no server certificate for longer (Apple's limit; 398 days elsewhere).
PAGE_DAYS: Final = 397
DEVICE_DAYS: Final = 397
NAME_CHARS_MAX: Final = 64
# A tablet's clock may be behind the node's.
_BACKDATE: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Address = IPv4Address | IPv6Address
PRIVATE: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("127.0.0.0/8"),
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
    IPv6Network("::1/128"),
)


def is_private(address: Address) -> bool:
    """Tell whether an address belongs to a LAN, and may stand in a certificate of a site."""
    return any(address.version == net.version and address in net for net in PRIVATE)


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate, as systems show it and as QR codes carry it."""
    return certificate.fingerprint(SHA256())


def make_site(
    key: ec.EllipticCurvePrivateKey, office: str, code: str, now_ms: int
) -> x509.Certificate:
    """Return the certificate of a site's CA.

    Args:
        key: of the site; not the node's.
        office: name of the office, for whoever looks at the list of CAs.
        code: of the office, which tells sites of one name apart.
        now_ms: wall clock.
    """
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, office[:NAME_CHARS_MAX]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"tiepdan {code}"),
        ]
    )
    permitted = [x509.DNSName("local"), *(x509.IPAddress(network) for network in PRIVATE)]
    start = _time(now_ms)
    builder = _builder(name, name, key.public_key(), start, start + timedelta(days=SITE_DAYS))
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None),
            critical=True,
        )
        .sign(key, SHA256(), ecdsa_deterministic=True)
    )


def issue_page(
    site: x509.Certificate,
    site_key: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    name: str,
    addresses: Sequence[Address],
    now_ms: int,
) -> x509.Certificate:
    """Return the certificate that the node's pages show.

    A clock that was set back must not make it older than its CA: browsers would call it expired.

    Args:
        site: certificate of the CA.
        site_key: key of the CA.
        public_key: whose certificate it will be.
        name: `tiepdan-40-17083.local`.
        addresses: of the node; those that are not private are left out.
        now_ms: wall clock.
    """
    start = max(_time(now_ms), site.not_valid_before_utc + _BACKDATE)
    names = [x509.DNSName(name), *(x509.IPAddress(a) for a in addresses if is_private(a))]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME_CHARS_MAX])])
    ends = min(start + timedelta(days=PAGE_DAYS) - _BACKDATE, site.not_valid_after_utc)
    builder = _builder(subject, site.subject, public_key, start, ends)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _sign_leaf(builder, site_key, ExtendedKeyUsageOID.SERVER_AUTH)


def issue_device(
    site: x509.Certificate,
    site_key: ec.EllipticCurvePrivateKey,
    point: bytes,
    name: str,
    now_ms: int,
) -> x509.Certificate:
    """Return the certificate of a device that has been paired.

    Args:
        site: certificate of the CA.
        site_key: key of the CA.
        point: the device's public key, 65 bytes.
        name: what the technician calls the device.
        now_ms: wall clock.

    Raises:
        SignatureError: the point is no public key.
    """
    uri = x509.UniformResourceIdentifier(f"tiepdan:device:{device_id(point).hex()}")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME_CHARS_MAX])])
    start = _time(now_ms)
    ends = min(start + timedelta(days=DEVICE_DAYS), site.not_valid_after_utc)
    builder = _builder(subject, site.subject, public_key_of(point), start, ends)
    builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    return _sign_leaf(builder, site_key, ExtendedKeyUsageOID.CLIENT_AUTH)


def check_site(certificate: x509.Certificate) -> None:
    """Check that a certificate is that of a site's CA, with its limits.

    Raises:
        CertificateError: certificate_malformed or certificate_bad_signature.
    """
    try:
        certificate.verify_directly_issued_by(certificate)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        limits = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        names = limits.value.permitted_subtrees or []
        is_fit = (
            constraints.value == x509.BasicConstraints(ca=True, path_length=0)
            and limits.critical
            and [n.value for n in names if isinstance(n, x509.DNSName)] == ["local"]
            and {n.value for n in names if isinstance(n, x509.IPAddress)} == set(PRIVATE)
        )
    except InvalidSignature as error:
        raise CertificateError(
            "certificate_bad_signature", "the certificate of this site is not signed by itself"
        ) from error
    except (*UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise CertificateError("certificate_malformed", str(error)) from error
    if not is_fit:
        raise CertificateError(
            "certificate_malformed",
            "this certificate is not limited to one site",
            "Do not install it: it could speak for any address.",
        )


def check_device(certificate: x509.Certificate, site: x509.Certificate, point: bytes) -> None:
    """Check that a site certified this device's key.

    Raises:
        CertificateError: certificate_malformed, certificate_bad_signature or
            certificate_foreign_key.
    """
    try:
        certificate.verify_directly_issued_by(site)
        public = certificate.public_key()
        found = point_of(public) if isinstance(public, ec.EllipticCurvePublicKey) else b""
    except InvalidSignature as error:
        raise CertificateError(
            "certificate_bad_signature", "this site did not sign the device's certificate"
        ) from error
    except UNREADABLE as error:
        raise CertificateError("certificate_malformed", str(error)) from error
    if found != point:
        raise CertificateError(
            "certificate_foreign_key", "the certificate was made for another device's key"
        )


def read_certificate_der(data: bytes) -> x509.Certificate:
    """Return the certificate in DER.

    Raises:
        CertificateError: certificate_malformed.
    """
    try:
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise CertificateError("certificate_malformed", "this is no certificate") from error


def certificate_der(certificate: x509.Certificate) -> bytes:
    """Return a certificate as DER."""
    return certificate.public_bytes(Encoding.DER)


def _time(now_ms: int) -> datetime:
    return _EPOCH + timedelta(seconds=now_ms // 1000)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    start: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    # The same key at the same second gives the same certificate: nothing here is drawn.
    digest = hashlib.sha256(
        b"tiepdan site v1\n"
        + identifier.digest
        + start.isoformat().encode()
        + ends.isoformat().encode()
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(int.from_bytes(digest.digest()[:19], "big") | 1)
        .not_valid_before(start - _BACKDATE)
        .not_valid_after(ends)
        .add_extension(identifier, critical=False)
    )


def _sign_leaf(
    builder: x509.CertificateBuilder,
    site_key: ec.EllipticCurvePrivateKey,
    purpose: x509.ObjectIdentifier,
) -> x509.Certificate:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(site_key.public_key()),
            critical=False,
        )
        .sign(site_key, SHA256(), ecdsa_deterministic=True)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
