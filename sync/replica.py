"""The replicated state of one node: what it writes, what it receives, what it passes on.

Everything here runs inside one transaction of the store, takes the time as an argument, and touches
no network: the program and the simulation drive the same code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import cbor2
from cryptography import x509

from crypto.certificates import Subject, chain_from_der, chain_to_der, verify_chain
from crypto.identity import NodeKey, actor_of, device_id, log_id
from crypto.note import sign_head
from crypto.tiers import is_above
from schemas.codes import Tier
from schemas.events import Event
from schemas.hlc import tick
from schemas.ids import DocumentId, EventId, event_hlc, event_id
from schemas.record import Leaf, LeafType, Writer, encode_certificates
from sync.audience import Audience
from sync.copies import lacking
from sync.document import Edit
from sync.errors import LogError
from sync.history import certificates_in
from sync.inbound import Inbound
from sync.intake import Admission, Intake
from sync.log import HEAD_STEP, UP, Log
from sync.scope import containing
from sync.scrub import Scrub
from sync.store import Peer, Store

# Each log starts with a chain, and many start with the same: checking one takes 0.5 ms.
_CHAINS_KEPT: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """A signed-in person at a device of this node.

    Attributes:
        device: device id; the node's own for what it does by itself.
    """

    user: str
    name: str
    role: str
    device: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write became.

    Attributes:
        seq: number of the leaf in the up log; None if the edit changed nothing.
        events: ids of the events, in the order given.
    """

    document: DocumentId
    seq: int | None
    events: tuple[EventId, ...]


class Replica:
    """All records of a node.

    Attributes:
        key: the node's keys.
        subject: who the node is, by its certificate.
        chain: its certificates as DER, its own first, without the root.
        device: the node's own device id.
        watchers: sets that get each document that changes.
    """

    def __init__(
        self,
        store: Store,
        *,
        key: NodeKey,
        chain: Sequence[x509.Certificate],
        root: x509.Certificate,
        admit: Admission,
        project: Callable[[set[DocumentId]], None],
    ) -> None:
        """Build on an opened store.

        Args:
            store: with its tables in place.
            key: of this node.
            chain: its certificates, its own first, without the root.
            root: the only certificate trusted by itself.
            admit: the domain's judgement of foreign changes.
            project: brings the view tables up to date for documents, in the same transaction.
        """
        self.store = store
        self.key = key
        self.chain = chain_to_der(chain)
        self._root = root
        self.subject = verify_chain(chain, root, None)
        self.device = device_id(key.peer_id)
        store.own_key = key.peer_id
        self._project = project
        self.intake = Intake(store, admit=admit, verify_chain=self.verify_chain)
        self.inbound = Inbound(
            store, self.intake, key=key, subject=self.subject, verify_chain=self.verify_chain
        )
        self.scrub = Scrub(store)
        self.watchers: list[set[DocumentId]] = []
        self._audience = Audience(store, self.intake)
        self._writer_numbers: dict[tuple[int, bytes], int] = {}
        # The clock reading on the disk; None when it was not read yet.
        self._clock_stored: int | None = None
        self._epoch: int | None = None

    def verify_chain(self, chain: list[bytes]) -> Subject:
        """Return whom a chain of DER certificates names, at any time of its life.

        Raises:
            CryptoError: the chain does not lead to our root.
        """
        return _subject_of(tuple(chain), self._root)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one unit of work: views follow and heads are signed before it commits."""
        try:
            with self.store.transaction():
                self._load_clock()
                yield
                self._finish()
        except BaseException:
            self.intake.forget()
            self._writer_numbers.clear()
            self._clock_stored = self._epoch = None
            raise

    @property
    def epoch(self) -> int:
        """Number of this node's life; a restored node starts another."""
        if self._epoch is None:
            self._epoch = int.from_bytes(self.store.meta("epoch") or b"\0", "big")
        return self._epoch

    def begin_epoch(self, epoch: int) -> None:
        """Go on in new logs; the earlier ones stay as they are and are never extended again."""
        self.store.set_meta("epoch", epoch.to_bytes(8, "big"))
        self._epoch = epoch
        self._writer_numbers.clear()
        self.up_log()
        for child in self.store.children():
            self._fill_for(child)

    # Writing

    def up_log(self) -> Log:
        """Return the log of what was written here, created with our certificates at first."""
        return self._own_log(UP)

    def down_log(self, child: Peer) -> Log:
        """Return the log of what concerns a child."""
        return self._own_log(f"down/{child.peer_id.hex()}")

    def write(
        self,
        author: Author,
        document: DocumentId,
        *,
        now_ms: int,
        kind: str | None = None,
        fields: Mapping[str, str | int | None] | None = None,
        texts: Mapping[str, str] | None = None,
        events: Sequence[Event] = (),
        base: tuple[bytes, ...] | None = None,
        ids: Sequence[EventId] = (),
    ) -> Written:
        """Write one change to a document and put it into the up log.

        Args:
            author: who does it.
            document: a new id with kind, or an existing one.
            now_ms: wall clock.
            kind: creates the document.
            fields: new field values.
            texts: new whole long texts; a new document names all that it may ever have.
            events: facts, which get consecutive ids.
            base: heads the author had seen; values changed since then become rivals, not losses.
            ids: from reserve, when the events name each other.

        Raises:
            ChangeError: the change cannot be made.
        """
        ids = tuple(ids) or self.reserve(author, len(events), now_ms)
        clock = event_hlc(ids[0]) if ids else self.tick(now_ms)
        encoded: dict[str, str] = {
            key: event.encode() for key, event in zip(ids, events, strict=True)
        }
        edit = Edit(
            kind=kind,
            fields=fields or {},
            texts=texts or {},
            events=encoded,
            base=base,
        )
        made = self.commit(author, document, edit, clock, now_ms)
        if made is None:
            return Written(document=document, seq=None, events=())
        return Written(document=document, seq=made[0], events=ids)

    def commit(
        self, author: Author, document: DocumentId, edit: Edit, clock: int, now_ms: int
    ) -> tuple[int, bytes] | None:
        """Put an edit into the up log; return the leaf's number and the change, None if empty.

        Args:
            author: who does it.
            document: which one.
            edit: what.
            clock: reading for the leaf, which its event ids continue.
            now_ms: wall clock.

        Raises:
            ChangeError: the change cannot be made.
            LogError: it may not enter the document.
        """
        writer = self.writer(author)
        raw = self.intake.documents.write(document, actor_of(writer, document), edit)
        return None if raw is None else (self.enter(writer, document, raw, clock, now_ms), raw)

    def enter(
        self, writer: Writer, document: DocumentId, raw: bytes, clock: int, now_ms: int
    ) -> int:
        """Put a change of a writer of this node into the up log; return the leaf's number.

        Raises:
            LogError: it may not enter the document.
        """
        log = self.up_log()
        number = self._writer_number(log, writer, clock)
        leaf = Leaf(
            type=LeafType.CHANGE, writer=number, document=document, hlc=clock, body=raw
        ).encode()
        seq = self._append(log, leaf, now_ms)
        refused = self.store.db.execute(
            "SELECT code, detail FROM dead_letter WHERE log = ? AND seq = ?", (log.number, seq)
        ).fetchone()
        if refused is not None:
            raise LogError(refused[0], refused[1])
        return seq

    def reserve(self, author: Author, count: int, now_ms: int) -> tuple[EventId, ...]:
        """Return ids for so many events of one change to come, in order."""
        if count == 0:
            return ()
        clock = self.tick(now_ms, count)
        device = self.device_now(author.device)
        return tuple(event_id(clock + offset, device) for offset in range(count))

    def device_now(self, device: bytes) -> bytes:
        """Return the id under which a device writes in the present epoch.

        A database that is older than its last life has an older clock too: under the old id, it
        could give an event an id that another event bears already.
        """
        if self.epoch == 0:
            return device
        return device_id(device + self.epoch.to_bytes(8, "big"))

    def writer(self, author: Author, actor: bytes = b"") -> Writer:
        """Return who writes as logs declare it; actor: the one that the program at hand chose."""
        return Writer(
            node=self.key.peer_id,
            device=self.device_now(author.device),
            epoch=self.epoch,
            tier=self.subject.tier.value,
            code=self.subject.code,
            user=author.user,
            name=author.name,
            role=author.role,
            actor=actor,
        )

    def repeat(self, leaf: Leaf, writer: Writer) -> None:
        """Put a change that was written here in an earlier epoch into the present up log too."""
        log = self.up_log()
        number = self._writer_number(log, writer, leaf.hlc)
        self._append(log, leaf._replace(writer=number).encode(), 0)

    def _own_log(self, purpose: str) -> Log:
        own_id = log_id(self.key.peer_id, purpose, self.epoch)
        log = self.store.find_log(own_id)
        if log is None:
            log = self.store.create_log(
                log_id=own_id,
                owner=self.key.peer_id,
                purpose=purpose,
                epoch=self.epoch,
                tier=self.subject.tier.value,
                code=self.subject.code,
            )
            self._append_certificates(log, self.chain)
        return log

    def _append_certificates(self, log: Log, chain: list[bytes]) -> None:
        self._append_of_log(log, LeafType.CERTIFICATES, encode_certificates(chain), 0)

    def append_statement(self, kind: LeafType, body: bytes, now_ms: int) -> None:
        """Put the body of a REVOCATION or TRAIL leaf into the up log, which takes it in."""
        self._append_of_log(self.up_log(), kind, body, now_ms)

    def _append_of_log(self, log: Log, kind: LeafType, body: bytes, now_ms: int) -> None:
        """Append a leaf that belongs to the log itself."""
        leaf = Leaf(type=kind, writer=0, document=b"", hlc=self.intake.clock, body=body)
        self._append(log, leaf.encode(), now_ms)

    def _append(self, log: Log, leaf: bytes, now_ms: int) -> int:
        """Append a leaf to an own log and take it in like any other."""
        seq = log.extend(leaf)
        self.store.put_leaf(log, seq, leaf)
        log.unsigned = True
        if log.size % HEAD_STEP == 0:
            self._sign(log)
            self.store.put_head(log, log.size, log.frontier.root(), log.head_signature)
        self.intake.take(log, seq, leaf, now_ms)
        return seq

    def _sign(self, log: Log) -> None:
        log.head_signature = sign_head(self.key, log.head())
        log.unsigned = False

    def _writer_number(self, log: Log, writer: Writer, clock: int) -> int:
        """Return the writer's number in a log, declaring it at first use."""
        body = writer.encode()
        number = self._writer_numbers.get((log.number, body))
        if number is None:
            row = self.store.db.execute(
                "SELECT number FROM writer WHERE log = ? AND body = ?", (log.number, body)
            ).fetchone()
            if row is None:
                row = self.store.db.execute(
                    "SELECT coalesce(max(number), 0) + 1 FROM writer WHERE log = ?", (log.number,)
                ).fetchone()
                leaf = Leaf(type=LeafType.WRITER, writer=row[0], document=b"", hlc=clock, body=body)
                self._append(log, leaf.encode(), 0)
            number = self._writer_numbers[log.number, body] = int(row[0])
        return number

    # The clock

    def _load_clock(self) -> None:
        if self._clock_stored is None:
            self._clock_stored = int.from_bytes(self.store.meta("clock") or b"", "big")
            self.intake.clock = self._clock_stored

    def tick(self, now_ms: int, readings: int = 1) -> int:
        """Return the first of so many consecutive clock readings."""
        first = tick(self.intake.clock, now_ms)
        self.intake.clock = first + readings - 1
        return first

    # The end of a transaction

    def _finish(self) -> None:
        self.settle_revocations()
        if any(is_above(code, self.subject.code) for code in self.intake.met):
            self.announce_superiors()
        self.intake.met.clear()
        changed = self.intake.changed
        if changed:
            self.intake.save()
            self._project(set(changed))
            for watcher in self.watchers:
                watcher.update(changed)
            if self._has_readers():
                self._pass_on(dict(sorted(changed.items())))
            changed.clear()
            self.intake.redone.clear()
        for log in self.store.logs_unsigned():
            self._sign(log)
        if self.intake.clock != self._clock_stored:
            # Else a transaction that changed nothing would still wait for the disk.
            self.store.set_meta("clock", self.intake.clock.to_bytes(8, "big"))
            self._clock_stored = self.intake.clock

    def settle_revocations(self) -> None:
        """Make documents again without what does not count, and tell children whom it concerns."""
        revocations = self.intake.revocations
        if not revocations.is_news:
            return
        documents = revocations.unsettled()
        # Their clock readings were followed when the leaves came.
        self.intake.redo(documents, 0)
        for child in self.store.children():
            self._tell_revocations(child)
        again = revocations.unsettled()
        self.intake.redo(again, 0)
        if documents | again and self._has_readers():
            self.intake.save()
            for document in self._audience.renew():
                # What came in this transaction may have gained it readers.
                self.intake.changed.setdefault(document, set()).add(None)
        revocations.is_news = False

    # Passing on to children

    def welcome(self, peer: Peer) -> None:
        """Remember a peer; a new child gets everything that concerns its place."""
        had_readers = self._has_readers()
        if not self.store.put_peer(peer):
            return
        self.intake.met.add(peer.code)
        if peer.is_child:
            if not had_readers:
                self._audience.renew()
            self._fill_for(peer)

    def _has_readers(self) -> bool:
        """Tell whether anybody may read logs of ours downwards; most communes have no outpost."""
        return self.subject.tier in (Tier.CENTRE, Tier.PROVINCE) or bool(self.store.children())

    def announce_superiors(self) -> None:
        """Give all children the certificates of those above us, where they lack them."""
        for child in self.store.children():
            self._announce_superiors(child)

    def _fill_for(self, child: Peer) -> None:
        """Let a child's log hold all that concerns its place."""
        self._announce_superiors(child)
        if child.tier == Tier.OUTPOST.value:
            # Above, nobody else tells which of them are ours.
            self._append_certificates(self.up_log(), list(cbor2.loads(child.chain)))
        self._tell_revocations(child)
        rows = self.store.db.execute(
            "SELECT DISTINCT document FROM audience WHERE code = ? OR code LIKE ? || '.%'",
            (child.code, child.code),
        ).fetchall()
        self._send_down(sorted(DocumentId(bytes(row[0])) for row in rows), [child])

    def _announce_superiors(self, child: Peer) -> None:
        """Give a child the certificates it needs to check cosignatures of those above us."""
        log = self.down_log(child)
        known = set(certificates_in(self.store, log))
        for peer in filter(lambda p: is_above(p.code, self.subject.code), self.store.peers()):
            chain = list(cbor2.loads(peer.chain))
            if encode_certificates(chain) not in known:
                self._append_certificates(log, chain)

    def _tell_revocations(self, child: Peer) -> None:
        log = self.down_log(child)
        for body in list(self.intake.revocations.bodies_for(child, log)):
            self._append_of_log(log, LeafType.REVOCATION, body, 0)

    def _pass_on(self, changed: Mapping[DocumentId, set[bytes | None]]) -> None:
        """Send on what changed, to each child that it concerns and that did not send it."""
        children = self.store.children()
        widened: set[DocumentId] = set()
        for document in changed:
            widened |= self._audience.widen(document)
        self._send_down(list(changed), children, changed)
        self._send_down(sorted(widened - changed.keys()), children)

    def _send_down(
        self,
        documents: Sequence[DocumentId],
        children: Sequence[Peer],
        sources: Mapping[DocumentId, set[bytes | None]] = MappingProxyType({}),
    ) -> None:
        """Send documents on to those whom they concern, but for the only one who changed them."""
        by_code: dict[str, list[Peer]] = {}
        for child in children:
            by_code.setdefault(child.code, []).append(child)
        for document in documents:
            for code in by_code.keys() & containing(self._audience.of(document)):
                for child in by_code[code]:
                    if sources.get(document) != {child.peer_id}:
                        self._fill_down_log(child, document)

    def _fill_down_log(self, child: Peer, document: DocumentId) -> None:
        """Append to the child's log each change of the document that it does not hold yet."""
        log = self.down_log(child)
        for leaf, source in lacking(self.store, child, log, document):
            writer = self.intake.writer(source, leaf.writer)
            if writer.node == child.peer_id:
                # It has its own words, and takes them from nobody.
                continue
            number = self._writer_number(log, writer, leaf.hlc)
            copy = Leaf(
                type=leaf.type, writer=number, document=document, hlc=leaf.hlc, body=leaf.body
            )
            self._append(log, copy.encode(), 0)


@lru_cache(maxsize=_CHAINS_KEPT)
def _subject_of(chain: tuple[bytes, ...], root: x509.Certificate) -> Subject:
    return verify_chain(chain_from_der(chain), root, None)
