"""The spare key of a commune: made and certified beforehand, kept apart, taken into use offline.

Its certificate says which key it may succeed. So nobody has to be asked when that key may be in
other hands: the spare one ends it by a signed statement, like a revocation from above, that counts
wherever it arrives. Whoever has the old key alone cannot do the same to a key of their own.

The office key changes with it, so that nobody who copied it opens what is sealed from then on. The
former one is kept, sealed to the new one.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from crypto.certificates import Subject, make_request, request_to_pem, subject_of, verify_chain
from crypto.errors import KeyfileError, PasswordError
from crypto.identity import SEED_BYTES, NodeKey, OfficeKey
from crypto.keyfile import (
    PUBLIC_MODE,
    SECRET_MODE,
    read_certificate,
    read_chain,
    read_key,
    read_secret,
    write_chain,
    write_file,
    write_key,
    write_secret,
)
from crypto.office import is_plain, office_key_file, open_office_key, read_office_key
from crypto.passphrase import SALT_BYTES, open_under, seal_under
from node.config import read_config
from node.entropy import system_entropy
from node.errors import ConfigError, RequestError
from node.folder import (
    FORMER,
    ROTATED,
    SPARE_CHAIN,
    NodeFolder,
    office_key_path,
    open_folder,
    read_former,
    write_former,
)
from node.station import MIGRATIONS, build_replica, held_alone
from node.trail import append
from schemas.codes import Tier
from sync.database import open_database
from sync.succession import succeed

REASON: Final = "Đã thay bằng khóa dự phòng (the spare key was taken into use)"
REQUEST: Final = "spare-request.pem"
_FORMAT: Final = "tiepdan spare key 1"
_FILE_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What taking the spare key into use did.

    Attributes:
        subject: who the node is now.
        former: peer id of the key that ended.
    """

    subject: Subject
    former: bytes


def make_spare(
    folder: NodeFolder, file: Path, passphrase: str, entropy: Callable[[int], bytes]
) -> x509.CertificateSigningRequest:
    """Make a spare key, write it sealed to a file that is kept apart, and return its request.

    Args:
        folder: of the commune.
        file: on a stick; it must not exist.
        passphrase: of that file.
        entropy: makes the salt.

    Raises:
        RequestError: the node is no commune.
        ConfigError: the file exists.
        CryptoError: the passphrase is too short, or nothing can be written.
    """
    own = folder.subject
    if own.tier is not Tier.COMMUNE:
        raise RequestError(
            "spare_unfit",
            "Only a commune has a spare key.",
            "A province whose key is in other hands is revoked by the centre and made anew; its"
            " communes keep their keys and records.",
        )
    if file.exists():
        raise ConfigError(
            "file_exists", f"{file} exists already.", "Move it away, or name another file."
        )
    key, salt = NodeKey.generate().with_office(OfficeKey.generate()), entropy(SALT_BYTES)
    secret = key.seed + key.office_private.private_bytes_raw()
    about = _about(own.code, key.peer_id, own.peer_id)
    fields = {
        "code": own.code,
        "format": _FORMAT,
        "key": key.peer_id.hex(),
        "salt": salt.hex(),
        "sealed": seal_under(passphrase, secret, salt=salt, about=about).hex(),
        "succeeds": own.peer_id.hex(),
    }
    request = make_request(key, own.tier, own.code, own.name, own.peer_id)
    write_file(file, json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n", SECRET_MODE)
    write_file(folder.path / REQUEST, request_to_pem(request), PUBLIC_MODE)
    return request


def install_spare(folder: NodeFolder, chain: list[x509.Certificate]) -> None:
    """Keep the certificate of a spare key in the folder of the node that it is for.

    Raises:
        RequestError: it is not for this node's key.
        CryptoError: it does not lead to our root.
    """
    _check_spare(folder, verify_chain(chain, folder.root, None))
    write_chain(folder.path / SPARE_CHAIN, chain)


def rotate(
    path: Path,
    file: Path | None,
    passphrase: Callable[[], str],
    office_passphrase: Callable[[], str],
    now_ms: int,
) -> Rotated:
    """Take the spare key into use; one that was cut short is brought to its end.

    Args:
        path: data folder of the commune, whose node is stopped.
        file: with the sealed key; needed but for one that was cut short.
        passphrase: asks for that of this file.
        office_passphrase: asks for that of the office key, if it has one; it stays the same.
        now_ms: wall clock.

    Raises:
        RequestError: there is no spare key for this node, or the database is not whole.
        ConfigError: the folder is not usable or in use.
        CryptoError: the passphrase is wrong, or a file is damaged.
        StoreError: the database cannot be written; do it again.
    """
    if (path / ROTATED).exists():
        return _finish(path, now_ms)
    folder = open_folder(path)
    with held_alone(folder):
        if file is None or not (path / SPARE_CHAIN).exists():
            raise RequestError(
                "spare_missing",
                "The file with the spare key, and its certificate in the folder, are needed.",
                "Name the file with --spare. If none was made before: have the province revoke this"
                " key, and make the node anew.",
            )
        chain = read_chain(path / SPARE_CHAIN)
        subject = verify_chain(chain, folder.root, None)
        _check_spare(folder, subject)
        key = _open_spare(file, passphrase)
        if (key.peer_id, key.office_public) != (subject.peer_id, subject.office_public):
            raise _unfit("The file holds another key than the one that was certified.")
        _check_settled(folder)
        office, former = _follow(folder, key.office, office_passphrase)
        _prepare(path, key, chain, office, former)
    return _finish(path, now_ms)


def _check_spare(folder: NodeFolder, subject: Subject) -> None:
    own = folder.subject
    if (subject.succeeds, subject.code, subject.tier) != (own.peer_id, own.code, own.tier):
        raise _unfit("This certificate is not of a spare key for the present key of this node.")


def _open_spare(file: Path, passphrase: Callable[[], str]) -> NodeKey:
    try:
        fields: dict[str, Any] = json.loads(file.read_bytes()[:_FILE_BYTES_MAX])
        key, succeeds = bytes.fromhex(fields["key"]), bytes.fromhex(fields["succeeds"])
        salt, sealed = bytes.fromhex(fields["salt"]), bytes.fromhex(fields["sealed"])
        about = _about(str(fields["code"]), key, succeeds)
    except OSError as error:
        raise KeyfileError(
            "keyfile_unreadable",
            f"{file} cannot be read: {error.strerror}",
            "Check that the stick is in its place.",
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyfileError(
            "keyfile_damaged", f"{file} is no file with a spare key", "Take its other copy."
        ) from error
    secret = open_under(passphrase(), sealed, salt=salt, about=about)
    return NodeKey.from_seed(secret[:SEED_BYTES]).with_office(
        OfficeKey.from_private(secret[SEED_BYTES:])
    )


def _follow(
    folder: NodeFolder, office: OfficeKey, passphrase: Callable[[], str]
) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the file of the office key that follows, and what it needs to open what was sealed."""
    present = read_secret(folder.office_key)
    words = "" if is_plain(present) else passphrase()
    try:
        folder.key.office.unlock(open_office_key(present, words))
    except PasswordError as error:
        raise RequestError(
            "office_passphrase_wrong",
            "The passphrase of the key that opens seals is wrong; nothing was changed.",
            "If nobody knows it any more, this office cannot change its key by itself: have the"
            " province revoke the key, and make the node anew. The province opens what was sealed.",
        ) from error
    data = office_key_file(office, words, system_entropy(SALT_BYTES))
    return data, folder.keyring.handed_to(office.public)


def _check_settled(folder: NodeFolder) -> None:
    """Refuse on a database from which leaves are missing: they would be declared void."""
    connection = open_database(folder.database, MIGRATIONS)
    try:
        missing = connection.execute(
            "SELECT (SELECT count(*) FROM log WHERE source IS NULL AND fault != '')"
            " + (SELECT count(*) FROM apart_leaf WHERE is_judged = 0)"
            " + (SELECT count(*) FROM damage)"
        ).fetchone()[0]
    finally:
        connection.close()
    if missing:
        raise RequestError(
            "rotation_unsettled",
            "This database was restored or damaged, and waits for records from the tier above.",
            "Link once with the present key; or have the province revoke it, and make the node"
            " anew.",
        )


def _prepare(
    path: Path,
    key: NodeKey,
    chain: list[x509.Certificate],
    office: bytes,
    former: Mapping[bytes, bytes],
) -> None:
    """Lay ready what takes the place of the present identity; with the last step it is decided."""
    subject = subject_of(chain[0])
    write_secret(_arriving(path), office)
    making = path / f"{ROTATED}.making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    write_key(making / "key", key)
    write_chain(making / "chain.pem", chain)
    request = make_request(key, subject.tier, subject.code, subject.name, subject.succeeds)
    write_file(making / "request.pem", request_to_pem(request), PUBLIC_MODE)
    write_former(making / FORMER, former)
    making.rename(path / ROTATED)


def _finish(path: Path, now_ms: int) -> Rotated:
    """Put the new identity in place; each step may be done again."""
    ready = path / ROTATED
    chain, root = read_chain(ready / "chain.pem"), read_certificate(path / "root.pem")
    config, arriving = read_config(path), _arriving(path)
    place = office_key_path(path, config)
    office = read_secret(arriving if arriving.exists() else place)
    folder = NodeFolder(
        path=path,
        config=config,
        key=read_key(ready / "key").with_office(read_office_key(office)),
        chain=chain,
        root=root,
        subject=verify_chain(chain, root, None),
    )
    former = folder.subject.succeeds
    with held_alone(folder):
        present = read_key(path / "key")
        if present.peer_id == former:
            _hand_over(folder, present, now_ms)
        write_former(path / FORMER, read_former(ready / FORMER))
        write_secret(place, office)
        for name, mode in (
            ("chain.pem", PUBLIC_MODE),
            ("request.pem", PUBLIC_MODE),
            ("key", SECRET_MODE),
        ):
            write_file(path / name, (ready / name).read_bytes(), mode)
        for file in (path / SPARE_CHAIN, path / REQUEST, arriving):
            file.unlink(missing_ok=True)
        gone = path / f"{ROTATED}.done"
        shutil.rmtree(gone, ignore_errors=True)
        ready.rename(gone)
        shutil.rmtree(gone)
    return Rotated(subject=folder.subject, former=former)


def _hand_over(folder: NodeFolder, former: NodeKey, now_ms: int) -> None:
    """Let the database go on under the new key, unless it does so already."""
    connection = open_database(folder.database, MIGRATIONS)
    try:
        replica = build_replica(connection, folder)
        with replica.transaction():
            if not replica.intake.revocations.of(former.peer_id, folder.subject.code):
                succeed(replica, former, REASON, now_ms)
                append(connection, "", "", now_ms, "node.rotate")
    finally:
        connection.close()


def _arriving(path: Path) -> Path:
    """Return where the office key that follows waits: on the disk where the present one is."""
    place = office_key_path(path, read_config(path))
    return place.with_name(f"{place.name}.arriving")


def _about(code: str, key: bytes, succeeds: bytes) -> bytes:
    return f"{_FORMAT}\n{code}\n{key.hex()}\n{succeeds.hex()}".encode()


def _unfit(why: str) -> RequestError:
    return RequestError(
        "spare_unfit", why, "Take the file and the certificate that were made together."
    )
