"""Registers a visit: people, petitions, cases and the visit itself, in one go.

A denunciation is registered alone: no person, no text, no paper enters this machine, only an opaque
reference and the number of the sealed envelope (domain facts, section 5.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.cases.denunciation import is_code
from node.desk import Desk
from node.errors import RequestError
from node.requests import PersonEntry, PetitionEntry, RegisterVisit
from node.sealing import sealed_error
from schemas.codes import CaseType, Channel, DocumentKind
from schemas.event_text import KnownEvent
from schemas.events import (
    Event,
    GroupFormed,
    GroupLinked,
    IdentityChecked,
    PersonJoined,
    PersonRecorded,
    PetitionLinked,
    PetitionLodged,
    ReadbackConfirmed,
    Received,
    Recorded,
    Registered,
    VisitHeld,
)
from schemas.ids import DocumentId, document_text
from sync.replica import Author

# What a petition entry must leave empty when it is a denunciation.
_FORBIDDEN = (
    "title",
    "content",
    "request",
    "respondent_name",
    "decision_number",
    "decision_date",
    "settled_by",
    "location",
)
# What may stand there as a number or a code, but not in words.
_CODES = ("topic", "register_number")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVisit:
    """Ids of what a registration made, in the order of the request."""

    visit_id: str
    people_ids: tuple[str, ...]
    petition_ids: tuple[str, ...]
    case_ids: tuple[str, ...]


def register_visit(
    desk: Desk, author: Author, request: RegisterVisit, now_ms: int
) -> RegisteredVisit:
    """Write all documents of a visit and return their ids.

    Raises:
        RequestError: what the form says cannot be registered; nothing was written.
    """
    check_visit(request)
    visit = desk.new_id(request.visit_id, now_ms)
    if desk.is_known(visit):
        return _registered_before(desk, visit)
    people = [_register_person(desk, author, person, now_ms) for person in request.people]
    joined = [
        PersonJoined(person=document_text(person), role=entry.role)
        for person, entry in zip(people, request.people, strict=True)
    ]
    shared: list[KnownEvent] = [*joined, *_group(desk, author, request, joined, now_ms)]
    linked: list[PetitionLinked] = []
    for entry in request.petitions:
        petition, case = _register_petition(desk, author, request, entry, visit, shared, now_ms)
        linked.append(PetitionLinked(petition=document_text(petition), case=document_text(case)))
    desk.create(
        author,
        visit,
        DocumentKind.VISIT,
        [VisitHeld(on=request.held_on, kind=request.kind), *shared, *linked],
        {"place": request.place, "register_number": request.register_number},
        {"statement": request.statement},
        now_ms,
    )
    return RegisteredVisit(
        visit_id=document_text(visit),
        people_ids=tuple(document_text(person) for person in people),
        petition_ids=tuple(link.petition for link in linked),
        case_ids=tuple(link.case for link in linked),
    )


def check_visit(request: RegisterVisit) -> None:
    """Check what no single field can tell.

    Raises:
        RequestError: with the field that is wrong.
    """
    sealed = [p for p in request.petitions if p.case_type is CaseType.DENUNCIATION]
    if sealed:
        _check_denunciation(request, sealed[0])
        return
    if not request.people:
        raise RequestError("people_missing", "Enter at least one person.", field="people")
    if request.people_count is not None and request.people_count < len(request.people):
        raise RequestError(
            "people_count_wrong",
            "The number of people is smaller than the number of names.",
            field="people_count",
        )
    for index, petition in enumerate(request.petitions):
        field = f"petitions.{index}."
        if petition.sealed_ref or petition.envelope_number or petition.identity_mode:
            raise RequestError(
                "not_a_denunciation",
                "Envelope and reference belong to a denunciation only.",
                field=field + "envelope_number",
            )
        if not petition.joins_case and not petition.title:
            raise RequestError(
                "title_missing", "Say in a few words what it is about.", field=field + "title"
            )
        if petition.joins_case and petition.case_id is None:
            raise RequestError("case_missing", "Choose the case.", field=field + "case_id")


def _check_denunciation(request: RegisterVisit, petition: PetitionEntry) -> None:
    apart = "Register the denunciation alone; what else was said is another visit."
    if len(request.petitions) > 1:
        raise RequestError("denunciation_mixed", "A denunciation stands alone.", apart, "petitions")
    if request.people or request.group_name or request.people_count:
        raise RequestError(
            "denunciation_identity",
            "No name and no number of a denouncer may be kept on this machine.",
            "Put the identity into the sealed envelope and enter only the envelope's number.",
            "people",
        )
    if request.statement:
        raise RequestError(
            "denunciation_sealed",
            "What a denouncer says is written on paper only.",
            "Put it into the sealed envelope.",
            "statement",
        )
    words = [f"petitions.0.{name}" for name in _FORBIDDEN if getattr(petition, name)]
    words += [f"petitions.0.{name}" for name in _CODES if not is_code(getattr(petition, name))]
    words += ["place"] if request.place else []
    words += ["register_number"] if not is_code(request.register_number) else []
    if words:
        raise sealed_error(words[0])
    for name in ("envelope_number", "sealed_ref"):
        if not getattr(petition, name):
            raise RequestError(
                "envelope_missing",
                "A denunciation needs the number of its envelope and a reference.",
                "Number the sealed envelope; choose a reference that tells nobody who wrote.",
                f"petitions.0.{name}",
            )


def _registered_before(desk: Desk, visit: DocumentId) -> RegisteredVisit:
    """Return what an earlier, repeated request made."""
    events = [fact.event for fact in sorted(desk.facts(visit), key=lambda fact: fact.id)]
    links = [event for event in events if isinstance(event, PetitionLinked)]
    return RegisteredVisit(
        visit_id=document_text(visit),
        people_ids=tuple(e.person for e in events if isinstance(e, PersonJoined)),
        petition_ids=tuple(link.petition for link in links),
        case_ids=tuple(link.case for link in links),
    )


def _register_person(desk: Desk, author: Author, entry: PersonEntry, now_ms: int) -> DocumentId:
    person = desk.new_id(entry.id, now_ms)
    if desk.is_known(person):
        return person
    fields: dict[str, str | int | None] = {
        "full_name": entry.full_name,
        "birth_year": entry.birth_year,
        "address": entry.address,
        "phone": entry.phone,
        "identity_type": entry.identity_type.value if entry.identity_type else "",
    }
    if entry.identity_number:
        fields["identity_number"] = desk.seals.seal(
            person, "identity_number", entry.identity_number
        )
    desk.create(author, person, DocumentKind.PERSON, [PersonRecorded()], fields, {}, now_ms)
    return person


def _group(
    desk: Desk,
    author: Author,
    request: RegisterVisit,
    representatives: Sequence[PersonJoined],
    now_ms: int,
) -> Iterator[GroupLinked]:
    """Make a group when more people stand behind the matter than are named."""
    count = request.people_count or len(request.people)
    if count > len(request.people) or request.group_name:
        group = desk.new_id(None, now_ms)
        events: Sequence[Event] = [GroupFormed(people_count=max(2, count)), *representatives]
        fields = {"name": request.group_name}
        desk.create(author, group, DocumentKind.GROUP, events, fields, {}, now_ms)
        yield GroupLinked(group=document_text(group))


def _register_petition(
    desk: Desk,
    author: Author,
    request: RegisterVisit,
    entry: PetitionEntry,
    visit: DocumentId,
    shared: Sequence[KnownEvent],
    now_ms: int,
) -> tuple[DocumentId, DocumentId]:
    petition = desk.new_id(entry.id, now_ms)
    case = desk.new_id(entry.case_id, now_ms)
    lodged = PetitionLodged(
        on=request.held_on,
        channel=entry.channel,
        stated_type=entry.case_type,
        identity_mode=entry.identity_mode,
    )
    desk.create(
        author,
        petition,
        DocumentKind.PETITION,
        [lodged],
        _petition_fields(entry) | _reference(desk, petition, entry),
        {"content": entry.content},
        now_ms,
    )
    if entry.joins_case:
        desk.join_case(author, document_text(case), document_text(petition), shared, now_ms)
    else:
        events = [*_reception(request, entry, visit, petition), *shared]
        fields = _case_fields(entry) | _reference(desk, case, entry)
        desk.open_case(author, case, events, fields, {}, now_ms)
    return petition, case


def _reception(
    request: RegisterVisit, entry: PetitionEntry, visit: DocumentId, petition: DocumentId
) -> Iterator[Event]:
    yield Received(
        on=request.held_on,
        channel=entry.channel,
        stated_type=entry.case_type,
        written=entry.written,
        petition=document_text(petition),
        visit=document_text(visit),
    )
    yield Registered()
    if entry.channel is not Channel.VISIT:
        return
    if entry.case_type is not CaseType.DENUNCIATION:
        checked = next((p for p in request.people if p.identity_checked and p.identity_type), None)
        if checked is None or checked.identity_type is None:
            return
        yield IdentityChecked(identity_type=checked.identity_type)
    if request.statement_recorded or request.readback:
        yield Recorded()
    if request.readback:
        yield ReadbackConfirmed(by=request.readback)


def _reference(
    desk: Desk, document: DocumentId, entry: PetitionEntry
) -> dict[str, str | int | None]:
    if not entry.sealed_ref:
        return {}
    return {"sealed_ref": desk.seals.seal(document, "sealed_ref", entry.sealed_ref)}


def _petition_fields(entry: PetitionEntry) -> dict[str, str | int | None]:
    return {
        "title": entry.title,
        "petition_date": entry.petition_date.isoformat() if entry.petition_date else "",
        "request": entry.request,
        "respondent_name": entry.respondent_name,
        "respondent_code": entry.respondent_code,
        "decision_number": entry.decision_number,
        "decision_date": entry.decision_date.isoformat() if entry.decision_date else "",
        "settled_by": entry.settled_by,
        "envelope_number": entry.envelope_number,
    }


def _case_fields(entry: PetitionEntry) -> dict[str, str | int | None]:
    return {
        "title": entry.title,
        "topic": entry.topic,
        "location": entry.location,
        "respondent_name": entry.respondent_name,
        "respondent_code": entry.respondent_code,
        "register_number": entry.register_number,
        "envelope_number": entry.envelope_number,
    }
