"""Programs of the LAN that speak automerge-repo: what they ask becomes units of the writer.

Each message is handled in one transaction, in turn with the links; what is answered may leave after
its commit.
"""

from collections.abc import Awaitable, Callable

from node.accounts import SignedIn
from node.cases.errors import GuardError
from node.clock import Clock
from node.device_rights import DeviceRights
from node.entropy import system_entropy
from node.errors import NodeError
from node.repo_index import CaseIndex
from node.station import Station
from node.writer import WriterThread
from schemas.errors import SchemaError
from schemas.ids import document_text
from schemas.repo import DocumentSync, RepoMessage, decode_repo_message
from sync.errors import LinkError, StoreError, SyncError
from sync.replica import Author
from sync.repo import RepoSession

# Appends to the audit trail: (action, id of the document, detail).
Note = Callable[[str, str, str], None]


class RepoDesk:
    """Sessions of clients with the records of this node."""

    def __init__(
        self,
        station: Station,
        clock: Clock,
        writer: WriterThread,
        announce: Callable[[], Awaitable[None]],
    ) -> None:
        """Serve the records of an opened station; announce that something changed."""
        self._station = station
        self._clock = clock
        self._writer = writer
        self._announce = announce
        self._index = CaseIndex(system_entropy)

    async def open(self, me: SignedIn) -> RepoSession:
        """Return a session for a person at a device; close it in the end."""
        author = Author(user=me.user, name=me.name, role=me.role.value, device=me.device)
        replica = self._station.replica

        def unit() -> RepoSession:
            self._index.refresh(self._station.connection)
            session = RepoSession(
                replica,
                author,
                DeviceRights(self._station.desk, author),
                {self._index.id: self._index.documents},
            )
            replica.watchers.append(session.news)
            return session

        return await self._writer.run_for(me.device, unit)

    async def close(self, session: RepoSession) -> None:
        """Forget a session."""
        watchers = self._station.replica.watchers
        # By identity: sets that hold the same are equal.
        kept = [watcher for watcher in watchers if watcher is not session.news]
        await self._writer.run(lambda: watchers.__setitem__(slice(None), kept))

    async def hear(self, session: RepoSession, data: bytes, note: Note) -> list[bytes]:
        """Take one message of a client and return the answers, durable as they say.

        Raises:
            LinkError, MessageError: the client broke the protocol.
            StoreError: nothing was changed.
        """
        message = decode_repo_message(data)
        answers = await self._writer.run_for(
            session.author.device, lambda: self._hear(session, message, note)
        )
        if session.news:
            await self._announce()
        return answers

    def _hear(self, session: RepoSession, message: RepoMessage, note: Note) -> list[bytes]:
        try:
            with self._station.replica.transaction():
                if not session.is_joined:
                    return session.join(message)
                answers = session.receive(message, self._clock.now_ms())
                _note_all(session, note)
                return answers
        except (LinkError, StoreError):
            raise
        except (SyncError, SchemaError, NodeError, GuardError) as error:
            if not isinstance(message, DocumentSync):
                raise
            with self._station.replica.transaction():
                note("device.refused", document_text(message.document), error.code)
            return session.refuse(message.document, error.code, str(error))

    async def tell(self, session: RepoSession) -> list[bytes]:
        """Return what a client lacks of what changed here.

        Raises:
            StoreError: the database cannot be read.
        """

        def unit() -> list[bytes]:
            with self._station.replica.transaction():
                if session.news and self._index.refresh(self._station.connection):
                    session.news.add(self._index.id)
                return session.tell()

        return await self._writer.run_for(session.author.device, unit)


def _note_all(session: RepoSession, note: Note) -> None:
    for document in session.opened:
        note("document.read", document_text(document), "device")
    for document in session.written:
        note("document.edit", document_text(document), "device")
    session.opened.clear()
    session.written.clear()
