"""Who a node is: its keys, and the ids that are hashes of them."""

import hashlib
from functools import lru_cache
from typing import NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.errors import SealError, SignatureError
from schemas.ids import DeviceId, LogId
from schemas.record import Writer

PeerId = NewType("PeerId", bytes)
"""The 32-byte Ed25519 public key of a node."""

SEED_BYTES = 32
PEER_ID_BYTES = 32
SIGNATURE_BYTES = 64


class OfficeKey:
    """The X25519 key to which values for an office are sealed; the private half may be away.

    Attributes:
        public: 32 bytes, as in the node's certificate.
    """

    __slots__ = ("_private", "public")

    def __init__(self, public: bytes) -> None:
        """Know the public half only; unlock() brings the other."""
        self.public = bytes(public)
        self._private: X25519PrivateKey | None = None

    @classmethod
    def generate(cls) -> "OfficeKey":
        """Return a new key from the entropy of the system."""
        return cls.from_private(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_private(cls, private: bytes) -> "OfficeKey":
        """Return the whole key.

        Raises:
            ValueError: not 32 bytes.
        """
        key = X25519PrivateKey.from_private_bytes(private)
        office = cls(key.public_key().public_bytes_raw())
        office._private = key
        return office

    @property
    def is_open(self) -> bool:
        """Tell whether sealed values can be opened."""
        return self._private is not None

    @property
    def private(self) -> X25519PrivateKey:
        """The private half.

        Raises:
            SealError: office_key_locked.
        """
        if self._private is None:
            raise SealError(
                "office_key_locked",
                "the key that opens sealed values is locked",
                "Enter its passphrase at the node's page, or start the node with it.",
            )
        return self._private

    def unlock(self, whole: "OfficeKey") -> None:
        """Take over the private half of the same key.

        Raises:
            SealError: it is another key, or has none.
        """
        if whole.public != self.public:
            raise SealError("office_key_foreign", "this is the key of another office")
        self._private = whole.private

    def mark(self, value: bytes) -> bytes:
        """Return 16 bytes that are equal for equal values and tell nothing without this key.

        Raises:
            SealError: office_key_locked.
        """
        secret = _derive(self.private.private_bytes_raw(), b"tiepdan paper marks v1\n")
        keyed = hmac.HMAC(secret, hashes.SHA256())
        keyed.update(value)
        return keyed.finalize()[:16]

    def __repr__(self) -> str:
        """Name the key, never its secret."""
        return f"OfficeKey({self.public[:4].hex()})"


class NodeKey:
    """The secrets of one node: an Ed25519 key that signs and the office key that opens seals.

    The first comes from a seed of 32 bytes by HKDF-SHA256 (RFC 5869). The second stands by itself,
    as it may be kept elsewhere and the node works without it; if none is given it comes from the
    seed too.
    """

    __slots__ = ("office", "peer_id", "private_key", "seed")

    def __init__(self, seed: bytes, office: OfficeKey | None = None) -> None:
        """Derive the signing key.

        Raises:
            ValueError: the seed does not have 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes")
        self.seed = bytes(seed)
        self.private_key = Ed25519PrivateKey.from_private_bytes(
            _derive(seed, b"tiepdan node signing key v1\n")
        )
        self.office = office or OfficeKey.from_private(
            _derive(seed, b"tiepdan node office key v1\n")
        )
        self.peer_id = PeerId(self.private_key.public_key().public_bytes_raw())

    @property
    def office_public(self) -> bytes:
        """To what values for this office are sealed."""
        return self.office.public

    @property
    def office_private(self) -> X25519PrivateKey:
        """What opens them.

        Raises:
            SealError: office_key_locked.
        """
        return self.office.private

    def with_office(self, office: OfficeKey) -> "NodeKey":
        """Return the same signing key with another office key."""
        return NodeKey(self.seed, office)

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


def actor_of(writer: Writer, document_id: bytes) -> bytes:
    """Return the actor under which a writer changes a document."""
    return writer.actor or actor_id(writer.node, writer.device, writer.epoch, document_id)


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:16]


def _derive(seed: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(seed)
