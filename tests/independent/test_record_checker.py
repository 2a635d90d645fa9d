"""The record file is what docs/PROTOCOL.md says, and proves what it says, to somebody else's program.

Method: nodes write and exchange real records; record_checker.py, which knows only the protocol,
must read them as the product does. Then both must refuse the same files: real ones with a byte
changed or a part moved, and forged ones, which a dishonest node could sign correctly.
"""

import base64
import copy
import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import automerge.core as am
import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crypto.certificates import issue, make_request, make_root
from crypto.identity import NodeKey
from schemas.codes import Tier
from schemas.events import DirectiveIssued, Noted, Received, Registered
from schemas.ids import DocumentId, mint_document_id
from schemas.wire import decode_message, encode_message
from sync.blobs import BlobFiles
from sync.database import open_database
from sync.errors import RecordFileError
from sync.migrations import migrations
from sync.record_file import export_record, verify_record
from sync.replica import Author, Replica
from sync.session import Session
from sync.store import Peer, Store
from tests.independent import forger
from tests.independent.change_reader import Refused
from tests.independent.forger import Draft, Signer, certificates, change, lay_out, record, writer
from tests.independent.record_checker import check

NOW_MS = 1_790_000_000_123
OFFICE_KEY = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
BYTE_CHANGES: tuple[Callable[[int], bytes], ...] = (
    lambda byte: bytes([byte ^ 1]),
    lambda byte: b"",
    lambda byte: bytes([byte ^ 0x20]),
    lambda byte: bytes([byte, byte]),
    lambda byte: b"0" if byte != ord("0") else b"1",
)

# The product reads a certificate before it checks who signed it; then a changed one may warn.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Node:
    """A node of the product, without a network."""

    replica: Replica
    key: NodeKey
    chain: list[x509.Certificate]

    def peer(self, *, is_child: bool) -> Peer:
        subject = self.replica.subject
        return Peer(
            peer_id=subject.peer_id,
            tier=subject.tier.value,
            code=subject.code,
            name=subject.name,
            office_key=subject.office_public,
            chain=cbor2.dumps(self.ders),
            is_child=is_child,
        )

    def author(self, user: str, name: str, device: bytes | None = None) -> Author:
        own = device or self.replica.device
        return Author(user=user, name=name, role="reception_officer", device=own)

    def write(self, author: Author, document: DocumentId, after_ms: int, **what: Any) -> None:
        with self.replica.transaction():
            self.replica.write(author, document, now_ms=NOW_MS + after_ms, **what)

    def export(self, document: DocumentId, root: x509.Certificate) -> bytes:
        return export_record(self.replica.store, document, root)

    @property
    def ders(self) -> list[bytes]:
        return [each.public_bytes(Encoding.DER) for each in self.chain]

    @property
    def signer(self) -> Signer:
        subject = self.replica.subject
        return Signer(
            tier=subject.tier.value,
            code=subject.code,
            name=subject.name,
            peer_id=bytes(subject.peer_id),
            chain=self.ders,
            sign=self.key.sign,
        )


class World:
    """A centre, a province and two communes, and what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rng = folder, random.Random(7)
        self.root_key = NodeKey.from_seed(b"r" * 32)
        self.root = make_root(self.root_key, "Gốc", NOW_MS, 3650)
        self.root_der = self.root.public_bytes(Encoding.DER)
        self.centre = self.node(b"c", Tier.CENTRE, "0", "Trung ương")
        self.province = self.node(b"p", Tier.PROVINCE, "40", "Nghệ An")
        self.commune = self.node(b"a", Tier.COMMUNE, "40.17083", "Mỹ Lý", self.province)
        self.other = self.node(b"b", Tier.COMMUNE, "40.17084", "Keng Đu", self.province)
        self.write_case()
        self.write_directive()

    def node(
        self, seed: bytes, tier: Tier, code: str, name: str, issuer: Node | None = None
    ) -> Node:
        key = NodeKey.from_seed(seed * 32)
        request = make_request(key, tier, code, name)
        above = issuer.chain if issuer else []
        signer = issuer.key if issuer else self.root_key
        certificate = issue(above[0] if above else self.root, signer, request, NOW_MS, 365)
        replica = Replica(
            Store(open_database(":memory:", (migrations,))),
            key=key,
            chain=[certificate, *above],
            root=self.root,
            admit=lambda *_: None,
            project=lambda _: None,
        )
        return Node(replica, key, [certificate, *above])

    def meet(self) -> None:
        """Let every pair talk until nothing is left to say."""
        for _ in range(2):
            self.link(self.commune, self.province)
            self.link(self.province, self.centre)

    def link(self, child: Node, parent: Node) -> None:
        ends = (child, parent)
        for end, other in ((child, parent), (parent, child)):
            with end.replica.transaction():
                end.replica.welcome(other.peer(is_child=other is child))
        files = BlobFiles(self.folder)
        sessions = (
            Session(child.replica, parent.replica.subject, "parent", files),
            Session(parent.replica, child.replica.subject, "child", files),
        )
        waiting: list[list[Any]] = []
        for session, end in zip(sessions, ends, strict=True):
            with end.replica.transaction():
                waiting.append(session.open(NOW_MS))
        while any(waiting):
            for mine, (session, end) in enumerate(zip(sessions, ends, strict=True)):
                arrived, waiting[1 - mine] = waiting[1 - mine], []
                with end.replica.transaction():
                    for message in arrived:
                        read = decode_message(encode_message(message))
                        waiting[mine] += session.receive(read, NOW_MS)
                    waiting[mine] += session.pump(NOW_MS)

    def write_case(self) -> None:
        self.case = mint_document_id(NOW_MS, self.rng)
        lan = self.commune.author("lan", "Nguyễn Thị Lan")
        tuan = self.commune.author("tuan", "Lò Văn Tuấn", b"T" * 16)
        hung = self.province.author("hung", "Trần Hùng")
        for number in range(3):
            other = mint_document_id(NOW_MS, self.rng)
            fields = {"title": f"Việc khác {number}"}
            self.commune.write(lan, other, 0, kind="case", fields=fields, texts={"summary": ""})
        self.commune.write(
            lan,
            self.case,
            1,
            kind="case",
            fields={"title": "Tranh chấp đất", "topic": "dat_dai"},
            texts={"summary": "Hai hộ tranh chấp ranh giới. " * 12},
            events=[Received(on="2026-11-23", stated_type="khieu_nai"), Registered()],
        )
        note = Noted(text="đã gọi điện")
        self.commune.write(tuan, self.case, 1877, fields={"topic": None}, events=[note])
        self.meet()
        self.early = self.commune.export(self.case, self.root)
        self.commune.write(lan, self.case, 9000, fields={"title": "Tranh chấp ranh giới"})
        self.province.write(hung, self.case, 9500, fields={"title": "Tranh chấp đất rừng"})
        self.meet()
        self.file = self.commune.export(self.case, self.root)

    def write_directive(self) -> None:
        self.directive = mint_document_id(NOW_MS, self.rng)
        hung = self.province.author("hung", "Trần Hùng")
        issued = DirectiveIssued(to_codes=("40.17083",), due_on="2026-12-01")
        fields, texts = {"title": "Kiểm tra"}, {"body": "Báo cáo"}
        what: dict[str, Any] = {"kind": "directive", "fields": fields, "texts": texts}
        self.province.write(hung, self.directive, 20_000, events=[issued], **what)
        self.meet()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("blobs"))


def opinions(world: World, data: bytes) -> tuple[str, str]:
    """Return what the checker and the product say; anything but a refusal propagates."""
    try:
        check(data, world.root_der)
        ours = "holds"
    except Refused:
        ours = "refused"
    try:
        verify_record(data, world.root)
        theirs = "holds"
    except RecordFileError:
        theirs = "refused"
    return ours, theirs


# Real files


def test_the_record_of_a_case_holds_and_says_the_same_to_both(world: World) -> None:
    ours, theirs = check(world.file, world.root_der), verify_record(world.file, world.root)
    assert ours["kind"] == theirs.kind == "case"
    assert {key: values[0] for key, values in ours["fields"].items()} == theirs.fields
    assert sorted(ours["fields"]["title"]) == ["Tranh chấp ranh giới", "Tranh chấp đất rừng"]
    assert "topic" not in ours["fields"]
    heads = [(log["code"], log["size"], log["cosigned"]) for log in ours["logs"]]
    assert heads == [
        (each.owner.code, each.size, [(by.code, at) for by, at in each.cosigners])
        for each in theirs.attestations
    ]
    cosigners = {log["purpose"]: [code for code, _ in log["cosigned"]] for log in ours["logs"]}
    assert cosigners == {"up": ["40", "0"], "down": ["40.17083"]}


@pytest.mark.parametrize("place", ["commune", "province", "centre"])
@pytest.mark.parametrize("document", ["case", "directive"])
def test_every_tier_that_holds_a_record_can_prove_it(
    world: World, place: str, document: str
) -> None:
    data = getattr(world, place).export(getattr(world, document), world.root)
    ours, theirs = check(data, world.root_der), verify_record(data, world.root)
    assert ours["kind"] == theirs.kind == document
    assert {key: values[0] for key, values in ours["fields"].items()} == theirs.fields


@pytest.mark.parametrize("name", ["file", "directive"])
def test_one_changed_byte_anywhere_is_refused(world: World, name: str) -> None:
    data = world.file
    if name == "directive":
        data = world.commune.export(world.directive, world.root)
    for number, position in enumerate(range(0, len(data), 7)):
        put = BYTE_CHANGES[number % len(BYTE_CHANGES)](data[position])
        changed = data[:position] + put + data[position + 1 :]
        if changed != data:
            assert opinions(world, changed) == ("refused", "refused"), (position, put)


def test_a_record_is_refused_under_another_root(world: World) -> None:
    other = make_root(NodeKey.from_seed(b"x" * 32), "Gốc", NOW_MS, 3650)
    with pytest.raises(Refused):
        check(world.file, other.public_bytes(Encoding.DER))
    with pytest.raises(RecordFileError):
        verify_record(world.file, other)


def test_each_leaf_left_out_is_missed(world: World) -> None:
    for number, log in enumerate(json.loads(world.file)["logs"]):
        for at in range(len(log["leaves"])):
            file = json.loads(world.file)
            del file["logs"][number]["leaves"][at]
            is_last = log is not None and (number, at) in last_changes(world.file)
            assert is_last or opinions(world, lay_out(file)) == ("refused", "refused")


def last_changes(data: bytes) -> set[tuple[int, int]]:
    """Return where changes stand on which nothing in the file depends, and their writer stays."""
    raise NotImplementedError
