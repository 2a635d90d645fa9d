"""Typed events: facts that happened, kept for good in the `events` map of a document.

An event is one JSON text (sorted keys, no spaces) under its event id. It does not say who or when:
the signed leaf that brought it names the writer, and its id carries the clock. A state event names
in `follows` the state events its author had seen last, so that two officers who decided apart are
told from two who decided one after the other.

Unknown types come from a newer program: they are kept and shown as unknown, never dropped.
"""

import json
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.codes import (
    CaseType,
    Channel,
    ClosingReason,
    IdentityMode,
    IdentityType,
    Outcome,
    PartyRole,
    ReceptionKind,
    RefusalGround,
)
from schemas.limits import ATTACHMENT_BYTES_MAX, SPLIT_CHILDREN_MAX

DocumentRef = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
]
EventRef = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)]
OfficeCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,2}(\.[0-9]{1,5})?$")]
OutpostCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,2}\.[0-9]{1,5}\.[1-9][0-9]?$")]


class Event(BaseModel):
    """Base of all events; `type` tells them apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str

    def encode(self) -> str:
        """Return the JSON text that is stored: defaults left out, keys sorted, no spaces."""
        body = self.model_dump(mode="json", exclude_defaults=True) | {"type": self.type}
        return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class StateEvent(Event):
    """An event that can move a case from one state to another."""

    follows: tuple[EventRef, ...] = ()


class UnknownEvent(Event):
    """An event of a type that this program does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")


# Case: reception


class Received(StateEvent):
    """A petition reached the office; `stated_type` is what it looks like before classification.

    `written` says that a visitor handed it in on paper: then there are no spoken words to write
    down and read back before it is classified.
    """

    type: Literal["received"] = "received"
    on: date
    channel: Channel = Channel.VISIT
    written: bool = False
    stated_type: CaseType
    petition: DocumentRef | None = None
    visit: DocumentRef | None = None
    parent: DocumentRef | None = None


class Registered(StateEvent):
    """Entered into the register; the paper register's number is a field of its own."""

    type: Literal["registered"] = "registered"


class IdentityChecked(StateEvent):
    """The officer saw the paper that identifies the citizen; no number is kept here."""

    type: Literal["identity_checked"] = "identity_checked"
    identity_type: IdentityType


class Recorded(StateEvent):
    """The citizen's words were written down in full."""

    type: Literal["recorded"] = "recorded"


class ReadbackConfirmed(StateEvent):
    """The record was read back and signed or fingerprinted."""

    type: Literal["readback_confirmed"] = "readback_confirmed"
    by: Literal["signature", "fingerprint"]


class RefusedReception(StateEvent):
    """Reception was refused on a ground of the law."""

    type: Literal["refused_reception"] = "refused_reception"
    ground: RefusalGround
    reason: Sentence
    notice: Digest | None = None


# Case: processing


class Classified(StateEvent):
    """The class by content and request, the instance and the traits that deadlines depend on."""

    type: Literal["classified"] = "classified"
    case_type: CaseType
    instance: Literal[1, 2] = 1
    within_authority: bool = True
    complex: bool = False
    especially_complex: bool = False
    remote: bool = False
    multi_place: bool = False
    note: Sentence = ""


class Split(StateEvent):
    """Several contents became one case each."""

    type: Literal["split"] = "split"
    children: Annotated[tuple[DocumentRef, ...], Field(min_length=2, max_length=SPLIT_CHILDREN_MAX)]


class DeclaredIneligible(StateEvent):
    """The petition does not meet the conditions of Circular 05/2021."""

    type: Literal["declared_ineligible"] = "declared_ineligible"
    reason: Sentence


class Filed(StateEvent):
    """Kept on file."""

    type: Literal["filed"] = "filed"


class SupplementRequested(StateEvent):
    """The citizen was told what is missing."""

    type: Literal["supplement_requested"] = "supplement_requested"
    missing: Sentence


class Lapsed(StateEvent):
    """The supplement never came."""

    type: Literal["lapsed"] = "lapsed"
    reason: Sentence = ""


class Guided(StateEvent):
    """The citizen was guided to the body that has authority."""

    type: Literal["guided"] = "guided"
    to_office: Short
    letter_number: Short = ""


class Transferred(StateEvent):
    """The petition went to the body that has authority."""

    type: Literal["transferred"] = "transferred"
    to_office: Short
    to_code: OfficeCode | None = None
    letter_number: Short = ""


class TransferAcknowledged(StateEvent):
    """The receiving body confirmed."""

    type: Literal["transfer_acknowledged"] = "transfer_acknowledged"


class TransferReturned(StateEvent):
    """The receiving body sent it back."""

    type: Literal["transfer_returned"] = "transfer_returned"
    reason: Sentence


class AcceptanceProposed(StateEvent):
    """The officer proposes acceptance (Form 01 of Circular 05/2021)."""

    type: Literal["acceptance_proposed"] = "acceptance_proposed"


class Accepted(StateEvent):
    """The competent person accepted the case for settlement."""

    type: Literal["accepted"] = "accepted"
    on: date
    decision_number: Short = ""


class NotAccepted(StateEvent):
    """Acceptance was refused, with the reason the citizen is told."""

    type: Literal["not_accepted"] = "not_accepted"
    reason: Sentence


# Case: settlement


class VerificationStarted(StateEvent):
    """Verification of the content began, or went on after a suspension."""

    type: Literal["verification_started"] = "verification_started"
    decision_number: Short = ""


class DialogueHeld(StateEvent):
    """A dialogue with the parties was held during verification."""

    type: Literal["dialogue_held"] = "dialogue_held"
    on: date
    note: Sentence = ""


class Suspended(StateEvent):
    """Settlement waits for a related result."""

    type: Literal["suspended"] = "suspended"
    reason: Sentence


class Extended(StateEvent):
    """The time limit was extended by a written decision."""

    type: Literal["extended"] = "extended"
    decision_number: Short
    reason: Sentence


class ConclusionDrafted(StateEvent):
    """A draft conclusion or decision exists."""

    type: Literal["conclusion_drafted"] = "conclusion_drafted"


class Decided(StateEvent):
    """A decision was issued; for a denunciation, the conclusion."""

    type: Literal["decided"] = "decided"
    on: date
    outcome: Outcome
    decision_number: Short
    summary: Sentence = ""
    document: Digest | None = None


class Handled(StateEvent):
    """The conclusion on a denunciation was acted upon."""

    type: Literal["handled"] = "handled"
    note: Sentence = ""


class Published(StateEvent):
    """The decision or conclusion was made public, without data of a denouncer."""

    type: Literal["published"] = "published"
    on: date


class ExecutionStarted(StateEvent):
    """The decision is being carried out."""

    type: Literal["execution_started"] = "execution_started"


class Withdrawn(StateEvent):
    """The citizen withdrew all or a part; a part leaves the state as it is."""

    type: Literal["withdrawn"] = "withdrawn"
    scope: Literal["full", "partial"]
    content: Sentence = ""


class Terminated(StateEvent):
    """Settlement ended because the petition was withdrawn."""

    type: Literal["terminated"] = "terminated"
    decision_number: Short = ""


class SecondComplaintRaised(StateEvent):
    """The citizen complained a second time; the new case has instance 2."""

    type: Literal["second_complaint_raised"] = "second_complaint_raised"
    case: DocumentRef


class LawsuitFiled(StateEvent):
    """The citizen went to court."""

    type: Literal["lawsuit_filed"] = "lawsuit_filed"


class Assigned(StateEvent):
    """A recommendation or reflection was given to an office or a person to answer.

    From the province it also means: this case is now in that commune's hands.
    """

    type: Literal["assigned"] = "assigned"
    to_office: Short
    to_code: OfficeCode | None = None


class Answered(StateEvent):
    """A recommendation or reflection was answered."""

    type: Literal["answered"] = "answered"
    on: date
    letter_number: Short = ""
    summary: Sentence = ""


class Closed(StateEvent):
    """The case ended: never without a reason and the document that tells the citizen."""

    type: Literal["closed"] = "closed"
    reason: ClosingReason
    document: Digest | None = None
    document_number: Short = ""


class Archived(StateEvent):
    """The file went to the current or the historical archive."""

    type: Literal["archived"] = "archived"
    to: Literal["current", "historical"]


class Reopened(StateEvent):
    """The case lives again: a coerced withdrawal, or new evidence."""

    type: Literal["reopened"] = "reopened"
    ground: Literal["coerced_withdrawal", "new_evidence"]
    reason: Sentence


class Settled(StateEvent):
    """A supervisor chose between events that could not both stand."""

    type: Literal["settled"] = "settled"
    chosen: EventRef
    reason: Sentence


# Facts beside the state


class PersonJoined(Event):
    """A person takes part in a visit, a case or a group."""

    type: Literal["person_joined"] = "person_joined"
    person: DocumentRef
    role: PartyRole = PartyRole.PETITIONER


class GroupLinked(Event):
    """A group stands behind a visit or a case."""

    type: Literal["group_linked"] = "group_linked"
    group: DocumentRef


class Attached(Event):
    """A file belongs to this document; its bytes are found by their SHA-256."""

    type: Literal["attached"] = "attached"
    sha256: Digest
    size_bytes: Annotated[int, Field(ge=0, le=ATTACHMENT_BYTES_MAX)]
    name: Short
    media_type: Annotated[str, StringConstraints(pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=100)]


class Noted(Event):
    """A remark for the colleagues."""

    type: Literal["noted"] = "noted"
    text: Sentence


class VisitHeld(Event):
    """A citizen was received."""

    type: Literal["visit_held"] = "visit_held"
    on: date
    kind: ReceptionKind = ReceptionKind.REGULAR


class PetitionLinked(Event):
    """A petition was brought to this visit, or belongs to this case."""

    type: Literal["petition_linked"] = "petition_linked"
    petition: DocumentRef
    case: DocumentRef


class PetitionLodged(Event):
    """The petition as a thing of its own, counted apart from cases."""

    type: Literal["petition_lodged"] = "petition_lodged"
    on: date
    channel: Channel = Channel.VISIT
    stated_type: CaseType
    identity_mode: IdentityMode | None = None


class PersonRecorded(Event):
    """A person was entered."""

    type: Literal["person_recorded"] = "person_recorded"


class GroupFormed(Event):
    """Several people came with one matter."""

    type: Literal["group_formed"] = "group_formed"
    people_count: Annotated[int, Field(ge=2, le=100_000)]


class DirectiveLinked(Event):
    """A directive concerns this case."""

    type: Literal["directive_linked"] = "directive_linked"
    directive: DocumentRef


class TakenAlong(Event):
    """A copy of the case goes to an outpost of the commune, which works on it away from the line.

    It changes nothing of the case; what a lost machine held can be told from it.
    """

    type: Literal["taken_along"] = "taken_along"
    to_code: OutpostCode


# Directives


class DirectiveIssued(Event):
    """A written directive with a time limit went out (Circular 04/2021, Art. 9)."""

    type: Literal["directive_issued"] = "directive_issued"
    case: DocumentRef | None = None
    to_codes: Annotated[tuple[OfficeCode, ...], Field(min_length=1, max_length=200)]
    due_on: date


class DirectiveAcknowledged(Event):
    """The addressed office read it."""

    type: Literal["directive_acknowledged"] = "directive_acknowledged"


class DirectiveReported(Event):
    """The addressed office says what it did."""

    type: Literal["directive_reported"] = "directive_reported"
    text: Sentence


class DirectiveDone(Event):
    """The issuing office is satisfied."""

    type: Literal["directive_done"] = "directive_done"


class DirectiveWithdrawn(Event):
    """The issuing office took it back."""

    type: Literal["directive_withdrawn"] = "directive_withdrawn"
    reason: Sentence
