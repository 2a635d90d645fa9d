"""How many representatives a group appoints: advice, since the numbers were not verified."""

from dataclasses import dataclass
from datetime import date

from schemas.law.rules import GroupRule, Law


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAdvice:
    """What the rules say about a group of a size.

    Attributes:
        reps_min: fewest representatives, where a rule gives that number.
        reps_max: most representatives.
        verified: all of the rules were verified.
        rules: those that fit; more than one where the text overlaps.
    """

    reps_min: int | None
    reps_max: int
    verified: bool
    rules: tuple[GroupRule, ...]


def advise_group(people_count: int, law: Law, on: date) -> GroupAdvice | None:
    """Return the advice for a group; None where no rule speaks of that size."""
    rules = tuple(
        rule
        for rule in law.groups
        if rule.holds_on(on)
        and rule.min_people <= people_count
        and (rule.max_people is None or people_count <= rule.max_people)
    )
    if not rules:
        return None
    minima = [rule.min_reps for rule in rules if rule.min_reps is not None]
    return GroupAdvice(
        reps_min=min(minima, default=None),
        reps_max=max(rule.max_reps for rule in rules),
        verified=all(rule.verified for rule in rules),
        rules=rules,
    )
