"""A node at work, without its network: the data folder, the database and all that is built on it.

The command line, the program and the benchmarks open the same station.
"""

import fcntl
import hashlib
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.cases.admission import admit_change
from node.desk import Desk
from node.errors import ConfigError
from node.folder import NodeFolder, open_folder
from node.law import load_calendar, load_law
from node.projection import Projection
from node.views import VIEW_TABLES
from node.views import migrations as view_migrations
from schemas.ids import DocumentId
from sync.blobs import BlobFiles
from sync.database import Connection, open_database
from sync.migrations import migrations as sync_migrations
from sync.replica import Replica
from sync.store import Store

MIGRATIONS = (sync_migrations, view_migrations)
# Tables that a rebuild empties and fills again from the leaves.
DERIVED_TABLES = (
    "writer",
    "writer_actor",
    "document",
    "change",
    "waiting_change",
    "event",
    "long_text",
    "audience",
    "dead_letter",
    "vouching",
    "revocation_leaf",
    "void_change",
    "quarantined_change",
    "blob_document",
    *VIEW_TABLES,
    "case_search",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """Everything of a node that needs no network.

    Attributes:
        connection: the one that writes.
    """

    folder: NodeFolder
    connection: sqlite3.Connection
    replica: Replica
    desk: Desk
    blobs: BlobFiles
    lock: int | None

    def close(self) -> None:
        """Fold the write-ahead log into the database and close it; let go of the folder."""
        self.connection.close()
        if self.lock is not None:
            os.close(self.lock)


def open_station(path: Path, rng: random.Random, *, alone: bool = True) -> Station:
    """Open an enrolled node's data folder.

    Args:
        path: the folder.
        rng: mints ids.
        alone: nobody else may be at work there; without it, nothing may be written.

    Raises:
        ConfigError: the folder is not usable, or in use.
        StoreError: the database is not usable.
        CryptoError: keys or certificates are not usable.
    """
    folder = open_folder(path)
    lock = _take(folder) if alone else None
    try:
        connection = open_database(folder.database, MIGRATIONS)
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise
    replica = build_replica(connection, folder)
    return Station(
        folder=folder,
        connection=connection,
        replica=replica,
        desk=Desk(replica, rng, folder.keyring),
        blobs=BlobFiles(
            folder.blobs,
            reserve_bytes=folder.config.disk_reserve_mib << 20,
            fetches=folder.config.fetch_attachments,
        ),
        lock=lock,
    )


def _take(folder: NodeFolder) -> int:
    """Hold the folder alone, as two writers would each go by a memory that the other makes false.

    What an earlier program left half done goes away: it was killed, or it would hold the folder.
    """
    try:
        lock = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            "data_not_writable",
            f"The folder {folder.path} cannot be written: {error.strerror}.",
            "Check that the disk is not read-only and that this user may write to it.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigError(
            "folder_in_use",
            f"Another program is at work in {folder.path}.",
            "Stop the node first: only one program may write there. Packs also go in at its page.",
        ) from error
    for left in (*folder.incoming.glob("*.upload"), *folder.path.glob(".tls-*.pem")):
        left.unlink(missing_ok=True)
    return lock


@contextmanager
def held_alone(folder: NodeFolder) -> Iterator[None]:
    """Hold a folder alone for the length of a block.

    Raises:
        ConfigError: another program is at work there.
    """
    lock = _take(folder)
    try:
        yield
    finally:
        os.close(lock)


def build_replica(connection: Connection, folder: NodeFolder) -> Replica:
    """Return the replica of a folder's node on a connection, with the views of cases."""
    store = Store(connection)
    projection = Projection(load_law(), load_calendar(folder.path / "holidays"))

    def project(documents: set[DocumentId]) -> None:
        projection.project(connection, replica.intake, documents)

    replica = Replica(
        store,
        key=folder.key,
        chain=folder.chain,
        root=folder.root,
        admit=admit_change,
        project=project,
    )
    return replica


def rebuild(station: Station, now_ms: int, progress: Callable[[int, int], None]) -> None:
    """Make every derived table again from the leaves, in one transaction.

    Args:
        station: open, with nobody else writing.
        now_ms: wall clock.
        progress: told (leaves done, leaves in all) now and then.
    """
    replica, store = station.replica, station.replica.store
    total = store.db.execute("SELECT count(*) FROM leaf").fetchone()[0]
    done = 0
    with replica.transaction():
        for table in DERIVED_TABLES:
            store.db.execute(f"DELETE FROM {table}")
        replica.intake.forget()
        for log in store.logs():
            for seq in range(log.size):
                replica.intake.take(log, seq, store.leaf(log.number, seq), now_ms)
                done += 1
                if done % 1_000 == 0:
                    progress(done, total)
    progress(total, total)


def retry(station: Station, now_ms: int) -> tuple[int, int]:
    """Judge dead letters again with the present program, in one transaction.

    Args:
        station: open, with nobody else writing.
        now_ms: wall clock.

    Returns:
        How many there were, and how many are left.
    """
    replica, db = station.replica, station.replica.store.db
    count = "SELECT count(*) FROM dead_letter"
    before = db.execute(count).fetchone()[0]
    with replica.transaction():
        rows = db.execute("SELECT log, seq, document FROM dead_letter ORDER BY log, seq").fetchall()
        # Those of the log itself first: writers that were refused may be what documents lack.
        for number, seq, document in rows:
            if not document:
                db.execute("DELETE FROM dead_letter WHERE log = ? AND seq = ?", (number, seq))
                log = replica.store.log_by_number(number)
                replica.intake.take(log, seq, replica.store.leaf(number, seq), now_ms)
        replica.intake.redo({DocumentId(bytes(row[2])) for row in rows if row[2]}, now_ms)
    return before, db.execute(count).fetchone()[0]


def view_digest(db: Connection) -> str:
    """Return a SHA-256 over the content of all view tables, rows in the order of their keys."""
    digest = hashlib.sha256()
    for table in VIEW_TABLES:
        digest.update(table.encode())
        for row in _rows(db, table):
            digest.update(repr(row).encode())
    digest.update(b"case_search")
    for row in db.execute(
        "SELECT c.id, s.text FROM cases c JOIN case_search s ON s.rowid = c.number ORDER BY c.id"
    ):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def _rows(db: Connection, table: str) -> Iterator[tuple[object, ...]]:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})").fetchall()]
    # The number of a case is the order in which it came, which no record says.
    shown = [column for column in columns if (table, column) != ("cases", "number")]
    names = ", ".join(shown)
    for row in db.execute(f"SELECT {names} FROM {table} ORDER BY {names}"):
        yield tuple(row)


@contextmanager
def opened_station(path: Path, rng: random.Random, *, alone: bool = True) -> Iterator[Station]:
    """Open a station for the length of a block."""
    station = open_station(path, rng, alone=alone)
    try:
        yield station
    finally:
        station.close()
