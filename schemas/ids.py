"""Identifiers minted at the node, so that nothing waits for a number from elsewhere."""

import random
import uuid
from typing import NewType

from schemas.errors import RecordError

DocumentId = NewType("DocumentId", bytes)
EventId = NewType("EventId", str)
LogId = NewType("LogId", bytes)
DeviceId = NewType("DeviceId", bytes)


def mint_document_id(now_ms: int, rng: random.Random) -> DocumentId:
    """Return a UUIDv7 (RFC 9562 section 5.7): 48 bits of time, 74 bits of randomness."""
    value = (now_ms & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | rng.getrandbits(12) << 64
    value |= 0b10 << 62 | rng.getrandbits(62)
    return DocumentId(value.to_bytes(16, "big"))


def document_text(document_id: bytes) -> str:
    """Return the usual 36-character text of a document id."""
    digits = document_id.hex()
    if len(digits) != 32:
        raise ValueError(f"a document id of {len(document_id)} bytes")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_document_id(text: str) -> DocumentId:
    """Return the id written as 36-character text.

    Raises:
        RecordError: the text is not the canonical form of a UUID.
    """
    try:
        value = uuid.UUID(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError("id_malformed", f"not a document id: {text!r:.60}") from error
    if str(value) != text:
        raise RecordError("id_malformed", f"not the canonical form of a document id: {text!r:.60}")
    return DocumentId(value.bytes)


def event_id(hlc: int, device: bytes) -> EventId:
    """Return the 24 hex digits of an event: its clock reading, then 4 bytes of its device.

    Sorting ids as text sorts by clock; the id costs nothing to send because the leaf names both.
    """
    return EventId(hlc.to_bytes(8, "big").hex() + device[:4].hex())


def event_hlc(event: str) -> int:
    """Return the clock reading inside an event id."""
    return int(event[:16], 16)
