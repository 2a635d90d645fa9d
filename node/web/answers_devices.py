"""What the API says of devices: pairing them, proving their keys, and what is on the LAN.

Bytes are hex digits, as browsers and people compare them.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from crypto.pairing import SPAKE_BYTES, Way
from node.web.answers import Answer
from schemas.codes import DeviceScope

Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class _Asked(Answer):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteAnswer(Answer):
    """The site's CA, which a device installs before anything else.

    Attributes:
        address: of the pages on the LAN.
        fingerprint: SHA-256 of the certificate.
        peer_id: the node's key.
    """

    name: str
    office: str
    address: str
    fingerprint: str
    peer_id: str


class NewPairing(_Asked):
    """A device that the technician wants to pair.

    Attributes:
        name: what people call the device.
    """

    way: Way
    name: str = Field(min_length=1, max_length=60, pattern=r"^\S.*$")
    scope: DeviceScope


class PairingAnswer(Answer):
    """A pairing as the technician sees it.

    Attributes:
        link: what the QR code says; empty with 8 digits.
        picture: the QR code as a data URI; empty with 8 digits.
        code: the 8 digits; empty with a QR code.
        digits: the six to compare, once the device knows the code.
        reason: sentence that says why it was refused, or empty.
        hint: what to do then.
    """

    id: str
    way: Way
    name: str
    state: Literal["open", "greeted", "proven", "confirmed", "refused"]
    seconds_left: int
    link: str
    picture: str
    code: str
    digits: str
    reason_code: str
    reason: str
    hint: str


class PairingHello(_Asked):
    """What a device says first; see PROTOCOL.md, section 13."""

    way: Way
    offer: str = Field(default="", pattern=r"^([0-9a-f]{16})?$")
    commitment: Hex32
    spake: str = Field(default="", pattern=rf"^([0-9a-f]{{{2 * SPAKE_BYTES}}})?$")


class PairingGreeting(Answer):
    """The node's answer to it."""

    id: str
    site: str
    peer_id: str
    nonce: str
    spake: str


class PairingProof(_Asked):
    """The device's key and nonce, and its proofs."""

    id: Id
    point: str = Field(pattern=r"^[0-9a-f]{130}$")
    nonce: Hex32
    proof: Hex32
    signature: Hex64


class PairingNodeProof(Answer):
    """The node's proofs."""

    proof: str
    signature: str


class PairingOutcome(Answer):
    """What became of a pairing, for the device.

    Attributes:
        certificate: DER, once it is paired.
        device: its id, once it is paired.
        reason_code: why it was refused, or empty.
    """

    state: Literal["waiting", "paired", "refused"]
    device: str = ""
    name: str = ""
    certificate: str = ""
    reason_code: str = ""
    reason: str = ""
    hint: str = ""


class ChallengeAnswer(Answer):
    """What a device signs to prove its key, together with the site."""

    challenge: str
    site: str


class DeviceProofBody(_Asked):
    """A device's answer to a challenge."""

    device: Id
    challenge: str = Field(pattern=r"^[0-9a-f]{80}$")
    signature: Hex64


class DeviceAnswer(Answer):
    """A device that has proved its key; its certificate is a new one when the old one ends soon."""

    device: str
    name: str
    scope: DeviceScope
    certificate: str


class DeviceLine(Answer):
    """A device in the list.

    Attributes:
        is_paired: has a key of its own; else a browser known by its cookie.
        is_here: has a page or a socket open just now.
        is_mine: the one that asks.
        people: who is signed in there.
    """

    id: str
    name: str
    scope: DeviceScope
    is_paired: bool
    is_here: bool
    is_mine: bool
    people: list[str]
    paired_by: str
    first_seen_ms: int
    seen_ms: int
    revoked_ms: int | None
    revoked_by: str


class FoundLine(Answer):
    """Something that is announced on the LAN, and how it is.

    Attributes:
        certificate: of a node: `fits`, `foreign` or `wrong`; else empty.
        node_id: what a node says its key is; a hint only.
        is_known: a node with that key is known here; proves nothing either.
    """

    kind: Literal["node", "printer", "scanner", "camera"]
    name: str
    model: str
    host: str
    address: str
    port: int
    seen_ms: int
    checked_ms: int
    is_reachable: bool
    certificate: Literal["", "fits", "foreign", "wrong"]
    tier: str
    code: str
    version: str
    node_id: str
    is_known: bool


class DevicesAnswer(Answer):
    """All devices, and everything found on the LAN.

    Attributes:
        site: None where the pages serve this machine only.
        is_looking: whether things are looked for on the LAN.
        trouble: why nothing is heard, or empty.
    """

    site: SiteAnswer | None
    devices: list[DeviceLine]
    found: list[FoundLine]
    is_looking: bool
    trouble: str
