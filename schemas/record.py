"""The leaf: one record of a signed log, and the two bodies that the log itself defines.

A leaf is deterministic CBOR (RFC 8949 section 4.2.1): `[type, writer, document, hlc, body]`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import cbor2

from schemas.cbor import read_item
from schemas.errors import RecordError
from schemas.hlc import HLC_MAX
from schemas.limits import LEAF_BYTES_MAX

# How CBOR begins: an array of five with a 0; what stands behind it, up to the length of the body.
_CHANGE_START: Final = b"\x85\x00"
_DOCUMENT_HEAD, _CLOCK_HEAD, _BODY_HEAD, _LONG_BODY_HEAD = 0x50, 0x1B, 0x58, 0x59
# A number below is its own head.
_ONE_BYTE: Final = 24
_USUAL_BYTES_MIN: Final = 32
# Fewer could be those of somebody else by chance.
_ACTOR_BYTES: Final = range(16, 33)


class LeafType(IntEnum):
    """What the body of a leaf is; unknown types are stored and listed, never dropped."""

    CHANGE = 0
    WRITER = 1
    CERTIFICATES = 2
    REVOCATION = 3
    TRAIL = 4


class Leaf(NamedTuple):
    """One record; a tuple, because so many are made.

    Attributes:
        type: a LeafType, or a number that a newer program defined.
        writer: number of the writer in this log, as a WRITER leaf before it declared.
        document: 16 bytes, or empty for leaves that belong to the log itself.
        hlc: hybrid logical clock reading.
        body: Automerge change, or CBOR of the body that the type defines.
    """

    type: int
    writer: int
    document: bytes
    hlc: int
    body: bytes

    def encode(self) -> bytes:
        """Return the bytes that are hashed into the log."""
        return cbor2.dumps([*self], canonical=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who wrote: a person, in a role, at a device, of a node. Body of a WRITER leaf.

    Attributes:
        node: Ed25519 public key of the node that vouches, 32 bytes.
        device: device id, 16 bytes.
        epoch: epoch of the node's log when the device wrote.
        tier: tier of the node, as in its certificate.
        code: code of the node, as in its certificate.
        user: account name at that node.
        name: the person's name as shown.
        role: a Role value.
        actor: that the device's program chose for itself, and that is this writer's from now on;
            empty when the actor follows from the ids.
    """

    node: bytes
    device: bytes
    epoch: int
    tier: str
    code: str
    user: str
    name: str
    role: str
    actor: bytes = b""

    def encode(self) -> bytes:
        """Return the body of a WRITER leaf."""
        items: list[bytes | int | str] = [
            self.node,
            self.device,
            self.epoch,
            self.tier,
            self.code,
            self.user,
            self.name,
            self.role,
        ]
        if self.actor:
            items.append(self.actor)
        return cbor2.dumps(items, canonical=True)


def decode_leaf(data: bytes) -> Leaf:
    """Return the leaf in data.

    Raises:
        RecordError: not the deterministic encoding of a leaf.
    """
    if len(data) > LEAF_BYTES_MAX:
        raise RecordError("leaf_too_long", f"a leaf of {len(data)} bytes")
    return _usual_leaf(data) or _any_leaf(data)


def _usual_leaf(data: bytes) -> Leaf | None:
    """Return a change by one of the first writers, laid out as it must be; None for other leaves.

    Nearly all leaves are such, and each is read several times on its way.
    """
    if len(data) < _USUAL_BYTES_MIN or data[:2] != _CHANGE_START:
        return None
    if data[2] >= _ONE_BYTE or data[3] != _DOCUMENT_HEAD or data[20] != _CLOCK_HEAD:
        return None
    hlc, at = int.from_bytes(data[21:29], "big"), 31
    if data[29] == _BODY_HEAD:
        size, is_shortest = data[30], data[30] >= _ONE_BYTE
    else:
        size, is_shortest, at = data[30] << 8 | data[31], data[30] > 0, 32
        if data[29] != _LONG_BODY_HEAD:
            return None
    if not (is_shortest and 1 << 32 <= hlc <= HLC_MAX and at + size == len(data)):
        return None
    return Leaf(type=0, writer=data[2], document=data[4:20], hlc=hlc, body=data[at:])


def _any_leaf(data: bytes) -> Leaf:
    items = decode_cbor(data, "leaf")
    if not isinstance(items, list) or len(items) != 5:
        raise RecordError("leaf_malformed", "a leaf is an array of five items")
    kind, writer, document, hlc, body = items
    if not (_is_uint(kind, 255) and _is_uint(writer, 1 << 32) and _is_uint(hlc, HLC_MAX)):
        raise RecordError("leaf_malformed", "type, writer and clock of a leaf are small integers")
    if not (isinstance(document, bytes) and isinstance(body, bytes) and len(document) in (0, 16)):
        raise RecordError("leaf_malformed", "document and body of a leaf are byte strings")
    leaf = Leaf(type=kind, writer=writer, document=document, hlc=hlc, body=body)
    if leaf.encode() != data:
        raise RecordError("leaf_not_canonical", "the leaf is not in its deterministic encoding")
    return leaf


def decode_writer(body: bytes) -> Writer:
    """Return the writer in the body of a WRITER leaf.

    Raises:
        RecordError: the body does not have that shape.
    """
    items = decode_cbor(body, "writer")
    if not isinstance(items, list) or len(items) not in (8, 9):
        raise RecordError("writer_malformed", "a writer is an array of eight or nine items")
    node, device, epoch, *texts = items[:8]
    actor = items[8] if len(items) > 8 else b""
    if not (isinstance(node, bytes) and len(node) == 32):
        raise RecordError("writer_malformed", "the node key has 32 bytes")
    if not (isinstance(device, bytes) and len(device) == 16 and _is_uint(epoch, 1 << 32)):
        raise RecordError("writer_malformed", "the device id has 16 bytes, the epoch is a number")
    if not all(isinstance(text, str) and len(text) <= 200 for text in texts):
        raise RecordError("writer_malformed", "the names of a writer are short texts")
    if not isinstance(actor, bytes) or len(actor) not in (0, *_ACTOR_BYTES):
        raise RecordError("writer_malformed", "an actor has 16 to 32 bytes")
    tier, code, user, name, role = texts
    writer = Writer(
        node=node,
        device=device,
        epoch=epoch,
        tier=tier,
        code=code,
        user=user,
        name=name,
        role=role,
        actor=actor,
    )
    if writer.encode() != body:
        raise RecordError("writer_malformed", "the writer is not in its deterministic encoding")
    return writer


def encode_certificates(chain: list[bytes]) -> bytes:
    """Return the body of a CERTIFICATES leaf: DER certificates, leaf first, without the root."""
    return cbor2.dumps(chain, canonical=True)


def decode_certificates(body: bytes) -> list[bytes]:
    """Return the DER certificates in the body of a CERTIFICATES leaf.

    Raises:
        RecordError: the body does not have that shape.
    """
    items = decode_cbor(body, "certificates")
    if not isinstance(items, list) or not 1 <= len(items) <= 4:
        raise RecordError("certificates_malformed", "a chain has one to four certificates")
    if not all(isinstance(item, bytes) for item in items):
        raise RecordError("certificates_malformed", "a chain is a list of DER certificates")
    if encode_certificates(items) != body:
        raise RecordError("certificates_malformed", "the chain is not deterministically encoded")
    return list(items)


def decode_cbor(data: bytes, what: str) -> Any:
    """Return the one CBOR item that fills data.

    Raises:
        RecordError: data is not exactly one CBOR item.
    """
    try:
        return read_item(data)
    except ValueError as error:
        raise RecordError(f"{what}_malformed", f"this {what} is not CBOR: {error}") from error


def _is_uint(value: object, maximum: int) -> bool:
    return type(value) is int and 0 <= value <= maximum
