"""Enrols and renews as a program that is not ours: section 15 of docs/PROTOCOL.md alone."""

import hmac
import http.client
import json
import ssl
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.independent.enrolment import Office
from tests.independent.record_checker import read_chain, read_place

SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Line:
    """What a token says."""

    code: str
    address: str
    pin: bytes
    secret: bytes

    @property
    def name(self) -> bytes:
        return sha256(b"tiepdan enrol name v1\n" + self.secret).digest()[:8]

    @property
    def key(self) -> bytes:
        return sha256(b"tiepdan enrol key v1\n" + self.secret).digest()


def read_line(text: str) -> Line:
    head, _, signs = text.strip().rpartition("/")
    code, _, address = head.partition("@")
    plain = signs.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    assert len(plain) == 40
    bits = "".join(f"{SIGNS.index(sign):05b}" for sign in plain)
    before, check = int(bits[:180], 2), int(bits[180:], 2)
    told = f"tiepdan token v1\n{code}\n{address.lower()}\n{before:x}".encode()
    assert int.from_bytes(sha256(told).digest()[:3]) >> 4 == check
    known = int(bits[:160], 2).to_bytes(20)
    return Line(code, address, known[:10], known[10:])


def enrol(office: Office, line: Line) -> None:
    """Ask the province that a token names for a certificate, and take the answer.

    Raises:
        AssertionError: it is not the one, or its answer is not good.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection, shown = connect(line.address, context)
    assert pin(shown) == line.pin
    request = office.request()
    der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
    proof = mac(line.key, b"tiepdan enrol request v1\n", sha256(shown).digest(), digest(der))
    body = {"token": line.name.hex(), "request": request.decode(), "proof": proof.hex()}
    said = post(connection, "/enrol/1", body)
    pem = said["certificates"].encode()
    ders = [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem)]
    answered = mac(line.key, b"tiepdan enrol answer v1\n", proof, *map(digest, ders))
    assert hmac.compare_digest(answered.hex(), said["proof"])
    own = read_chain(ders[:-1], read_place(ders[-1]))
    assert own.key == office.key.public_key().public_bytes_raw()
    assert pin(ders[1]) == line.pin
    office.enrol(pem)


def renew(office: Office, address: str) -> x509.Certificate:
    """Have the certificate renewed, and return the new one."""
    connection, _ = connect(address, office.context)
    said = post(connection, "/renew/1", {"request": office.request().decode()})
    office.enrol(said["certificates"].encode())
    return x509.load_pem_x509_certificates(said["certificates"].encode())[0]


def connect(address: str, context: ssl.SSLContext) -> tuple[http.client.HTTPSConnection, bytes]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
    connection.connect()
    assert isinstance(connection.sock, ssl.SSLSocket)
    return connection, connection.sock.getpeercert(binary_form=True) or b""


def post(connection: http.client.HTTPSConnection, path: str, body: dict[str, str]) -> Any:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, said
    return said


def pin(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    return sha256(b"tiepdan enrol pin v1\n" + key.public_bytes_raw()).digest()[:10]  # type: ignore[union-attr]


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")


def digest(data: bytes) -> bytes:
    return sha256(data).digest()
