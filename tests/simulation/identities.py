"""The offices of the simulated country: keys and certificates, made once for each process."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cbor2
from cryptography import x509

from crypto.certificates import chain_to_der, issue, make_request, make_root
from crypto.identity import NodeKey
from schemas.codes import Tier
from sync.store import Peer

# Where the story begins: late in September 2026.
START_MS: Final = 1_790_000_000_000
_LIFETIME_DAYS: Final = 3_650
CENTRE: Final = "0"
PLACES: Final = (
    (CENTRE, "Ban Tiếp công dân Trung ương"),
    ("40", "Nghệ An"),
    ("44", "Quảng Trị"),
    ("40.17083", "Mỹ Lý"),
    ("40.17084", "Keng Đu"),
    ("40.17085", "Huồi Tụ"),
    ("40.17086", "Nhôn Mai"),
    ("44.18901", "Trường Sơn"),
    ("44.18902", "Kim Ngân"),
    ("44.18903", "Dân Hóa"),
    ("44.18904", "Thượng Trạch"),
)
_TIERS: Final = {0: Tier.PROVINCE, 1: Tier.COMMUNE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Who a node is.

    Attributes:
        chain: its certificates, its own first, without the root.
    """

    code: str
    name: str
    tier: Tier
    key: NodeKey
    chain: tuple[x509.Certificate, ...]

    @property
    def parent(self) -> str:
        """Code of the office above; empty at the centre."""
        if self.tier is Tier.CENTRE:
            return ""
        return self.code.rpartition(".")[0] or CENTRE

    def as_peer(self, *, is_child: bool) -> Peer:
        """Return what another node remembers of this one."""
        return Peer(
            peer_id=self.key.peer_id,
            tier=self.tier.value,
            code=self.code,
            name=self.name,
            office_key=self.key.office_public,
            chain=cbor2.dumps(chain_to_der(self.chain)),
            is_child=is_child,
        )


@cache
def root_certificate() -> x509.Certificate:
    """Return the root that every node trusts."""
    return make_root(_key("root"), "Gốc", START_MS, _LIFETIME_DAYS)


@cache
def offices() -> dict[str, Office]:
    """Return all offices by code, those above first."""
    found: dict[str, Office] = {}
    for code, name in PLACES:
        tier = Tier.CENTRE if code == CENTRE else _TIERS[code.count(".")]
        key = _key(code)
        # The root certifies the centre's node and the provinces; provinces certify communes.
        above = found.get(code.rpartition(".")[0])
        issuer = above.chain[0] if above else root_certificate()
        issuer_key = above.key if above else _key("root")
        request = make_request(key, tier, code, name)
        own = issue(issuer, issuer_key, request, START_MS, _LIFETIME_DAYS)
        chain = (own, *above.chain) if above else (own,)
        found[code] = Office(code=code, name=name, tier=tier, key=key, chain=chain)
    return found


def _key(name: str) -> NodeKey:
    return NodeKey.from_seed(name.encode().ljust(32, b"."))
