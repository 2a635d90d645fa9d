"""A stock automerge-repo client at a node: messages in, messages out, changes into the signed log.

The client is a person at a device. What it may read and change the caller says; a change that may
not stand is refused with the document it is in, and the client keeps it. Each method runs inside a
transaction of the replica; what it returns may leave only after the commit. After an error of
`receive` the transaction is undone: call `refuse`, or end the connection.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from crypto.identity import actor_of
from schemas.hlc import reading_ms
from schemas.ids import DocumentId, event_hlc
from schemas.limits import CLOCK_AHEAD_MS_MAX
from schemas.record import Writer
from schemas.repo import (
    VERSION,
    DocumentSync,
    Join,
    RepoMessage,
    encode_error,
    encode_peer,
    encode_sync,
    encode_unavailable,
    repo_id,
    repo_url,
)
from sync.change import Change, parse_change
from sync.document import EVENTS, Documents, Talk
from sync.errors import ChangeError, LinkError
from sync.registers import Effect, Registers, kind_of, maps_of
from sync.replica import Author, Replica
from sync.sync_message import parse_sync_message, without_flags

# An office's active cases, with what hangs on them.
DOCUMENTS_MAX: Final = 8_000
# Changes that came before what they build on, in bytes a document.
_EARLY_BYTES_MAX: Final = 1 << 20
# What a client says that it has, and what came early, of all its documents: it lies in memory.
_HELD_BYTES_MAX: Final = 16 << 20
# A client with more documents that may not stand is no use to anybody.
_REFUSED_MAX: Final = 64


class Rights(Protocol):
    """What the person at the device may do."""

    def may_read(self, document: DocumentId, /) -> bool:
        """Tell whether a document that is here may be read."""

    def check(
        self,
        document: DocumentId,
        registers: Registers,
        kind: str,
        effect: Effect,
        writer: Writer,
        /,
    ) -> None:
        """Refuse what the person may not do, by raising the error that says why.

        Args:
            document: that the change is in.
            registers: of it, before the change.
            kind: of it, also where the change makes it.
            effect: what the change does.
            writer: of the change.
        """


class RepoSession:
    """The protocol of one connection.

    Attributes:
        author: who is signed in, at which device.
        news: documents that changed here since they were last looked at.
        opened: documents that the client was given, or gave, for the first time; for the caller.
        written: documents that it changed; for the caller.
    """

    def __init__(
        self,
        replica: Replica,
        author: Author,
        rights: Rights,
        boards: Mapping[DocumentId, Documents],
    ) -> None:
        """Wait for a client's first message.

        Args:
            replica: of this node.
            author: who is signed in, at which device.
            rights: of that person.
            boards: documents that stand in no log; clients only read them.
        """
        self.author = author
        self._replica = replica
        self._rights = rights
        self._boards = boards
        self._own = replica.subject.peer_id.hex()
        self._client = ""
        self._talks: dict[DocumentId, Talk] = {}
        self._early: dict[DocumentId, list[bytes]] = {}
        self._held_bytes: Counter[DocumentId] = Counter()
        self._held_bytes_all = 0
        self._refused: set[DocumentId] = set()
        self.news: set[DocumentId] = set()
        self.opened: list[DocumentId] = []
        self.written: list[DocumentId] = []

    @property
    def is_joined(self) -> bool:
        """Tell whether the first message has come."""
        return bool(self._client)

    def join(self, message: RepoMessage) -> list[bytes]:
        """Answer the first message.

        The client learns the id of its device, which the ids of its events must carry, and where
        to find what is only read.

        Raises:
            LinkError: it is none, or the client speaks no version that is spoken here.
        """
        if not isinstance(message, Join):
            raise LinkError("repo_not_joined", "The first message of a client is `join`.")
        if VERSION not in message.versions:
            raise LinkError("repo_version", f"This node speaks version {VERSION} only.")
        self._client = message.sender
        metadata = {
            "storageId": self._own,
            "isEphemeral": False,
            "device": self._replica.device_now(self.author.device).hex(),
            "boards": [repo_url(board) for board in self._boards],
        }
        return [encode_peer(self._own, self._client, metadata)]

    def receive(self, message: RepoMessage, now_ms: int) -> list[bytes]:
        """Take a message and return the answers.

        Raises:
            LinkError: the client broke the protocol.
            SyncError, SchemaError, or what Rights.check raises: the change may not stand.
        """
        if isinstance(message, Join):
            raise LinkError("repo_joined_twice", "`join` is the first message only.")
        if not isinstance(message, DocumentSync):
            return []
        document = message.document
        if document in self._refused:
            return []
        if not self._may_see(document):
            return [encode_unavailable(self._own, self._client, document)]
        heard = parse_sync_message(message.data)
        is_here = document in self._boards or bool(self._registers(document).kind)
        if message.is_request and not (is_here or heard.changes):
            return [encode_unavailable(self._own, self._client, document)]
        talk = self._talk(document)
        # First what the client has, then what it brings: only news are answered with our heads.
        said = heard.without_changes().encode()
        self._documents(document).hear(document, talk, said)
        self._take(document, heard.changes, now_ms)
        self._hold(document, len(said))
        return self._said(document, talk)

    def tell(self) -> list[bytes]:
        """Return what the client lacks of the documents that changed here."""
        answers: list[bytes] = []
        for document in sorted(self.news & self._talks.keys()):
            if self._may_see(document):
                answers += self._said(document, self._talks[document])
        self.news.clear()
        return answers

    def refuse(self, document: DocumentId, code: str, sentence: str) -> list[bytes]:
        """Return the answer to a change that may not stand; its document is left alone from now on.

        Raises:
            LinkError: too many have been refused.
        """
        self._refused.add(document)
        self._talks.pop(document, None)
        self._early.pop(document, None)
        self._held_bytes_all -= self._held_bytes.pop(document, 0)
        # What the undone transaction did was not done.
        self.opened.clear()
        self.written.clear()
        if len(self._refused) > _REFUSED_MAX:
            raise LinkError("repo_refused", "Too many documents of this client were refused.")
        told = f"{repo_id(document)}: {sentence} [{code}]"
        return [encode_error(self._own, self._client, told)]

    def _hold(self, document: DocumentId, said_bytes: int) -> None:
        """Count what lies in memory for this client.

        Raises:
            LinkError: it is too much.
        """
        held_bytes = said_bytes + sum(map(len, self._early.get(document, ())))
        self._held_bytes_all += held_bytes - self._held_bytes[document]
        self._held_bytes[document] = held_bytes
        if self._held_bytes_all > _HELD_BYTES_MAX:
            raise LinkError("repo_too_many", "This client has too much open at once.")

    def _documents(self, document: DocumentId) -> Documents:
        return self._boards.get(document, self._replica.intake.documents)

    def _registers(self, document: DocumentId) -> Registers:
        return self._replica.intake.registers(document)

    def _may_see(self, document: DocumentId) -> bool:
        return not self._registers(document).kind or self._rights.may_read(document)

    def _talk(self, document: DocumentId) -> Talk:
        talk = self._talks.get(document)
        if talk is None:
            if len(self._talks) >= DOCUMENTS_MAX:
                raise LinkError("repo_too_many", f"More than {DOCUMENTS_MAX} documents are open.")
            talk = self._talks[document] = Talk()
            if document not in self._boards:
                self.opened.append(document)
        return talk

    def _said(self, document: DocumentId, talk: Talk) -> list[bytes]:
        message = self._documents(document).say(document, talk)
        if message is None:
            return []
        return [encode_sync(self._own, self._client, document, without_flags(message))]

    # Changes

    def _take(self, document: DocumentId, chunks: Sequence[bytes], now_ms: int) -> None:
        """Take changes, and those that waited for them, as far as what they build on is here."""
        if not chunks:
            return
        if document in self._boards:
            raise ChangeError("document_read_only", "this document is only read by devices")
        waiting = [parse_change(raw) for raw in [*self._early.get(document, ()), *chunks]]
        while waiting:
            late = [change for change in waiting if not self._enter(document, change, now_ms)]
            if len(late) == len(waiting):
                break
            waiting = late
        if sum(len(change.raw) for change in waiting) > _EARLY_BYTES_MAX:
            raise ChangeError("change_early", "too many changes build on what never came")
        self._early[document] = [change.raw for change in waiting]

    def _enter(self, document: DocumentId, change: Change, now_ms: int) -> bool:
        """Put a change into the log, unless it is there; False if what it builds on is missing."""
        held = self._replica.intake.held(document, change)
        if change.hash in held:
            return True
        if not held.issuperset(change.deps):
            return False
        registers = self._registers(document)
        clock = self._clock(change, registers, now_ms)
        writer = self._writer(document, change, registers)
        effect = self._replica.intake.effect_of(document, registers, change, clock, writer.device)
        kind = registers.kind or kind_of(change)
        self._rights.check(document, registers, kind, effect, writer)
        self._replica.enter(writer, document, change.raw, clock, now_ms)
        self.written.append(document)
        return True

    def _clock(self, change: Change, registers: Registers, now_ms: int) -> int:
        """Return the reading for the leaf of a change: that of its first event, or the next."""
        events = (registers.maps or maps_of(change))[EVENTS]
        keys = [op.key for op in change.map_ops if op.object == events]
        try:
            clock = min(map(event_hlc, keys), default=0)
        except ValueError as error:
            raise ChangeError("event_malformed", f"not an event id: {keys[0]!r:.40}") from error
        if not clock:
            return self._replica.tick(now_ms)
        if reading_ms(clock) > now_ms + CLOCK_AHEAD_MS_MAX:
            raise ChangeError("event_ahead", "the clock of this device is more than a day ahead")
        return clock

    def _writer(self, document: DocumentId, change: Change, registers: Registers) -> Writer:
        """Return who writes a change: the person who is signed in, under an actor of that person.

        Raises:
            ChangeError: the actor is somebody else's.
        """
        own = self._replica.writer(self.author)
        if change.actor == actor_of(own, document):
            return own
        row = self._replica.store.db.execute(
            "SELECT node, user FROM writer_actor WHERE actor = ?", (change.actor,)
        ).fetchone()
        if (row is None and change.actor in registers.seqs) or row not in (
            None,
            (own.node, own.user),
        ):
            raise ChangeError("actor_foreign", "the change was written under another account")
        return self._replica.writer(self.author, change.actor)
