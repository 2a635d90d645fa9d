"""What people at the offices do: receive citizens, work on cases, direct, assign, edit apart.

Each action works on what its node holds at that moment, inside one transaction, as the desk of the
program does. Most of what is done is what the case allows; some is not, because two offices that
work apart do that to each other all the time.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from node.cases.fold import fold
from node.cases.guards import allowed_events
from node.cases.history import Fact
from node.cases.standing import CaseStanding
from schemas import events as ev
from schemas.codes import (
    CaseType,
    Channel,
    ClosingReason,
    DocumentKind,
    IdentityType,
    Outcome,
    Role,
    Tier,
)
from schemas.event_text import decode_event
from schemas.events import Event
from schemas.ids import DocumentId, EventId, document_text, mint_document_id
from schemas.record import decode_writer
from sync.database import Connection
from sync.replica import Author
from tests.simulation.ledger import Deed
from tests.simulation.nodes import SimulatedNode

_TODAY: Final = date(2026, 9, 21)
_WORDS: Final = ("đất", "ranh giới", "bồi thường", "nhà ở", "đường", "nước", "rừng", "hộ khẩu")
_LINES: Final[Mapping[str, tuple[str, ...]]] = {
    DocumentKind.VISIT: ("register_number", "result"),
    DocumentKind.PERSON: ("full_name", "address", "phone"),
    DocumentKind.PETITION: ("title", "request", "decision_number"),
    DocumentKind.CASE: ("title", "topic", "location", "register_number", "letter_number"),
    DocumentKind.GROUP: ("name",),
    DocumentKind.DIRECTIVE: ("title", "letter_number"),
}
_TEXTS: Final[Mapping[str, str]] = {
    DocumentKind.VISIT: "statement",
    DocumentKind.PETITION: "content",
    DocumentKind.CASE: "summary",
    DocumentKind.DIRECTIVE: "body",
}

Make = Callable[[random.Random, CaseStanding], Event]
HandOver = Callable[[random.Random, CaseStanding, Sequence[str]], Event]


def _transferred(rng: random.Random, case: CaseStanding, communes: Sequence[str]) -> Event:
    code = rng.choice(communes)
    return ev.Transferred(follows=case.tips, to_office=f"UBND xã {code}", to_code=code)


def _assigned(rng: random.Random, case: CaseStanding, communes: Sequence[str]) -> Event:
    code = rng.choice(communes)
    return ev.Assigned(follows=case.tips, to_office=f"UBND xã {code}", to_code=code)


def _number(rng: random.Random) -> str:
    return f"{rng.randint(1, 9)}/2026"


_MAKERS: Final[Mapping[str, Make]] = {
    "registered": lambda rng, case: ev.Registered(follows=case.tips),
    "identity_checked": lambda rng, case: ev.IdentityChecked(
        follows=case.tips, identity_type=IdentityType.CITIZEN_CARD
    ),
    "recorded": lambda rng, case: ev.Recorded(follows=case.tips),
    "readback_confirmed": lambda rng, case: ev.ReadbackConfirmed(
        follows=case.tips, by="fingerprint"
    ),
    "classified": lambda rng, case: ev.Classified(
        follows=case.tips,
        case_type=rng.choice(tuple(CaseType)),
        within_authority=rng.random() < 0.6,
        complex=rng.random() < 0.2,
    ),
    "declared_ineligible": lambda rng, case: ev.DeclaredIneligible(
        follows=case.tips, reason="không đủ điều kiện"
    ),
    "filed": lambda rng, case: ev.Filed(follows=case.tips),
    "supplement_requested": lambda rng, case: ev.SupplementRequested(
        follows=case.tips, missing="bản sao quyết định"
    ),
    "guided": lambda rng, case: ev.Guided(follows=case.tips, to_office="Tòa án khu vực"),
    "transfer_acknowledged": lambda rng, case: ev.TransferAcknowledged(follows=case.tips),
    "transfer_returned": lambda rng, case: ev.TransferReturned(
        follows=case.tips, reason="không thuộc thẩm quyền"
    ),
    "acceptance_proposed": lambda rng, case: ev.AcceptanceProposed(follows=case.tips),
    "accepted": lambda rng, case: ev.Accepted(
        follows=case.tips, on=_TODAY, decision_number=_number(rng)
    ),
    "not_accepted": lambda rng, case: ev.NotAccepted(follows=case.tips, reason="hết thời hiệu"),
    "verification_started": lambda rng, case: ev.VerificationStarted(follows=case.tips),
    "suspended": lambda rng, case: ev.Suspended(follows=case.tips, reason="chờ giám định"),
    "extended": lambda rng, case: ev.Extended(
        follows=case.tips, decision_number=_number(rng), reason="phức tạp"
    ),
    "conclusion_drafted": lambda rng, case: ev.ConclusionDrafted(follows=case.tips),
    "decided": lambda rng, case: ev.Decided(
        follows=case.tips,
        on=_TODAY,
        outcome=rng.choice(tuple(Outcome)),
        decision_number=_number(rng),
    ),
    "published": lambda rng, case: ev.Published(follows=case.tips, on=_TODAY),
    "withdrawn": lambda rng, case: ev.Withdrawn(
        follows=case.tips, scope=rng.choice(("full", "partial"))
    ),
    "answered": lambda rng, case: ev.Answered(follows=case.tips, on=_TODAY),
    "closed": lambda rng, case: ev.Closed(
        follows=case.tips, reason=rng.choice(tuple(ClosingReason)), document_number=_number(rng)
    ),
    "reopened": lambda rng, case: ev.Reopened(
        follows=case.tips, ground="new_evidence", reason="tình tiết mới"
    ),
    "settled": lambda rng, case: ev.Settled(
        follows=case.tips,
        chosen=rng.choice([branch.tip for branch in case.in_conflict] or ["0" * 24]),
        reason="thống nhất",
    ),
    "noted": lambda rng, case: ev.Noted(text=rng.choice(_WORDS)),
}
_HANDED_OVER: Final[Mapping[str, HandOver]] = {"transferred": _transferred, "assigned": _assigned}
_NAMES: Final = sorted({*_MAKERS, *_HANDED_OVER})


@dataclass(slots=True)
class Pen:
    """Writes for one author in the running transaction and remembers what it wrote.

    Attributes:
        communes: codes of all communes that there are.
        later: what the author goes on with, alone, some time after this transaction.
    """

    node: SimulatedNode
    author: Author
    clock_ms: int
    communes: Sequence[str]
    deeds: list[Deed] = field(default_factory=list)
    later: "Action | None" = None

    def write(
        self,
        document: DocumentId,
        *,
        kind: DocumentKind | None = None,
        fields: Mapping[str, str | int | None] | None = None,
        texts: Mapping[str, str] | None = None,
        events: Sequence[Event] = (),
        base: tuple[bytes, ...] | None = None,
    ) -> None:
        """Write one change."""
        replica = self.node.replica
        written = replica.write(
            self.author,
            document,
            now_ms=self.clock_ms,
            kind=kind.value if kind else None,
            fields=fields,
            texts=texts,
            events=events,
            base=base,
        )
        if written.seq is None:
            return
        found = self.node.guard.disk.execute(
            "SELECT hash FROM change WHERE log = ? AND seq = ?",
            (replica.up_log().number, written.seq),
        ).fetchone()
        self.deeds.append(
            Deed(
                code=self.node.code,
                document=document,
                kind=kind,
                change=bytes(found[0]),
                events=tuple(zip(written.events, events, strict=True)),
                is_acknowledged=False,
            )
        )


Action = Callable[[Pen, random.Random], None]


def facts_of(db: Connection, document: DocumentId) -> list[Fact]:
    """Return the facts of a document as a node holds them, oldest first."""
    rows = db.execute(
        "SELECT e.id, e.body, w.body FROM event e JOIN writer w ON w.log = e.log"
        " AND w.number = e.writer WHERE e.document = ? ORDER BY e.id",
        (document,),
    )
    return [
        Fact(id=EventId(row[0]), event=decode_event(row[1]), writer=decode_writer(row[2]))
        for row in rows
    ]


def documents_of(node: SimulatedNode, *kinds: DocumentKind) -> list[DocumentId]:
    """Return what a node holds of some kinds, oldest first."""
    rows = node.guard.disk.execute("SELECT id, kind FROM document ORDER BY id").fetchall()
    wanted = {kind.value for kind in kinds}
    return [DocumentId(row[0]) for row in rows if row[1] in wanted]


def recent(
    node: SimulatedNode, rng: random.Random, *kinds: DocumentKind, among: int = 6
) -> DocumentId | None:
    """Return one of the newest documents of some kinds, so that people meet at the same ones."""
    found = documents_of(node, *kinds)
    return rng.choice(found[-among:]) if found else None


# Actions


def receive_citizen(pen: Pen, rng: random.Random) -> None:
    """Register a visit with people, a petition and its case, all or nothing."""
    stated = rng.choice(tuple(CaseType))
    sealed = stated is CaseType.DENUNCIATION
    visit, person, petition, case = (mint_document_id(pen.clock_ms, rng) for _ in range(4))
    pen.write(
        person,
        kind=DocumentKind.PERSON,
        fields={"full_name": "Nguyễn Văn A", "birth_year": rng.randint(1940, 2000)},
        events=[ev.PersonRecorded()],
    )
    joined = [] if sealed else [ev.PersonJoined(person=document_text(person))]
    pen.write(
        visit,
        kind=DocumentKind.VISIT,
        texts={"statement": _sentence(rng)},
        events=[ev.VisitHeld(on=_TODAY), *joined],
    )
    pen.write(
        petition,
        kind=DocumentKind.PETITION,
        fields={} if sealed else {"title": _sentence(rng)},
        texts={} if sealed else {"content": _sentence(rng)},
        events=[ev.PetitionLodged(on=_TODAY, stated_type=stated)],
    )
    received = ev.Received(
        on=_TODAY,
        stated_type=stated,
        channel=rng.choice((Channel.VISIT, Channel.POST)),
        petition=document_text(petition),
        visit=document_text(visit),
    )
    pen.write(
        case,
        kind=DocumentKind.CASE,
        fields={"topic": "dat_dai"} if sealed else {"title": _sentence(rng)},
        texts={} if sealed else {"summary": _sentence(rng)},
        events=[received, *joined],
    )


def work_on_case(pen: Pen, rng: random.Random) -> None:
    """Record one or two events in a case, mostly such as are possible there."""
    for _ in range(rng.choice((1, 1, 2))):
        document = recent(pen.node, rng, DocumentKind.CASE)
        if document is not None:
            pen.write(document, events=next_events(pen, rng, document))


def next_events(pen: Pen, rng: random.Random, document: DocumentId) -> list[Event]:
    """Return what this author may record next in a case; now and then what nobody may."""
    case = fold(facts_of(pen.node.guard.disk, document))
    tier = pen.node.office.tier
    possible = [
        name for name in allowed_events(case, Role(pen.author.role), tier) if name in _NAMES
    ]
    if rng.random() < 0.1 or not possible:
        possible = _NAMES
    name = rng.choice(possible)
    if name in _HANDED_OVER:
        made = [_HANDED_OVER[name](rng, case, pen.communes)]
    else:
        made = [_MAKERS[name](rng, case)]
    if rng.random() < 0.2:
        made.append(ev.Noted(text=rng.choice(_WORDS)))
    return made


def hand_over(pen: Pen, rng: random.Random) -> None:
    """Give a case, or send it, to some commune, of the same province or another."""
    document = recent(pen.node, rng, DocumentKind.CASE)
    if document is None:
        return
    case = fold(facts_of(pen.node.guard.disk, document))
    pen.write(document, events=[rng.choice((_assigned, _transferred))(rng, case, pen.communes)])


def edit(pen: Pen, rng: random.Random) -> None:
    """Change fields or the text of a document."""
    document = recent(pen.node, rng, *DocumentKind)
    if document is None:
        return
    fields, texts = _new_values(pen.node, rng, document)
    pen.write(document, fields=fields, texts=texts)


def look_then_edit(pen: Pen, rng: random.Random) -> None:
    """Look at a document now; the edit is written later, on what was seen now."""
    document = recent(pen.node, rng, *DocumentKind, among=3)
    if document is None:
        return
    base = pen.node.replica.intake.documents.heads(document)
    fields, texts = _new_values(pen.node, rng, document)
    is_case = document in documents_of(pen.node, DocumentKind.CASE)
    events = next_events(pen, rng, document) if is_case else [ev.Noted(text=rng.choice(_WORDS))]

    def edit_apart(pen: Pen, rng: random.Random) -> None:
        pen.write(document, fields=fields, texts=texts, events=events, base=base)

    pen.later = edit_apart


def join_people(pen: Pen, rng: random.Random) -> None:
    """Bring a person into a case or group, or a group behind a case, in any order."""
    case = recent(pen.node, rng, DocumentKind.CASE)
    group = recent(pen.node, rng, DocumentKind.GROUP)
    person = recent(pen.node, rng, DocumentKind.PERSON)
    if group is None or rng.random() < 0.3:
        made = mint_document_id(pen.clock_ms, rng)
        pen.write(
            made,
            kind=DocumentKind.GROUP,
            fields={"name": "Các hộ dân"},
            events=[ev.GroupFormed(people_count=rng.randint(2, 50))],
        )
        group = made
    if person is not None:
        target = rng.choice([group, case or group])
        pen.write(target, events=[ev.PersonJoined(person=document_text(person))])
    if case is not None:
        pen.write(case, events=[ev.GroupLinked(group=document_text(group))])


def direct(pen: Pen, rng: random.Random) -> None:
    """Issue a directive to communes below, or act on one that is here."""
    existing = recent(pen.node, rng, DocumentKind.DIRECTIVE)
    if existing is not None and (pen.node.office.tier is Tier.COMMUNE or rng.random() < 0.5):
        events = (
            ev.DirectiveAcknowledged(),
            ev.DirectiveReported(text=_sentence(rng)),
            ev.DirectiveDone(),
        )
        pen.write(existing, events=[rng.choice(events)])
    elif pen.node.office.tier is not Tier.COMMUNE:
        code = pen.node.code
        below = [c for c in pen.communes if code == "0" or c.startswith(code + ".")]
        chosen = sorted(rng.sample(below, min(rng.randint(1, 3), len(below))))
        pen.write(
            mint_document_id(pen.clock_ms, rng),
            kind=DocumentKind.DIRECTIVE,
            fields={"title": _sentence(rng)},
            texts={"body": _sentence(rng)},
            events=[ev.DirectiveIssued(to_codes=tuple(chosen), due_on=_TODAY)],
        )


def attach(pen: Pen, rng: random.Random) -> None:
    """Attach a scan: its file is on the disk before the record of it is written."""
    document = recent(pen.node, rng, DocumentKind.CASE, DocumentKind.PETITION)
    if document is None:
        return
    data = rng.randbytes(rng.choice((1, 3_000, 100_000)))
    digest = hashlib.sha256(data).digest()
    pen.node.files.append(digest, data)
    pen.node.files.finish(digest)
    pen.node.replica.store.blob_arrived(digest, len(data))
    event = ev.Attached(
        sha256=digest.hex(), size_bytes=len(data), name="đơn.pdf", media_type="application/pdf"
    )
    pen.write(document, events=[event])


def _new_values(
    node: SimulatedNode, rng: random.Random, document: DocumentId
) -> tuple[dict[str, str | int | None], dict[str, str]]:
    registers = node.replica.intake.registers(document)
    fields: dict[str, str | int | None] = {}
    for name in rng.sample(_LINES[registers.kind], 1):
        fields[name] = None if rng.random() < 0.1 else rng.choice(_WORDS)
    text = _TEXTS.get(registers.kind, "")
    texts = {}
    if text in registers.texts and rng.random() < 0.4:
        words = node.replica.intake.documents.text(document, text).split()
        words.insert(rng.randint(0, len(words)), rng.choice(_WORDS))
        del words[12:]
        texts[text] = " ".join(words)
    return fields, texts


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(2, 6)))


# (weight, action) of those who sit at each tier.
HABITS: Final[Mapping[Tier, Sequence[tuple[int, Action]]]] = {
    Tier.COMMUNE: (
        (30, receive_citizen),
        (30, work_on_case),
        (20, edit),
        (8, join_people),
        (5, direct),
        (4, attach),
        (5, hand_over),
    ),
    Tier.PROVINCE: (
        (40, work_on_case),
        (15, edit),
        (20, direct),
        (20, hand_over),
        (3, attach),
        (5, join_people),
    ),
    Tier.CENTRE: ((40, work_on_case), (20, edit), (20, direct), (20, hand_over)),
}
