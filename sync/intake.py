"""Takes leaves into documents: each is applied, waits for what it builds on, or is set aside.

Nothing is dropped and nothing blocks: a leaf that cannot be used becomes a dead letter with its
reason, and the log moves on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from crypto.certificates import Subject
from crypto.errors import CryptoError
from crypto.identity import actor_of
from crypto.tiers import is_above, is_directly_above
from schemas.errors import RecordError, SchemaError
from schemas.event_text import KnownEvent, decode_event
from schemas.events import Attached, Event, UnknownEvent
from schemas.hlc import observe
from schemas.ids import DocumentId
from schemas.record import Leaf, LeafType, Writer, decode_certificates, decode_leaf, decode_writer
from schemas.trail import decode_trail
from sync.change import Change, parse_change
from sync.document import Documents
from sync.errors import ChangeError, LogError
from sync.log import UP, Log
from sync.plain import texts_after
from sync.readings import Reading, Readings
from sync.registers import (
    Effect,
    Registers,
    Step,
    absorb,
    is_before,
    judge,
    kind_of,
)
from sync.revocations import Revocations
from sync.shelf import Shelf
from sync.store import Peer, Store

Events = Sequence[KnownEvent | UnknownEvent]
# Some hundred bytes each; only changes made apart are asked for them.
_STEPS_MAX: Final = 20_000
# What leaves become in tables that name the document.
_OF_DOCUMENT: Final = (
    "change",
    "waiting_change",
    "event",
    "long_text",
    "dead_letter",
    "quarantined_change",
    "blob_document",
)


class Admission(Protocol):
    """The domain's word on a change: raises ChangeError or SchemaError to set it aside."""

    def __call__(
        self,
        kind: str,
        prior: Callable[[], Events],
        new: Events,
        fields: Mapping[str, object],
    ) -> None:
        """Judge new events and field values against the events that stand."""


class Intake:
    """Applies leaves inside a transaction of the store.

    Attributes:
        clock: newest clock reading seen or given out.
        changed: documents that changed since the caller last cleared it, with the peers (None: this
            node) whose leaves changed them.
        readings: of leaves that came and are not in use yet.
        revocations: keys that count no longer.
        redone: those of them that lost leaves, so that rows made from these must go.
        met: codes of peers whose certificates came, which those below may lack.
    """

    def __init__(
        self,
        store: Store,
        *,
        admit: Admission,
        verify_chain: Callable[[list[bytes]], Subject],
    ) -> None:
        """Work on a store; verify_chain raises CryptoError for a chain that is not ours."""
        self._store = store
        self._admit = admit
        self._verify_chain = verify_chain
        self.documents = Documents(self.changes_of)
        self.readings = Readings()
        self.revocations = Revocations(store, verify_chain)
        self.clock = 0
        self.changed: dict[DocumentId, set[bytes | None]] = {}
        self.redone: set[DocumentId] = set()
        self.met: set[str] = set()
        self._writers: dict[tuple[int, int], Writer] = {}
        # By hash, so true whatever is rolled back.
        self._steps: dict[bytes, Step] = {}
        self._shelf = Shelf(store.db)
        # Whether any change waits; None: not looked up yet.
        self._waiting: bool | None = None

    def forget(self) -> None:
        """Drop what memory holds of a transaction that was rolled back."""
        self.documents.forget_all()
        self.revocations.forget()
        self.changed.clear()
        self.redone.clear()
        self.met.clear()
        self._writers.clear()
        self._shelf.forget()
        self._waiting = None

    def take(
        self, log: Log, seq: int, data: bytes, now_ms: int, reading: Reading | None = None
    ) -> None:
        """Take one leaf that stands in the log, which was read before or not."""
        try:
            leaf = decode_leaf(data) if reading is None else reading.leaf
            self.clock = observe(self.clock, leaf.hlc, now_ms)
            match leaf.type:
                case LeafType.CHANGE:
                    self._take_change(log, seq, leaf, reading)
                case LeafType.WRITER:
                    self._take_writer(log, seq, leaf)
                case LeafType.CERTIFICATES:
                    self._take_certificates(log, seq, leaf)
                case LeafType.REVOCATION:
                    self.revocations.take(log, seq, leaf, now_ms)
                case LeafType.TRAIL:
                    # Only kept, and countersigned: it says nothing about records.
                    decode_trail(leaf.body)
                case _:
                    raise RecordError("leaf_type_unknown", f"leaf of unknown type {leaf.type}")
        except (SchemaError, ChangeError, CryptoError, LogError) as error:
            self._set_aside(log, seq, data, error.code, str(error))

    def save(self) -> None:
        """Write the documents that changed; before that the database has them as they were."""
        self._shelf.save()

    def redo(self, documents: Iterable[DocumentId], now_ms: int) -> None:
        """Make documents again from the leaves that are still in their logs."""
        self._writers.clear()
        for document in sorted(documents):
            rows = self._store.db.execute(
                "SELECT log, seq FROM change WHERE document = ?1"
                " UNION SELECT log, seq FROM waiting_change WHERE document = ?1"
                " UNION SELECT log, seq FROM dead_letter WHERE document = ?1 ORDER BY log, seq",
                (document,),
            ).fetchall()
            for table in _OF_DOCUMENT:
                self._store.db.execute(f"DELETE FROM {table} WHERE document = ?", (document,))
            self._shelf.remove(document)
            self.documents.close(document)
            for number, seq in rows:
                log = self._store.log_by_number(number)
                if seq < log.size:
                    self._take_again(log, seq, document, now_ms)
            self.changed.setdefault(document, set()).add(None)
            self.redone.add(document)

    def _take_again(self, log: Log, seq: int, document: DocumentId, now_ms: int) -> None:
        """Take a leaf that was taken before; one that the disk lost waits as a dead letter."""
        try:
            (data,) = self._store.leaves(log, seq, 1)
        except LogError as error:
            self._store.db.execute(
                "INSERT OR REPLACE INTO dead_letter VALUES (?, ?, ?, ?, ?)",
                (log.number, seq, document, error.code, str(error)),
            )
            return
        self.take(log, seq, data, now_ms)

    # Reading back

    def changes_of(self, document: DocumentId) -> list[bytes]:
        """Return the raw changes of a document, each once, in the order of their hashes."""
        rows = self._store.db.execute(
            "SELECT leaf.data FROM change JOIN leaf ON leaf.log = change.log"
            " AND leaf.seq = change.seq WHERE document = ? GROUP BY hash",
            (document,),
        )
        return [decode_leaf(row[0]).body for row in rows]

    def registers(self, document: DocumentId) -> Registers:
        """Return the registers of a document, to be read only; of an unknown one they are empty."""
        return self._shelf.get(document)

    def events(
        self, document: DocumentId, types: Sequence[str] = ()
    ) -> list[KnownEvent | UnknownEvent]:
        """Return the events of a document, of some types or all, in the order of their ids."""
        wanted = f" AND type IN ({_marks(types)})" if types else ""
        rows = self._store.db.execute(
            f"SELECT body FROM event WHERE document = ?{wanted} ORDER BY id", (document, *types)
        )
        return [decode_event(row[0]) for row in rows]

    def texts(self, document: DocumentId) -> dict[str, str]:
        """Return the long texts of a document that somebody wrote in."""
        rows = self._store.db.execute(
            "SELECT name, content FROM long_text WHERE document = ?", (document,)
        )
        return dict(rows.fetchall())

    def writer(self, log_number: int, number: int) -> Writer:
        """Return a writer that the log declared.

        Raises:
            RecordError: it declared no such writer.
        """
        key = (log_number, number)
        writer = self._writers.get(key)
        if writer is None:
            row = self._store.db.execute(
                "SELECT body FROM writer WHERE log = ? AND number = ?", key
            ).fetchone()
            if row is None:
                raise RecordError("writer_unknown", f"the log declared no writer {number}")
            writer = self._writers[key] = decode_writer(bytes(row[0]))
        return writer

    # Leaves of the log itself

    def _take_writer(self, log: Log, seq: int, leaf: Leaf) -> None:
        writer = decode_writer(leaf.body)
        if leaf.writer == 0 or leaf.document:
            raise RecordError("writer_malformed", "a writer has a number and no document")
        if log.purpose == UP and (writer.node, writer.tier, writer.code) != (
            log.owner,
            log.tier,
            log.code,
        ):
            raise RecordError("writer_foreign", "a node vouches for its own writers only")
        if log.source is not None and self._store.is_own(writer.node):
            raise RecordError("writer_foreign", "only we vouch for our own writers")
        if writer.actor and not self._store.claim_actor(writer.actor, writer.node, writer.user):
            raise RecordError("actor_taken", "the actor belongs to another writer already")
        cursor = self._store.db.execute(
            "INSERT OR IGNORE INTO writer VALUES (?, ?, ?, ?)",
            (log.number, leaf.writer, seq, leaf.body),
        )
        if cursor.rowcount == 0:
            raise RecordError("writer_twice", f"writer {leaf.writer} is declared already")

    def _take_certificates(self, log: Log, seq: int, leaf: Leaf) -> None:
        chain = decode_certificates(leaf.body)
        if leaf.writer or leaf.document:
            raise RecordError("certificates_malformed", "certificates have no writer or document")
        subject = self._verify_chain(chain)
        vouches = bool(seq) and log.purpose == UP and is_directly_above(log.code, subject.code)
        if seq and not (vouches or is_above(subject.code, log.code)):
            # Who issues certificates could put the key of somebody else's child into one.
            raise RecordError("certificates_foreign", "a log names nodes above its owner only")
        known = self._store.peer(subject.peer_id) if vouches else None
        if known is not None and known.code != subject.code:
            raise RecordError("certificates_foreign", "that key is another node's")
        if self._store.put_peer(Peer.named(subject, chain, is_child=False)):
            self.met.add(subject.code)
        if vouches:
            self.revocations.vouch(log, seq, subject.peer_id)

    # Changes

    def _take_change(self, log: Log, seq: int, leaf: Leaf, reading: Reading | None) -> None:
        document = DocumentId(leaf.document)
        if not document:
            raise RecordError("leaf_malformed", "a change without a document")
        writer = self.writer(log.number, leaf.writer)
        change = parse_change(leaf.body) if reading is None else reading.change
        registers = self.registers(document)
        # First of all, or a copy in another log could pass for the original when it is sent on.
        if change.actor != actor_of(writer, document):
            raise ChangeError("actor_foreign", "the change is under somebody else's actor")
        self.revocations.check(log, seq, document, change.hash, writer)
        held = self.held(document, change)
        if change.hash in held:
            # The same change came another way, or went out on another log: nothing new in it.
            self._place(document, change, log, seq)
            return
        missing = next((dep for dep in change.deps if dep not in held), None)
        if missing is not None:
            self._store.db.execute(
                "INSERT OR IGNORE INTO waiting_change VALUES (?, ?, ?, ?, ?)",
                (document, change.hash, log.number, seq, missing),
            )
            self._waiting = True
            return
        self._apply(registers, change, log, seq, leaf, writer)
        if self._waiting is not False:
            self._wake(document, change.hash)

    def held(self, document: DocumentId, change: Change) -> frozenset[bytes]:
        """Return what is applied here of a change and those it builds on, by their hashes."""
        registers = self.registers(document)
        held = {*registers.heads} & {change.hash, *change.deps}
        asked = [dep for dep in change.deps if dep not in held]
        if change.seq <= registers.seqs.get(change.actor, 0):
            # Only then can it have been here before.
            asked.append(change.hash)
        if asked and registers.kind:
            rows = self._store.db.execute(
                f"SELECT hash FROM change WHERE document = ? AND hash IN ({_marks(asked)})",
                (document, *asked),
            )
            held.update(bytes(row[0]) for row in rows)
        return frozenset(held)

    def _place(self, document: DocumentId, change: Change, log: Log, seq: int) -> None:
        self._store.db.execute(
            "INSERT OR IGNORE INTO change VALUES (?, ?, ?, ?)",
            (document, change.hash, log.number, seq),
        )

    def _apply(
        self,
        registers: Registers,
        change: Change,
        log: Log,
        seq: int,
        leaf: Leaf,
        writer: Writer,
    ) -> None:
        document = DocumentId(leaf.document)
        is_new = not registers.kind
        effect = self.effect_of(document, registers, change, leaf.hlc, writer.device)
        events = {key: decode_event(body) for key, body in effect.events.items()}
        kind = registers.kind or kind_of(change)
        prior = list if is_new else partial(self._events_before, document, registers, change)
        fields = {name: value for name, value in effect.fields.items() if value is not None}
        # What stands in a long text is not judged, but that something does is.
        fields |= dict.fromkeys(effect.texts, "…")
        self._admit(kind, prior, list(events.values()), fields)
        texts = texts_after(self.documents, document, registers, change)
        if events:
            self._put_events(document, effect.events, events, log, seq, leaf.writer)
        # Nothing refuses the change any more.
        absorb(registers, change, log=log.number, seq=seq)
        self._shelf.put(document, registers, writer.code, leaf.hlc)
        self._place(document, change, log, seq)
        if effect.texts:
            self._store.db.executemany(
                "INSERT OR REPLACE INTO long_text VALUES (?, ?, ?)",
                [(document, name, text) for name, text in sorted(texts.items())],
            )
        self._want_attachments(document, list(events.values()), log)
        self.changed.setdefault(document, set()).add(log.source)

    def effect_of(
        self, document: DocumentId, registers: Registers, change: Change, hlc: int, device: bytes
    ) -> Effect:
        """Judge a change by its own past, whatever arrived meanwhile."""
        if {*change.deps} == {*registers.heads}:
            newest = max(registers.last_ops.values(), default=0)
            return judge(registers, change, newest=newest, hlc=hlc, device=device)
        step = partial(self._step, document)
        # Each change starts right after its own past, so what it builds on ends with the highest.
        newest = max((step(dep).last_op for dep in change.deps), default=0)
        knows = partial(is_before, deps=change.deps, step=step)
        return judge(registers, change, newest=newest, hlc=hlc, device=device, knows=knows)

    def _step(self, document: DocumentId, change_hash: bytes) -> Step:
        """Return an applied change as a step into the past."""
        step = self._steps.get(change_hash)
        if step is None:
            row = self._store.db.execute(
                "SELECT leaf.data FROM change JOIN leaf ON leaf.log = change.log"
                " AND leaf.seq = change.seq WHERE document = ? AND hash = ?",
                (document, change_hash),
            ).fetchone()
            if row is None:
                raise LogError("leaf_missing", "what the change builds on is gone from the disk")
            change = parse_change(decode_leaf(row[0]).body)
            if len(self._steps) >= _STEPS_MAX:
                self._steps.clear()
            step = self._steps[change_hash] = Step(change.actor, change.last_op, change.deps)
        return step

    def _events_before(self, document: DocumentId, registers: Registers, change: Change) -> Events:
        """Return the events in the causal past of a change, in the order of their ids.

        What arrived meanwhile must not count: every node has to come to the same judgement, in
        whatever order the changes reached it.
        """
        if {*change.deps} == {*registers.heads}:
            return self.events(document)
        pending, past = list(change.deps), set[bytes]()
        while pending:
            change_hash = pending.pop()
            if change_hash not in past:
                past.add(change_hash)
                pending += self._step(document, change_hash).deps
        rows = self._store.db.execute(
            "SELECT e.body, c.hash FROM event e JOIN change c ON c.document = e.document"
            " AND c.log = e.log AND c.seq = e.seq WHERE e.document = ? ORDER BY e.id",
            (document,),
        )
        return [decode_event(body) for body, change_hash in rows if bytes(change_hash) in past]

    def _put_events(
        self,
        document: DocumentId,
        bodies: Mapping[str, str],
        events: Mapping[str, Event],
        log: Log,
        seq: int,
        writer: int,
    ) -> None:
        """Keep the events of a change.

        Raises:
            ChangeError: there is one of that id already.
        """
        rows = [
            (document, key, event.type, bodies[key], log.number, seq, writer)
            for key, event in events.items()
        ]
        db = self._store.db
        cursor = db.executemany("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        if cursor.rowcount < len(rows):
            db.execute(
                "DELETE FROM event WHERE document = ? AND log = ? AND seq = ?",
                (document, log.number, seq),
            )
            raise ChangeError("event_altered", "the change alters an event that stands")

    def _want_attachments(self, document: DocumentId, events: Events, log: Log) -> None:
        for event in events:
            if isinstance(event, Attached):
                sha256 = bytes.fromhex(event.sha256)
                self._store.want_blob(sha256, document, event.size_bytes, log.source)

    def _wake(self, document: DocumentId, arrived: bytes) -> None:
        """Try again what waited for a change, then what waited for that, until nothing more fits.

        Each waits for one change at a time: looking at all that wait again and again would let a
        peer with many orphans keep us busy for hours.
        """
        pending = [arrived]
        while pending:
            rows = self._store.db.execute(
                "SELECT hash, log, seq FROM waiting_change WHERE document = ? AND missing = ?"
                " ORDER BY log, seq",
                (document, pending.pop()),
            ).fetchall()
            for change_hash, log_number, seq in rows:
                if self._retry(document, bytes(change_hash), log_number, seq):
                    pending.append(bytes(change_hash))
        row = self._store.db.execute("SELECT 1 FROM waiting_change LIMIT 1").fetchone()
        self._waiting = row is not None

    def _retry(self, document: DocumentId, change_hash: bytes, log_number: int, seq: int) -> bool:
        data = self._store.leaf(log_number, seq)
        leaf = decode_leaf(data)
        change = parse_change(leaf.body)
        registers = self.registers(document)
        held = self.held(document, change)
        row = (document, change_hash, log_number)
        missing = next((dep for dep in change.deps if dep not in held), None)
        if missing is not None:
            self._store.db.execute(
                "UPDATE waiting_change SET missing = ? WHERE document = ? AND hash = ? AND log = ?",
                (missing, *row),
            )
            return False
        self._store.db.execute(
            "DELETE FROM waiting_change WHERE document = ? AND hash = ? AND log = ?", row
        )
        log = self._store.log_by_number(log_number)
        if change_hash in held:
            self._place(document, change, log, seq)
            return True
        try:
            writer = self.writer(log_number, leaf.writer)
            self._apply(registers, change, log, seq, leaf, writer)
        except (SchemaError, ChangeError, LogError) as error:
            self._set_aside(log, seq, data, error.code, str(error))
        return True

    def _set_aside(self, log: Log, seq: int, data: bytes, code: str, detail: str) -> None:
        try:
            document = decode_leaf(data).document
        except RecordError:
            document = b""
        self._store.db.execute(
            "INSERT OR IGNORE INTO dead_letter VALUES (?, ?, ?, ?, ?)",
            (log.number, seq, document, code, detail[:500]),
        )


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
