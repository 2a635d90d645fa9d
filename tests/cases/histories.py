"""Builds histories of cases: invented people, one event a minute, one writer unless told."""

from collections.abc import Sequence
from datetime import date

from node.cases.fold import fold
from node.cases.history import Fact
from node.cases.standing import CaseStanding
from schemas import events as ev
from schemas.codes import CaseType, Channel, ClosingReason, IdentityType, Outcome, Role, Tier
from schemas.event_text import KnownEvent
from schemas.events import StateEvent, UnknownEvent
from schemas.hlc import reading
from schemas.ids import EventId, event_id
from schemas.record import Writer

# Tuesday 1 September 2026, 08:00 in Viet Nam.
START_MS = 1_788_224_400_000
RECEIVED_ON = date(2026, 9, 1)
PERSON = "00000000-0000-7000-8000-000000000001"
OTHER = "00000000-0000-7000-8000-000000000002"
THIRD = "00000000-0000-7000-8000-000000000003"
DIGEST = "ab" * 32


def writer(role: Role | str = Role.COMMUNE_CHAIR, tier: Tier | str = Tier.COMMUNE) -> Writer:
    return Writer(
        node=b"n" * 32,
        device=b"d" * 16,
        epoch=0,
        tier=str(tier),
        code="40.17",
        user="lan",
        name="Trần Thị Lan",
        role=str(role),
    )


class History:
    """Facts in the making; an event follows the last state event unless told what it follows."""

    def __init__(self, *events: KnownEvent | UnknownEvent) -> None:
        self.facts: list[Fact] = []
        self.last: tuple[EventId, ...] = ()
        self.minute = 0
        for event in events:
            self.add(event)

    def add(
        self,
        event: KnownEvent | UnknownEvent,
        *,
        after: Sequence[EventId] | None = None,
        by: Writer | None = None,
        device: bytes = b"abcd",
    ) -> EventId:
        self.minute += 1
        key = event_id(reading(START_MS + self.minute * 60_000), device)
        if isinstance(event, StateEvent):
            follows = self.last if after is None else tuple(after)
            event = event.model_copy(update={"follows": follows})
            self.last = (key,)
        self.facts.append(Fact(id=key, event=event, writer=by or writer()))
        return key

    def standing(self) -> CaseStanding:
        return fold(self.facts)


def received(case_type: CaseType = CaseType.COMPLAINT, **more: object) -> ev.Received:
    body = {"on": RECEIVED_ON, "stated_type": case_type} | more
    return ev.Received.model_validate(body)


def classified(case_type: CaseType = CaseType.COMPLAINT, **more: object) -> ev.Classified:
    return ev.Classified.model_validate({"case_type": case_type} | more)


def decided(outcome: Outcome = Outcome.RIGHT, number: str = "12/QĐ-UBND") -> ev.Decided:
    return ev.Decided(on=date(2026, 10, 5), outcome=outcome, decision_number=number)


def closed(reason: ClosingReason, number: str = "31/TB-UBND") -> ev.Closed:
    return ev.Closed(reason=reason, document_number=number)


RECEPTION: tuple[KnownEvent, ...] = (
    received(),
    ev.Registered(),
    ev.IdentityChecked(identity_type=IdentityType.CITIZEN_CARD),
    ev.Recorded(),
    ev.ReadbackConfirmed(by="signature"),
)
ACCEPTANCE: tuple[KnownEvent, ...] = (
    ev.AcceptanceProposed(),
    ev.Accepted(on=date(2026, 9, 8), decision_number="5/TB-UBND"),
)
SETTLEMENT: tuple[KnownEvent, ...] = (
    ev.VerificationStarted(),
    ev.ConclusionDrafted(),
    decided(),
)


def by_post(case_type: CaseType, **more: object) -> tuple[KnownEvent, ...]:
    """Return what it takes to have a petition of a class classified."""
    return received(case_type, channel=Channel.POST), classified(case_type, **more)
