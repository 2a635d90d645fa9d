"""Opens the node's SQLite database: settings, migrations, and a refusal to touch a newer one."""

import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from sync.errors import StoreError

BUSY_TIMEOUT_MS: Final = 5_000
# What is not in here is in the memory of the system, a microsecond away.
_WRITER_CACHE_KIB: Final = 16 * 1024
_READER_CACHE_KIB: Final = 4 * 1024


class Connection(Protocol):
    """What the store needs of sqlite3.Connection; the simulation crashes behind it."""

    @property
    def in_transaction(self) -> bool:
        """Whether BEGIN came without COMMIT or ROLLBACK."""

    def execute(self, sql: str, parameters: Any = ..., /) -> sqlite3.Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Run one statement for each row."""


def open_database(path: Path | str, migrations: tuple[Migrations, ...]) -> sqlite3.Connection:
    """Return the one writing connection, with the schema brought up to date.

    Every commit is on the disk before it returns (synchronous=FULL): communes have power cuts.

    Raises:
        StoreError: not writable, not a database, or written by a newer program.
    """
    connection = None
    try:
        connection = _connect(f"{path}", _WRITER_CACHE_KIB, uri=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        database = Database(connection)
        for migration_set in migrations:
            _refuse_newer(database, migration_set)
            migration_set.apply(database)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise translated(error) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def open_checkpointer(path: Path | str) -> sqlite3.Connection:
    """Return a connection that folds the log while another one commits.

    Raises:
        StoreError: the database cannot be opened.
    """
    try:
        return _connect(f"{path}", _READER_CACHE_KIB, uri=False)
    except sqlite3.Error as error:
        raise translated(error) from error


def open_reader(path: Path | str) -> sqlite3.Connection:
    """Return a connection that can only read.

    Raises:
        StoreError: the database cannot be opened.
    """
    try:
        target = Path(path).absolute().as_uri() + "?mode=ro"
        connection = _connect(target, _READER_CACHE_KIB, uri=True)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise translated(error) from error
    return connection


def translated(error: sqlite3.Error) -> StoreError:
    """Return the error as one that a person can act upon."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL") or "disk is full" in str(error):
        return StoreError("disk_full", "The disk is full; nothing new can be stored.", _HINT_FULL)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError("data_not_writable", f"The database cannot be written: {error}", _HINT_RO)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return StoreError("database_damaged", f"The database is damaged: {error}", _HINT_DAMAGED)
    if name.startswith("SQLITE_BUSY"):
        return StoreError("database_busy", "Another program holds the database.", _HINT_BUSY)
    return StoreError("database_error", f"The database reported: {error}")


_HINT_FULL = "Free some space (old backups, downloads) and try again; nothing accepted was lost."
_HINT_RO = "Check that the data folder exists and that this user may write to it."
_HINT_DAMAGED = "Stop the node, copy the folder aside, and restore the newest backup."
_HINT_BUSY = "Is the node already running on this data folder?"


def _connect(target: str, cache_kib: int, *, uri: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        target, isolation_level=None, check_same_thread=False, uri=uri, cached_statements=512
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _refuse_newer(database: Database, migrations: Migrations) -> None:
    known = {migration.name for migration in migrations.pending(database)}
    known |= {migration.name for migration in migrations._migrations}
    newer = [m.name for m in migrations.applied(database) if m.name not in known]
    if newer:
        raise StoreError(
            "database_newer",
            f"The database was written by a newer version of tiepdan ({newer[-1]}).",
            "Install that version or a later one; this one will not touch the data.",
        )
