"""The device's side for programs: pairs with a node on the LAN, and proves its key to it later.

What a pairing leaves is a folder: `site.pem`, the only CA that is trusted from then on;
`device.key`, readable by its owner only; `device.pem`; `node.json`, where the node was found.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from crypto import p256
from crypto.errors import PairingError
from crypto.identity import device_id
from crypto.keyfile import read_certificate, read_p256, write_chain, write_p256
from crypto.pairing import (
    CODE_DIGITS,
    LIFETIME_MS,
    SECRET_BYTES,
    DevicePairing,
    DeviceProof,
    Greeting,
    NodeProof,
    Way,
)
from crypto.site import FINGERPRINT_BYTES, check_device, fingerprint, read_certificate_der
from node.devices import signed_challenge
from node.errors import ConfigError, RequestError
from node.sightings import NODE_TYPE
from node.site_client import SiteClient, fetch_site, site_context

_RESOLVE_MS: Final = 3_000
_POLL_S: Final = 0.7
_POLLS_MAX: Final = int(LIFETIME_MS / 1000 / _POLL_S) + 1

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the technician's screen says.

    Attributes:
        host: `.local` name or address of the node.
        site: fingerprint of the QR code; empty with 8 digits.
        secret: 16 bytes, or 8 ASCII digits.
    """

    way: Way
    host: str
    port: int
    site: bytes
    secret: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the node was when the device was paired."""

    host: str
    port: int
    address: str


def read_link(link: str) -> Invitation:
    """Return what a QR code says.

    Raises:
        RequestError: it is not the code of a pairing.
    """
    try:
        parts = urlsplit(link.strip())
        port, said = parts.port, bytes.fromhex(parts.fragment)
    except ValueError as error:
        raise _not_a_link() from error
    if (parts.scheme, parts.path) != ("https", "/pair") or not parts.hostname or not port:
        raise _not_a_link()
    if len(said) != FINGERPRINT_BYTES + SECRET_BYTES:
        raise _not_a_link()
    return Invitation(
        way=Way.QR,
        host=parts.hostname,
        port=port,
        site=said[:FINGERPRINT_BYTES],
        secret=said[FINGERPRINT_BYTES:],
    )


def read_code(digits: str, host: str, port: int) -> Invitation:
    """Return what 8 digits say, typed with spaces or without.

    Raises:
        RequestError: these are not 8 digits.
    """
    kept = "".join(digits.split())
    if len(kept) != CODE_DIGITS or not (kept.isascii() and kept.isdigit()):
        raise RequestError("code_malformed", f"A code has {CODE_DIGITS} digits.")
    return Invitation(way=Way.CODE, host=host, port=port, site=b"", secret=kept.encode())


async def resolve(host: str) -> str:
    """Return an address for a name; a `.local` name is asked for on the LAN.

    The answer is a hint: whoever is there must show the right certificate.

    Raises:
        RequestError: site_unreachable.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        if not host.endswith(".local"):
            return await _looked_up(host)
    async with AsyncZeroconf() as zeroconf:
        label = host.removesuffix(".local")
        info = AsyncServiceInfo(NODE_TYPE, f"{label}.{NODE_TYPE}")
        if await info.async_request(zeroconf.zeroconf, _RESOLVE_MS):
            for address in info.parsed_addresses(IPVersion.V4Only):
                return address
    raise _not_found(host)


async def _looked_up(host: str) -> str:
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _not_found(host) from error
    return str(infos[0][4][0])


async def pair(
    invitation: Invitation, address: str, entropy: Entropy, show: Callable[[str], None]
) -> "PairedDevice":
    """Pair with the node at an address, and return what to keep; nothing is written here.

    Args:
        invitation: what the technician's screen says.
        address: of the node, a hint.
        entropy: makes key and nonce.
        show: is told the six digits to compare.

    Raises:
        PairingError: refused, with its reason.
        RequestError: the node cannot be reached, or its certificate is another's.
        CertificateError: what came is not a certificate as it should be.
    """
    site = await fetch_site(address, invitation.port)
    seen = fingerprint(site)
    key = p256.p256_key(entropy(p256.SECRET_BYTES))
    side = DevicePairing(
        way=invitation.way,
        secret=invitation.secret,
        key=key,
        expected_site=invitation.site,
        entropy=entropy,
    )
    # Before anything is said to a node that is another.
    side.check_site(seen)
    place = Place(host=invitation.host, port=invitation.port, address=address)
    async with _client(place, site) as client:
        pairing, greeting = await _greet(client, side)
        digits = side.finish(await _prove(client, pairing, side.prove(greeting, seen)))
        show(digits)
        outcome = await _outcome(client, pairing) or await _prove_key(client, site, key)
    certificate = read_certificate_der(bytes.fromhex(outcome["certificate"]))
    check_device(certificate, site, p256.point_of(key.public_key()))
    return PairedDevice(place=place, site=site, key=key, certificate=certificate)


class PairedDevice:
    """A device that was paired."""

    def __init__(
        self,
        *,
        place: Place,
        site: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
    ) -> None:
        """Hold what pairing left."""
        self.place = place
        self.site = site
        self.certificate = certificate
        self._key = key

    @property
    def device(self) -> bytes:
        """Its id, the hash of its key."""
        return bytes(device_id(p256.point_of(self._key.public_key())))

    @classmethod
    def read(cls, folder: Path) -> "PairedDevice":
        """Return the device of a folder.

        Raises:
            ConfigError, CryptoError: the folder holds none, or a damaged one.
        """
        try:
            place = Place(**json.loads((folder / "node.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                "device_missing",
                f"There is no paired device in {folder}.",
                "Pair one with `tiepdan device pair`.",
            ) from error
        return cls(
            place=place,
            site=read_certificate(folder / "site.pem"),
            key=read_p256(folder / "device.key"),
            certificate=read_certificate(folder / "device.pem"),
        )

    def write(self, folder: Path) -> None:
        """Keep the device in a folder; what says that it is there comes last.

        Raises:
            CryptoError, ConfigError: the folder cannot be written.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_p256(folder / "device.key", self._key)
            write_chain(folder / "site.pem", [self.site])
            write_chain(folder / "device.pem", [self.certificate])
            text = json.dumps(asdict(self.place), indent=1)
            (folder / "node.json").write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                "data_not_writable", f"The folder {folder} cannot be written: {error.strerror}."
            ) from error

    def client(self, address: str = "") -> SiteClient:
        """Return a client that talks to this device's site alone.

        Args:
            address: where the node is by now; empty: where it was when they paired.
        """
        place = replace(self.place, address=address) if address else self.place
        return _client(place, self.site)

    async def prove(self, client: SiteClient) -> dict[str, Any]:
        """Prove the key, which gives the client its cookie, and return what the node says of it.

        Raises:
            RequestError: the device is not paired any more, or the node cannot be reached.
        """
        return await _prove_key(client, self.site, self._key)


def _client(place: Place, site: x509.Certificate) -> SiteClient:
    return SiteClient(place.address, place.port, place.host, site_context(site))


async def _greet(client: SiteClient, side: DevicePairing) -> tuple[str, Greeting]:
    hello = side.hello
    told = await client.ask(
        "POST",
        "/pairings/hello",
        {
            "way": hello.way.value,
            "offer": hello.offer.hex(),
            "commitment": hello.commitment.hex(),
            "spake": hello.spake.hex(),
        },
    )
    return told["id"], Greeting(
        site=bytes.fromhex(told["site"]),
        peer_id=bytes.fromhex(told["peer_id"]),
        nonce=bytes.fromhex(told["nonce"]),
        spake=bytes.fromhex(told["spake"]),
    )


async def _prove(client: SiteClient, pairing: str, shown: DeviceProof) -> NodeProof:
    told = await client.ask(
        "POST",
        "/pairings/proof",
        {
            "id": pairing,
            "point": shown.point.hex(),
            "nonce": shown.nonce.hex(),
            "proof": shown.proof.hex(),
            "signature": shown.signature.hex(),
        },
    )
    return NodeProof(proof=bytes.fromhex(told["proof"]), signature=bytes.fromhex(told["signature"]))


async def _outcome(client: SiteClient, pairing: str) -> dict[str, Any] | None:
    """Return what a confirmed pairing gave; None if the node has restarted and knows no pairing.

    The technician may be confirming while the network is away for a moment, so that ends nothing.
    """
    for left in reversed(range(_POLLS_MAX)):
        try:
            outcome: dict[str, Any] = await client.ask("GET", f"/pairings/{pairing}/outcome")
        except RequestError as error:
            if error.code == "pairing_unknown":
                return None
            if error.code != "site_unreachable" or left == 0:
                raise
            outcome = {"state": "waiting"}
        if outcome["state"] == "paired":
            return outcome
        if outcome["state"] == "refused":
            raise PairingError(outcome["reason_code"], outcome["reason"], outcome["hint"])
        await asyncio.sleep(_POLL_S)
    raise PairingError("pairing_expired", "nobody has confirmed this pairing")


async def _prove_key(
    client: SiteClient, site: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> dict[str, Any]:
    asked = await client.ask("POST", "/device/challenge")
    message = signed_challenge(fingerprint(site), bytes.fromhex(asked["challenge"]))
    answer: dict[str, Any] = await client.ask(
        "POST",
        "/device/proof",
        {
            "device": device_id(p256.point_of(key.public_key())).hex(),
            "challenge": asked["challenge"],
            "signature": p256.sign(key, message).hex(),
        },
    )
    return answer


def _not_a_link() -> RequestError:
    return RequestError(
        "link_malformed",
        "This is not the QR code of a pairing.",
        "Copy the whole address below the QR code, in quotes.",
    )


def _not_found(host: str) -> RequestError:
    return RequestError(
        "site_unreachable",
        f"{host} is not found on this network.",
        "Give its address with --address; the code protects against a wrong one.",
    )
