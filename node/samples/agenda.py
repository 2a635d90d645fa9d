"""What happened at the demo's offices in the weeks before it starts, as a list of deeds in order.

Pure: the same generator and the same time give the same agenda.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from typing import Any, Final

from node.clock import date_of
from node.requests import IssueDirective, RegisterVisit, SplitCase
from node.samples.moments import later_moment, past_moment
from node.samples.texts import (
    Paper,
    Place,
    VisitRow,
    agenda_rows,
    courses,
    find_place,
    places,
    stories,
)
from node.samples.visits import Arrival, SampleVisit, compose_visit, visit_form
from schemas.codes import CaseType, ReceptionKind, Role
from schemas.event_text import event_models
from schemas.ids import document_text, mint_document_id

_MINUTE_MS: Final = 60_000
_DESK_ROLES: Final = {
    "commune": Role.RECEPTION_OFFICER,
    "province": Role.PROVINCIAL_RECEPTION_BOARD,
}
_EVENTS = event_models()


@dataclass(frozen=True, slots=True)
class Reception:
    """A visit is registered."""

    form: RegisterVisit


@dataclass(frozen=True, slots=True)
class Happening:
    """An event is added to a case."""

    case_id: str
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Division:
    """A case of several contents is split."""

    case_id: str
    request: SplitCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """A file is attached to a case; it is drawn when it is needed, from its seed."""

    case_id: str
    paper: Paper
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivalry:
    """Two devices that are apart set one field of a case to different values."""

    case_id: str
    field: str
    values: tuple[str, str]
    other: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """Two devices that are apart record events that cannot both stand."""

    case_id: str
    events: tuple[Mapping[str, Any], Mapping[str, Any]]
    other: Role


@dataclass(frozen=True, slots=True)
class Order:
    """A directive goes out."""

    request: IssueDirective


@dataclass(frozen=True, slots=True)
class OrderStep:
    """Something happens to a directive."""

    directive_id: str
    event: Mapping[str, Any]


Deed = Reception | Happening | Division | Filing | Rivalry | Dispute | Order | OrderStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deed: when, where and by whom."""

    at_ms: int
    place: Place
    role: Role
    deed: Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class PastVisit:
    """A visit of the agenda, for what refers to it later.

    Attributes:
        last_ms: when the last thing of its course happened.
    """

    row: VisitRow
    place: Place
    visit: SampleVisit
    case_id: str
    person_ids: tuple[str, ...]
    at_ms: int
    last_ms: int


def past_visits(rng: random.Random, now_ms: int) -> tuple[list[Entry], dict[str, PastVisit]]:
    """Return the deeds of all rows of agenda.toml, and the visits that carry a mark."""
    entries: list[Entry] = []
    marked: dict[str, PastVisit] = {}
    for place in reversed(places()):
        for number, row in enumerate(agenda_rows().get(place.folder, ()), start=1):
            past = _past_visit(rng, place, row, number, now_ms, marked)
            entries += _reception(rng, past)
            followed = list(_course(rng, past, now_ms))
            entries += followed
            if row.mark:
                last_ms = followed[-1].at_ms if followed else past.at_ms
                marked[f"{place.folder}/{row.mark}"] = replace(past, last_ms=last_ms)
    return entries, marked


def fill_event(event: Mapping[str, Any], visit: SampleVisit, on: date) -> dict[str, Any]:
    """Return an event of a case with what its visit and its day say."""
    filled = visit.gaps.fill_event(event)
    fields = _EVENTS[event["type"]].model_fields
    if "on" in fields:
        filled.setdefault("on", on)
    if event["type"] == "classified":
        case_type = visit.story.case_type
        filled.setdefault("case_type", case_type)
        filled.setdefault("remote", visit.home.is_remote and case_type is CaseType.COMPLAINT)
    return filled


def _past_visit(
    rng: random.Random,
    place: Place,
    row: VisitRow,
    number: int,
    now_ms: int,
    marked: Mapping[str, PastVisit],
) -> PastVisit:
    at_ms = past_moment(rng, now_ms, row.age)
    home = find_place(row.home) if row.home else place
    story = stories()[row.story]
    unique = 10_000 * (1 + places().index(place)) + number
    visit = compose_visit(rng, home, story, number=unique, held_on=date_of(at_ms))
    visit = replace(visit, number=number)
    person_ids = tuple(document_text(mint_document_id(at_ms, rng)) for _ in visit.people)
    if row.again:
        first = marked[f"{row.home}/{row.again}"]
        visit, person_ids = _second_complaint(first, visit), first.person_ids
    return PastVisit(
        row=row,
        place=place,
        visit=visit,
        case_id=document_text(mint_document_id(at_ms, rng)),
        person_ids=person_ids,
        at_ms=at_ms,
        last_ms=at_ms,
    )


def _second_complaint(first: PastVisit, visit: SampleVisit) -> SampleVisit:
    """Return the visit as the same citizen's, about the decision on the first complaint."""
    return replace(
        first.visit,
        number=visit.number,
        held_on=visit.held_on,
        title=f"Khiếu nại lần hai: {first.visit.title.removeprefix('Khiếu nại ')}",
        respondent_name=f"Chủ tịch UBND xã {first.visit.home.name}",
        decision_number=visit.decision_number,
        decision_date=date_of(first.last_ms),
    )


def _reception(rng: random.Random, past: PastVisit) -> Iterator[Entry]:
    row, place = past.row, past.place
    role = _DESK_ROLES[place.tier.value]
    if row.kind is ReceptionKind.PERIODIC:
        role = Role.COMMUNE_CHAIR
    arrival = Arrival(
        how=row.how,
        kind=row.kind,
        stage=row.stage,
        place=place.seat,
        case_id=past.case_id,
        person_ids=past.person_ids,
    )
    form = visit_form(past.visit, arrival)
    yield Entry(at_ms=past.at_ms, place=place, role=role, deed=Reception(form))
    for number, paper in enumerate(row.papers, start=1):
        at_ms = past.at_ms + number * 3 * _MINUTE_MS
        filing = Filing(case_id=past.case_id, paper=paper, seed=rng.getrandbits(32))
        yield Entry(at_ms=at_ms, place=place, role=role, deed=filing)


def _course(rng: random.Random, past: PastVisit, now_ms: int) -> Iterator[Entry]:
    last_ms = past.at_ms + 10 * _MINUTE_MS
    for step in courses()[past.row.course]:
        at_ms = later_moment(rng, past.at_ms, step.after_days, last_ms)
        if at_ms > now_ms:
            return
        place = next(p for p in chain([past.place], places()) if _works_at(step.role, p))
        event = fill_event(step.event, past.visit, date_of(at_ms))
        yield Entry(at_ms=at_ms, place=place, role=step.role, deed=Happening(past.case_id, event))
        last_ms = at_ms


def _works_at(role: Role, place: Place) -> bool:
    return any(person.role is role for person in place.staff)
