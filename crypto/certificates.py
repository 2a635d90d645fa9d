"""X.509 certificates of nodes, checkable with plain `openssl verify` (RFC 5280, RFC 8410).

Every certificate is an Ed25519 certificate, of a CA but for outposts, with

- subject: organization = name of the office for people, common name `tiepdan <tier> <code>`, serial
  number attribute = code (the X.509 library allows 64 bytes in a common name, which is too little
  for a Vietnamese office; the tier in it tells the centre from the root);
- subject alternative name: one URI `tiepdan:<tier>:<code>`;
- the office extension below, not critical, so that other programs can pass over it;
- basic constraints with the path length of its tier: root 3, province 1, centre and commune 0;
- key usage digitalSignature, keyCertSign, cRLSign, of an outpost the first alone; extended key
  usage serverAuth and clientAuth on all but the root.

The serial number is a hash of what is certified, so issuing needs no randomness and the same
request at the same instant gives the same certificate.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crypto.errors import CertificateError
from crypto.extensions import (
    OFFICE_KEY_OID,
    SUCCEEDS_OID,
    constraints_of,
    key_extension,
    key_in,
    key_usage_of,
)
from crypto.identity import NodeKey, PeerId
from crypto.tiers import ROOT_CODE, check_child, check_code
from schemas.codes import Tier

_BIT_STRING_64 = b"\x03\x41\x00"

# A commune's clock may be wrong by a day when its certificate arrives on a stick.
BACKDATE_MS = 24 * 60 * 60 * 1000
# ub-organization-name of X.520, in characters.
NAME_CHARS_MAX = 64
# Of an outpost three certificates below the root.
CHAIN_LENGTH_MAX = 4

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_KNOWN_CRITICAL = {
    x509.BasicConstraints.oid,
    x509.KeyUsage.oid,
    x509.ExtendedKeyUsage.oid,
    x509.SubjectAlternativeName.oid,
}
_TLS_USAGE = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a certificate speaks of.

    Attributes:
        code: code of the node: "0", "40", "40.17083" or "40.17083.1".
        name: name of the office for people.
        office_public: 32-byte X25519 key to which values for this office are sealed.
        succeeds: peer id of the key that this one may take the place of; empty for none.
    """

    tier: Tier
    code: str
    name: str
    peer_id: PeerId
    office_public: bytes
    succeeds: bytes = b""


# Making


def make_root(key: NodeKey, name: str, now_ms: int, lifetime_days: int) -> x509.Certificate:
    """Return a self-signed root.

    Raises:
        CertificateError: the name is empty or longer than 64 characters.
    """
    subject = Subject(
        tier=Tier.ROOT,
        code=ROOT_CODE,
        name=name,
        peer_id=key.peer_id,
        office_public=key.office_public,
    )
    ends = _time(now_ms) + timedelta(days=lifetime_days)
    return _sign(subject, _name_of(subject), key, now_ms, ends)


def make_request(
    key: NodeKey, tier: Tier, code: str, name: str, succeeds: bytes = b""
) -> x509.CertificateSigningRequest:
    """Return the request that a node sends, or carries on a stick, to the tier above it.

    With succeeds, the key is a spare one for a node whose key has that peer id.

    Raises:
        CertificateError: the code does not fit the tier, or the name is empty or longer than 64
            characters.
    """
    check_code(tier, code)
    subject = Subject(
        tier=tier,
        code=code,
        name=name,
        peer_id=key.peer_id,
        office_public=key.office_public,
        succeeds=succeeds,
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name_of(subject))
    for extension in _identity_extensions(subject):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key.private_key, None)


def issue(
    issuer: x509.Certificate,
    issuer_key: NodeKey,
    request: x509.CertificateSigningRequest,
    now_ms: int,
    lifetime_days: int,
) -> x509.Certificate:
    """Return a certificate for the node that made the request.

    Only what subject_of_request() reads is taken over from the request. The certificate ends with
    its issuer's if that is earlier.

    Raises:
        CertificateError: the request is malformed or its signature wrong, the key is not the
            issuer's, the issuer is not valid now, or the tier or code is not the issuer's to give.
    """
    parent = subject_of(issuer)
    if parent.peer_id != issuer_key.peer_id:
        raise CertificateError(
            "certificate_wrong_issuer",
            "the key does not belong to the issuing certificate",
            "Use the key file and the certificate of the same node.",
        )
    _check_time(issuer, parent, now_ms)
    subject = subject_of_request(request)
    _check_issuer(parent, subject)
    ends = min(_time(now_ms) + timedelta(days=lifetime_days), issuer.not_valid_after_utc)
    return _sign(subject, issuer.subject, issuer_key, now_ms, ends)


# Reading


def subject_of(certificate: x509.Certificate) -> Subject:
    """Return whom the certificate speaks of; no signature is checked.

    Raises:
        CertificateError: it is not a certificate of this profile.
    """
    with _reading("certificate"):
        return _subject(certificate.subject, certificate.extensions, certificate.public_key())


def subject_of_request(request: x509.CertificateSigningRequest) -> Subject:
    """Return who asks, after checking that the request is signed with the key it names.

    Raises:
        CertificateError: the request is malformed or its signature wrong.
    """
    with _reading("request"):
        subject = _subject(request.subject, request.extensions, request.public_key())
        is_signed = request.is_signature_valid
    if not is_signed:
        raise CertificateError(
            "certificate_bad_signature",
            f"the request of {subject.name} is not signed with its own key",
            "Make a new request on that node; this one was altered on the way.",
        )
    return subject


def verify_chain(
    chain: Sequence[x509.Certificate], root: x509.Certificate, now_ms: int | None
) -> Subject:
    """Check that a chain leads to our root, and return the subject of its first certificate.

    Args:
        chain: the node's certificate first, each followed by its issuer's, without the root.
        root: the root that this node trusts.
        now_ms: instant at which all certificates must be valid; None leaves time unchecked, as for
            records that were signed long ago.

    Raises:
        CertificateError: with code certificate_malformed, certificate_wrong_issuer,
            certificate_bad_signature, certificate_wrong_tier, certificate_wrong_code,
            certificate_expired or certificate_not_yet_valid.
    """
    if not 1 <= len(chain) < CHAIN_LENGTH_MAX:
        raise CertificateError(
            "certificate_malformed",
            f"a chain of {len(chain)} certificates",
            "Send the node's certificate and those of its issuers, without the root.",
        )
    issuer, parent = root, subject_of(root)
    _check_authority(root, parent)
    if parent.tier is not Tier.ROOT:
        raise CertificateError(
            "certificate_wrong_tier",
            f"{parent.name} is not a root",
            "Install the root certificate that the centre handed out.",
        )
    _check_time(root, parent, now_ms)
    for certificate in reversed(chain):
        subject = subject_of(certificate)
        _check_authority(certificate, subject)
        _check_signature(certificate, subject, issuer, parent)
        _check_issuer(parent, subject)
        _check_time(certificate, subject, now_ms)
        issuer, parent = certificate, subject
    return parent


def check_peer(subject: Subject, *, tier: Tier, code: str) -> None:
    """Check that a node is the one that was expected.

    Raises:
        CertificateError: certificate_wrong_tier or certificate_wrong_code.
    """
    if subject.tier is not tier:
        raise CertificateError(
            "certificate_wrong_tier",
            f"{subject.name} is a {subject.tier} node, a {tier} node was expected",
            "Check the address of that node.",
        )
    if subject.code != code:
        raise CertificateError(
            "certificate_wrong_code",
            f"{subject.name} has the code {subject.code}, {code} was expected",
            "Check the address of that node and the code in the configuration.",
        )


# PEM and DER


def chain_to_pem(chain: Sequence[x509.Certificate]) -> bytes:
    """Return the certificates as PEM, in the order given."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def chain_from_pem(data: bytes) -> list[x509.Certificate]:
    """Return the certificates in PEM data, at least one.

    Raises:
        CertificateError: the data holds no certificates or a damaged one.
    """
    with _reading("certificate file"):
        return x509.load_pem_x509_certificates(data)


def chain_to_der(chain: Sequence[x509.Certificate]) -> list[bytes]:
    """Return each certificate as DER."""
    return [certificate.public_bytes(Encoding.DER) for certificate in chain]


def chain_from_der(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """Return the certificates in DER data.

    Raises:
        CertificateError: one is not a certificate.
    """
    with _reading("certificate"):
        return [x509.load_der_x509_certificate(data) for data in chain]


def request_to_pem(request: x509.CertificateSigningRequest) -> bytes:
    """Return the request as PEM."""
    return request.public_bytes(Encoding.PEM)


def request_from_pem(data: bytes) -> x509.CertificateSigningRequest:
    """Return the request in PEM data; nothing in it is checked yet.

    Raises:
        CertificateError: the data is not a request.
    """
    with _reading("request"):
        return x509.load_pem_x509_csr(data)


# Inside


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (CertificateError, InvalidSignature):
        raise
    except Exception as error:
        # The parser reads lazily and raises many kinds (ValueError, TypeError, DuplicateExtension,
        # UnsupportedAlgorithm, ExtensionNotFound, ...); all of them mean the same here.
        raise _malformed(what, str(error) or type(error).__name__) from error


def _malformed(what: str, why: str) -> CertificateError:
    return CertificateError(
        "certificate_malformed",
        f"this {what} cannot be used: {why}",
        "Ask the office that issued it for a new copy.",
    )


def _time(at_ms: int) -> datetime:
    # X.509 has whole seconds.
    return _EPOCH + timedelta(seconds=at_ms // 1000)


def _name_of(subject: Subject) -> x509.Name:
    if not (1 <= len(subject.name) <= NAME_CHARS_MAX and subject.name.isprintable()):
        raise CertificateError(
            "certificate_malformed",
            f"{subject.name!r:.80} cannot stand in a certificate",
            f"Give the office a name of 1 to {NAME_CHARS_MAX} characters.",
        )
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.name),
            x509.NameAttribute(NameOID.COMMON_NAME, f"tiepdan {subject.tier} {subject.code}"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, subject.code),
        ]
    )


def _identity_extensions(subject: Subject) -> list[x509.ExtensionType]:
    uri = x509.UniformResourceIdentifier(f"tiepdan:{subject.tier}:{subject.code}")
    found: list[x509.ExtensionType] = [
        x509.SubjectAlternativeName([uri]),
        key_extension(OFFICE_KEY_OID, subject.office_public),
    ]
    if subject.succeeds:
        found.append(key_extension(SUCCEEDS_OID, subject.succeeds))
    return found


def _sign(
    subject: Subject, issuer_name: x509.Name, key: NodeKey, now_ms: int, ends: datetime
) -> x509.Certificate:
    """Return the certificate of subject signed by key."""
    name = _name_of(subject)
    public_key = Ed25519PublicKey.from_public_bytes(subject.peer_id)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(public_key)
        .serial_number(_serial_number(subject, key, now_ms, ends))
        .not_valid_before(_time(now_ms - BACKDATE_MS))
        .not_valid_after(ends)
        .add_extension(constraints_of(subject.tier), critical=True)
        .add_extension(key_usage_of(subject.tier), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.private_key.public_key()),
            critical=False,
        )
    )
    if subject.tier is not Tier.ROOT:
        builder = builder.add_extension(_TLS_USAGE, critical=False)
    for extension in _identity_extensions(subject):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key.private_key, None)


def _serial_number(subject: Subject, key: NodeKey, now_ms: int, ends: datetime) -> int:
    parts = (
        key.peer_id,
        subject.peer_id,
        subject.office_public,
        subject.succeeds,
        f"{subject.tier}\n{subject.code}\n{now_ms}\n{ends.isoformat()}\n{subject.name}".encode(),
    )
    digest = hashlib.sha256(b"tiepdan certificate v1\n" + b"".join(parts)).digest()
    # RFC 5280 section 4.1.2.2: positive and at most 20 bytes.
    return int.from_bytes(digest[:19], "big") | 1


def _subject(name: x509.Name, extensions: x509.Extensions, public_key: object) -> Subject:
    for extension in extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise _malformed("certificate", f"unknown critical {extension.oid.dotted_string}")
    if not isinstance(public_key, Ed25519PublicKey):
        raise _malformed("certificate", "its key is not an Ed25519 key")
    tier, code = _tier_and_code(extensions)
    is_spare = any(extension.oid == SUCCEEDS_OID for extension in extensions)
    if is_spare and tier is not Tier.COMMUNE:
        raise _malformed("certificate", "only a commune has a spare key")
    names = [attribute.value for attribute in name if isinstance(attribute.value, str)]
    subject = Subject(
        tier=tier,
        code=code,
        name=names[0] if names else "",
        peer_id=PeerId(public_key.public_bytes_raw()),
        office_public=key_in(extensions, OFFICE_KEY_OID),
        succeeds=key_in(extensions, SUCCEEDS_OID) if is_spare else b"",
    )
    if name != _name_of(subject):
        raise _malformed("certificate", "its subject does not say the same as its other parts")
    return subject


def _tier_and_code(extensions: x509.Extensions) -> tuple[Tier, str]:
    names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise _malformed("certificate", "it needs exactly one URI as alternative name")
    scheme, *rest = names[0].value.split(":")
    if scheme != "tiepdan" or len(rest) != 2 or rest[0] not in set(Tier):
        raise _malformed("certificate", f"it names no office: {names[0].value!r:.60}")
    tier, code = Tier(rest[0]), rest[1]
    check_code(tier, code)
    return tier, code


def _check_issuer(parent: Subject, subject: Subject) -> None:
    check_child(
        issuer_tier=parent.tier, issuer_code=parent.code, tier=subject.tier, code=subject.code
    )


def _check_authority(certificate: x509.Certificate, subject: Subject) -> None:
    """Check that the certificate may do what its tier does, and nothing beyond."""
    with _reading("certificate"):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    limits = (constraints_of(subject.tier), key_usage_of(subject.tier))
    if (constraints, usage) != limits:
        raise _malformed("certificate", f"its limits are not those of a {subject.tier} node")


def _check_signature(
    certificate: x509.Certificate, subject: Subject, issuer: x509.Certificate, parent: Subject
) -> None:
    with _reading("certificate"):
        is_named = certificate.issuer == issuer.subject
    if not is_named:
        raise CertificateError(
            "certificate_wrong_issuer",
            f"the certificate of {subject.name} was not issued by {parent.name}",
            "Send the whole chain, and check that both nodes use the same root.",
        )
    try:
        with _reading("certificate"):
            certificate.verify_directly_issued_by(issuer)
            data = certificate.public_bytes(Encoding.DER)
    except InvalidSignature as error:
        raise CertificateError(
            "certificate_bad_signature",
            f"{parent.name} did not sign the certificate of {subject.name}",
            "The certificate was altered or forged, or the issuer has a new key; do not use it.",
        ) from error
    # The library lets the bit string call trailing zero bits unused, a second spelling.
    if not data.endswith(_BIT_STRING_64 + certificate.signature):
        raise _malformed("certificate", "its signature is not in its usual form")


def _check_time(certificate: x509.Certificate, subject: Subject, now_ms: int | None) -> None:
    if now_ms is None:
        return
    with _reading("certificate"):
        starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = _time(now_ms)
    if now < starts:
        raise CertificateError(
            "certificate_not_yet_valid",
            f"the certificate of {subject.name} is valid from {starts:%Y-%m-%d}",
            "Check the clock of this machine.",
        )
    if now > ends:
        raise CertificateError(
            "certificate_expired",
            f"the certificate of {subject.name} ended on {ends:%Y-%m-%d}",
            "Renew the certificate at the tier above; check the clock of this machine first.",
        )
