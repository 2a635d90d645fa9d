"""TLS 1.3 between nodes: both sides show their node certificate, both check it against the root.

The library checks signatures and the chain; who it is and whether the certificate is in time is
checked here, after the handshake, where a clear sentence can be given to both sides. A commune
whose clock was reset must still be able to call: it may not judge times by that clock.
"""

import ssl
import tempfile
from pathlib import Path

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
_NO_CHECK_TIME = 0x200000


def server_context(folder: NodeFolder) -> ssl.SSLContext:
    """Return the context for the side that children dial."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return _prepared(context, folder)


def client_context(folder: NodeFolder) -> ssl.SSLContext:
    """Return the context for dialling the parent; names are not host names here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _prepared(context, folder)


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
    chain = chain_from_der([der])
    certificate = chain[0]
    if certificate.issuer != folder.root.subject:
        chain += folder.chain
    return verify_chain(chain, folder.root, now_ms), chain_to_der(chain)


def _prepared(context: ssl.SSLContext, folder: NodeFolder) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
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
