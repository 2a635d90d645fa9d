"""The one place where an error becomes an HTTP answer: status, stable code, sentence, hint.

Sentences are taken by code in the reader's language; an error without one speaks for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from crypto.errors import CryptoError
from node.cases.errors import CaseError
from node.errors import NodeError
from node.web.errors import WebError
from node.web.languages import Language
from schemas.errors import SchemaError
from schemas.event_text import event_models
from sync.errors import ChangeError, StoreError, SyncError

# Errors that the table of classes below would give the wrong status.
_STATUS_BY_CODE: Final = {
    "not_found": 404,
    "record_unknown": 404,
    "role_not_allowed": 403,
    "role_not_yours": 403,
    "passkey_refused": 401,
    "passkey_unknown": 404,
    "passkeys_too_many": 409,
    "account_own": 403,
    "account_unknown": 404,
    "account_last": 409,
    "directive_foreign": 403,
    "address_foreign": 403,
    "disk_full": 507,
    "database_busy": 503,
    "case_changed": 409,
    "account_exists": 409,
    "pack_busy": 409,
}
_STATUS_BY_CLASS: Final[Sequence[tuple[type[Exception], int]]] = (
    (CaseError, 409),
    (NodeError, 422),
    (SchemaError, 422),
    (CryptoError, 422),
    (ChangeError, 409),
    (StoreError, 500),
    (SyncError, 409),
)
KNOWN: Final = tuple(kind for kind, _ in _STATUS_BY_CLASS)
# A person cannot use more at a time, and a hostile body could name a million.
_FIELDS_MAX: Final = 50


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(frozen=True)

    field: str
    code: str
    message: str


class Problem(BaseModel):
    """The body of every answer that is not a success.

    Attributes:
        code: stable, program-readable.
        message: a sentence for the person.
        hint: what to do about it; may be empty.
        fields: the fields that are wrong, where that is known.
        retry_after_s: when to try again, where that is known.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    hint: str = ""
    fields: list[FieldProblem] = []
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem with its HTTP status."""

    status: int
    problem: Problem


def refusal_of(error: Exception, language: Language) -> Refusal | None:
    """Return what to answer for an error; None for one that is a fault of ours."""
    if isinstance(error, ValidationError):
        return Refusal(422, _validation(error, language))
    if isinstance(error, web.HTTPException):
        return Refusal(error.status, _spoken(_http_code(error), error.reason, "", language))
    if not isinstance(error, KNOWN):
        return None
    code = getattr(error, "code", "unknown")
    message, hint = str(error), getattr(error, "hint", "")
    problem = _spoken(code, message, hint, language)
    if field := getattr(error, "field", ""):
        entry = FieldProblem(field=field, code=code, message=problem.message)
        problem = problem.model_copy(update={"fields": [entry]})
    if isinstance(error, WebError) and error.retry_after_s is not None:
        problem = problem.model_copy(update={"retry_after_s": error.retry_after_s})
    return Refusal(_status(error, code), problem)


def fault(language: Language) -> Refusal:
    """Return what to answer for a fault of ours; what happened stands in the log."""
    sentence = "Something went wrong in this program; nothing was saved."
    return Refusal(500, _spoken("fault", sentence, "Try again; tell the technician.", language))


def _status(error: Exception, code: str) -> int:
    if isinstance(error, WebError):
        return error.status
    if code in _STATUS_BY_CODE:
        return _STATUS_BY_CODE[code]
    return next(status for kind, status in _STATUS_BY_CLASS if isinstance(error, kind))


def _http_code(error: web.HTTPException) -> str:
    return {404: "page_unknown", 405: "method_unknown", 413: "request_too_large"}.get(
        error.status, f"http_{error.status}"
    )


def _spoken(code: str, message: str, hint: str, language: Language) -> Problem:
    sentence = language.sentences.get(code)
    if sentence is not None:
        return Problem(code=code, message=sentence.message or message, hint=sentence.hint or hint)
    return Problem(
        code=code,
        message=language.labels.get("error", {}).get(code, message),
        hint=language.labels.get("error_hint", {}).get(code, hint),
    )


def _validation(error: ValidationError, language: Language) -> Problem:
    spoken = _spoken("request_invalid", "Some fields are not as they should be.", "", language)
    events = event_models()
    fields = []
    entries = error.errors(include_url=False, include_input=False, include_context=False)
    for entry in _innermost(entries[:_FIELDS_MAX]):
        parts = [str(part) for part in entry["loc"]]
        if parts and parts[0] in events:
            parts = parts[1:]
        sentence = language.sentences.get(f"check_{entry['type']}")
        fields.append(
            FieldProblem(
                field=".".join(parts),
                code=entry["type"],
                message=sentence.message if sentence else entry["msg"],
            )
        )
    return spoken.model_copy(update={"fields": fields})


def _innermost(entries: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what is wrong with a list only because of what is wrong inside it."""
    places = [entry["loc"] for entry in entries]
    return [
        entry
        for entry in entries
        if not any(
            len(place) > len(entry["loc"]) and place[: len(entry["loc"])] == entry["loc"]
            for place in places
        )
    ]
