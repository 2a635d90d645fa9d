"""Opens what is sealed, from docs/PROTOCOL.md sections 9 and 11, RFC 9180 and RFC 8439.

Only X25519, HMAC and ChaCha20-Poly1305 come from a library.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.independent import messages
from tests.independent.change_reader import Reader, Refused, need
from tests.independent.messages import Message
from tests.independent.record_checker import Place, cbor, read_chain

KEM_SUITE = b"KEM\x00\x20"
SUITE = b"HPKE\x00\x20\x00\x01\x00\x03"
MAGIC = b"tiepdan pack v1\n"
PIECE_SIZE_BYTES = 64 << 10
ENTRY_SIZE_BYTES_MAX = (1 << 20) + (72 << 10)


def extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
    """RFC 9180 section 4."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")


def expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    """RFC 9180 section 4; one block of HKDF is enough here."""
    whole = size.to_bytes(2) + b"HPKE-v1" + suite + label + info + b"\x01"
    return hmac.digest(key, whole, "sha256")[:size]


def open_hpke(sealed: bytes, secret: bytes, info: bytes) -> bytes:
    """Return what is sealed in base mode.

    Raises:
        Refused: it is not for this key, or was altered.
    """
    need(len(sealed) >= 48, "ciphertext is too short")
    key, enc = X25519PrivateKey.from_private_bytes(secret), sealed[:32]
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    context = enc + key.public_key().public_bytes_raw()
    inner = extract(KEM_SUITE, b"", b"eae_prk", shared)
    shared = expand(KEM_SUITE, inner, b"shared_secret", context, 32)
    schedule = b"\x00" + extract(SUITE, b"", b"psk_id_hash", b"")
    schedule += extract(SUITE, b"", b"info_hash", info)
    inner = extract(SUITE, shared, b"secret", b"")
    opener = ChaCha20Poly1305(expand(SUITE, inner, b"key", schedule, 32))
    return unlock(opener, expand(SUITE, inner, b"base_nonce", schedule, 12), sealed[32:])


def unlock(opener: ChaCha20Poly1305, nonce: bytes, sealed: bytes) -> bytes:
    try:
        return opener.decrypt(nonce, sealed, None)
    except InvalidTag as error:
        raise Refused("sealed for somebody else, or altered") from error


def office_key_id(public: bytes) -> bytes:
    return sha256(b"tiepdan office v1\n" + public).digest()[:8]


def public_of(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def cbor_map(data: bytes) -> dict[bytes, bytes]:
    """Read `[1, {key id: ciphertext}]` in its one form."""
    reader = Reader(data)
    need(reader.take(2) == b"\x82\x01", "not a sealed value of version 1")
    count = reader.take(1)[0] - 0xA0
    need(1 <= count <= 16, "not for one to sixteen offices")
    found: dict[bytes, bytes] = {}
    for _ in range(count):
        need(reader.take(1) == b"\x48", "key id has not 8 bytes")
        key = reader.take(8)
        need(not found or key > max(found), "keys are not in order")
        head = reader.take(1)[0]
        need(head in range(0x40, 0x5A), "ciphertext is not a byte string")
        size = head - 0x40 if head < 0x58 else int.from_bytes(reader.take(head - 0x57))
        found[key] = reader.take(size)
    need(not reader.left, "bytes follow")
    return found


def open_value(blob: bytes, secret: bytes, document: bytes) -> str:
    """Section 9."""
    sealed = cbor_map(blob).get(office_key_id(public_of(secret)), b"")
    info = b"tiepdan seal v1\ntiepdan identity number " + document
    return open_hpke(sealed, secret, info).decode()


# Packs


@dataclass(frozen=True)
class PackFile:
    """A pack that was opened.

    Attributes:
        about: pack id, part, when it was made, receiver's code.
        messages: of all entries of kind 1.
        pieces: SHA-256, offset, size, bytes.
    """

    sender: Place
    about: list[Any]
    messages: list[Message]
    pieces: list[tuple[bytes, int, int, bytes]]
    is_last: bool


def open_pack(data: bytes, secret: bytes, root: Place) -> PackFile:
    """Section 11.

    Raises:
        Refused: nothing of it may be kept.
    """
    reader = Reader(data)
    need(reader.take(16) == MAGIC, "not a pack")
    size = int.from_bytes(reader.take(4))
    need(size <= 16 << 10, "head is too long")
    receiver, chain, about = cbor(reader.take(size))
    clear = data[: reader.at]
    need(receiver == office_key_id(public_of(secret)), "not for this office")
    sender = read_chain(chain, root)
    sealed_key, signature = reader.take(80), reader.take(64)
    sender.verify(signature, clear + sealed_key)
    opener = ChaCha20Poly1305(open_hpke(sealed_key, secret, clear))
    plain = b""
    count = -(-max(reader.left, 1) // (PIECE_SIZE_BYTES + 16))
    for number in range(count):
        piece = reader.take(min(reader.left, PIECE_SIZE_BYTES + 16))
        plain += unlock(opener, number.to_bytes(11) + bytes([number == count - 1]), piece)
    return read_entries(plain, sender, cbor(about))


def read_entries(plain: bytes, sender: Place, about: list[Any]) -> PackFile:
    reader, found, pieces = Reader(plain), list[Message](), list[tuple[bytes, int, int, bytes]]()
    while True:
        kind, size = reader.take(1)[0], int.from_bytes(reader.take(4))
        need(size <= ENTRY_SIZE_BYTES_MAX, "entry is too long")
        content = Reader(reader.take(size))
        if kind == 1:
            with zstandard.ZstdDecompressor(max_window_size=2 << 20).stream_reader(
                content.take(content.left)
            ) as stream:
                found += messages.read(stream.read(messages.MESSAGES_SIZE_BYTES_MAX + 1))
        elif kind == 2:
            name, offset = content.take(32), int.from_bytes(content.take(8))
            whole = int.from_bytes(content.take(8))
            pieces.append((name, offset, whole, content.take(content.left)))
        else:
            need(kind == 3 and not reader.left, "end of the part")
            return PackFile(sender, about, found, pieces, content.take(1) == b"\1")
