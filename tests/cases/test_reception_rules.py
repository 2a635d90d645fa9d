"""Reception days, group representatives and online reception follow the rules of the day.

Method: the shipped law around its changes, and what it does not say.
"""

from datetime import date

import pytest

from node.cases.groups import advise_group
from node.cases.online import may_be_online
from node.cases.schedule import compliance
from node.law import load_law
from schemas.codes import CaseType, Role
from schemas.law.rules import Law, OnlineRule

LAW = load_law()
TODAY = date(2026, 9, 15)


def test_a_commune_chair_receives_on_two_days_a_month() -> None:
    held = [date(2026, 7, 6), date(2026, 7, 6), date(2026, 7, 20), date(2026, 8, 3)]
    months = compliance(
        Role.COMMUNE_CHAIR, LAW, held, first=date(2026, 7, 10), last=date(2026, 9, 1), today=TODAY
    )
    assert [(m.first, m.last) for m in months] == [
        (date(2026, 7, 1), date(2026, 7, 31)),
        (date(2026, 8, 1), date(2026, 8, 31)),
        (date(2026, 9, 1), date(2026, 9, 30)),
    ]
    assert [(m.needed, m.held, m.is_kept, m.is_over) for m in months] == [
        (2, 2, True, True),
        (2, 1, False, True),
        (2, 0, False, False),
    ]
    assert {m.rule.id for m in months} == {"SCH-COMMUNE"}
    assert all(m.rule.verified and m.rule.delegable is False for m in months)


def test_before_july_2026_it_was_a_day_a_week_and_the_week_of_the_change_asks_nothing() -> None:
    weeks = compliance(
        Role.COMMUNE_CHAIR,
        LAW,
        [date(2026, 6, 24)],
        first=date(2026, 6, 22),
        last=date(2026, 6, 30),
        today=TODAY,
    )
    assert [(w.rule.id, w.first, w.last, w.needed, w.held) for w in weeks] == [
        ("SCH-COMMUNE-OLD", date(2026, 6, 22), date(2026, 6, 28), 1, 1),
        ("SCH-COMMUNE-OLD", date(2026, 6, 29), date(2026, 6, 30), 0, 0),
    ]


def test_a_role_without_a_rule_owes_no_days() -> None:
    days = {"first": date(2026, 1, 1), "last": date(2026, 12, 31), "today": TODAY}
    assert compliance(Role.PETITION_OFFICER, LAW, [], **days) == ()
    assert len(compliance(Role.PROVINCIAL_CHAIR, LAW, [], **days)) == 12


@pytest.mark.parametrize(
    ("people", "reps_min", "reps_max", "rules"),
    [
        (5, 1, 2, ["GRP-5-10"]),
        (9, 1, 2, ["GRP-5-10"]),
        (10, 1, 5, ["GRP-5-10", "GRP-10P"]),
        (11, None, 5, ["GRP-10P"]),
        (400, None, 5, ["GRP-10P"]),
    ],
)
def test_a_group_is_advised_by_its_size(
    people: int, reps_min: int | None, reps_max: int, rules: list[str]
) -> None:
    advice = advise_group(people, LAW, TODAY)
    assert advice is not None
    assert (advice.reps_min, advice.reps_max) == (reps_min, reps_max)
    assert [rule.id for rule in advice.rules] == rules
    assert not advice.verified


def test_no_rule_speaks_of_fewer_than_five() -> None:
    assert advise_group(4, LAW, TODAY) is None


@pytest.mark.parametrize(
    ("case_type", "allowed", "known"),
    [
        (CaseType.COMPLAINT, True, True),
        (CaseType.RECOMMENDATION, True, True),
        (CaseType.REFLECTION, True, True),
        (CaseType.DENUNCIATION, False, True),
        (CaseType.LAND_DISPUTE, False, False),
    ],
)
def test_a_denunciation_is_never_received_online(
    case_type: CaseType, allowed: bool, known: bool
) -> None:
    answer = may_be_online(case_type, LAW, TODAY)
    assert answer.is_allowed is allowed
    assert (answer.rule is not None) is known


def test_a_rule_that_denies_goes_before_one_that_allows() -> None:
    allows = OnlineRule(
        id="A", source="Luật thử nghiệm", verified=False, allowed=(CaseType.COMPLAINT,)
    )
    denies = OnlineRule(
        id="D",
        source="Luật thử nghiệm",
        verified=False,
        denied=(CaseType.COMPLAINT,),
        valid_from=date(2027, 1, 1),
    )
    law = Law(online=(allows, denies))
    assert may_be_online(CaseType.COMPLAINT, law, TODAY).rule == allows
    assert may_be_online(CaseType.COMPLAINT, law, date(2027, 1, 1)).rule == denies
