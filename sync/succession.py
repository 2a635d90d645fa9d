"""Taking the place of a key with the one that was made to succeed it.

The former key may be in other hands, which may have written on in its log already. So its log ends
where the tier above has countersigned it, which is the same for both for certain; what was written
here after that is written again under the new key. Whoever holds the old one can neither take that
away nor add to it.
"""

from crypto.identity import NodeKey
from crypto.note import sign_head
from schemas.codes import Tier
from schemas.record import LeafType
from schemas.revocation import RevocationLeaf
from sync.apart import cut
from sync.epochs import write_again
from sync.log import UP, Log
from sync.replica import Replica
from sync.revocations import Known
from sync.revoking import marks_at, say_revoked


def succeed(replica: Replica, former: NodeKey, reason: str, now_ms: int) -> Known:
    """End a key that ours was made to succeed, and go on in logs of our own, in a transaction.

    Args:
        replica: of a commune, with the new key, on the database of the former one.
        former: key that ends; it signs the shortened log once more.
        reason: for people.
        now_ms: wall clock.
    """
    ended = [_end(replica, log, former, now_ms) for log in _logs_of(replica, former)]
    # Epochs are counted for each key.
    replica.begin_epoch(0)
    marks = marks_at(replica, {log.log_id: log.size for log in ended if log.purpose == UP})
    code = replica.subject.code
    known = say_revoked(replica, former.peer_id, code, marks, reason, now_ms)
    # What it said of the key before it may not have left this node.
    for one in list(replica.intake.revocations.known().values()):
        if one.signer == former.peer_id:
            replica.append_statement(
                LeafType.REVOCATION, RevocationLeaf(statement=one.data).encode(), now_ms
            )
    for log in ended:
        write_again(replica, log, now_ms)
    return known


def _logs_of(replica: Replica, former: NodeKey) -> list[Log]:
    return [
        log for log in replica.store.logs() if log.owner == former.peer_id and log.source is None
    ]


def _end(replica: Replica, log: Log, former: NodeKey, now_ms: int) -> Log:
    """Let a log of the former key be one that came from it, as long as it is certain."""
    size = min(log.size, replica.store.cosigned_size(log, Tier.PROVINCE))
    if log.purpose == UP and size < log.size:
        documents = cut(replica.store, log, size)
        log.head_signature = sign_head(former, log.head()) if size else b""
        log.unsigned = False
        replica.intake.redo(documents, now_ms)
    log.source, log.dirty = former.peer_id, True
    return log
