"""The office key of a data folder: where it lies, opening it, keeping it better.

A node runs without it. What is sealed is opened only while it is open: numbers of identity papers,
references of denunciations, packs from a stick.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from crypto.identity import OfficeKey
from crypto.keyfile import read_secret, write_secret
from crypto.office import is_plain, office_key_file, open_office_key
from crypto.passphrase import SALT_BYTES
from node.config import write_config
from node.entropy import system_entropy
from node.errors import NodeError
from node.folder import NodeFolder

# What systemd's LoadCredential= or LoadCredentialEncrypted= has to call the passphrase.
CREDENTIAL: Final = "tiepdan-passphrase"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeKeyState:
    """How well the key is kept.

    Attributes:
        is_open: sealed values can be opened now.
        is_plain: whoever has the file has the key.
        is_beside: the file lies in the data folder.
    """

    is_open: bool
    is_plain: bool
    is_beside: bool


def state_of(folder: NodeFolder) -> OfficeKeyState:
    """Return how the key of a folder is kept.

    Raises:
        KeyfileError: the file is missing, damaged or open to others.
    """
    return OfficeKeyState(
        is_open=folder.key.office.is_open,
        is_plain=is_plain(read_secret(folder.office_key)),
        is_beside=folder.path.resolve() in folder.office_key.resolve().parents,
    )


def unlock(folder: NodeFolder, passphrase: str) -> None:
    """Open the key of a folder for this process.

    Raises:
        KeyfileError: the file is missing, damaged or open to others.
        PasswordError: the passphrase is wrong.
        SealError: the file holds another office's key.
    """
    folder.key.office.unlock(open_office_key(read_secret(folder.office_key), passphrase))


def credential(environment: Mapping[str, str]) -> str:
    """Return the passphrase that systemd hands over; empty if it does not.

    Raises:
        NodeError: it cannot be read.
    """
    directory = environment.get("CREDENTIALS_DIRECTORY", "")
    if not directory or not (Path(directory) / CREDENTIAL).exists():
        return ""
    return read_passphrase(Path(directory) / CREDENTIAL)


def read_passphrase(path: Path) -> str:
    """Return the first line of a file, which may be an open descriptor such as /dev/fd/3.

    Raises:
        NodeError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise NodeError("file_unreadable", f"{path} cannot be read: {error}.") from error


def keep(folder: NodeFolder, key: OfficeKey, *, passphrase: str, place: Path | None) -> Path:
    """Write the open key anew, under a passphrase or, without one, in plain; return where.

    The former file is overwritten before it goes; a disk that moves its blocks may keep a copy.

    Args:
        folder: of a node that does not run.
        key: open.
        passphrase: the new one; empty for none.
        place: where the file is to be from now on; None leaves it where it is.

    Raises:
        PasswordError: the passphrase is too short or too long.
        KeyfileError: it cannot be written.
    """
    data = office_key_file(key, passphrase, system_entropy(SALT_BYTES))
    former, target = folder.office_key, place.absolute() if place else folder.office_key
    with former.open("r+b") as old:
        write_secret(target, data)
        if place is not None:
            write_config(folder.path, replace(folder.config, office_key=str(target)))
        # Only now, when the new one is on the disk and will be found.
        if former.resolve() != target.resolve() or os.fstat(old.fileno()).st_nlink == 0:
            size = os.fstat(old.fileno()).st_size
            old.write(bytes(size))
            old.flush()
            os.fsync(old.fileno())
    if former.resolve() != target.resolve():
        former.unlink()
    return target
