"""Whether the head received citizens on as many days as the law asks for."""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from schemas.codes import Role
from schemas.law.rules import Law, Period, ScheduleRule

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCompliance:
    """One week or month under one rule.

    Attributes:
        needed: days that the rule asks for; 0 in a period that a change of the law cut short.
        held: different days on which the head received.
        is_over: the period lies wholly before today.
    """

    rule: ScheduleRule
    first: date
    last: date
    needed: int
    held: int
    is_over: bool

    @property
    def is_kept(self) -> bool:
        """Tell whether enough days were held."""
        return self.held >= self.needed


def compliance(
    role: Role, law: Law, held_on: Iterable[date], *, first: date, last: date, today: date
) -> tuple[PeriodCompliance, ...]:
    """Return every period that touches the days from first to last, oldest first.

    Args:
        role: whose duty it is.
        law: rules of all times.
        held_on: days on which the holder of the role received citizens; a day twice counts once.
        first: a period that began earlier is shown whole.
        last: a period that ends later is shown whole.
        today: tells which periods are over.
    """
    days = sorted(set(held_on))
    found = []
    for rule in law.schedules:
        if rule.role is not role:
            continue
        for begin, end in _periods(rule.per, first, last):
            start, stop = max(begin, rule.valid_from or begin), min(end, rule.valid_to or end)
            if stop < start:
                continue
            is_whole = (start, stop) == (begin, end)
            found.append(
                PeriodCompliance(
                    rule=rule,
                    first=start,
                    last=stop,
                    needed=rule.min_days if is_whole else 0,
                    held=sum(start <= day <= stop for day in days),
                    is_over=stop < today,
                )
            )
    return tuple(sorted(found, key=lambda item: (item.first, item.rule.id)))


def _periods(per: Period, first: date, last: date) -> Iterator[tuple[date, date]]:
    """Yield the first and last day of each calendar week (from Monday) or month."""
    day = first
    while day <= last:
        if per is Period.WEEK:
            begin = day - day.weekday() * _DAY
            end = begin + 6 * _DAY
        else:
            begin = day.replace(day=1)
            end = day.replace(day=monthrange(day.year, day.month)[1])
        yield begin, end
        day = end + _DAY
