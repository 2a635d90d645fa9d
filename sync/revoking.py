"""Revoking the key of a node below ours: saying up to where its logs count, and signing that."""

from collections.abc import Mapping

from crypto.revocation import sign_revocation
from crypto.tiers import is_above
from schemas.record import LeafType
from schemas.revocation import Mark, Revocation, RevocationLeaf
from sync.errors import LogError
from sync.log import UP, Log
from sync.replica import Replica
from sync.revocations import Known


def logs_of(replica: Replica, key: bytes) -> list[Log]:
    """Return the logs of a node that are here, the newest epoch last."""
    logs = [log for log in replica.store.logs() if log.owner == key and log.purpose == UP]
    return sorted(logs, key=lambda log: log.epoch)


def countersigned(replica: Replica, key: bytes) -> dict[bytes, int]:
    """Return how many leaves of each log of a node were countersigned here, by log id."""
    return {
        log.log_id: replica.store.cosigned_by(log, replica.key.peer_id)
        for log in logs_of(replica, key)
    }


def revoke(
    replica: Replica, key: bytes, code: str, sizes: Mapping[bytes, int], reason: str, now_ms: int
) -> Known:
    """Revoke a key in a transaction; from now on nothing of it counts but what is named.

    What a revoked province or commune said of those below it is said again in our name, as far as
    it said so in leaves that count: its own word ends with its key.

    Args:
        replica: of a node above.
        key: peer id of the revoked node.
        code: in its certificate.
        sizes: how many leaves of each log go on counting, by log id.
        reason: for people.
        now_ms: wall clock.

    Raises:
        LogError: the node does not stand below ours, or fewer leaves are here than are to count.
    """
    if not is_above(replica.subject.code, code):
        raise LogError(
            "revocation_foreign",
            f"{code} does not stand below this node",
            "Only a node above may revoke: a commune its outposts, the province its communes too,"
            " the centre all.",
        )
    known = say_revoked(replica, key, code, marks_at(replica, sizes), reason, now_ms)
    for other in _said_by(replica, key, sizes):
        said = other.revocation
        if is_above(code, said.code):
            say_revoked(replica, said.key, said.code, said.marks, said.reason, now_ms)
    return known


def say_revoked(
    replica: Replica, key: bytes, code: str, marks: tuple[Mark, ...], reason: str, now_ms: int
) -> Known:
    """Say that a key is revoked, in a leaf of ours, and go by it."""
    said = Revocation(key=key, code=code, marks=marks, reason=reason, at_ms=now_ms)
    data = sign_revocation(replica.key, replica.chain, said).encode()
    body = RevocationLeaf(statement=data).encode()
    replica.append_statement(LeafType.REVOCATION, body, now_ms)
    revocations = replica.intake.revocations
    return revocations.known()[revocations.learn(data, now_ms)]


def marks_at(replica: Replica, sizes: Mapping[bytes, int]) -> tuple[Mark, ...]:
    """Return the marks at these sizes, by log id.

    Raises:
        LogError: fewer leaves are here.
    """
    marks = []
    for log_id, size in sorted(sizes.items()):
        log = replica.store.find_log(log_id)
        if log is None or size > log.size:
            held = 0 if log is None else log.size
            raise LogError(
                "revocation_ahead",
                f"this node holds {held} leaves of the log, and cannot say what stands in more",
                "Take in what is still on sticks first, or name a lower number.",
            )
        if size > 0:
            root = replica.store.root_at(log, size)
            marks.append(Mark(log_id=log_id, last_valid_seq=size - 1, root=root))
    return tuple(marks)


def _said_by(replica: Replica, key: bytes, sizes: Mapping[bytes, int]) -> list[Known]:
    """Return what a node said of those below it in leaves that go on counting."""
    found = {
        statement
        for log_id, seq, statement in replica.intake.revocations.leaves()
        if seq < sizes.get(log_id, 0)
    }
    known = replica.intake.revocations.known().values()
    return [one for one in known if one.signer == key and one.data in found]
