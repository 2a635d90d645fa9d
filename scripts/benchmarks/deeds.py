"""What an office does day after day: visits, then what becomes of their cases, in order of time.

The mix is that of the demo's agenda: its stories with their courses, invented anew for each visit,
and now and then an edit of a field or of the long summary.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.clock import date_of
from node.registration import register_visit
from node.requests import CaseAction, EditFields, RegisterVisit
from node.samples.agenda import Happening, Reception, fill_event
from node.samples.moments import later_moment, moment
from node.samples.texts import Place, VisitRow, agenda_rows, communes, courses, find_place, stories
from node.samples.visits import Arrival, SampleVisit, compose_visit, visit_form
from node.station import Station
from schemas.codes import ReceptionKind, Role
from schemas.ids import document_text, mint_document_id
from scripts.benchmarks.offices import author

_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000
_EDITED: Final = 0.4
_DEEDS_A_TRANSACTION: Final = 200


@dataclass(frozen=True, slots=True)
class Amendment:
    """Fields and texts of a case are written anew."""

    case_id: str
    edit: EditFields


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that an office does."""

    at_ms: int
    role: Role
    what: Reception | Happening | Amendment


def deeds(
    rng: random.Random, place: Place, visits: int, *, days: int, first: int, now_ms: int
) -> list[Deed]:
    """Return what an office did with so many visits of the last days, in order of time.

    Args:
        rng: source of every choice.
        place: the commune.
        visits: how many.
        days: over how many days they are spread.
        first: number of the first visit; makes each one of a kind.
        now_ms: nothing happens later.
    """
    rows = [row for row in _rows(place) if not row.again and not row.home]
    found: list[Deed] = []
    for index in range(visits):
        day = date_of(now_ms - (days - index * days // visits) * _DAY_MS)
        found += _case(rng, place, rng.choice(rows), first + index, moment(rng, day), now_ms)
    return sorted(found, key=lambda deed: deed.at_ms)


def do_all(station: Station, place: Place, todo: Sequence[Deed]) -> Iterator[int]:
    """Do everything through the desk, yielding now and then how many deeds are done."""
    for start in range(0, len(todo), _DEEDS_A_TRANSACTION):
        some = todo[start : start + _DEEDS_A_TRANSACTION]
        with station.replica.transaction():
            for deed in some:
                _do(station, place, deed)
        yield start + len(some)


def _do(station: Station, place: Place, deed: Deed) -> None:
    who, desk = author(station, place, deed.role), station.desk
    match deed.what:
        case Reception():
            register_visit(desk, who, deed.what.form, deed.at_ms)
        case Happening():
            action = CaseAction(event=dict(deed.what.event))
            desk.act(who, deed.what.case_id, action, deed.at_ms)
        case Amendment():
            desk.edit(who, deed.what.case_id, deed.what.edit, deed.at_ms)


def _rows(place: Place) -> Sequence[VisitRow]:
    """Return the agenda's rows that fit a commune: its own, or those of the demo's communes."""
    own = agenda_rows().get(place.folder)
    return own or [row for other in communes() for row in agenda_rows()[other.folder]]


def _case(
    rng: random.Random, place: Place, row: VisitRow, number: int, at_ms: int, now_ms: int
) -> Iterator[Deed]:
    visit = compose_visit(rng, place, stories()[row.story], number=number, held_on=date_of(at_ms))
    case_id = document_text(mint_document_id(at_ms, rng))
    role = Role.RECEPTION_OFFICER
    if row.kind is ReceptionKind.PERIODIC:
        role = Role.COMMUNE_CHAIR
    arrival = Arrival(
        how=row.how,
        kind=row.kind,
        stage=row.stage,
        place=place.seat,
        case_id=case_id,
        person_ids=tuple(document_text(mint_document_id(at_ms, rng)) for _ in visit.people),
    )
    form = filled_form(visit, arrival)
    yield Deed(at_ms=at_ms, role=role, what=Reception(form))
    last_ms = at_ms + 10 * _MINUTE_MS
    for step in courses()[row.course]:
        happened_ms = later_moment(rng, at_ms, step.after_days, last_ms)
        if happened_ms > now_ms or all(person.role is not step.role for person in place.staff):
            return
        event = fill_event(step.event, visit, date_of(happened_ms))
        yield Deed(at_ms=happened_ms, role=step.role, what=Happening(case_id, event))
        if not visit.story.is_sealed and rng.random() < _EDITED:
            edit = _edit(rng, visit)
            after_ms = happened_ms + 5 * _MINUTE_MS
            what = Amendment(case_id, edit)
            yield Deed(at_ms=after_ms, role=Role.PETITION_OFFICER, what=what)
        last_ms = happened_ms + 10 * _MINUTE_MS


def filled_form(visit: SampleVisit, arrival: Arrival) -> RegisterVisit:
    """Return what an officer enters for a visit; for a denunciation no word that could tell."""
    form = visit_form(visit, arrival)
    if visit.story.is_sealed:
        petitions = tuple(entry.model_copy(update={"topic": ""}) for entry in form.petitions)
        form = form.model_copy(update={"place": "", "petitions": petitions})
    return form


def _edit(rng: random.Random, visit: SampleVisit) -> EditFields:
    if rng.random() < 0.5:
        return EditFields(fields={"location": f"thửa {rng.randint(1, 900)}, {visit.location}"})
    return EditFields(texts={"summary": f"{visit.title}. {visit.request}"[: rng.randint(80, 300)]})


def clone_of(place: Place, folder: str, code: str) -> Place:
    """Return another commune with the same people and villages."""
    return replace(find_place(place.folder), folder=folder, code=code)
