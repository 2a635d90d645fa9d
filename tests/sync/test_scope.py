"""A commune receives what concerns it and nothing else.

Method: a province with three communes; drawn histories of cases, directives, assignments, transfers
and companions are carried out at drawn nodes, and what each commune holds afterwards is compared
with a plain rule over all events, written from the protocol.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codes import CaseType
from schemas.events import (
    Assigned,
    DirectiveIssued,
    DirectiveLinked,
    Event,
    GroupFormed,
    GroupLinked,
    PersonJoined,
    PersonRecorded,
    Received,
    Registered,
    Transferred,
    VisitHeld,
)
from schemas.ids import DocumentId, document_text, mint_document_id
from schemas.record import decode_leaf
from sync.scope import addressed_codes, companions, is_within
from tests.sync.builders import CENTRE, COMMUNE, NEIGHBOUR, NOW_MS, PROVINCE, Node, new_node, sync

THIRD = "40.17085"
COMMUNES = (COMMUNE, NEIGHBOUR, THIRD)
ON = date(2026, 9, 21)


@pytest.mark.parametrize(
    ("code", "ancestor", "expected"),
    [
        ("40.17083", "40", True),
        ("40", "40", True),
        ("40", "0", True),
        ("0", "0", True),
        ("0", "40", False),
        ("40", "40.17083", False),
        ("4", "40", False),
        ("40", "4", False),
        ("40.17083", "40.1708", False),
        ("41.17083", "40", False),
    ],
)
def test_a_place_is_within_its_own_and_those_above(
    code: str, ancestor: str, expected: bool
) -> None:
    assert is_within(code, ancestor) is expected


def test_only_events_that_address_a_place_address_it() -> None:
    events: list[Event] = [
        DirectiveIssued(to_codes=("40.1", "40.2"), due_on=ON),
        Transferred(to_office="Sở", to_code="40.3"),
        Transferred(to_office="Toà án"),
        Registered(),
    ]
    assert addressed_codes(events) == {"40.1", "40.2", "40.3"}  # type: ignore[arg-type]
    assert addressed_codes([]) == set()


def test_a_visit_takes_nobody_along() -> None:
    ref = "00000000-0000-7000-8000-000000000001"
    events = [PersonJoined(person=ref)]
    assert companions("visit", events) == set()
    assert {document_text(each) for each in companions("case", events)} == {ref}
    assert {document_text(each) for each in companions("group", events)} == {ref}


@dataclass
class Region:
    """A province with three communes, and what was written."""

    province: Node
    communes: dict[str, Node]
    rng: random.Random
    origin: dict[DocumentId, str] = field(default_factory=dict)
    kind: dict[DocumentId, str] = field(default_factory=dict)
    events: dict[DocumentId, list[Event]] = field(default_factory=dict)

    def at(self, code: str) -> Node:
        return self.province if code == PROVINCE else self.communes[code]

    def start(self, code: str, kind: str, *events: Event) -> DocumentId:
        document = mint_document_id(NOW_MS + len(self.origin), self.rng)
        names = {"visit": "statement", "petition": "content", "case": "summary"}
        texts = {names[kind]: ""} if kind in names else {}
        self.at(code).write(document, kind=kind, texts=texts, events=events)
        self.origin[document], self.kind[document] = code, kind
        self.events[document] = list(events)
        return document

    def add(self, code: str, document: DocumentId, event: Event) -> None:
        self.at(code).write(document, events=[event])
        self.events[document].append(event)

    def settle(self) -> None:
        for _ in range(2):
            for commune in self.communes.values():
                sync(commune, self.province)

    def concerned(self) -> dict[DocumentId, set[str]]:
        """Return the places that each document concerns, by the words of the protocol."""
        codes: dict[DocumentId, set[str]] = {}
        for document, events in self.events.items():
            codes[document] = {self.origin[document]}
            for event in events:
                if isinstance(event, DirectiveIssued):
                    codes[document] |= set(event.to_codes)
                elif isinstance(event, Assigned | Transferred) and event.to_code:
                    codes[document].add(event.to_code)
        names = {document_text(document): document for document in self.events}
        for _ in range(4):
            for document, events in self.events.items():
                if self.kind[document] in ("case", "group"):
                    for ref in references(events):
                        codes[names[ref]] |= codes[document]
        return codes

    def held(self, code: str) -> set[DocumentId]:
        return {row[0] for row in self.at(code).rows("SELECT id FROM document")}


def references(events: Sequence[Event]) -> list[str]:
    found: list[str | None] = []
    for event in events:
        match event:
            case Received():
                found.append(event.petition)
            case PersonJoined():
                found.append(event.person)
            case GroupLinked():
                found.append(event.group)
    return [ref for ref in found if ref]


def region(folder: Path, seed: int = 0) -> Region:
    communes = {code: new_node(code, folder) for code in COMMUNES}
    return Region(new_node(PROVINCE, folder), communes, random.Random(seed))


def person(where: Region, code: str) -> DocumentId:
    return where.start(code, "person", PersonRecorded())


def test_a_case_of_one_commune_never_reaches_another(tmp_path: Path) -> None:
    where = region(tmp_path)
    case = where.start(COMMUNE, "case", Registered())
    where.settle()
    where.province.write(case, fields={"title": "từ tỉnh"})
    where.settle()
    assert where.held(COMMUNE) == {case}
    assert where.held(NEIGHBOUR) == where.held(THIRD) == set()
    assert where.communes[COMMUNE].values(case) == {"title": "từ tỉnh"}
    down = where.province.log(where.province.place, f"down/{where.at(NEIGHBOUR).peer_id.hex()}")
    for leaf in where.province.store.leaves(down, 0, 99):
        assert decode_leaf(leaf).document != case


def test_a_directive_reaches_those_it_names(tmp_path: Path) -> None:
    where = region(tmp_path)
    where.settle()
    directive = where.start(
        PROVINCE, "directive", DirectiveIssued(to_codes=(COMMUNE, THIRD), due_on=ON)
    )
    where.settle()
    assert where.held(COMMUNE) == where.held(THIRD) == {directive}
    assert where.held(NEIGHBOUR) == set()
    # The next one named gets all of it, from its beginning.
    where.add(PROVINCE, directive, DirectiveIssued(to_codes=(NEIGHBOUR,), due_on=ON))
    where.settle()
    assert where.held(NEIGHBOUR) == {directive}
    assert len(where.communes[NEIGHBOUR].replica.intake.events(directive)) == 2


def test_a_transferred_case_brings_its_petition_its_people_and_their_group(tmp_path: Path) -> None:
    where = region(tmp_path)
    visit = where.start(COMMUNE, "visit", VisitHeld(on=ON))
    lan, hoa, stranger = (person(where, COMMUNE) for _ in range(3))
    petition = where.start(COMMUNE, "petition")
    group = where.start(
        COMMUNE, "group", GroupFormed(people_count=5), PersonJoined(person=document_text(hoa))
    )
    case = where.start(
        COMMUNE,
        "case",
        Received(
            on=ON,
            stated_type=CaseType.COMPLAINT,
            petition=document_text(petition),
            visit=document_text(visit),
        ),
        PersonJoined(person=document_text(lan)),
        GroupLinked(group=document_text(group)),
    )
    where.settle()
    assert where.held(NEIGHBOUR) == set()
    where.add(COMMUNE, case, Transferred(to_office="UBND xã", to_code=NEIGHBOUR))
    where.settle()
    assert where.held(NEIGHBOUR) == {case, petition, group, lan, hoa}
    assert stranger not in where.held(NEIGHBOUR)
    assert visit not in where.held(NEIGHBOUR)
    # What is added afterwards follows.
    late = person(where, COMMUNE)
    where.add(COMMUNE, group, PersonJoined(person=document_text(late)))
    where.settle()
    assert late in where.held(NEIGHBOUR)
    assert where.held(THIRD) == set()


def test_the_neighbour_can_work_on_what_it_was_given(tmp_path: Path) -> None:
    where = region(tmp_path)
    case = where.start(COMMUNE, "case", Registered())
    where.add(COMMUNE, case, Transferred(to_office="UBND xã", to_code=NEIGHBOUR))
    where.settle()
    where.at(NEIGHBOUR).write(case, fields={"title": "đã nhận"})
    where.settle()
    assert where.at(COMMUNE).values(case) == {"title": "đã nhận"}
    assert where.at(COMMUNE).dead_letters() == []
    origin = where.at(COMMUNE).rows("SELECT origin FROM document")
    assert origin == where.province.rows("SELECT origin FROM document") == [(COMMUNE,)]


def test_a_new_child_gets_what_concerned_its_place_before_it_came(tmp_path: Path) -> None:
    where = region(tmp_path)
    sync(where.at(COMMUNE), where.province)
    directive = where.start(
        PROVINCE, "directive", DirectiveIssued(to_codes=(NEIGHBOUR,), due_on=ON)
    )
    sync(where.at(NEIGHBOUR), where.province)
    assert where.held(NEIGHBOUR) == {directive}
    assert where.held(COMMUNE) == set()


def test_a_province_gets_from_the_centre_what_concerns_its_communes(tmp_path: Path) -> None:
    where, centre = region(tmp_path), new_node(CENTRE, tmp_path)
    other = new_node("41", tmp_path)
    for province in (where.province, other):
        sync(province, centre)
    directive = mint_document_id(NOW_MS, random.Random(1))
    issued = DirectiveIssued(to_codes=(COMMUNE,), due_on=ON)
    centre.write(directive, kind="directive", texts={"body": ""}, events=[issued])
    for province in (where.province, other):
        sync(province, centre)
    where.settle()
    assert where.held(COMMUNE) == {directive}
    assert where.held(NEIGHBOUR) == set()
    assert other.rows("SELECT * FROM document") == []


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 30))
def test_after_any_history_each_commune_holds_exactly_what_concerns_it(seed: int) -> None:
    where = region(Path("nowhere"), seed)
    rng = where.rng
    for _ in range(18):
        code = rng.choice([*COMMUNES, PROVINCE])
        here = sorted(where.held(code))
        kinds = {kind: [d for d in here if where.kind[d] == kind] for kind in KINDS}
        step = rng.choice([start_one, start_one, address_one, link_one, link_one, meet_one])
        step(where, code, kinds)
    where.settle()
    concerned = where.concerned()
    for code in COMMUNES:
        assert where.held(code) == {d for d, codes in concerned.items() if code in codes}
        assert where.at(code).dead_letters() == []
        assert where.at(code).rows("SELECT * FROM waiting_change") == []
    assert where.held(PROVINCE) == set(where.events)


KINDS = ("case", "group", "person", "petition", "visit", "directive")
Kinds = dict[str, list[DocumentId]]


def start_one(where: Region, code: str, kinds: Kinds) -> None:
    first: dict[str, Event] = {
        "person": PersonRecorded(), "group": GroupFormed(people_count=5), "visit": VisitHeld(on=ON)
    }  # fmt: skip
    kind = where.rng.choice(["case", "group", "person", "petition", "visit"])
    where.start(code, kind, *([first[kind]] if kind in first else []))


def address_one(where: Region, code: str, kinds: Kinds) -> None:
    to = where.rng.choice(COMMUNES)
    if code == PROVINCE and where.rng.random() < 0.5:
        where.start(code, "directive", DirectiveIssued(to_codes=(to,), due_on=ON))
    elif kinds["case"]:
        case = where.rng.choice(kinds["case"])
        where.add(code, case, Transferred(to_office="UBND", to_code=to))


def link_one(where: Region, code: str, kinds: Kinds) -> None:
    holders = kinds["case"] + kinds["group"]
    if not holders:
        return
    holder = where.rng.choice(holders)
    options: list[Event] = [PersonJoined(person=document_text(d)) for d in kinds["person"]]
    if where.kind[holder] == "case":
        options += [GroupLinked(group=document_text(d)) for d in kinds["group"]]
        options += [
            Received(on=ON, stated_type=CaseType.COMPLAINT, petition=document_text(d))
            for d in kinds["petition"]
        ]
        options += [DirectiveLinked(directive=document_text(d)) for d in kinds["directive"]]
    if options:
        where.add(code, holder, where.rng.choice(options))


def meet_one(where: Region, code: str, kinds: Kinds) -> None:
    sync(where.communes[where.rng.choice(COMMUNES)], where.province)
