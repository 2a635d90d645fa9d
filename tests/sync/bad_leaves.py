"""Leaves that no honest node writes, each with the reason that it is listed with."""

from typing import Any, Final

from schemas.ids import event_id
from schemas.record import Leaf, LeafType, encode_certificates
from schemas.trail import TrailMark
from sync.document import Edit
from tests.sync.builders import (
    COMMUNE,
    DOCUMENT,
    NEIGHBOUR,
    NOW,
    PROVINCE,
    Pen,
    actor,
    device,
    place,
    writer_of,
)
from tests.sync.chunks import Op, chunk


def raw_leaf(**said: Any) -> bytes:
    honest: dict[str, Any] = {
        "type": LeafType.CHANGE, "writer": 1, "document": DOCUMENT, "hlc": NOW, "body": b""
    }  # fmt: skip
    return Leaf(**(honest | said)).encode()


def first_change(code: str = COMMUNE, **events: str) -> bytes:
    return Pen().write(actor(code), Edit(kind="case", texts={"summary": ""}, events=events)).raw


def writer_leaf(number: int = 2, document: bytes = b"", **said: Any) -> bytes:
    writer = writer_of(place(COMMUNE), **said)
    body = writer.encode()
    return raw_leaf(type=LeafType.WRITER, writer=number, document=document, body=body)


def foreign_writer(code: str) -> bytes:
    body = writer_of(place(code)).encode()
    return raw_leaf(type=LeafType.WRITER, writer=2, document=b"", body=body)


def chain_leaf(chain: list[bytes], **said: Any) -> bytes:
    what = {"type": LeafType.CERTIFICATES, "writer": 0, "document": b""} | said
    return raw_leaf(body=encode_certificates(chain), **what)


def event_leaf(body: str, hlc: int = NOW) -> bytes:
    return raw_leaf(body=first_change(**{event_id(hlc, device(COMMUNE)): body}))


SHORT_TRAIL: Final = TrailMark(lines=1, link=bytes(31)).encode()

# Each stands third in a log of the commune, behind its certificates and its writer 1.
BAD: Final = [
    (b"", "leaf_malformed"),
    (b"not a leaf", "leaf_malformed"),
    (raw_leaf(document=b"short", body=first_change()), "leaf_malformed"),
    (raw_leaf(document=b"", body=first_change()), "leaf_malformed"),
    (b"\x98\x05" + raw_leaf(body=b"")[1:], "leaf_not_canonical"),
    (raw_leaf(type=5), "leaf_type_unknown"),
    (raw_leaf(type=255), "leaf_type_unknown"),
    (raw_leaf(type=LeafType.TRAIL, writer=0, document=b"", body=b"x"), "trail_malformed"),
    (raw_leaf(type=LeafType.TRAIL, writer=0, document=b"", body=SHORT_TRAIL), "trail_malformed"),
    (raw_leaf(body=b""), "change_malformed"),
    (raw_leaf(body=first_change()[:-1]), "change_malformed"),
    (raw_leaf(body=first_change(), writer=9), "writer_unknown"),
    (raw_leaf(body=first_change(NEIGHBOUR)), "actor_foreign"),
    (raw_leaf(body=first_change(), document=DOCUMENT[::-1]), "actor_foreign"),
    (raw_leaf(body=chunk([], actor=actor(COMMUNE))), "document_malformed"),
    (raw_leaf(body=chunk([Op(key="n", value=1, kind=8)], actor=actor(COMMUNE))), "change_counter"),
    (event_leaf("{}", NOW + 300), "event_foreign"),
    (event_leaf("no json"), "event_malformed"),
    (event_leaf("[" * 9_000), "event_malformed"),
    (event_leaf("{}"), "event_malformed"),
    (event_leaf('{"type":7}'), "event_malformed"),
    (event_leaf('{"type":"registered","more":1}'), "event_malformed"),
    (event_leaf('{"type":"noted","text":"' + "x" * 17_000 + '"}'), "event_too_long"),
    (writer_leaf(1), "writer_twice"),
    (writer_leaf(0), "writer_malformed"),
    (writer_leaf(document=DOCUMENT), "writer_malformed"),
    (writer_leaf(tier="province"), "writer_foreign"),
    (writer_leaf(code="40.17084"), "writer_foreign"),
    (foreign_writer(NEIGHBOUR), "writer_foreign"),
    (foreign_writer(PROVINCE), "writer_foreign"),
    (raw_leaf(type=LeafType.WRITER, writer=2, document=b"", body=b"x"), "writer_malformed"),
    (chain_leaf([]), "certificates_malformed"),
    (chain_leaf([b"no certificate"]), "certificate_malformed"),
    (chain_leaf(place(COMMUNE).der[:1]), "certificate_wrong_issuer"),
    (chain_leaf(place(COMMUNE).der, writer=1), "certificates_malformed"),
    (chain_leaf(place(COMMUNE).der, document=DOCUMENT), "certificates_malformed"),
    (chain_leaf(place(COMMUNE).der), "certificates_foreign"),
    (chain_leaf(place(NEIGHBOUR).der), "certificates_foreign"),
    (chain_leaf(place("38").der), "certificates_foreign"),
]
