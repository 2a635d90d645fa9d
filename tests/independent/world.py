"""A centre, a province and two communes of the product, and the records that they exchanged."""

import random
import sqlite3
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from crypto.certificates import issue, make_request, make_root
from crypto.identity import NodeKey
from schemas.codes import CaseType, Tier
from schemas.events import DirectiveIssued, Noted, Received, Registered
from schemas.ids import DocumentId, mint_document_id
from schemas.wire import decode_messages, encode_message
from sync.blobs import BlobFiles
from sync.database import open_database
from sync.errors import RecordFileError
from sync.migrations import migrations
from sync.record_file import export_record, verify_record
from sync.replica import Author, Replica
from sync.session import Session
from sync.store import Peer, Store
from tests.independent.change_reader import Refused
from tests.independent.forger import Signer
from tests.independent.record_checker import check

NOW_MS = 1_790_000_000_123


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
        self._databases = list[sqlite3.Connection]()
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
        self._databases.append(open_database(":memory:", (migrations,)))
        replica = Replica(
            Store(self._databases[-1]),
            key=key,
            chain=[certificate, *above],
            root=self.root,
            admit=lambda *_: None,
            project=lambda _: None,
        )
        return Node(replica, key, [certificate, *above])

    def close(self) -> None:
        """Close all databases."""
        for database in self._databases:
            database.close()

    def meet(self) -> None:
        """Let every pair talk until nothing is left to say."""
        for _ in range(2):
            self.link(self.commune, self.province)
            self.link(self.other, self.province)
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
                waiting.append(session.pump(NOW_MS))
        while any(waiting):
            for mine, (session, end) in enumerate(zip(sessions, ends, strict=True)):
                arrived, waiting[1 - mine] = waiting[1 - mine], []
                with end.replica.transaction():
                    for message in arrived:
                        (read,) = decode_messages(encode_message(message))
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
            texts={"summary": "Hai hộ tranh chấp ranh giới."},
            events=[Received(on=date(2026, 11, 23), stated_type=CaseType.COMPLAINT), Registered()],
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
        issued = DirectiveIssued(to_codes=("40.17083", "40.17084"), due_on=date(2026, 12, 1))
        fields, texts = {"title": "Kiểm tra"}, {"body": "Báo cáo"}
        what: dict[str, Any] = {"kind": "directive", "fields": fields, "texts": texts}
        self.province.write(hung, self.directive, 20_000, events=[issued], **what)
        self.meet()


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
