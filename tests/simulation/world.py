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
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from schemas.codes import Tier
from schemas.errors import SchemaError
from schemas.wire import Message, Problem
from schemas.wire_audit import Reconcile
from sync import session
from sync.errors import StoreError, SyncError
from tests.simulation.checks import check_all
from tests.simulation.harms import AUDIT_MS, harm_leaf, roll_back, scrub_a_little
from tests.simulation.identities import START_MS, offices
from tests.simulation.ledger import BrokenPromise, Deed, Ledger
from tests.simulation.limits import as_they_are, files_at_once, small_limits
from tests.simulation.network import (
    LINK_ERRORS,
    PERFECT,
    Contact,
    Quality,
    Side,
    Wire,
    acknowledgements,
    draw_quality,
)
from tests.simulation.nodes import SimulatedNode
from tests.simulation.packs import send_pack
from tests.simulation.plans import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Plan
from tests.simulation.restores import copy_disk
from tests.simulation.revocations import check_revoked, revoke_somebody
from tests.simulation.staff import HABITS, Action, Pen, look_then_edit
from tests.simulation.storage import Crash, Moment, Trap

T = TypeVar("T")

_GATHER_MS: Final = 100
# A session to which nothing happens looks at the time so much less often.
_DOUBLINGS: Final = 2
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
            code: SimulatedNode(office, folder / code)
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
        self._spoke_at_ms = 0
        self._trace = hashlib.sha256()
        self._tell = tell

    @property
    def trace(self) -> str:
        """Digest of everything that happened, in order."""
        return self._trace.hexdigest()

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
        limits = small_limits(self.rng) if self.plan.has_small_limits else as_they_are()
        with files_at_once(), limits:
            self.start()
            self.schedule()
            self.pass_time(self.plan.length_ms)
            self.heal()
            check = check_revoked if self.revoked else check_all
            check(self.nodes, self.ledger, self.rng)
        for log_id, truth in self.ledger.logs.items():
            self.note(f"{log_id.hex()} {len(truth.leaves)} {truth.frontier.root().hex()}")

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
                self.after(self._span(plan.link_down_ms // 2), partial(self._dial, code))
        for _ in range(plan.actions):
            self.after(rng.randrange(plan.length_ms), self._somebody_acts)
        faults: tuple[tuple[int, Callable[[], None]], ...] = (
            (plan.crashes, lambda: self._arm(rng.choice(codes), is_crash=True)),
            (plan.disk_faults, lambda: self._arm(rng.choice(codes), is_crash=False)),
            (plan.power_cuts, lambda: self.crash(self.nodes[rng.choice(codes)], "power cut")),
            (plan.clock_jumps, self._jump),
            (plan.packs, lambda: send_pack(self)),
            (plan.restores, lambda: copy_disk(self)),
            (plan.revocations, lambda: revoke_somebody(self)),
            (plan.damages, self.wire.damage_next),
            (plan.rollbacks, lambda: roll_back(self)),
            (plan.harms, lambda: harm_leaf(self)),
        )
        for count, fault in faults:
            for _ in range(count):
                self._plan(fault)

    def heal(self) -> None:
        """Repair everything and run until nobody has anything to say.

        Raises:
            BrokenPromise: it does not come to rest.
        """
        self.note("healing")
        self._is_healing = True
        for node in self.nodes.values():
            node.guard.disarm()
            if not node.is_up:
                self.restart(node)
        for code, node in self.nodes.items():
            contact = self.contacts.get(code)
            if contact is not None and contact.is_open:
                contact.quality = PERFECT
            elif node.office.parent:
                self._dial(code)
        if self.plan.harms:
            # What disks lost is found within a day, and brought back.
            self.pass_time(3 * AUDIT_MS)
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

    def _dial(self, code: str) -> None:
        """Bring up the link of a node, and decide when it goes down."""
        child = self.nodes[code]
        parent = self.nodes[child.office.parent]
        contact = self.contacts.get(code)
        if contact is not None and contact.is_open:
            return
        if self._is_healing and code in self.revoked:
            return
        if child.is_up and parent.is_up:
            quality = PERFECT
            if not (self._is_healing or self.plan.is_clean):
                quality = draw_quality(self.rng)
            self.connect(child, parent, quality)
        if not self._is_healing:
            self.after(self._span(self.plan.link_up_ms), lambda: self._hang_up(code))

    def _hang_up(self, code: str) -> None:
        if self._is_healing:
            return
        contact = self.contacts.get(code)
        if contact is not None:
            self.close_contact(contact, "cut")
        self.after(self._span(self.plan.link_down_ms), lambda: self._dial(code))

    def connect(self, child: SimulatedNode, parent: SimulatedNode, quality: Quality) -> None:
        """Open a contact between two nodes."""
        for node, peer, is_child in ((child, parent, False), (parent, child, True)):
            known = peer.office.as_peer(is_child=is_child)
            if not self._unit(node, partial(node.replica.welcome, known)):
                return
        self.note(f"{child.code} connects to {parent.code}")
        self.counts["contacts"] += 1
        contact = self.contacts[child.code] = Contact(child, parent, quality)
        for side in contact.sides:
            self._due(contact, side, 0)
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

    def close_contact(self, contact: Contact, reason: str) -> None:
        """End a contact at both ends; what is on the way is lost."""
        if not contact.is_open:
            return
        contact.is_open = False
        code = contact.sides[0].node.code
        self.note(f"{code} is apart: {reason}")
        self.counts[f"apart {reason}"] += 1
        if self._is_healing:
            self.after(5 * SECOND_MS, lambda: self._dial(code))

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
            side.is_quiet = False
            self._due(contact, side, 0)
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
            self.after(delay_ms, lambda: self._turn(contact, side))

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

    def _turn(self, contact: Contact, side: Side) -> None:
        """Let one end of a contact handle what came and say what it has to say."""
        side.is_due = False
        if not contact.is_open:
            return
        node, had_mail = side.node, bool(side.inbox)
        if not had_mail and side.is_quiet and not side.session.has_news():
            return
        is_free = side.free_at_ms <= self.now_ms
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
        for message in answers:
            self._send(contact, side, message)
        side.is_quiet = is_free and not answers
        if (answers or had_mail) and side.idle_ticks:
            side.idle_ticks = 0
            self._tick_after(contact, side, self.plan.tick_ms)
        if answers and side.free_at_ms > self.now_ms:
            self.after(side.free_at_ms - self.now_ms, lambda: self._due(contact, side, 0))
        if had_mail:
            self._wake_sessions(node, but=contact)

    def _send(self, contact: Contact, side: Side, message: Message) -> None:
        if not isinstance(message, Reconcile):
            # Every day two nodes compare, though all is quiet.
            self._spoke_at_ms = self.now_ms
        damages = self.wire.counts["damaged"]
        data = self.wire.send(contact, side, message, self.now_ms)
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
        self.after(self.rng.randint(1, 300) * SECOND_MS, lambda: self.restart(node))

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

    def _arm(self, code: str, *, is_crash: bool) -> None:
        """Set a trap: at the next statement of one kind, or after so many of any kind."""
        rng, guard = self.rng, self.nodes[code].guard
        kind = rng.choice(sorted(guard.counts)) if guard.counts and rng.random() < 0.6 else ""
        kind = self.plan.crash_kind or kind
        moments: list[Moment] = ["before", "after"]
        moment = rng.choice([self.plan.crash_moment] if self.plan.crash_moment else moments)
        countdown = rng.randint(1, 2) if kind else rng.randint(1, 150)
        guard.arm(Trap(kind, countdown, moment, is_crash))

    def _jump(self) -> None:
        node = self.rng.choice(list(self.nodes.values()))
        if self.rng.random() < 0.15:
            node.set_clock(0, self.now_ms)
        elif self.rng.random() < 0.2:
            node.set_clock(START_MS + self.now_ms, self.now_ms)
        else:
            unit = self.rng.choice((MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS))
            jump_ms = self.rng.choice((-1, 1)) * self.rng.randint(1, 6) * unit
            node.set_clock(node.clock_ms(self.now_ms) + jump_ms, self.now_ms)
        self.note(f"{node.code} clock is off by {node.offset_ms} ms")

    def _span(self, mean_ms: int) -> int:
        return int(self.rng.expovariate(1 / mean_ms)) + 1
