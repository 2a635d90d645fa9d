"""Writes record files of its own, with the keys of real nodes: what a dishonest node could sign.

Like record_checker.py it follows docs/PROTOCOL.md alone; only the keys come from the product. The
Automerge changes come from the automerge package.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import automerge.core as am
import cbor2

from tests.independent.change_reader import PLAIN, SET, Refused, read_change

CHANGE, WRITER, CERTIFICATES = 0, 1, 2
DEVICE = b"D" * 16
DOCUMENT = uuid.UUID("01a0c450-6c00-7226-b63c-5ab791b7584a").bytes
HLC = 1_790_000_000_123 << 16
TEXT_TYPE, NUMBER_TYPE = am.ScalarType.Str, am.ScalarType.Int

Edit = Callable[[Any, dict[str, bytes]], object]


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A node: what its certificate says, its chain in DER without the root, and its hand."""

    tier: str
    code: str
    name: str
    peer_id: bytes
    chain: list[bytes]
    sign: Callable[[bytes], bytes]


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lay_out(file: Any) -> bytes:
    """Return the bytes of a record file."""
    text = json.dumps(file, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    return text.encode()


# Leaves


def leaf(kind: int, writer: int, document: bytes, hlc: int, body: bytes) -> bytes:
    return cbor2.dumps([kind, writer, document, hlc, body], canonical=True)


def certificates(chain: Sequence[bytes], writer: int = 0, document: bytes = b"") -> bytes:
    return leaf(CERTIFICATES, writer, document, 0, cbor2.dumps(list(chain), canonical=True))


def writer_body(node: Signer, **changed: Any) -> list[Any]:
    values = {"node": node.peer_id, "device": DEVICE, "epoch": 0, "tier": node.tier}
    values |= {"code": node.code, "user": "lan", "name": "Lò Thị Lan", "role": "cán bộ"}
    return list((values | changed).values())


def writer(node: Signer, number: int = 1, document: bytes = b"", **changed: Any) -> bytes:
    body = cbor2.dumps(writer_body(node, **changed), canonical=True)
    return leaf(WRITER, number, document, HLC, body)


def change(chunk: bytes, number: int = 1, hlc: int = HLC, document: bytes = DOCUMENT) -> bytes:
    return leaf(CHANGE, number, document, hlc, chunk)


def actor(node: Signer, device: bytes = DEVICE, epoch: int = 0) -> bytes:
    whole = node.peer_id + device + epoch.to_bytes(8) + DOCUMENT
    return sha256(b"tiepdan actor v1\n" + whole).digest()[:16]


def event_id(device: bytes = DEVICE, hlc: int = HLC) -> str:
    return (hlc.to_bytes(8) + device[:4]).hex()


# Changes


def nothing(_: Any, __: dict[str, bytes]) -> None:
    """Edit that does nothing more."""


class Draft:
    """A document under work; each edit becomes one change chunk."""

    def __init__(self, author: bytes, kind: Any = "case", more: Edit = nothing) -> None:
        self.document = am.Document(actor_id=author)
        with self.document.transaction() as transaction:
            is_text = isinstance(kind, str)
            transaction.put(am.ROOT, "kind", TEXT_TYPE if is_text else NUMBER_TYPE, kind)
            maps = ("fields", "texts", "events")
            made = [transaction.put_object(am.ROOT, name, am.ObjType.Map) for name in maps]
            self.objects = dict(zip(maps, made, strict=True))
            text = transaction.put_object(self.objects["texts"], "summary", am.ObjType.Text)
            self.objects["summary"] = text
            transaction.put(self.objects["fields"], "title", TEXT_TYPE, "Đường làng")
            more(transaction, self.objects)
        self.first = bytes(self.document.get_changes([])[0].raw_bytes)

    def edit(self, author: bytes, edit: Edit) -> bytes:
        """Return the change of an edit."""
        copy = self.document.fork()
        copy.set_actor(author)
        with copy.transaction() as transaction:
            edit(transaction, self.objects)
        made = copy.get_last_local_change()
        assert made is not None
        self.document.merge(copy)
        return bytes(made.raw_bytes)


# Trees, heads and files


def tree_root(hashes: Sequence[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"").digest()
    cut = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_root(hashes[:cut]) + tree_root(hashes[cut:])).digest()


def proof(seq: int, hashes: Sequence[bytes]) -> list[bytes]:
    if len(hashes) < 2:
        return []
    cut = 1 << (len(hashes) - 1).bit_length() - 1
    if seq < cut:
        return [*proof(seq, hashes[:cut]), tree_root(hashes[cut:])]
    return [*proof(seq - cut, hashes[cut:]), tree_root(hashes[:cut])]


def signature_line(node: Signer, kind: int, signature: bytes) -> str:
    name = f"tiepdan/{node.code}"
    short = sha256(f"{name}\n".encode() + bytes([kind]) + node.peer_id).digest()[:4]
    return f"— {name} {base64_of(short + signature)}\n"


def cosignature(node: Signer, head: str, seconds: int = 1_790_000_000) -> str:
    signature = node.sign(f"cosignature/v1\ntime {seconds}\n{head}".encode())
    return signature_line(node, 4, seconds.to_bytes(8) + signature)


def reads_of(data: bytes, owner: Signer) -> dict[str, Any]:
    """Return what `reads` would say; for what nobody can read, nothing."""
    try:
        return reads_of_leaf(data, owner)
    except (Refused, ValueError, LookupError):
        return {}


def reads_of_leaf(data: bytes, owner: Signer) -> dict[str, Any]:
    kind, number, _, hlc, body = cbor2.loads(data)
    if kind == CERTIFICATES:
        return {"code": owner.code, "node": owner.name, "tier": owner.tier}
    if kind == WRITER:
        name, role = cbor2.loads(body)[6:8]
        return {"name": name, "role": role, "writer": number}
    if kind != CHANGE:
        return {}
    rows = [row for row in read_change(body).operations if row.target and row.key is not None]
    values = {row.key: row.value for row in rows if row.action == SET and row.kind in PLAIN}
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=hlc >> 16)
    return {"at": at.isoformat(), "values": values, "writer": number}


def log(
    owner: Signer,
    leaves: Sequence[bytes],
    *,
    purpose: str = "up",
    cosigners: Iterable[Signer] = (),
    shown: Iterable[int] | None = None,
    change_head: Callable[[str], str] = str,
) -> dict[str, Any]:
    """Return one log of a file, correctly signed whatever it says."""
    hashes = [sha256(b"\x00" + data).digest() for data in leaves]
    whole = b"tiepdan log v1\n" + owner.peer_id + purpose.encode() + b"\x00" + bytes(8)
    log_id = sha256(whole).hexdigest()[:32]
    origin = f"tiepdan/{owner.code}/{log_id}"
    head = change_head(f"{origin}\n{len(leaves)}\n{base64_of(tree_root(hashes))}\n")
    note = f"{head}\n" + signature_line(owner, 1, owner.sign(head.encode()))
    note += "".join(cosignature(node, head) for node in cosigners)
    rows = [
        {
            "seq": seq,
            "leaf": base64_of(leaves[seq]),
            "proof": [base64_of(step) for step in proof(seq, hashes)],
            "reads": reads_of(leaves[seq], owner),
        }
        for seq in (range(len(leaves)) if shown is None else shown)
    ]
    named = {"owner": owner.peer_id.hex(), "purpose": purpose, "epoch": 0}
    return {**named, "note": note, "leaves": rows}


def record(root: bytes, logs: list[dict[str, Any]], cosigners: Iterable[Signer] = ()) -> Any:
    """Return a whole file of the document, before it is laid out."""
    return {
        "format": "tiepdan-record/1",
        "document": str(uuid.UUID(bytes=DOCUMENT)),
        "root": base64_of(root),
        "cosigners": {
            node.peer_id.hex(): [base64_of(der) for der in node.chain] for node in cosigners
        },
        "logs": logs,
    }


def with_size(head: str, size: str) -> str:
    """Return the head with its middle line replaced."""
    return re.sub(r"\n[0-9]+\n", f"\n{size}\n", head)
