"""Messages by which two nodes compare what they hold of each other's logs, and mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import MessageError
from schemas.limits import AUDIT_BYTES_MAX, GAPS_MAX, LEAF_BYTES_MAX
from schemas.wire_items import read_array, read_blob, read_bytes, read_list, read_uint

# A tree of 2^53 leaves is no higher.
_PROOF_HASHES_MAX = 53
_STEPS_MAX = 1 << 16
Gaps = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """One turn of a reconciliation.

    Attributes:
        log: id of the log whose leaves are compared; empty where all logs of the link are.
        step: 0 for the first turn; even ones come from who began.
        data: a negentropy message; empty in the last turn, which has no answer.
        lacks: (first, count) of the leaves that the receiver was found to lack, in the last turn.
    """

    log: bytes
    step: int
    data: bytes
    lacks: Gaps = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Asks for leaves by their numbers, or gives one of them with its proof.

    Attributes:
        gaps: (first, count) of what is asked for; empty in an answer.
        seq: number of the leaf given.
        leaf: empty where the asked side does not hold it.
        size: leaves under the head that the proof leads to; 0 where there is none, because the disk
            of the asked side lost leaves beside this one.
        signature: of the log's owner over that head.
        proof: hashes from the leaf's sibling up.
    """

    log: bytes
    gaps: Gaps = ()
    seq: int = 0
    leaf: bytes = b""
    size: int = 0
    signature: bytes = b""
    proof: tuple[bytes, ...] = ()


def audit_items(message: Reconcile | Repair) -> list[Any]:
    """Return the items of a message behind its kind."""
    if isinstance(message, Reconcile):
        return [message.log, message.step, message.data, [list(gap) for gap in message.lacks]]
    if message.gaps:
        return [message.log, [list(gap) for gap in message.gaps]]
    proof = list(message.proof)
    return [message.log, message.seq, message.leaf, message.size, message.signature, proof]


def read_reconcile(body: Sequence[Any]) -> Reconcile:
    """Return the message.

    Raises:
        MessageError: malformed, or beyond a limit.
    """
    log, step, data, lacks = read_array(body, 4)
    return Reconcile(
        log=b"" if log == b"" else read_bytes(log, 16),
        step=read_uint(step, _STEPS_MAX),
        data=read_blob(data, AUDIT_BYTES_MAX),
        lacks=_gaps(lacks),
    )


def read_repair(body: Sequence[Any]) -> Repair:
    """Return the message.

    Raises:
        MessageError: malformed, or beyond a limit.
    """
    if len(body) == 2:
        gaps = _gaps(body[1])
        if not gaps:
            raise MessageError("message_malformed", "a request for no leaf")
        return Repair(log=read_bytes(body[0], 16), gaps=gaps)
    log, seq, leaf, size, signature, proof = read_array(body, 6)
    return Repair(
        log=read_bytes(log, 16),
        seq=read_uint(seq),
        leaf=read_blob(leaf, LEAF_BYTES_MAX),
        size=read_uint(size),
        signature=b"" if signature == b"" else read_bytes(signature, 64),
        proof=tuple(read_bytes(item, 32) for item in read_list(proof, _PROOF_HASHES_MAX)),
    )


def _gaps(value: object) -> Gaps:
    found: list[tuple[int, int]] = []
    end = 0
    for item in read_list(value, GAPS_MAX):
        first, count = (read_uint(number) for number in read_array(item, 2))
        if first < end or not count:
            raise MessageError("message_malformed", "gaps are not in order, or empty")
        end = first + count
        found.append((first, count))
    return tuple(found)
