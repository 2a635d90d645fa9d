"""Makes the demo's data: folders, certificates, accounts and a past, as a whole or not at all.

Everything is made under a hidden name and moved into place when it is complete, so that a start
that was interrupted is repeated, or finished, by the next one.
"""

import errno
import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from crypto.certificates import chain_from_pem
from node.accounts import Accounts
from node.config import Config
from node.demo_past import Past
from node.entropy import system_entropy
from node.errors import ConfigError
from node.folder import init_folder, install_chain, sign_request
from node.samples.incidents import past_of
from node.samples.texts import Place, places
from node.station import Station, open_station
from schemas.codes import Tier

PASSWORD: Final = "tiepdan-demo-2026"
MARK: Final = "demo.json"
_MAKING: Final = ".making"
_WHOLE: Final = "whole"
# The same seed gives the same people and stories in every demo.
_SEED: Final = 2026
# The offices were enrolled before the first of their records.
_ENROLLED_BEFORE_MS: Final = 75 * 86_400_000
# Longer than usual, so that nothing is to be renewed in the first minute of a demo.
_LIFETIME_DAYS: Final = 365
_LINES: Final = {
    "keys": "Tạo khóa và chứng thư · making keys and certificates",
    "accounts": "Tạo tài khoản · making accounts",
    "past": "Tạo hồ sơ mẫu và đồng bộ · making sample records and syncing them",
    "flush": "Ghi xuống đĩa · writing to the disk",
}


def prepare(data: Path, now_ms: int) -> Iterator[str]:
    """Make the demo's folders unless they are there, yielding now and then what is being done.

    Args:
        data: folder of the demo; it exists.
        now_ms: wall clock.

    Raises:
        ConfigError: the folder cannot be written, or holds nodes that are not a demo's.
        StoreError: a database cannot be written.
    """
    with _writable(data):
        if (data / MARK).exists():
            return
        making = data / _MAKING
        if not (making / _WHOLE).exists():
            _refuse_foreign(data)
            if making.exists():
                shutil.rmtree(making)
            making.mkdir()
            yield from _make(making, now_ms)
            yield _LINES["flush"]
            _flush(making)
            _write_durably(making / _WHOLE, "")
        for place in places():
            if (making / place.folder).exists():
                (making / place.folder).rename(data / place.folder)
        mark = {"made_at_ms": now_ms, "seed": _SEED}
        _write_durably(data / MARK, json.dumps(mark))
        shutil.rmtree(making)


def parent_of(place: Place) -> Place | None:
    """Return the office that a place is enrolled under; None for the centre."""
    above = {Tier.COMMUNE: Tier.PROVINCE, Tier.PROVINCE: Tier.CENTRE}.get(place.tier)
    return next((other for other in places() if other.tier is above), None)


def _make(making: Path, now_ms: int) -> Iterator[str]:
    yield _LINES["keys"]
    enrolled_ms = now_ms - _ENROLLED_BEFORE_MS
    for place in places():
        _enrol(making, place, enrolled_ms)
    rng = random.Random(_SEED)
    with ExitStack() as stack:
        stations: dict[str, Station] = {}
        for place in places():
            station = open_station(making / place.folder, rng)
            stack.callback(station.close)
            # Nothing here counts before it is whole, and then it is flushed.
            station.connection.execute("PRAGMA synchronous = OFF")
            stations[place.folder] = station
        for place in places():
            _make_accounts(stations[place.folder], place)
            yield _LINES["accounts"]
        entries = past_of(rng, now_ms)
        for done in Past(stations, rng, enrolled_ms).play(entries):
            yield f"{_LINES['past']}: {done * 4 // len(entries) * 25} %"


def _enrol(making: Path, place: Place, now_ms: int) -> None:
    """Make a node's folder and have it signed, as `tiepdan init` and `tiepdan enrol` do."""
    folder = making / place.folder
    config = Config(is_demo=True, is_remote=place.is_remote)
    request = init_folder(
        folder, tier=place.tier, code=place.code, name=place.name, config=config, now_ms=now_ms
    )
    parent = parent_of(place)
    if request is not None and parent is not None:
        signed = sign_request(making / parent.folder, request.read_bytes(), now_ms, _LIFETIME_DAYS)
        *chain, root = chain_from_pem(signed)
        install_chain(folder, chain, root)


def _make_accounts(station: Station, place: Place) -> None:
    accounts = Accounts(station.connection)
    with station.replica.transaction():
        for person in place.staff:
            accounts.put(
                user=person.user,
                name=person.name,
                role=person.role,
                password=PASSWORD,
                salt=system_entropy(16),
            )


def _refuse_foreign(data: Path) -> None:
    for place in places():
        if (data / place.folder).exists():
            raise ConfigError(
                "demo_folder_foreign",
                f"{data / place.folder} is there already, and not from a demo.",
                "Choose another folder with --data DIR.",
            )


def _flush(folder: Path) -> None:
    """Bring all files of a folder, and the folder's own entries, onto the disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _write_durably(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _sync(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writable(data: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence for the person."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ConfigError(
                "disk_full",
                f"The disk of {data} is full; the demo needs about 50 MB.",
                "Free some space, or choose another folder with --data DIR.",
            ) from error
        raise unusable(data, error) from error


def unusable(data: Path, error: OSError) -> ConfigError:
    """Return the error that says why a data folder cannot be used."""
    return ConfigError(
        "data_not_writable",
        f"The folder {data} cannot be used: {error.strerror or error}.",
        "Choose a folder that this user may write to with --data DIR.",
    )
