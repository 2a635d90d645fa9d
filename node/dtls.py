"""DTLS 1.2 between nodes, in memory: the one place that uses pyOpenSSL.

The same node certificates and the same checks as in TLS: OpenSSL checks signatures and the chain,
who it is and whether the certificate is in time is checked after the handshake. The side that
listens shows a key that its node certificate certified (crypto/delegate.py), for OpenSSL takes no
Ed25519 key there.

A flight of the handshake leaves again, as it is, until something comes back: to the other side
that is a packet that the line doubled. OpenSSL's own waits double, which takes minutes where a
fifth of all packets is lost.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto

from crypto.certificates import Subject
from crypto.delegate import check_delegate, make_delegate
from crypto.errors import CertificateError
from crypto.p256 import SECRET_BYTES
from node.folder import NodeFolder
from node.tls import NO_CHECK_TIME, subject_shown
from sync.errors import LinkError
from sync.packets import PACKET_BYTES_MAX

_RECORD_HEAD_BYTES: Final = 13
# Of ChaCha20-Poly1305: the record's head and the tag.
SEAL_BYTES: Final = _RECORD_HEAD_BYTES + 16
# With UDP and IPv4 or IPv6 around it, less than what IPv6 carries everywhere.
DATAGRAM_BYTES_MAX: Final = 1_232
_DTLS_1_2: Final = 0xFEFD
# No suite has less around a packet; every OpenSSL of these years has it.
_CIPHERS: Final = b"ECDHE-ECDSA-CHACHA20-POLY1305"
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_HELLO_BYTES_MIN: Final = _RECORD_HEAD_BYTES + 12
_COOKIE_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_CONTEXT_NAME: Final = b"tiepdan link 1"
_RESUMED_S: Final = 86_400

assert PACKET_BYTES_MAX + SEAL_BYTES <= DATAGRAM_BYTES_MAX


class Secured:
    """One end of one connection: datagrams in, packets out, and back.

    Attributes:
        is_open: the handshake is over, as far as this end knows.
        is_heard: something sealed by the other end came.
        flight: datagrams of the handshake that left last, to leave again as long as nothing comes.
    """

    def __init__(self, connection: SSL.Connection, *, is_dialler: bool) -> None:
        """Wrap a connection that began nothing yet."""
        self._connection = connection
        self._is_dialler = is_dialler
        self.is_open = False
        self.is_heard = False
        self.flight: list[bytes] = []

    def begin(self) -> list[bytes]:
        """Return the first datagrams of the one who dials."""
        self.shake()
        return self.leaving()

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        """Return the packets in a datagram, and the datagrams that answer it.

        Raises:
            LinkError: the other end cannot be trusted, or ended the connection.
        """
        if not datagram:
            # UDP carries it; the library would wait for more.
            return [], []
        self._connection.bio_write(datagram)
        packets: list[bytes] = []
        if not self.is_open:
            self.shake()
        if self.is_open:
            packets = list(self._read())
            self.is_heard = self.is_heard or bool(packets)
        return packets, self.leaving()

    def seal(self, packet: bytes) -> bytes:
        """Return the datagram that carries a packet of at most PACKET_BYTES_MAX bytes."""
        self._connection.send(packet)
        return self._connection.bio_read(DATAGRAM_BYTES_MAX)

    def end(self) -> SSL.Session | None:
        """Return the session, fit to be resumed; nothing is sent.

        OpenSSL forgets the sessions of connections that broke without a farewell.
        """
        if not self.is_open:
            return None
        session = self._connection.get_session()
        try:
            self._connection.shutdown()
        except SSL.Error:
            return None
        return session

    def peer_certificate(self) -> x509.Certificate:
        """Return the node certificate of the other end, which has its key or answers for it.

        Raises:
            CertificateError: there is none.
        """
        if not self._is_dialler:
            shown = self._connection.get_peer_certificate(as_cryptography=True)
            if shown is None:
                raise CertificateError("certificate_missing", "the peer shows no certificate")
            return shown
        chain = self._connection.get_peer_cert_chain(as_cryptography=True) or []
        if len(chain) < 2:
            raise CertificateError("certificate_missing", "the peer shows no node certificate")
        check_delegate(chain[0], chain[1])
        return chain[1]

    def shake(self) -> None:
        """Go on with the handshake as far as it goes.

        Raises:
            LinkError: the other end cannot be trusted.
        """
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            raise _told(error) from error
        self.is_open = True

    def _read(self) -> Iterator[bytes]:
        while True:
            try:
                yield self._connection.recv(DATAGRAM_BYTES_MAX)
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError:
                raise LinkError("link_closed", "the link was closed") from None
            except SSL.Error as error:
                raise _told(error) from error

    def leaving(self) -> list[bytes]:
        """Return what the library wants to send: whole records, in datagrams."""
        data = b""
        while True:
            try:
                data += self._connection.bio_read(1 << 16)
            except SSL.WantReadError:
                break
        found: list[bytes] = []
        while data:
            end = _RECORD_HEAD_BYTES + int.from_bytes(data[11:13], "big")
            # The side that listens reads one ClientHello of a datagram, and one may be an old one.
            is_joined = found and not _is_hello(data[:end])
            if is_joined and len(found[-1]) + end <= DATAGRAM_BYTES_MAX:
                found[-1] += data[:end]
            else:
                found.append(data[:end])
            data = data[end:]
        if found:
            self.flight = found
        return found


class Dialling:
    """What the side that dials keeps from connection to connection.

    Attributes:
        resumes: the session to go on with: certificates then stay at home.
    """

    def __init__(self, folder: NodeFolder) -> None:
        """Dial as the node of a folder."""
        self._context = _context(folder)
        self._context.use_privatekey(folder.key.private_key)
        # The parent has the rest of the chain: it is the parent's own.
        self._context.use_certificate(folder.chain[0])
        store = _store(self._context)
        for certificate in folder.chain[1:]:
            store.add_cert(crypto.X509.from_cryptography(certificate))
        self.resumes: SSL.Session | None = None

    def dial(self) -> Secured:
        """Return the beginning of a connection."""
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        connection.set_ciphertext_mtu(DATAGRAM_BYTES_MAX)
        if self.resumes is not None:
            connection.set_session(self.resumes)
        return Secured(connection, is_dialler=True)


class Listening:
    """What the side that listens keeps: its key of the day, and what makes cookies."""

    def __init__(self, folder: NodeFolder, entropy: Callable[[int], bytes]) -> None:
        """Listen as the node of a folder."""
        self._secret = entropy(_SECRET_BYTES)
        own = folder.chain[0]
        delegate, key = make_delegate(own, folder.key, entropy(SECRET_BYTES))
        context = _context(folder)
        context.use_privatekey(key)
        context.use_certificate(delegate)
        context.add_extra_chain_cert(own)
        store = _store(context)
        for certificate in folder.chain:
            store.add_cert(crypto.X509.from_cryptography(certificate))
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_timeout(_RESUMED_S)
        context.set_cookie_generate_callback(self._cookie)
        context.set_cookie_verify_callback(
            lambda connection, cookie: hmac.compare_digest(cookie, self._cookie(connection))
        )
        self._context = context

    def greet(self, datagram: bytes, address: bytes) -> tuple[Secured | None, list[bytes]]:
        """Return a connection if a stranger has proved its address, and what to send it.

        Nothing is kept of strangers, and less is sent to them than came from them.

        Args:
            datagram: from an address without a connection.
            address: bytes that stand for it.
        """
        if not _is_hello(datagram):
            return None, []
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(address)
        connection.set_accept_state()
        connection.set_ciphertext_mtu(DATAGRAM_BYTES_MAX)
        connection.bio_write(datagram)
        secured = Secured(connection, is_dialler=False)
        try:
            connection.DTLSv1_listen()
        except SSL.WantReadError:
            return None, [_first_record(answer) for answer in secured.leaving()]
        except SSL.Error:
            # Whatever it is, it is no ClientHello; a stranger gets no answer to that.
            return None, []
        secured.shake()
        return secured, secured.leaving()

    def _cookie(self, connection: SSL.Connection) -> bytes:
        address: bytes = connection.get_app_data()
        return hmac.digest(self._secret, address, hashlib.sha256)[:_COOKIE_BYTES]


def judge(secured: Secured, folder: NodeFolder, now_ms: int | None) -> tuple[Subject, list[bytes]]:
    """Return who is at the other end, and the chain that says so, as DER.

    Args:
        secured: after its handshake.
        folder: ours, whose root and chain complete the peer's.
        now_ms: wall clock to judge the certificate by; None judges no times.

    Raises:
        CertificateError: with a code and a hint for the technician.
    """
    return subject_shown(secured.peer_certificate(), folder, now_ms)


def _context(folder: NodeFolder) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_cipher_list(_CIPHERS)
    # Sessions are remembered by the side that listens; in a ticket they would hold certificates.
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_id(_CONTEXT_NAME)
    store = _store(context)
    store.add_cert(crypto.X509.from_cryptography(folder.root))
    store.set_flags(NO_CHECK_TIME)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return context


def _store(context: SSL.Context) -> crypto.X509Store:
    store = context.get_cert_store()
    assert store is not None
    return store


def _is_hello(datagram: bytes) -> bool:
    return (
        len(datagram) >= _HELLO_BYTES_MIN
        and datagram[0] == _HANDSHAKE
        and datagram[_RECORD_HEAD_BYTES] == _CLIENT_HELLO
    )


def _first_record(answer: bytes) -> bytes:
    """Return a HelloVerifyRequest as record 0, whatever number the ClientHello had.

    OpenSSL gives it that number (RFC 6347 section 4.2.1), but counts its flight from 1: a dialler
    whose repeated ClientHellos have numbers of their own would drop the record that comes under
    the same number again, each time that the flight comes.
    """
    return answer[:5] + bytes(6) + answer[11:]


def _told(error: SSL.Error) -> LinkError:
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    why = ", ".join(str(reason[-1]) for reason in reasons) or type(error).__name__
    return LinkError("datagrams_insecure", f"the datagram link is not secure: {why}")
