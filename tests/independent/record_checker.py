"""Checks a record file with nothing of tiepdan: written from docs/PROTOCOL.md and public documents.

It shares no code with the product, so that a rule which only the product knows shows up as a
disagreement. Section numbers are those of docs/PROTOCOL.md. Other sources: RFC 9162 section 2.1.3
for inclusion proofs, RFC 8949 section 4.2.1 for CBOR, RFC 5280 for certificates, C2SP signed-note,
tlog-checkpoint and tlog-cosignature for heads.
"""

import base64
import json
import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import NameOID

from tests.independent.change_reader import PLAIN, SET, Reader, Refused, need, read_change
from tests.independent.document_reader import Entry, read_document

ED25519 = bytes.fromhex("300506032b6570")
OFFICE_KEY = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
SUCCEEDS = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.2")
SUBJECT = [NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER]
STANDARD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
)
PATH_LENGTHS = {"root": 3, "centre": 0, "province": 1, "commune": 0, "outpost": None}
FILE_SIZE_BYTES_MAX = 64 << 20
LEAF_SIZE_BYTES_MAX = 1 << 20
NOTE_LETTERS_MAX, SIGNATURES_MAX = 1 << 19, 64
NUMBER_MAX, SEQ_MAX = 1 << 32, 1 << 53
CLOCK_MAX = (1 << 63) - 1


def check(data: bytes, root_der: bytes) -> dict[str, Any]:
    """Return what the file proves under the root certificate that the reader trusts.

    Raises:
        Refused: it proves nothing.
    """
    try:
        return check_file(data, root_der)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise Refused(f"not readable: {error}") from error
    except x509.ExtensionNotFound as error:
        raise Refused("certificate lacks an extension") from error
    except InvalidSignature as error:
        raise Refused("signature does not hold") from error


def check_file(data: bytes, root_der: bytes) -> dict[str, Any]:
    """Section 6, steps 1, 2 and 6."""
    need(len(data) <= FILE_SIZE_BYTES_MAX, "file is too long")
    file = json.loads(data.decode())
    laid_out = json.dumps(file, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    need(laid_out.encode() == data, "file is not laid out as its values are")
    keys = ("format", "document", "root", "cosigners", "logs")
    form, document, root, cosigners, logs = keyed(file, *keys)
    need(form == "tiepdan-record/1", "format is another one")
    need(str(uuid.UUID(document)) == document, "document id is not in its usual form")
    need(unbase64(root) == root_der, "root is another one")
    trusted = read_place(root_der)
    need((trusted.tier, trusted.code) == ("root", "0"), "root is no root")
    places: dict[str, Place] = {}
    for peer, chain in keyed(cosigners):
        places[peer] = read_chain([unbase64(der) for der in chain], trusted)
        need(places[peer].key.hex() == peer, "cosigner's certificate names another key")
    proved: list[dict[str, Any]] = []
    entries: list[Entry] = []
    for value in logs:
        log = Log(uuid.UUID(document).bytes, trusted, places)
        proved.append(log.read(value))
        entries += log.entries
    seen = {peer for log in proved for peer in log.pop("peers")}
    need(seen == set(places), "chain of a node that cosigned nothing")
    return {"document": document, "logs": proved, **read_document(entries)}


# Forms


def keyed(value: Any, *keys: str) -> list[Any]:
    """Return the values of exactly these keys; without keys, all pairs."""
    need(isinstance(value, dict), "not an object")
    need(not keys or set(value) == set(keys), f"keys are not {sorted(keys)}")
    return [value[key] for key in keys] if keys else list(value.items())


def unbase64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 is not in its one form")
    return data


def number(value: Any, largest: int = NUMBER_MAX) -> int:
    need(type(value) is int and 0 <= value <= largest, "not a number, or out of range")
    return int(value)


def cbor(data: bytes) -> Any:
    """Read what section 3 uses: numbers, byte strings, texts and arrays in their one form."""
    reader = Reader(data)
    item = cbor_item(reader)
    need(not reader.left, "CBOR has bytes left over")
    return item


def cbor_item(reader: Reader) -> Any:
    head = reader.take(1)[0]
    major, count = head >> 5, head & 31
    if count >= 24:
        need(count < 28, "CBOR length is not definite")
        smallest = (24, 1 << 8, 1 << 16, 1 << 32)[count - 24]
        count = int.from_bytes(reader.take(1 << (count - 24)))
        need(count >= smallest, "CBOR number is not in its shortest form")
    if major == 0:
        return count
    if major in (2, 3):
        data = reader.take(count)
        return data if major == 2 else data.decode()
    need(major == 4, "CBOR of a type that leaves do not use")
    return [cbor_item(reader) for _ in range(count)]


# Section 2: certificates


@dataclass(frozen=True)
class Place:
    """A certified node."""

    tier: str
    code: str
    name: str
    key: bytes
    subject: x509.Name
    succeeds: bytes = b""

    def verify(self, signature: bytes, message: bytes) -> None:
        Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)


def der_header(der: bytes) -> tuple[int, int]:
    """Return where the content of a SEQUENCE begins and ends."""
    reader = Reader(der)
    need(reader.take(1) == b"\x30", "not a SEQUENCE")
    size = reader.take(1)[0]
    if size >= 0x80:
        digits = reader.take(size & 0x7F)
        size = int.from_bytes(digits)
        need(digits[:1] > b"\0" and size >= 0x80, "DER length is not in its shortest form")
    return reader.at, reader.at + size


def der_split(der: bytes) -> tuple[bytes, bytes]:
    """Return the signed part and the signature; nothing else may vary."""
    begin, end = der_header(der)
    need(end == len(der), "certificate is not exactly one SEQUENCE")
    signed = der[begin : begin + der_header(der[begin:])[1]]
    fixed = der[:begin] + signed + ED25519 + b"\x03\x41\x00"
    need(len(der) == len(fixed) + 64 and der.startswith(fixed), "not signed with Ed25519")
    return signed, der[-64:]


def read_place(der: bytes) -> Place:
    """Read a certificate that is trusted, or whose signature holds."""
    certificate = x509.load_der_x509_certificate(der)
    need(certificate.version is x509.Version.v3, "certificate is not of version 3")
    extensions = certificate.extensions
    names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    need(len(names) == 1 and isinstance(names[0], x509.UniformResourceIdentifier), "not one URI")
    scheme, tier, code = names[0].value.split(":")
    subject = {item.oid: str(item.value) for item in certificate.subject}
    need([item.oid for item in certificate.subject] == SUBJECT, "subject has another form")
    need(len(certificate.subject.rdns) == len(SUBJECT), "subject has attributes in one set")
    name, common, serial = subject.values()
    need(1 <= len(name) <= 64 and not any(map(is_hidden, name)), "name of a place")
    said = (scheme, common, serial)
    need(said == ("tiepdan", f"tiepdan {tier} {code}", code), "subject contradicts the URI")
    limits = extensions.get_extension_for_class(x509.BasicConstraints).value
    is_authority = tier != "outpost"
    allowed_length = is_authority, PATH_LENGTHS.get(tier)
    need((limits.ca, limits.path_length) == allowed_length, "constraints")
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    others = (is_authority, is_authority, False, False)
    allowed = x509.KeyUsage(True, False, False, False, False, *others)
    need(usage == allowed, "key usage is not that of a node")
    office = extensions.get_extension_for_oid(OFFICE_KEY)
    held = getattr(office.value, "value", b"")
    need(not office.critical and held[:2] == b"\x04\x20" and len(held) == 34, "office key")
    known = all(isinstance(each.value, STANDARD) for each in extensions if each.critical)
    need(known, "extension that is critical and unknown")
    key = certificate.public_key()
    need(isinstance(key, Ed25519PublicKey), "key is not Ed25519")
    public = getattr(key, "public_bytes_raw", bytes)()
    succeeds = b""
    for each in extensions:
        if each.oid == SUCCEEDS:
            succeeds = getattr(each.value, "value", b"")[2:]
            is_good = not each.critical and each.value.value[:2] == b"\x04\x20"
            need(is_good and len(succeeds) == 32 and tier == "commune", "successor of a key")
    return Place(tier, code, name, public, certificate.subject, succeeds)


def is_hidden(letter: str) -> bool:
    """Tell whether a letter shows nothing (Unicode general categories C and Z), a space apart."""
    return letter != " " and unicodedata.category(letter)[0] in "CZ"


def may_issue(issuer: Place, place: Place) -> bool:
    forms = {
        ("root", "centre"): "0",
        ("root", "province"): "(?!0$)[0-9]{1,2}",
        ("province", "commune"): re.escape(issuer.code) + r"\.[0-9]{1,5}",
        ("commune", "outpost"): re.escape(issuer.code) + r"\.[1-9][0-9]?",
    }
    form = forms.get((issuer.tier, place.tier))
    return form is not None and re.fullmatch(form, place.code) is not None


def read_chain(chain: list[bytes], root: Place) -> Place:
    """Return the node of the first certificate; the chain is read from the root down."""
    need(1 <= len(chain) <= 4, "chain has not one to four certificates")
    place = root
    for der in reversed(chain):
        signed, signature = der_split(der)
        place.verify(signature, signed)
        issuer, place = place, read_place(der)
        need(may_issue(issuer, place), f"{issuer.tier} {issuer.code} may not issue {place.code}")
        named = x509.load_der_x509_certificate(der).issuer
        need(named == issuer.subject, "certificate names another issuer")
    return place


# Section 4: tree heads and proofs


def key_id(place: Place, kind: int) -> tuple[str, bytes]:
    """Return the key name of a note and the key id."""
    name = f"tiepdan/{place.code}"
    return name, sha256(name.encode() + b"\n" + bytes([kind]) + place.key).digest()[:4]


def root_of(leaf: bytes, seq: int, size: int, proof: list[bytes]) -> bytes:
    """Return the root that a proof leads to (RFC 9162 section 2.1.3.2)."""
    need(seq < size, "leaf is not under the head")
    index, last = seq, size - 1
    node = sha256(b"\x00" + leaf).digest()
    for step in proof:
        need(last and len(step) == 32, "proof is too long, or not of hashes")
        is_right = index % 2 == 1 or index == last
        node = sha256(b"\x01" + (step + node if is_right else node + step)).digest()
        while is_right and index and not index % 2:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    need(last == 0, "proof is too short")
    return node


@dataclass(frozen=True)
class Head:
    """A tree head that its owner signed; for each cosigning peer the seconds."""

    size: int
    root: bytes
    cosigned: dict[str, int]


def read_note(note: str, origin: str, owner: Place, cosigners: dict[str, Place]) -> Head:
    """Check the tree head, its owner's signature and every cosignature."""
    form = r"([^\n]+\n(?:0|[1-9][0-9]*)\n[^\n]+\n)\n((?:— [^ \n]+ [^ \n]+\n)+)"
    found = re.fullmatch(form, note)
    need(found, "note is not a signed tree head")
    text, tail = found.groups() if found else ("", "")
    first, size, root = text.splitlines()
    need(first == origin, "note is about another log")
    need(len(unbase64(root)) == 32, "root hash has a wrong length")
    lines = [line.split(" ")[1:] for line in tail.splitlines()]
    need(len(note) <= NOTE_LETTERS_MAX and len(lines) <= SIGNATURES_MAX, "note is too long")
    signatures = [(name, unbase64(value)[:4], unbase64(value)[4:]) for name, value in lines]
    name, short, signature = signatures[0]
    need((name, short) == key_id(owner, 1), "first signature is not the owner's")
    owner.verify(signature, text.encode())
    cosigned: dict[str, int] = {}
    for name, short, signature in signatures[1:]:
        peers = [peer for peer, at in cosigners.items() if (name, short) == key_id(at, 4)]
        need(peers and peers[0] not in cosigned, "cosignature of an unknown node, or a second one")
        seconds = number(int.from_bytes(signature[:8]), CLOCK_MAX)
        message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
        cosigners[peers[0]].verify(signature[8:], message)
        cosigned[peers[0]] = seconds
    return Head(number(int(size), CLOCK_MAX), unbase64(root), cosigned)


# Sections 3 and 6: leaves and logs


@dataclass(frozen=True)
class Writer:
    """Who a writer leaf declares."""

    node: bytes
    device: bytes
    epoch: int
    chosen: bytes = b""

    def actor(self, document: bytes) -> bytes:
        if self.chosen:
            return self.chosen
        whole = self.node + self.device + self.epoch.to_bytes(8) + document
        return sha256(b"tiepdan actor v1\n" + whole).digest()[:16]


def read_leaf(data: bytes) -> tuple[int, int, bytes, int, bytes]:
    need(len(data) <= LEAF_SIZE_BYTES_MAX, "leaf is too long")
    kind, writer, document, hlc, body = cbor(data)
    need(kind in (0, 1, 2), "leaf of an unknown type")
    need(isinstance(document, bytes) and isinstance(body, bytes), "leaf is misshapen")
    need(len(document) == (16 if kind == 0 else 0), "document of a leaf has a wrong length")
    need((number(writer) == 0) == (kind == 2), "writer of a leaf")
    return kind, writer, document, number(hlc, CLOCK_MAX), body


class Log:
    """Reads one log of the file, leaf by leaf."""

    def __init__(self, document: bytes, root: Place, cosigners: dict[str, Place]) -> None:
        self.document, self.root, self.cosigners = document, root, cosigners
        self.writers: dict[int, Writer] = {}
        self.used: set[int] = set()
        self.entries: list[Entry] = []

    def read(self, value: Any) -> dict[str, Any]:
        """Section 6, steps 3, 4, 5 and 7."""
        keys = ("owner", "purpose", "epoch", "note", "leaves")
        owner, purpose, epoch, note, values = keyed(value, *keys)
        need(re.fullmatch(r"up|down/[0-9a-f]{64}", purpose), "purpose has another form")
        self.is_up = purpose == "up"
        rows = [keyed(each, "seq", "leaf", "proof", "reads") for each in values]
        seqs = [number(seq, SEQ_MAX) for seq, *_ in rows]
        need(seqs[:1] == [0] and seqs == sorted(set(seqs)), "leaves do not rise from 0")
        self.owner = read_chain(cbor(read_leaf(unbase64(rows[0][1]))[4]), self.root)
        need(self.owner.key.hex() == owner, "leaf 0 names another owner")
        need(self.is_up or self.owner.tier != "outpost", "log down from an outpost")
        whole = b"tiepdan log v1\n" + self.owner.key + purpose.encode() + b"\x00"
        log_id = sha256(whole + number(epoch).to_bytes(8)).digest()[:16]
        origin = f"tiepdan/{self.owner.code}/{log_id.hex()}"
        head = read_note(note, origin, self.owner, self.cosigners)
        for seq, leaf, proof, reads in rows:
            data, steps = unbase64(leaf), [unbase64(step) for step in proof]
            need(root_of(data, seq, head.size, steps) == head.root, "proof leads to another root")
            items = read_leaf(data)
            need((items[0] == 2) == (seq == 0), "leaf does not belong here")
            said = self.take(*items)
            need(json.dumps(reads) == json.dumps(said), "reads says something else")
        need(self.entries and self.used == set(self.writers), "writer without changes")
        what = {"purpose": "up" if self.is_up else "down", "size": head.size}
        cosigned = [(self.cosigners[peer].code, at) for peer, at in head.cosigned.items()]
        return {"code": self.owner.code, **what, "cosigned": cosigned, "peers": head.cosigned}

    def take(self, kind: int, writer: int, document: bytes, hlc: int, body: bytes) -> Any:
        """Take a leaf in and return its `reads`, keys sorted."""
        if kind == 2:
            return {"code": self.owner.code, "node": self.owner.name, "tier": self.owner.tier}
        if kind == 1:
            return self.take_writer(writer, *cbor(body))
        need(document == self.document, "change is of another document")
        need(writer in self.writers, "change of a writer that is not declared yet")
        self.used.add(writer)
        change = read_change(body)
        need(change.actor == self.writers[writer].actor(document), "actor is somebody else's")
        self.entries.append(Entry(change, self.writers[writer].device, hlc))
        sets = [each for each in change.operations if each.action == SET and each.kind in PLAIN]
        values = {each.key: each.value for each in sets if each.target and each.key is not None}
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=hlc >> 16)
        return {"at": time.isoformat(), "values": dict(sorted(values.items())), "writer": writer}

    def take_writer(
        self, writer: int, node: Any, device: Any, epoch: int, *more: Any
    ) -> dict[str, Any]:
        texts, chosen = more[:5], [*more[5:]]
        need(len(chosen) < 2, "items of a writer")
        need(all(isinstance(each, bytes) and 16 <= len(each) <= 32 for each in chosen), "actor")
        need(writer not in self.writers, "writer is declared twice")
        need(isinstance(node, bytes) and len(node) == 32, "node of a writer")
        need(isinstance(device, bytes) and len(device) == 16, "device of a writer")
        need(all(isinstance(each, str) and len(each) <= 200 for each in texts), "texts of a writer")
        tier, code, _, name, role = texts
        own = (self.owner.key, self.owner.tier, self.owner.code)
        need(not self.is_up or (node, tier, code) == own, "writer is of another node")
        self.writers[writer] = Writer(node, device, number(epoch), b"".join(chosen))
        return {"name": name, "role": role, "writer": writer}
