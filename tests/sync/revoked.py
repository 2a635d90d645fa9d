"""Revocations for tests, made by our own command or by hand."""

from typing import Any, Final

from crypto.certificates import issue, make_request
from crypto.identity import NodeKey
from crypto.note import sign_head
from crypto.revocation import sign_revocation
from schemas.record import LeafType
from schemas.revocation import Mark, Revocation, RevocationLeaf, Statement
from sync.revocations import Known
from sync.revoking import countersigned, revoke
from tests.sync.builders import NOW_MS, LogBuilder, Node, Place, place

REASON: Final = "Máy bị mất trộm"


def revoke_at(node: Node, target: Place, size: int | None = None, reason: str = REASON) -> Known:
    """Let a node revoke another; the newest log counts up to a size, or what it countersigned."""
    sizes = countersigned(node.replica, target.key.peer_id)
    if size is not None:
        sizes[next(reversed(sizes))] = size
    with node.transaction():
        return revoke(node.replica, target.key.peer_id, target.subject.code, sizes, reason, NOW_MS)


def spare_of(former: Place, seed: bytes) -> Place:
    """Return the office under a key that was certified to succeed its present one."""
    key, who = NodeKey.from_seed(seed.ljust(32)[:32]), former.subject
    issuer = place(who.code.rpartition(".")[0])
    request = make_request(key, who.tier, who.code, who.name, who.peer_id)
    own = issue(issuer.chain[0], issuer.key, request, NOW_MS, 365)
    return Place(key, (own, *issuer.chain))


def mark_of(builder: LogBuilder, size: int) -> Mark:
    """Return the mark that lets so many leaves of a log count."""
    part = LogBuilder(builder.owner, builder.purpose, builder.epoch)
    part.leaves[:] = builder.leaves[:size]
    root = part.log().frontier.root()
    return Mark(log_id=builder.log_id, last_valid_seq=size - 1, root=root)


def said_of(target: Place, *marks: Mark, **said: Any) -> Revocation:
    """Return what can be said of a node."""
    facts: dict[str, Any] = {
        "key": target.key.peer_id,
        "code": target.subject.code,
        "marks": tuple(sorted(marks, key=lambda mark: mark.log_id)),
        "reason": REASON,
        "at_ms": NOW_MS,
    }
    return Revocation(**(facts | said))


def statement_by(signer: Place, said: Revocation) -> Statement:
    """Return it signed with the real key of a node."""
    return sign_revocation(signer.key, signer.der, said)


def add_statement(
    builder: LogBuilder, statement: Statement, *voided: tuple[bytes, bytes]
) -> LogBuilder:
    """Put a statement into a log."""
    body = RevocationLeaf(statement=statement.encode(), voided=voided).encode()
    return builder.add(LeafType.REVOCATION, body)


def take_in(node: Node, builder: LogBuilder, start: int, end: int) -> None:
    """Let leaves of a log arrive, as if a head had come that covers them."""
    own = builder.log()
    with node.transaction():
        log = node.store.find_log(own.log_id)
        if log is None:
            log = node.store.create_log(
                log_id=own.log_id,
                owner=own.owner,
                purpose=own.purpose,
                epoch=own.epoch,
                tier=own.tier,
                code=own.code,
                source=own.owner,
            )
        for leaf in builder.leaves[start:end]:
            node.store.put_leaf(log, log.extend(leaf), leaf)
        log.head_signature = sign_head(builder.owner.key, log.head())
        node.replica.intake.revocations.review(log)
        for seq, leaf in enumerate(builder.leaves[start:end], start):
            node.replica.intake.take(log, seq, leaf, NOW_MS)


def hear(node: Node, *statements: Statement) -> None:
    """Let statements arrive ahead of the logs they stand in."""
    with node.transaction():
        for statement in statements:
            node.replica.intake.revocations.hear(statement.encode(), NOW_MS)
