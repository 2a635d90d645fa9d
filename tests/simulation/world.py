"""The simulated country: a heap of what happens next, one random generator, and nothing else.

A story has two parts. First people work while links come and go, messages are lost, processes end
in the middle of a statement, disks refuse and clocks jump. Then the country heals: everything is
up, and it runs until nobody has anything to say. Promises are checked at every step (ledger.py)
and at the end (checks.py).
"""

import hashlib
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from node.choice import Way
from node.exchange import streams_of
from schemas.codes import Tier
from schemas.errors import SchemaError
from schemas.wire import Message, Problem
from schemas.wire_audit import Reconcile
from sync import outgoing, session
from sync.errors import StoreError, SyncError
from sync.packets import Stream
from tests.simulation.checks import check_all
from tests.simulation.dialling import dial, keep_dialling, look_for_other_way
from tests.simulation.harms import AUDIT_MS, harm_leaf, roll_back, scrub_a_little
from tests.simulation.identities import offices
from tests.simulation.ledger import Deed, Ledger
from tests.simulation.limits import files_at_once, frequent_polls, small_limits
from tests.simulation.mishaps import RESTART_MS_MAX, black_out, cut_off, set_clock, set_trap
from tests.simulation.network import (
    LINK_ERRORS,
    Contact,
    Side,
    Wire,
    acknowledgements,
)
from tests.simulation.nodes import SimulatedNode
from tests.simulation.packets import PacketLink
from tests.simulation.packs import send_pack
from tests.simulation.plans import HOUR_MS, MINUTE_MS, SECOND_MS, Plan
from tests.simulation.promises import BrokenPromise
from tests.simulation.quality import PERFECT, Quality
from tests.simulation.restores import copy_disk
from tests.simulation.revocations import check_revoked, revoke_somebody, revoked_places
from tests.simulation.staff import HABITS, Action, Pen, look_then_edit
from tests.simulation.storage import Crash
from tests.simulation.writer import SimulatedWriter

T = TypeVar("T")

_GATHER_MS: Final = 100
# A session to which nothing happens looks at the time so much less often.
_DOUBLINGS: Final = 3
# Longer than a session waits before it asks again for anything.
_QUIET_MS: Final = session.POLL_MS + (2 << _DOUBLINGS) * session.RETRY_MS
_HEAL_MS_MAX: Final = 1 * HOUR_MS


class World:
    """One story.

    Attributes:
        now_ms: time of the world, from 0; clocks of nodes differ from it.
        ledger: the all-seeing observer.
        counts: what happened how often.
        revoked: places whose node was revoked; what holds in the end is another question then.
        trace: digest of everything that happened, in order.
        harmed: leaves, by log id and number, that some disk lost or altered.
        cut_off_until_ms: until when the line of a place is down.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        plan: Plan | None = None,
        *,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare a story; the folder takes attachments."""
        self.seed = seed
        self.plan = plan or Plan()
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.counts: Counter[str] = Counter()
        self.revoked = set[str]()
        self.nodes = {
            code: SimulatedNode(office, folder / code, self._new_writer)
            for code, office in offices().items()
            if code in self.plan.places
        }
        self._communes = tuple(code for code in self.nodes if "." in code)
        self.wire = Wire(self.rng, self.after, self._arrived)
        self.ledger = Ledger(list(self.nodes.values()), self.wire.counts)
        self.contacts: dict[str, Contact] = {}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.harmed = set[tuple[bytes, int]]()
        self._is_healing = False
        self.cut_off_until_ms: dict[str, int] = {}
        self._spoke_at_ms = 0
        self._trace = hashlib.sha256()
        self._tell = tell

    @property
    def trace(self) -> str:
        """Digest of everything that happened, in order."""
        return self._trace.hexdigest()

    def _new_writer(self) -> SimulatedWriter:
        return SimulatedWriter(self.after, lambda: self.now_ms)

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Let something happen later."""
        heapq.heappush(self._heap, (self.now_ms + delay_ms, next(self._numbers), action))

    def note(self, text: str) -> None:
        """Write one line of the story."""
        line = f"{self.now_ms / SECOND_MS:10.3f} {text}"
        self._trace.update(line.encode())
        if self._tell is not None:
            self._tell(line)

    # The story

    def run(self) -> None:
        """Tell the whole story.

        Raises:
            BrokenPromise: a check found what must never be.
        """
        limits = small_limits(self.rng) if self.plan.has_small_limits else nullcontext()
        polls = frequent_polls() if self.plan.has_frequent_polls else nullcontext()
        with files_at_once(), limits, polls:
            self.start()
            self.schedule()
            self.pass_time(self.plan.length_ms)
            self.heal()
            self._check()
        for log_id, truth in self.ledger.logs.items():
            self.note(f"{log_id.hex()} {len(truth.leaves)} {truth.frontier.root().hex()}")

    def _check(self) -> None:
        check = partial(check_all, self.nodes, self.ledger, self.rng)
        if self.revoked:
            check = partial(check_revoked, self.nodes, self.ledger, self.rng, self.harmed)
        try:
            check()
        except BrokenPromise as late:
            if late.code != "cosignature_late" or self.plan.has_frequent_polls:
                raise
            # A message vanished on a link that stayed up: when it is asked for next, it comes.
            self.counts["asked late"] += 1
            self.pass_time(outgoing.POLL_MS_MAX)
            self._rest()
            check()

    def start(self) -> None:
        """Start all nodes."""
        for node in self.nodes.values():
            node.start()

    def close(self) -> None:
        """Throw all disks away."""
        for node in self.nodes.values():
            node.close()

    def pass_time(self, length_ms: int) -> None:
        """Let everything happen that is due within this time."""
        end_ms = self.now_ms + length_ms
        while self._heap and self._heap[0][0] <= end_ms:
            self.now_ms, _, action = heapq.heappop(self._heap)
            self.counts["steps"] += 1
            action()
        self.now_ms = end_ms

    def schedule(self) -> None:
        """Decide what happens from outside: people, links, crashes, clocks."""
        rng, plan = self.rng, self.plan
        codes = list(self.nodes)
        for code, node in self.nodes.items():
            if node.office.parent:
                self.after(self.span(plan.link_down_ms // 2), partial(keep_dialling, self, code))
        for _ in range(plan.actions):
            self.after(rng.randrange(plan.length_ms), self._somebody_acts)
        faults: tuple[tuple[int, Callable[[], None]], ...] = (
            (plan.crashes, lambda: set_trap(self, rng.choice(codes), is_crash=True)),
            (plan.disk_faults, lambda: set_trap(self, rng.choice(codes), is_crash=False)),
            (plan.power_cuts, lambda: self.crash(self.nodes[rng.choice(codes)], "power cut")),
            (plan.clock_jumps, lambda: set_clock(self)),
            (plan.packs, lambda: send_pack(self)),
            (plan.restores, lambda: copy_disk(self)),
            (plan.revocations, lambda: revoke_somebody(self)),
            (plan.damages, self.wire.damage_next),
            (plan.rollbacks, lambda: roll_back(self)),
            (plan.harms, lambda: harm_leaf(self)),
            (plan.blackouts, lambda: black_out(self)),
        )
        for count, fault in faults:
            for _ in range(count):
                self._plan(fault)
        if plan.outage_ms:
            self.after(rng.randrange(plan.length_ms - plan.outage_ms), partial(cut_off, self))

    def heal(self) -> None:
        """Repair everything and run until nobody has anything to say.

        Raises:
            BrokenPromise: it does not come to rest.
        """
        self.note("healing")
        self._is_healing = True
        self.cut_off_until_ms.clear()
        # The word of it may be lost with the disk of who gave it.
        self.revoked = revoked_places(self.nodes)
        for node in self.nodes.values():
            node.guard.disarm()
            if not node.is_up:
                self.restart(node)
        for code, node in self.nodes.items():
            contact = self.contacts.get(code)
            if contact is not None and contact.is_open:
                contact.improve(PERFECT)
            elif node.office.parent:
                dial(self, code)
        if self.plan.harms:
            # What disks lost is found within a day, and brought back.
            self.pass_time(3 * AUDIT_MS)
        self._rest()

    def _rest(self) -> None:
        self._spoke_at_ms = self.now_ms
        deadline_ms = self.now_ms + _HEAL_MS_MAX
        while self.now_ms - self._spoke_at_ms <= _QUIET_MS:
            if self.now_ms > deadline_ms:
                raise BrokenPromise("no_rest", "the healed country does not come to rest")
            self.pass_time(session.RETRY_MS)

    # People

    def _somebody_acts(self) -> None:
        tier = self.rng.choices((Tier.COMMUNE, Tier.PROVINCE, Tier.CENTRE), (60, 25, 15))[0]
        node = self.rng.choice([n for n in self.nodes.values() if n.office.tier is tier])
        if self._is_healing or not node.is_up:
            return
        if tier is Tier.COMMUNE and self.rng.random() < 0.25:
            self.act(node, look_then_edit, device=1)
            return
        weights, actions = zip(*HABITS[tier], strict=True)
        self.act(node, self.rng.choices(actions, weights)[0])

    def act(self, node: SimulatedNode, action: Action, device: int = 0) -> bool:
        """Let somebody do something in one transaction; return whether it was acknowledged."""
        if not node.is_up:
            return False
        author = node.author(device, self.rng.randrange(2))
        pen = Pen(node, author, node.clock_ms(self.now_ms), self._communes)
        name = action.__name__
        try:
            node.commit(lambda: action(pen, self.rng))
        except Crash:
            # The user was told nothing; what was written may stand or not.
            self._remember(pen.deeds, is_acknowledged=False)
            self.crash(node, f"crash while {name}")
            return False
        except (SyncError, SchemaError) as error:
            self.counts[f"refused {error.code}"] += 1
            self.note(f"{node.code} {name} refused: {error.code}")
            return False
        self._remember(pen.deeds, is_acknowledged=True)
        self.counts["deeds"] += len(pen.deeds)
        self.note(f"{node.code} {name} {' '.join(d.change.hex()[:8] for d in pen.deeds)}")
        self.ledger.look(node)
        self._wake_sessions(node)
        if pen.later is not None:
            later, delay_ms = pen.later, self.rng.randint(MINUTE_MS, 40 * MINUTE_MS)
            self.after(delay_ms, partial(self._act_later, node, later, device))
        return True

    def _act_later(self, node: SimulatedNode, action: Action, device: int) -> None:
        self.act(node, action, device)

    def _remember(self, deeds: list[Deed], *, is_acknowledged: bool) -> None:
        for deed in deeds:
            self.ledger.add(replace(deed, is_acknowledged=is_acknowledged))

    # Links

    def connect(
        self,
        child: SimulatedNode,
        parent: SimulatedNode,
        quality: Quality,
        way: Way = "websocket",
    ) -> None:
        """Open a contact between two nodes."""
        for node, peer, is_child in ((child, parent, False), (parent, child, True)):
            known = peer.office.as_peer(is_child=is_child)
            if not self._unit(node, partial(node.replica.welcome, known)):
                return
        self.note(f"{child.code} connects to {parent.code} by {way}")
        self.counts["contacts"] += 1
        self.counts[f"by {way}"] += 1
        contact = self.contacts[child.code] = Contact(child, parent, quality, way)
        if way == "datagrams":
            contact.carry_by(
                PacketLink(
                    self.rng,
                    quality,
                    self.now_ms,
                    self.wire.counts,
                    self.after,
                    partial(self._heard, contact),
                )
            )
        for side in contact.sides:
            self._tick_after(contact, side, 0)

    def _unit(self, node: SimulatedNode, work: Callable[[], object]) -> bool:
        """Run something that is neither a deed nor a message; return whether it stands."""
        try:
            node.commit(work)
        except Crash:
            self.crash(node, "crash")
            return False
        except StoreError:
            return False
        self.ledger.look(node)
        return True

    def _heard(self, contact: Contact, number: int, messages: Sequence[bytes]) -> None:
        """Take what came by datagrams, or learn that there is room again, or that it is over."""
        side = contact.sides[number]
        if contact.failure:
            self.close_contact(contact, contact.failure)
            return
        side.inbox += messages
        self._due(contact, side, self.rng.randrange(20) if messages else 0)

    def close_contact(self, contact: Contact, reason: str) -> None:
        """End a contact at both ends; what is on the way is lost."""
        if not contact.is_open:
            return
        contact.close()
        code, parent = contact.sides[0].node.code, contact.sides[1].node
        parent.door.leave(contact.sides[0].node.peer_id, self.now_ms / SECOND_MS)
        self.note(f"{code} is apart: {reason}")
        self.counts[f"apart {reason}"] += 1
        if self._is_healing:
            self.after(5 * SECOND_MS, lambda: dial(self, code))

    @property
    def is_healing(self) -> bool:
        """Whether the story is over and everything is being repaired."""
        return self._is_healing

    def hang_up(self, node: SimulatedNode, reason: str = "stopped") -> None:
        """End all contacts of a node, as when it is stopped."""
        for contact in self.contacts.values():
            if node in (contact.sides[0].node, contact.sides[1].node):
                self.close_contact(contact, reason)

    def _tick(self, contact: Contact, side: Side) -> None:
        """Let one end look at what is due because time has passed, the more seldom the less is."""
        if contact.is_open and side.tick_at_ms == self.now_ms:
            if side is contact.sides[0]:
                look_for_other_way(self, contact)
                if not contact.is_open:
                    return
            side.is_quiet = False
            self._due(contact, side, 0)
            if side.idle_ticks % 2:
                self._scrub(side.node)
            self._tick_after(contact, side, self.plan.tick_ms << min(side.idle_ticks, _DOUBLINGS))
            side.idle_ticks += 1

    def _tick_after(self, contact: Contact, side: Side, delay_ms: int) -> None:
        side.tick_at_ms = self.now_ms + delay_ms
        self.after(delay_ms, lambda: self._tick(contact, side))

    def _scrub(self, node: SimulatedNode) -> None:
        try:
            scrub_a_little(node, node.clock_ms(self.now_ms))
        except Crash:
            self.crash(node, "crash")
        except StoreError:
            return

    def _due(self, contact: Contact, side: Side, delay_ms: int) -> None:
        if not side.is_due:
            side.is_due = True
            owner = contact.other(side).node.peer_id
            work = partial(self._turn, contact, side)
            self.after(delay_ms, lambda: side.node.writer.run_for(owner, work))

    def _arrived(self, contact: Contact, side: Side) -> None:
        self._due(contact, side, self.rng.randrange(20))

    def wake(self, node: SimulatedNode) -> None:
        """Let open contacts of a node hear of what it just did."""
        self._wake_sessions(node)

    def _wake_sessions(self, node: SimulatedNode, but: Contact | None = None) -> None:
        for contact in self.contacts.values():
            if contact is not but and contact.is_open:
                for side in contact.sides:
                    if side.node is node:
                        self._due(contact, side, _GATHER_MS)

    def _turn(self, contact: Contact, side: Side) -> int:
        """Let one end of a contact handle what came and say what it has to say.

        Returns how long that took, in milliseconds.
        """
        side.is_due = False
        mail = len(side.inbox)
        if not contact.is_open or not (mail or not side.is_quiet or side.session.has_news()):
            return 0
        self._handle(contact, side)
        return self.plan.message_ms * mail

    def _handle(self, contact: Contact, side: Side) -> None:
        node, had_mail = side.node, bool(side.inbox)
        is_free = contact.has_room(side, self.now_ms)
        try:
            answers = contact.handle(side, self.now_ms)
        except Crash:
            self.crash(node, "crash")
            return
        except LINK_ERRORS as error:
            self.close_contact(contact, error.code)
            return
        self.ledger.look(node)
        # A problem of the link ends it; the next one tells what was forgotten.
        is_over = any(isinstance(answer, Problem) and not answer.log for answer in answers)
        for ack in () if is_over else acknowledgements(answers):
            self.ledger.sends_ack(node, side.session.log_received(ack.log), ack)
        self._send_all(contact, side, answers)
        if answers:
            contact.drive(side, self.now_ms)
        side.is_quiet = is_free and not answers
        if side.session.waits and side.idle_ticks:
            side.idle_ticks = 0
            if side.tick_at_ms > self.now_ms + self.plan.tick_ms:
                self._tick_after(contact, side, self.plan.tick_ms)
        if answers and side.free_at_ms > self.now_ms:
            self.after(side.free_at_ms - self.now_ms, lambda: self._due(contact, side, 0))
        if had_mail:
            self._wake_sessions(node, but=contact)

    def _send_all(self, contact: Contact, side: Side, messages: list[Message]) -> None:
        for stream, parted in streams_of(messages).items():
            for message in parted:
                self._send(contact, side, message, stream)

    def _send(self, contact: Contact, side: Side, message: Message, stream: Stream) -> None:
        if not isinstance(message, Reconcile):
            # Every day two nodes compare, though all is quiet.
            self._spoke_at_ms = self.now_ms
        damages = self.wire.counts["damaged"]
        data = self.wire.send(contact, side, message, stream, self.now_ms)
        how = ", damaged" if self.wire.counts["damaged"] > damages else ""
        self.note(f"{side.node.code} says {type(message).__name__} {data[:8].hex()}{how}")

    # Faults

    def crash(self, node: SimulatedNode, reason: str) -> None:
        """End a node's process and start it again after a while."""
        if not node.is_up:
            return
        self.note(f"{node.code} {reason}")
        self.counts["crashes"] += 1
        node.crash()
        self.hang_up(node, "peer gone")
        self.after(self.rng.randint(SECOND_MS, RESTART_MS_MAX), lambda: self.restart(node))

    def restart(self, node: SimulatedNode) -> None:
        """Start a node that is down on what its disk holds."""
        if not node.is_up:
            self.note(f"{node.code} starts")
            node.start()
            self.ledger.look(node)

    def _plan(self, fault: Callable[[], None]) -> None:
        def strike() -> None:
            if not self._is_healing:
                fault()

        self.after(self.rng.randrange(self.plan.length_ms), strike)

    def span(self, mean_ms: int) -> int:
        """Draw how long something lasts."""
        return int(self.rng.expovariate(1 / mean_ms)) + 1
