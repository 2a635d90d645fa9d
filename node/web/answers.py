"""What the API answers beyond the facts of the queries."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from node.queries.facts import (
    CaseFile,
    DocumentFields,
    DraftLine,
    Office,
    OnlineReception,
    Representatives,
    SyncState,
    Technician,
    Waiting,
    WaitingFiles,
)


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class Done(Answer):
    """Nothing to say but that it is durable."""

    done: Literal[True] = True


class Me(Answer):
    """Who is signed in, and where.

    Attributes:
        csrf: to send back in the header X-CSRF-Token with every change.
        operations: what the role may do.
    """

    user: str
    name: str
    role: str
    language: str
    csrf: str
    operations: list[str]
    tier: str
    code: str
    office: str
    is_demo: bool


class VisitMade(Answer):
    """Ids of what a registration made, in the order of the request."""

    visit_id: str
    people_ids: list[str]
    petition_ids: list[str]
    case_ids: list[str]


class Events(Answer):
    """Ids of the events that were recorded."""

    event_ids: list[str]


class Cases(Answer):
    """Ids of the cases that were made."""

    case_ids: list[str]


class Made(Answer):
    """Id of what was made."""

    id: str


class AttachedFile(Answer):
    """A file that is stored and noted in its document."""

    event_id: str
    sha256: str
    size_bytes: int
    name: str
    media_type: str


class BranchView(Answer):
    """One of the histories that cannot both stand."""

    event_id: str
    type: str
    body: dict[str, Any]
    state: str
    at_ms: int
    name: str
    role: str
    office: str


class CaseAnswer(Answer):
    """A case with all that is known about it here, and what the asking person may do.

    Attributes:
        allowed_events: types that may be recorded now, by this role.
        branches: the candidates while events cannot both stand, else empty.
        tips: what to send as `follows`.
        heads: what to send as `base` of an edit.
        closing_reasons: that fit the state.
        traits: what `classified` would say now: class, instance, authority, complexity, place.
        offices: where it can be transferred or assigned to.
        online: whether the law lets it be received online; None before its class is known.
        representatives: how many the group behind it appoints; None where no rule says it.
    """

    file: CaseFile
    allowed_events: list[str]
    branches: list[BranchView]
    tips: list[str]
    heads: list[str]
    closing_reasons: list[str]
    traits: dict[str, str | int | bool]
    offices: list[Office]
    online: OnlineReception | None
    representatives: Representatives | None
    can_edit: bool
    can_attach: bool
    can_direct: bool
    can_reveal: bool


class DocumentAnswer(Answer):
    """What can be edited of a document, with the version it was read at."""

    document: DocumentFields
    heads: list[str]


class IdentityAnswer(Answer):
    """The opened number of an identity paper; the look was noted in the audit trail."""

    number: str


class DraftList(Answer):
    """Forms begun and not sent, newest first."""

    drafts: list[DraftLine]


class DraftBody(Answer):
    """The content of a form, as the page keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: dict[str, Any]


class SignIn(Answer):
    """Name and password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = Field(min_length=1, max_length=40)
    password: str = Field(min_length=1, max_length=256)


class NewPassword(Answer):
    """A change of the own password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    old: str = Field(min_length=1, max_length=256)
    new: str = Field(min_length=1, max_length=256)


class CutLink(Answer):
    """Whether the link upwards is cut by hand; only in the demo."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cut: bool


class SendFiles(Answer):
    """Whether files go now, until their hours begin, or in these alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    now: bool


class LinkAnswer(Answer):
    """The honest state of the link upwards.

    Attributes:
        state: `none` at the centre, `cut` when somebody cut it in the demo.
        seconds_left: how long the waiting records will take at the measured rate; None if unknown.
        clock_difference_ms: the clock of the node above minus ours.
        files_seconds_left: the same of the waiting files.
    """

    state: Literal["up", "down", "cut", "none"]
    peer_name: str
    since_ms: int
    error_code: str
    error: str
    retry_at_ms: int | None
    rate_bytes_s: float | None
    clock_difference_ms: int | None
    waiting: Waiting
    seconds_left: int | None
    files: WaitingFiles
    files_seconds_left: int | None


class TechnicianAnswer(Answer):
    """What the person who looks after the node sees."""

    node: Technician
    link: LinkAnswer
    version: str
    python: str
    sqlite: str
    disk_free_bytes: int


class Health(Answer):
    """Whether the node answers from its database."""

    status: Literal["ok"] = "ok"
    code: str
    tier: str
    version: str


class DocumentSync(Answer):
    """Who holds a document, and when it last changed here."""

    id: str
    sync: SyncState
    changed_ms: int
