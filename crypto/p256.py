"""ECDSA P-256, for what Ed25519 cannot do: browsers, their keys, and DTLS.

Public keys are uncompressed points of 65 bytes, signatures r and s of 32 bytes each, as WebCrypto
has them.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto.errors import SignatureError

# More than the curve's order has, so that no key is likelier than another.
SECRET_BYTES: Final = 48
POINT_BYTES: Final = 65
SIGNATURE_BYTES: Final = 64
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def p256_key(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key that is made of SECRET_BYTES nobody can guess.

    Raises:
        ValueError: the secret has another length.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"{len(secret)} bytes of secret")
    number = int.from_bytes(secret, "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as its 65-byte point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_key_of(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a 65-byte point.

    Raises:
        SignatureError: key_malformed.
    """
    try:
        if len(point) != POINT_BYTES:
            raise ValueError(f"{len(point)} bytes")
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise SignatureError("key_malformed", "this is not a P-256 public key") from error


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return the 64-byte signature of a message (RFC 6979, so no randomness is needed)."""
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(message, algorithm))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(point: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature.

    Raises:
        SignatureError: the key is malformed or did not sign this message.
    """
    key = public_key_of(point)
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError("signature_wrong", f"a signature of {len(signature)} bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise SignatureError("signature_wrong", "this key did not sign this") from error
