"""Real records of invented people, in every form in which a node reads foreign bytes."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cbor2

from crypto.certificates import chain_to_pem, make_request, request_to_pem
from crypto.enrolment import Token
from crypto.identity import OfficeKey, PeerId
from crypto.note import render_proof
from crypto.office import office_key_file
from crypto.p256 import SECRET_BYTES, p256_key
from crypto.password import hash_password
from crypto.seal import seal
from crypto.sealed_stream import StreamSealer
from crypto.shares import Share
from crypto.site import certificate_der, fingerprint, make_site
from node.enrolling import EnrolAnswer, EnrolRequest
from node.renewing import RenewAnswer, RenewRequest
from node.trail import TrailLine, exported
from schemas.codes import Tier
from schemas.events import Noted
from schemas.ids import DocumentId
from schemas.record import Leaf, LeafType, decode_leaf
from schemas.repo import encode_sync
from schemas.revocation import Mark, RevocationLeaf
from schemas.trail import TrailMark
from schemas.wire import Frame, encode_message
from sync.change import Action, parse_change
from sync.document import Documents, Edit, Talk
from sync.framing import pack
from sync.history import LogHistory
from sync.negentropy import ItemVector, initiate, probe
from sync.pack_entries import About, End, Messages, Piece, encode_entry
from sync.packets import Packet, Seen, Stream, encode_packet
from sync.packets import Piece as PacketPiece
from sync.record_file import export_record
from sync.sync_message import without_flags
from tests.sync.builders import COMMUNE, PROVINCE, Link, Node, new_node, place, root
from tests.sync.revoked import said_of, statement_by

STREAM_KEY: Final = bytes(range(32))
CONTEXT: Final = b"fuzzing"
ITEMS: Final = ItemVector((number % 7, bytes([number]) * 32) for number in range(40))
_CONFIG: Final = 'parent = "10.0.0.1:8443"\nweb_port = 8080\nlanguage = "vi"\n'


@cache
def samples() -> dict[str, tuple[bytes, ...]]:
    """Return well-formed input for each target by its name."""
    with TemporaryDirectory() as folder:
        commune, province = new_node(COMMUNE, Path(folder)), new_node(PROVINCE, Path(folder))
        case = commune.open_case(0, Noted(text="Bà con đã nhận giấy mời."))
        first = commune.replica.intake.documents.heads(case)
        commune.write(case, fields={"title": "Ranh giới đất", "location": None})
        commune.write(case, fields={"title": "Ranh giới"}, texts={"summary": "Hai hộ"}, base=first)
        messages = [encode_message(message) for _, message in Link(commune, province).run().sent]
        record = export_record(commune.store, case, root())
        leaves = _leaves_of(commune)
        frames = _frames_of(commune)
    return {
        **_records(leaves),
        **_sealed(messages),
        **_certificates(),
        **_enrolment(),
        "messages": tuple(messages),
        **_of_programs(),
        "frame": frames,
        "record file": (record,),
        **_lan(),
        **_beside(),
        "configuration": (_CONFIG.encode(),),
        "password": (hash_password("một hai ba", bytes(16)).encode(),),
    }


def _beside() -> dict[str, tuple[bytes, ...]]:
    """Return what revokes, compares, renews and marks."""
    said = said_of(place(COMMUNE), Mark(log_id=bytes(16), last_valid_seq=3, root=bytes(32)))
    statement = statement_by(place(PROVINCE), said).encode()
    leaf = RevocationLeaf(statement=statement, voided=((bytes(16), bytes(32)),))
    line = TrailLine(
        number=1, at_ms=2, user="lan", role="x", action="GET", document_id="", detail="", link=b"\1"
    )
    seen = Seen(highest=3, before=1, taken=(1, 2, 3))
    packet = Packet(number=7, seen=seen, piece=PacketPiece(Stream.URGENT, 4, b"tin"), asks=True)
    request = request_to_pem(make_request(place(COMMUNE).key, Tier.COMMUNE, COMMUNE, "Mỹ Lý"))
    pem = chain_to_pem(place(COMMUNE).chain).decode()
    return {
        "revocation": (statement,),
        "revocation leaf": (leaf.encode(),),
        "trail mark": (TrailMark(lines=3, link=bytes(32)).encode(),),
        "trail line": (exported(line).encode(),),
        "packet": (encode_packet(packet),),
        "comparison": (initiate(ITEMS), probe(ITEMS)),
        "office key": (office_key_file(OfficeKey.from_private(bytes(range(32))), "", b""),),
        "renewal": (RenewRequest(request=request.decode()).model_dump_json().encode(),),
        "enrolment answer": (
            EnrolAnswer(certificates=pem, proof="00" * 32).model_dump_json().encode(),
        ),
        "renewal answer": (RenewAnswer(certificates=pem).model_dump_json().encode(),),
        "refusal": (b'{"code": "token_unknown", "message": "x", "hint": ""}',),
        "request body": (
            b'{"user": "lan", "password": "m\xe1\xbb\x99t hai", "new_password": "ba"}',
            b'{"kind": "visit", "id": "00", "fields": {"title": "x"}, "texts": {}, "base": []}',
        ),
        "ways": (b'[{"parent": "10.0.0.1:8443", "own": "10.0.0.2", "at_ms": 1}]',),
    }


def _of_programs() -> dict[str, tuple[bytes, ...]]:
    """Return what a client of automerge-repo sends about a document that it made."""
    document, changes = DocumentId(bytes(16)), list[bytes]()
    documents = Documents(lambda _: changes)
    made = documents.write(document, bytes(16), Edit(kind="person", fields={"phone": "0912"}))
    assert made is not None
    changes.append(made)
    documents.close(document)
    mine, theirs, nothing = Talk(), Talk(), Documents(lambda _: [])
    flagged = nothing.say(document, theirs)
    assert flagged is not None
    # To whom the flags are said, whole documents come back.
    asked = without_flags(flagged)
    documents.hear(document, mine, asked)
    said = documents.say(document, mine)
    assert said is not None
    join = {"type": "join", "senderId": "a", "supportedProtocolVersions": ["1"]}
    asking = encode_sync("a", "b", document, asked)
    return {
        "repo message": (cbor2.dumps(join), asking),
        "sync message": (asked, flagged, said),
    }


def _lan() -> dict[str, tuple[bytes, ...]]:
    key = p256_key(bytes(SECRET_BYTES))
    site = make_site(key, "Xã Mỹ Lý", COMMUNE, 1_790_000_000_000)
    said = fingerprint(site).hex() + "ab" * 16
    texts = (f"id={'cd' * 32}", f"fp={'ef' * 32}", "tier=commune", f"code={COMMUNE}", "v=0.1.0")
    return {
        "site certificate": (certificate_der(site),),
        "pairing link": (f"https://tiepdan-40-17083.local:8444/pair#{said}".encode(),),
        "sighting": ("\n".join(("tiepdan-40-17083", *texts)).encode(),),
    }


def _leaves_of(node: Node) -> list[bytes]:
    log = node.log(node.place)
    return node.store.leaves(log, 0, log.size)


def _frames_of(node: Node) -> tuple[bytes, ...]:
    leaves, history = _leaves_of(node), LogHistory(node.store, node.log(node.place))
    return tuple(pack(0, leaves[:count], history)[0] for count in range(1, len(leaves) + 1))


def _records(leaves: Iterable[bytes]) -> dict[str, tuple[bytes, ...]]:
    read = [decode_leaf(data) for data in leaves]
    changes = _bodies(read, LeafType.CHANGE)
    ops = [op for raw in changes for op in parse_change(raw).map_ops if op.action is Action.SET]
    return {
        "leaf": tuple(leaves),
        "writer": _bodies(read, LeafType.WRITER),
        "certificates": _bodies(read, LeafType.CERTIFICATES),
        "change": changes,
        "event": tuple(
            op.value.encode() for op in ops if isinstance(op.value, str) and op.value[:1] == "{"
        ),
    }


def _bodies(leaves: Iterable[Leaf], kind: LeafType) -> tuple[bytes, ...]:
    return tuple(leaf.body for leaf in leaves if leaf.type == kind)


def _sealed(messages: list[bytes]) -> dict[str, tuple[bytes, ...]]:
    sender, receiver = place(COMMUNE), place(PROVINCE)
    about = About(pack_id=bytes(16), part=1, made_ms=1, receiver=PROVINCE).encode()
    frame = Frame(log=b"\0", priority=2, first_seq=0, leaves=(b"leaf",))
    entries = b"".join(
        encode_entry(entry)
        for entry in (
            Messages((frame,)),
            Piece(sha256=bytes(32), offset=0, total=4, data=b"scan"),
            End(is_last=True),
        )
    )
    office = receiver.key.office_public
    sealer = StreamSealer(sender.key, sender.der, office, about, STREAM_KEY)
    return {
        "pack entries": (entries,),
        "pack about": (about,),
        "stream head": (sealer.head,),
        "stream body": (sealer.update(b"".join(messages)) + sealer.finish(),),
        "sealed value": (seal(b"012345678901", [office], CONTEXT),),
    }


def _certificates() -> dict[str, tuple[bytes, ...]]:
    commune = place(COMMUNE)
    request = make_request(commune.key, Tier.COMMUNE, COMMUNE, "Mỹ Lý")
    note = _note()
    return {
        "certificate": tuple(commune.der),
        "certificate file": (chain_to_pem(commune.chain),),
        "request file": (request_to_pem(request),),
        "note": (note.encode(),),
        "proof": (render_proof(3, [bytes(32), bytes(range(32))], note).encode(),),
    }


def _enrolment() -> dict[str, tuple[bytes, ...]]:
    token = Token(
        code=COMMUNE, address="10.0.0.1:8443", pin=bytes(10), secret=bytes(10), expires_h=500_000
    )
    request = make_request(place(COMMUNE).key, Tier.COMMUNE, COMMUNE, "Mỹ Lý")
    asked = EnrolRequest(token="00" * 8, request=request_to_pem(request).decode(), proof="00" * 32)
    # As a holder's file has it, but with nothing inside: sealing takes long by design.
    share = Share(number=1, holder="Một", root=PeerId(bytes(32)), salt=bytes(16), sealed=bytes(48))
    return {
        "token": (token.text().encode(),),
        "root share": (share.encode(),),
        "enrolment": (asked.model_dump_json().encode(),),
    }


def _note() -> str:
    with TemporaryDirectory() as folder:
        node = new_node(COMMUNE, Path(folder))
        case = node.open_case()
        record = export_record(node.store, case, root())
    return str(json.loads(record)["logs"][0]["note"])
