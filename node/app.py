"""The running node: builds everything once, serves pages and links, stops in reverse order."""

import asyncio
import logging
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

import cbor2

from crypto.certificates import Subject
from crypto.errors import CryptoError
from node.accounts import Accounts
from node.bulk import file_times, send_now
from node.cases.workdays import look_up_days_off
from node.clock import Clock
from node.entropy import system_entropy, system_rng
from node.errors import StartError
from node.folder import NodeFolder
from node.link import Downlink, LinkStatus, Uplink
from node.listening import listen, raise_descriptor_limit
from node.memory import keep_what_is_loaded, share_heaps
from node.office_keys import OfficeKeyState, state_of, unlock
from node.pack_jobs import PackJobs
from node.paper_marks import has_pending, make_marks
from node.repo import RepoDesk
from node.revoking import RevokeReport, find_target, revoke_node
from node.station import Station, open_station
from node.trail_marks import mark_trail
from node.web.server import build_web
from node.writer import ChangeCounter, WriterThread
from schemas.errors import MessageError
from schemas.ids import parse_document_id
from schemas.wire import Frame, Message, Priority
from sync.database import open_checkpointer, open_reader, translated
from sync.errors import LinkError, StoreError
from sync.record_file import export_record
from sync.scrub import SCRUB_STEP_MS
from sync.session import Kinship, Session
from sync.store import Peer

log = logging.getLogger(__name__)
T = TypeVar("T")

_READERS: Final = 4
# The log is folded that often while there are commits.
_FOLD_S: Final = 1.0
_FOLD_IDLE_S: Final = 600.0
# Some milliseconds of work.
_MERGE_PAGES: Final = 64
# A mark a day; asked for more often, as a node may run for an hour only.
_MARK_S: Final = 600.0
# Opening a number takes a tenth of a millisecond; looking who waits, some for many people.
_MARKS_A_STEP: Final = 100
_PAPERS_S: Final = 5.0
_SCRUB_IDLE_MS: Final = 60_000
# Should folding not keep up, commits help from this size on: 64 MB.
_LOG_PAGES_MAX: Final = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running node can be reached; port 0 means that it does not listen."""

    web_host: str
    web_port: int
    sync_host: str
    sync_port: int


class Node:
    """One running node: the office of its pages, the sessions of its links.

    Attributes:
        is_ready: everything listens, and it is not stopping.
    """

    def __init__(self, station: Station, clock: Clock, rng: random.Random) -> None:
        """Build on an opened station; nothing starts yet."""
        self._station = station
        subject = station.replica.subject
        self.clock = clock
        self.config = station.folder.config
        self.tier = subject.tier
        self.code = subject.code
        self.name = subject.name
        self.language = self.config.language
        self.is_demo = self.config.is_demo
        self.disk_reserve_bytes = self.config.disk_reserve_mib << 20
        self.version = version("tiepdan")
        self.desk = station.desk
        self.accounts = Accounts(station.connection)
        self.blobs = station.blobs
        self.incoming_folder = station.folder.incoming
        self.is_ready = False
        station.connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES_MAX}")
        # After a crash the log may hold what was deleted just before.
        station.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.changes = ChangeCounter()
        self._listening: dict[Session, asyncio.Event] = {}
        self._writer = WriterThread(clock)
        self.repo = RepoDesk(station, clock, self._writer, self._announce)
        self.packs = PackJobs(station, clock, self._transact, self._announce)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")
        self._connections: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self.uplink: Uplink | None = None
        if self.config.parent:
            self.uplink = Uplink(
                station.folder, self, clock=clock, rng=rng, announce=self.changes.announce
            )

    @property
    def link(self) -> LinkStatus:
        """The link upwards, as it is now; at the centre there is none."""
        return self.uplink.status if self.uplink else LinkStatus()

    def entropy(self, size_bytes: int) -> bytes:
        """Return bytes nobody can guess."""
        return system_entropy(size_bytes)

    @property
    def office_key(self) -> OfficeKeyState:
        """How the key that opens sealed values is kept."""
        return state_of(self._station.folder)

    def unlock(self, passphrase: str) -> None:
        """Open that key; takes some tenths of a second."""
        unlock(self._station.folder, passphrase)

    async def set_link_cut(self, cut: bool) -> None:
        """Cut or restore the link upwards; only in the demo."""
        if self.uplink is not None:
            await self.uplink.set_cut(cut)

    async def export_record(self, document_id: str) -> bytes:
        """Return a record with its proof, as a file."""
        document = parse_document_id(document_id)
        store, root = self._station.replica.store, self._station.folder.root
        return await self._writer.run(lambda: export_record(store, document, root))

    def revoke(
        self, peer_id: str, *, last_valid: int | None, reason: str, now_ms: int
    ) -> RevokeReport:
        """Revoke the key of a node below, inside a write."""
        replica = self._station.replica
        target = find_target(replica, self._station.folder, peer_id)
        return revoke_node(replica, target, last_valid=last_valid, reason=reason, now_ms=now_ms)

    async def write(self, work: Callable[[int], T]) -> T:
        """Run work(now_ms) in one transaction in the writer thread."""
        result = await self._writer.run(partial(self._unit, work))
        await self._announce()
        return result

    def _transact(self, work: Callable[[int], T], /) -> T:
        """Do the same for another thread, and leave the announcement to it."""
        return self._writer.run_from_thread(partial(self._unit, work))

    def _unit(self, work: Callable[[int], T]) -> T:
        with self._station.replica.transaction():
            return work(self.clock.now_ms())

    async def keep_folded(self) -> None:
        """Tidy the database up beside the work, until cancelled: its log and its search index.

        Else every so many commits one would have to do it, while somebody waits at the counter.
        """
        folder = open_checkpointer(self._station.folder.database)
        seen = self.changes.number
        try:
            while True:
                seen = await self.changes.wait(seen, _FOLD_IDLE_S)
                await asyncio.get_running_loop().run_in_executor(self._readers, _fold, folder)
                await self._writer.run(self._merge_index)
                await self.clock.sleep(_FOLD_S)
        finally:
            folder.close()

    def _merge_index(self) -> None:
        """Merge a bit of the search index; where there is nothing to merge, nothing is written."""
        try:
            with self._station.replica.transaction():
                self._station.connection.execute(
                    "INSERT INTO case_search (case_search, rank) VALUES ('merge', ?)",
                    (_MERGE_PAGES,),
                )
        except StoreError as error:
            log.error("index not merged", extra={"code": error.code})

    async def keep_trail_marked(self) -> None:
        """Put into the signed log how far the audit trail has come, once a day, until cancelled."""
        while True:
            await self._writer.run(self._mark_trail)
            await self.clock.sleep(_MARK_S)

    def _mark_trail(self) -> None:
        replica, db = self._station.replica, self._station.connection
        try:
            with replica.transaction():
                mark_trail(replica, db, self.clock.now_ms())
        except StoreError as error:
            log.error("trail not marked", extra={"code": error.code})

    async def keep_papers_marked(self) -> None:
        """Mark who has the same identity paper, while the office key is open, until cancelled."""
        db, seals = self._station.connection, self._station.desk.seals

        def unit() -> int:
            with self._station.replica.transaction():
                return make_marks(db, seals, _MARKS_A_STEP)

        while True:
            if await self.read(lambda reader: has_pending(reader, seals)):
                try:
                    await self._writer.run(unit)
                except StoreError as error:
                    log.error("papers not marked", extra={"code": error.code})
            await self.clock.sleep(_PAPERS_S)

    async def keep_scrubbed(self) -> None:
        """Read all that is stored again beside the work, a little at a time, until cancelled."""
        while True:
            has_worked = await self._writer.run(self._scrub)
            await self.clock.sleep((SCRUB_STEP_MS if has_worked else _SCRUB_IDLE_MS) / 1000)

    def _scrub(self) -> bool:
        try:
            with self._station.replica.transaction():
                return self._station.replica.scrub.step(self.clock.now_ms())
        except StoreError as error:
            log.error("leaves not read again", extra={"code": error.code})
            return False

    async def fold_log(self) -> None:
        """Bring the database file up to date and empty its log, which keeps what was deleted.

        Where somebody reads just then it is done the next time, at the latest when the node stops.
        """

        def unit() -> None:
            try:
                self._station.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                log.error("log not folded", extra={"code": translated(error).code})

        await self._writer.run(unit)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a read-only connection in a reader thread.

        Raises:
            StoreError: the database failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connections.empty():
            connection = open_reader(self._station.folder.database)
            connection.row_factory = sqlite3.Row
        else:
            connection = self._connections.get()
        try:
            return work(connection)
        except sqlite3.Error as error:
            raise translated(error) from error
        finally:
            self._connections.put(connection)

    async def greet(self, peer: Subject, chain: list[bytes], kinship: Kinship) -> Session:
        """Remember the peer and return a session with it."""
        known = Peer(
            peer_id=peer.peer_id,
            tier=peer.tier.value,
            code=peer.code,
            name=peer.name,
            office_key=peer.office_public,
            chain=cbor2.dumps(chain),
            is_child=kinship == "child",
        )

        def unit() -> Session:
            with self._station.replica.transaction():
                self._station.replica.welcome(known)
            return Session(self._station.replica, peer, kinship, self.blobs, self._is_file_time)

        return await self._writer.run_for(peer.peer_id, unit)

    def _is_file_time(self, now_ms: int) -> bool:
        return file_times(self._station.connection, self.config, now_ms).opens_ms is None

    async def send_files_now(self, *, now: bool) -> None:
        """Let files travel out of their hours until these begin, or no longer."""
        store = self._station.replica.store
        await self.write(lambda now_ms: send_now(store, self.config, now_ms, now=now))

    async def step(
        self,
        session: Session,
        messages: Sequence[Message],
        *,
        room_bytes: int,
        down_to: Priority = Priority.BULK,
    ) -> list[Message]:
        """Handle messages in one transaction and return what may leave after its commit."""

        def unit() -> list[Message]:
            answers: list[Message] = []
            if any(isinstance(message, Frame) for message in messages):
                self._check_room()
            now_ms = self.clock.now_ms()
            with self._station.replica.transaction():
                for message in messages:
                    answers += session.receive(message, now_ms)
                if room_bytes:
                    answers += session.pump(now_ms, room_bytes, down_to=down_to)
            return answers

        try:
            answers = await self._writer.run_for(session.peer.peer_id, unit)
        except (LinkError, MessageError, StoreError, CryptoError):
            raise
        except Exception as error:
            # A peer's message that trips over a fault of ours costs its link, never the node; the
            # transaction was rolled back, so nothing half done remains.
            log.exception("link fault")
            raise LinkError("link_fault", "the message could not be handled") from error
        if messages:
            await self._announce()
        return answers

    def _check_room(self) -> None:
        """Keep the last of the disk for what people write here.

        Raises:
            StoreError: less than the reserve is free.
        """
        if shutil.disk_usage(self._station.folder.path).free < self.disk_reserve_bytes:
            raise StoreError(
                "disk_full",
                "The disk is almost full; nothing more is taken from other nodes.",
                "Free some space; what was confirmed is safe, and the rest comes by itself.",
            )

    async def wait_for_news(self, session: Session) -> None:
        """Return once there is news for a session."""
        news = self._listening.setdefault(session, asyncio.Event())
        try:
            while not session.has_news():
                news.clear()
                await news.wait()
        finally:
            del self._listening[session]

    async def _announce(self) -> None:
        """Wake the pages, and the links that have something to say."""
        await self.changes.announce()
        for session, news in self._listening.items():
            if session.has_news():
                news.set()

    async def close(self) -> None:
        """Stop the threads and fold the database."""
        self._writer.close()
        self._readers.shutdown(wait=True)
        while not self._connections.empty():
            self._connections.get().close()
        self._station.close()


def _fold(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        log.error("log not folded", extra={"code": translated(error).code})


def _unlock(folder: NodeFolder, passphrase: str) -> None:
    """Open the office key; with a wrong passphrase the node starts all the same."""
    try:
        unlock(folder, passphrase)
    except CryptoError as error:
        log.error("office key stays locked", extra={"code": error.code})


async def serve(path: Path, ready: Callable[[Addresses], None], passphrase: str = "") -> None:
    """Run the node of a data folder until SIGINT or SIGTERM.

    Args:
        path: an enrolled node's data folder.
        ready: told the addresses once everything listens.
        passphrase: of the office key; without it, what is sealed stays closed until somebody
            enters it at the page.

    Raises:
        StartError: an address is in use or not ours.
        ConfigError, StoreError, CryptoError: the folder is not usable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    rng = system_rng()
    raise_descriptor_limit()
    share_heaps()
    async with AsyncExitStack() as stack:
        node = Node(open_station(path, rng), Clock(), rng)
        if passphrase:
            _unlock(node._station.folder, passphrase)
        stack.push_async_callback(node.close)
        downlink = Downlink(node._station.folder, node, node.clock)
        sync_host, sync_port = await _listen_for_children(node, downlink, stack)
        web_host, web_port = await _listen_for_people(node, stack)
        # Else who writes the first case would wait for it, and all others too.
        look_up_days_off(node.clock.today().year)
        keep_what_is_loaded()
        node.is_ready = True
        ready(
            Addresses(
                web_host=web_host, web_port=web_port, sync_host=sync_host, sync_port=sync_port
            )
        )
        log.info("node up", extra={"code": node.code, "tier": node.tier.value})
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(node.keep_folded(), name="fold"),
                group.create_task(node.keep_scrubbed(), name="scrub"),
                group.create_task(node.keep_trail_marked(), name="trail"),
                group.create_task(node.keep_papers_marked(), name="papers"),
                group.create_task(node.packs.run(), name="packs"),
                group.create_task(downlink.run(), name="downlink"),
            ]
            if node.uplink is not None:
                tasks.append(group.create_task(node.uplink.run(), name="uplink"))
            await stop.wait()
            node.is_ready = False
            for task in tasks:
                task.cancel()
    log.info("node stopped", extra={"code": node.code})


async def _listen_for_children(
    node: Node, downlink: Downlink, stack: AsyncExitStack
) -> tuple[str, int]:
    config = node.config
    if not config.sync_host:
        return "", 0
    try:
        listener = await downlink.listen()
    except OSError as error:
        raise _address_error(error, config.sync_host, config.sync_port) from error
    stack.push_async_callback(listener.close)
    return config.sync_host, listener.port


async def _listen_for_people(node: Node, stack: AsyncExitStack) -> tuple[str, int]:
    config = node.config
    try:
        listener = await listen(build_web(node), config.web_host, config.web_port, shutdown_s=2.0)
    except OSError as error:
        raise _address_error(error, config.web_host, config.web_port) from error
    stack.push_async_callback(listener.close)
    return config.web_host, listener.port


def _address_error(error: OSError, host: str, port: int) -> StartError:
    if error.errno == 98:  # EADDRINUSE
        return StartError(
            "port_in_use",
            f"Port {port} on {host} is in use by another program.",
            "Stop that program, or choose another port in node.toml (0 takes any free one).",
        )
    return StartError(
        "address_unusable",
        f"Cannot listen on {host} port {port}: {error.strerror or error}.",
        "Check web_host, web_port, sync_host and sync_port in node.toml.",
    )
