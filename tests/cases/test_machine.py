"""Every state can be reached and left, and each class of case goes the way of the domain facts.

Method: the stories of section 8.4 told as events, and a walk through all tables.
"""

from datetime import date

import pytest

from node.cases.machine import CLOSING_REASONS, TABLES, move_name, moves
from node.cases.standing import Position
from schemas import events as ev
from schemas.codes import (
    CaseState,
    CaseType,
    Channel,
    ClosingReason,
    IdentityType,
    RefusalGround,
)
from schemas.event_text import KnownEvent, event_models
from schemas.events import StateEvent
from tests.cases.histories import (
    ACCEPTANCE,
    OTHER,
    RECEPTION,
    SETTLEMENT,
    THIRD,
    History,
    by_post,
    classified,
    closed,
    received,
)

DENUNCIATION = by_post(CaseType.DENUNCIATION)
PUBLISHED = ev.Published(on=date(2026, 10, 8))
STORIES: dict[str, tuple[tuple[KnownEvent, ...], CaseState]] = {
    "a spoken complaint, settled and carried out": (
        (
            *RECEPTION,
            classified(),
            *ACCEPTANCE,
            ev.VerificationStarted(),
            ev.DialogueHeld(on=date(2026, 9, 20)),
            *SETTLEMENT[1:],
            PUBLISHED,
            ev.ExecutionStarted(),
            closed(ClosingReason.SETTLED),
            ev.Archived(to="current"),
            ev.Archived(to="historical"),
        ),
        CaseState.ARCHIVED_HISTORICAL,
    ),
    "a complaint handed in on paper needs no readback": (
        (
            received(written=True),
            ev.Registered(),
            ev.IdentityChecked(identity_type=IdentityType.PASSPORT),
            classified(),
        ),
        CaseState.CLASSIFIED,
    ),
    "a child of a split needs no reception of its own": (
        (received(parent=OTHER), classified()),
        CaseState.CLASSIFIED,
    ),
    "a complaint that is somebody else's is guided there": (
        (
            *by_post(CaseType.COMPLAINT, within_authority=False),
            ev.Guided(to_office="Sở Nông nghiệp và Môi trường"),
            closed(ClosingReason.GUIDED),
        ),
        CaseState.CLOSED,
    ),
    "a transfer that comes back is classified again": (
        (
            *by_post(CaseType.COMPLAINT, within_authority=False),
            ev.Transferred(to_office="UBND xã Mường Xén"),
            ev.TransferReturned(reason="không đúng thẩm quyền"),
            classified(),
        ),
        CaseState.CLASSIFIED,
    ),
    "a transfer that was acknowledged is closed": (
        (
            *by_post(CaseType.DENUNCIATION, within_authority=False),
            ev.Transferred(to_office="Thanh tra tỉnh"),
            ev.TransferAcknowledged(),
            closed(ClosingReason.TRANSFERRED),
        ),
        CaseState.CLOSED,
    ),
    "an ineligible petition is kept on file": (
        (
            *by_post(CaseType.REFLECTION),
            ev.DeclaredIneligible(reason="không có chữ ký"),
            ev.Filed(),
            closed(ClosingReason.INELIGIBLE),
        ),
        CaseState.CLOSED,
    ),
    "a supplement that never comes": (
        (
            *by_post(CaseType.COMPLAINT),
            ev.SupplementRequested(missing="quyết định bị khiếu nại"),
            ev.Lapsed(),
            closed(ClosingReason.LAPSED),
        ),
        CaseState.CLOSED,
    ),
    "several contents are split": (
        (
            *by_post(CaseType.SEVERAL_CONTENTS),
            ev.Split(children=(OTHER, THIRD)),
            closed(ClosingReason.SPLIT),
        ),
        CaseState.CLOSED,
    ),
    "a complaint that is not accepted": (
        (
            *by_post(CaseType.COMPLAINT),
            ev.AcceptanceProposed(),
            ev.NotAccepted(reason="hết thời hiệu"),
            closed(ClosingReason.NOT_ACCEPTED),
        ),
        CaseState.CLOSED,
    ),
    "a withdrawal ends the settlement": (
        (
            *by_post(CaseType.COMPLAINT),
            *ACCEPTANCE,
            ev.Withdrawn(scope="full"),
            ev.Terminated(),
            closed(ClosingReason.WITHDRAWN),
            ev.Reopened(ground="coerced_withdrawal", reason="bị đe dọa"),
        ),
        CaseState.CLASSIFIED,
    ),
    "a suspension ends with the verification going on": (
        (
            *by_post(CaseType.COMPLAINT),
            *ACCEPTANCE,
            ev.Suspended(reason="chờ kết quả liên quan"),
            ev.VerificationStarted(),
        ),
        CaseState.VERIFYING,
    ),
    "a second complaint leaves the first decision standing": (
        (
            *by_post(CaseType.COMPLAINT),
            *ACCEPTANCE,
            *SETTLEMENT,
            ev.SecondComplaintRaised(case=OTHER),
        ),
        CaseState.DECIDED,
    ),
    "a decision is taken to court": (
        (
            *by_post(CaseType.COMPLAINT),
            *ACCEPTANCE,
            *SETTLEMENT,
            ev.LawsuitFiled(),
            closed(ClosingReason.SETTLED),
        ),
        CaseState.CLOSED,
    ),
    "a spoken denunciation skips the identity check": (
        (
            received(CaseType.DENUNCIATION),
            ev.Registered(),
            ev.Recorded(),
            ev.ReadbackConfirmed(by="fingerprint"),
            classified(CaseType.DENUNCIATION),
        ),
        CaseState.CLASSIFIED,
    ),
    "a conclusion on a denunciation is handled, then published": (
        (*DENUNCIATION, *ACCEPTANCE, *SETTLEMENT, ev.Handled(), PUBLISHED),
        CaseState.PUBLISHED,
    ),
    "a recommendation is assigned, answered and closed": (
        (
            *by_post(CaseType.RECOMMENDATION),
            ev.Assigned(to_office="Phòng Kinh tế"),
            ev.Answered(on=date(2026, 9, 9), letter_number="44/UBND"),
            closed(ClosingReason.ANSWERED),
        ),
        CaseState.CLOSED,
    ),
    "a land dispute can be answered": (
        (*by_post(CaseType.LAND_DISPUTE), ev.Answered(on=date(2026, 9, 9))),
        CaseState.ANSWERED,
    ),
    "a land dispute can be decided": (
        (*by_post(CaseType.LAND_DISPUTE), *ACCEPTANCE, *SETTLEMENT),
        CaseState.DECIDED,
    ),
    "what is out of scope is guided": (
        (
            *by_post(CaseType.OUT_OF_SCOPE, within_authority=False),
            ev.Guided(to_office="Tòa án nhân dân khu vực"),
        ),
        CaseState.GUIDED_ELSEWHERE,
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_each_class_goes_the_way_of_the_law(name: str) -> None:
    events, state = STORIES[name]
    standing = History(*events).standing()
    assert standing.refused == ()
    assert standing.state is state


@pytest.mark.parametrize(
    ("events", "refused"),
    [
        ((received(), classified()), classified()),
        ((received(), ev.Registered(), classified()), classified()),
        ((received(written=True), ev.Registered(), classified()), classified()),
        ((*RECEPTION[:4], classified()), classified()),
        ((ev.Registered(),), ev.Registered()),
        ((*by_post(CaseType.RECOMMENDATION), ev.AcceptanceProposed()), ev.AcceptanceProposed()),
        ((*by_post(CaseType.DENUNCIATION), ev.Guided(to_office="Sở")), ev.Guided(to_office="Sở")),
        (
            (
                received(CaseType.DENUNCIATION),
                ev.Registered(),
                ev.IdentityChecked(identity_type=IdentityType.OTHER),
            ),
            ev.IdentityChecked(identity_type=IdentityType.OTHER),
        ),
        (
            (
                received(channel=Channel.BOX),
                ev.RefusedReception(ground=RefusalGround.UNABLE, reason="say"),
            ),
            ev.RefusedReception(ground=RefusalGround.UNABLE, reason="say"),
        ),
        ((*by_post(CaseType.COMPLAINT), *SETTLEMENT[:1]), SETTLEMENT[0]),
        (
            (*DENUNCIATION, *ACCEPTANCE, *SETTLEMENT, ev.SecondComplaintRaised(case=OTHER)),
            ev.SecondComplaintRaised(case=OTHER),
        ),
        (
            (
                *by_post(CaseType.COMPLAINT),
                *ACCEPTANCE,
                SETTLEMENT[0],
                ev.Extended(decision_number="1", reason="phức tạp"),
            ),
            ev.Extended(decision_number="1", reason="phức tạp"),
        ),
    ],
)
def test_a_step_out_of_turn_has_no_effect(
    events: tuple[KnownEvent, ...], refused: KnownEvent
) -> None:
    standing = History(*events).standing()
    assert [item.code for item in standing.refused] == ["transition_illegal"]
    assert standing.refused[0].fact.event.type == refused.type


def test_every_move_is_an_event_and_leads_to_a_state_with_a_way_out() -> None:
    types = set(event_models())
    for table in TABLES.values():
        for possible in table.values():
            for name, state in possible.items():
                assert name.partition(":")[0] in types
                assert state is CaseState.ARCHIVED_HISTORICAL or table.get(state)


def test_every_state_belongs_to_some_class() -> None:
    reached = {CaseState.NEW}
    for case_type in CaseType:
        for channel in Channel:
            for written in (False, True):
                reached |= _reachable(case_type, channel, written)
    assert reached == set(CaseState)


def test_every_state_event_but_settled_stands_in_a_table() -> None:
    named = {
        name.partition(":")[0]
        for case_type in CaseType
        for state in CaseState
        for channel in Channel
        for name in moves(Position(state=state, case_type=case_type, channel=channel))
    }
    wanted = {name for name, model in event_models().items() if issubclass(model, StateEvent)}
    assert named == wanted - {"settled"}


def test_a_case_closes_only_with_a_reason_that_fits() -> None:
    for table in TABLES.values():
        for state, possible in table.items():
            if "closed" in possible:
                assert CLOSING_REASONS[state]
    used = {reason for reasons in CLOSING_REASONS.values() for reason in reasons}
    assert used == set(ClosingReason)


def test_withdrawn_and_archived_are_told_apart_by_what_they_say() -> None:
    assert move_name(ev.Withdrawn(scope="partial")) == "withdrawn:partial"
    assert move_name(ev.Withdrawn(scope="full")) == "withdrawn:full"
    assert move_name(ev.Archived(to="historical")) == "archived:historical"


def _reachable(case_type: CaseType, channel: Channel, written: bool) -> set[CaseState]:
    found: set[CaseState] = set()
    waiting = [CaseState.RECEIVED]
    while waiting:
        state = waiting.pop()
        if state in found:
            continue
        found.add(state)
        position = Position(
            state=state,
            stated_type=case_type,
            case_type=case_type,
            channel=channel,
            written=written,
        )
        waiting += moves(position).values()
    return found
