"""Where a case stands: what a chain of its events amounts to, and what the whole history says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from node.cases.history import Fact
from schemas.codes import (
    CaseState,
    CaseType,
    Channel,
    ClosingReason,
    Outcome,
    RefusalGround,
)
from schemas.events import Attached, PersonJoined
from schemas.ids import EventId

_OPEN_NOT = frozenset(
    {
        CaseState.NEW,
        CaseState.CLOSED,
        CaseState.ARCHIVED_CURRENT,
        CaseState.ARCHIVED_HISTORICAL,
    }
)


# No slots: a fold makes one position for each event, and copying a dict is ten times faster than
# dataclasses.replace on forty attributes.
@dataclass(frozen=True, kw_only=True)
class Position:
    """What one chain of state events amounts to.

    Dates are days in Viet Nam. Where an event carries its own `on`, that day counts; otherwise the
    day of its clock reading.

    Attributes:
        stated_type: what the petition looked like when it was received.
        case_type: what it was classified as; None before.
        complex: a trait that the officer judged at classification, as are the three after it.
        written: the petition came on paper, or by another way than a visit.
        processed_on: first day that the processing of the petition had a result.
        routed_on: first day that it went elsewhere or was found ineligible.
        transferred_count: how often it was transferred.
        assigned_code: place that the case was last given to, if the assignment named a code.
        extensions_count: written extensions of the time limit.
        was_suspended: settlement rested at least once.
        withdrawn_partial: a part was withdrawn; the rest goes on.
        second_cases: cases of instance 2 that grew out of this one.
    """

    state: CaseState = CaseState.NEW
    stated_type: CaseType | None = None
    case_type: CaseType | None = None
    instance: int = 1
    within_authority: bool = True
    complex: bool = False
    especially_complex: bool = False
    remote: bool = False
    multi_place: bool = False
    channel: Channel | None = None
    written: bool = False
    petition: str | None = None
    visit: str | None = None
    parent: str | None = None
    children: tuple[str, ...] = ()
    second_cases: tuple[str, ...] = ()
    received_on: date | None = None
    recorded_on: date | None = None
    classified_on: date | None = None
    processed_on: date | None = None
    routed_on: date | None = None
    ineligible_on: date | None = None
    accepted_on: date | None = None
    not_accepted_on: date | None = None
    decided_on: date | None = None
    handled_on: date | None = None
    published_on: date | None = None
    answered_on: date | None = None
    terminated_on: date | None = None
    closed_on: date | None = None
    archived_current_on: date | None = None
    archived_historical_on: date | None = None
    refusal_ground: RefusalGround | None = None
    outcome: Outcome | None = None
    decision_number: str = ""
    closing_reason: ClosingReason | None = None
    transferred_count: int = 0
    transferred_to: str = ""
    assigned_to: str = ""
    assigned_code: str = ""
    extensions_count: int = 0
    was_suspended: bool = False
    withdrawn_full: bool = False
    withdrawn_partial: bool = False

    def moved(self, changes: Mapping[str, object]) -> "Position":
        """Return a position with some attributes replaced, like dataclasses.replace."""
        position = object.__new__(Position)
        position.__dict__.update(self.__dict__)
        position.__dict__.update(changes)
        return position

    @property
    def effective_type(self) -> CaseType | None:
        """The class, or before classification what the petition looked like."""
        return self.case_type or self.stated_type

    @property
    def is_sealed(self) -> bool:
        """Tell whether the rules of a denunciation hold."""
        return self.effective_type is CaseType.DENUNCIATION

    @property
    def is_open(self) -> bool:
        """Tell whether somebody still has to do something."""
        return self.state not in _OPEN_NOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One of the histories that cannot both stand; a Settled event chooses it by its tip.

    Attributes:
        tip: the event to name as `chosen`.
        state: where the case stands if this branch does.
        fact: the event of the tip, with its writer.
    """

    tip: EventId
    state: CaseState
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An event that is kept but has no effect, with the stable code of the reason."""

    fact: Fact
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class CaseStanding(Position):
    """What the whole history of a case says.

    While branches are in conflict, the position is the one that all of them agree on.

    Attributes:
        people: who takes part, oldest first.
        groups: document ids of groups.
        directives: document ids of directives.
        petitions: document ids of petitions, the one it was received with first.
        attachments: files, oldest first.
        notes: remarks with their writers, oldest first.
        tips: what the next state event must name in `follows`.
        in_conflict: the candidates, oldest tip first; empty when there is no conflict.
        is_denunciation_disputed: one of the candidates says that it is a denunciation.
        refused: events without effect.
        unknown: events of types that this program does not know.
        last_event_id: newest event of any type; empty for a document without events.
    """

    people: tuple[PersonJoined, ...] = ()
    groups: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    petitions: tuple[str, ...] = ()
    attachments: tuple[Attached, ...] = ()
    notes: tuple[Fact, ...] = ()
    tips: tuple[EventId, ...] = ()
    in_conflict: tuple[Branch, ...] = ()
    is_denunciation_disputed: bool = False
    refused: tuple[Refusal, ...] = ()
    unknown: tuple[Fact, ...] = ()
    last_event_id: str = ""

    @property
    def is_sealed(self) -> bool:
        """Tell whether the rules of a denunciation hold: they do as long as it may be one."""
        return self.is_denunciation_disputed or self.effective_type is CaseType.DENUNCIATION
