"""A sealed stream: any amount of data from one node that one office alone can open, piece by piece.

The head says in clear who made it (a chain of certificates) and what it is about, and holds a fresh
key, sealed to the receiver's office key by HPKE (base mode, RFC 9180); the sender signs all of it.
The body is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015), laid out as in age:
pieces of 64 KiB under ChaCha20-Poly1305, whose nonce is a counter and a flag on the last piece. So
a piece that was altered, moved, left out or cut off is noticed, and no more than one is in memory.

Who can open a stream could have made its body too: the signature convinces the receiver, and nobody
else. What is in it must carry proof of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from crypto.certificates import CHAIN_LENGTH_MAX
from crypto.errors import SealError
from crypto.identity import SIGNATURE_BYTES, NodeKey, verify
from crypto.seal import CIPHERTEXT_OVERHEAD_BYTES, office_key_id
from schemas.errors import RecordError
from schemas.record import decode_cbor

MAGIC: Final = b"tiepdan pack v1\n"
# What must be read to know how long the head is.
PREFIX_BYTES: Final = len(MAGIC) + 4
STREAM_KEY_BYTES: Final = 32
PIECE_BYTES: Final = 64 << 10
TAG_BYTES: Final = 16
# A chain has at most three certificates of about 700 bytes.
CLEAR_BYTES_MAX: Final = 16 << 10
ABOUT_BYTES_MAX: Final = 1 << 10

_KEY_ID_BYTES: Final = 8
_SEALED_KEY_BYTES: Final = STREAM_KEY_BYTES + CIPHERTEXT_OVERHEAD_BYTES
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHead:
    """What stands in front of a stream; nothing of it is proved before open_stream().

    Attributes:
        receiver: key id of the office that can open it.
        chain: the sender's certificates as DER, its own first, without the root.
        about: what the stream is, in the words of whoever uses it.
    """

    receiver: bytes
    chain: tuple[bytes, ...]
    about: bytes
    clear: bytes
    sealed_key: bytes
    signature: bytes


def sealed_bytes(plain_bytes: int) -> int:
    """Return how long the body of a stream of so many bytes is."""
    return plain_bytes + TAG_BYTES * max(1, -(-plain_bytes // PIECE_BYTES))


class StreamSealer:
    """Seals one stream.

    Attributes:
        head: goes in front of what update() and finish() return.
    """

    def __init__(
        self,
        sender: NodeKey,
        chain: Sequence[bytes],
        receiver: bytes,
        about: bytes,
        stream_key: bytes,
    ) -> None:
        """Begin a stream.

        Args:
            sender: signs it.
            chain: of the sender, as DER.
            receiver: 32-byte X25519 office key.
            about: at most ABOUT_BYTES_MAX.
            stream_key: 32 bytes that nobody can guess, never used before.

        Raises:
            SealError: recipients_wrong, when nothing can be sealed to that key.
            ValueError: the stream key or what it is about has the wrong length.
        """
        if len(stream_key) != STREAM_KEY_BYTES or len(about) > ABOUT_BYTES_MAX:
            raise ValueError("a stream key of 32 bytes and few words about it")
        clear = _prefixed(cbor2.dumps([office_key_id(receiver), list(chain), about]))
        try:
            public_key = X25519PublicKey.from_public_bytes(receiver)
            sealed_key = _SUITE.encrypt(stream_key, public_key, clear)
        except ValueError as error:
            raise SealError("recipients_wrong", "an office key is not an X25519 key") from error
        self.head = clear + sealed_key + sender.sign(clear + sealed_key)
        self._body = _Body(stream_key)
        self._waiting = bytearray()

    def update(self, data: bytes) -> bytes:
        """Return what more plaintext makes ready to be written."""
        self._waiting += data
        ready = []
        while len(self._waiting) > PIECE_BYTES:
            ready.append(self._body.seal(bytes(self._waiting[:PIECE_BYTES]), is_last=False))
            del self._waiting[:PIECE_BYTES]
        return b"".join(ready)

    def finish(self) -> bytes:
        """Return the end of the stream."""
        return self._body.seal(bytes(self._waiting), is_last=True)


def head_bytes(prefix: bytes) -> int:
    """Return how many bytes the head has that starts with these PREFIX_BYTES.

    Raises:
        SealError: stream_foreign, when no such stream starts so.
    """
    size = int.from_bytes(prefix[len(MAGIC) :], "big")
    if len(prefix) != PREFIX_BYTES or not prefix.startswith(MAGIC) or size > CLEAR_BYTES_MAX:
        raise SealError("stream_foreign", "this is not a pack of tiepdan, or its start is damaged")
    return PREFIX_BYTES + size + _SEALED_KEY_BYTES + SIGNATURE_BYTES


def read_head(data: bytes) -> StreamHead:
    """Return the head in exactly these bytes.

    Raises:
        SealError: stream_foreign, or stream_damaged when it is not whole.
    """
    if len(data) != head_bytes(data[:PREFIX_BYTES]):
        raise _damaged("its head is cut short")
    ends = len(data) - SIGNATURE_BYTES
    clear = data[: ends - _SEALED_KEY_BYTES]
    try:
        items = decode_cbor(clear[PREFIX_BYTES:], "head")
    except RecordError as error:
        raise _damaged("its head cannot be read") from error
    match items:
        case [bytes() as receiver, list() as chain, bytes() as about] if (
            len(receiver) == _KEY_ID_BYTES
            and 1 <= len(chain) < CHAIN_LENGTH_MAX
            and all(isinstance(certificate, bytes) for certificate in chain)
            and len(about) <= ABOUT_BYTES_MAX
            and clear == _prefixed(cbor2.dumps(items))
        ):
            return StreamHead(
                receiver=receiver,
                chain=tuple(chain),
                about=about,
                clear=clear,
                sealed_key=data[len(clear) : ends],
                signature=data[ends:],
            )
    raise _damaged("its head does not have the form of one")


class StreamOpener:
    """Opens the body of one stream; open_stream() makes it."""

    def __init__(self, stream_key: bytes) -> None:
        """Open with a key."""
        self._body = _Body(stream_key)
        self._waiting = bytearray()

    def update(self, data: bytes) -> bytes:
        """Return the plaintext that more of the body makes certain.

        Raises:
            SealError: stream_damaged.
        """
        self._waiting += data
        ready = []
        # What may be the last piece waits for finish().
        while len(self._waiting) > PIECE_BYTES + TAG_BYTES:
            piece = bytes(self._waiting[: PIECE_BYTES + TAG_BYTES])
            plain = self._body.open(piece, is_last=False)
            if plain is None:
                raise _damaged(f"it is altered in its piece {self._body.count + 1}")
            ready.append(plain)
            del self._waiting[: PIECE_BYTES + TAG_BYTES]
        return b"".join(ready)

    def finish(self) -> bytes:
        """Return the last plaintext, once the whole body was given.

        Raises:
            SealError: stream_cut_off when the end is missing; stream_damaged.
        """
        piece, is_first = bytes(self._waiting), self._body.count == 0
        plain = self._body.open(piece, is_last=True)
        if plain is not None and (plain or is_first):
            return plain
        if len(piece) < TAG_BYTES or self._body.open(piece, is_last=False) is not None:
            raise SealError(
                "stream_cut_off", "the end is missing: it was not copied whole", _HINT_AGAIN
            )
        raise _damaged("it is cut short or altered near its end")


def open_stream(head: StreamHead, sender: bytes, office_private: X25519PrivateKey) -> StreamOpener:
    """Return what opens the body, after checking who made the stream and for whom.

    Args:
        head: as read.
        sender: peer id of the node that its chain names; the caller has verified the chain.
        office_private: of the office that opens.

    Raises:
        SealError: not_a_recipient or stream_damaged.
        SignatureError: the sender did not sign it.
    """
    if head.receiver != office_key_id(office_private.public_key().public_bytes_raw()):
        raise SealError("not_a_recipient", "this was not sealed for this office")
    verify(sender, head.clear + head.sealed_key, head.signature)
    try:
        return StreamOpener(_SUITE.decrypt(head.sealed_key, office_private, head.clear))
    except (InvalidTag, ValueError) as error:
        raise _damaged("its key does not open") from error


class _Body:
    """Pieces in their order under one key.

    Attributes:
        count: pieces done.
    """

    def __init__(self, stream_key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(stream_key)
        self.count = 0

    def seal(self, plain: bytes, *, is_last: bool) -> bytes:
        sealed = self._cipher.encrypt(self._nonce(is_last), plain, None)
        self.count += 1
        return sealed

    def open(self, sealed: bytes, *, is_last: bool) -> bytes | None:
        """Return the plaintext of the next piece; None if it is none."""
        try:
            plain = self._cipher.decrypt(self._nonce(is_last), sealed, None)
        except InvalidTag:
            return None
        self.count += 1
        return plain

    def _nonce(self, is_last: bool) -> bytes:
        return self.count.to_bytes(11, "big") + bytes([is_last])


def _prefixed(clear: bytes) -> bytes:
    return MAGIC + len(clear).to_bytes(4, "big") + clear


def _damaged(why: str) -> SealError:
    return SealError("stream_damaged", f"this pack is damaged: {why}", _HINT_AGAIN)


_HINT_AGAIN: Final = "Copy the file again from where it was made."
