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

from aiohttp import web
from cryptography import x509

from crypto.certificates import Subject, chain_to_der
from crypto.errors import CryptoError
from node.accounts import Accounts
from node.arriving import Arrivals
from node.bulk import file_times, send_now
from node.cases.workdays import look_up_days_off
from node.clock import Clock
from node.connections import Connections
from node.enrolment import Enrolment
from node.entropy import system_entropy, system_rng
from node.errors import StartError
from node.exchange import Portion
from node.folder import NodeFolder
from node.housekeeping import Housekeeping
from node.issuing import IsRevoked
from node.lan import Lan
from node.link import Downlink, LinkStatus, Uplink
from node.listening import listen, raise_descriptor_limit
from node.memory import keep_what_is_loaded, share_heaps, spare_buffers
from node.office_keys import OfficeKeyState, state_of, unlock
from node.pack_jobs import PackJobs
from node.renewing import Renewal
from node.repo import RepoDesk
from node.revoking import RevokeReport, find_target, revoke_node
from node.station import Station, open_station
from node.trail import append
from node.travelling import Traveller, let_in
from node.web.server import build_web
from node.writer import ChangeCounter, WriterThread
from schemas.codes import Tier
from schemas.errors import MessageError
from schemas.ids import parse_document_id
from schemas.wire import Frame, Message
from sync.database import open_reader, translated
from sync.errors import LinkError, StoreError
from sync.record_file import export_record
from sync.session import Kinship, Session
from sync.store import Peer

log = logging.getLogger(__name__)
T = TypeVar("T")

_READERS: Final = 4
# Should folding not keep up, commits help from this size on: 64 MB.
_LOG_PAGES_MAX: Final = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running node can be reached; port 0 means that it does not listen.

    Attributes:
        lan_url: of the pages on the LAN; empty where they are not served there.
    """

    web_host: str
    web_port: int
    sync_host: str
    sync_port: int
    lan_url: str


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
        self.connections = Connections()
        self.lan: Lan | None = None
        if self.config.lan_host:
            self.lan = Lan(
                station.folder,
                version=self.version,
                clock=clock,
                entropy=system_entropy,
                changes=self.changes,
            )
        self.packs = PackJobs(station, clock, self._transact, self._announce)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")
        self._connections: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self.housekeeping = Housekeeping(
            station, clock, self._writer, self.changes, self._readers, self.read
        )
        self.uplink: Uplink | None = None
        # Told when this node has another certificate to show.
        self.showing: list[Callable[[], None]] = []
        if self.config.parent:
            self.uplink = Uplink(
                station.folder, self, clock=clock, rng=rng, announce=self.changes.announce
            )
            self.showing.append(self.uplink.show_anew)
        self.renewal = Renewal(
            station.folder,
            clock,
            link_error=lambda: self.link.last_error[0] if self.link.last_error else "",
            renewed=self._take_chain,
        )
        self.arrivals: Arrivals | None = None
        if self.tier is Tier.OUTPOST:
            self.arrivals = Arrivals(
                station.folder,
                clock,
                is_linked=lambda: self.link.state == "up",
                take=self._let_in,
            )
        self.enrolment = Enrolment(station.folder, clock, self.renewal, system_entropy)

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

    async def issue(self, work: Callable[[IsRevoked], T]) -> T:
        """Run work that issues a certificate, one after the other; it is told who is revoked."""
        revocations = self._station.replica.intake.revocations

        def unit() -> T:
            return work(lambda peer_id, code: bool(revocations.of(peer_id, code)))

        return await self._writer.run(unit)

    def _take_chain(self, chain: list[x509.Certificate]) -> None:
        """Take a renewed certificate into use without an end of what runs."""
        self._station.folder.take(chain)
        self._station.replica.chain = chain_to_der(chain)
        for show in self.showing:
            show()

    async def _let_in(self, travellers: Sequence[Traveller]) -> None:
        """Let those sign in whom the commune lets travel."""

        def work(now_ms: int) -> None:
            db = self._station.connection
            changed = let_in(db, travellers)
            if changed:
                append(db, "", "", now_ms, "account.arrive", detail=" ".join(changed))

        await self.write(work)

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
        known = Peer.named(peer, chain, is_child=kinship == "child")

        def unit() -> Session:
            with self._station.replica.transaction():
                self._station.replica.welcome(known)
                self._station.connection.execute(
                    "INSERT OR REPLACE INTO contact VALUES (?, ?)",
                    (peer.peer_id, self.clock.now_ms()),
                )
            return Session(self._station.replica, peer, kinship, self.blobs, self._is_file_time)

        return await self._writer.run_for(peer.peer_id, unit)

    def _is_file_time(self, now_ms: int) -> bool:
        return file_times(self._station.connection, self.config, now_ms).opens_ms is None

    async def send_files_now(self, *, now: bool) -> None:
        """Let files travel out of their hours until these begin, or no longer."""
        store = self._station.replica.store
        await self.write(lambda now_ms: send_now(store, self.config, now_ms, now=now))

    async def step(self, session: Session, take: Callable[[], Portion]) -> list[Message]:
        """Handle messages in one transaction and return what may leave after its commit."""
        has_heard = False

        def prepare() -> Callable[[], list[Message]]:
            nonlocal has_heard
            portion = take()
            has_heard = bool(portion.messages)
            return partial(self._do, session, portion)

        try:
            answers = await self._writer.run_prepared(session.peer.peer_id, prepare)
        except (LinkError, MessageError, StoreError, CryptoError):
            raise
        except Exception as error:
            # A peer's message that trips over a fault of ours costs its link, never the node; the
            # transaction was rolled back, so nothing half done remains.
            log.exception("link fault")
            raise LinkError("link_fault", "the message could not be handled") from error
        if has_heard:
            await self._announce()
        return answers

    def _do(self, session: Session, portion: Portion) -> list[Message]:
        answers: list[Message] = []
        if any(isinstance(message, Frame) for message in portion.messages):
            self._check_room()
        now_ms = self.clock.now_ms()
        with self._station.replica.transaction():
            for message in portion.messages:
                answers += session.receive(message, now_ms)
            if portion.room_bytes:
                answers += session.pump(now_ms, portion.room_bytes, down_to=portion.down_to)
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
    spare_buffers()
    async with AsyncExitStack() as stack:
        node = Node(open_station(path, rng), Clock(), rng)
        if passphrase:
            _unlock(node._station.folder, passphrase)
        stack.push_async_callback(node.close)
        downlink = Downlink(node._station.folder, node, node.clock)
        node.showing.append(downlink.show_anew)
        sync_host, sync_port = await _listen_for_children(node, downlink, stack)
        pages = build_web(node)
        web_host, web_port = await _listen_for_people(node, pages, stack)
        # Else who writes the first case would wait for it, and all others too.
        look_up_days_off(node.clock.today().year)
        lan_url = await _listen_on_the_lan(node, pages, stack)
        keep_what_is_loaded()
        node.is_ready = True
        ready(
            Addresses(
                web_host=web_host,
                web_port=web_port,
                sync_host=sync_host,
                sync_port=sync_port,
                lan_url=lan_url,
            )
        )
        log.info("node up", extra={"code": node.code, "tier": node.tier.value})
        async with asyncio.TaskGroup() as group:
            tasks = [
                *(group.create_task(work, name=name) for name, work in node.housekeeping.works()),
                group.create_task(node.packs.run(), name="packs"),
                group.create_task(downlink.run(), name="downlink"),
                group.create_task(node.renewal.run(), name="renewal"),
            ]
            if node.uplink is not None:
                tasks.append(group.create_task(node.uplink.run(), name="uplink"))
            if node.arrivals is not None:
                tasks.append(group.create_task(node.arrivals.run(), name="arrivals"))
            if node.lan is not None:
                tasks.append(group.create_task(node.lan.run(), name="lan"))
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


async def _listen_for_people(
    node: Node, pages: web.Application, stack: AsyncExitStack
) -> tuple[str, int]:
    config = node.config
    try:
        listener = await listen(pages, config.web_host, config.web_port, shutdown_s=2.0)
    except OSError as error:
        raise _address_error(error, config.web_host, config.web_port) from error
    stack.push_async_callback(listener.close)
    return config.web_host, listener.port


async def _listen_on_the_lan(node: Node, pages: web.Application, stack: AsyncExitStack) -> str:
    config, lan = node.config, node.lan
    if lan is None:
        return ""
    try:
        listener = await listen(
            build_web(node, beside=pages),
            config.lan_host,
            config.lan_port,
            context=lan.tls.context,
            shutdown_s=2.0,
        )
    except OSError as error:
        raise _address_error(error, config.lan_host, config.lan_port) from error
    stack.push_async_callback(listener.close)
    lan.port = listener.port
    return lan.address


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
        "Check web_host, web_port, lan_host, lan_port, sync_host and sync_port in node.toml.",
    )
