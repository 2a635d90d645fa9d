"""The law files say exactly what was found, with source and doubt, and a slip in them is refused.

Method: the shipped files against the numbers of the domain facts (section 8.7), and every kind of
damage to an entry.
"""

from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.law import load_calendar, load_law
from schemas.errors import LawError
from schemas.law.holidays import parse_holidays
from schemas.law.rules import Provision, RuleKind, Trigger, parse_law

LAW = load_law()
PROVISIONS: tuple[Provision, ...] = (
    *LAW.rules,
    *LAW.schedules,
    *LAW.groups,
    *LAW.online,
    *LAW.counting,
)
RULE = """
[[rules]]
id = "X-1"
trigger = "accepted"
days = 30
unit = "calendar"
source = "Luật thử nghiệm"
verified = true
ref = "S1"
"""
# id: days, unit, verified, ref
NUMBERS = {
    "DON-PROC-10": (10, "calendar", True, "S61"),
    "DON-FILE-1Y": (365, "calendar", True, "S52"),
    "KN-LIMIT-1": (90, "calendar", True, "S66"),
    "KN-LIMIT-2": (30, "calendar", True, "S66"),
    "KN-LIMIT-2-R": (45, "calendar", True, "S66"),
    "KN-ACCEPT-1": (10, "calendar", True, "S67"),
    "KN-ACCEPT-2": (10, "calendar", False, ""),
    "KN-SETTLE-1": (30, "calendar", True, "S68"),
    "KN-SETTLE-1-C": (45, "calendar", True, "S68"),
    "KN-SETTLE-1-R": (45, "calendar", True, "S68"),
    "KN-SETTLE-1-RC": (60, "calendar", True, "S68"),
    "KN-SETTLE-2": (45, "calendar", True, "S68"),
    "KN-SETTLE-2-C": (60, "calendar", True, "S68"),
    "KN-SETTLE-2-R": (60, "calendar", True, "S68"),
    "KN-SETTLE-2-RC": (70, "calendar", True, "S68"),
    "KN-SEND-1": (3, "working", False, ""),
    "KN-SEND-2": (7, "calendar", False, ""),
    "KN-PUBLISH-2": (15, "calendar", False, "S43"),
    "TC-INITIAL": (7, "working", False, ""),
    "TC-INITIAL-M": (10, "working", False, ""),
    "TC-TRANSFER": (5, "working", False, ""),
    "TC-NOTIFY": (5, "working", True, "S72"),
    "TC-SETTLE": (30, "calendar", True, "S73"),
    "TC-EXTEND-C": (30, "calendar", True, "S73"),
    "TC-EXTEND-XC": (30, "calendar", True, "S73"),
    "TC-OVERDUE-ASK": (5, "working", True, "S76"),
    "TC-OVERDUE-REPLY": (5, "working", True, "S76"),
    "TC-PUBLISH-15": (15, "calendar", True, "S74"),
    "TCD-NOTIFY-10": (10, "calendar", False, ""),
    "DB-UPDATE": (0, "calendar", True, "S97"),
    "ARC-CURRENT": (365, "calendar", True, "S89"),
    "ARC-HISTORICAL": (1826, "calendar", True, "S89"),
}


def test_every_time_limit_has_the_number_that_was_found() -> None:
    shipped = {r.id: (r.days, r.unit.value, r.verified, r.ref) for r in LAW.rules}
    assert shipped == NUMBERS


def test_every_provision_names_its_source_in_vietnamese() -> None:
    for provision in PROVISIONS:
        assert not provision.source.isascii(), provision.id
        assert provision.ref or not provision.verified, provision.id


def test_every_trigger_is_used_and_extensions_say_how_often() -> None:
    assert {rule.trigger for rule in LAW.rules} == set(Trigger)
    times = {rule.id: rule.max_times for rule in LAW.rules if rule.max_times}
    assert times == {"TC-EXTEND-C": 1, "TC-EXTEND-XC": 2}


def test_the_chair_receives_twice_a_month_from_july_2026() -> None:
    schedules = {rule.id: rule for rule in LAW.schedules}
    assert schedules["SCH-COMMUNE-OLD"].valid_to == date(2026, 6, 30)
    assert schedules["SCH-COMMUNE"].valid_from == date(2026, 7, 1)
    assert schedules["SCH-COMMUNE"].min_days == 2
    assert not schedules["SCH-COMMUNE"].holds_on(date(2026, 6, 30))
    assert schedules["SCH-COMMUNE"].holds_on(date(2026, 7, 1))


def test_the_counting_of_days_is_not_verified() -> None:
    assert [rule.verified for rule in LAW.counting] == [False, False]


def test_a_rule_needs_only_what_it_says() -> None:
    (rule,) = parse_law(RULE).rules
    assert (rule.family, rule.kind, rule.valid_from) == ("X-1", RuleKind.DEADLINE, None)
    assert parse_law("").rules == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (RULE + "colour = 1", "law_key_unknown"),
        ("title = 1", "law_key_unknown"),
        (RULE.replace("days = 30", ""), "law_key_missing"),
        (RULE.replace("30", '"30"'), "law_value_wrong"),
        (RULE.replace("30", "true"), "law_value_wrong"),
        (RULE.replace("30", "-1"), "law_value_wrong"),
        (RULE.replace("calendar", "lunar"), "law_value_wrong"),
        (RULE.replace('"accepted"', "1"), "law_value_wrong"),
        (RULE + 'kind = "replaced"', "law_value_wrong"),
        (RULE + 'type = "divorce"', "law_value_wrong"),
        (RULE + "valid_from = 2026-01-01T00:00:00", "law_value_wrong"),
        (RULE + "valid_from = 2026-01-02\nvalid_to = 2026-01-01", "law_value_wrong"),
        (RULE.replace("Luật thử nghiệm", ""), "law_value_wrong"),
        (RULE.replace('ref = "S1"', ""), "law_ref_missing"),
        (RULE + RULE, "law_id_twice"),
        ("rules = 1", "law_value_wrong"),
        ("rules = [1]", "law_value_wrong"),
        ("[[rules]", "law_malformed"),
    ],
)
def test_a_slip_in_the_law_is_refused(text: str, code: str) -> None:
    with pytest.raises(LawError) as caught:
        parse_law(text)
    assert caught.value.code == code


YEAR = """
year = 2026
[[off]]
on = 2026-01-02
source = "Công văn thử nghiệm"
verified = false
[[working]]
on = 2026-01-10
source = "Công văn thử nghiệm"
verified = false
"""


def test_a_yearly_file_moves_days() -> None:
    override = parse_holidays(YEAR)
    assert [day.on for day in override.off] == [date(2026, 1, 2)]
    assert [day.on for day in override.working] == [date(2026, 1, 10)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (YEAR.replace("year = 2026", ""), "law_key_missing"),
        (YEAR.replace("2026-01-10", "2027-01-10"), "law_value_wrong"),
        (YEAR.replace("2026-01-10", "2026-01-02"), "law_id_twice"),
        (YEAR.replace("verified = false", "verified = true"), "law_ref_missing"),
        (YEAR + "colour = 1", "law_key_unknown"),
        ("year = 2026\noff = [3]", "law_value_wrong"),
        ("year", "law_malformed"),
    ],
)
def test_a_slip_in_a_yearly_file_is_refused(text: str, code: str) -> None:
    with pytest.raises(LawError) as caught:
        parse_holidays(text)
    assert caught.value.code == code


@given(st.text(max_size=200))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_law, parse_holidays):
        with suppress(LawError):
            parse(text)


def test_a_file_of_this_node_replaces_the_shipped_one(tmp_path: Path) -> None:
    assert load_calendar().is_working_day(date(2026, 9, 4))
    assert load_calendar(tmp_path / "absent").is_working_day(date(2026, 9, 4))
    (tmp_path / "2026.toml").write_text(YEAR.replace("2026-01-02", "2026-09-04"), "utf-8")
    calendar = load_calendar(tmp_path)
    assert not calendar.is_working_day(date(2026, 9, 4))
    assert calendar.is_working_day(date(2026, 1, 10))


def test_a_wrong_file_of_this_node_is_named(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_text("year = 2026", "utf-8")
    (tmp_path / "2028.toml").write_text("year", "utf-8")
    with pytest.raises(LawError, match=r"2028\.toml"):
        load_calendar(tmp_path)
    (tmp_path / "2028.toml").write_bytes(b"\xff")
    with pytest.raises(LawError, match=r"2028\.toml"):
        load_calendar(tmp_path)
