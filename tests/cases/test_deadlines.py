"""Deadlines follow the rule that was in force, the variant that fits best, and say what is unsure.

Method: the shipped law on told cases, with days counted by hand; small laws for validity and ties.
"""

from datetime import date, timedelta

import pytest

from node.cases.deadlines import (
    DAY_COUNTING_UNVERIFIED,
    EXTENSION_BEYOND_LIMIT,
    EXTENSION_WITHOUT_RULE,
    SUSPENSION_NOT_COUNTED,
    Deadline,
    deadlines,
    is_late,
    is_overdue,
)
from node.cases.standing import Position
from node.cases.workdays import Calendar
from node.law import load_law
from schemas import events as ev
from schemas.codes import CaseType, Channel, ClosingReason
from schemas.event_text import KnownEvent
from schemas.law.rules import DeadlineRule, Law, RuleKind, Trigger, Unit
from tests.cases.histories import (
    ACCEPTANCE,
    RECEPTION,
    SETTLEMENT,
    History,
    by_post,
    classified,
    closed,
    received,
)

LAW = load_law()
CALENDAR = Calendar()
VERIFYING = (*ACCEPTANCE, SETTLEMENT[0])


def found(*events: KnownEvent) -> dict[str, Deadline]:
    standing = History(*events).standing()
    assert standing.refused == ()
    return {item.rule_id: item for item in deadlines(standing, LAW, CALENDAR)}


@pytest.mark.parametrize(
    ("instance", "traits", "rule_id", "due_on"),
    [
        (1, {}, "KN-SETTLE-1", date(2026, 10, 8)),
        (1, {"complex": True}, "KN-SETTLE-1-C", date(2026, 10, 23)),
        (1, {"remote": True}, "KN-SETTLE-1-R", date(2026, 10, 23)),
        (1, {"remote": True, "complex": True}, "KN-SETTLE-1-RC", date(2026, 11, 9)),
        (2, {}, "KN-SETTLE-2", date(2026, 10, 23)),
        (2, {"complex": True}, "KN-SETTLE-2-C", date(2026, 11, 9)),
        (2, {"remote": True}, "KN-SETTLE-2-R", date(2026, 11, 9)),
        (2, {"remote": True, "complex": True}, "KN-SETTLE-2-RC", date(2026, 11, 17)),
    ],
)
def test_the_variant_that_fits_best_is_taken(
    instance: int, traits: dict[str, bool], rule_id: str, due_on: date
) -> None:
    events = by_post(CaseType.COMPLAINT, instance=instance, **traits)
    items = found(*events, *ACCEPTANCE)
    settle = [key for key in items if key.startswith("KN-SETTLE")]
    assert settle == [rule_id]
    assert items[rule_id].due_on == due_on
    assert items[rule_id].trigger_on == date(2026, 9, 8)
    assert items[rule_id].verified
    assert items[rule_id].source == f"Luật Khiếu nại 2011, Điều {28 if instance == 1 else 37}"


def test_a_petition_waits_ten_days_at_most() -> None:
    items = found(*RECEPTION)
    assert set(items) == {"DON-PROC-10", "KN-ACCEPT-1", "TCD-NOTIFY-10"}
    processing = items["DON-PROC-10"]
    assert processing.due_on == date(2026, 9, 11)
    assert processing.notices == (DAY_COUNTING_UNVERIFIED,)
    assert not is_overdue(processing, date(2026, 9, 11))
    assert is_overdue(processing, date(2026, 9, 12))
    assert not items["TCD-NOTIFY-10"].verified


def test_what_was_done_is_met_and_may_have_been_late() -> None:
    items = found(*by_post(CaseType.COMPLAINT), *ACCEPTANCE)
    assert items["KN-ACCEPT-1"].met_on == date(2026, 9, 8)
    assert not is_late(items["KN-ACCEPT-1"])
    late = found(
        *by_post(CaseType.COMPLAINT),
        ACCEPTANCE[0],
        ev.Accepted(on=date(2026, 9, 30)),
    )["KN-ACCEPT-1"]
    assert is_late(late)
    assert not is_overdue(late, date(2027, 1, 1))


def test_a_case_that_ended_owes_no_settlement() -> None:
    items = found(
        *by_post(CaseType.COMPLAINT),
        *ACCEPTANCE,
        ev.Withdrawn(scope="full"),
        ev.Terminated(),
        closed(ClosingReason.WITHDRAWN),
    )
    assert items["KN-SETTLE-1"].met_on is not None
    assert items["ARC-CURRENT"].met_on is None
    assert items["ARC-CURRENT"].trigger_on == date(2026, 12, 31)


def test_guiding_elsewhere_answers_the_time_to_accept() -> None:
    events = by_post(CaseType.COMPLAINT, within_authority=False)
    items = found(*events, ev.Guided(to_office="Sở Xây dựng"))
    assert items["KN-ACCEPT-1"].met_on == items["DON-PROC-10"].met_on == date(2026, 9, 1)


def test_a_denunciation_has_its_own_times() -> None:
    items = found(*by_post(CaseType.DENUNCIATION))
    assert set(items) == {"DON-PROC-10", "TC-INITIAL"}
    assert items["TC-INITIAL"].due_on == date(2026, 9, 11)
    assert not items["TC-INITIAL"].verified
    several = found(*by_post(CaseType.DENUNCIATION, multi_place=True))
    assert several["TC-INITIAL-M"].due_on == date(2026, 9, 16)
    assert "TC-INITIAL" not in several
    outside = found(*by_post(CaseType.DENUNCIATION, within_authority=False))
    assert outside["TC-TRANSFER"].due_on == date(2026, 9, 9)


def extended(times: int, **traits: bool) -> dict[str, Deadline]:
    more = [ev.Extended(decision_number=str(n), reason="nhiều nơi") for n in range(times)]
    return found(*by_post(CaseType.DENUNCIATION, **traits), *VERIFYING, *more)


def test_a_written_extension_moves_the_settlement_day() -> None:
    items = extended(1, complex=True)
    assert items["TC-SETTLE"].kind is RuleKind.REPLACED
    assert items["TC-SETTLE"].due_on == date(2026, 10, 8)
    assert not is_overdue(items["TC-SETTLE"], date(2027, 1, 1))
    extension = items["TC-EXTEND-C"]
    assert extension.trigger is Trigger.SETTLE_DUE
    assert extension.trigger_on == date(2026, 10, 8)
    assert extension.due_on == date(2026, 11, 9)
    assert is_overdue(extension, date(2026, 11, 10))


def test_extensions_follow_one_another_as_often_as_the_law_allows() -> None:
    twice = extended(2, especially_complex=True)["TC-EXTEND-XC"]
    assert twice.due_on == date(2026, 12, 9)
    assert EXTENSION_BEYOND_LIMIT not in twice.notices
    beyond = extended(2, complex=True)["TC-EXTEND-C"]
    assert beyond.due_on == date(2026, 11, 9)
    assert EXTENSION_BEYOND_LIMIT in beyond.notices


def test_both_degrees_of_complexity_give_the_longer_extension() -> None:
    items = extended(2, complex=True, especially_complex=True)
    assert "TC-EXTEND-XC" in items
    assert "TC-EXTEND-C" not in items


def test_an_extension_without_a_rule_moves_nothing_and_says_so() -> None:
    settle = extended(1)["TC-SETTLE"]
    assert settle.kind is RuleKind.DEADLINE
    assert EXTENSION_WITHOUT_RULE in settle.notices


def test_a_suspension_moves_nothing_and_says_so() -> None:
    events = (*by_post(CaseType.COMPLAINT), *ACCEPTANCE)
    items = found(*events, ev.Suspended(reason="chờ kết quả"), ev.VerificationStarted())
    assert items["KN-SETTLE-1"].due_on == date(2026, 10, 8)
    assert SUSPENSION_NOT_COUNTED in items["KN-SETTLE-1"].notices
    assert SUSPENSION_NOT_COUNTED not in items["KN-ACCEPT-1"].notices


def test_a_decision_is_sent_and_published() -> None:
    events = (*by_post(CaseType.COMPLAINT, instance=2), *ACCEPTANCE, *SETTLEMENT)
    items = found(*events)
    assert items["KN-PUBLISH-2"].due_on == date(2026, 10, 20)
    assert items["KN-SEND-2"].kind is RuleKind.DUTY
    assert not is_overdue(items["KN-SEND-2"], date(2027, 1, 1))
    assert items["KN-SETTLE-2"].met_on == date(2026, 10, 5)
    published = found(*events, ev.Published(on=date(2026, 10, 19)))
    assert published["KN-PUBLISH-2"].met_on == date(2026, 10, 19)


def test_a_posted_conclusion_stays_fifteen_days_day_off_or_not() -> None:
    posted = ev.Published(on=date(2026, 10, 9))
    events = (*by_post(CaseType.DENUNCIATION), *ACCEPTANCE, *SETTLEMENT, ev.Handled(), posted)
    item = found(*events)["TC-PUBLISH-15"]
    assert item.kind is RuleKind.DURATION_MIN
    assert item.due_on == date(2026, 10, 24)
    assert not is_overdue(item, date(2027, 1, 1))


def test_an_ineligible_petition_is_kept_for_a_year() -> None:
    item = found(*by_post(CaseType.REFLECTION), ev.DeclaredIneligible(reason="không có tên"))
    assert item["DON-FILE-1Y"].due_on == date(2027, 9, 1)
    assert item["DON-FILE-1Y"].kind is RuleKind.RETENTION_MIN


def test_the_national_database_is_updated_at_once() -> None:
    assert found(*by_post(CaseType.REFLECTION))["DB-UPDATE"].due_on == date(2026, 9, 1)
    complaint = by_post(CaseType.COMPLAINT)
    assert "DB-UPDATE" not in found(*complaint)
    assert found(*complaint, *ACCEPTANCE)["DB-UPDATE"].due_on == date(2026, 9, 8)


def test_files_go_to_the_archives_in_time() -> None:
    ended = (
        *by_post(CaseType.COMPLAINT),
        ev.AcceptanceProposed(),
        ev.NotAccepted(reason="hết thời hiệu"),
        closed(ClosingReason.NOT_ACCEPTED),
        ev.Archived(to="current"),
    )
    items = found(*ended)
    assert items["ARC-CURRENT"].due_on == date(2027, 12, 31)
    assert items["ARC-CURRENT"].met_on == date(2026, 9, 1)
    assert items["ARC-HISTORICAL"].due_on == date(2031, 9, 3)
    assert items["ARC-HISTORICAL"].met_on is None
    assert found(*ended, ev.Archived(to="historical"))["ARC-HISTORICAL"].met_on is not None


def test_a_trigger_day_that_the_case_does_not_tell_can_be_given() -> None:
    standing = History(*by_post(CaseType.COMPLAINT)).standing()
    known = {Trigger.DECISION_OR_ACT_KNOWN: date(2026, 5, 4), Trigger.SETTLE_DUE: date(2026, 5, 5)}
    items = {d.rule_id: d for d in deadlines(standing, LAW, CALENDAR, known=known)}
    limit = items["KN-LIMIT-1"]
    assert limit.due_on == date(2026, 8, 3)
    assert limit.met_on == date(2026, 9, 1)
    assert limit.kind is RuleKind.PRESCRIPTION
    assert not is_overdue(limit, date(2027, 1, 1))


def test_before_classification_the_stated_class_counts() -> None:
    assert "TC-INITIAL" in found(received(CaseType.DENUNCIATION, channel=Channel.POST))
    looked = (received(CaseType.DENUNCIATION, channel=Channel.POST), classified())
    assert "TC-INITIAL" not in found(*looked)


def test_a_new_document_has_no_deadlines() -> None:
    assert deadlines(Position(), LAW, CALENDAR) == ()


def rule(rule_id: str, days: int, **more: object) -> DeadlineRule:
    base: dict[str, object] = {
        "id": rule_id,
        "family": "F",
        "source": "Luật thử nghiệm",
        "verified": False,
        "trigger": Trigger.PETITION_RECEIVED,
        "days": days,
        "unit": Unit.CALENDAR,
    }
    return DeadlineRule(**(base | more))  # type: ignore[arg-type]


def test_an_old_case_keeps_its_old_rule() -> None:
    law = Law(
        rules=(
            rule("OLD", 10, valid_to=date(2026, 6, 30)),
            rule("NEW", 5, valid_from=date(2026, 7, 1)),
        )
    )
    for received_on, expected in (
        (date(2026, 6, 30), "OLD"),
        (date(2026, 7, 1), "NEW"),
    ):
        (item,) = deadlines(Position(received_on=received_on), law, CALENDAR)
        assert item.rule_id == expected


def test_the_order_of_the_rules_in_the_file_does_not_matter() -> None:
    rules = (rule("C", 9, complex=True), rule("A", 3))
    for order in (rules, rules[::-1]):
        position = Position(received_on=date(2026, 9, 1), complex=True)
        assert [d.rule_id for d in deadlines(position, Law(rules=order), CALENDAR)] == ["C"]


def test_a_deadline_that_no_event_answers_ends_with_the_case() -> None:
    law = Law(rules=(rule("P", 3, trigger=Trigger.CONCLUSION_POSTED),))
    posted = Position(published_on=date(2026, 9, 1))
    (open_one,) = deadlines(posted, law, CALENDAR)
    (ended,) = deadlines(posted.moved({"closed_on": date(2026, 9, 2)}), law, CALENDAR)
    assert (open_one.met_on, ended.met_on) == (None, date(2026, 9, 2))


def test_deadlines_come_soonest_first() -> None:
    law = Law(rules=(rule("B", 9, family="B"), rule("A", 3, family="A")))
    items = deadlines(Position(received_on=date(2026, 9, 1)), law, CALENDAR)
    assert [item.rule_id for item in items] == ["A", "B"]
    assert items[0].due_on - date(2026, 9, 1) == timedelta(days=3)
