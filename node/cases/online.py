"""Whether a matter may be received online, by the rules in force on a day."""

from dataclasses import dataclass
from datetime import date

from schemas.codes import CaseType
from schemas.law.rules import Law, OnlineRule


@dataclass(frozen=True, slots=True)
class OnlineAnswer:
    """The answer and the rule that gave it; no rule means that none speaks of this class."""

    is_allowed: bool
    rule: OnlineRule | None


def may_be_online(case_type: CaseType, law: Law, on: date) -> OnlineAnswer:
    """Return whether a class of matter may be received online on a day.

    What no rule allows is not allowed; a rule that denies goes before one that allows.
    """
    answer = OnlineAnswer(False, None)
    for rule in law.online:
        if not rule.holds_on(on):
            continue
        if case_type in rule.denied:
            return OnlineAnswer(False, rule)
        if case_type in rule.allowed and answer.rule is None:
            answer = OnlineAnswer(True, rule)
    return answer
