"""Puts a copied database in the place of a node's own, as a new epoch of its logs.

The copy is made ready beside the old database and takes its place at the end: a node never runs on
an old copy in the old epoch, wherever this is cut short.
"""

import logging
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import ConfigError
from node.folder import NodeFolder, open_folder
from node.station import MIGRATIONS, build_replica, held_alone
from node.trail import append
from sync.database import open_database, open_reader, translated
from sync.epochs import open_epoch

log = logging.getLogger(__name__)

_DATABASE: Final = "tiepdan.db"
# What makes a folder this node and no other.
_IDENTITY: Final = (
    *("key", "office.key", "root.key", "spare.pem"),
    *("chain.pem", "root.pem", "request.pem", "node.toml"),
)
# Keys that it had before, and what it issued.
_FOLDERS: Final = ("former", "issued")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did.

    Attributes:
        epoch: in which the node goes on.
        kept: where the former database is now; None if there was none.
    """

    epoch: int
    kept: Path | None


def restore(path: Path, backup: Path, now_ms: int) -> Restored:
    """Put a backup in place and open a new epoch in it.

    Args:
        path: the node's data folder; an empty or missing one is filled from the backup.
        backup: a copied data folder, or its database alone.
        now_ms: wall clock.

    Raises:
        ConfigError: the backup is none, or another node's; the folder is not usable or in use.
        StoreError: the database in it is not usable.
        CryptoError: keys or certificates are not usable.
    """
    source = backup / _DATABASE if backup.is_dir() else backup
    if not source.is_file() or source.resolve() == (path / _DATABASE).resolve():
        raise ConfigError(
            "backup_missing",
            f"There is no copied database at {source}.",
            "Name a copy of the data folder, or the copied file tiepdan.db in it.",
        )
    if backup.is_dir():
        _fill(path, backup)
    folder = open_folder(path)
    with held_alone(folder):
        fresh = path / "restored.db"
        _copy(source, fresh)
        epoch = _renew(fresh, folder, now_ms)
        kept = _set_aside(folder.database)
        os.replace(fresh, folder.database)
        _sync(path)
    return Restored(epoch=epoch, kept=kept)


def _fill(path: Path, backup: Path) -> None:
    """Take keys, certificates and attachments over where the folder has none."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    if not (path / "key").exists():
        for name in _IDENTITY:
            if (backup / name).is_file():
                shutil.copy2(backup / name, path / name)
        for name in _FOLDERS:
            if (backup / name).is_dir():
                shutil.copytree(backup / name, path / name, dirs_exist_ok=True)
    (path / "incoming").mkdir(exist_ok=True)
    for file in sorted((backup / "blobs").rglob("*")):
        target = path / file.relative_to(backup)
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    (path / "blobs").mkdir(exist_ok=True)


def _copy(source: Path, fresh: Path) -> None:
    """Copy a database with what stands in its write-ahead log, and check every page of it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        if suffix != "-shm" and Path(f"{source}{suffix}").exists():
            shutil.copyfile(f"{source}{suffix}", f"{fresh}{suffix}")
    fresh.chmod(0o600)
    try:
        connection = sqlite3.connect(fresh)
        try:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(error) from error
    if found != "ok":
        raise ConfigError(
            "backup_damaged",
            f"The copied database is damaged: {found}.",
            "Take an older backup; what the tier above holds comes back all the same.",
        )


def _renew(fresh: Path, folder: NodeFolder, now_ms: int) -> int:
    """Open a later epoch in the copied database than it, or the present one, ever was in."""
    connection = open_database(fresh, MIGRATIONS)
    try:
        own = connection.execute("SELECT DISTINCT owner FROM log WHERE source IS NULL").fetchall()
        if any(bytes(row[0]) == folder.subject.succeeds for row in own):
            raise ConfigError(
                "backup_before_rotation",
                "This backup was made before this office changed its key.",
                "Put the whole backup into a new folder with this command, and there take the"
                " same spare key into use again: tiepdan rotate --spare.",
            )
        if any(bytes(row[0]) != folder.key.peer_id for row in own):
            raise ConfigError(
                "backup_foreign",
                "The copied database belongs to another node.",
                "Take a copy of this node's own folder.",
            )
        replica = build_replica(connection, folder)
        epoch = max(replica.epoch, _epoch_of(folder.database)) + 1
        with replica.transaction():
            # Nothing was written since: all that stands in it is as it was.
            reason = "a backup was put in place"
            append(connection, "", "", now_ms, "node.restore")
            open_epoch(replica, epoch, now_ms, "restored", reason, cuts=False)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return epoch


def _epoch_of(database: Path) -> int:
    """Return the epoch of the database that is replaced, 0 if nothing can be read in it."""
    if not database.exists():
        return 0
    connection = None
    try:
        connection = open_reader(database)
        row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        return int.from_bytes(row[0], "big") if row else 0
    except sqlite3.Error:
        return 0
    finally:
        if connection is not None:
            connection.close()


def _set_aside(database: Path) -> Path | None:
    """Keep the former database under another name: it is evidence, and perhaps worth a rescue."""
    if not database.exists():
        return None
    try:
        # Then all of it is in one file.
        connection = sqlite3.connect(database)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        log.warning("former database not folded")
    number = 1
    while (kept := database.with_name(f"before-restore-{number}.db")).exists():
        number += 1
    # The log first: beside a database that it does not belong to it would do harm.
    for suffix in ("-wal", "-shm", ""):
        if Path(f"{database}{suffix}").exists():
            os.replace(f"{database}{suffix}", f"{kept}{suffix}")
    return kept


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
