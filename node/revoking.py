"""Revoking a node below: whom a person means, and what became of it."""

from dataclasses import dataclass
from pathlib import Path

from crypto.certificates import Subject, chain_from_pem, verify_chain
from node.errors import NodeError
from node.folder import NodeFolder
from node.issuing import spares_of
from sync.errors import LogError
from sync.replica import Replica
from sync.revocations import Known
from sync.revoking import countersigned, logs_of, revoke

_KEY_CHARS_MIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A node that is to be revoked.

    Attributes:
        spares: peer ids of the keys that were made here to succeed its key.
    """

    peer_id: bytes
    code: str
    name: str
    spares: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """One log of a revoked node; `valid` of its `size` leaves here count."""

    log_id: bytes
    epoch: int
    size: int
    valid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeReport:
    """What a revocation did here.

    Attributes:
        logs: those of the node that are here, the newest epoch last.
        quarantined: changes that do not count any more.
        waiting: changes of others that build on such, and wait.
    """

    known: Known
    logs: tuple[LogReport, ...]
    quarantined: int
    waiting: int


def find_target(replica: Replica, folder: NodeFolder, named: str) -> Target:
    """Return the node that a person means.

    Args:
        replica: ours.
        folder: with our root.
        named: a code, the first 8 digits or more of a key, or a chain file of the node.

    Raises:
        NodeError: no node, or more than one, goes by that name here.
        CryptoError: the chain file is not acceptable.
    """
    if Path(named).is_file():
        return _of_chain(folder, Path(named))
    found = [
        peer
        for peer in replica.store.peers()
        if peer.code == named
        or (len(named) >= _KEY_CHARS_MIN and peer.peer_id.hex().startswith(named.lower()))
    ]
    revocations = replica.intake.revocations
    # A place that has a new key is meant by it.
    found = [peer for peer in found if not revocations.of(peer.peer_id, peer.code)] or found
    if len(found) == 1:
        peer = found[0]
        return _target(folder, peer.peer_id, peer.code, peer.name)
    if found:
        keys = ", ".join(peer.peer_id.hex()[:16] for peer in found)
        raise NodeError(
            "target_ambiguous",
            f"This node knows more than one key of {named}: {keys}.",
            "Name the key instead of the code.",
        )
    raise NodeError(
        "target_unknown",
        f"This node knows no other by {named!r:.80}.",
        "Give a code, a key, or the chain file with which that node was enrolled.",
    )


def _of_chain(folder: NodeFolder, path: Path) -> Target:
    try:
        chain = chain_from_pem(path.read_bytes())
    except OSError as error:
        raise NodeError("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if chain[-1] == folder.root:
        chain.pop()
    subject: Subject = verify_chain(chain, folder.root, None)
    return _target(folder, subject.peer_id, subject.code, subject.name)


def _target(folder: NodeFolder, peer_id: bytes, code: str, name: str) -> Target:
    spares = tuple(spare.peer_id for spare in spares_of(folder.path, peer_id))
    return Target(peer_id=peer_id, code=code, name=name, spares=spares)


def revoke_node(
    replica: Replica, target: Target, *, last_valid: int | None, reason: str, now_ms: int
) -> RevokeReport:
    """Revoke a node in a transaction.

    Args:
        replica: ours.
        target: a node below.
        last_valid: last leaf of its newest log that counts, -1 for none of it; None: the last one
            that was countersigned here. Of earlier logs, what was countersigned.
        reason: for people.
        now_ms: wall clock.

    Raises:
        LogError: it does not stand below this node, or not so many leaves are here.
    """
    sizes = countersigned(replica, target.peer_id)
    logs = logs_of(replica, target.peer_id)
    if last_valid is not None:
        if not logs:
            raise LogError("revocation_ahead", "no log of that node is here")
        sizes[logs[-1].log_id] = last_valid + 1
    revocations = replica.intake.revocations
    was_good = not revocations.of(target.peer_id, target.code)
    known = revoke(replica, target.peer_id, target.code, sizes, reason, now_ms)
    for spare in target.spares if was_good else ():
        # Whoever took the machine may have found the spare key beside it, or asked for one.
        if not revocations.of(spare, target.code):
            revoke(replica, spare, target.code, {}, reason, now_ms)
    replica.settle_revocations()
    db = replica.store.db
    waiting = db.execute("SELECT count(DISTINCT hash) FROM waiting_change").fetchone()[0]
    quarantined = db.execute(
        "SELECT count(*) FROM quarantined_change q JOIN log l ON l.number = q.log"
        " WHERE l.owner = ?",
        (target.peer_id,),
    ).fetchone()[0]
    return RevokeReport(
        known=known,
        logs=tuple(
            LogReport(
                log_id=log.log_id,
                epoch=log.epoch,
                size=log.size,
                valid=min(log.valid or 0, log.size),
            )
            for log in logs
        ),
        quarantined=quarantined,
        waiting=waiting,
    )
