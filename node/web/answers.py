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
    SamePaper,
    SyncState,
    Waiting,
    WaitingFiles,
)
from node.renewing import CertificateState
from schemas.limits import REVOCATION_CHARS_MAX


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
        must_change_password: nothing else is allowed before.
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
    must_change_password: bool


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
        same_papers: other cases of people who showed the same identity paper.
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
    same_papers: list[SamePaper]


class DocumentAnswer(Answer):
    """What can be edited of a document, with the version it was read at."""

    document: DocumentFields
    heads: list[str]


class ReferenceAnswer(Answer):
    """The opened reference of a denunciation."""

    reference: str


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
        way: that the link takes, or took last.
        way_reason: why that one.
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
    way: Literal["websocket", "datagrams"]
    way_reason: Literal[
        "usual", "losses", "unreachable", "remembered", "calm", "broken", "forbidden"
    ]
    files: WaitingFiles
    files_seconds_left: int | None


class Trouble(Answer):
    """Why something was not taken: a stable code and a sentence in English."""

    code: str
    message: str


class PackPart(Answer):
    """A file that can be fetched onto a stick."""

    name: str
    size_bytes: int


class PackReceiver(Answer):
    """A node that a pack can be made for; `to` is what to ask with."""

    to: str
    name: str


class PackMade(Answer):
    """What went into a pack.

    Attributes:
        answered_logs: logs of the receiver whose arrival the pack confirms.
        files_left_out: too large for a part.
        stopped: codes of the places whose logs are stopped and were left out.
    """

    leaves: int
    files: int
    files_bytes: int
    answered_logs: int
    files_left_out: int
    stopped: list[str]


class PackTaken(Answer):
    """What became of one part.

    Attributes:
        sender: name of the office that made it, empty if it was refused before that was known.
        refusal: why it was not taken in, or only to some point.
        leaves_waiting: stored, but not in use, because leaves before them are missing.
        was_known: it had been taken in before.
        key_revoked: its sender's key was; what that wrote too late is kept and does not count.
    """

    name: str
    sender: str = ""
    part: int = 0
    refusal: Trouble | None = None
    leaves_new: int = 0
    leaves_known: int = 0
    leaves_waiting: int = 0
    files_new: int = 0
    files_known: int = 0
    problems: list[Trouble] = []
    was_known: bool = False
    certificate_ended: bool = False
    key_revoked: bool = False


class PackSender(Answer):
    """Whether the newest pack of an office is here whole.

    Attributes:
        missing: numbers of parts; empty and not complete: the last one is missing.
    """

    name: str
    missing: list[int]
    is_complete: bool


class PackJobAnswer(Answer):
    """A pack that is being made, or packs that are being taken in, or what came of it.

    Attributes:
        phase: `checking` and `taking` the file `name` in bytes, writing `leaves`, or `files` in
            bytes; empty before the first step.
        confirmed_province, confirmed_centre: leaves of this node that they confirmed meanwhile.
    """

    kind: Literal["export", "import"]
    began_ms: int
    ended_ms: int | None
    phase: Literal["", "checking", "taking", "leaves", "files"]
    done: int
    total: int
    name: str
    failure: Trouble | None
    made: PackMade | None
    taken: list[PackTaken]
    senders: list[PackSender]
    confirmed_province: int
    confirmed_centre: int


class PacksAnswer(Answer):
    """The last job with packs, the parts to fetch, and whom a pack can be made for."""

    job: PackJobAnswer | None
    parts: list[PackPart]
    receivers: list[PackReceiver]


class RepoTicket(Answer):
    """Where a program that speaks automerge-repo connects.

    Attributes:
        path: at this node, with the ticket; it ends with the session.
    """

    path: str


class MakePack(BaseModel):
    """Which pack to make.

    Attributes:
        to: of `receivers`.
        everything: also what the receiver confirmed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str = Field(pattern=r"^(parent|[0-9]{1,2}(\.[0-9]{1,5}(\.[1-9][0-9]?)?)?)$")
    files: Literal["none", "missing", "all"] = "missing"
    everything: bool = False


class RevokeNode(Answer):
    """The key of a node below that is to count no longer; it cannot be taken back.

    Attributes:
        last_valid_seq: last leaf of its newest log that counts, -1 for none; without it, the last
            one that was countersigned here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    peer_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    reason: str = Field(min_length=1, max_length=REVOCATION_CHARS_MAX)
    last_valid_seq: int | None = Field(default=None, ge=-1, lt=1 << 53)


class RevokedNode(Answer):
    """What a revocation did here.

    Attributes:
        set_aside: changes of that node that do not count any more.
        waiting: changes of others that wait; see the technician's page for what.
    """

    set_aside: int
    waiting: int


class Health(Answer):
    """Whether the node answers from its database, and how long its certificate is good."""

    status: Literal["ok"] = "ok"
    code: str
    tier: str
    version: str
    certificate: CertificateState
    certificate_ends_ms: int


class DocumentSync(Answer):
    """Who holds a document, and when it last changed here."""

    id: str
    sync: SyncState
    changed_ms: int
