"""Which way a simulated link takes, and when it may begin: the real choice and the real slots."""

import math
from functools import partial
from typing import TYPE_CHECKING, Final

from node.choice import Choice, Losses, Reason, Way
from node.slots import Slots
from tests.simulation.plans import SECOND_MS
from tests.simulation.promises import BrokenPromise
from tests.simulation.quality import PERFECT, Quality, draw_quality

if TYPE_CHECKING:
    from tests.simulation.network import Contact
    from tests.simulation.nodes import SimulatedNode
    from tests.simulation.world import World

# Who comes this late after its turn may have to ask anew.
_LATE_S: Final = 60.0


class Dialler:
    """Dials the node above as node/dialling.py does; its memory goes with the process.

    Attributes:
        choice: of the way.
    """

    def __init__(self) -> None:
        """Know nothing of the line."""
        self.choice = Choice(may_datagrams=True)

    def way(self, line: Quality, now_s: float) -> Way | None:
        """Return the way that comes up; None: none does."""
        only = self.choice.only(now_s)
        ways = (only,) if only is not None else _both(self.choice.first())
        return next((way for way in ways if _comes_up(way, line)), None)

    def take(self, way: Way, line: Quality, now_s: float) -> None:
        """A link of the way that came up goes on."""
        if self.choice.only(now_s) is not None:
            self.choice.take(way, "usual")
            return
        first = self.choice.first()
        reason: Reason = "usual"
        if way == "datagrams":
            reason = "remembered" if first == "datagrams" else "unreachable"
        elif first == "datagrams":
            self._fail(line, now_s)
            reason = "broken"
        self.choice.take(way, reason)

    def other_way(self, losses: Losses, line: Quality, now_s: float) -> Way | None:
        """Return the way that takes over from a link that lost so much; None: it stays."""
        reason = self.choice.wants_other(losses, now_s)
        if reason is None:
            return None
        other = _both(self.choice.way)[1]
        if not _comes_up(other, line):
            if other == "datagrams":
                self._fail(line, now_s)
            return None
        self.choice.take(other, reason)
        return other

    def _fail(self, line: Quality, now_s: float) -> None:
        self.choice.datagrams_failed(now_s, is_answered=line.takes_udp)


def _both(first: Way) -> tuple[Way, Way]:
    return (first, "websocket") if first == "datagrams" else (first, "datagrams")


def _comes_up(way: Way, line: Quality) -> bool:
    return line.takes_tcp if way == "websocket" else line.takes_udp


class Door:
    """Lets the children of one node begin, a few at a time; its memory goes with the process."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self._slots = Slots()
        # When those who were told to wait are let in.
        self._turns_s: dict[bytes, float] = {}

    def ask(self, child: bytes, now_s: float) -> float:
        """Return 0 where a child may begin, else after how many seconds it is to come again.

        Raises:
            BrokenPromise: it was told to come now.
        """
        turn_s = self._turns_s.pop(child, None)
        wait_s = self._slots.ask(child, now_s)
        if wait_s > 0:
            if turn_s is not None and turn_s <= now_s <= turn_s + _LATE_S:
                raise BrokenPromise("turn_broken", f"at its turn it is told to wait {wait_s} s")
            self._turns_s[child] = now_s + wait_s
        return wait_s

    def leave(self, child: bytes, now_s: float) -> None:
        """A child has caught up or gone."""
        self._slots.end(child, now_s)


def keep_dialling(world: "World", code: str) -> None:
    """Let a node dial, and again and again, until the story is over."""
    if not world.is_healing:
        dial(world, code)
        down_ms = world.span(world.plan.link_up_ms) + world.span(world.plan.link_down_ms)
        world.after(down_ms, partial(keep_dialling, world, code))


def dial(world: "World", code: str) -> None:
    """Let a node dial once, over a line that is drawn."""
    child = world.nodes[code]
    is_perfect = world.is_healing or world.plan.is_clean
    _reach(world, child, PERFECT if is_perfect else draw_quality(world.rng))


def _reach(world: "World", child: "SimulatedNode", line: Quality) -> None:
    """Open a contact by the way that comes up, at once or when it is the child's turn."""
    parent, known = world.nodes[child.office.parent], world.contacts.get(child.code)
    is_cut_off = world.now_ms < world.cut_off_until_ms.get(child.code, 0)
    is_barred = world.is_healing and child.code in world.revoked
    is_possible = child.is_up and parent.is_up and not (is_cut_off or is_barred)
    if not is_possible or (known is not None and known.is_open):
        return
    now_s = world.now_ms / SECOND_MS
    way = child.dialler.way(line, now_s)
    if way is None:
        world.counts["unreachable"] += 1
        return
    wait_s = _wait_s(world, child, parent, now_s) if way == "websocket" else 0
    if wait_s > 0:
        world.note(f"{child.code} is told to wait {wait_s:.1f} s")
        world.counts["told to wait"] += 1
        wait_ms = int((math.ceil(wait_s) + world.rng.random()) * SECOND_MS)
        world.after(wait_ms, lambda: _reach(world, child, line))
        return
    child.dialler.take(way, line, now_s)
    _connect(world, child, parent, line, way)


def _connect(
    world: "World", child: "SimulatedNode", parent: "SimulatedNode", line: Quality, way: Way
) -> None:
    """Open a contact, which the country cuts some time later."""
    world.connect(child, parent, line, way)
    contact = world.contacts.get(child.code)

    def cut() -> None:
        if contact is not None and not world.is_healing:
            world.close_contact(contact, "cut")

    world.after(world.span(world.plan.link_up_ms), cut)


def _wait_s(world: "World", child: "SimulatedNode", parent: "SimulatedNode", now_s: float) -> float:
    """Ask at the door of a parent, where those who have caught up make room."""
    for contact in world.contacts.values():
        side = contact.sides[1]
        if side.node is parent and contact.is_open and side.session.has_caught_up:
            parent.door.leave(contact.sides[0].node.peer_id, now_s)
    return parent.door.ask(child.peer_id, now_s)


def look_for_other_way(world: "World", contact: "Contact") -> None:
    """Let the child of a contact leave a way on which too much is lost, or no more."""
    child, parent = (side.node for side in contact.sides)
    now_s = world.now_ms / SECOND_MS
    way = child.dialler.other_way(contact.losses(), contact.quality, now_s)
    if way is not None:
        world.close_contact(contact, "taken over")
        _connect(world, child, parent, contact.quality, way)
