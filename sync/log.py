"""One log as it stands in the running transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from crypto.merkle import Frontier, leaf_hash
from crypto.note import TreeHead, log_origin

# Every so many leaves the head on the way is kept, so that a long log can be taken in pieces: what
# it covers is taken into use in one transaction, for which all others wait.
HEAD_STEP: Final = 1_024
SUBTREE_LEVEL: Final = 8
UP: Final = "up"
SELECT_LOG: Final = (
    "SELECT number, log_id, owner, purpose, epoch, tier, code, source, size, frontier,"
    " head_signature, awaited_size, awaited_root, awaited_signature, fault, doubts,"
    " valid_size FROM log"
)
UPDATE_LOG: Final = (
    "UPDATE log SET tier=?, code=?, source=?, size=?, frontier=?, head_signature=?,"
    " awaited_size=?, awaited_root=?, awaited_signature=?, fault=?, doubts=?, valid_size=?"
    " WHERE number=?"
)


class Growth(NamedTuple):
    """What leaves make of a tree.

    Attributes:
        completed: subtrees, as (level, position, hash).
    """

    frontier: Frontier
    completed: list[tuple[int, int, bytes]]


def grown(frontier: Frontier, hashes: Iterable[bytes]) -> Growth:
    """Return what a tree becomes with more leaves, by their hashes; it stays as it is."""
    found = Growth(frontier.copy(), [])
    for digest in hashes:
        found.completed.extend(found.frontier.append(digest))
    return found


@dataclass(slots=True, kw_only=True)
class Log:
    """One log as it stands in the running transaction.

    Attributes:
        number: row number in this store.
        source: the peer that sends it to us; None for our own logs.
        tier: tier of the owner, empty until its certificate arrived.
        frontier: covers all leaves; equals the signed head outside a transaction.
        awaited: newest head received whose leaves are not all here: (size, root, signature).
        fault: code of the alarm that stopped this log, or empty.
        doubts: how often in a row the leaves that came did not add up to their head.
        unsigned: own leaves were appended and the head is not signed yet.
        valid: how many leaves count of a log whose owner's key is revoked; None: all.
        arrivals: counts what came and went, so that two who receive it notice each other.
    """

    number: int
    log_id: bytes
    owner: bytes
    purpose: str
    epoch: int
    tier: str = ""
    code: str = ""
    source: bytes | None = None
    frontier: Frontier = field(default_factory=Frontier)
    head_signature: bytes = b""
    awaited: tuple[int, bytes, bytes] | None = None
    fault: str = ""
    doubts: int = 0
    unsigned: bool = False
    valid: int | None = None
    dirty: bool = False
    arrivals: int = 0
    subtrees: list[tuple[int, int, bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.frontier.size

    @property
    def origin(self) -> str:
        """Origin line of its tree heads."""
        return log_origin(self.code, self.log_id)

    @property
    def counted(self) -> int:
        """Number of leaves that count; the others came after the owner's key was revoked."""
        return self.size if self.valid is None else min(self.size, self.valid)

    def head(self) -> TreeHead:
        """Return the tree head over all leaves."""
        return TreeHead(origin=self.origin, size=self.size, root=self.frontier.root())

    def extend(self, leaf: bytes) -> int:
        """Append a leaf to the tree and return its number."""
        seq = self.frontier.size
        self._complete(self.frontier.append(leaf_hash(leaf)))
        return seq

    def grow(self, grown: Growth) -> None:
        """Append leaves to the tree, which were appended to a copy of it."""
        self.frontier = grown.frontier
        self._complete(grown.completed)

    def _complete(self, subtrees: Sequence[tuple[int, int, bytes]]) -> None:
        self.subtrees += [subtree for subtree in subtrees if subtree[0] % SUBTREE_LEVEL == 0]
        self.dirty = True


def log_of(row: tuple[Any, ...]) -> Log:
    """Return the log in a row of SELECT_LOG."""
    awaited = (row[11], bytes(row[12]), bytes(row[13])) if row[11] else None
    return Log(
        number=row[0],
        log_id=bytes(row[1]),
        owner=bytes(row[2]),
        purpose=row[3],
        epoch=row[4],
        tier=row[5],
        code=row[6],
        source=None if row[7] is None else bytes(row[7]),
        frontier=Frontier.decode(row[8], bytes(row[9])),
        head_signature=bytes(row[10]),
        awaited=awaited,
        fault=row[14],
        doubts=row[15],
        valid=row[16],
    )


def row_of(log: Log) -> tuple[Any, ...]:
    """Return the parameters of UPDATE_LOG for a log."""
    return (
        log.tier,
        log.code,
        log.source,
        log.size,
        log.frontier.encode(),
        log.head_signature,
        *(log.awaited or (0, b"", b"")),
        log.fault,
        log.doubts,
        log.valid,
        log.number,
    )
