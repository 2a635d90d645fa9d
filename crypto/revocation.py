"""Signing a revocation, and telling whether a signed one may be made by who made it."""

from collections.abc import Callable, Sequence
from typing import Final

from crypto.certificates import Subject
from crypto.errors import CertificateError
from crypto.identity import NodeKey, verify
from crypto.tiers import is_above
from schemas.revocation import Revocation, Statement

_DOMAIN: Final = b"tiepdan revocation v1\n"


def sign_revocation(key: NodeKey, chain: Sequence[bytes], revocation: Revocation) -> Statement:
    """Return the signed statement of a node with that key and DER chain."""
    said = revocation.encode()
    return Statement(
        said=said,
        chain=tuple(chain),
        signature=key.sign(_DOMAIN + said),
        revocation=revocation,
    )


def verify_revocation(
    statement: Statement, verify_chain: Callable[[list[bytes]], Subject]
) -> Subject:
    """Return who signed: somebody above, or the key that was made to take the revoked one's place.

    That needs no knowledge of the revoked node, so a revocation may come before anything of it.

    Raises:
        CertificateError: the signer is not of our root, or neither above the revoked node nor the
            successor of its key.
        SignatureError: it did not sign this.
    """
    signer = verify_chain(list(statement.chain))
    said, code = statement.revocation, statement.revocation.code
    is_successor = signer.code == code and signer.succeeds == said.key
    if not (is_above(signer.code, code) or is_successor):
        raise CertificateError(
            "revocation_foreign",
            f"{signer.name} ({signer.code}) does not stand above {code!r:.20}",
            "Only a node above may revoke: a commune its outposts, the province its communes too,"
            " the centre all.",
        )
    verify(signer.peer_id, _DOMAIN + statement.said, statement.signature)
    return signer
