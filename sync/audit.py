"""Compares with a peer what both hold of each other's logs, once a day and where a disk lost some.

First all logs, as one set: mostly it is the same, and that costs a question of twenty bytes and an
answer of one. Then the leaves of each log that differs. Who began learns what differs, asks for
what its own disk lost, and tells the peer what that one lacks, which asks for it in turn.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from crypto.certificates import Subject
from schemas.hlc import has_passed
from schemas.limits import AUDIT_BYTES_MAX, AUDIT_TURNS_MAX, GAPS_MAX
from schemas.wire import Message
from schemas.wire_audit import Reconcile, Repair
from sync.epochs import take_back
from sync.errors import LinkError, NegentropyError
from sync.kinship import Kinship
from sync.log import SUBTREE_LEVEL, UP, Log
from sync.mending import ANSWER_MS, Mending
from sync.negentropy import Items, ItemVector, initiate, probe, reconcile, respond
from sync.replica import Replica
from sync.scrub import Survey

AUDIT_MS: Final = 24 * 60 * 60 * 1000
# Nothing else may have gone over the link for so long.
QUIET_MS: Final = 60_000
# What could not be mended, or was not answered, is tried again after this time.
RETRY_MS: Final = 60 * 60 * 1000
# A million leaves of which every other one differs take some hundreds.
_STEPS_MAX: Final = 1_000
# It may have to read a million leaves first.
_TRIES_MAX: Final = 30
_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(slots=True)
class _Course:
    """A reconciliation that this node began.

    Attributes:
        log_id: empty where all logs are compared.
        logs: those compared, by the ids of their items.
        said: the last turn, None while the leaves are being read.
        have: numbers of items that the peer lacks.
        need: ids of items that the peer has and we lack.
    """

    log_id: bytes
    items: Items
    logs: dict[bytes, bytes] = field(default_factory=dict)
    said: Reconcile | None = None
    said_at_ms: int = 0
    tries: int = 0
    have: list[range] = field(default_factory=list)
    need: set[bytes] = field(default_factory=set)


class Audit:
    """Both sides of comparing, on one link."""

    def __init__(self, replica: Replica, peer: Subject, kinship: Kinship) -> None:
        """Compare with our parent or our child."""
        self._replica = replica
        self._store = replica.store
        self._peer = peer
        self._kinship = kinship
        self._mending = Mending(replica, peer)
        self._course: _Course | None = None
        # Logs whose leaves are to be compared, and when that was last tried.
        self._differing: list[bytes] = []
        self._tried_at_ms: dict[bytes, int] = {}
        # The peer's question that waits for a survey, and the survey.
        self._asked: Reconcile | None = None
        self._survey: Survey | None = None
        self._turns, self._turns_since_ms = 0, 0
        self._since_ms: int | None = None
        self._is_out_of_step = False

    @property
    def has_mended(self) -> bool:
        """Whether what this link knows of logs may not be so: leaves came back, or it differs."""
        return (self._mending.is_done or self._is_out_of_step) and not self._mending.is_busy

    def common_logs(self) -> list[Log]:
        """Return the logs that go over this link in either direction and that no fault stops."""
        mine, theirs = self._replica.subject.peer_id, self._peer.peer_id
        reads = f"down/{theirs.hex()}"
        return [
            log
            for log in self._store.logs()
            if not log.fault
            if log.source == theirs
            or (log.purpose == UP and self._kinship == "parent")
            or (log.owner == mine and log.purpose == reads)
        ]

    def _common(self, log_id: bytes) -> Log | None:
        return next((log for log in self.common_logs() if log.log_id == log_id), None)

    def on_message(self, message: Reconcile | Repair, now_ms: int) -> list[Message]:
        """Return the answers to a message.

        Raises:
            LinkError: the peer broke the protocol.
        """
        if isinstance(message, Repair):
            return self.on_repair(message, now_ms)
        return self.on_reconcile(message, now_ms)

    # Questions of the peer

    def on_reconcile(self, message: Reconcile, now_ms: int) -> list[Message]:
        """Answer a turn of the peer's, or take its answer to ours.

        Raises:
            LinkError: it is none, or there are too many.
        """
        if message.step % 2:
            return self._on_answer(message, now_ms)
        log = self._common(message.log)
        if message.log and log is None:
            # It is stopped here, or nothing of it goes over this link: no answer says neither.
            return []
        if not message.data:
            self._on_end(log, message)
            return []
        if has_passed(_DAY_MS, self._turns_since_ms, now_ms):
            self._turns, self._turns_since_ms = 0, now_ms
        self._turns += 1
        if self._turns > AUDIT_TURNS_MAX:
            raise LinkError("audit_endless", "the peer compares without end")
        if log is None:
            items, _ = self._logs_as_items()
            self._begun(now_ms)
            return [self._answer(message, items)]
        self._asked, survey = message, self._survey
        # A turn that is said again does not begin anew what is being read.
        if survey is None or survey.log is not log or (survey.is_complete and not message.step):
            self._survey = Survey(self._store, log)
        return self._go_on_reading(now_ms)

    def _go_on_reading(self, now_ms: int) -> list[Message]:
        message, survey = self._asked, self._survey
        if message is None or survey is None or not survey.advance(now_ms):
            return []
        self._asked = None
        return [self._answer(message, survey)]

    def _answer(self, message: Reconcile, items: Items) -> Reconcile:
        try:
            data = respond(items, message.data, frame_bytes_max=AUDIT_BYTES_MAX)
        except NegentropyError as error:
            raise LinkError(error.code, str(error)) from error
        return Reconcile(log=message.log, step=message.step + 1, data=data)

    def _on_end(self, log: Log | None, message: Reconcile) -> None:
        """Ask for what the peer found us to lack, as far as our own tree says so too."""
        if log is not None:
            self._add(lacked=self._mending.order(log, list(message.lacks)))
        self._survey = self._asked = None

    # Questions of ours

    def pump(self, now_ms: int, room_bytes: int, *, is_quiet: bool) -> list[Message]:
        """Return what is to be said of this.

        Args:
            now_ms: wall clock.
            room_bytes: for about so many bytes.
            is_quiet: nothing else went over the link for a while, and nothing waits.
        """
        messages = self._mending.pump(now_ms, room_bytes)
        self._add(came_back=self._mending.came_back)
        self._mending.came_back = 0
        messages += self._ask_for_rest(now_ms)
        messages += self._go_on_reading(now_ms)
        if self._course is None:
            self._course = self._next_course(now_ms, is_quiet=is_quiet)
        if self._course is not None:
            messages += self._go_on_asking(self._course, now_ms)
        return messages

    def _next_course(self, now_ms: int, *, is_quiet: bool) -> _Course | None:
        if self._mending.is_busy:
            return None
        for number in sorted(self._store.damage.logs()):
            log_id = self._store.log_by_number(number).log_id
            if self._may_try(log_id, now_ms):
                self._differing.append(log_id)
        while self._differing:
            log_id = self._differing.pop(0)
            self._tried_at_ms[log_id] = now_ms
            log = self._common(log_id)
            if log is not None:
                return _Course(log_id, Survey(self._store, log))
        if not (is_quiet and self._is_due(now_ms) and self._may_try(b"", now_ms)):
            return None
        self._tried_at_ms[b""] = now_ms
        items, logs = self._logs_as_items()
        return _Course(b"", items, logs)

    def _may_try(self, log_id: bytes, now_ms: int) -> bool:
        tried_at_ms = self._tried_at_ms.get(log_id)
        return tried_at_ms is None or has_passed(RETRY_MS, tried_at_ms, now_ms)

    def _go_on_asking(self, course: _Course, now_ms: int) -> list[Message]:
        """Return the first turn once the leaves are read, or the last one again."""
        if course.said is None:
            if isinstance(course.items, Survey) and not course.items.advance(now_ms):
                return []
            data = initiate(course.items) if course.log_id else probe(course.items)
            return [self._say(course, Reconcile(log=course.log_id, step=0, data=data), now_ms)]
        if not has_passed(ANSWER_MS, course.said_at_ms, now_ms):
            return []
        course.tries += 1
        if course.tries == _TRIES_MAX:
            self._course = None
            return []
        course.said_at_ms = now_ms
        return [course.said]

    def _say(self, course: _Course, turn: Reconcile, now_ms: int) -> Reconcile:
        course.said, course.said_at_ms, course.tries = turn, now_ms, 0
        return turn

    def _on_answer(self, answer: Reconcile, now_ms: int) -> list[Message]:
        course = self._course
        if course is None or course.said is None:
            return []
        if (answer.log, answer.step) != (course.log_id, course.said.step + 1):
            # To a turn that was said twice.
            return []
        try:
            found = reconcile(course.items, answer.data, frame_bytes_max=AUDIT_BYTES_MAX)
        except NegentropyError as error:
            raise LinkError(error.code, str(error)) from error
        course.have += found.have
        course.need.update(found.need)
        if found.reply is not None and answer.step < _STEPS_MAX:
            turn = replace(course.said, step=answer.step + 1, data=found.reply)
            return [self._say(course, turn, now_ms)]
        self._course = None
        if not course.log_id:
            self._compared(course, now_ms)
            return []
        return self._differs(course, answer.step + 1, now_ms)

    def _compared(self, course: _Course, now_ms: int) -> None:
        """Remember that all logs were compared, and compare the leaves of those that differ."""
        ids = [item.id for run in course.have for item in course.items.items(run.start, run.stop)]
        self._differing += sorted({course.logs[one] for one in ids} - {*self._differing})
        self._begun(now_ms)
        self._store.db.execute(
            "UPDATE peer_audit SET at_ms = ?, logs = ?, lacked = 0, came_back = 0, lacked_there = 0"
            " WHERE peer = ?",
            (now_ms, course.items.size(), self._peer.peer_id),
        )

    def _differs(self, course: _Course, step: int, now_ms: int) -> list[Message]:
        """Ask for what is damaged here, and tell the peer what it lacks of what is not."""
        log = self._store.find_log(course.log_id)
        # Each leaf that differs has an id on both sides, also where it is lost; if not, one side
        # believes that the other holds more than it does, as when its word on that was lost.
        self._is_out_of_step |= sum(n for _, n in _joined(_by_block(course.have))) != len(
            course.need
        )
        if log is None or not course.have:
            return [Reconcile(log=course.log_id, step=step, data=b"")]
        damaged = self._store.damage.blocks(log)
        wanted, lacks = [], []
        for first, count in _by_block(course.have):
            if first >> SUBTREE_LEVEL in damaged:
                wanted.append((first, count))
            elif first < self._held_there(log):
                lacks.append((first, min(count, self._held_there(log) - first)))
        self._add(lacked=self._mending.order(log, wanted), lacked_there=sum(n for _, n in lacks))
        if lacks:
            self._store.raise_alarm(
                now_ms=now_ms,
                code="audit_missing",
                log_id=log.log_id,
                detail=f"{self._peer.name} countersigned {sum(n for _, n in lacks)} leaves of this"
                f" log that it does not hold as they are, the first is {lacks[0][0]}; it was told",
                evidence="",
            )
        return [Reconcile(log=log.log_id, step=step, data=b"", lacks=_joined(lacks)[:GAPS_MAX])]

    def _held_there(self, log: Log) -> int:
        """Return how many leaves the peer must hold: those it sent, or countersigned."""
        if log.source == self._peer.peer_id:
            return log.size
        return self._store.cosigned_by(log, self._peer.peer_id)

    # Leaves that come back

    def on_repair(self, message: Repair, now_ms: int) -> list[Message]:
        """Note what the peer asks for, or put back what it gives.

        Raises:
            LinkError: it asks for too much.
        """
        log = self._common(message.log)
        if log is not None:
            if message.gaps:
                self._mending.on_request(log, message, now_ms)
            else:
                self._mending.on_leaf(log, message, now_ms)
            return []
        awaited = next((log for log in self._awaited() if log.log_id == message.log), None)
        if awaited is not None and not message.gaps:
            if not message.leaf and message.seq == awaited.size:
                # The reader has no more of it than was left here.
                take_back(self._replica, awaited, now_ms)
        elif message.gaps and self._store.find_log(message.log) is None:
            return [Repair(log=message.log, seq=message.gaps[0][0])]
        return []

    def _awaited(self) -> list[Log]:
        """Return the own logs of earlier epochs that this peer reads and may give back."""
        mine, down = self._replica.subject.peer_id, f"down/{self._peer.peer_id.hex()}"
        purpose = UP if self._kinship == "parent" else down
        return [
            log
            for log in self._store.logs()
            if (log.owner, log.purpose) == (mine, purpose)
            if log.fault and log.epoch < self._replica.epoch
        ]

    def _ask_for_rest(self, now_ms: int) -> list[Message]:
        """Ask whether there is more of own logs that were cut: where not, none is offered."""
        messages: list[Message] = []
        for log in self._awaited():
            if self._may_try(log.log_id, now_ms):
                self._tried_at_ms[log.log_id] = now_ms
                messages.append(Repair(log=log.log_id, gaps=((log.size, 1),)))
        return messages

    # What is remembered

    def _logs_as_items(self) -> tuple[ItemVector, dict[bytes, bytes]]:
        found = {}
        for log in self.common_logs():
            if not log.size:
                continue
            what = log.log_id + log.size.to_bytes(8, "big") + log.frontier.root()
            if self._store.damage.blocks(log):
                # So that it differs from what anybody holds of it.
                what += self._replica.subject.peer_id
            found[hashlib.sha256(b"tiepdan audit v1\n" + what).digest()] = log.log_id
        return ItemVector((0, one) for one in found), found

    def _is_due(self, now_ms: int) -> bool:
        if self._since_ms is None:
            row = self._store.db.execute(
                "SELECT since_ms FROM peer_audit WHERE peer = ?", (self._peer.peer_id,)
            ).fetchone()
            if row is None:
                # There is nothing to compare with somebody just met.
                self._begun(now_ms)
                return False
            self._since_ms = row[0]
        # One side is enough; the parent sees to it where its child does not.
        later_ms = RETRY_MS if self._kinship == "child" else 0
        return has_passed(AUDIT_MS + later_ms, self._since_ms or 0, now_ms)

    def _begun(self, now_ms: int) -> None:
        self._since_ms = now_ms
        self._store.db.execute(
            "INSERT INTO peer_audit (peer, since_ms) VALUES (?, ?)"
            " ON CONFLICT (peer) DO UPDATE SET since_ms = excluded.since_ms",
            (self._peer.peer_id, now_ms),
        )

    def _add(self, *, lacked: int = 0, came_back: int = 0, lacked_there: int = 0) -> None:
        if lacked or came_back or lacked_there:
            self._store.db.execute(
                "UPDATE peer_audit SET lacked = lacked + ?, came_back = came_back + ?,"
                " lacked_there = lacked_there + ? WHERE peer = ?",
                (lacked, came_back, lacked_there, self._peer.peer_id),
            )


def _by_block(runs: list[range]) -> list[tuple[int, int]]:
    """Return runs cut at the borders of blocks, as (first, count)."""
    found = []
    for run in runs:
        first = run.start
        while first < run.stop:
            end = min(run.stop, ((first >> SUBTREE_LEVEL) + 1) << SUBTREE_LEVEL)
            found.append((first, end - first))
            first = end
    return sorted(found)


def _joined(runs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ascending runs with those joined that touch."""
    found: list[tuple[int, int]] = []
    for first, count in runs:
        if found and sum(found[-1]) >= first:
            start = found[-1][0]
            found[-1] = (start, max(sum(found[-1]), first + count) - start)
        else:
            found.append((first, count))
    return tuple(found)
