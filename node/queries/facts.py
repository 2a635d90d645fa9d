"""What the pages show and the API answers, as frozen models; one vocabulary for both."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """Base of all facts."""

    model_config = ConfigDict(frozen=True)


class SyncState(Fact):
    """Who holds all that was written about a record.

    Attributes:
        level: the highest tier that has countersigned everything; `here` means only this node.
            An outpost knows it of its commune alone, whose own changes may not have gone on.
    """

    level: Literal["here", "commune", "province", "centre"]


class Office(Fact):
    """A node that this one knows."""

    code: str
    name: str


class CaseLine(Fact):
    """A case in a list.

    Attributes:
        people: names of those who take part, as one line; empty for a denunciation.
        due_on: the next open deadline as an ISO date, or empty.
        days_left: days until then, negative when it has passed; None without a deadline.
    """

    id: str
    commune: str
    commune_name: str
    title: str
    case_type: str
    instance: int
    state: str
    is_open: bool
    in_conflict: bool
    rival_fields: int
    people: str
    respondent_name: str
    register_number: str
    envelope_number: str
    assigned_to: str
    received_on: str
    due_on: str
    due_rule: str
    days_left: int | None
    officer: str
    last_by: str
    changed_ms: int
    sync: SyncState


class CasePage(Fact):
    """Some cases of a list.

    Attributes:
        next: cursor of the following page, empty on the last one.
        count: how many there are in all; `count_is_more` tells that there are more than counted.
    """

    cases: list[CaseLine]
    next: str
    count: int
    count_is_more: bool


class TimelineEntry(Fact):
    """One event, with the writer that its signed leaf names.

    Attributes:
        refusal: stable code of why the event has no effect, or empty.
    """

    event_id: str
    type: str
    body: dict[str, Any]
    at_ms: int
    user: str
    name: str
    role: str
    tier: str
    office: str
    refusal: str


class Deadline(Fact):
    """A date that a rule of law made.

    Attributes:
        days_left: days until due_on; None once it was met.
        notices: codes of what must be shown with it.
    """

    rule: str
    kind: str
    trigger_on: str
    due_on: str
    met_on: str
    source: str
    verified: bool
    note: str
    notices: list[str]
    days_left: int | None


class RivalValue(Fact):
    """One of several values of a field that were written apart; position 0 is the one shown."""

    position: int
    value: str
    at_ms: int
    user: str
    name: str
    office: str


class RivalField(Fact):
    """A field with more than one standing value."""

    field: str
    values: list[RivalValue]


class Attachment(Fact):
    """A file of a document; `is_here` tells whether its bytes have arrived."""

    document_id: str
    event_id: str
    sha256: str
    name: str
    media_type: str
    size_bytes: int
    is_here: bool


class Person(Fact):
    """A person as entered; the number of the paper is sealed and never part of this."""

    id: str
    full_name: str
    birth_year: int | None
    address: str
    phone: str
    identity_type: str
    has_identity_number: bool
    role: str


class Petition(Fact):
    """A petition as a thing of its own."""

    id: str
    lodged_on: str
    channel: str
    stated_type: str
    identity_mode: str
    title: str
    content: str
    request: str
    respondent_name: str
    respondent_code: str
    petition_date: str
    decision_number: str
    decision_date: str
    settled_by: str
    envelope_number: str
    has_sealed_ref: bool


class DataRequest(Fact):
    """What somebody asked about their own data, and what was answered.

    Attributes:
        answer: empty while it waits.
    """

    event_id: str
    person_id: str
    full_name: str
    office: str
    taken_by: str
    right: str
    on: str
    text: str
    answer: str
    answered_on: str
    reason: str


class DataRequestList(Fact):
    """Requests, those that wait first."""

    requests: list[DataRequest]


class SamePaper(Fact):
    """A case of somebody who showed the same identity paper.

    Attributes:
        person_id: who is meant, in the case that is looked at.
        full_name: as that person is called in the other case.
    """

    person_id: str
    case_id: str
    title: str
    commune: str
    full_name: str


class DirectiveOffice(Fact):
    """An addressed office; `delivered` tells whether its node holds it, None if that is unknown."""

    code: str
    name: str
    delivered: bool | None


class Directive(Fact):
    """A written directive with a time limit."""

    id: str
    origin: str
    case_id: str
    case_title: str
    title: str
    body: str
    letter_number: str
    issued_ms: int
    due_on: str
    days_left: int | None
    state: str
    report: str
    issued_by: str
    offices: list[DirectiveOffice]
    sync: SyncState


class DirectivePage(Fact):
    """Directives, those that wait first."""

    directives: list[Directive]


class CaseFile(Fact):
    """Everything the view tables say about one case.

    Attributes:
        sent_down: offices directly below to which something about it goes, and whether their nodes
            hold all of that.
    """

    line: CaseLine
    summary: str
    topic: str
    location: str
    respondent_code: str
    has_sealed_ref: bool
    channel: str
    accepted_on: str
    decided_on: str
    closed_reason: str
    visit_id: str
    parent_id: str
    children: list[CaseLine]
    group_name: str
    group_count: int
    timeline: list[TimelineEntry]
    deadlines: list[Deadline]
    rivals: list[RivalField]
    attachments: list[Attachment]
    people: list[Person]
    petitions: list[Petition]
    directives: list[Directive]
    sent_down: list[DirectiveOffice]


class CaseRef(Fact):
    """A case by its title."""

    id: str
    title: str
    case_type: str


class VisitLine(Fact):
    """A visit in the list."""

    id: str
    commune: str
    commune_name: str
    held_on: str
    kind: str
    place: str
    register_number: str
    result: str
    officer: str
    people: str
    cases: list[CaseRef]
    sync: SyncState


class VisitPage(Fact):
    """Some visits, newest first."""

    visits: list[VisitLine]
    next: str


class DocumentFields(Fact):
    """What can be edited of one document.

    Attributes:
        kind: a DocumentKind value.
        is_sealed: the rules of a denunciation hold: most fields must stay empty.
    """

    id: str
    kind: str
    is_sealed: bool
    fields: dict[str, str | int | None]
    texts: dict[str, str]
    rivals: list[RivalField]


class RuleSource(Fact):
    """The rule of law behind an answer, and whether somebody read it there."""

    rule: str
    source: str
    verified: bool
    note: str


class ReceptionPeriod(Fact):
    """A week or month in which the head of this office receives citizens in person.

    Attributes:
        held: different days on which that happened.
        is_over: no day is left in it.
    """

    role: str
    first: str
    last: str
    needed: int
    held: int
    is_over: bool
    basis: RuleSource


class OnlineReception(Fact):
    """Whether a matter may be received online; no basis means that no rule speaks of its class."""

    is_allowed: bool
    basis: RuleSource | None


class Representatives(Fact):
    """How many representatives a group appoints.

    Attributes:
        fewest: None where the rules give no number.
    """

    fewest: int | None
    most: int
    bases: list[RuleSource]


class Today(Fact):
    """What needs somebody today: how many, and the first few of each."""

    overdue_count: int
    soon_count: int
    conflict_count: int
    directive_count: int
    new_count: int
    open_count: int
    overdue: list[CaseLine]
    soon: list[CaseLine]
    conflicts: list[CaseLine]
    new: list[CaseLine]
    directives: list[Directive]
    reception: list[ReceptionPeriod]


class Waiting(Fact):
    """What the tier above has not countersigned.

    Attributes:
        records: leaves of all logs that go up.
        bytes: their size, without files.
        cosigned_ms: when the tier above last countersigned; None before the first time.
    """

    records: int
    bytes: int
    cosigned_ms: int | None


class WaitingFiles(Fact):
    """Files of which some bytes did not go up yet.

    Attributes:
        opens_ms: when they travel next; None: now; is_early: because somebody said so.
    """

    count: int
    bytes: int
    opens_ms: int | None
    is_early: bool


class DraftLine(Fact):
    """A form that was begun and not sent."""

    id: str
    saved_ms: int


class Draft(Fact):
    """The content of such a form."""

    id: str
    saved_ms: int
    body: dict[str, Any]
