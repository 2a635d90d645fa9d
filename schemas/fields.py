"""The descriptive fields of each kind of document.

A field is one scalar whose last writer wins and whose concurrent values are kept and shown. A text
is an Automerge text, merged letter by letter. Whatever happened is an event, never a field.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from schemas.codes import DocumentKind
from schemas.errors import RecordError
from schemas.limits import FIELD_CHARS_MAX, TEXT_CHARS_MAX

FieldShape = Literal["line", "text", "number", "date", "sealed", "choice"]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """What a field holds: its shape and its longest value in characters."""

    shape: FieldShape
    chars_max: int = 200


_LINE = FieldSpec("line")
_LONG = FieldSpec("line", FIELD_CHARS_MAX)
_DATE = FieldSpec("date", 10)
_CHOICE = FieldSpec("choice", 60)

FIELDS: dict[DocumentKind, dict[str, FieldSpec]] = {
    DocumentKind.VISIT: {
        "place": _LINE,
        "register_number": _LINE,
        "result": _LONG,
        "statement": FieldSpec("text", TEXT_CHARS_MAX),
    },
    DocumentKind.PERSON: {
        "full_name": _LINE,
        "birth_year": FieldSpec("number", 4),
        "address": FieldSpec("line", 500),
        "phone": FieldSpec("line", 40),
        "identity_type": _CHOICE,
        "identity_number": FieldSpec("sealed", FIELD_CHARS_MAX),
    },
    DocumentKind.PETITION: {
        "title": FieldSpec("line", 500),
        "petition_date": _DATE,
        "request": _LONG,
        "respondent_name": _LINE,
        "respondent_code": FieldSpec("line", 20),
        "decision_number": _LINE,
        "decision_date": _DATE,
        "settled_by": _LINE,
        "envelope_number": FieldSpec("line", 60),
        "sealed_ref": FieldSpec("sealed", FIELD_CHARS_MAX),
        "content": FieldSpec("text", TEXT_CHARS_MAX),
    },
    DocumentKind.CASE: {
        "title": FieldSpec("line", 500),
        "topic": _CHOICE,
        "location": FieldSpec("line", 500),
        "respondent_name": _LINE,
        "respondent_code": FieldSpec("line", 20),
        "register_number": _LINE,
        "letter_number": _LINE,
        "envelope_number": FieldSpec("line", 60),
        "sealed_ref": FieldSpec("sealed", FIELD_CHARS_MAX),
        "summary": FieldSpec("text", TEXT_CHARS_MAX),
    },
    DocumentKind.GROUP: {
        "name": _LINE,
    },
    DocumentKind.DIRECTIVE: {
        "title": FieldSpec("line", 500),
        "letter_number": _LINE,
        "body": FieldSpec("text", TEXT_CHARS_MAX),
    },
}

# Which fields hold nothing but a value sealed for the offices that may open it.
SEALED_FIELDS = frozenset(
    name for fields in FIELDS.values() for name, spec in fields.items() if spec.shape == "sealed"
)
# What a denunciation may hold on a networked node: nothing that could tell who wrote it.
DENUNCIATION_FIELDS = frozenset(
    {
        "topic",
        "petition_date",
        "respondent_code",
        "register_number",
        "letter_number",
        "envelope_number",
        "sealed_ref",
    }
)


def check_field(kind: DocumentKind, name: str, value: object) -> None:
    """Check one value against the field's shape.

    Raises:
        RecordError: the kind has no such field, or the value does not fit it.
    """
    spec = FIELDS[kind].get(name)
    if spec is None:
        raise RecordError("field_unknown", f"a {kind.value} has no field {name!r:.60}")
    if spec.shape == "number":
        if type(value) is not int or not 0 <= value <= 9_999:
            raise RecordError("field_malformed", f"{name} is a number from 0 to 9999")
    elif not isinstance(value, str):
        raise RecordError("field_malformed", f"{name} is a text")
    elif len(value) > spec.chars_max:
        raise RecordError("field_too_long", f"{name} has {len(value)} of {spec.chars_max} letters")
    elif spec.shape == "date" and value and not _is_date(value):
        raise RecordError("field_malformed", f"{name} is a date such as 2026-11-23")


def _is_date(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
