"""Certificates that this node issues for those below, and the list of them: files in `issued/`.

One PEM file for each key, named after code and key: the chain, as it was handed out. So it can be
handed out again, and a node that never came can be revoked. They are files because they are read
and written beside the running node, and copied with the folder.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from crypto.certificates import Subject, issue, subject_of, subject_of_request
from crypto.errors import CertificateError, KeyfileError
from crypto.identity import NodeKey
from crypto.keyfile import read_certificate, read_chain, read_key, write_chain
from node.clock import PLACE
from node.errors import RequestError
from schemas.codes import Tier
from sync.database import open_reader, translated
from sync.revocations import by_node, known_of

FOLDER: Final = "issued"
# A commune renews by itself over the line, a province with the holders of the root's key.
_LIFETIME_DAYS: Final = {
    Tier.CENTRE: 365,
    Tier.PROVINCE: 365,
    Tier.COMMUNE: 90,
    Tier.OUTPOST: 90,
}

IsRevoked = Callable[[bytes, str], bool]
"""Tells of a peer id and a code whether that node's key was revoked."""


def lifetime_days(tier: Tier) -> int:
    """Return how long a certificate of a node of that tier is good for."""
    # A root asks nobody; what asks in its name is refused by the issuing.
    return _LIFETIME_DAYS.get(tier, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was issued here."""

    subject: Subject
    certificate: x509.Certificate


def issued(path: Path) -> Iterator[Issued]:
    """Yield what was issued for each key below, the newest of each.

    Raises:
        KeyfileError: one of the files is damaged.
    """
    for file in sorted((path / FOLDER).glob("*.pem")):
        certificate = read_chain(file)[0]
        yield Issued(subject=subject_of(certificate), certificate=certificate)


def revoked_in(path: Path) -> IsRevoked:
    """Return what the database of a folder says of revoked keys, also while its node runs.

    Raises:
        StoreError: the database cannot be read.
    """
    database = path / "tiepdan.db"
    if not database.exists():
        return lambda peer_id, code: False
    with closing(open_reader(database)) as connection:
        try:
            in_effect = by_node(known_of(connection))
        except sqlite3.Error as error:
            raise translated(error) from error
    return lambda peer_id, code: (peer_id, code) in in_effect


def issue_below(
    path: Path,
    request: x509.CertificateSigningRequest,
    *,
    now_ms: int,
    is_revoked: IsRevoked,
    again: bool = False,
    days: int | None = None,
) -> list[x509.Certificate]:
    """Issue for a node below and return the chain with the root behind it.

    Whoever has the root's key issues for provinces and the centre, a province for its communes, a
    commune for its outposts.

    Args:
        path: data folder of the one who issues.
        request: of the node.
        now_ms: wall clock.
        is_revoked: see there.
        again: the place may have another key that goes on being good.
        days: other than usual.

    Raises:
        RequestError: code_enrolled, key_revoked or root_elsewhere.
        CryptoError: the request is not one that this node may sign.
    """
    root = read_certificate(path / "root.pem")
    if (path / "root.key").exists():
        above, key = [root], read_key(path / "root.key")
    else:
        above, key = [*read_chain(path / "chain.pem"), root], read_key(path / "key")
        if subject_of(above[0]).tier is Tier.CENTRE:
            raise RequestError(
                "root_elsewhere",
                "The root's key is not on this machine.",
                "Carry the request to the holders of the root's key, who sign it with"
                " `tiepdan root sign`.",
            )
    return issue_with(
        path,
        (above, key),
        request,
        now_ms=now_ms,
        is_revoked=is_revoked,
        again=again,
        days=days,
    )


def issue_with(
    path: Path,
    issuer: tuple[list[x509.Certificate], NodeKey],
    request: x509.CertificateSigningRequest,
    *,
    now_ms: int,
    is_revoked: IsRevoked,
    again: bool,
    days: int | None,
) -> list[x509.Certificate]:
    """Do the same with the certificates of the issuer, the root last, and its key.

    Raises:
        RequestError: code_enrolled or key_revoked.
        CryptoError: the request is not one that may be signed.
    """
    above, key = issuer
    subject = subject_of_request(request)
    with held(path):
        _check(path, subject, is_revoked, again=again)
        lifetime = lifetime_days(subject.tier) if days is None else days
        made = issue(above[0], key, request, now_ms, lifetime)
        _keep(path, subject, [made, *above[:-1]])
    return [made, *above]


def _check(path: Path, subject: Subject, is_revoked: IsRevoked, *, again: bool) -> None:
    if is_revoked(subject.peer_id, subject.code):
        raise RequestError(
            "key_revoked",
            f"The key {subject.peer_id.hex()[:16]} of {subject.code} was revoked.",
            "At that office: make the node anew in an empty folder with `tiepdan init`, and enrol"
            " that; keep the old folder.",
        )
    if subject.succeeds:
        _check_spare(path, subject, is_revoked)
        return
    for each in issued(path):
        other = each.subject
        is_other = other.code == subject.code and subject.peer_id not in (
            other.peer_id,
            other.succeeds,
        )
        if is_other and not again and not is_revoked(other.peer_id, other.code):
            ends = datetime.fromtimestamp(each.certificate.not_valid_after_utc.timestamp(), PLACE)
            raise RequestError(
                "code_enrolled",
                f"{other.code} is enrolled already, with the key {other.peer_id.hex()[:16]}"
                f" ({other.name}, until {ends:%Y-%m-%d}).",
                "If that machine is lost, stolen or broken, revoke its key first. If both are to"
                " work beside each other, enrol again expressly: `--again`.",
            )


def _check_spare(path: Path, subject: Subject, is_revoked: IsRevoked) -> None:
    """Check that a key may be made the spare of another: once, and while that one is good.

    Else whoever has the present key, a thief say, could name a spare of their own.
    """
    known = [each.subject for each in issued(path)]
    same = [other for other in known if other.peer_id == subject.peer_id]
    if any((o.code, o.succeeds) == (subject.code, subject.succeeds) for o in same):
        # It is renewed.
        return
    if same:
        raise RequestError(
            "spare_unfit",
            f"The key {subject.peer_id.hex()[:16]} was enrolled for something else.",
            "Make a new key for a spare: `tiepdan spare`.",
        )
    if is_revoked(subject.succeeds, subject.code):
        raise RequestError(
            "key_revoked",
            f"The key {subject.succeeds.hex()[:16]} of {subject.code}, for which this would be a"
            " spare, was revoked.",
            "At that office: make the node anew in an empty folder, and enrol that.",
        )
    if not any((o.peer_id, o.code) == (subject.succeeds, subject.code) for o in known):
        raise RequestError(
            "spare_unfit",
            f"No key {subject.succeeds.hex()[:16]} of {subject.code} was enrolled here.",
            "Make the spare key in the folder of the node that it is for.",
        )
    for other in known:
        if other.succeeds == subject.succeeds and not is_revoked(other.peer_id, other.code):
            raise RequestError(
                "spare_exists",
                f"{subject.code} has a spare key already: {other.peer_id.hex()[:16]}.",
                "If that one is lost, revoke it first (give its file in the folder `issued` to"
                " `tiepdan revoke`); then ask again.",
            )


def spares_of(path: Path, peer_id: bytes) -> list[Subject]:
    """Return the spare keys that were issued for a key."""
    return [each.subject for each in issued(path) if each.subject.succeeds == peer_id]


def _keep(path: Path, subject: Subject, chain: list[x509.Certificate]) -> None:
    folder = path / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    write_chain(folder / f"{subject.code}-{subject.peer_id.hex()[:16]}.pem", chain)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold what is issued, so that two programs in one folder come one after the other.

    Raises:
        KeyfileError: keyfile_unwritable.
    """
    try:
        lock = os.open(path / "issuing.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise KeyfileError(
            "keyfile_unwritable",
            f"{path} cannot be written: {error.strerror}",
            "Check that the folder belongs to the user that runs tiepdan, and is not full.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def check_renewal(shown: Subject, asked: Subject) -> None:
    """Check that a request says of its node what the node's certificate says, or is for its spare.

    Raises:
        CertificateError: renewal_differs.
    """
    is_spare = asked.succeeds == shown.peer_id and (asked.tier, asked.code, asked.name) == (
        shown.tier,
        shown.code,
        shown.name,
    )
    if shown != asked and not is_spare:
        raise CertificateError(
            "renewal_differs",
            f"the request of {asked.name} ({asked.code}) differs from the certificate of"
            f" {shown.name} ({shown.code})",
            "A renewal changes neither key nor name nor code: enrol anew, with a token or files.",
        )
