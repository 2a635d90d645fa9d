"""The rules of law as values, and the parser of their files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypedDict, TypeVar

from schemas.codes import CaseType, Role
from schemas.errors import LawError
from schemas.law.table import Entry, parse_toml

T = TypeVar("T", bound="Provision")


class Unit(StrEnum):
    """What a time limit counts."""

    CALENDAR = "calendar"
    WORKING = "working"


class RuleKind(StrEnum):
    """What the last day of a time limit means.

    REPLACED is never in the law files: it marks a deadline that an extension replaced.
    """

    DEADLINE = "deadline"
    DUTY = "duty"
    PRESCRIPTION = "prescription"
    RETENTION_MIN = "retention_min"
    DURATION_MIN = "duration_min"
    REPLACED = "replaced"


class Trigger(StrEnum):
    """The day from which a time limit counts."""

    PETITION_RECEIVED = "petition_received"
    PETITION_INELIGIBLE = "petition_ineligible"
    DECISION_OR_ACT_KNOWN = "decision_or_act_known"
    FIRST_SETTLEMENT_ENDED = "first_settlement_due_or_decision_received"
    ACCEPTED = "accepted"
    ACCEPTANCE_DECISION = "acceptance_decision"
    DECIDED = "decided"
    SETTLE_DUE = "settle_due"
    OVERDUE_DENUNCIATION_RECEIVED = "overdue_denunciation_received"
    SUPERIOR_REQUEST_RECEIVED = "superior_request_received"
    CONCLUSION_POSTED = "conclusion_posted"
    VISIT_RECORDED = "visit_recorded"
    ACCEPTANCE_OR_RECOMMENDATION = "acceptance_or_recommendation_received"
    YEAR_END_OF_CLOSED = "year_end_of_closed"
    ARCHIVED_CURRENT = "archived_current"


class Period(StrEnum):
    """How often a duty comes back."""

    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What every entry of the law files says about itself.

    Attributes:
        id: stable code.
        source: the legal text, in Vietnamese.
        verified: somebody read it in that source.
        ref: where it was read; empty when it was not.
        note: a remark for people, in Vietnamese.
        valid_from: first day it holds; None where that is not known.
        valid_to: last day it holds.
    """

    id: str
    source: str
    verified: bool
    ref: str = ""
    note: str = ""
    valid_from: date | None = None
    valid_to: date | None = None

    def holds_on(self, day: date) -> bool:
        """Tell whether it is in force on a day, as far as is known."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_to is None or day <= self.valid_to
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRule(Provision):
    """A time limit; a condition that is None does not matter.

    Attributes:
        family: variants of one time limit share it.
        max_times: how often an extension is possible; 0 for what is no extension.
    """

    family: str
    case_type: CaseType | None = None
    instance: int | None = None
    within_authority: bool | None = None
    remote: bool | None = None
    complex: bool | None = None
    especially_complex: bool | None = None
    multi_place: bool | None = None
    trigger: Trigger
    days: int
    unit: Unit
    kind: RuleKind = RuleKind.DEADLINE
    max_times: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRule(Provision):
    """How many days in a period the holder of a role receives citizens."""

    role: Role
    min_days: int
    per: Period
    delegable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRule(Provision):
    """How many representatives a group of a size appoints; None where the text gives no number."""

    min_people: int
    max_people: int | None = None
    min_reps: int | None = None
    max_reps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRule(Provision):
    """What holds for online reception."""

    allowed: tuple[CaseType, ...] = ()
    denied: tuple[CaseType, ...] = ()
    same_legal_value_as_in_person: bool | None = None
    record_audio: bool | None = None
    record_video: bool | None = None
    store_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """All rules that the program ships with."""

    rules: tuple[DeadlineRule, ...] = ()
    schedules: tuple[ScheduleRule, ...] = ()
    groups: tuple[GroupRule, ...] = ()
    online: tuple[OnlineRule, ...] = ()
    counting: tuple[Provision, ...] = ()


def parse_law(text: str) -> Law:
    """Return the law in one TOML text; the files of this folder joined make one.

    Raises:
        LawError: unknown or missing keys, wrong values, an id twice, or a rule that claims to be
            verified without saying where.
    """
    document = Entry(parse_toml(text), "law")
    law = Law(
        rules=_entries(document, "rules", _deadline_rule),
        schedules=_entries(document, "schedules", _schedule_rule),
        groups=_entries(document, "groups", _group_rule),
        online=_entries(document, "online", _online_rule),
        counting=_entries(document, "counting", _counting_rule),
    )
    document.end()
    seen: set[str] = set()
    for table in (law.rules, law.schedules, law.groups, law.online, law.counting):
        for provision in table:
            if provision.id in seen:
                raise LawError("law_id_twice", f"{provision.id} stands twice")
            seen.add(provision.id)
            _check(provision)
    return law


def _entries(document: Entry, name: str, read: Callable[[Entry], T]) -> tuple[T, ...]:
    found = []
    for item in document.take_list(name, dict):
        entry = Entry(item, name)
        found.append(read(entry))
        entry.end()
    return tuple(found)


def _check(provision: Provision) -> None:
    if not (provision.id and provision.source):
        raise LawError("law_value_wrong", f"{provision.id!r} needs an id and a source")
    if provision.verified and not provision.ref:
        raise LawError("law_ref_missing", f"{provision.id} is verified but does not say where")
    if provision.valid_from and provision.valid_to and provision.valid_to < provision.valid_from:
        raise LawError("law_value_wrong", f"{provision.id} ends before it begins")


class _Shared(TypedDict):
    id: str
    source: str
    verified: bool
    ref: str
    note: str
    valid_from: date | None
    valid_to: date | None


def _read_shared(entry: Entry) -> _Shared:
    return {
        "id": entry.take("id", str),
        "source": entry.take("source", str),
        "verified": entry.take("verified", bool),
        "ref": entry.take("ref", str, ""),
        "note": entry.take("note", str, ""),
        "valid_from": entry.take_optional("valid_from", date),
        "valid_to": entry.take_optional("valid_to", date),
    }


def _deadline_rule(entry: Entry) -> DeadlineRule:
    shared = _read_shared(entry)
    kind = entry.take("kind", RuleKind, RuleKind.DEADLINE)
    if kind is RuleKind.REPLACED:
        raise LawError("law_value_wrong", f"{entry.where}: no rule is of the kind {kind.value}")
    return DeadlineRule(
        **shared,
        family=entry.take("family", str, shared["id"]),
        case_type=entry.take_optional("type", CaseType),
        instance=entry.take_optional("instance", int),
        within_authority=entry.take_optional("within_authority", bool),
        remote=entry.take_optional("remote", bool),
        complex=entry.take_optional("complex", bool),
        especially_complex=entry.take_optional("especially_complex", bool),
        multi_place=entry.take_optional("multi_place", bool),
        trigger=entry.take("trigger", Trigger),
        days=_at_least(entry, "days", 0),
        unit=entry.take("unit", Unit),
        kind=kind,
        max_times=entry.take("max_times", int, 0),
    )


def _schedule_rule(entry: Entry) -> ScheduleRule:
    return ScheduleRule(
        **_read_shared(entry),
        role=entry.take("role", Role),
        min_days=_at_least(entry, "min_days", 1),
        per=entry.take("per", Period),
        delegable=entry.take_optional("delegable", bool),
    )


def _group_rule(entry: Entry) -> GroupRule:
    return GroupRule(
        **_read_shared(entry),
        min_people=_at_least(entry, "min_people", 2),
        max_people=entry.take_optional("max_people", int),
        min_reps=entry.take_optional("min_reps", int),
        max_reps=_at_least(entry, "max_reps", 1),
    )


def _online_rule(entry: Entry) -> OnlineRule:
    return OnlineRule(
        **_read_shared(entry),
        allowed=entry.take_list("allowed", CaseType),
        denied=entry.take_list("denied", CaseType),
        same_legal_value_as_in_person=entry.take_optional("same_legal_value_as_in_person", bool),
        record_audio=entry.take_optional("record_audio", bool),
        record_video=entry.take_optional("record_video", bool),
        store_at=entry.take("store_at", str, ""),
    )


def _counting_rule(entry: Entry) -> Provision:
    return Provision(**_read_shared(entry))


def _at_least(entry: Entry, key: str, minimum: int) -> int:
    value = entry.take(key, int)
    if value < minimum:
        raise LawError("law_value_wrong", f"{entry.where}: {key} is at least {minimum}")
    return value
