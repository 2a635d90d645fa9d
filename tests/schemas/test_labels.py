"""Every code that a person can meet has a name in Vietnamese and in English.

Method: the sections of labels.toml against the closed lists, the events, the fields, the law and
the codes that the case logic gives.
"""

import ast
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

import node.cases.deadlines as notices
from node.law import load_law
from schemas import codes
from schemas.event_text import event_models
from schemas.fields import FIELDS
from schemas.law.rules import Period, RuleKind, Trigger, Unit

ROOT = Path(__file__).parent.parent.parent
LABELS: dict[str, dict[str, dict[str, str]]] = tomllib.loads(
    (ROOT / "schemas" / "labels.toml").read_text("utf-8")
)


def values(members: type[StrEnum]) -> set[str]:
    return {member.value for member in members}


def literals_of(name: str, event: str) -> set[str]:
    return set(event_models()[event].model_fields[name].annotation.__args__)  # type: ignore[union-attr]


def raised_codes() -> set[str]:
    """Return the first argument of every error that the case logic makes."""
    found = set()
    for path in (ROOT / "node" / "cases").glob("*.py"):
        for step in ast.walk(ast.parse(path.read_text("utf-8"))):
            match step:
                case ast.Call(
                    func=ast.Name(id="GuardError" | "RecordError"),
                    args=[ast.Constant(value=str(code)), *_],
                ):
                    found.add(code)
                case ast.Call(
                    func=ast.Attribute(attr="_refuse"), args=[_, ast.Constant(value=str(code)), *_]
                ):
                    found.add(code)
                case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
                    found.add(code)
    return found


def noted_actions() -> set[str]:
    """Return every action that the program writes into the audit trail."""
    found: set[str] = set()
    for path in (ROOT / "node").rglob("*.py"):
        for step in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(step, ast.Call) and getattr(step.func, "id", "") in NOTING:
                texts = [arg.value for arg in step.args if isinstance(arg, ast.Constant)]
                found.update([str(text) for text in texts if "." in str(text)][:1])
    return found


NOTING = {"note", "note_view", "append", "audit_view", "audit_search", "open_session"}
law = load_law()
EXPECTED: dict[str, set[str]] = {
    "tier": values(codes.Tier),
    "document_kind": values(codes.DocumentKind),
    "device_scope": values(codes.DeviceScope),
    "case_type": values(codes.CaseType),
    "role": values(codes.Role),
    "party_role": values(codes.PartyRole),
    "reception_kind": values(codes.ReceptionKind),
    "channel": values(codes.Channel),
    "identity_type": values(codes.IdentityType),
    "identity_mode": values(codes.IdentityMode),
    "refusal_ground": values(codes.RefusalGround),
    "closing_reason": values(codes.ClosingReason),
    "outcome": values(codes.Outcome),
    "case_state": values(codes.CaseState),
    "directive_state": values(codes.DirectiveState),
    "audit": noted_actions(),
    "event": set(event_models()),
    "event_field": {
        name
        for model in event_models().values()
        for name in model.model_fields
        if name not in ("type", "follows")
    },
    "readback": literals_of("by", "readback_confirmed"),
    "withdrawal_scope": literals_of("scope", "withdrawn"),
    "archive": literals_of("to", "archived"),
    "data_right": literals_of("right", "data_requested"),
    "data_answer": literals_of("answer", "data_answered"),
    "reopen_ground": literals_of("ground", "reopened"),
    **{f"field_{kind.value}": set(fields) for kind, fields in FIELDS.items()},
    "rule": {
        provision.id
        for table in (law.rules, law.schedules, law.groups, law.online, law.counting)
        for provision in table
    },
    "rule_kind": values(RuleKind),
    "trigger": values(Trigger),
    "unit": values(Unit),
    "period": values(Period),
    "verified": {"true", "false"},
    "notice": {
        notices.SUSPENSION_NOT_COUNTED,
        notices.EXTENSION_BEYOND_LIMIT,
        notices.EXTENSION_WITHOUT_RULE,
        notices.DAY_COUNTING_UNVERIFIED,
    },
    "error": raised_codes(),
}


@pytest.mark.parametrize("section", EXPECTED)
def test_every_code_has_its_label_and_no_label_is_left_over(section: str) -> None:
    assert set(LABELS[section]) == EXPECTED[section]


def test_every_list_of_codes_has_its_section() -> None:
    lists: list[Any] = [item for item in vars(codes).values() if isinstance(item, type)]
    enums = [item for item in lists if issubclass(item, StrEnum) and item is not StrEnum]
    assert len(enums) == 15
    assert all(values(item) in EXPECTED.values() for item in enums)
    assert set(LABELS) == set(EXPECTED) | {"error_hint", "step", "trouble"}


def test_a_step_is_an_event_that_english_says_in_another_way_on_a_button() -> None:
    assert set(LABELS["step"]) <= set(LABELS["event"])
    assert all(set(label) == {"en"} for label in LABELS["step"].values())


def test_every_trouble_with_a_link_or_a_log_is_one_that_the_program_reports() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for package in ("crypto", "schemas", "sync", "node")
        for path in (ROOT / package).rglob("*.py")
    )
    assert [code for code in LABELS["trouble"] if f'"{code}"' not in sources] == []


def test_a_hint_belongs_to_an_error() -> None:
    assert set(LABELS["error_hint"]) <= set(LABELS["error"])


def test_every_label_is_there_in_both_languages() -> None:
    for section, labels in LABELS.items():
        if section == "step":
            continue  # only where English differs
        for code, label in labels.items():
            assert set(label) == {"vi", "en"}, (section, code)
            assert all(text == text.strip() != "" for text in label.values()), (section, code)


def test_a_section_gives_no_two_codes_one_name() -> None:
    for section, labels in LABELS.items():
        if section in ("event_field", "step"):
            continue  # names of entries of different forms; buttons of which few stand together
        for language in ("vi", "en"):
            names = [label[language] for label in labels.values()]
            assert len(set(names)) == len(names), (section, language)
