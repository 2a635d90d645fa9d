"""Checks a record file with nothing of tiepdan: written from docs/PROTOCOL.md and public documents.

It shares no code with the product, so that a rule which only the product knows shows up as a
disagreement. The section numbers are those of docs/PROTOCOL.md. Other sources: RFC 9162 2.1.3 for
inclusion proofs, RFC 8949 4.2.1 for CBOR, C2SP signed-note, tlog-checkpoint and tlog-cosignature,
and the Automerge binary format 1.0 for changes.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ALGORITHM = bytes.fromhex("300506032b6570")
OFFICE_KEY = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
MAGIC = bytes.fromhex("856f4a83")
LEAF_SIZE_BYTES_MAX = 1 << 20
OPERATIONS_MAX = 1 << 21
FIELDS_MAKE_MAP, SET, MAKE_TEXT, DELETE = 0, 1, 4, 3
TEXT_VALUE = 6
PLAIN_VALUES = (1, 2, 3, 4, TEXT_VALUE)

Id = tuple[int, bytes]


class Refused(Exception):
    """The file proves nothing."""


def need(truth: object, reason: str) -> None:
    if not truth:
        raise Refused(reason)


class Reader:
    """Takes bytes from the front; running out of them is a refusal."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def is_done(self) -> bool:
        return self.at == len(self.data)

    def take(self, size_bytes: int) -> bytes:
        part = self.data[self.at : self.at + size_bytes]
        need(len(part) == size_bytes, "bytes are missing")
        self.at += size_bytes
        return part

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def uleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                need(byte or shift == 7, "number is not in its shortest form")
                return value
            need(shift < 64, "number is too large")

    def sleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - (1 << shift) if byte & 0x40 else value
            need(shift < 64, "number is too large")


def cbor(data: bytes) -> Any:
    reader = Reader(data)
    item = cbor_item(reader)
    need(reader.is_done, "CBOR has bytes left over")
    return item


def cbor_item(reader: Reader) -> Any:
    """Only what section 3 uses: numbers, byte strings, texts and arrays, in their one form."""
    head = reader.take(1)[0]
    major, number = head >> 5, head & 31
    if number >= 24:
        need(number < 28, "CBOR length is not definite")
        smallest = (24, 1 << 8, 1 << 16, 1 << 32)[number - 24]
        number = int.from_bytes(reader.take(1 << (number - 24)))
        need(number >= smallest, "CBOR number is not in its shortest form")
    if major == 0:
        return number
    if major == 2:
        return reader.take(number)
    if major == 3:
        return reader.take(number).decode()
    need(major == 4, "CBOR type that leaves do not use")
    return [cbor_item(reader) for _ in range(number)]


def unbase64(text: object) -> bytes:
    need(isinstance(text, str), "base64 is not a text")
    data = base64.b64decode(str(text), validate=True)
    need(base64.b64encode(data).decode() == text, "base64 is not in its one form")
    return data


def unhex(text: object, size_bytes: int) -> bytes:
    need(isinstance(text, str) and re.fullmatch(r"[0-9a-f]*", text), "not hexadecimal")
    data = bytes.fromhex(str(text))
    need(len(data) == size_bytes, "identifier has a wrong length")
    return data


def keyed(value: object, *keys: str) -> list[Any]:
    need(isinstance(value, dict) and set(value) == set(keys), f"keys are not {sorted(keys)}")
    assert isinstance(value, dict)
    return [value[key] for key in keys]


def listed(value: object) -> list[Any]:
    need(isinstance(value, list), "not an array")
    assert isinstance(value, list)
    return value


def number(value: object) -> int:
    need(type(value) is int and 0 <= value < 1 << 63, "not a number")
    assert isinstance(value, int)
    return value


# Section 2: certificates


@dataclass(frozen=True)
class Place:
    """A certified node: what its certificate says, and the certificate's own subject."""

    tier: str
    code: str
    name: str
    key: bytes
    subject: x509.Name

    def verify(self, signature: bytes, message: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except InvalidSignature as error:
            raise Refused(f"signature of {self.code} does not hold") from error


def der_split(der: bytes) -> tuple[bytes, bytes]:
    """Return the signed part and the signature; nothing else may vary."""
    outer, start = der_open(der)
    need(start + outer == len(der), "certificate is not exactly one SEQUENCE")
    size, inner = der_open(der[start:])
    signed, tail = der[start : start + inner + size], der[start + inner + size :]
    fixed = ALGORITHM + b"\x03\x41\x00"
    need(len(tail) == len(fixed) + 64 and tail.startswith(fixed), "not Ed25519 over a certificate")
    return signed, tail[-64:]


def der_open(der: bytes) -> tuple[int, int]:
    """Return the length of a SEQUENCE's content and where it begins."""
    reader = Reader(der)
    need(reader.take(1) == b"\x30", "not a SEQUENCE")
    size = reader.take(1)[0]
    if size >= 0x80:
        digits = reader.take(size & 0x7F)
        size = int.from_bytes(digits)
        need(digits and digits[0] and size >= 0x80, "DER length is not in its shortest form")
    return size, reader.at


def read_place(der: bytes) -> Place:
    """Read a certificate whose signature somebody else has checked."""
    certificate = x509.load_der_x509_certificate(der)
    need(certificate.version is x509.Version.v3, "certificate is not of version 3")
    extensions = certificate.extensions
    names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    need(len(names) == 1 and isinstance(names[0], x509.UniformResourceIdentifier), "not one URI")
    parts = names[0].value.split(":")
    need(len(parts) == 3 and parts[0] == "tiepdan", "URI is not tiepdan:<tier>:<code>")
    tier, code = parts[1:]
    said = {item.oid: item.value for item in certificate.subject}
    need(said.get(NameOID.COMMON_NAME) == f"tiepdan {tier} {code}", "common name is not the URI")
    need(said.get(NameOID.SERIAL_NUMBER) == code, "serial number attribute is not the code")
    need(len(said) == len(list(certificate.subject)) == 3, "subject has other attributes")
    need(extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "not a CA")
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    need(usage.digital_signature and usage.key_cert_sign and usage.crl_sign, "key usage")
    if tier != "root":
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        need(purposes == both, "extended key usage")
    office = extensions.get_extension_for_oid(OFFICE_KEY)
    assert isinstance(office.value, x509.UnrecognizedExtension)
    shaped = office.value.value[:2] == b"\x04\x20" and len(office.value.value) == 34
    need(shaped and not office.critical, "office key")
    key = certificate.public_key()
    need(isinstance(key, Ed25519PublicKey), "key is not Ed25519")
    assert isinstance(key, Ed25519PublicKey)
    name = str(said[NameOID.ORGANIZATION_NAME])
    return Place(tier, code, name, key.public_bytes_raw(), certificate.subject)


def may_issue(issuer: Place, place: Place) -> bool:
    if (issuer.tier, place.tier) == ("root", "centre"):
        return place.code == "0"
    if (issuer.tier, place.tier) == ("root", "province"):
        return re.fullmatch(r"[0-9]{1,2}", place.code) is not None
    below = re.escape(issuer.code) + r"\.[0-9]{1,5}"
    is_pair = (issuer.tier, place.tier) == ("province", "commune")
    return is_pair and re.fullmatch(below, place.code) is not None


def read_chain(chain: list[bytes], root: Place) -> Place:
    """Return the first certificate's node; the chain is read from the root down."""
    need(1 <= len(chain) <= 4, "chain has not one to four certificates")
    issuer = root
    for der in reversed(chain):
        signed, signature = der_split(der)
        issuer.verify(signature, signed)
        place = read_place(der)
        named = x509.load_der_x509_certificate(der).issuer
        need(named == issuer.subject, "certificate names another issuer")
        need(may_issue(issuer, place), f"{issuer.tier} {issuer.code} may not issue {place.code}")
        issuer = place
    return issuer


# Section 4: tree heads and proofs


def key_id(code: str, kind: int, key: bytes) -> bytes:
    return sha256(f"tiepdan/{code}\n".encode() + bytes([kind]) + key).digest()[:4]


def root_of(leaf: bytes, seq: int, size: int, proof: list[bytes]) -> bytes:
    """Return the root that a proof leads to (RFC 9162 section 2.1.3.2)."""
    need(seq < size, "leaf is not under the head")
    index, last = seq, size - 1
    node = sha256(b"\x00" + leaf).digest()
    for step in proof:
        need(last and len(step) == 32, "proof is too long or not of hashes")
        if index % 2 or index == last:
            node = sha256(b"\x01" + step + node).digest()
            while not index % 2 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + step).digest()
        index, last = index >> 1, last >> 1
    need(last == 0, "proof is too short")
    return node


@dataclass(frozen=True)
class Head:
    size: int
    root: bytes
    seconds: dict[str, int]


def read_note(note: object, origin: str, owner: Place, cosigners: dict[str, Place]) -> Head:
    """Check the tree head, its owner's signature and every cosignature."""
    need(isinstance(note, str), "note is not a text")
    form = r"([^\n]+\n(?:0|[1-9][0-9]*)\n[^\n]+\n)\n((?:— [^ \n]+ [^ \n]+\n)+)"
    found = re.fullmatch(form, str(note))
    need(found, "note is not a signed tree head")
    assert found
    text, lines = found[1], [line.split(" ")[1:] for line in found[2].splitlines()]
    first, size, root = text.splitlines()
    need(first == origin, "note is about another log")
    need(len(unbase64(root)) == 32, "root hash has a wrong length")
    name, signature = lines[0][0], unbase64(lines[0][1])
    need(name == f"tiepdan/{owner.code}", "first signature is not by the owner's name")
    need(signature[:4] == key_id(owner.code, 1, owner.key), "first signature is not the owner's")
    owner.verify(signature[4:], text.encode())
    seconds: dict[str, int] = {}
    for name, line in lines[1:]:
        signature = unbase64(line)
        peer, place = signer(name, signature[:4], cosigners)
        need(len(signature) == 76 and peer not in seconds, "cosignature is misshapen or twice")
        seconds[peer] = number(int.from_bytes(signature[4:12]))
        message = f"cosignature/v1\ntime {seconds[peer]}\n{text}".encode()
        place.verify(signature[12:], message)
    return Head(number(int(size)), unbase64(root), seconds)


def signer(name: str, short: bytes, cosigners: dict[str, Place]) -> tuple[str, Place]:
    for peer, place in cosigners.items():
        if name == f"tiepdan/{place.code}" and short == key_id(place.code, 4, place.key):
            return peer, place
    raise Refused("cosignature of an unknown node")
