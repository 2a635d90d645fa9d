"""Brings leaves that a disk lost back from a peer that holds them, each with its proof."""

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import Final

from crypto.certificates import Subject
from crypto.errors import CryptoError
from crypto.merkle import leaf_hash, root_from_inclusion_proof
from crypto.note import TreeHead, verify_head
from schemas.errors import RecordError
from schemas.hlc import has_passed
from schemas.ids import DocumentId
from schemas.limits import REPAIR_LEAVES, REPAIR_LEAVES_MAX
from schemas.record import decode_leaf
from schemas.wire import Message
from schemas.wire_audit import Repair
from sync.epochs import give_up
from sync.errors import LinkError, LogError
from sync.log import SUBTREE_LEVEL, UP, Log
from sync.replica import Replica
from sync.scope import is_within
from sync.scrub import Block, adds_up, look, read_block

# What was asked for and did not come is asked for again.
ANSWER_MS: Final = 60_000
_TRIES_MAX: Final = 3
# Each more doubles the work of finding out which of them are right.
_UNPROVED_MAX: Final = 8


@dataclass(slots=True)
class _Order:
    """Leaves of one log that are to come back.

    Attributes:
        left: numbers not asked for yet, or asked for in vain.
        asked: numbers on their way.
        came: numbers of the leaves that were put back.
        unproved: leaves that came without a proof, because their block is damaged there too.
    """

    log_id: bytes
    left: list[int]
    count: int
    asked: set[int] = field(default_factory=set)
    asked_at_ms: int = 0
    tries: int = 0
    came: list[int] = field(default_factory=list)
    unproved: dict[int, bytes] = field(default_factory=dict)


class Mending:
    """Both directions of leaves that come back, on one link.

    Attributes:
        came_back: leaves that were put back here so far.
        is_done: leaves were put back, and nothing more is to come.
    """

    def __init__(self, replica: Replica, peer: Subject) -> None:
        """Nothing is asked for yet."""
        self._replica = replica
        self._store = replica.store
        self._peer = peer
        self._orders: deque[_Order] = deque()
        self._giving: deque[tuple[bytes, int]] = deque()
        self._told: set[bytes] = set()
        self._failed: set[bytes] = set()
        self.came_back = 0
        self.is_done = False

    @property
    def is_busy(self) -> bool:
        """Whether leaves are on their way, or asked for."""
        return bool(self._orders or self._giving)

    def order(self, log: Log, wanted: list[tuple[int, int]]) -> int:
        """Ask for leaves, as (first, count), where blocks are damaged; return for how many."""
        blocks = self._store.damage.blocks(log)
        numbers = [
            seq
            for first, count in wanted
            for position in sorted(blocks)
            for seq in range(
                max(first, position << SUBTREE_LEVEL),
                min(first + count, log.size, (position + 1) << SUBTREE_LEVEL),
            )
        ]
        if numbers and all(order.log_id != log.log_id for order in self._orders):
            self._orders.append(_Order(log.log_id, numbers, len(numbers)))
        return len(numbers)

    def pump(self, now_ms: int, room_bytes: int) -> list[Message]:
        """Return leaves that the peer asked for, about so many bytes, and what we ask for next."""
        messages: list[Message] = []
        while self._giving and room_bytes > 0:
            given = self._give(*self._giving.popleft())
            room_bytes -= len(given.leaf) + 32 * len(given.proof)
            messages.append(given)
        while self._orders:
            order = self._orders[0]
            if order.asked and not has_passed(ANSWER_MS, order.asked_at_ms, now_ms):
                break
            order.tries = order.tries + 1 if order.asked else 0
            order.left = [*sorted(order.asked), *order.left]
            order.asked.clear()
            if order.left and order.tries < _TRIES_MAX:
                messages.append(self._ask(order, now_ms))
                break
            self._orders.popleft()
            self._close(order, now_ms)
        return messages

    def _ask(self, order: _Order, now_ms: int) -> Repair:
        wanted, order.left = order.left[:REPAIR_LEAVES], order.left[REPAIR_LEAVES:]
        order.asked, order.asked_at_ms = set(wanted), now_ms
        return Repair(log=order.log_id, gaps=gaps_of(wanted))

    # The side that holds them

    def on_request(self, log: Log, request: Repair, now_ms: int) -> None:
        """Note what the peer asks for.

        Raises:
            LinkError: it asks for more than it may.
        """
        count = sum(count for _, count in request.gaps)
        if count + len(self._giving) > REPAIR_LEAVES_MAX:
            raise LinkError("repair_too_much", "the peer asks for too many leaves at once")
        for first, length in request.gaps:
            self._giving.extend((log.log_id, seq) for seq in range(first, first + length))
        if log.log_id not in self._told and request.gaps[0][0] < log.size:
            self._told.add(log.log_id)
            self._store.raise_alarm(
                now_ms=now_ms,
                code="audit_missing",
                log_id=log.log_id,
                detail=f"{self._peer.name} lost leaves of this log and asks for them, the first is"
                f" {request.gaps[0][0]}; those that are here are given back",
                evidence="",
            )

    def _give(self, log_id: bytes, seq: int) -> Repair:
        """Return a leaf with its proof, or say that it is not here as its log's head covers it."""
        log = self._store.find_log(log_id)
        nothing = Repair(log=log_id, seq=seq)
        if log is None or seq >= log.size:
            return nothing
        try:
            leaf = self._store.leaf(log.number, seq)
        except LogError:
            return nothing
        try:
            proof = tuple(self._store.inclusion_proof(log, seq, log.size))
        except LogError:
            return replace(nothing, leaf=leaf)
        root = root_from_inclusion_proof(
            entry_hash=leaf_hash(leaf), index=seq, size=log.size, proof=proof
        )
        if root != log.frontier.root():
            # Our own copy, or a neighbour that the proof is made with, is damaged.
            self._store.damage.suspect(log.number, seq)
            return replace(nothing, leaf=leaf)
        return Repair(
            log=log_id,
            seq=seq,
            leaf=leaf,
            size=log.size,
            signature=log.head_signature,
            proof=proof,
        )

    # The side that lost them

    def on_leaf(self, log: Log, given: Repair, now_ms: int) -> None:
        """Put a leaf back that was asked for, if it is the one that the log's owner signed."""
        order = next((order for order in self._orders if order.log_id == log.log_id), None)
        if order is None or given.seq not in order.asked:
            # Asked for twice and come twice, or late.
            return
        order.asked.remove(given.seq)
        order.tries = 0
        row = self._store.db.execute(
            "SELECT data FROM leaf WHERE log = ? AND seq = ?", (log.number, given.seq)
        ).fetchone()
        is_other = row is None or bytes(row[0]) != given.leaf
        if not (given.leaf and is_other):
            return
        if not given.size and len(order.unproved) < _UNPROVED_MAX:
            order.unproved[given.seq] = given.leaf
        elif self._is_genuine(log, given):
            self._put_back(order, log, given.seq, given.leaf)

    def _put_back(self, order: _Order, log: Log, seq: int, leaf: bytes) -> None:
        self._store.db.execute(
            "INSERT INTO leaf VALUES (?, ?, ?)"
            " ON CONFLICT (log, seq) DO UPDATE SET data = excluded.data",
            (log.number, seq, leaf),
        )
        order.came.append(seq)

    def _try_unproved(self, order: _Order, log: Log) -> None:
        """Put leaves back without a proof where a block adds up with some of them."""
        for position in sorted({seq >> SUBTREE_LEVEL for seq in order.unproved}):
            block = read_block(self._store, log, position)
            mine = [seq for seq in order.unproved if seq >> SUBTREE_LEVEL == position]
            for chosen in chain.from_iterable(
                combinations(mine, count) for count in range(1, len(mine) + 1)
            ):
                hashes = list(block.hashes)
                for seq in chosen:
                    hashes[seq - block.first] = leaf_hash(order.unproved[seq])
                if adds_up(self._store, log, position, Block(block.first, tuple(hashes))):
                    for seq in chosen:
                        self._put_back(order, log, seq, order.unproved[seq])
                    break

    def _is_genuine(self, log: Log, given: Repair) -> bool:
        """Tell whether the owner signed a head over this leaf; our own tree may be damaged."""
        try:
            root = root_from_inclusion_proof(
                entry_hash=leaf_hash(given.leaf),
                index=given.seq,
                size=given.size,
                proof=given.proof,
            )
            if given.size == log.size or log.valid is not None:
                # What a revoked key signed beside our head proves nothing.
                return given.size == log.size and root == log.frontier.root()
            head = TreeHead(origin=log.origin, size=given.size, root=root)
            verify_head(log.owner, head, given.signature)
        except CryptoError:
            return False
        return True

    def _close(self, order: _Order, now_ms: int) -> None:
        """Look at what was mended, and say what came of it."""
        log = self._store.find_log(order.log_id)
        if log is None:
            return
        self._try_unproved(order, log)
        for position in sorted({seq >> SUBTREE_LEVEL for seq in order.came}):
            look(self._store, log, position, now_ms)
        # How much of it counts could perhaps not be told without them.
        self._replica.intake.revocations.review(log)
        self._redo(log, order.came, now_ms)
        self.came_back += len(order.came)
        self.is_done |= bool(order.came)
        lacking = order.count - len(order.came) if self._store.damage.blocks(log) else 0
        is_answered = order.tries < _TRIES_MAX
        if lacking and is_answered and is_within(self._replica.subject.code, self._peer.code):
            own = (self._replica.subject.peer_id, UP, self._replica.epoch)
            if (log.owner, log.purpose, log.epoch) == own:
                give_up(self._replica, log, now_ms)
        if not order.came and log.log_id in self._failed:
            # Said on this link before.
            return
        self._failed.add(log.log_id)
        still = f"; {lacking} more differ here, and it has no proof for them" if lacking else ""
        self._store.raise_alarm(
            now_ms=now_ms,
            code="audit_missing",
            log_id=log.log_id,
            detail=f"{len(order.came)} lost leaves came back from {self._peer.name}{still}",
            evidence="",
        )

    def _redo(self, log: Log, numbers: list[int], now_ms: int) -> None:
        """Make documents again of which something was refused while leaves of theirs were lost."""
        db, found = self._store.db, set[DocumentId]()
        for seq in numbers:
            try:
                leaf = decode_leaf(self._store.leaf(log.number, seq))
            except RecordError:
                continue
            document = DocumentId(leaf.document)
            self._replica.intake.documents.close(document)
            if db.execute("SELECT 1 FROM document WHERE id = ?", (document,)).fetchone():
                # What was not passed on for want of it is now.
                self._replica.intake.changed.setdefault(document, set()).add(None)
            if document and not self._is_taken(log, seq):
                # It was lost when its document was made again.
                db.execute(
                    "INSERT OR REPLACE INTO dead_letter VALUES (?, ?, ?, 'leaf_missing', '')",
                    (log.number, seq, document),
                )
            row = db.execute("SELECT 1 FROM dead_letter WHERE document = ?", (document,)).fetchone()
            if document and row:
                found.add(document)
        if not self._store.damage.logs():
            rows = db.execute("SELECT document FROM dead_letter WHERE code = 'leaf_missing'")
            found |= {DocumentId(bytes(row[0])) for row in rows if row[0]}
            self._replica.intake.redo(found, now_ms)

    def _is_taken(self, log: Log, seq: int) -> bool:
        """Tell whether a leaf is in use, waits for another, or was refused as what it is."""
        row = self._store.db.execute(
            "SELECT 1 FROM change WHERE log = ?1 AND seq = ?2 UNION ALL"
            " SELECT 1 FROM waiting_change WHERE log = ?1 AND seq = ?2 UNION ALL"
            " SELECT 1 FROM dead_letter WHERE log = ?1 AND seq = ?2 AND document <> x''",
            (log.number, seq),
        ).fetchone()
        return row is not None


def gaps_of(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    """Return ascending numbers as (first, count)."""
    found: list[tuple[int, int]] = []
    for seq in numbers:
        if found and sum(found[-1]) == seq:
            first, count = found.pop()
            found.append((first, count + 1))
        else:
            found.append((seq, 1))
    return tuple(found)
