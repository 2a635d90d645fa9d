"""What a person asks the desk to do, as pages and API send it: parsed once, trusted after."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from schemas.codes import CaseType, Channel, IdentityMode, IdentityType, PartyRole, ReceptionKind
from schemas.events import DocumentRef, OfficeCode
from schemas.limits import (
    FIELD_CHARS_MAX,
    PEOPLE_PER_VISIT_MAX,
    PETITIONS_PER_VISIT_MAX,
    SPLIT_CHILDREN_MAX,
    TEXT_CHARS_MAX,
)

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Paragraph = Annotated[str, StringConstraints(strip_whitespace=True, max_length=FIELD_CHARS_MAX)]
LongText = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX)]
Heads = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")], ...], Field(max_length=64)
]


# As it is printed on the paper and read out, in groups; equal numbers must be equal letters.
PaperNumber = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Za-z](?:[ .-]?[0-9A-Za-z]){5,19}$"),
    AfterValidator(lambda number: number.translate({ord(sign): None for sign in " .-"})),
]


class Request(BaseModel):
    """Base of all requests: unknown keys are refused, so that a typing error is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonEntry(Request):
    """A citizen at the desk. The number of the paper is sealed before it is stored anywhere."""

    id: DocumentRef | None = None
    full_name: Name
    birth_year: Annotated[int, Field(ge=1880, le=2100)] | None = None
    address: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    phone: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] = ""
    role: PartyRole = PartyRole.PETITIONER
    identity_type: IdentityType | None = None
    identity_number: PaperNumber | None = None
    identity_checked: bool = False

    @model_validator(mode="after")
    def _type_with_number(self) -> Self:
        if self.identity_number and self.identity_type is None:
            raise ValueError("identity_type is needed with identity_number")
        return self


class PetitionEntry(Request):
    """One petition; a case is opened for it, or it joins an existing case.

    Attributes:
        id: minted by the client before sending, so that a repeated request makes no duplicate.
        case_id: likewise, of the case that is opened; or an existing case with joins_case.
        written: handed in on paper, so that no spoken words need to be written down.
    """

    id: DocumentRef | None = None
    case_id: DocumentRef | None = None
    joins_case: bool = False
    case_type: CaseType
    channel: Channel = Channel.VISIT
    written: bool = False
    title: Title = ""
    content: LongText = ""
    request: Paragraph = ""
    respondent_name: Line = ""
    respondent_code: OfficeCode | None = None
    petition_date: date | None = None
    decision_number: Line = ""
    decision_date: date | None = None
    settled_by: Line = ""
    topic: Annotated[str, StringConstraints(max_length=60)] = ""
    location: Title = ""
    register_number: Line = ""
    identity_mode: IdentityMode | None = None
    sealed_ref: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_.-]{0,60}$")] = ""
    envelope_number: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_.-]{0,60}$")] = ""


class RegisterVisit(Request):
    """The whole visit in one form. A denunciation is registered alone and without people."""

    visit_id: DocumentRef | None = None
    held_on: date
    kind: ReceptionKind = ReceptionKind.REGULAR
    place: Line = ""
    register_number: Line = ""
    statement: LongText = ""
    people: Annotated[tuple[PersonEntry, ...], Field(max_length=PEOPLE_PER_VISIT_MAX)] = ()
    people_count: Annotated[int, Field(ge=1, le=100_000)] | None = None
    group_name: Line = ""
    petitions: Annotated[
        tuple[PetitionEntry, ...], Field(min_length=1, max_length=PETITIONS_PER_VISIT_MAX)
    ]
    statement_recorded: bool = False
    readback: Literal["signature", "fingerprint"] | None = None


class CaseAction(Request):
    """One event on a case, with the state events that the officer had before the eyes.

    Attributes:
        event: `{"type": ..., ...}` as in schemas/events.py, without `follows`.
        follows: tips shown on the page; None means those of now.
        apart: the officer acted without the node, so what happened meanwhile does not forbid it:
            both are kept, and a person settles them if they cannot both stand.
    """

    event: dict[str, Any]
    follows: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")], ...] | None = None
    apart: bool = False


class EditFields(Request):
    """New values of descriptive fields and long texts.

    Attributes:
        base: heads of the version that was edited; values changed since then stay as rivals.
    """

    fields: dict[str, str | int | None] = Field(default_factory=dict)
    texts: dict[str, LongText] = Field(default_factory=dict)
    base: Heads | None = None


class SplitChild(Request):
    """One of the contents that a mixed petition is split into."""

    id: DocumentRef | None = None
    case_type: CaseType
    title: Title = ""
    summary: LongText = ""


class SplitCase(Request):
    """Split a case of several contents."""

    children: Annotated[tuple[SplitChild, ...], Field(min_length=2, max_length=SPLIT_CHILDREN_MAX)]


class IssueDirective(Request):
    """A written directive with a time limit to one or more offices below."""

    id: DocumentRef | None = None
    case_id: DocumentRef | None = None
    to_codes: Annotated[tuple[OfficeCode, ...], Field(min_length=1, max_length=200)]
    title: Name
    body: LongText = ""
    letter_number: Line = ""
    due_on: date


class PersonAction(Request):
    """One event on a person: a request about personal data, or its answer."""

    event: dict[str, Any]


class DirectiveAction(Request):
    """One event on a directive: acknowledged, reported, done or withdrawn."""

    event: dict[str, Any]
