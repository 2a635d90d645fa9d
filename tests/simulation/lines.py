"""A poor line, open for one minute an hour, and what it has yet to carry."""

from typing import Final

from node.choice import Way
from tests.simulation.network import Contact
from tests.simulation.nodes import SimulatedNode
from tests.simulation.plans import HOUR_MS, MINUTE_MS, SECOND_MS
from tests.simulation.promises import BrokenPromise
from tests.simulation.quality import Quality
from tests.simulation.world import World

LOSS: Final = 0.3
_DIAL_MS: Final = 5 * SECOND_MS
_LOOK_MS: Final = 50
_LATENCY_MS: Final = (290, 310)
_RATE_BYTES_S: Final = 64_000 // 8
# TCP sends again what is lost, and delivers in order.
STREAM: Final = Quality(
    latency_ms=_LATENCY_MS, rate_bytes_s=_RATE_BYTES_S, loss=LOSS, is_stream=True, takes_udp=False
)


# Packets come in any order, twice, or spoiled besides.
PACKETS: Final = Quality(
    latency_ms=_LATENCY_MS,
    rate_bytes_s=_RATE_BYTES_S,
    loss=LOSS,
    twice=0.02,
    overtaken=0.05,
    spoiled=0.02,
    takes_tcp=False,
)


def backlog_bytes(child: SimulatedNode, parent: SimulatedNode) -> int:
    """Return how much of leaves and files has yet to come to either end."""
    return sum(
        _lacking_leaves(*ends) + _lacking_files(*ends)
        for ends in ((child, parent), (parent, child))
    )


def catch_up(
    world: World,
    child: SimulatedNode,
    parent: SimulatedNode,
    quality: Quality,
    hours_max: int,
    *,
    way: Way = "websocket",
    cut_every_ms: int = 0,
) -> list[int]:
    """Open the line for a minute an hour until nothing is left; return what was before each.

    Args:
        world: of both nodes.
        child: at one end.
        parent: at the other.
        quality: of the line.
        hours_max: after so many it must have come to its end.
        way: that messages take.
        cut_every_ms: within the minute the link is cut so often, on average, while the line is
            busy; 0: at the end only.

    Raises:
        BrokenPromise: after one of the minutes no less is left than before.
    """
    left = [backlog_bytes(child, parent)]
    while left[-1]:
        end_ms = world.now_ms + MINUTE_MS
        while world.now_ms < end_ms:
            # What ends a link, such as a lost greeting, does not end the minute.
            if child.code not in world.contacts or not world.contacts[child.code].is_open:
                world.connect(child, parent, quality, way)
            if cut_every_ms:
                world.pass_time(world.rng.randrange(2 * cut_every_ms))
                _cut_while_busy(world, world.contacts[child.code], end_ms)
            else:
                world.pass_time(_DIAL_MS)
        world.close_contact(world.contacts[child.code], "cut")
        world.pass_time(HOUR_MS - MINUTE_MS)
        left.append(backlog_bytes(child, parent))
        if left[-1] >= left[-2]:
            raise BrokenPromise("backlog_stays", f"of {left[-2]} bytes {left[-1]} are left")
        if len(left) > hours_max:
            raise BrokenPromise("backlog_stays", f"after {hours_max} hours {left} bytes are left")
    return left


def _cut_while_busy(world: World, contact: Contact, end_ms: int) -> None:
    while contact.is_open and world.now_ms < end_ms:
        if contact.is_busy(world.now_ms):
            world.close_contact(contact, "cut")
            world.counts["ill-timed"] += 1
        else:
            world.pass_time(_LOOK_MS)


def _lacking_leaves(sender: SimulatedNode, receiver: SimulatedNode) -> int:
    lacking = 0
    reads = f"down/{receiver.peer_id.hex()}"
    for log_id, owner, purpose in sender.guard.disk.execute(
        "SELECT log_id, owner, purpose FROM log"
    ).fetchall():
        is_up = purpose == "up" and sender.office.parent == receiver.code
        if is_up or (owner == sender.peer_id and purpose == reads):
            held = _leaves(receiver, log_id)
            lacking += sum(n for seq, n in _leaves(sender, log_id).items() if seq not in held)
    return lacking


def _leaves(node: SimulatedNode, log_id: bytes) -> dict[int, int]:
    """Return the sizes of the leaves of a log, with and without a head, by number."""
    return dict(
        node.guard.disk.execute(
            "SELECT seq, length(l.data) FROM leaf l JOIN log ON number = l.log WHERE log_id = ?1"
            " UNION SELECT seq, length(p.data) FROM pending_leaf p JOIN log ON number = p.log"
            " WHERE log_id = ?1",
            (log_id,),
        ).fetchall()
    )


def _lacking_files(sender: SimulatedNode, receiver: SimulatedNode) -> int:
    return sum(
        size_bytes - receiver.files.part_size(sha256)
        for sha256, size_bytes in sender.guard.disk.execute(
            "SELECT sha256, size_bytes FROM blob WHERE complete"
        ).fetchall()
        if sender.office.parent == receiver.code and not receiver.files.holds(sha256)
    )
