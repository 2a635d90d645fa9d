"""A rebuild ends with the same rows of every table, after whatever happened.

Method: a centre, a province and two communes write drawn histories to each other's records, much of
it apart and against the rules; then every derived table is made again from the leaves and compared
row by row. Two nodes that hold the same records must also show the same.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from node.cases.admission import EVENTS_OF
from node.station import DERIVED_TABLES, Station, open_station, rebuild, view_digest
from node.views import VIEW_TABLES
from schemas.codes import (
    CaseType,
    Channel,
    ClosingReason,
    DocumentKind,
    IdentityType,
    RefusalGround,
)
from schemas.events import (
    Accepted,
    Attached,
    Classified,
    Closed,
    DeclaredIneligible,
    DirectiveAcknowledged,
    DirectiveIssued,
    DirectiveReported,
    Event,
    GroupFormed,
    GroupLinked,
    IdentityChecked,
    NotAccepted,
    Noted,
    PersonJoined,
    PersonRecorded,
    PetitionLinked,
    PetitionLodged,
    ReadbackConfirmed,
    Received,
    Recorded,
    RefusedReception,
    Reopened,
    Settled,
    SupplementRequested,
    Suspended,
    Transferred,
    VerificationStarted,
    VisitHeld,
    Withdrawn,
)
from schemas.fields import FIELDS
from schemas.hlc import reading
from schemas.ids import DocumentId, document_text, mint_document_id
from schemas.record import Leaf, LeafType
from sync.change import parse_change
from sync.document import Edit
from sync.errors import LogError, StoreError
from sync.registers import decode_registers
from sync.replica import Author
from tests.node.places import make_centre, make_commune, make_province
from tests.sync.builders import Link, LogBuilder, Node, Pen, Place, actor_of, writer_of

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
ON = date(2026, 9, 21)
COMMUNE, NEIGHBOUR = "40.17083", "40.17084"


@dataclass
class Region:
    """Four stations and the records that they write to."""

    stations: dict[str, Station]
    rng: random.Random
    now_ms: int = NOW_MS
    documents: dict[DocumentKind, list[DocumentId]] = field(default_factory=dict)

    def node(self, code: str) -> Node:
        station = self.stations[code]
        place = Place(station.folder.key, tuple(station.folder.chain))
        return Node(place, station.replica, station.blobs)

    def author(self, code: str) -> Author:
        user = self.rng.choice(["lan", "hoa"])
        officer = "reception_officer" if "." in code else "provincial_reception_board"
        chair = "commune_chair" if "." in code else "provincial_chair"
        # Until its first case is received, nobody but officers write.
        role = self.rng.choice([officer, officer, chair] if self.is_open() else [officer])
        device = user.encode() * 4 + self.stations[code].replica.device[:4]
        return Author(user=user, name=user.title(), role=role, device=device)

    def is_open(self) -> bool:
        return DocumentKind.CASE in self.documents

    def ref(self, kind: DocumentKind) -> str:
        known = self.documents.get(kind)
        return document_text(self.rng.choice(known)) if known else document_text(bytes(16))

    def start(self, code: str, kind: DocumentKind | None = None) -> None:
        kind = kind or self.rng.choice([*DocumentKind, DocumentKind.CASE, DocumentKind.CASE])
        if code == "0":
            # Else the centre would hold records that the province does not.
            kind = DocumentKind.DIRECTIVE
        document = mint_document_id(self.now_ms, self.rng)
        texts = {name: "" for name, spec in FIELDS[kind].items() if spec.shape == "text"}
        self.write(code, document, kind=kind.value, texts=texts, events=first_events(self, kind))
        self.documents.setdefault(kind, []).append(document)

    def go_on(self, code: str) -> None:
        """Write something to a record that is there, sometimes from an old version of it."""
        replica = self.stations[code].replica
        here = {bytes(row[0]) for row in replica.store.db.execute("SELECT id FROM document")}
        known = [(k, d) for k, all_of in self.documents.items() for d in all_of if d in here]
        if not known:
            return
        kind, document = self.rng.choice(known)
        documents = replica.intake.documents
        base = documents.heads(document)
        if self.rng.random() < 0.4:
            raw = self.rng.choice(documents.changes(document))
            base = (parse_change(raw).hash,)
        events = [some_event(self, kind, code, document)] if self.rng.random() < 0.7 else []
        # The node refuses what its own admission does not let in.
        with suppress(LogError):
            self.write(code, document, fields=some_fields(self, kind), texts=some_text(self, kind),
                       events=events, base=base)  # fmt: skip

    def write(self, code: str, document: DocumentId, **what: Any) -> None:
        self.now_ms += self.rng.randrange(MINUTE_MS)
        replica = self.stations[code].replica
        with replica.transaction():
            replica.write(self.author(code), document, now_ms=self.now_ms, **what)

    def meet(self, *pair: str) -> None:
        child, parent = pair or self.rng.choice(LINES)
        Link(self.node(child), self.node(parent), self.now_ms).run()

    def settle(self) -> None:
        for _ in range(3):
            for line in LINES:
                self.meet(*line)


LINES = ((COMMUNE, "40"), (NEIGHBOUR, "40"), ("40", "0"))


def first_events(region: Region, kind: DocumentKind) -> list[Event]:
    complaint = CaseType.COMPLAINT
    if region.documents.get(DocumentKind.CASE):
        complaint = region.rng.choice(list(CaseType))
    match kind:
        case DocumentKind.PERSON:
            return [PersonRecorded()]
        case DocumentKind.GROUP:
            return [GroupFormed(people_count=5)]
        case DocumentKind.VISIT:
            return [VisitHeld(on=ON), PersonJoined(person=region.ref(DocumentKind.PERSON))]
        case DocumentKind.PETITION:
            return [PetitionLodged(on=ON, stated_type=complaint)]
        case DocumentKind.DIRECTIVE:
            to = tuple(region.rng.sample([COMMUNE, NEIGHBOUR], region.rng.randint(1, 2)))
            return [DirectiveIssued(to_codes=to, due_on=ON)]
        case _:
            petition = region.ref(DocumentKind.PETITION)
            return [Received(on=ON, stated_type=complaint, channel=Channel.POST, petition=petition)]


def some_event(region: Region, kind: DocumentKind, code: str, document: DocumentId) -> Event:
    rng, person = region.rng, region.ref(DocumentKind.PERSON)
    options: list[Event] = [
        Noted(text=f"ghi chú {rng.randrange(9)}"),
        Attached(sha256=f"{rng.randrange(9)}" * 64, size_bytes=10, name="a", media_type="a/b"),
        PersonJoined(person=person),
        GroupLinked(group=region.ref(DocumentKind.GROUP)),
        PetitionLinked(
            petition=region.ref(DocumentKind.PETITION), case=region.ref(DocumentKind.CASE)
        ),
        DirectiveAcknowledged(),
        DirectiveReported(text="đã làm"),
        *state_events(region),
    ]
    allowed = EVENTS_OF[kind]
    event = rng.choice([each for each in options if each.type in allowed])
    if "follows" in type(event).model_fields:
        return event.model_copy(update={"follows": follows(region, code, document)})
    return event


def state_events(region: Region) -> list[Event]:
    rng = region.rng
    return [
        IdentityChecked(identity_type=IdentityType.CITIZEN_CARD),
        Recorded(),
        ReadbackConfirmed(by="signature"),
        RefusedReception(ground=RefusalGround.UNABLE, reason="say rượu"),
        Classified(case_type=rng.choice([CaseType.COMPLAINT, CaseType.DENUNCIATION])),
        Transferred(to_office="UBND", to_code=rng.choice([COMMUNE, NEIGHBOUR])),
        Accepted(on=ON),
        NotAccepted(reason="không thuộc thẩm quyền"),
        VerificationStarted(),
        Suspended(reason="chờ"),
        Withdrawn(scope="full"),
        Closed(reason=ClosingReason.ANSWERED),
        Reopened(ground="new_evidence", reason="mới"),
        Settled(chosen=f"{rng.getrandbits(96):024x}", reason="chọn"),
    ]


def follows(region: Region, code: str, document: DocumentId) -> tuple[str, ...]:
    """Return one of the newest events of a document, or two, or nothing."""
    db = region.stations[code].replica.store.db
    newest = "SELECT id FROM event WHERE document = ? ORDER BY id DESC LIMIT 3"
    known = [row[0] for row in db.execute(newest, (document,))]
    count = region.rng.choice([0, 1, 1, 1, 1, 2])
    return tuple(sorted(region.rng.sample(known, min(len(known), count))))


def some_fields(region: Region, kind: DocumentKind) -> dict[str, str | int | None]:
    rng = region.rng
    fields: dict[str, str | int | None] = {}
    for name, spec in FIELDS[kind].items():
        if rng.random() < 0.3 and spec.shape in ("line", "choice", "date", "number"):
            value = rng.randrange(1950, 2000) if spec.shape == "number" else f"{rng.randrange(99)}"
            fields[name] = rng.choice([value, value, None])
    return fields


def some_text(region: Region, kind: DocumentKind) -> dict[str, str]:
    names = [name for name, spec in FIELDS[kind].items() if spec.shape == "text"]
    words = region.rng.choices(["đất", "rẫy.", "ông", "bồi thường."], k=6)
    return {name: " ".join(words) for name in names if region.rng.random() < 0.3}


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    make_centre(tmp_path / "0")
    make_province(tmp_path / "40", tmp_path / "0")
    for code in (COMMUNE, NEIGHBOUR):
        make_commune(tmp_path / code, tmp_path / "40", code)
    rng = random.Random(1)
    codes = ("0", "40", COMMUNE, NEIGHBOUR)
    stations = {code: open_station(tmp_path / code, rng) for code in codes}
    for station in stations.values():
        station.connection.execute("PRAGMA synchronous = OFF")
    yield Region(stations, rng)
    for station in stations.values():
        station.close()


def dump(station: Station, tables: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of tables, but for what says only in which order the records came."""
    db = station.connection
    queries = {"cases": cases_without_numbers(station), **QUERIES}
    found = {
        table: sorted(db.execute(queries.get(table, f"SELECT * FROM {table}")), key=repr)
        for table in tables
    }
    if "document" in found:
        found["document"] = [(*row[:-1], *standing(row[-1])) for row in found["document"]]
        # A rebuild writes nothing into the logs.
        found["log"] = sorted(db.execute("SELECT * FROM log"))
    return found


def standing(registers: bytes) -> tuple[Any, ...]:
    """Return what a document's fields say; which copy of a change said it first may differ."""
    decoded = decode_registers(registers)
    rows = {name: [(each.op, each.value) for each in row] for name, row in decoded.fields.items()}
    return rows, decoded.texts, sorted(decoded.last_ops.items())


QUERIES = {
    # The number of a case is the order in which it came.
    "case_search": "SELECT c.id, s.text FROM cases c JOIN case_search s ON s.rowid = c.number",
    # An event may stand in several logs; who wrote it is the same in all.
    "event": "SELECT e.document, e.id, e.type, e.body, w.body FROM event e"
    " JOIN writer w ON w.log = e.log AND w.number = e.writer",
}


def differences(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Return the rows that only one side has, by table."""
    return {
        name: ([row for row in one[name] if row not in two[name]],
               [row for row in two[name] if row not in one[name]])
        for name in one
        if one[name] != two[name]
    }  # fmt: skip


def make_again(station: Station) -> None:
    rebuild(station, NOW_MS, lambda done, total: None)


def begin(region: Region) -> None:
    """Write one of everything, and decide about one case twice, apart."""
    for kind in DocumentKind:
        region.start(COMMUNE, kind)
    petition, case = region.ref(DocumentKind.PETITION), region.ref(DocumentKind.CASE)
    (visit,) = region.documents[DocumentKind.VISIT]
    region.write(COMMUNE, visit, events=[PetitionLinked(petition=petition, case=case)])
    (document,) = region.documents[DocumentKind.CASE]
    region.write(COMMUNE, document, events=[PersonJoined(person=region.ref(DocumentKind.PERSON))])
    last = newest(region, document, "received")
    officers = [officer(number) for number in range(2)]
    act(region, document, officers[0], Classified(case_type=CaseType.COMPLAINT, follows=last))
    base = region.stations[COMMUNE].replica.intake.documents.heads(document)
    last = newest(region, document, "classified")
    unfit = DeclaredIneligible(reason="không đủ điều kiện", follows=last)
    asked = SupplementRequested(missing="quyết định", follows=last)
    for author, event in zip(officers, (unfit, asked), strict=True):
        act(region, document, author, event, base)


def newest(region: Region, document: DocumentId, kind: str) -> tuple[str, ...]:
    db = region.stations[COMMUNE].replica.store.db
    rows = db.execute("SELECT id FROM event WHERE document = ? AND type = ?", (document, kind))
    return tuple(row[0] for row in rows)


def officer(number: int) -> Author:
    device = bytes([number]) * 16
    return Author(user="lan", name="Lan", role="reception_officer", device=device)


def act(
    region: Region,
    document: DocumentId,
    author: Author,
    event: Event,
    base: tuple[bytes, ...] | None = None,
) -> None:
    replica = region.stations[COMMUNE].replica
    with replica.transaction():
        replica.write(author, document, now_ms=region.now_ms, events=[event], base=base)


def live(region: Region, steps: int) -> None:
    begin(region)
    for line in LINES:
        region.meet(*line)
    for _ in range(steps):
        code = region.rng.choice([COMMUNE, COMMUNE, NEIGHBOUR, "40", "0"])
        what = region.rng.choice([region.start, region.go_on, region.go_on, region.go_on])
        what(code)
        if region.rng.random() < 0.2:
            region.meet()


def cases_without_numbers(station: Station) -> str:
    """Return the query of all columns of cases but the number."""
    columns = [row[1] for row in station.connection.execute("PRAGMA table_info(cases)")]
    return f"SELECT {', '.join(column for column in columns if column != 'number')} FROM cases"


@pytest.mark.parametrize("seed", range(2))
def test_a_rebuild_ends_with_the_same_rows(region: Region, seed: int) -> None:
    region.rng.seed(seed)
    live(region, 120)
    for station in region.stations.values():
        before, digest = dump(station, DERIVED_TABLES), view_digest(station.connection)
        make_again(station)
        assert differences(before, dump(station, DERIVED_TABLES)) == {}
        assert view_digest(station.connection) == digest
    region.settle()
    for station in region.stations.values():
        before = dump(station, DERIVED_TABLES)
        make_again(station)
        assert differences(before, dump(station, DERIVED_TABLES)) == {}
    assert_rich(dump(region.stations["40"], DERIVED_TABLES))


def assert_rich(rows: dict[str, list[tuple[Any, ...]]]) -> None:
    empty = {name for name, found in rows.items() if not found}
    # Revocations are rebuilt in tests/sync/test_revocations.py, outposts in test_outposts.py
    # beside it; no program writes here.
    of_revoked = {"revocation_leaf", "void_change", "quarantined_change", "vouching"}
    assert empty <= {"waiting_change", "dead_letter", "writer_actor", *of_revoked}
    assert any(row[8] for row in rows["cases"]), "no case is in conflict"


@pytest.mark.parametrize("seed", range(2))
def test_nodes_with_the_same_records_show_the_same(region: Region, seed: int) -> None:
    region.rng.seed(seed)
    live(region, 120)
    region.settle()
    # Which log a record stands in, and where, is each node's own.
    tables = [table for table in (*VIEW_TABLES, "case_search") if table != "record_logs"]
    province, centre = (dump(region.stations[code], tables) for code in ("40", "0"))
    assert differences(province, centre) == {}
    make_again(region.stations["0"])
    assert differences(province, dump(region.stations["0"], tables)) == {}


def test_who_joined_what_proves_to_be_a_denunciation_is_shown_no_more(region: Region) -> None:
    for kind in (DocumentKind.PERSON, DocumentKind.PETITION, DocumentKind.CASE):
        region.start(COMMUNE, kind)
    region.settle()
    (case,) = region.documents[DocumentKind.CASE]
    last = newest(region, case, "received")
    joined = PersonJoined(person=region.ref(DocumentKind.PERSON))
    # The commune classified first; the province, which does not know yet, adds the person.
    act(region, case, officer(0), Classified(case_type=CaseType.DENUNCIATION, follows=last))
    region.write("40", case, events=[joined])
    shown = "SELECT people, (SELECT count(*) FROM case_people) FROM cases"
    assert region.stations["40"].connection.execute(shown).fetchone()[1] == 1
    region.settle()
    for station in region.stations.values():
        assert station.connection.execute(shown).fetchone() in (("", 0), None)


def test_a_rebuild_keeps_dead_letters_and_what_waits(region: Region) -> None:
    live(region, 20)
    province = region.stations["40"]
    stranger = region.node(NEIGHBOUR).place
    pen, writer = Pen(), writer_of(stranger, epoch=7)
    pen.write(actor_of(writer), Edit(kind="case", texts={"summary": ""}))
    waits = pen.write(actor_of(writer), Edit(fields={"title": "chờ"}))
    builder = LogBuilder(stranger, epoch=7).declare(1, writer).change(waits.raw)
    builder.leaves += [b"no leaf", Leaf(type=99, writer=0, document=b"", hlc=0, body=b"").encode()]
    builder.add(LeafType.WRITER, b"no writer", writer=2, hlc=reading(NOW_MS))
    log = builder.put_into(region.node("40"))
    before = dump(province, DERIVED_TABLES)
    assert len(before["dead_letter"]) == 3
    assert len(before["waiting_change"]) == 1
    make_again(province)
    assert differences(before, dump(province, DERIVED_TABLES)) == {}
    # And what waited still wakes.
    builder.change(pen.changes[0].raw)
    with province.replica.transaction():
        found = province.replica.store.find_log(log.log_id)
        assert found is not None
        builder.take(region.node("40"), found, builder.leaves[-1])
    row = province.connection.execute("SELECT title FROM cases WHERE title = 'chờ'").fetchone()
    assert row == ("chờ",)


def test_a_rebuild_that_ends_early_changes_nothing(region: Region) -> None:
    live(region, 20)
    station = region.stations[COMMUNE]
    before = dump(station, DERIVED_TABLES)
    station.connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError):
        make_again(station)
    station.connection.execute("PRAGMA query_only = OFF")
    assert differences(before, dump(station, DERIVED_TABLES)) == {}
    region.start(COMMUNE)
    make_again(station)
