"""What the law asks of a reception: the head's own days, online or not, who speaks for a group."""

import sqlite3
from datetime import date
from typing import Final

from node.cases.groups import advise_group
from node.cases.online import may_be_online
from node.cases.schedule import PeriodCompliance, compliance
from node.law import load_law
from node.queries.cases import Place
from node.queries.facts import OnlineReception, ReceptionPeriod, Representatives, RuleSource
from schemas.codes import CaseType, ReceptionKind, Role, Tier
from schemas.law.rules import Provision

# Whose days the law counts, by the tier of the office.
_HEADS: Final = {Tier.COMMUNE: Role.COMMUNE_CHAIR, Tier.PROVINCE: Role.PROVINCIAL_CHAIR}


def reception_periods(db: sqlite3.Connection, place: Place) -> list[ReceptionPeriod]:
    """Return the period that runs, after the one before it if that was not kept.

    A day counts when a visit of the head's periodic reception was registered at this office.
    """
    head = _HEADS.get(place.tier)
    if head is None:
        return []
    first = _month_before(place.today)
    rows = db.execute(
        "SELECT DISTINCT held_on FROM visits WHERE held_on >= ? AND kind = ? AND commune = ?",
        (first.isoformat(), ReceptionKind.PERIODIC.value, place.own.code),
    )
    held = [date.fromisoformat(row[0]) for row in rows]
    periods = compliance(head, load_law(), held, first=first, last=place.today, today=place.today)
    running = [period for period in periods if not period.is_over]
    missed = [period for period in periods if period.is_over and not period.is_kept]
    return [_period(head, period) for period in [*missed[-1:], *running]]


def _month_before(today: date) -> date:
    year, month = divmod(today.year * 12 + today.month - 2, 12)
    return date(year, month + 1, 1)


def _period(head: Role, period: PeriodCompliance) -> ReceptionPeriod:
    return ReceptionPeriod(
        role=head.value,
        first=period.first.isoformat(),
        last=period.last.isoformat(),
        needed=period.needed,
        held=period.held,
        is_over=period.is_over,
        basis=_basis(period.rule),
    )


def online_reception(case_type: str, on: date) -> OnlineReception | None:
    """Return whether a matter may be received online; None before its class is known."""
    if not case_type:
        return None
    answer = may_be_online(CaseType(case_type), load_law(), on)
    return OnlineReception(
        is_allowed=answer.is_allowed, basis=_basis(answer.rule) if answer.rule else None
    )


def representatives(people_count: int, on: date) -> Representatives | None:
    """Return how many representatives a group appoints; None where no rule says it."""
    advice = advise_group(people_count, load_law(), on)
    if advice is None:
        return None
    return Representatives(
        fewest=advice.reps_min,
        most=advice.reps_max,
        bases=[_basis(rule) for rule in advice.rules],
    )


def _basis(provision: Provision) -> RuleSource:
    return RuleSource(
        rule=provision.id,
        source=provision.source,
        verified=provision.verified,
        note=provision.note,
    )
