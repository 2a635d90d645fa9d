"""Reads stored leaves again and compares them with the tree that their log's owner signed.

A disk may lose a row or flip a bit long after the leaf was checked and cosigned. The head in the
log's row decides: the frontier leads to the root that the owner signed, the stored subtree hashes
to the frontier, and the leaves to those.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crypto.merkle import Frontier, leaf_hash, parent_hash, root_at
from schemas.hlc import has_passed
from sync.errors import LogError
from sync.log import SUBTREE_LEVEL, Log
from sync.negentropy import INFINITY, Bound, Item
from sync.store import Store

# All leaves are read once in so long, if a block each time that SCRUB_STEP_MS pass is enough.
SCRUB_MS: Final = 24 * 60 * 60 * 1000
SCRUB_STEP_MS: Final = 5_000
# Blocks read at a time where somebody waits for it: some ten milliseconds.
HASTE_BLOCKS: Final = 16
_SAVED_BLOCKS: Final = 64
_SUM_MASK: Final = (1 << 256) - 1


@dataclass(frozen=True, slots=True)
class Block:
    """Leaves of one block as they stand on the disk.

    Attributes:
        hashes: of each leaf, None where there is none.
    """

    first: int
    hashes: tuple[bytes | None, ...]

    def ids(self) -> Iterator[bytes]:
        """Yield the ids of its leaves in a reconciliation."""
        for seq, digest in enumerate(self.hashes, self.first):
            yield leaf_id(seq, digest)


def leaf_id(seq: int, digest: bytes | None) -> bytes:
    """Return what stands for a leaf in a reconciliation; the hash of one that is lost is None.

    The number is in it, because a leaf may stand in its log twice.
    """
    return hashlib.sha256(seq.to_bytes(8, "big") + (digest or b"")).digest()


def read_leaves(store: Store, log: Log, start: int, end: int) -> Block:
    """Return leaves from start up to, not including, end."""
    rows = store.db.execute(
        "SELECT seq, data FROM leaf WHERE log = ? AND seq >= ? AND seq < ?",
        (log.number, start, end),
    )
    found = {seq: leaf_hash(data) for seq, data in rows}
    return Block(start, tuple(found.get(seq) for seq in range(start, end)))


def read_block(store: Store, log: Log, position: int) -> Block:
    """Return a block, the last one as far as the log goes."""
    start = position << SUBTREE_LEVEL
    return read_leaves(store, log, start, min(log.size, start + (1 << SUBTREE_LEVEL)))


def block_count(log: Log) -> int:
    """Return how many blocks a log has, the last one counted though it is not full."""
    return (log.size + (1 << SUBTREE_LEVEL) - 1) >> SUBTREE_LEVEL


def adds_up(store: Store, log: Log, position: int, block: Block) -> bool:
    """Tell whether a block is what the log's head covers.

    A subtree hash that is wrong while leaves and head agree is put right.
    """
    frontier = Frontier()
    for digest in block.hashes:
        if digest is None:
            return False
        frontier.append(digest)
    if frontier.size < 1 << SUBTREE_LEVEL:
        # What is not under a stored hash yet is in the log's own frontier.
        return log.frontier.hashes[-len(frontier.hashes) :] == frontier.hashes
    found = frontier.root()
    row = store.db.execute(
        "SELECT hash FROM subtree WHERE log = ? AND level = ? AND position = ?",
        (log.number, SUBTREE_LEVEL, position),
    ).fetchone()
    if row is not None and bytes(row[0]) == found:
        return True
    if _root_with(store, log, position, found) != log.frontier.root():
        return False
    _put_subtree(store, log, SUBTREE_LEVEL, position, found)
    return True


def tree_adds_up(store: Store, log: Log) -> bool:
    """Tell whether the hashes of full blocks lead to the frontier; put right those above them."""
    rows = store.db.execute(
        "SELECT position, hash FROM subtree WHERE log = ? AND level = ? ORDER BY position",
        (log.number, SUBTREE_LEVEL),
    ).fetchall()
    frontier, made = Frontier(), []
    for number, (position, digest) in enumerate(rows):
        if number != position:
            return False
        for level, above, joined in frontier.append(bytes(digest)):
            if level % SUBTREE_LEVEL == 0:
                made.append((level + SUBTREE_LEVEL, above, joined))
    full = log.size >> SUBTREE_LEVEL
    if frontier.size != full or log.frontier.hashes[: full.bit_count()] != frontier.hashes:
        return False
    for level, position, digest in made:
        row = store.db.execute(
            "SELECT hash FROM subtree WHERE log = ? AND level = ? AND position = ?",
            (log.number, level, position),
        ).fetchone()
        if row is None or bytes(row[0]) != digest:
            _put_subtree(store, log, level, position, digest)
    return True


def _put_subtree(store: Store, log: Log, level: int, position: int, digest: bytes) -> None:
    store.db.execute(
        "INSERT INTO subtree VALUES (?, ?, ?, ?)"
        " ON CONFLICT (log, level, position) DO UPDATE SET hash = excluded.hash",
        (log.number, level, position, digest),
    )


def _root_with(store: Store, log: Log, position: int, digest: bytes) -> bytes:
    """Return the root over the log with this hash for a block, whatever is stored above it."""

    def subtree(level: int, at: int) -> bytes:
        if level == SUBTREE_LEVEL and at == position:
            return digest
        covers = level > SUBTREE_LEVEL and position >> (level - SUBTREE_LEVEL) == at
        if not covers:
            return store.subtree_hash(log, level, at)
        return parent_hash(subtree(level - 1, 2 * at), subtree(level - 1, 2 * at + 1))

    try:
        return root_at(log.size, subtree)
    except LogError:
        # Another block lacks leaves too.
        return b""


class Survey:
    """A log as it stands on the disk, as a set that is reconciled: item seq of the leaf seq.

    It is read block by block; afterwards a fingerprint over any range reads two blocks at most.
    """

    def __init__(self, store: Store, log: Log) -> None:
        """Nothing is read yet."""
        self._log_id = log.log_id
        self._store = store
        self._size = log.size
        # Sums of ids before each block; reduced when they are read.
        self._sums = [0]

    @property
    def log(self) -> Log:
        """The log, as it stands in the running transaction."""
        log = self._store.find_log(self._log_id)
        if log is None:
            raise LogError("log_unknown", "the log is not in the store")
        return log

    @property
    def is_complete(self) -> bool:
        """Whether all is read."""
        return len(self._sums) > (self._size + (1 << SUBTREE_LEVEL) - 1) >> SUBTREE_LEVEL

    def advance(self, now_ms: int, blocks: int = HASTE_BLOCKS) -> bool:
        """Read on and note what does not add up; return whether all is read."""
        for _ in range(blocks):
            if self.is_complete:
                break
            position = len(self._sums) - 1
            block = look(self._store, self.log, position, now_ms)
            ids = (
                block.ids()
                if block.first + len(block.hashes) <= self._size
                else self._ids(block.first, self._size)
            )
            self._sums.append(self._sums[-1] + sum(int.from_bytes(one, "little") for one in ids))
        return self.is_complete

    def _ids(self, start: int, end: int) -> Iterator[bytes]:
        return read_leaves(self._store, self.log, start, end).ids()

    def size(self) -> int:
        """Return the number of leaves."""
        return self._size

    def items(self, start: int, end: int) -> Iterator[Item]:
        """Yield the leaves of a range, read in pieces of a block."""
        while start < end:
            stop = min(end, start + (1 << SUBTREE_LEVEL))
            yield from (Item(seq, one) for seq, one in enumerate(self._ids(start, stop), start))
            start = stop

    def id_sum(self, start: int, end: int) -> int:
        """Return the sum of these ids modulo 2^256."""
        return (self._sum_before(end) - self._sum_before(start)) & _SUM_MASK

    def _sum_before(self, seq: int) -> int:
        if seq == self._size:
            return self._sums[-1]
        position = seq >> SUBTREE_LEVEL
        rest = self._ids(position << SUBTREE_LEVEL, seq)
        return self._sums[position] + sum(int.from_bytes(one, "little") for one in rest)

    def lower_bound(self, start: int, end: int, bound: Bound) -> int:
        """Return the first index from start whose leaf is not below the bound, or end."""
        at = min(max(bound.timestamp, start), end)
        if at == bound.timestamp < min(end, INFINITY) and bound.prefix:
            (own,) = self._ids(at, at + 1)
            at += own < bound.prefix
        return at


def look(store: Store, log: Log, position: int, now_ms: int) -> Block:
    """Return a block, and note whether it adds up."""
    block = read_block(store, log, position)
    if adds_up(store, log, position, block):
        store.damage.remove(log, position)
    else:
        _note(store, log, position, block, now_ms)
    return block


def is_whole(store: Store, log: Log) -> bool:
    """Tell whether all of a log is what its head covers."""
    return all(
        adds_up(store, log, position, read_block(store, log, position))
        for position in range(block_count(log))
    )


def has_damage(store: Store, log: Log, now_ms: int, first: int = 0) -> bool:
    """Tell whether a log is damaged, by what is known or by looking at its leaves from one on.

    Before anybody is told that a log contradicts what is stored of it: perhaps that is damaged.
    """
    for position in range(first >> SUBTREE_LEVEL, block_count(log)):
        if store.damage.blocks(log):
            break
        look(store, log, position, now_ms)
    return bool(store.damage.blocks(log))


def _note(store: Store, log: Log, position: int, block: Block, now_ms: int) -> None:
    is_first = not store.damage.blocks(log)
    if store.damage.add(log, position, now_ms) and is_first:
        lost = block.hashes.count(None)
        what = f"{lost} of the leaves" if lost else "One or more of the leaves"
        last = block.first + len(block.hashes) - 1
        store.raise_alarm(
            now_ms=now_ms,
            code="audit_missing",
            log_id=log.log_id,
            detail=f"{what} {block.first} to {last} {'are gone from' if lost else 'changed on'}"
            " this disk; they are asked for where copies are",
            evidence="",
        )


class Scrub:
    """Reads all stored leaves again once a day, a block at a time, and goes on after a restart."""

    def __init__(self, store: Store) -> None:
        """Nothing is read yet."""
        self._store = store
        # Log number and block to be read next, and when this round began; None: not looked up.
        self._next: tuple[int, int, int] | None = None

    def step(self, now_ms: int) -> bool:
        """Read a little; return whether there was anything to do."""
        if self._store.damage.suspects:
            self._examine(min(self._store.damage.suspects), now_ms)
            return True
        number, position, began_ms = self._load()
        if not number:
            if not has_passed(SCRUB_MS, began_ms, now_ms):
                return False
            number, position, began_ms = 1, 0, now_ms
        row = self._store.db.execute("SELECT min(number) FROM log WHERE number >= ?", (number,))
        found = row.fetchone()[0]
        if found is None:
            self._store.set_meta("scrubbed", now_ms.to_bytes(8, "big"))
            self._save(0, 0, began_ms)
            return True
        if found != number:
            number, position = found, 0
        log = self._store.log_by_number(number)
        if position < block_count(log):
            look(self._store, log, position, now_ms)
            self._next = (number, position + 1, began_ms)
            if position % _SAVED_BLOCKS == _SAVED_BLOCKS - 1:
                self._save(*self._next)
            return True
        self._finish(log, now_ms)
        self._save(number + 1, 0, began_ms)
        return True

    def _examine(self, number: int, now_ms: int) -> None:
        """Read a log of which something did not add up, before all others."""
        log = self._store.log_by_number(number)
        first = self._store.damage.suspects[number] >> SUBTREE_LEVEL
        end = min(first + HASTE_BLOCKS, block_count(log))
        for position in range(first, end):
            look(self._store, log, position, now_ms)
        if end < block_count(log):
            self._store.damage.suspects[number] = end << SUBTREE_LEVEL
            return
        self._finish(log, now_ms)
        del self._store.damage.suspects[number]

    def _finish(self, log: Log, now_ms: int) -> None:
        """Compare the tree itself; where it does not add up, no block of it is believed."""
        if not self._store.damage.blocks(log) and not tree_adds_up(self._store, log):
            for position in range(log.size >> SUBTREE_LEVEL):
                _note(self._store, log, position, read_block(self._store, log, position), now_ms)

    def _load(self) -> tuple[int, int, int]:
        if self._next is None:
            kept = self._store.meta("scrub") or bytes(24)
            number, position, began = (
                int.from_bytes(kept[at : at + 8], "big") for at in (0, 8, 16)
            )
            self._next = (number, position, began)
        return self._next

    def _save(self, number: int, position: int, began_ms: int) -> None:
        self._next = (number, position, began_ms)
        self._store.set_meta("scrub", b"".join(part.to_bytes(8, "big") for part in self._next))
