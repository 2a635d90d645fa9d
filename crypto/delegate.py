"""A key for one protocol, certified by a node for itself.

DTLS 1.2 as OpenSSL has it takes no Ed25519 key of the side that listens. That side shows a P-256
key instead, under a certificate that its node certificate issued: plain RFC 5280, below the path
length that every node certificate leaves. It says nothing of an office, so it can pass for no node.
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crypto.errors import UNREADABLE, CertificateError
from crypto.identity import NodeKey
from crypto.p256 import p256_key

_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tiepdan datagrams")])
_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=False,
    crl_sign=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def make_delegate(
    issuer: x509.Certificate, issuer_key: NodeKey, secret: bytes
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a certificate with a key of its own, valid as long as the issuer's.

    Args:
        issuer: the node's certificate.
        issuer_key: the node's key.
        secret: p256.SECRET_BYTES that nobody can guess; the key is made of them.
    """
    key = p256_key(secret)
    public = key.public_key()
    name = x509.SubjectKeyIdentifier.from_public_key(public).digest
    builder = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(int.from_bytes(name[:16], "big") | 1)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
    )
    return builder.sign(issuer_key.private_key, None), key


def check_delegate(delegate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Check that a node certified a key for itself.

    Raises:
        CertificateError: certificate_malformed or certificate_bad_signature.
    """
    try:
        delegate.verify_directly_issued_by(issuer)
        is_fit = delegate.subject == _NAME and isinstance(
            delegate.public_key(), ec.EllipticCurvePublicKey
        )
    except InvalidSignature as error:
        raise CertificateError(
            "certificate_bad_signature", "the key of the datagram link was certified by another"
        ) from error
    except UNREADABLE as error:
        raise CertificateError("certificate_malformed", str(error)) from error
    if not is_fit:
        raise CertificateError("certificate_malformed", "it is not one for the datagram link")
