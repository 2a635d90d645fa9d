"""Forms of events, derived from their models, so that a new field of an event shows by itself."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from schemas.codes import DocumentKind
from schemas.event_text import event_models
from schemas.fields import FIELDS

Shape = Literal["line", "area", "date", "check", "choice", "number", "file", "case", "office"]

# Fields that the page or the desk fills in.
_HIDDEN: Final = frozenset({"type", "follows"})
# Events with a place of their own on the page, or that other requests make.
SPECIAL: Final = frozenset(
    {
        "attached",
        "directive_linked",
        "group_linked",
        "noted",
        "person_joined",
        "petition_linked",
        "received",
        "settled",
        "split",
        "taken_along",
    }
)
# Possible, but not the next step that the officer most likely looks for.
_ASIDE: Final = frozenset(
    {
        "closed",
        "declared_ineligible",
        "extended",
        "lapsed",
        "lawsuit_filed",
        "not_accepted",
        "refused_reception",
        "reopened",
        "second_complaint_raised",
        "supplement_requested",
        "suspended",
        "transfer_returned",
        "withdrawn",
    }
)
_GROUPS: Final = {
    ("readback_confirmed", "by"): "readback",
    ("withdrawn", "scope"): "withdrawal_scope",
    ("archived", "to"): "archive",
    ("reopened", "ground"): "reopen_ground",
    ("data_requested", "right"): "data_right",
    ("data_answered", "answer"): "data_answer",
}
_FILE: Final = "^[0-9a-f]{64}$"
_OFFICE: Final = "^[0-9]{1,2}"
_DOCUMENT: Final = "^[0-9a-f]{8}(-"
_CAMEL: Final = re.compile(r"(?<!^)(?=[A-Z])")
# A line that may hold more letters than this gets several rows.
_LINE_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One entry of a form.

    Attributes:
        group: list of labels.toml that names the choices; empty when they speak for themselves.
        default: as JSON; None without one.
    """

    name: str
    shape: Shape
    is_required: bool = False
    group: str = ""
    choices: tuple[str, ...] = ()
    default: str | int | bool | None = None
    chars_max: int = 200


def in_order(event_types: Iterable[str], recorded: Collection[str]) -> tuple[list[str], list[str]]:
    """Return types of events as a case goes through them: the likely next steps, and the others.

    What leads aside, and what was recorded before, is rarely the next step. Closing is it when
    nothing else is left; splitting has a form of its own and comes before everything.
    """
    wanted = set(event_types)
    listed = [name for name in event_models() if name in wanted - SPECIAL]
    aside = [name for name in listed if name in _ASIDE or name in recorded]
    if len(aside) == len(listed) and "closed" in aside and "split" not in wanted:
        aside.remove("closed")
    return [name for name in listed if name not in aside], aside


@cache
def event_form(event_type: str) -> tuple[FormField, ...]:
    """Return the fields that a person fills in to record an event.

    Raises:
        KeyError: there is no such type of event.
    """
    schema = event_models()[event_type].model_json_schema()
    required = set(schema.get("required", ()))
    return tuple(
        _field(event_type, name, described, schema.get("$defs", {}), name in required)
        for name, described in schema["properties"].items()
        if name not in _HIDDEN
    )


def _field(
    event_type: str,
    name: str,
    described: Any,
    definitions: Any,
    is_required: bool,
) -> FormField:
    default = described.get("default")
    group = _GROUPS.get((event_type, name), "")
    for option in described.get("anyOf", ()):
        if option.get("type") != "null":
            described = option
    for reference in (described, *described.get("allOf", ())):
        if "$ref" in reference:
            enum = reference["$ref"].rpartition("/")[2]
            group = _CAMEL.sub("_", enum).lower()
            described = definitions[enum]
    choices = tuple(str(value) for value in described.get("enum", ()))
    return FormField(
        name=name,
        shape=_shape(described, choices),
        is_required=is_required,
        group=group,
        choices=choices,
        default=default,
        chars_max=described.get("maxLength", 200),
    )


def _shape(described: Any, choices: tuple[str, ...]) -> Shape:
    pattern = described.get("pattern", "")
    if choices:
        return "number" if described.get("type") == "integer" else "choice"
    if described.get("type") == "boolean":
        return "check"
    if described.get("format") == "date":
        return "date"
    if pattern == _FILE:
        return "file"
    if pattern.startswith(_OFFICE):
        return "office"
    if pattern.startswith(_DOCUMENT):
        return "case"
    return "area" if described.get("maxLength", 0) > _LINE_CHARS_MAX else "line"


# Codes that a choice field of a document takes from a list of labels.
_DOCUMENT_GROUPS: Final = {"identity_type": "identity_type"}


@cache
def document_form(kind: DocumentKind) -> tuple[FormField, ...]:
    """Return the editable fields of a kind of document, long texts last."""
    fields = []
    for name, spec in FIELDS[kind].items():
        shape: Shape = "line"
        if spec.shape == "date":
            shape = "date"
        elif spec.shape == "number":
            shape = "number"
        elif spec.shape == "text" or spec.chars_max > _LINE_CHARS_MAX:
            shape = "area"
        elif name in _DOCUMENT_GROUPS:
            shape = "choice"
        fields.append(
            FormField(
                name=name,
                shape=shape,
                group=_DOCUMENT_GROUPS.get(name, ""),
                chars_max=spec.chars_max,
            )
        )
    return tuple(sorted(fields, key=lambda field: field.shape == "area"))
