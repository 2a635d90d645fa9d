"""Accounts that travel: people of a commune who may sign in at an outpost of it as well.

At the commune the technician names them; the names are files in `travelling/`, one for each
outpost. What the outpost gets is a parcel: names, roles and hashes of passwords, sealed to its
office key and signed by the commune, over the line or as a file. It keeps the newest one as
`accounts.json`, from which the running node takes it into use.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crypto.certificates import Subject, subject_of
from crypto.errors import CryptoError
from crypto.identity import NodeKey, verify
from crypto.keyfile import SECRET_MODE, write_file
from crypto.seal import from_text, open_sealed, recipients_of, seal, to_text
from crypto.tiers import is_directly_above
from node.accounts import find_account
from node.errors import RequestError
from node.folder import NodeFolder
from node.issuing import held
from schemas.codes import Role, Tier
from sync.database import open_reader, translated

FOLDER: Final = "travelling"
PARCEL: Final = "accounts.json"
ACCOUNTS_PATH: Final = "/accounts/1"
_DOMAIN: Final = b"tiepdan accounts v1\n"
_PARCEL_CHARS_MAX: Final = 60_000


class Parcel(BaseModel):
    """Accounts on their way.

    Attributes:
        node: peer id of the outpost, hexadecimal.
        made_ms: by the commune's clock; a later one takes the place of an earlier one.
        sealed: for the outpost's office key.
        signature: of the commune over all of it, hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str = Field(pattern=r"^[0-9a-f]{64}$")
    made_ms: int = Field(ge=0, lt=1 << 53)
    sealed: str = Field(max_length=_PARCEL_CHARS_MAX)
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    def signed(self) -> bytes:
        """Return what the signature is over."""
        parts = bytes.fromhex(self.node), self.made_ms.to_bytes(8, "big"), from_text(self.sealed)
        return _DOMAIN + b"".join(parts)


class Traveller(NamedTuple):
    """An account that travels; password is its hash in PHC form."""

    user: str
    name: str
    role: Role
    password: str
    language: str


_TRAVELLERS: Final = TypeAdapter(list[Traveller])


# The commune


def chosen(path: Path, code: str) -> tuple[str, ...]:
    """Return whose accounts travel to the outpost with that code, by user name."""
    try:
        names = json.loads((path / FOLDER / f"{code}.json").read_text("utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(str(name) for name in names)


def choose(path: Path, own: Subject, code: str, users: Sequence[str]) -> None:
    """Say whose accounts travel to an outpost, instead of those before.

    Raises:
        RequestError: there can be no such outpost here, or there is no such account.
        KeyfileError: it cannot be written.
    """
    if not is_directly_above(own.code, code):
        raise RequestError("outpost_unknown", f"{code} is no outpost of {own.code}.")
    with closing(open_reader(path / "tiepdan.db")) as db:
        for user in users:
            if find_account(db, user) is None:
                raise RequestError("account_unknown", f"There is no account {user}.")
    with held(path):
        (path / FOLDER).mkdir(mode=0o700, exist_ok=True)
        data = json.dumps(sorted(set(users))).encode() + b"\n"
        write_file(path / FOLDER / f"{code}.json", data, SECRET_MODE)


def parcel_for(path: Path, key: NodeKey, outpost: Subject, now_ms: int) -> Parcel:
    """Return the parcel for an outpost; whoever is closed, or has no password of their own, stays.

    Raises:
        StoreError: the database cannot be read.
    """
    with closing(open_reader(path / "tiepdan.db")) as db:
        try:
            found = [find_account(db, user) for user in chosen(path, outpost.code)]
        except sqlite3.Error as error:
            raise translated(error) from error
    travellers = [
        Traveller(each.user, each.name, each.role, each.password, each.language)
        for each in found
        if each is not None and each.is_active and not each.once_until_ms
    ]
    sealed = seal(
        _TRAVELLERS.dump_json(travellers), [outpost.office_public], _DOMAIN + outpost.peer_id
    )
    parcel = Parcel(
        node=outpost.peer_id.hex(), made_ms=now_ms, sealed=to_text(sealed), signature="0" * 128
    )
    return parcel.model_copy(update={"signature": key.sign(parcel.signed()).hex()})


# The outpost


def keep_parcel(folder: NodeFolder, data: bytes, *, is_fresh: bool) -> None:
    """Check a parcel and keep it, for the running node to take into use.

    Args:
        folder: of the outpost.
        data: as it came.
        is_fresh: it came over the line just now; else an earlier one than the last is refused, or
            an old stick could bring back who was closed out.

    Raises:
        RequestError: it is malformed, for another node, not from the commune, or an earlier one.
        KeyfileError: it cannot be written.
    """
    if folder.subject.tier is not Tier.OUTPOST:
        raise RequestError("not_an_outpost", "Accounts travel to outposts only.")
    parcel = _read_parcel(data)
    commune = subject_of(folder.chain[1])
    try:
        verify(commune.peer_id, parcel.signed(), bytes.fromhex(parcel.signature))
    except CryptoError as error:
        raise RequestError(
            "parcel_foreign",
            f"These accounts were not signed by {commune.name}, which certified this machine.",
            "Have the parcel made again there.",
        ) from error
    if parcel.node != folder.subject.peer_id.hex():
        raise RequestError("parcel_foreign", "These accounts are for another machine.")
    path = folder.path / PARCEL
    if not is_fresh and path.exists() and parcel.made_ms < _read_parcel(path.read_bytes()).made_ms:
        raise RequestError("parcel_old", "Newer accounts than these are here already.")
    write_file(path, data, SECRET_MODE)


def travellers_in(folder: NodeFolder) -> list[Traveller]:
    """Return the accounts in the parcel that is kept.

    Raises:
        RequestError: there is none that can be read, or a later version made it.
        CryptoError: the office key is locked, or is another.
        OSError: it cannot be read.
    """
    parcel = _read_parcel((folder.path / PARCEL).read_bytes())
    blob = from_text(parcel.sealed)
    key = folder.keyring.opening(recipients_of(blob))
    try:
        return _TRAVELLERS.validate_json(
            open_sealed(blob, key, _DOMAIN + bytes.fromhex(parcel.node))
        )
    except ValidationError as error:
        raise _malformed() from error


def let_in(db: sqlite3.Connection, travellers: Sequence[Traveller]) -> list[str]:
    """Let these sign in, and nobody else who came before; return who is new, changed or closed.

    A password that was changed here stays until it is changed at the commune.
    """
    before = dict(db.execute("SELECT user, password FROM travelled").fetchall())
    changed = list(_let_in(db, travellers, before))
    for user in sorted(before.keys() - {each.user for each in travellers}):
        db.execute("UPDATE account SET is_active = 0 WHERE user = ?", (user,))
        db.execute("DELETE FROM travelled WHERE user = ?", (user,))
        changed.append(user)
    for user in changed:
        db.execute("DELETE FROM sign_in WHERE user = ?", (user,))
    return changed


def _let_in(
    db: sqlite3.Connection, travellers: Sequence[Traveller], before: dict[str, str]
) -> Iterator[str]:
    for each in travellers:
        account = find_account(db, each.user)
        is_same = account is not None and (account.name, account.role) == (each.name, each.role)
        if is_same and before.get(each.user) == each.password:
            continue
        # Where the hash is that of last time, whoever changed it here keeps what was chosen here.
        kept = account is not None and before.get(each.user) == each.password
        password = account.password if account is not None and kept else each.password
        db.execute(
            "INSERT INTO account (user, name, role, password, language) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (user) DO UPDATE SET name=excluded.name, role=excluded.role,"
            " password=excluded.password, is_active=1, once_until_ms=0",
            (each.user, each.name, each.role.value, password, each.language),
        )
        db.execute("INSERT OR REPLACE INTO travelled VALUES (?, ?)", (each.user, each.password))
        yield each.user


def _read_parcel(data: bytes) -> Parcel:
    try:
        return Parcel.model_validate_json(data)
    except ValidationError as error:
        raise _malformed() from error


def _malformed() -> RequestError:
    return RequestError(
        "parcel_malformed",
        "This is no file of accounts that travel, or it is damaged.",
        "Have it made again at the commune: tiepdan outpost --code CODE --out FILE",
    )
