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
MAKE_MAP, SET, DELETE, MAKE_TEXT = 0, 1, 3, 4
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


# Section 5: changes and documents


@dataclass(frozen=True)
class Operation:
    id: Id
    target: Id | None
    key: str | None
    action: int
    kind: int
    value: str | int | bool | None
    replaces: list[Id]


@dataclass(frozen=True)
class Change:
    hash: bytes
    deps: list[bytes]
    actor: bytes
    seq: int
    operations: list[Operation]


def read_change(chunk: bytes) -> Change:
    """Read an Automerge change chunk that is not compressed."""
    reader = Reader(chunk)
    need(reader.take(4) == MAGIC, "not an Automerge chunk")
    digest = sha256(chunk[8:]).digest()
    need(reader.take(4) == digest[:4], "checksum of a change is wrong")
    need(reader.take(1) == b"\x01", "chunk is not a change")
    need(reader.uleb() == len(reader.data) - reader.at, "chunk has another length")
    deps = [reader.take(32) for _ in range(reader.uleb())]
    actor = reader.take(reader.uleb())
    seq, start = reader.uleb(), reader.uleb()
    reader.sleb()  # the time, which the clock reading of the leaf stands for
    reader.take(reader.uleb()).decode()
    actors = [actor] + [reader.take(reader.uleb()) for _ in range(reader.uleb())]
    sizes = [(reader.uleb(), reader.uleb()) for _ in range(reader.uleb())]
    columns = {spec: reader.take(size) for spec, size in sizes}
    return Change(digest, deps, actor, seq, list(read_operations(columns, actors, start)))


def runs(data: bytes, read: Callable[[Reader], Any]) -> list[Any]:
    reader, values = Reader(data), list[Any]()
    while not reader.is_done:
        count = reader.sleb()
        size = abs(count) or reader.uleb()
        need(len(values) + size <= OPERATIONS_MAX, "too many operations")
        if count < 0:
            values += [read(reader) for _ in range(size)]
        else:
            values += [read(reader) if count else None] * size
    return values


def deltas(data: bytes) -> list[int | None]:
    total, values = 0, list[int | None]()
    for step in runs(data, Reader.sleb):
        total += step or 0
        values.append(None if step is None else total)
    return values


def read_text(reader: Reader) -> str:
    return reader.take(reader.uleb()).decode()


def read_value(meta: int, raw: Reader) -> str | int | bool | None:
    part = Reader(raw.take(meta >> 4))
    kind = meta & 15
    if kind in (1, 2):
        return kind == 2
    if kind in (3, 4):
        return part.uleb() if kind == 3 else part.sleb()
    return part.rest().decode() if kind == TEXT_VALUE else None


def read_operations(
    columns: dict[int, bytes], actors: list[bytes], start: int
) -> Iterator[Operation]:
    def column(spec: int, read: Callable[[Reader], Any] = Reader.uleb) -> list[Any]:
        values = runs(columns.get(spec, b""), read)
        return values + [None] * (len(actions) - len(values))

    actions: list[int] = runs(columns.get(0x42, b""), Reader.uleb)
    targets = zip(column(0x01), column(0x02), strict=True)
    pred_ids = zip(runs(columns.get(0x71, b""), Reader.uleb), deltas(columns.get(0x73, b"")))
    raw = Reader(columns.get(0x57, b""))
    rows = zip(actions, targets, column(0x15, read_text), column(0x56), column(0x70), strict=True)
    for index, (action, (actor, counter), key, meta, count) in enumerate(rows):
        yield Operation(
            id=(start + index, actors[0]),
            target=None if actor is None else (counter, actors[actor]),
            key=key,
            action=action,
            kind=(meta or 0) & 15,
            value=read_value(meta or 0, raw),
            replaces=[(c or 0, actors[a]) for _, (a, c) in zip(range(count or 0), pred_ids)],
        )


@dataclass(frozen=True)
class Writer:
    node: bytes
    device: bytes
    epoch: int


@dataclass(frozen=True)
class Entry:
    """One change leaf of the file, read."""

    change: Change
    writer: Writer
    hlc: int


def read_document(entries: list[Entry]) -> dict[str, Any]:
    """Apply all changes; return the kind, and for each field its values, the shown one first."""
    changes = {entry.change.hash: entry for entry in entries}
    need(all(dep in changes for entry in entries for dep in entry.change.deps), "change is missing")
    seqs: dict[bytes, list[int]] = {}
    for entry in changes.values():
        seqs.setdefault(entry.change.actor, []).append(entry.change.seq)
    gapless = all(sorted(each) == list(range(1, len(each) + 1)) for each in seqs.values())
    need(gapless, "an actor's changes are not consecutive")
    starts = [entry.change for entry in changes.values() if not entry.change.deps]
    need(len(starts) == 1, "document has not one start")
    kind, objects = read_start(starts[0])
    fields: dict[str, dict[Id, Any]] = {}
    replaced: set[Id] = set()
    for entry in changes.values():
        for operation in entry.change.operations:
            is_start = entry.change is starts[0] and operation.action in (MAKE_MAP, MAKE_TEXT)
            if is_start or (entry.change is starts[0] and operation.target is None):
                continue
            need(operation.target in objects, "operation on an object that the document lacks")
            need(operation.action in (SET, DELETE), "operation that documents do not use")
            place = objects[operation.target or (0, b"")]
            if place == "events":
                check_event(operation, entry)
            replaced.update(operation.replaces)
            if place == "fields" and operation.action == SET:
                need(operation.kind in PLAIN_VALUES, "field is not a text or integer")
                fields.setdefault(str(operation.key), {})[operation.id] = operation.value
    shown = {
        key: [values[id_] for id_ in sorted(values, reverse=True) if id_ not in replaced]
        for key, values in fields.items()
    }
    return {"kind": kind, "fields": {key: values for key, values in shown.items() if values}}


def read_start(change: Change) -> tuple[str, dict[Id, str]]:
    """Return the kind and the name of each object that the first change makes."""
    kind, objects = "", dict[Id, str]()
    for operation in change.operations:
        if operation.target is None and operation.action == SET and operation.key == "kind":
            kind = str(operation.value)
        elif operation.target is None:
            is_map = operation.action == MAKE_MAP
            need(is_map and operation.key in ("fields", "texts", "events"), "root is misshapen")
            objects[operation.id] = str(operation.key)
        elif operation.action == MAKE_TEXT:
            need(objects.get(operation.target) == "texts", "text is made outside texts")
            objects[operation.id] = "text"
    need(kind and sorted(set(objects.values()) - {"text"}) == ["events", "fields", "texts"], "root")
    return kind, objects


def check_event(operation: Operation, entry: Entry) -> None:
    need(operation.action == SET and operation.kind == TEXT_VALUE, "event is removed")
    event_id = unhex(operation.key, 12)
    need(not operation.replaces, "event is changed")
    need(event_id[8:] == entry.writer.device[:4], "event names another device")
    reading = int.from_bytes(event_id[:8])
    need(entry.hlc <= reading <= entry.hlc + 255, "event is not of its leaf's time")


# Section 6: the file


def read_leaf(data: bytes, seq: int) -> tuple[int, int, bytes, int, bytes]:
    need(len(data) <= LEAF_SIZE_BYTES_MAX, "leaf is too long")
    kind, writer, document, hlc, body = listed(cbor(data))
    need(isinstance(document, bytes) and isinstance(body, bytes), "leaf is misshapen")
    need(number(kind) in (0, 1, 2) and (kind == 2) == (seq == 0), "leaf does not belong here")
    need(len(document) == (16 if kind == 0 else 0), "leaf's document")
    need((number(writer) == 0) == (kind == 2), "leaf's writer")
    return kind, writer, document, number(hlc), body


def read_writer(body: bytes) -> tuple[Writer, list[str]]:
    node, device, epoch, *texts = listed(cbor(body))
    need(isinstance(node, bytes) and len(node) == 32, "writer's node")
    need(isinstance(device, bytes) and len(device) == 16, "writer's device")
    need(len(texts) == 5 and all(isinstance(t, str) and len(t) <= 200 for t in texts), "texts")
    return Writer(node, device, number(epoch)), texts


def log_id(owner: bytes, purpose: str, epoch: int) -> bytes:
    whole = b"tiepdan log v1\n" + owner + purpose.encode() + b"\x00" + epoch.to_bytes(8)
    return sha256(whole).digest()[:16]


def actor_id(writer: Writer, document: bytes) -> bytes:
    whole = writer.node + writer.device + writer.epoch.to_bytes(8) + document
    return sha256(b"tiepdan actor v1\n" + whole).digest()[:16]


def read_time(hlc: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=hlc >> 16)).isoformat()


class Log:
    """Reads one log of the file, leaf by leaf."""

    def __init__(self, document: bytes, root: Place, cosigners: dict[str, Place]) -> None:
        self.document, self.root, self.cosigners = document, root, cosigners
        self.writers: dict[int, Writer] = {}
        self.used: set[int] = set()
        self.entries: list[Entry] = []

    def read(self, value: object) -> dict[str, Any]:
        owner, purpose, epoch, note, leaves = keyed(
            value, "owner", "purpose", "epoch", "note", "leaves"
        )
        need(isinstance(purpose, str), "purpose is not a text")
        need(re.fullmatch(r"up|down/[0-9a-f]{64}", purpose), "purpose")
        self.is_up, rows = purpose == "up", [keyed(x, *LEAF_KEYS) for x in listed(leaves)]
        need(rows and rows[0][0] == 0, "leaf 0 is missing")
        seqs = [number(row[0]) for row in rows]
        need(seqs == sorted(set(seqs)), "leaves do not rise")
        body = read_leaf(unbase64(rows[0][1]), 0)[4]
        self.owner = read_chain(listed(cbor(body)), self.root)
        need(self.owner.key == unhex(owner, 32), "leaf 0 names another owner")
        name = log_id(self.owner.key, purpose, number(epoch)).hex()
        origin = f"tiepdan/{self.owner.code}/{name}"
        head = read_note(note, origin, self.owner, self.cosigners)
        for seq, leaf, proof, reads in rows:
            data, steps = unbase64(leaf), [unbase64(step) for step in listed(proof)]
            need(root_of(data, seq, head.size, steps) == head.root, "proof leads to another root")
            need(json.dumps(reads) == json.dumps(self.reads(data, seq)), "reads says otherwise")
        need(self.used == set(self.writers), "writer leaf that no change uses")
        need(self.entries, "log without a change of the document")
        by = {self.cosigners[peer].code: at for peer, at in head.seconds.items()}
        code, kind = self.owner.code, "up" if self.is_up else "down"
        return {"code": code, "purpose": kind, "size": head.size, "cosigned": by}

    def reads(self, data: bytes, seq: int) -> dict[str, Any]:
        """Take a leaf in; return what it says for people, keys sorted."""
        kind, writer, document, hlc, body = read_leaf(data, seq)
        if kind == 2:
            return {"code": self.owner.code, "node": self.owner.name, "tier": self.owner.tier}
        if kind == 1:
            need(writer not in self.writers, "writer is declared twice")
            self.writers[writer], (tier, code, _, name, role) = read_writer(body)
            said = (self.writers[writer].node, tier, code)
            own = (self.owner.key, self.owner.tier, self.owner.code)
            need(said == own or not self.is_up, "writer is of another node")
            return {"name": name, "role": role, "writer": writer}
        need(document == self.document, "change is of another document")
        need(writer in self.writers, "change of an undeclared writer")
        self.used.add(writer)
        change = read_change(body)
        need(change.actor == actor_id(self.writers[writer], document), "actor is wrong")
        self.entries.append(Entry(change, self.writers[writer], hlc))
        plain = [x for x in change.operations if x.target and x.key is not None]
        values = {str(x.key): x.value for x in plain if x.action == SET and x.kind in PLAIN_VALUES}
        return {"at": read_time(hlc), "values": dict(sorted(values.items())), "writer": writer}


LEAF_KEYS = ("seq", "leaf", "proof", "reads")


def check(data: bytes, root_der: bytes) -> dict[str, Any]:
    """Return what the file proves under the given root.

    Raises:
        Refused: it proves nothing.
    """
    try:
        return check_file(data, root_der)
    except (ValueError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise Refused(f"not readable: {error}") from error
    except x509.ExtensionNotFound as error:
        raise Refused("certificate lacks an extension") from error


def check_file(data: bytes, root_der: bytes) -> dict[str, Any]:
    file = json.loads(data.decode())
    laid = json.dumps(file, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    need(laid.encode() == data, "file is not laid out as its values are")
    form, document, root, cosigners, logs = keyed(
        file, "format", "document", "root", "cosigners", "logs"
    )
    need(form == "tiepdan-record/1", "format")
    id_ = uuid.UUID(str(document))
    need(str(id_) == document and id_.version == 7, "document id")
    need(unbase64(root) == root_der, "root is another one")
    trusted = read_place(root_der)
    signed, signature = der_split(root_der)
    trusted.verify(signature, signed)
    need(trusted.tier == "root", "root is not a root")
    places: dict[str, Place] = {}
    need(isinstance(cosigners, dict), "cosigners is not an object")
    for peer, chain in cosigners.items():
        places[peer] = read_chain([unbase64(der) for der in listed(chain)], trusted)
        need(places[peer].key == unhex(peer, 32), "cosigner's chain names another node")
    proved: list[dict[str, Any]] = []
    entries: list[Entry] = []
    for each in listed(logs):
        log = Log(id_.bytes, trusted, places)
        proved.append(log.read(each))
        entries += log.entries
    return {"document": document, "logs": proved, **read_document(entries)}
