"""What an all-seeing observer knows: every log as its owner wrote it, and what may be where.

The ledger looks at a node after each of its commits and compares with what it saw everywhere else,
so that a broken promise is found at the step that broke it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from crypto.merkle import Frontier, leaf_hash
from schemas.codes import DocumentKind, Tier
from schemas.events import (
    Assigned,
    DirectiveIssued,
    Event,
    GroupLinked,
    PersonJoined,
    Received,
    Transferred,
)
from schemas.ids import DocumentId, EventId, parse_document_id
from schemas.record import LeafType, decode_leaf
from schemas.wire import Ack
from sync.change import parse_change
from sync.errors import LogError
from sync.log import UP, Log
from tests.simulation.nodes import SimulatedNode
from tests.simulation.promises import BrokenPromise

# What may be said where a disk was put back.
RESTORE_ALARMS = (
    "log_behind",
    "log_forked",
    "epoch_opened",
    "epochs_in_turn",
    "restored",
    "audit_missing",
)
# What a peer with failing memory may be taken for.
DAMAGE_ALARMS = ("epoch_opened", "epochs_in_turn", "audit_missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One change that somebody tried to write.

    Attributes:
        is_acknowledged: the user was told that it is safe; else it may stand or not.
    """

    code: str
    document: DocumentId
    kind: str | None
    change: bytes
    events: tuple[tuple[EventId, Event], ...]
    is_acknowledged: bool

    def is_said_in(self, said: Set[str]) -> bool:
        """Tell whether a document says the same in its events, if under other ids."""
        return all(nameless(event.encode()) in said for _, event in self.events)


def nameless(body: str) -> str:
    """Return the body of an event with all ids of events alike."""
    return re.sub("[0-9a-f]{24}", "id", body)


@dataclass(slots=True)
class Truth:
    """A log as its owner committed it.

    Attributes:
        roots: root at each size that the log had, by size.
        is_rolled: its owner's disk was put back, so that the owner may tell something else.
    """

    owner: str
    purpose: str
    leaves: list[bytes] = field(default_factory=list)
    frontier: Frontier = field(default_factory=Frontier)
    roots: list[bytes] = field(default_factory=lambda: [Frontier().root()])
    is_rolled: bool = False

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Take over what the owner appended."""
        for leaf in leaves:
            self.leaves.append(leaf)
            self.frontier.append(leaf_hash(leaf))
            self.roots.append(self.frontier.root())


class Concerns:
    """Which place may see which document, by the rule in words, not by the product's code.

    A document concerns the place where it began and each place that it was addressed to; a case or
    group takes along its petition, its people and its groups.
    """

    def __init__(self) -> None:
        """Know no document."""
        self.origins: dict[DocumentId, str] = {}
        self.kinds: dict[DocumentId, str] = {}
        self._addressed: dict[DocumentId, set[str]] = {}
        self._takes_along: dict[DocumentId, set[DocumentId]] = {}
        self._closed: dict[DocumentId, set[str]] | None = None

    def add(self, document: DocumentId, code: str, kind: str | None, events: list[Event]) -> None:
        """Take in one change."""
        if kind is not None:
            self.origins[document] = code
            self.kinds[document] = kind
        for event in events:
            match event:
                case DirectiveIssued():
                    self._addressed.setdefault(document, set()).update(event.to_codes)
                case Assigned() | Transferred() if event.to_code:
                    self._addressed.setdefault(document, set()).add(event.to_code)
            reference = _reference(event)
            if reference and self.kinds.get(document) in (DocumentKind.CASE, DocumentKind.GROUP):
                self._takes_along.setdefault(document, set()).add(parse_document_id(reference))
        self._closed = None

    def places(self, document: DocumentId) -> set[str]:
        """Return the codes that a document concerns, those above them not named."""
        if self._closed is None:
            self._closed = self._close()
        return self._closed.get(document, set())

    def concerns(self, document: DocumentId, code: str) -> bool:
        """Tell whether the office with that code holds the document in the end."""
        if code == "0":
            return True
        return any(place == code or place.startswith(code + ".") for place in self.places(document))

    def _close(self) -> dict[DocumentId, set[str]]:
        found = {document: {code} for document, code in self.origins.items()}
        for document, codes in self._addressed.items():
            found.setdefault(document, set()).update(codes)
        moved = True
        while moved:
            moved = False
            for document, companions in self._takes_along.items():
                codes = found.get(document, set())
                for companion in companions:
                    known = found.setdefault(companion, set())
                    moved |= not codes <= known
                    known |= codes
        return found


class Ledger:
    """Watches every commit and every acknowledgement."""

    def __init__(self, nodes: Sequence[SimulatedNode], wire_counts: Counter[str]) -> None:
        """Watch these nodes; wire_counts tells what happened to messages between them."""
        self.wire_counts = wire_counts
        self.logs: dict[bytes, Truth] = {}
        self.deeds: list[Deed] = []
        self.concerns = Concerns()
        self.cosigned: dict[tuple[str, bytes, bytes], int] = {}
        self._nodes = {node.peer_id: node for node in nodes}
        self._held: dict[tuple[str, bytes], int] = {}
        self._acked: dict[tuple[str, bytes], int] = {}
        # The most that was ever held, whatever disks lost since.
        self._ever: dict[tuple[str, bytes], int] = {}
        # What a node had done when it was last looked at: the next look is cheaper.
        self._written: dict[str, tuple[int, int]] = {}
        self._news: dict[str, tuple[int, int]] = {}
        self._alarms: dict[str, int] = {}
        # Nodes whose disk was put back, with the epoch in which that was not noticed yet.
        self.unaware: dict[str, int | None] = {}
        # Deeds on a copy that did not know what it was: written again under other ids.
        self.rewritten: list[Deed] = []
        # Those of which a disk that was put back once more may have lost what was written again.
        self.perhaps: list[Deed] = []
        # Whether any disk lost leaves, so that nodes may say so.
        self.is_harmed = False

    def add(self, deed: Deed) -> None:
        """Remember what somebody wrote, or may have written."""
        node = next(node for node in self._nodes.values() if node.code == deed.code)
        unaware = self.unaware.get(deed.code)
        with node.guard.observed():
            is_unaware = unaware is not None and node.is_up and node.replica.epoch == unaware
        if is_unaware:
            if deed.is_acknowledged:
                self.rewritten.append(deed)
            deed = replace(deed, is_acknowledged=False)
        self.deeds.append(deed)
        events = [event for _, event in deed.events]
        self.concerns.add(deed.document, deed.code, deed.kind, events)

    def restored(self, node: SimulatedNode, *, is_known: bool) -> None:
        """Accept that a node holds less than before; only what another holds must stay."""
        self.unaware[node.code] = None if is_known else node.replica.epoch
        for facts in (self._held, self._acked):
            for key in [key for key in facts if key[0] == node.code]:
                del facts[key]
        for told in [key for key in self.cosigned if key[0] == node.code]:
            del self.cosigned[told]
        self._written.pop(node.code, None)
        self._news.pop(node.code, None)
        for log in node.replica.store.logs():
            self._held[node.code, log.log_id] = log.size
            if log.owner == node.peer_id and log.log_id not in self.logs:
                self.logs[log.log_id] = Truth(node.code, log.purpose)
        for truth in self.logs.values():
            truth.is_rolled |= truth.owner == node.code
        # A disk that is put back may have been the last to hold what another lost before.
        standing = {code: self._standing(code) for code in self.unaware}
        cut_off = {code: self._cut_off(code) - held for code, held in standing.items()}
        again = [deed for deed in self.deeds if deed.change in cut_off.get(deed.code, ())]
        self.deeds = [
            replace(deed, is_acknowledged=deed.is_acknowledged and deed.change in held)
            if (held := standing.get(deed.code)) is not None
            else deed
            for deed in self.deeds
        ]
        self.perhaps += [deed for deed in self.rewritten if deed.code == node.code]
        self.rewritten = [deed for deed in self.rewritten if deed.code != node.code]
        self.rewritten += [deed for deed in again if deed.is_acknowledged]
        self.perhaps += [deed for deed in again if not deed.is_acknowledged]

    def _standing(self, code: str) -> set[bytes]:
        """Return the changes in logs of a node, on whatever disk."""
        owner = next(node.peer_id for node in self._nodes.values() if node.code == code)
        return {
            bytes(row[0])
            for other in self._nodes.values()
            for row in other.guard.disk.execute(
                "SELECT hash FROM change c JOIN log l ON l.number = c.log"
                " JOIN leaf f ON f.log = c.log AND f.seq = c.seq WHERE l.owner = ?",
                (owner,),
            )
        }

    def _cut_off(self, code: str) -> set[bytes]:
        """Return the changes that a node cut off its own logs, to write them again if need be."""
        owner = next(node for node in self._nodes.values() if node.code == code)
        leaves = (
            decode_leaf(row[0])
            for row in owner.guard.disk.execute(
                "SELECT a.data FROM apart_leaf a JOIN log l ON l.number = a.log"
                " WHERE l.owner = ? AND l.purpose = ? AND is_judged = 0",
                (owner.peer_id, UP),
            )
        )
        return {parse_change(leaf.body).hash for leaf in leaves if leaf.type == LeafType.CHANGE}

    def settle(self) -> None:
        """Take what the tier above holds of logs that were rolled back as the truth."""
        for log_id, truth in self.logs.items():
            if not truth.is_rolled:
                continue
            owner = next(node for node in self._nodes.values() if node.code == truth.owner)
            reader = self._reader(truth, owner)
            log = reader.replica.store.find_log(log_id)
            leaves = reader.replica.store.leaves(log, 0, log.size) if log else []
            truth.leaves, truth.frontier = [], Frontier()
            truth.roots = [Frontier().root()]
            truth.extend(leaves)
        # What nobody else ever held is gone with the disk.
        self.logs = {key: truth for key, truth in self.logs.items() if truth.leaves}

    def _reader(self, truth: Truth, owner: SimulatedNode) -> SimulatedNode:
        """Return who reads a log; nobody reads what the centre wrote but the centre."""
        if truth.purpose != UP:
            return self._nodes[bytes.fromhex(truth.purpose.removeprefix("down/"))]
        return next((n for n in self._nodes.values() if n.code == owner.office.parent), owner)

    def settled_concerns(
        self,
        standing: Set[bytes],
        said: Mapping[DocumentId, Set[str]],
        revoked: Set[str] = frozenset(),
    ) -> Concerns:
        """Return what concerns whom by those changes and documents that stand in the end.

        What a revoked place wrote again is left out: part of it may count.
        """
        found = Concerns()
        again = {deed.change for deed in self.rewritten if deed.code not in revoked}
        again |= {
            deed.change
            for deed in self.perhaps
            if deed.document in said and deed.is_said_in(said[deed.document])
        }
        for deed in self.deeds:
            if deed.change in standing | again:
                found.add(deed.document, deed.code, deed.kind, [event for _, event in deed.events])
        return found

    def held(self, code: str, log_id: bytes) -> int:
        """Return how many leaves of a log a node has committed under a tree head."""
        return self._held.get((code, log_id), 0)

    def look(self, node: SimulatedNode) -> None:
        """Check a node after a commit or a restart.

        Raises:
            BrokenPromise: something is there that must not be, or is gone.
        """
        with node.guard.observed():
            self._look(node)

    def _look(self, node: SimulatedNode) -> None:
        store, counts = node.replica.store, node.guard.counts
        written = (node.starts, counts["UPDATE log"])
        if self._written.get(node.code) != written:
            self._written[node.code] = written
            for log in store.logs():
                if log.size != self._held.get((node.code, log.log_id), 0):
                    self._look_at_log(node, log)
        news = (node.starts, store.cosignature_news)
        if self._news.get(node.code) != news:
            self._news[node.code] = news
            self._look_at_cosignatures(node)
        if node.office.tier is Tier.COMMUNE:
            for document in node.touched:
                if not self.concerns.concerns(document, node.code):
                    raise BrokenPromise(
                        "scope", f"{node.code} holds {document.hex()}, which is not its concern"
                    )
        self._look_for_trouble(node)

    def sends_ack(self, node: SimulatedNode, log_id: bytes, ack: Ack) -> None:
        """Check an acknowledgement that is about to leave.

        Raises:
            BrokenPromise: it takes back an earlier one, or claims what is not stored.
        """
        key = (node.code, log_id)
        truth = self.logs.get(log_id)
        if self.is_harmed or (truth is not None and truth.is_rolled):
            # What no head covered may be told to its owner again, who does not have it any more;
            # and it is forgotten where what it was put together with turned out to be damaged.
            self._acked[key] = ack.have_seq
        held = self.held(*key)
        if self.wire_counts["damaged"] or held < self._ever.get(key, 0):
            # Leaves that were damaged, and that no head covers, are forgotten and come again; so,
            # on every link, are those that a node countersigned before its disk was put back.
            self._acked[key] = min(self._acked.get(key, 0), held)
        if ack.have_seq < self._acked.get(key, 0):
            raise BrokenPromise(
                "ack_back",
                f"{node.code} acknowledged {self._acked[key]} leaves of"
                f" {self._name(log_id)} and now {ack.have_seq}",
            )
        self._acked[key] = ack.have_seq
        if ack.have_seq > held:
            stored = node.guard.disk.execute(
                "SELECT count(*) FROM pending_leaf JOIN log ON number = log"
                " WHERE log_id = ? AND seq >= ? AND seq < ?",
                (log_id, held, ack.have_seq),
            ).fetchone()[0]
            if stored != ack.have_seq - held:
                raise BrokenPromise(
                    "ack_early",
                    f"{node.code} acknowledged {ack.have_seq} leaves of {self._name(log_id)}"
                    f" and holds {held + stored}",
                )

    def _look_at_log(self, node: SimulatedNode, log: Log) -> None:
        key = (node.code, log.log_id)
        before = self._held.get(key, 0)
        known = self.logs.get(log.log_id)
        if known is not None and known.is_rolled:
            self._held[key] = log.size
            self._ever[key] = max(log.size, self._ever.get(key, 0))
            return
        if log.size < before:
            raise BrokenPromise(
                "log_shrunk", f"{node.code} held {before} leaves of {log.purpose}, now {log.size}"
            )
        if log.owner == node.peer_id:
            truth = self.logs.setdefault(log.log_id, Truth(node.code, log.purpose))
            # An epoch that it took for new may be one that its lost disk was in before.
            truth.is_rolled |= self.unaware.get(node.code) is not None
            if before != len(truth.leaves):
                raise BrokenPromise("log_owner", f"{node.code} lost its {log.purpose}")
            try:
                fresh = node.replica.store.leaves(log, before, log.size - before)
            except LogError as error:
                raise BrokenPromise("log_owner", f"{node.code}: {error}") from error
            self._look_at_scope(truth, fresh)
            truth.extend(fresh)
        truth = self.logs[log.log_id]
        if log.size >= len(truth.roots) or log.frontier.root() != truth.roots[log.size]:
            raise BrokenPromise(
                "log_differs", f"{node.code} holds another {self._name(log.log_id)} than its owner"
            )
        self._held[key] = log.size
        self._ever[key] = max(log.size, self._ever.get(key, 0))

    def _look_at_scope(self, truth: Truth, fresh: list[bytes]) -> None:
        """Check that nothing was put into a down log that does not concern its reader."""
        if not truth.purpose.startswith("down/"):
            return
        reader = self._nodes[bytes.fromhex(truth.purpose.removeprefix("down/"))]
        for data in fresh:
            leaf = decode_leaf(data)
            if leaf.type != LeafType.CHANGE:
                continue
            if not self.concerns.concerns(DocumentId(leaf.document), reader.code):
                raise BrokenPromise(
                    "scope", f"{truth.owner} sends {leaf.document.hex()} to {reader.code}"
                )

    def _look_at_cosignatures(self, node: SimulatedNode) -> None:
        rows = node.guard.disk.execute(
            "SELECT log_id, peer, cosignature.size, cosignature.tier FROM cosignature"
            " JOIN log ON number = log"
        )
        for log_id, peer, size, tier in rows.fetchall():
            key = (node.code, log_id, peer)
            before = self.cosigned.get(key, 0)
            # A disk that was put back may hold less than its node countersigned.
            if size < before and self._nodes[peer].code not in self.unaware:
                raise BrokenPromise(
                    "cosigned_back",
                    f"{node.code}: {before} leaves of {self._name(log_id)} were cosigned,"
                    f" now {size}",
                )
            self.cosigned[key] = size
            cosigner = self._nodes[peer]
            held = self._ever.get((cosigner.code, log_id), 0)
            if cosigner.office.tier.value != tier or held < size:
                raise BrokenPromise(
                    "cosigned_early",
                    f"{node.code} says that {cosigner.code} holds {size} leaves of"
                    f" {self._name(log_id)}, which holds {self.held(cosigner.code, log_id)}",
                )

    def _look_for_trouble(self, node: SimulatedNode) -> None:
        count = node.guard.counts["INSERT alarm"]
        if count == self._alarms.get(node.code, 0):
            return
        self._alarms[node.code] = count
        rows = [
            row
            for row in node.guard.disk.execute("SELECT code, detail FROM alarm")
            if row[0] not in self.alarms_allowed()
        ]
        if rows:
            raise BrokenPromise("alarm", f"{node.code} raised an alarm among honest nodes: {rows}")

    def alarms_allowed(self) -> tuple[str, ...]:
        """Return what nodes may be alarmed about after what happened to disks and messages."""
        return (
            "key_revoked",
            *(RESTORE_ALARMS if self.unaware else ()),
            *(DAMAGE_ALARMS if self.wire_counts["damaged"] else ()),
            *(["audit_missing"] if self.is_harmed else ()),
        )

    def _name(self, log_id: bytes) -> str:
        truth = self.logs.get(log_id)
        if truth is None:
            return log_id.hex()
        return f"{truth.owner}'s log {truth.purpose[:12]}"


def _reference(event: Event) -> str | None:
    match event:
        case Received():
            return event.petition
        case PersonJoined():
            return event.person
        case GroupLinked():
            return event.group
    return None
