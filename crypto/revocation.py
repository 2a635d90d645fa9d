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
    """Return who signed.

    That needs no knowledge of the revoked node, so a revocation may come before anything of it.

    Raises:
        CertificateError: the signer is not of our root, or not above the revoked node.
        SignatureError: it did not sign this.
    """
    signer = verify_chain(list(statement.chain))
    code = statement.revocation.code
    if not is_above(signer.code, code):
        raise CertificateError(
            "revocation_foreign",
            f"{signer.name} ({signer.code}) does not stand above {code!r:.20}",
            "Only a node above may revoke: the province its communes, the centre all.",
        )
    verify(signer.peer_id, _DOMAIN + statement.said, statement.signature)
    return signer
