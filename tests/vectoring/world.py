"""What the vectors tell: a commune, its province and the centre, and what they wrote."""

import atexit
import random
from dataclasses import dataclass
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from schemas.codes import CaseType
from schemas.events import Accepted, Attached, DirectiveIssued, Noted, PersonJoined, Received
from schemas.ids import DocumentId, EventId, document_text, mint_document_id
from sync.replica import Author
from tests.independent.forger import Signer
from tests.sync.builders import CENTRE, COMMUNE, NOW_MS, PROVINCE, Link, Node, Place, new_node

HOUR_MS: Final = 3_600_000
PAPER: Final = b"%PDF-1.4\n" + b"".join(sha256(bytes([n])).digest() for n in range(40))
BROWSER: Final = bytes(range(0xA0, 0xB0))


def document(number: int) -> DocumentId:
    """Return the id of a document of the story."""
    return mint_document_id(NOW_MS + number, random.Random(number))


CASE, PERSON, DIRECTIVE, PAPERS = map(document, range(4))


def signer(where: Place) -> Signer:
    """Return a node as the independent programs know it."""
    who = where.subject
    return Signer(
        tier=who.tier.value,
        code=who.code,
        name=who.name,
        peer_id=bytes(who.peer_id),
        chain=where.der,
        sign=where.key.sign,
    )


def author(node: Node, user: str, name: str, device: bytes | None = None) -> Author:
    """Return somebody at a node."""
    own = device or node.replica.device
    return Author(user=user, name=name, role="reception_officer", device=own)


@dataclass(frozen=True)
class Country:
    """Three nodes."""

    commune: Node
    province: Node
    centre: Node

    def meet(self, now_ms: int) -> None:
        """Let links come and go until everybody has what it needs."""
        for _ in range(2):
            Link(self.commune, self.province, now_ms).run()
            Link(self.province, self.centre, now_ms).run()


def new_country() -> Country:
    """Return three nodes that know nothing."""
    folder = Path(mkdtemp(prefix="vectors"))
    atexit.register(rmtree, folder)
    return Country(*(new_node(code, folder) for code in (COMMUNE, PROVINCE, CENTRE)))


def write_case(commune: Node) -> None:
    """Write what uses every kind of leaf, column and token: two people, two devices."""
    lan, tuan = (
        author(commune, "lan", "Nguyễn Thị Lan"),
        author(commune, "tuan", "Lò Văn Tuấn", BROWSER),
    )
    commune.write(
        PERSON,
        NOW_MS,
        author=lan,
        kind="person",
        fields={"full_name": "Vi Thị Bình", "birth_year": 1961},
    )
    commune.write(
        CASE,
        NOW_MS,
        author=lan,
        kind="case",
        fields={"title": "Tranh chấp đất", "topic": "dat_dai"},
        texts={"summary": "Hai hộ tranh chấp ranh giới."},
        events=[
            Received(on=date(2026, 9, 21), stated_type=CaseType.COMPLAINT),
            PersonJoined(person=document_text(PERSON)),
        ],
    )
    (received,) = commune.rows("SELECT id FROM event WHERE type = 'received'")[0]
    accepted = Accepted(on=date(2026, 9, 22), follows=(EventId(received),))
    commune.write(CASE, NOW_MS + HOUR_MS, author=tuan, events=[accepted])
    what: dict[str, Any] = {
        "fields": {"topic": None},
        "texts": {"summary": "Ranh giới có tranh chấp."},
    }
    commune.write(CASE, NOW_MS + 2 * HOUR_MS, author=lan, events=[Noted(text="đã gọi")], **what)
    attach(commune)


def attach(commune: Node) -> None:
    """Attach a file to a document of its own."""
    digest = sha256(PAPER).digest()
    commune.files.append(digest, PAPER)
    assert commune.files.finish(digest)
    attached = Attached(
        sha256=digest.hex(), size_bytes=len(PAPER), name="don.pdf", media_type="application/pdf"
    )
    commune.write(
        PAPERS, NOW_MS + 3 * HOUR_MS, kind="case", fields={"title": "Đơn"}, events=[attached]
    )
    with commune.transaction():
        commune.store.blob_arrived(digest, len(PAPER))


def issue_directive(province: Node) -> None:
    """Let the province direct the commune."""
    issued = DirectiveIssued(to_codes=(COMMUNE,), due_on=date(2026, 10, 1))
    hung = author(province, "hung", "Trần Hùng")
    what: dict[str, Any] = {"fields": {"title": "Kiểm tra"}, "texts": {"body": "Báo cáo trước."}}
    province.write(
        DIRECTIVE, NOW_MS + 4 * HOUR_MS, author=hung, kind="directive", events=[issued], **what
    )


@cache
def country() -> Country:
    """Return the three after they met, with a title that two of them changed apart."""
    made = new_country()
    write_case(made.commune)
    made.meet(NOW_MS + 5 * HOUR_MS)
    issue_directive(made.province)
    lan, hung = (
        author(made.commune, "lan", "Nguyễn Thị Lan"),
        author(made.province, "hung", "Trần Hùng"),
    )
    later = NOW_MS + 6 * HOUR_MS
    made.commune.write(CASE, later, author=lan, fields={"title": "Tranh chấp ranh giới"})
    made.province.write(CASE, later, author=hung, fields={"title": "Tranh chấp đất rừng"})
    made.meet(NOW_MS + 7 * HOUR_MS)
    return made


def log_of_the_commune() -> list[bytes]:
    """Return the leaves of the commune's own log."""
    commune = country().commune
    log = commune.log(commune.place)
    return commune.store.leaves(log, 0, log.size)
