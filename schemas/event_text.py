"""Events as they are stored and sent: one JSON text each, read into the model of its type."""

from functools import lru_cache
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from schemas.errors import RecordError
from schemas.events import (
    AcceptanceProposed,
    Accepted,
    Answered,
    Archived,
    Assigned,
    Attached,
    Classified,
    Closed,
    ConclusionDrafted,
    Decided,
    DeclaredIneligible,
    DialogueHeld,
    DirectiveAcknowledged,
    DirectiveDone,
    DirectiveIssued,
    DirectiveLinked,
    DirectiveReported,
    DirectiveWithdrawn,
    Event,
    ExecutionStarted,
    Extended,
    Filed,
    GroupFormed,
    GroupLinked,
    Guided,
    Handled,
    IdentityChecked,
    Lapsed,
    LawsuitFiled,
    NotAccepted,
    Noted,
    PersonJoined,
    PersonRecorded,
    PetitionLinked,
    PetitionLodged,
    Published,
    ReadbackConfirmed,
    Received,
    Recorded,
    RefusedReception,
    Registered,
    Reopened,
    SecondComplaintRaised,
    Settled,
    Split,
    SupplementRequested,
    Suspended,
    TakenAlong,
    Terminated,
    TransferAcknowledged,
    Transferred,
    TransferReturned,
    UnknownEvent,
    VerificationStarted,
    VisitHeld,
    Withdrawn,
)
from schemas.limits import EVENT_BYTES_MAX
from schemas.person_events import DataAnswered, DataRequested

CaseEvent = (
    Received
    | Registered
    | IdentityChecked
    | Recorded
    | ReadbackConfirmed
    | RefusedReception
    | Classified
    | Split
    | DeclaredIneligible
    | Filed
    | SupplementRequested
    | Lapsed
    | Guided
    | Transferred
    | TransferAcknowledged
    | TransferReturned
    | AcceptanceProposed
    | Accepted
    | NotAccepted
    | VerificationStarted
    | DialogueHeld
    | Suspended
    | Extended
    | ConclusionDrafted
    | Decided
    | Handled
    | Published
    | ExecutionStarted
    | Withdrawn
    | Terminated
    | SecondComplaintRaised
    | LawsuitFiled
    | Assigned
    | Answered
    | Closed
    | Archived
    | Reopened
    | Settled
)
FactEvent = (
    PersonJoined
    | GroupLinked
    | Attached
    | Noted
    | VisitHeld
    | PetitionLinked
    | PetitionLodged
    | PersonRecorded
    | DataRequested
    | DataAnswered
    | GroupFormed
    | DirectiveLinked
    | TakenAlong
    | DirectiveIssued
    | DirectiveAcknowledged
    | DirectiveReported
    | DirectiveDone
    | DirectiveWithdrawn
)
KnownEvent = CaseEvent | FactEvent

_MODELS: dict[str, type[Event]] = {
    model.model_fields["type"].default: model for model in get_args(KnownEvent)
}
_ADAPTER: TypeAdapter[KnownEvent] = TypeAdapter(Annotated[KnownEvent, Field(discriminator="type")])


class _Head(BaseModel):
    """The one key that every event has, known type or not."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    type: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,60}$")]


# The same event is read again and again while its change is judged, kept and shown.
@lru_cache(maxsize=4_096)
def decode_event(text: str) -> KnownEvent | UnknownEvent:
    """Return the event in a JSON text.

    Raises:
        RecordError: not JSON, no type, or a known type with the wrong shape.
    """
    size_bytes = len(text.encode(errors="surrogatepass"))
    if size_bytes > EVENT_BYTES_MAX:
        raise RecordError("event_too_long", f"an event of {size_bytes} bytes")
    try:
        return _ADAPTER.validate_json(text, strict=False)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        if problem["type"] == "union_tag_invalid":
            return _unknown_event(text)
        where = ".".join(str(part) for part in problem["loc"])
        raise RecordError("event_malformed", f"{where}: {problem['msg']}") from error


def event_models() -> dict[str, type[Event]]:
    """Return the model of every known type, for documents and forms."""
    return dict(_MODELS)


def parse_event(body: dict[str, Any]) -> KnownEvent:
    """Return the event that a program of ours or an API client describes.

    Raises:
        pydantic.ValidationError: with one entry for each wrong field.
    """
    return _ADAPTER.validate_python(body)


def _unknown_event(text: str) -> UnknownEvent:
    try:
        head = _Head.model_validate_json(text)
    except ValidationError as error:
        raise RecordError("event_malformed", "an event has a type of small letters") from error
    return UnknownEvent.model_validate(head.model_dump())
