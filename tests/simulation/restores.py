"""Disks that are put back to what they held, by the command or behind the program's back."""

from typing import TYPE_CHECKING, Final

from schemas.codes import Tier
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
    """Put a copied disk in the place of a node's own, by the command or behind its back."""
    world.crash(node, "loses its disk")
    node.put_back(disk)
    world.counts["restores"] += 1
    node.start()
    if is_known:
        clock_ms, epoch = node.clock_ms(world.now_ms), node.replica.epoch + 1
        node.commit(
            lambda: open_epoch(node.replica, epoch, clock_ms, "restored", "copy", cuts=False)
        )
    world.note(f"{node.code} is put back, {'known' if is_known else 'unknown'}")
    world.ledger.restored(node, is_known=is_known)
