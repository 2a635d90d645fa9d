"""The sync message of Automerge, taken apart: who holds what, and the changes one by one.

The binding applies what a message brings, all of it; changes of a device must be judged first. So
they are taken out, and the binding gets the rest. Layout: automerge rust/automerge/src/sync.rs.
"""

from dataclasses import dataclass, replace
from typing import Final

from schemas.limits import LEAF_BYTES_MAX
from sync.change import uleb
from sync.columns import Reader
from sync.errors import ChangeError

_VERSION_1: Final = 0x42
# Holds whole documents, which unpack to any size.
_VERSION_2: Final = 0x43
_HASH_BYTES: Final = 32
_HASHES_MAX: Final = 4_096
_HAVES_MAX: Final = 16
_CHANGES_MAX: Final = 1 << 16
# What Automerge's own filter has, in bits an entry and in probes; more probes only cost time.
_BITS: Final = 10
_PROBES: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMessage:
    """One message.

    Attributes:
        version: its first byte.
        front: heads, needs and what the sender has, as they stand.
        changes: change chunks.
    """

    version: int
    front: bytes
    changes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the bytes, without the flags that would allow for whole documents in answers."""
        chunks = b"".join(uleb(len(chunk)) + chunk for chunk in self.changes)
        return bytes([self.version]) + self.front + uleb(len(self.changes)) + chunks

    def without_changes(self) -> "SyncMessage":
        """Return the same message without its changes."""
        return replace(self, changes=())


def parse_sync_message(data: bytes) -> SyncMessage:
    """Return the parts of a message from a device.

    Raises:
        ChangeError: not a message of version 1, or beyond a limit.
    """
    message = _parse(data, LEAF_BYTES_MAX)
    if message.version != _VERSION_1:
        raise ChangeError("sync_message_version", "a sync message of a version not spoken here")
    return message


def without_flags(data: bytes) -> bytes:
    """Return a message of the binding's without the flags at its end."""
    return _parse(data, len(data)).encode()


def _parse(data: bytes, chunk_bytes_max: int) -> SyncMessage:
    if not data or data[0] not in (_VERSION_1, _VERSION_2):
        raise ChangeError("sync_message_malformed", "not a sync message of Automerge")
    try:
        reader = Reader(data, 1)
        for _ in range(2):
            reader.take(_HASH_BYTES * reader.count(_HASHES_MAX))
        for _ in range(reader.count(_HAVES_MAX)):
            reader.take(_HASH_BYTES * reader.count(_HASHES_MAX))
            _check_filter(reader.blob())
        front = data[1 : reader.position]
        changes = tuple(reader.blob() for _ in range(reader.count(_CHANGES_MAX)))
    except IndexError as error:
        raise ChangeError("sync_message_malformed", "the sync message ends early") from error
    if any(len(chunk) > chunk_bytes_max for chunk in changes):
        raise ChangeError("change_too_long", "a change is too long")
    return SyncMessage(version=data[0], front=front, changes=changes)


def _check_filter(data: bytes) -> None:
    """Refuse a Bloom filter whose numbers would keep the binding busy."""
    if not data:
        return
    reader = Reader(data)
    entries, bits, probes = reader.uint(), reader.uint(), reader.uint()
    size = len(data) - reader.position
    if not entries or (bits, probes) != (_BITS, _PROBES) or size != -(-entries * bits // 8):
        raise ChangeError("sync_message_malformed", "a filter that Automerge does not make")
