"""The dates that law sets for a case, each with the rule that made it.

A rule applies if it was in force on its trigger day: an old case keeps its old rules. Of the
variants of one time limit, the one whose conditions name most of the case's traits is taken.

Nothing was found on what a suspension does to a time limit, so it does nothing here, and the
deadline says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from node.cases.standing import Position
from node.cases.workdays import Calendar
from schemas.codes import CaseType
from schemas.law.rules import DeadlineRule, Law, RuleKind, Trigger

# Codes of what a person must know about a deadline; their sentences are in the labels.
SUSPENSION_NOT_COUNTED = "suspension_not_counted"
EXTENSION_BEYOND_LIMIT = "extension_beyond_limit"
EXTENSION_WITHOUT_RULE = "extension_without_rule"
DAY_COUNTING_UNVERIFIED = "day_counting_unverified"

_SETTLEMENT = "settlement"
_RECOMMENDATIONS = frozenset({CaseType.RECOMMENDATION, CaseType.REFLECTION})
_CONDITIONS = (
    "instance",
    "within_authority",
    "remote",
    "complex",
    "especially_complex",
    "multi_place",
)
_KEPT = frozenset({RuleKind.RETENTION_MIN, RuleKind.DURATION_MIN})
_NOTHING_KNOWN: Mapping[Trigger, date] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One date and the rule that made it.

    Attributes:
        kind: only a DEADLINE can be overdue.
        trigger_on: the day it counts from, not counted itself.
        due_on: the last day; for a retention or duration, the last day that it must last.
        met_on: the day it was met, on time or late; None while it is open or cannot be known.
        source: the legal text, in Vietnamese.
        verified: somebody read the rule there.
        note: a remark on the rule, in Vietnamese.
        notices: codes of what must be shown with it.
    """

    rule_id: str
    kind: RuleKind
    trigger: Trigger
    trigger_on: date
    due_on: date
    met_on: date | None
    source: str
    verified: bool
    note: str
    notices: tuple[str, ...] = ()


def deadlines(
    position: Position,
    law: Law,
    calendar: Calendar,
    *,
    known: Mapping[Trigger, date] = _NOTHING_KNOWN,
) -> tuple[Deadline, ...]:
    """Return the deadlines of a case, soonest first.

    Args:
        position: where the case stands; a CaseStanding is one.
        law: rules of all times.
        calendar: working days.
        known: trigger days that the case's own events do not tell, such as the day on which the
            citizen got to know the decision complained about.
    """
    days = _trigger_days(position) | dict(known)
    # The end of the settlement time is a trigger of its own, made below.
    days.pop(Trigger.SETTLE_DUE, None)
    found: list[Deadline] = []
    for rule in _best(law.rules, position, days):
        deadline = _deadline(rule, position, calendar, days[rule.trigger])
        if rule.trigger is Trigger.ACCEPTED:
            found += _extended(deadline, position, law, calendar)
        else:
            found.append(deadline)
    return tuple(sorted(found, key=lambda item: (item.due_on, item.rule_id)))


def is_overdue(deadline: Deadline, today: date) -> bool:
    """Tell whether the last day has passed without the deadline being met."""
    return (
        deadline.kind is RuleKind.DEADLINE and deadline.met_on is None and deadline.due_on < today
    )


def is_late(deadline: Deadline) -> bool:
    """Tell whether the deadline was met after its last day."""
    return (
        deadline.kind is RuleKind.DEADLINE
        and deadline.met_on is not None
        and deadline.due_on < deadline.met_on
    )


def _trigger_days(position: Position) -> dict[Trigger, date]:
    """Return the trigger days that the case itself tells."""
    by_visit = position.channel is not None and position.channel.value == "visit"
    received = position.received_on
    is_recommendation = position.effective_type in _RECOMMENDATIONS
    closed = position.closed_on
    days = {
        Trigger.PETITION_RECEIVED: received,
        Trigger.PETITION_INELIGIBLE: position.ineligible_on,
        Trigger.ACCEPTED: position.accepted_on,
        Trigger.ACCEPTANCE_DECISION: position.accepted_on,
        Trigger.DECIDED: position.decided_on,
        Trigger.CONCLUSION_POSTED: position.published_on,
        Trigger.VISIT_RECORDED: position.recorded_on or (received if by_visit else None),
        Trigger.ACCEPTANCE_OR_RECOMMENDATION: (
            received if is_recommendation else position.accepted_on
        ),
        Trigger.YEAR_END_OF_CLOSED: closed.replace(month=12, day=31) if closed else None,
        Trigger.ARCHIVED_CURRENT: position.archived_current_on,
    }
    return {trigger: day for trigger, day in days.items() if day is not None}


def _best(
    rules: Iterable[DeadlineRule], position: Position, days: Mapping[Trigger, date]
) -> Iterable[DeadlineRule]:
    """Return of each family the rule that fits best among those that apply."""
    best: dict[str, DeadlineRule] = {}
    for rule in rules:
        day = days.get(rule.trigger)
        if day is None or not rule.holds_on(day) or not _fits(rule, position):
            continue
        other = best.get(rule.family)
        if other is None or _rank(other) < _rank(rule):
            best[rule.family] = rule
    return best.values()


def _fits(rule: DeadlineRule, position: Position) -> bool:
    if rule.case_type is not None and rule.case_type is not position.effective_type:
        return False
    for name in _CONDITIONS:
        wanted = getattr(rule, name)
        if wanted is not None and wanted != getattr(position, name):
            return False
    return True


def _rank(rule: DeadlineRule) -> tuple[int, int, int, str]:
    """Order the variants: more conditions first; where two fit as well, the longer time counts.

    A case can be marked both complex and especially complex, which is one trait in two degrees.
    """
    conditions = sum(getattr(rule, name) is not None for name in _CONDITIONS)
    return conditions, rule.max_times, rule.days, rule.id


def _deadline(
    rule: DeadlineRule, position: Position, calendar: Calendar, trigger_on: date
) -> Deadline:
    if rule.kind in _KEPT:
        due_on = calendar.last_day(trigger_on, rule.days)
        notices: tuple[str, ...] = ()
    else:
        due_on = calendar.due(trigger_on, rule.days, rule.unit)
        notices = (DAY_COUNTING_UNVERIFIED,) if rule.days else ()
    if position.was_suspended and rule.trigger is Trigger.ACCEPTED:
        notices += (SUSPENSION_NOT_COUNTED,)
    return Deadline(
        rule_id=rule.id,
        kind=rule.kind,
        trigger=rule.trigger,
        trigger_on=trigger_on,
        due_on=due_on,
        met_on=_met_on(rule, position),
        source=rule.source,
        verified=rule.verified,
        note=rule.note,
        notices=notices,
    )


def _extended(settle: Deadline, position: Position, law: Law, calendar: Calendar) -> list[Deadline]:
    """Return the settlement deadline, and the one that written extensions made of it."""
    if position.extensions_count == 0 or settle.kind is not RuleKind.DEADLINE:
        return [settle]
    rules = list(_best(law.rules, position, {Trigger.SETTLE_DUE: settle.due_on}))
    if not rules:
        return [replace(settle, notices=(*settle.notices, EXTENSION_WITHOUT_RULE))]
    rule = rules[0]
    times = min(position.extensions_count, rule.max_times)
    due_on = settle.due_on
    for _ in range(times):
        due_on = calendar.due(due_on, rule.days, rule.unit)
    notices = settle.notices
    if position.extensions_count > rule.max_times:
        notices += (EXTENSION_BEYOND_LIMIT,)
    extension = Deadline(
        rule_id=rule.id,
        kind=rule.kind,
        trigger=rule.trigger,
        trigger_on=settle.due_on,
        due_on=due_on,
        met_on=settle.met_on,
        source=rule.source,
        verified=rule.verified,
        note=rule.note,
        notices=notices,
    )
    return [replace(settle, kind=RuleKind.REPLACED), extension]


def _met_on(rule: DeadlineRule, position: Position) -> date | None:
    """Return the day on which what the rule asks for was done.

    A case that ended, in whatever way, owes nothing any more but its archiving.
    """
    if rule.kind is RuleKind.PRESCRIPTION:
        return position.received_on
    if rule.kind is not RuleKind.DEADLINE:
        return None
    if rule.trigger is Trigger.YEAR_END_OF_CLOSED:
        return position.archived_current_on
    if rule.trigger is Trigger.ARCHIVED_CURRENT:
        return position.archived_historical_on
    return _first(_answers(rule, position)) or position.closed_on


def _answers(rule: DeadlineRule, position: Position) -> tuple[date | None, ...]:
    """Return the days of the events that answer a time limit."""
    match rule.trigger:
        case Trigger.ACCEPTED:
            return position.decided_on, position.terminated_on
        case Trigger.DECIDED:
            return (position.published_on,)
        case Trigger.PETITION_RECEIVED if rule.family.startswith("KN-ACCEPT"):
            return position.accepted_on, position.not_accepted_on, position.routed_on
        case Trigger.PETITION_RECEIVED | Trigger.VISIT_RECORDED:
            return position.processed_on, position.accepted_on, position.not_accepted_on
    return ()


def _first(days: Iterable[date | None]) -> date | None:
    return min((day for day in days if day is not None), default=None)
