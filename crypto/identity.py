"""Who a node is: its keys, and the ids that are hashes of them."""

import hashlib
from functools import lru_cache
from typing import NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.errors import SignatureError
from schemas.ids import DeviceId, LogId

PeerId = NewType("PeerId", bytes)
"""The 32-byte Ed25519 public key of a node."""

SEED_BYTES = 32
PEER_ID_BYTES = 32
SIGNATURE_BYTES = 64


class NodeKey:
    """The secret of one node: an Ed25519 key that signs and an X25519 key that opens seals.

    Both come from one seed of 32 bytes by HKDF-SHA256 (RFC 5869) with an info string each, so that
    a key file or a paper copy holds one secret only.
    """

    __slots__ = ("office_private", "office_public", "peer_id", "private_key", "seed")

    def __init__(self, seed: bytes) -> None:
        """Derive both keys.

        Raises:
            ValueError: the seed does not have 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes")
        self.seed = bytes(seed)
        self.private_key = Ed25519PrivateKey.from_private_bytes(
            _derive(seed, b"tiepdan node signing key v1\n")
        )
        self.office_private = X25519PrivateKey.from_private_bytes(
            _derive(seed, b"tiepdan node office key v1\n")
        )
        self.peer_id = PeerId(self.private_key.public_key().public_bytes_raw())
        self.office_public = self.office_private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "NodeKey":
        """Return a new key from the entropy of the system."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, seed: bytes) -> "NodeKey":
        """Return the key of that seed.

        Raises:
            ValueError: the seed does not have 32 bytes.
        """
        return cls(seed)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature (RFC 8032) of the message."""
        return self.private_key.sign(message)

    def __repr__(self) -> str:
        """Name the node, never its secret."""
        return f"NodeKey({self.peer_id[:4].hex()})"


def verify(peer_id: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        SignatureError: the key is malformed or did not sign this message.
    """
    try:
        Ed25519PublicKey.from_public_bytes(peer_id).verify(signature, message)
    except ValueError as error:
        raise SignatureError("key_malformed", "this is not an Ed25519 public key") from error
    except InvalidSignature as error:
        raise SignatureError(
            "signature_wrong", f"node {peer_id[:4].hex()} did not sign this"
        ) from error


def log_id(peer_id: bytes, purpose: str, epoch: int) -> LogId:
    """Return the 16-byte id of the log that a node keeps for a purpose in an epoch."""
    return LogId(
        _digest(b"tiepdan log v1\n", peer_id, purpose.encode(), b"\x00", epoch.to_bytes(8, "big"))
    )


def device_id(public_key: bytes) -> DeviceId:
    """Return the 16-byte id of the device with that public key."""
    return DeviceId(_digest(b"tiepdan device v1\n", public_key))


# A change is under the actor of the one before it mostly, and is looked at several times.
@lru_cache(maxsize=1_024)
def actor_id(peer_id: bytes, device: bytes, epoch: int, document_id: bytes) -> bytes:
    """Return the 16-byte Automerge actor of a device in one document and epoch.

    The epoch is part of it because a restored writer that went on with its old actor would give
    one sequence number to two changes.
    """
    return _digest(
        b"tiepdan actor v1\n", peer_id, device, epoch.to_bytes(8, "big"), bytes(document_id)
    )


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:16]


def _derive(seed: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(seed)
