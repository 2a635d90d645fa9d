"""The word of a node that a key below it counts no longer, and up to where its logs still do."""

from dataclasses import dataclass, field
from typing import Any, Final

import cbor2

from schemas.errors import RecordError
from schemas.limits import (
    CODE_CHARS_MAX,
    REVOCATION_BYTES_MAX,
    REVOCATION_CHARS_MAX,
    REVOCATION_LOGS_MAX,
)
from schemas.record import decode_cbor

_TIME_MAX: Final = 1 << 53
_SEQ_MAX: Final = (1 << 53) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Up to where a log of a revoked key counts.

    Attributes:
        last_valid_seq: number of the last leaf that does.
        root: 32 bytes, RFC 6962 root over the leaves up to that one, so that it is no other log.
    """

    log_id: bytes
    last_valid_seq: int
    root: bytes

    @property
    def size(self) -> int:
        """How many leaves count."""
        return self.last_valid_seq + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What is said; nothing of the key counts but what the marks name.

    Attributes:
        key: peer id of the revoked node, 32 bytes.
        code: code in its certificate.
        marks: by log id, ascending, each log once.
        reason: for people.
        at_ms: wall clock of the signer.
    """

    key: bytes
    code: str
    marks: tuple[Mark, ...]
    reason: str
    at_ms: int

    def encode(self) -> bytes:
        """Return the bytes that are signed, behind what says what they are."""
        marks = [[mark.log_id, mark.last_valid_seq, mark.root] for mark in self.marks]
        return cbor2.dumps([self.key, self.code, marks, self.reason, self.at_ms], canonical=True)

    def mark(self, log_id: bytes) -> Mark | None:
        """Return the mark of a log, None if nothing of it counts."""
        return next((mark for mark in self.marks if mark.log_id == log_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A revocation with its proof; anybody can pass it on.

    Attributes:
        said: the encoded revocation.
        chain: DER certificates of who signed, its own first, without the root.
        signature: 64 bytes.
    """

    said: bytes
    chain: tuple[bytes, ...]
    signature: bytes
    revocation: Revocation = field(repr=False)

    def encode(self) -> bytes:
        """Return the bytes that travel."""
        return cbor2.dumps([self.said, list(self.chain), self.signature], canonical=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationLeaf:
    """Body of a REVOCATION leaf.

    Attributes:
        statement: encoded.
        voided: in a `down` log, changes in it that count no longer: (document, hash).
    """

    statement: bytes
    voided: tuple[tuple[bytes, bytes], ...] = ()

    def encode(self) -> bytes:
        """Return the body."""
        voided = [document + digest for document, digest in self.voided]
        return cbor2.dumps([self.statement, voided], canonical=True)


def decode_statement(data: bytes) -> Statement:
    """Return the statement in data; nothing is verified.

    Raises:
        RecordError: not the deterministic encoding of a statement, or beyond a limit.
    """
    if len(data) > REVOCATION_BYTES_MAX:
        raise RecordError("revocation_malformed", f"a revocation of {len(data)} bytes")
    said, chain, signature = _items(data, 3)
    if not (_is_bytes(said) and _is_bytes(signature, 64)):
        raise RecordError("revocation_malformed", "content and signature are byte strings")
    if not (isinstance(chain, list) and 1 <= len(chain) <= 4 and all(map(_is_bytes, chain))):
        raise RecordError("revocation_malformed", "a chain has one to four certificates")
    statement = Statement(
        said=said, chain=tuple(chain), signature=signature, revocation=_decode_said(said)
    )
    if statement.encode() != data:
        raise RecordError("revocation_malformed", "it is not in its deterministic encoding")
    return statement


def decode_revocation_leaf(body: bytes) -> RevocationLeaf:
    """Return the body of a REVOCATION leaf; the statement in it is not looked at.

    Raises:
        RecordError: the body does not have that shape.
    """
    statement, voided = _items(body, 2)
    if not (_is_bytes(statement) and isinstance(voided, list)):
        raise RecordError("revocation_malformed", "a statement and a list of changes")
    if not all(_is_bytes(item, 48) for item in voided):
        raise RecordError("revocation_malformed", "a change is named by document and hash")
    leaf = RevocationLeaf(
        statement=statement, voided=tuple((item[:16], item[16:]) for item in voided)
    )
    if leaf.encode() != body:
        raise RecordError("revocation_malformed", "it is not in its deterministic encoding")
    return leaf


def _decode_said(said: bytes) -> Revocation:
    key, code, marks, reason, at_ms = _items(said, 5)
    if not (_is_bytes(key, 32) and isinstance(code, str) and len(code) <= CODE_CHARS_MAX):
        raise RecordError("revocation_malformed", "a node is named by its key and its code")
    if not (isinstance(reason, str) and len(reason) <= REVOCATION_CHARS_MAX):
        raise RecordError("revocation_malformed", "the reason is a short text")
    if not _is_uint(at_ms, _TIME_MAX):
        raise RecordError("revocation_malformed", "the time is a number")
    if not (isinstance(marks, list) and len(marks) <= REVOCATION_LOGS_MAX):
        raise RecordError("revocation_malformed", "the logs are a list, and not too many")
    found = tuple(_mark(item) for item in marks)
    names = [mark.log_id for mark in found]
    if names != sorted(set(names)):
        raise RecordError("revocation_malformed", "logs are named once, in the order of their ids")
    revocation = Revocation(key=key, code=code, marks=found, reason=reason, at_ms=at_ms)
    if revocation.encode() != said:
        raise RecordError("revocation_malformed", "it is not in its deterministic encoding")
    return revocation


def _mark(item: object) -> Mark:
    if not (isinstance(item, list) and len(item) == 3):
        raise RecordError("revocation_malformed", "a log is named with its last leaf and a root")
    log_id, seq, root = item
    if not (_is_bytes(log_id, 16) and _is_uint(seq, _SEQ_MAX) and _is_bytes(root, 32)):
        raise RecordError("revocation_malformed", "a log is named with its last leaf and a root")
    return Mark(log_id=log_id, last_valid_seq=seq, root=root)


def _items(data: bytes, count: int) -> list[Any]:
    items = decode_cbor(data, "revocation")
    if not isinstance(items, list) or len(items) != count:
        raise RecordError("revocation_malformed", f"expected an array of {count} items")
    return items


def _is_bytes(value: object, size: int | None = None) -> bool:
    return isinstance(value, bytes) and size in (None, len(value))


def _is_uint(value: object, maximum: int) -> bool:
    return type(value) is int and 0 <= value <= maximum
