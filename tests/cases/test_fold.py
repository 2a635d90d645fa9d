"""The same facts give the same standing in any order, and contradictions are shown, never lost.

Method: two officers who work apart, told as branches; and random graphs of events in random orders.
"""

import random
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from node.cases.fold import fold
from node.cases.history import Fact, event_date, in_order
from schemas import events as ev
from schemas.codes import CaseState, CaseType, Channel, ClosingReason, IdentityType, Outcome, Role
from schemas.event_text import KnownEvent
from schemas.events import StateEvent, UnknownEvent
from schemas.hlc import reading
from schemas.ids import EventId, event_id
from tests.cases.histories import (
    ACCEPTANCE,
    DIGEST,
    OTHER,
    PERSON,
    RECEIVED_ON,
    RECEPTION,
    SETTLEMENT,
    THIRD,
    History,
    by_post,
    classified,
    closed,
    decided,
    received,
    writer,
)

PROPOSED = (*by_post(CaseType.COMPLAINT), ev.AcceptanceProposed())
ACCEPTED = ev.Accepted(on=date(2026, 9, 8))
REFUSED = ev.NotAccepted(reason="hết thời hiệu")


def test_an_empty_document_is_new() -> None:
    standing = fold([])
    assert standing.state is CaseState.NEW
    assert standing.tips == ()
    assert not standing.is_open


def test_the_standing_tells_what_happened_beside_the_state() -> None:
    history = History(
        received(petition=OTHER),
        ev.PersonJoined(person=PERSON),
        ev.GroupLinked(group=THIRD),
        ev.Attached(sha256=DIGEST, size_bytes=4, name="đơn.pdf", media_type="application/pdf"),
        ev.Noted(text="Hẹn thứ Năm"),
        ev.PetitionLinked(petition=THIRD, case=PERSON),
        ev.DirectiveLinked(directive=OTHER),
        UnknownEvent(type="foreseen"),
    )
    standing = history.standing()
    assert [joined.person for joined in standing.people] == [PERSON]
    assert standing.groups == (THIRD,)
    assert [file.name for file in standing.attachments] == ["đơn.pdf"]
    assert [note.writer.user for note in standing.notes] == ["lan"]
    assert standing.petitions == (OTHER, THIRD)
    assert standing.directives == (OTHER,)
    assert [fact.event.type for fact in standing.unknown] == ["foreseen"]
    assert standing.received_on == RECEIVED_ON
    assert standing.tips == (history.facts[0].id,)
    assert standing.last_event_id == history.facts[-1].id
    assert standing.is_open


def test_an_event_out_of_place_is_kept_without_effect_and_what_follows_goes_on() -> None:
    history = History(*RECEPTION, decided(), classified())
    standing = history.standing()
    assert standing.state is CaseState.CLASSIFIED
    assert [item.code for item in standing.refused] == ["transition_illegal"]
    assert "possible now: classified, closed" in standing.refused[0].message


def test_accepted_here_and_refused_there_is_a_conflict() -> None:
    history = History(*PROPOSED)
    base = history.last
    accepted = history.add(ACCEPTED, after=base)
    refused = history.add(REFUSED, after=base)
    standing = history.standing()
    assert {branch.tip: branch.state for branch in standing.in_conflict} == {
        accepted: CaseState.ACCEPTED,
        refused: CaseState.NOT_ACCEPTED,
    }
    assert standing.state is CaseState.PROPOSED_ACCEPTANCE
    assert standing.tips == (accepted, refused)
    assert standing.refused == ()


def test_a_supervisor_settles_and_the_case_goes_on_from_the_chosen_branch() -> None:
    history = History(*PROPOSED)
    base = history.last
    accepted = history.add(ACCEPTED, after=base)
    refused = history.add(REFUSED, after=base)
    history.add(ev.Settled(chosen=accepted, reason="đúng thời hiệu"), after=[accepted, refused])
    history.add(ev.VerificationStarted())
    standing = history.standing()
    assert standing.in_conflict == ()
    assert standing.refused == ()
    assert standing.state is CaseState.VERIFYING
    assert standing.not_accepted_on is None


def test_only_a_supervisor_settles() -> None:
    history = History(*PROPOSED)
    base = history.last
    tips = [history.add(ACCEPTED, after=base), history.add(REFUSED, after=base)]
    history.add(
        ev.Settled(chosen=tips[0], reason="x"), after=tips, by=writer(Role.RECEPTION_OFFICER)
    )
    standing = history.standing()
    assert [item.code for item in standing.refused] == ["role_not_allowed"]
    assert len(standing.in_conflict) == 2


def test_two_supervisors_who_choose_differently_are_in_conflict_again() -> None:
    history = History(*PROPOSED)
    base = history.last
    tips = [history.add(ACCEPTED, after=base), history.add(REFUSED, after=base)]
    history.add(ev.Settled(chosen=tips[0], reason="x"), after=tips)
    history.add(ev.Settled(chosen=tips[1], reason="y"), after=tips)
    standing = history.standing()
    assert {branch.state for branch in standing.in_conflict} == {
        CaseState.ACCEPTED,
        CaseState.NOT_ACCEPTED,
    }
    third = standing.in_conflict[0]
    history.add(ev.Settled(chosen=third.tip, reason="z"), after=standing.tips)
    settled = history.standing()
    assert settled.in_conflict == ()
    assert settled.state is third.state


def test_two_supervisors_who_choose_alike_agree() -> None:
    history = History(*PROPOSED)
    base = history.last
    tips = [history.add(ACCEPTED, after=base), history.add(REFUSED, after=base)]
    history.add(ev.Settled(chosen=tips[0], reason="x"), after=tips)
    history.add(ev.Settled(chosen=tips[0], reason="y"), after=tips)
    standing = history.standing()
    assert standing.in_conflict == ()
    assert standing.state is CaseState.ACCEPTED


def test_settling_without_a_conflict_or_by_a_foreign_event_has_no_effect() -> None:
    history = History(*PROPOSED)
    calm = history.add(ev.Settled(chosen=history.last[0], reason="x"))
    tips = [history.add(ACCEPTED, after=[calm]), history.add(REFUSED, after=[calm])]
    history.add(ev.Settled(chosen=calm, reason="x"), after=tips)
    standing = history.standing()
    assert [item.code for item in standing.refused] == ["nothing_to_settle", "settled_unknown"]
    assert len(standing.in_conflict) == 2


def test_going_on_without_settling_does_not_hide_the_conflict() -> None:
    history = History(*PROPOSED)
    base = history.last
    tips = [history.add(ACCEPTED, after=base), history.add(REFUSED, after=base)]
    late = history.add(ev.VerificationStarted(), after=tips)
    standing = history.standing()
    assert [item.code for item in standing.refused] == ["case_in_conflict"]
    assert len(standing.in_conflict) == 2
    assert standing.tips == (late,)
    history.add(ev.Settled(chosen=tips[0], reason="x"))
    assert history.standing().state is CaseState.ACCEPTED


def test_the_same_step_twice_is_no_conflict_and_the_earlier_date_counts() -> None:
    history = History(*PROPOSED)
    base = history.last
    history.add(ev.Accepted(on=date(2026, 9, 9)), after=base)
    history.add(ev.VerificationStarted())
    history.add(ACCEPTED, after=base)
    standing = history.standing()
    assert standing.in_conflict == ()
    assert standing.state is CaseState.VERIFYING
    history = History(*PROPOSED)
    base = history.last
    history.add(ev.Accepted(on=date(2026, 9, 9)), after=base)
    history.add(ACCEPTED, after=base)
    assert history.standing().accepted_on == date(2026, 9, 8)


def test_what_leaves_the_state_as_it_is_never_conflicts() -> None:
    history = History(*by_post(CaseType.DENUNCIATION, complex=True), *ACCEPTANCE)
    history.add(ev.VerificationStarted())
    base = history.last
    history.add(ev.Extended(decision_number="7/QĐ", reason="nhiều nơi"), after=base)
    history.add(ev.Withdrawn(scope="partial"), after=base)
    history.add(ev.ConclusionDrafted(), after=base)
    standing = history.standing()
    assert standing.in_conflict == ()
    assert standing.state is CaseState.DRAFT_CONCLUSION
    assert standing.extensions_count == 1
    assert standing.withdrawn_partial


def test_a_legal_continuation_of_the_other_branch_is_merged() -> None:
    history = History(*PROPOSED)
    base = history.last
    history.add(ev.Withdrawn(scope="full"), after=base)
    history.add(ACCEPTED, after=base)
    standing = history.standing()
    assert standing.in_conflict == ()
    assert standing.state is CaseState.WITHDRAWN_FULL


def test_orders_that_end_differently_are_a_conflict() -> None:
    history = History(*by_post(CaseType.COMPLAINT), *ACCEPTANCE)
    base = history.last
    history.add(ev.Suspended(reason="chờ kết quả"), after=base)
    history.add(ev.VerificationStarted(), after=base)
    standing = history.standing()
    assert {branch.state for branch in standing.in_conflict} == {
        CaseState.SUSPENDED,
        CaseState.VERIFYING,
    }


def test_two_classes_are_a_conflict_even_where_one_could_follow_the_other() -> None:
    history = History(received(channel=Channel.POST))
    base = history.last
    history.add(classified(), after=base)
    history.add(ev.AcceptanceProposed())
    history.add(ACCEPTED)
    history.add(classified(CaseType.RECOMMENDATION), after=base)
    standing = history.standing()
    assert len(standing.in_conflict) == 2
    assert standing.state is CaseState.RECEIVED
    assert standing.case_type is None


def test_two_decisions_with_different_outcomes_are_a_conflict() -> None:
    history = History(*by_post(CaseType.COMPLAINT), *ACCEPTANCE, *SETTLEMENT[:2])
    base = history.last
    history.add(decided(Outcome.RIGHT), after=base)
    history.add(decided(Outcome.WRONG), after=base)
    standing = history.standing()
    assert len(standing.in_conflict) == 2
    assert standing.decided_on is None


def test_a_denunciation_sent_to_two_bodies_apart_is_a_conflict() -> None:
    history = History(*by_post(CaseType.DENUNCIATION, within_authority=False))
    base = history.last
    history.add(ev.Transferred(to_office="Thanh tra tỉnh"), after=base)
    history.add(ev.Transferred(to_office="Sở Nội vụ"), after=base)
    standing = history.standing()
    assert len(standing.in_conflict) == 2
    assert standing.transferred_count == 0


def test_a_case_that_may_be_a_denunciation_is_treated_as_one() -> None:
    history = History(received(channel=Channel.POST))
    base = history.last
    history.add(classified(), after=base)
    history.add(classified(CaseType.DENUNCIATION), after=base)
    history.add(ev.PersonJoined(person=PERSON))
    standing = history.standing()
    assert standing.is_sealed
    assert standing.people == ()
    assert [item.code for item in standing.refused] == ["denunciation_identity"]


def test_people_in_a_denunciation_are_kept_apart_from_it() -> None:
    history = History(*by_post(CaseType.DENUNCIATION), ev.PersonJoined(person=PERSON))
    standing = history.standing()
    assert standing.people == ()
    assert [item.code for item in standing.refused] == ["denunciation_identity"]


def test_what_follows_an_event_that_is_not_here_has_no_effect() -> None:
    history = History(received())
    history.add(ev.Registered(), after=[EventId("0" * 24)])
    standing = history.standing()
    assert standing.state is CaseState.RECEIVED
    assert [item.code for item in standing.refused] == ["follows_missing"]


def test_events_that_follow_each_other_in_a_circle_have_no_effect() -> None:
    history = History(received())
    one, two = (event_id(reading(1 << 41, n), b"abcd") for n in (1, 2))
    for key, other in ((one, two), (two, one)):
        event = ev.Registered(follows=(other,))
        history.facts.append(Fact(id=key, event=event, writer=writer()))
    standing = history.standing()
    assert standing.state is CaseState.RECEIVED
    assert [item.code for item in standing.refused] == ["history_cycle"] * 2


def test_a_writer_of_a_newer_program_has_no_rights_yet() -> None:
    history = History(received())
    history.add(ev.Registered(), by=writer("ombudsman"))
    history.add(ev.Registered(), by=writer(Role.RECEPTION_OFFICER, "region"))
    codes = [item.code for item in history.standing().refused]
    assert codes == ["role_not_allowed"]


def test_a_reopened_case_starts_its_time_limits_afresh() -> None:
    history = History(
        *by_post(CaseType.COMPLAINT),
        ev.AcceptanceProposed(),
        REFUSED,
        closed(ClosingReason.NOT_ACCEPTED),
        ev.Reopened(ground="new_evidence", reason="có tài liệu mới"),
    )
    standing = history.standing()
    assert standing.state is CaseState.CLASSIFIED
    assert standing.closing_reason is None
    assert standing.not_accepted_on is None
    assert standing.received_on == RECEIVED_ON


def test_days_are_days_in_viet_nam() -> None:
    late_evening_utc = 1_788_224_400_000 - 1_000 - 8 * 3_600_000
    assert event_date(event_id(reading(late_evening_utc), b"abcd")) == date(2026, 8, 31)
    assert event_date(event_id(reading(late_evening_utc + 1_000), b"abcd")) == date(2026, 9, 1)
    assert event_date("f" * 24) <= date.max


def test_a_fact_counts_once() -> None:
    history = History(*RECEPTION, ev.PersonJoined(person=PERSON))
    assert fold(history.facts * 2) == history.standing()
    assert len(in_order(history.facts * 2)) == len(history.facts)


# Random graphs

EVENTS: tuple[KnownEvent, ...] = (
    received(),
    received(CaseType.DENUNCIATION, channel=Channel.POST),
    ev.Registered(),
    ev.IdentityChecked(identity_type=IdentityType.OTHER),
    ev.Recorded(),
    ev.ReadbackConfirmed(by="signature"),
    classified(),
    classified(CaseType.DENUNCIATION),
    classified(CaseType.RECOMMENDATION, within_authority=False),
    ev.AcceptanceProposed(),
    ACCEPTED,
    REFUSED,
    ev.Transferred(to_office="Thanh tra tỉnh"),
    ev.Transferred(to_office="Sở Nội vụ"),
    ev.TransferReturned(reason="không đúng thẩm quyền"),
    ev.VerificationStarted(),
    ev.Suspended(reason="chờ"),
    ev.Withdrawn(scope="partial"),
    ev.Withdrawn(scope="full"),
    ev.ConclusionDrafted(),
    decided(),
    decided(Outcome.WRONG),
    closed(ClosingReason.NOT_ACCEPTED),
    ev.Reopened(ground="new_evidence", reason="mới"),
    ev.PersonJoined(person=PERSON),
    ev.Noted(text="ghi chú"),
)


@st.composite
def graphs(draw: st.DrawFn) -> list[Fact]:
    """Draw a likely beginning, then events that follow any of what stands, and settlements."""
    history = History(*draw(st.sampled_from([(), PROPOSED, RECEPTION, (*PROPOSED, ACCEPTED)])))
    for _ in range(draw(st.integers(0, 9))):
        keys = [fact.id for fact in history.facts if isinstance(fact.event, StateEvent)]
        after = draw(st.lists(st.sampled_from(keys), max_size=3, unique=True)) if keys else []
        standing = history.standing()
        settles = draw(st.booleans())
        if standing.in_conflict and settles:
            branch = draw(st.sampled_from(standing.in_conflict))
            history.add(ev.Settled(chosen=branch.tip, reason="x"), after=standing.tips)
        else:
            follows = after if draw(st.booleans()) else list(standing.tips)
            history.add(draw(st.sampled_from(EVENTS)), after=follows)
    return history.facts


@settings(max_examples=150, deadline=None)
@given(facts=graphs(), seed=st.integers(0, 2**32))
def test_the_order_of_arrival_does_not_matter(facts: list[Fact], seed: int) -> None:
    expected = fold(facts)
    shuffled = list(facts)
    random.Random(seed).shuffle(shuffled)
    assert fold(shuffled) == expected
    assert fold(reversed(facts)) == expected


@settings(max_examples=150, deadline=None)
@given(facts=graphs())
def test_every_conflict_can_be_settled_for_each_of_its_branches(facts: list[Fact]) -> None:
    standing = fold(facts)
    assert len(standing.in_conflict) != 1
    assert len({branch.tip for branch in standing.in_conflict}) == len(standing.in_conflict)
    for branch in standing.in_conflict:
        settled = ev.Settled(chosen=branch.tip, reason="x", follows=standing.tips)
        fact = Fact(id=event_id(reading(1 << 42), b"abcd"), event=settled, writer=writer())
        after = fold([*facts, fact])
        assert after.in_conflict == ()
        assert after.state is branch.state


@settings(max_examples=150, deadline=None)
@given(facts=graphs())
def test_no_event_is_lost(facts: list[Fact]) -> None:
    standing = fold(facts)
    kept = {item.fact.id for item in standing.refused} | {note.id for note in standing.notes}
    for fact in facts:
        if isinstance(fact.event, ev.Noted):
            assert fact.id in kept
    assert {item.fact.id for item in standing.refused} <= {fact.id for fact in facts}
