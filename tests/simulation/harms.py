"""Disks that lose or alter leaves, and those of provinces and the centre that are put back."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from schemas.codes import Tier
from sync import audit, damage, epochs, mending, scrub
from sync.log import UP
from tests.simulation.nodes import SimulatedNode
from tests.simulation.restores import restore

if TYPE_CHECKING:
    from tests.simulation.world import World

_MINUTE_MS: Final = 60_000
# A day of the simulated country, for what happens once a day.
AUDIT_MS: Final = 20 * _MINUTE_MS
_QUIET_MS: Final = 30_000
_SCRUB_STEPS: Final = 40


def harm_leaf(world: "World") -> None:
    """Lose or alter a leaf on the disk of a node, of which one that it talks to holds a copy."""
    rng = world.rng
    node = rng.choice(list(world.nodes.values()))
    if node.guard.disk.in_transaction or not node.is_up:
        return
    # Of what else happens to disks and nodes, each may take one more.
    copies_min = 1 + world.plan.restores + world.plan.rollbacks + world.plan.revocations
    found = [
        (number, seq, log_id)
        for log_id, number, seq in node.guard.disk.execute(
            "SELECT log_id, log, seq FROM leaf JOIN log ON number = log ORDER BY log, seq"
        )
        if (log_id, seq) not in world.harmed
        and _copies_beside(world, node, log_id, seq) >= copies_min
    ]
    if not found:
        return
    number, seq, log_id = rng.choice(found)
    world.harmed.add((log_id, seq))
    world.ledger.is_harmed = True
    world.counts["harms"] += 1
    if rng.random() < 0.5:
        node.guard.disk.execute("DELETE FROM leaf WHERE log = ? AND seq = ?", (number, seq))
    else:
        node.guard.disk.execute(
            "UPDATE leaf SET data = ? WHERE log = ? AND seq = ?",
            (_altered(node, number, seq, rng), number, seq),
        )
    world.note(f"{node.code} loses leaf {seq} of log {log_id.hex()[:8]}")


def _altered(node: SimulatedNode, number: int, seq: int, rng: random.Random) -> bytes:
    row = node.guard.disk.execute(
        "SELECT data FROM leaf WHERE log = ? AND seq = ?", (number, seq)
    ).fetchone()
    data = bytearray(row[0])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _copies_beside(world: "World", node: SimulatedNode, log_id: bytes, seq: int) -> int:
    """Count the nodes above and right below that hold the same leaf of a log they share."""
    copies = 0
    for other in world.nodes.values():
        if node.code not in (other.office.parent, other.code) and (
            other.code != node.office.parent
        ):
            continue
        row = other.guard.disk.execute(
            "SELECT data FROM leaf JOIN log ON number = log WHERE log_id = ? AND seq = ?",
            (log_id, seq),
        ).fetchone()
        copies += other is not node and row is not None
    return copies


def roll_back(world: "World") -> None:
    """Copy the disk of a province or the centre, perhaps of a commune below too; put it back."""
    rng = world.rng
    node = rng.choice([n for n in world.nodes.values() if n.office.tier is not Tier.COMMUNE])
    struck: list[SimulatedNode] = [node]
    below = [n for n in world.nodes.values() if n.office.parent == node.code]
    if rng.random() < 0.3:
        struck.append(rng.choice(below))
    if any(n.guard.disk.in_transaction for n in struck):
        return
    disks = [(n, n.snapshot()) for n in struck]
    written = _own_sizes(node)
    world.note(f"{' '.join(n.code for n in struck)} copied")
    # What is written on such a copy in the old epoch, and goes up before a child shows what was
    # lost, can contradict that: by the command alone nothing does.
    delay_ms = rng.randint(5, 40) * _MINUTE_MS

    def strike() -> None:
        if world.is_healing:
            return
        has_written = _own_sizes(node) != written
        for struck_node, disk in disks:
            if struck_node is node or (_has_arrived(world, struck_node) and not has_written):
                restore(world, struck_node, disk, is_known=True)

    world.after(delay_ms, strike)


def _own_sizes(node: SimulatedNode) -> list[tuple[bytes, int]]:
    """Return how much a node wrote itself.

    What it wrote and the one below has no more stands further down in that one's name alone.
    """
    sizes = "SELECT log_id, size FROM log WHERE owner = ? ORDER BY log_id"
    return node.guard.disk.execute(sizes, (node.peer_id,)).fetchall()


def _has_arrived(world: "World", node: SimulatedNode) -> bool:
    """Tell whether the tier two above holds all that a commune wrote.

    Else what went down to its neighbours in the province's name alone is nobody's word any more.
    """
    above = world.nodes[world.nodes[node.office.parent].office.parent or node.office.parent]
    held = dict(
        above.guard.disk.execute("SELECT log_id, size FROM log WHERE owner = ?", (node.peer_id,))
    )
    sizes = node.guard.disk.execute(
        "SELECT log_id, size FROM log WHERE owner = ? AND purpose = ?", (node.peer_id, UP)
    )
    return all(held.get(log_id, 0) >= size for log_id, size in sizes)


def scrub_a_little(node: SimulatedNode, clock_ms: int) -> None:
    """Let a node read some of its leaves again, as it does beside its work."""
    for _ in range(_SCRUB_STEPS):
        if not node.commit(lambda: node.replica.scrub.step(clock_ms)):
            return


@contextmanager
def short_days(subtree_level: int) -> Iterator[None]:
    """Let everything that happens once a day happen every twenty minutes, on small blocks."""
    chosen: Sequence[tuple[object, str, int]] = (
        *((module, "SUBTREE_LEVEL", subtree_level) for module in _WITH_BLOCKS),
        (audit, "AUDIT_MS", AUDIT_MS),
        (audit, "QUIET_MS", _QUIET_MS),
        (audit, "RETRY_MS", 2 * _MINUTE_MS),
        (scrub, "SCRUB_MS", AUDIT_MS // 2),
    )
    before = [(module, name, getattr(module, name)) for module, name, _ in chosen]
    try:
        for module, name, value in chosen:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


_WITH_BLOCKS: Final = (audit, damage, epochs, mending, scrub)
