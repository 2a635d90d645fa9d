"""Nodes that this one knows by their certificates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from crypto.certificates import Subject

SELECT_PEER: Final = "SELECT peer, tier, code, name, office_key, chain, is_child FROM peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A node that this one knows by its certificate."""

    peer_id: bytes
    tier: str
    code: str
    name: str
    office_key: bytes
    chain: bytes
    is_child: bool

    @classmethod
    def named(cls, subject: Subject, chain: Sequence[bytes], *, is_child: bool) -> "Peer":
        """Return the node that a chain names: DER, its own first, without the root."""
        return cls(
            peer_id=subject.peer_id,
            tier=subject.tier.value,
            code=subject.code,
            name=subject.name,
            office_key=subject.office_public,
            chain=cbor2.dumps(list(chain)),
            is_child=is_child,
        )


def peer_of(row: tuple[Any, ...]) -> Peer:
    """Return the node in a row of SELECT_PEER."""
    return Peer(
        peer_id=bytes(row[0]),
        tier=row[1],
        code=row[2],
        name=row[3],
        office_key=bytes(row[4]),
        chain=bytes(row[5]),
        is_child=bool(row[6]),
    )
