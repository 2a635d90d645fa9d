"""Sections 3 and 5: leaves, documents, and what becomes a dead letter."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from node.trail import START, TrailLine, check_lines
from schemas.ids import DocumentId, document_text
from schemas.record import Leaf, LeafType, decode_certificates, decode_leaf, decode_writer
from schemas.trail import TrailMark
from tests.independent.change_reader import read_change
from tests.independent.odd_changes import FORGED, ODD, Make, Stage
from tests.sync.bad_leaves import BAD
from tests.sync.builders import (
    CASE,
    COMMUNE,
    DOCUMENT,
    NOW,
    NOW_MS,
    PROVINCE,
    LogBuilder,
    Node,
    Pen,
    actor,
    logs,
    new_node,
    place,
    root,
)
from tests.sync.chunks import body_of, sealed
from tests.vectoring.layout import Earlier
from tests.vectoring.world import country, log_of_the_commune, signer

NOWHERE = Path("nowhere")


def leaves(_: Earlier) -> Any:
    """Return a log leaf by leaf, and leaves that a log may hold but nobody can use."""
    return {
        "behind": logs(COMMUNE)[COMMUNE].leaves,
        "dead_letters": [
            {"leaf": leaf, "reason": reason} for leaf, reason in BAD if len(leaf) < 20_000
        ],
        "log": [fields_of(leaf) for leaf in log_of_the_commune()],
        "trail": trail(),
    }


def trail() -> dict[str, Any]:
    """Return lines of an audit trail, and the leaf that marks it behind the last one."""
    values: list[tuple[int, str, str, str, str, str]] = [
        (NOW_MS, "lan", "reception_officer", "case.read", document_text(DOCUMENT), ""),
        (NOW_MS + 1, "", "", "account.made", "", 'tuấn "Lò"\\\n'),
    ]
    texts = [
        json.dumps([number, *line], ensure_ascii=False, separators=(",", ":"))
        for number, line in enumerate(values, 1)
    ]
    links = [START]
    for text in texts:
        links.append(sha256(b"tiepdan audit v1\n" + links[-1] + text.encode()).digest())
    names = ("number", "at_ms", "user", "role", "action", "document_id", "detail")
    lines = [
        TrailLine(**dict(zip(names, json.loads(text), strict=True)), link=link)
        for text, link in zip(texts, links[1:], strict=True)
    ]
    assert check_lines(iter(lines)).broken_at is None
    mark = TrailMark(lines=len(lines), link=links[-1])
    leaf = Leaf(type=LeafType.TRAIL, writer=0, document=b"", hlc=NOW, body=mark.encode())
    return {"leaf": leaf.encode(), "lines": texts, "links": links[1:]}


def fields_of(data: bytes) -> dict[str, Any]:
    """Return a leaf with what is in it."""
    leaf = decode_leaf(data)
    found: dict[str, Any] = {"hlc": leaf.hlc, "leaf": data, "type": int(leaf.type)}
    match leaf.type:
        case LeafType.CHANGE:
            found |= {"change": leaf.body, "document": leaf.document, "writer": leaf.writer}
        case LeafType.WRITER:
            found |= {"declares": decode_writer(leaf.body), "writer": leaf.writer}
        case LeafType.CERTIFICATES:
            found |= {"chain": decode_certificates(leaf.body)}
    return found


def documents(_: Earlier) -> Any:
    """Return the documents that the commune holds at the end, from the leaves of two logs."""
    commune = country().commune
    held = commune.store.logs()
    rows = commune.rows("SELECT id FROM document ORDER BY id")
    return {
        "documents": {
            document_text(row[0]): document_of(commune, DocumentId(row[0])) for row in rows
        },
        "logs": [
            {
                "leaves": commune.store.leaves(log, 0, log.size),
                "log": log.log_id,
                "owner": log.owner,
                "purpose": log.purpose,
            }
            for log in held
        ],
        "waiting": waiting(),
    }


def waiting() -> dict[str, Any]:
    """Return a log in which a change stands before the one that it builds on, leaf by leaf."""
    draft, builder = Pen(), logs(COMMUNE)[COMMUNE]
    steps = [{"title": "một"}, {"title": "hai"}, {"topic": "ba"}]
    raws = [
        draft.write(actor(COMMUNE), replace(CASE, kind=None if number else "case", fields=step)).raw
        for number, step in enumerate(steps)
    ]
    for raw in (raws[0], raws[2], raws[1]):
        builder.change(raw)
    fields = []
    for count in range(3, len(builder.leaves) + 1):
        part, node = LogBuilder(place(COMMUNE)), new_node(PROVINCE, NOWHERE)
        part.leaves = builder.leaves[:count]
        part.put_into(node)
        fields.append({"fields": document_of(node, DOCUMENT)["fields"], "leaves": count})
    return {"log": builder.leaves, "steps": fields}


def document_of(node: Node, document: DocumentId) -> dict[str, Any]:
    """Return what a document amounts to; of each field the value that shows comes first."""
    registers = node.replica.intake.registers(document)
    fields = {name: [each.value for each in row] for name, row in registers.fields.items() if row}
    events = node.rows("SELECT id, body FROM event WHERE document = ?", document)
    texts = {name: node.replica.intake.documents.text(document, name) for name in registers.texts}
    return {"events": dict(events), "fields": fields, "kind": registers.kind, "texts": texts}


def changes(makers: dict[str, Make]) -> Iterator[dict[str, Any]]:
    """Yield logs whose last change is odd, with what becomes of it."""
    stage = Stage(signer(place(COMMUNE)), root().public_bytes(Encoding.DER))
    for what, make in makers.items():
        (log,) = json.loads(make(stage))["logs"]
        whole = [base64.b64decode(row["leaf"]) for row in log["leaves"]]
        yield {"leaves": whole[1:], "reason": reason(whole), "what": what}


def reason(whole: Sequence[bytes]) -> str:
    """Return why the last leaf of a log is a dead letter; nothing if it is none."""
    builder = LogBuilder(place(COMMUNE), leaves=list(whole))
    builder.leaves = list(whole)
    node = new_node(PROVINCE, NOWHERE)
    builder.put_into(node)
    found = node.rows("SELECT seq, code FROM dead_letter")
    assert all(seq == len(whole) - 1 for seq, _ in found), "only the last one is odd"
    return found[0][1] if found else ""


def changes_taken(earlier: Earlier) -> Any:
    """Return changes that only look odd."""
    found = [*changes(ODD), compressed(earlier)]
    assert not any(each["reason"] for each in found)
    return {"certificates": logs(COMMUNE)[COMMUNE].leaves[0], "logs": found}


def changes_refused(_: Earlier) -> Any:
    """Return changes that become dead letters."""
    found = list(changes(FORGED))
    assert all(each["reason"] for each in found)
    return {"certificates": logs(COMMUNE)[COMMUNE].leaves[0], "logs": found}


def compressed(earlier: Earlier) -> dict[str, Any]:
    """Return a log with a change whose chunk is compressed."""
    stage = Stage(signer(place(COMMUNE)), root().public_bytes(Encoding.DER))
    (log,) = json.loads(stage.start())["logs"]
    certificates, writer, first = (base64.b64decode(row["leaf"]) for row in log["leaves"])
    leaf = decode_leaf(first)
    builder = LogBuilder(place(COMMUNE))
    builder.leaves = [certificates, writer]
    made = sealed(body_of(leaf.body), compressed=True)
    builder.change(made, document=leaf.document, hlc=leaf.hlc)
    kept = earlier.keep(
        ("logs", len(ODD), "leaves", 1),
        builder.leaves[2],
        lambda data: read_change(decode_leaf(data).body),
    )
    whole = [certificates, writer, kept]
    return {"leaves": whole[1:], "reason": reason(whole), "what": "a compressed chunk"}
