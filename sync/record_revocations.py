"""Judges a verified record by revocations that its reader knows of."""

from collections.abc import Iterator
from dataclasses import dataclass

import cbor2
from cryptography import x509

from crypto.certificates import Subject, chain_from_der, verify_chain
from crypto.errors import CryptoError
from crypto.note import TreeHead
from crypto.tiers import is_above
from schemas.cbor import read_items
from schemas.errors import RecordError
from sync.errors import RecordFileError
from sync.revocations import Known, by_node, verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """Who vouches for one log of a verified record.

    Attributes:
        owner: the node whose log it is.
        issuer: who certified it, if it is an outpost.
        head: the tree head that the leaves are proved under.
        newest: number of the newest change of the record in the log.
        cosigners: other nodes that saw this head, with the second they signed.
    """

    owner: Subject
    issuer: Subject | None
    log_id: bytes
    head: TreeHead
    newest: int
    cosigners: tuple[tuple[Subject, int], ...]


def revoked_in(
    attestations: tuple[Attestation, ...], statements: bytes, root: x509.Certificate
) -> frozenset[bytes]:
    """Return whose keys were revoked of those who vouch; what counts all the same may stand.

    Args:
        attestations: of the record.
        statements: a CBOR sequence of revocations.
        root: that they must lead to.

    Raises:
        RecordFileError: a statement is not acceptable, or a change came after its node's key was
            revoked, or nothing shows that it came before.
    """
    revoked = by_node(list(_read(statements, root)))
    for attestation in attestations:
        for known in revoked.get(_node(attestation.owner), []):
            _check(attestation, known, revoked)
        for known in _over_issuer(attestation, revoked):
            _check_witnessed(attestation, known, revoked)
    subjects = [a.owner for a in attestations]
    subjects += [subject for a in attestations for subject, _ in a.cosigners]
    return frozenset(s.peer_id for s in subjects if _node(s) in revoked)


def _read(statements: bytes, root: x509.Certificate) -> Iterator[Known]:
    def verify(chain: list[bytes]) -> Subject:
        return verify_chain(chain_from_der(chain), root, None)

    try:
        for item in read_items(statements):
            yield verified(cbor2.dumps(item, canonical=True), verify)
    except (ValueError, RecordError, CryptoError) as error:
        raise RecordFileError(
            "revocation_malformed", f"a revocation is refused: {error}"
        ) from error


def _check(
    attestation: Attestation, known: Known, revoked: dict[tuple[bytes, str], list[Known]]
) -> None:
    owner, head = attestation.owner, attestation.head
    mark = known.revocation.mark(attestation.log_id)
    if mark is None or attestation.newest > mark.last_valid_seq:
        raise RecordFileError(
            "key_revoked",
            f"leaf {attestation.newest} of {owner.name} came too late: {known.sentence()}",
        )
    if head.size == mark.size and head.root == mark.root:
        return
    # The key could sign another log with as many leaves; who stands above saw which one it was.
    if head.size == mark.size:
        raise _unproved(attestation, known)
    _check_witnessed(attestation, known, revoked)


def _over_issuer(
    attestation: Attestation, revoked: dict[tuple[bytes, str], list[Known]]
) -> list[Known]:
    return revoked.get(_node(attestation.issuer), []) if attestation.issuer else []


def _check_witnessed(
    attestation: Attestation, known: Known, revoked: dict[tuple[bytes, str], list[Known]]
) -> None:
    """Check that somebody above the revoked node, whose key is good, saw this head.

    Whoever has a commune's key can certify outposts that the commune never had; those above know.
    """
    if not any(
        is_above(subject.code, known.revocation.code) and _node(subject) not in revoked
        for subject, _ in attestation.cosigners
    ):
        raise _unproved(attestation, known)


def _unproved(attestation: Attestation, known: Known) -> RecordFileError:
    return RecordFileError(
        "key_revoked",
        f"nothing shows that {attestation.owner.name} wrote this before: {known.sentence()}",
        "Export the record again at the node that revoked the key.",
    )


def _node(subject: Subject) -> tuple[bytes, str]:
    return subject.peer_id, subject.code
