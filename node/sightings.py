"""What is announced on the LAN, read with distrust: a name is a hint for people, never a fact.

Anybody on the LAN can announce anything. So only addresses of a LAN are kept (else the node would
knock wherever it is told to), texts are short and printable, and what a node says of itself is
checked by connecting to it, or not at all.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from crypto.site import is_private
from schemas.codes import Tier

NODE_TYPE: Final = "_tiepdan._tcp.local."
Kind = Literal["node", "printer", "scanner", "camera"]
KINDS: Final[dict[str, Kind]] = {
    NODE_TYPE: "node",
    "_ipp._tcp.local.": "printer",
    "_ipps._tcp.local.": "printer",
    "_uscan._tcp.local.": "scanner",
    "_uscans._tcp.local.": "scanner",
    "_rtsp._tcp.local.": "camera",
}
NAME_CHARS_MAX: Final = 63
_HOST: Final = re.compile(r"(?=.{1,253}\.$)([A-Za-z0-9_-]{1,63}\.)+")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_CODE: Final = re.compile(r"[0-9]{1,2}(\.[0-9]{1,5}(\.[1-9][0-9]?)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a node says of itself; all texts.

    Attributes:
        node_id: its key, hex.
        fingerprint: SHA-256 of its site's CA, hex.
    """

    node_id: str
    tier: str
    code: str
    fingerprint: str
    version: str

    def properties(self) -> dict[str, str]:
        """Return the TXT record."""
        return {
            "id": self.node_id,
            "tier": self.tier,
            "code": self.code,
            "fp": self.fingerprint,
            "v": self.version,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Something that was announced.

    Attributes:
        service: type of the service, as announced.
        name: for people.
        host: ends in `.local`, without a dot behind.
        address: of the LAN.
        model: what a printer, a scanner or a camera says it is; may be empty.
        node: what a node says of itself; None for all others.
    """

    kind: Kind
    service: str
    name: str
    host: str
    address: str
    port: int
    model: str
    node: Announcement | None


def sighting_of(
    service: str,
    name: str,
    host: str,
    addresses: Iterable[str],
    port: int,
    properties: Mapping[bytes, bytes | None],
) -> Sighting | None:
    """Return what was announced, cleaned; None for what is not usable.

    Args:
        service: `_ipp._tcp.local.`
        name: of the instance, with the service behind.
        host: with a dot behind.
        addresses: as text.
        port: as announced.
        properties: of the TXT record.
    """
    kind = KINDS.get(service)
    usable = [text for text in addresses if _is_of_a_lan(text)]
    if kind is None or not usable or not 0 < port <= 65_535:
        return None
    if not _HOST.fullmatch(host) or not host.lower().endswith(".local."):
        return None
    node = _node(properties) if kind == "node" else None
    if kind == "node" and node is None:
        return None
    return Sighting(
        kind=kind,
        service=service,
        name=clean(name.removesuffix(f".{service}")) or host[:-1],
        host=host[:-1].lower(),
        address=usable[0],
        port=port,
        model=_text(properties, b"ty"),
        node=node,
    )


def clean(text: str) -> str:
    """Return a foreign text as it may be shown: printable, on one line, short."""
    # Marks that turn the direction of writing count as not printable.
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if c.isprintable())
    return " ".join(kept.split())[:NAME_CHARS_MAX]


def _is_of_a_lan(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return is_private(address) and not address.is_loopback


def _text(properties: Mapping[bytes, bytes | None], key: bytes) -> str:
    return clean((properties.get(key) or b"").decode(errors="replace"))


def _node(properties: Mapping[bytes, bytes | None]) -> Announcement | None:
    node_id, fingerprint = _hex(properties, b"id"), _hex(properties, b"fp")
    tier, code = _text(properties, b"tier"), _text(properties, b"code")
    if not node_id or not fingerprint or tier not in set(Tier) or not _CODE.fullmatch(code):
        return None
    return Announcement(
        node_id=node_id,
        tier=tier,
        code=code,
        fingerprint=fingerprint,
        version=_text(properties, b"v")[:20],
    )


def _hex(properties: Mapping[bytes, bytes | None], key: bytes) -> str:
    text = (properties.get(key) or b"").decode("ascii", errors="replace")
    return text if _HEX.fullmatch(text) else ""
