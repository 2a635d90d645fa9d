"""The CA of this site on the disk, and the TLS with which the pages are served on the LAN."""

import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Final

import ifaddr
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto.certificates import chain_to_pem
from crypto.keyfile import read_certificate, read_p256, write_chain, write_p256
from crypto.p256 import SECRET_BYTES, p256_key
from crypto.site import Address, check_site, fingerprint, is_private, issue_page, make_site
from node.config import Config
from node.folder import NodeFolder

# Long before browsers refuse it, and not at a time when somebody waits for it.
_RENEW_MS: Final = 60 * 24 * 3_600_000
_DAY_MS: Final = 24 * 3_600_000

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The CA of this site.

    Attributes:
        name: of the node on the LAN, `tiepdan-40-17083.local`.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    name: str

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate, 32 bytes."""
        return fingerprint(self.certificate)


def open_site(folder: NodeFolder, now_ms: int, entropy: Entropy) -> Site:
    """Return the site's CA; the first time it is made.

    Raises:
        CryptoError: its files are damaged, not ours alone, or cannot be written.
    """
    key_path, certificate_path = folder.path / "site.key", folder.path / "site.pem"
    if not key_path.exists():
        write_p256(key_path, p256_key(entropy(SECRET_BYTES)))
    key = read_p256(key_path)
    # After a power cut between the two the same key gets its certificate.
    if not certificate_path.exists():
        made = make_site(key, folder.subject.name, folder.subject.code, now_ms)
        write_chain(certificate_path, [made])
    certificate = read_certificate(certificate_path)
    check_site(certificate)
    return Site(
        certificate=certificate, key=key, name=local_name(folder.config, folder.subject.code)
    )


def local_name(config: Config, code: str) -> str:
    """Return the node's name on the LAN."""
    label = config.lan_name or f"tiepdan-{code.replace('.', '-')}"
    return f"{label}.local"


def lan_addresses(host: str) -> list[Address]:
    """Return the addresses at which the pages are reached on the LAN, sorted."""
    only = ip_address(host)
    if not only.is_unspecified:
        return [only]
    found = {
        ip_address(ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str)
    }
    return sorted(
        address
        for address in found
        if isinstance(address, IPv4Address) and is_private(address) and not address.is_loopback
    )


class PageTls:
    """The TLS context of the pages; its certificate is renewed while it is in use."""

    def __init__(self, site: Site, entropy: Entropy) -> None:
        """Make the context; `renew` gives it its first certificate."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._site = site
        self._entropy = entropy
        self._made_ms: int | None = None
        self._addresses: list[Address] = []

    def renew(self, addresses: Sequence[Address], now_ms: int) -> bool:
        """Use a new certificate if addresses or time ask for one; tell whether they did."""
        # A clock that jumped back may have been wrong when the certificate was made.
        is_fresh = self._made_ms is not None and -_DAY_MS < now_ms - self._made_ms < _RENEW_MS
        if is_fresh and list(addresses) == self._addresses:
            return False
        key = p256_key(self._entropy(SECRET_BYTES))
        leaf = issue_page(
            self._site.certificate,
            self._site.key,
            key.public_key(),
            self._site.name,
            addresses,
            now_ms,
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # The library reads files only; one in memory works on a full disk, and leaves no key there.
        with os.fdopen(os.memfd_create("page"), "wb") as file:
            file.write(chain_to_pem([leaf]) + pem)
            file.flush()
            self.context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        self._made_ms, self._addresses = now_ms, list(addresses)
        return True
