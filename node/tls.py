"""TLS 1.3 between nodes: both sides show their node certificate, both check it against the root.

The library checks signatures and the chain; who it is and whether the certificate is in time is
checked here, after the handshake, where a clear sentence can be given to both sides. A commune
whose clock was reset must still be able to call: it may not judge times by that clock.
"""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from crypto.certificates import (
    Subject,
    chain_from_der,
    chain_to_der,
    chain_to_pem,
    verify_chain,
)
from crypto.errors import CertificateError
from node.folder import NodeFolder

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL; Python names no constant for it.
NO_CHECK_TIME: Final = 0x200000
_BBR: Final = "bbr"
# TCP_RTO_MAX_MS of Linux 6.15; Python names no constant for it.
_RTO_MAX_MS_OPTION: Final = 44
# Where a fifth of all packets is lost, a packet is now and then lost five times in a row: doubling
# the wait each time makes a minute of that, and the line is idle meanwhile. Longer than most lines'
# round trip, so that little is sent again in vain.
_RTO_MAX_MS: Final = 2_000
# What a program may choose without being root.
_ALLOWED: Final = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


class DialContext(ssl.SSLContext):
    """A client's context that resumes its last session: certificates then stay at home.

    Attributes:
        resumes: the session to go on with; None for a whole handshake. A server that does not know
            it any more asks for a whole one by itself.
    """

    resumes: ssl.SSLSession | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return a connection in memory, as asyncio asks for one."""
        resumed = session or self.resumes
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, resumed)


class ListenContext(ssl.SSLContext):
    """The context of the side that children dial.

    Attributes:
        admits_strangers: asked at each connection whether one without a certificate may go on. A
            certificate that is shown must be good in any case.
    """

    admits_strangers: Callable[[], bool] = staticmethod(lambda: False)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return a connection in memory, as asyncio asks for one."""
        is_open = self.admits_strangers()
        self.verify_mode = ssl.CERT_OPTIONAL if is_open else ssl.CERT_REQUIRED
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def show(self, folder: NodeFolder) -> None:
        """Show the folder's present certificate from the next connection on."""
        _load_own(self, folder)


def server_context(folder: NodeFolder) -> ListenContext:
    """Return the context for the side that children dial."""
    context = ListenContext(ssl.PROTOCOL_TLS_SERVER)
    # Sessions are remembered here and named to the child; in a ticket they would hold certificates.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 1
    _prepared(context, folder)
    return context


def client_context(folder: NodeFolder) -> DialContext:
    """Return the context for dialling the parent; names are not host names here."""
    context = DialContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _prepared(context, folder)
    return context


def plain_client_context(folder: NodeFolder) -> ssl.SSLContext:
    """Return the context for asking the parent one thing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _prepared(context, folder)


def keep_resumable(connection: ssl.SSLObject | None) -> ssl.SSLSession | None:
    """Return the session of a connection that is over, fit to be resumed.

    OpenSSL forgets the sessions of connections that broke without a farewell, which is how ours
    end. A farewell that nobody hears is enough for it.
    """
    if connection is None:
        return None
    session = connection.session
    with suppress(ssl.SSLError):
        connection.unwrap()
    return session


def bear_loss(transport: asyncio.BaseTransport | None) -> None:
    """Let TCP take losses for the line's nature, as far as the kernel can.

    It measures the line instead of taking each loss for congestion, and tries again soon what was
    lost several times.
    """
    connection = transport.get_extra_info("socket") if transport else None
    if connection is None:
        return
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, _RTO_MAX_MS_OPTION, _RTO_MAX_MS)
    if _BBR in _congestion_controls():
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _BBR.encode())


@cache
def _congestion_controls() -> frozenset[str]:
    try:
        return frozenset(_ALLOWED.read_text().split())
    except OSError:
        return frozenset()


def peer_subject(
    connection: ssl.SSLObject | ssl.SSLSocket | None, folder: NodeFolder, now_ms: int | None
) -> tuple[Subject, list[bytes]]:
    """Return who is at the other end, and the chain that says so, as DER.

    Args:
        connection: after its handshake; None when it was not secured, or is gone already.
        folder: ours, whose root and chain complete the peer's.
        now_ms: wall clock to judge the certificate by; None judges no times.

    Raises:
        CertificateError: with a code and a hint for the technician.
    """
    der = connection.getpeercert(binary_form=True) if connection else None
    if der is None:
        raise CertificateError("certificate_missing", "the peer shows no certificate")
    return subject_shown(chain_from_der([der])[0], folder, now_ms)


def subject_shown(
    certificate: x509.Certificate, folder: NodeFolder, now_ms: int | None
) -> tuple[Subject, list[bytes]]:
    """Return whom a peer's node certificate speaks of, and the chain that says so, as DER.

    Args:
        certificate: the peer has its key.
        folder: ours, whose root and chain complete the peer's.
        now_ms: wall clock to judge the certificate by; None judges no times.

    Raises:
        CertificateError: with a code and a hint for the technician.
    """
    chain = [certificate]
    if certificate.issuer != folder.root.subject:
        # Of a child all of ours; of a parent what stands above both.
        above = (each.subject == certificate.issuer for each in folder.chain)
        chain += folder.chain[next((at for at, fits in enumerate(above) if fits), 0) :]
    return verify_chain(chain, folder.root, now_ms), chain_to_der(chain)


def _prepared(context: ssl.SSLContext, folder: NodeFolder) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    context.load_verify_locations(cadata=chain_to_pem([folder.root]).decode())
    _load_own(context, folder)
    return context


def _load_own(context: ssl.SSLContext, folder: NodeFolder) -> None:
    """Give the library our key; it reads files only, so it gets one that lives for a moment."""
    key = folder.key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.NamedTemporaryFile(dir=folder.path, prefix=".tls-", suffix=".pem") as file:
        file.write(chain_to_pem(folder.chain) + key)
        file.flush()
        context.load_cert_chain(Path(file.name))
