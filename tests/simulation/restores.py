"""Disks that are put back to what they held, by the command or behind the program's back."""

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import cbor2

from schemas.codes import Tier
from schemas.errors import SchemaError
from schemas.record import decode_leaf
from sync.epochs import open_epoch
from tests.simulation.nodes import SimulatedNode

if TYPE_CHECKING:
    from tests.simulation.world import World

_KNOWN: Final = 0.4


def copy_disk(world: "World") -> None:
    """Copy a commune's disk, and some time later put the copy in its place."""
    rng = world.rng
    node = rng.choice([n for n in world.nodes.values() if n.office.tier is Tier.COMMUNE])
    if node.guard.disk.in_transaction:
        return
    disk = node.snapshot()
    world.note(f"{node.code} is copied")
    is_known = rng.random() < _KNOWN
    delay_ms = rng.randint(world.plan.length_ms // 30, world.plan.length_ms // 2)

    def strike() -> None:
        if not world.is_healing:
            restore(world, node, disk, is_known=is_known)

    world.after(delay_ms, strike)


def restore(world: "World", node: SimulatedNode, disk: bytes, *, is_known: bool) -> None:
    """Put a copied disk in the place of a node's own, by the command or behind its back.

    A disk without which somebody would show what nobody can prove any more stays where it is.
    """
    if _is_last_word(world, node, disk):
        world.note(f"{node.code} keeps its disk")
        world.counts["disks kept"] += 1
        return
    world.crash(node, "loses its disk")
    replaced = _epoch_of(node.guard.disk)
    node.put_back(disk)
    world.counts["restores"] += 1
    node.start()
    if is_known:
        # As node/restore.py does while the disk that is replaced can be read. Of one that is dead
        # only who holds the lost epoch tells: PROTOCOL.md 7.7.
        clock_ms, epoch = node.clock_ms(world.now_ms), max(node.replica.epoch, replaced) + 1
        node.commit(
            lambda: open_epoch(node.replica, epoch, clock_ms, "restored", "copy", cuts=False)
        )
    world.note(f"{node.code} is put back, {'known' if is_known else 'unknown'}")
    world.ledger.restored(node, is_known=is_known)


def _epoch_of(disk: sqlite3.Connection) -> int:
    row = disk.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return int.from_bytes(row[0]) if row is not None else 0


def _is_last_word(world: "World", node: SimulatedNode, disk: bytes) -> bool:
    """Tell whether a change would be left in such logs only as another than its writer wrote.

    Those above its writer never get it back: PROTOCOL.md 7.7. What would be left nowhere is just
    lost, and that may be.
    """
    words, hearsay = set[bytes](), set[bytes]()
    for other in world.nodes.values():
        if other is not node:
            own, told = _words(other.guard.disk)
            hearsay |= told
            # Nobody takes from a revoked node what it holds.
            words |= own if other.code not in world.revoked else set()
    with closing(sqlite3.connect(":memory:")) as copy:
        copy.deserialize(disk)
        words |= _words(copy)[0]
    return not hearsay.isdisjoint(_words(node.guard.disk)[0] - words)


def _words(disk: sqlite3.Connection) -> tuple[set[bytes], set[bytes]]:
    """Return the changes on a disk in logs of who wrote them, and those in logs of others."""
    writers = {
        (log, number): cbor2.loads(body)[0]
        for log, number, body in disk.execute("SELECT log, number, body FROM writer")
    }
    own, told = set[bytes](), set[bytes]()
    for change, log, owner, data in disk.execute(
        "SELECT c.hash, c.log, o.owner, l.data FROM log o JOIN leaf l ON l.log = o.number JOIN"
        " (SELECT * FROM change UNION SELECT document, hash, log, seq FROM waiting_change) c"
        " ON c.log = l.log AND c.seq = l.seq"
    ):
        try:
            writer = writers[log, decode_leaf(data).writer]
        except (SchemaError, KeyError):
            # The disk altered it.
            continue
        (own if writer == owner else told).add(change)
    return own, told
