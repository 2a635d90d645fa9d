"""Sealing: a value that only named offices can open (HPKE base mode, RFC 9180).

A sealed value is one CBOR array `[1, {key id: ciphertext}]`, one ciphertext for each office. The
key id is 8 bytes of a hash of the office key. The context (which document, which field) goes into
the key schedule, so that a sealed value cannot be moved to another place.

Sealing proves nothing about who sealed; the signed leaf that carries the value does.
"""

import base64
import hashlib
from collections.abc import Sequence

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from crypto.errors import SealError
from schemas.errors import RecordError
from schemas.record import decode_cbor

RECIPIENTS_MAX = 16
# An encapsulated X25519 key and the tag of ChaCha20-Poly1305.
CIPHERTEXT_OVERHEAD_BYTES = 32 + 16
SEALED_BYTES_MAX = 64 << 10

_VERSION = 1
_KEY_ID_BYTES = 8
_INFO = b"tiepdan seal v1\n"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def office_key_id(office_public: bytes) -> bytes:
    """Return the 8 bytes under which a sealed value lists an office."""
    return hashlib.sha256(b"tiepdan office v1\n" + office_public).digest()[:_KEY_ID_BYTES]


def seal(plaintext: bytes, recipients: Sequence[bytes], context: bytes) -> bytes:
    """Return the plaintext sealed for each recipient.

    Args:
        plaintext: its length stays visible.
        recipients: 32-byte X25519 office keys; order and repetition do not matter.
        context: must be given again to open.

    Raises:
        SealError: no or too many recipients, or a key to which nothing can be sealed.
    """
    if not 1 <= len(recipients) <= RECIPIENTS_MAX:
        raise SealError("recipients_wrong", f"a value for {len(recipients)} offices")
    sealed = {office_key_id(public): _encrypt(plaintext, public, context) for public in recipients}
    return _encode(sealed)


def open_sealed(blob: bytes, office_private: X25519PrivateKey, context: bytes) -> bytes:
    """Return the plaintext.

    Raises:
        SealError: sealed_malformed, not_a_recipient, or sealed_tampered when the value was altered
            or belongs to another place.
    """
    sealed = _decode(blob)
    ciphertext = sealed.get(office_key_id(office_private.public_key().public_bytes_raw()))
    if ciphertext is None:
        raise SealError("not_a_recipient", "this value was not sealed for this office")
    try:
        return _SUITE.decrypt(ciphertext, office_private, _INFO + context)
    except (InvalidTag, ValueError) as error:
        raise SealError(
            "sealed_tampered",
            "this sealed value was altered or belongs to another place",
            "Keep the record as it is and look at who wrote it.",
        ) from error


def recipients_of(blob: bytes) -> frozenset[bytes]:
    """Return the key ids of the offices that can open a sealed value.

    Raises:
        SealError: sealed_malformed.
    """
    return frozenset(_decode(blob))


def to_text(blob: bytes) -> str:
    """Return a sealed value as base64url text without padding, to stand in a field."""
    return base64.urlsafe_b64encode(blob).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """Return the sealed value that to_text() wrote.

    Raises:
        SealError: sealed_malformed.
    """
    try:
        blob = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise SealError("sealed_malformed", "this is not the text of a sealed value") from error
    if to_text(blob) != text:
        raise SealError("sealed_malformed", "this is not the usual text of a sealed value")
    return blob


def _encrypt(plaintext: bytes, office_public: bytes, context: bytes) -> bytes:
    try:
        public_key = X25519PublicKey.from_public_bytes(office_public)
        return _SUITE.encrypt(plaintext, public_key, _INFO + context)
    except ValueError as error:
        # Wrong length, or a point of low order for which X25519 has no shared secret.
        raise SealError("recipients_wrong", "an office key is not an X25519 key") from error


def _encode(sealed: dict[bytes, bytes]) -> bytes:
    # Core deterministic encoding (RFC 8949 section 4.2): one value, one text.
    return cbor2.dumps([_VERSION, sealed], canonical=True)


def _decode(blob: bytes) -> dict[bytes, bytes]:
    if len(blob) > SEALED_BYTES_MAX:
        raise SealError("sealed_malformed", f"a sealed value of {len(blob)} bytes")
    try:
        items = decode_cbor(blob, "sealed value")
    except RecordError as error:
        raise SealError("sealed_malformed", str(error)) from error
    match items:
        case [1, dict() as sealed] if _is_sealed(sealed) and _encode(sealed) == blob:
            return sealed
    raise SealError("sealed_malformed", "a sealed value is a version and a map of ciphertexts")


def _is_sealed(sealed: dict[object, object]) -> bool:
    return 1 <= len(sealed) <= RECIPIENTS_MAX and all(
        isinstance(key, bytes)
        and len(key) == _KEY_ID_BYTES
        and isinstance(value, bytes)
        and len(value) >= CIPHERTEXT_OVERHEAD_BYTES
        for key, value in sealed.items()
    )
