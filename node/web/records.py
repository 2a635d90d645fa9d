"""Rows that requests leave behind: answers to repeat, drafts. Each function runs inside a write."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from node.cases.denunciation import is_code
from node.web.errors import WebError
from schemas.codes import CaseType
from schemas.fields import DENUNCIATION_FIELDS

# A client that has no answer repeats within minutes; a tablet that was switched off, within days.
REPEAT_MS_MAX: Final = 30 * 86_400_000


def earlier_answer(
    db: sqlite3.Connection, request_id: str, content: bytes
) -> dict[str, Any] | None:
    """Return what was answered when this request came before.

    Raises:
        WebError: the id was used for a request with other content.
    """
    row = db.execute("SELECT answer FROM done_request WHERE id = ?", (request_id,)).fetchone()
    if row is None:
        return None
    kept: dict[str, Any] = json.loads(row[0])
    if kept["content"] != hashlib.sha256(content).hexdigest():
        raise WebError(
            "request_id_reused",
            409,
            "This Idempotency-Key was used for another request.",
            "Use a new one for each request, and the same one only to repeat it.",
        )
    answer: dict[str, Any] = kept["answer"]
    return answer


def keep_answer(
    db: sqlite3.Connection, request_id: str, content: bytes, answer: dict[str, Any], now_ms: int
) -> None:
    """Remember an answer, for the same request coming again."""
    kept = {"content": hashlib.sha256(content).hexdigest(), "answer": answer}
    db.execute(
        "INSERT INTO done_request VALUES (?, ?, ?)",
        (request_id, now_ms, json.dumps(kept, ensure_ascii=False)),
    )


def sweep_answers(db: sqlite3.Connection, now_ms: int) -> None:
    """Forget answers that nobody will ask for again."""
    db.execute("DELETE FROM done_request WHERE at_ms < ?", (now_ms - REPEAT_MS_MAX,))


def keep_draft(
    db: sqlite3.Connection, user: str, draft: str, body: dict[str, Any], now_ms: int
) -> bool:
    """Store a form that was begun, without what must never be in the database in plain.

    Returns:
        Whether it is a denunciation: then the log holds what must go, if it was none before.

    Raises:
        WebError: nested too deep, or holding what is not text.
    """
    try:
        text = json.dumps(_cleaned(body), ensure_ascii=False)
        text.encode()
    except (RecursionError, UnicodeEncodeError) as error:
        raise WebError("json_malformed", 400, "The body of the request is not JSON.") from error
    with _wiping(db):
        db.execute(
            "INSERT INTO draft VALUES (?, ?, ?, ?) ON CONFLICT (user, id)"
            " DO UPDATE SET saved_ms = excluded.saved_ms, body = excluded.body",
            (user, draft, now_ms, text),
        )
    return bool(_sealed_entries(body))


def drop_draft(db: sqlite3.Connection, user: str, draft: str) -> None:
    """Throw a draft away."""
    with _wiping(db):
        db.execute("DELETE FROM draft WHERE user = ? AND id = ?", (user, draft))


@contextmanager
def _wiping(db: sqlite3.Connection) -> Iterator[None]:
    """Write zeros over what is deleted: it may be the name of somebody who then denounced."""
    db.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        db.execute("PRAGMA secure_delete = OFF")


# What a form may hold once somebody denounces: nothing that could tell who it is.
_DRAFT_SEALED: Final = frozenset({"visit_id", "held_on", "kind", "register_number", "petitions"})
_PETITION_SEALED: Final = DENUNCIATION_FIELDS | {
    "id",
    "case_id",
    "case_type",
    "channel",
    "identity_mode",
}


def _sealed_entries(body: dict[str, Any]) -> list[dict[str, Any]]:
    petitions = body.get("petitions")
    entries = petitions if isinstance(petitions, list) else []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict) and entry.get("case_type") == CaseType.DENUNCIATION
    ]


def _cleaned(body: dict[str, Any]) -> dict[str, Any]:
    sealed = _sealed_entries(body)
    if not sealed:
        cleaned: dict[str, Any] = _without_numbers(body)
        return cleaned
    kept = {name: v for name, v in body.items() if name in _DRAFT_SEALED and is_code(v)}
    kept["petitions"] = [
        {name: v for name, v in entry.items() if name in _PETITION_SEALED and is_code(v)}
        for entry in sealed
    ]
    return kept


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_numbers(v) for k, v in value.items() if k != "identity_number"}
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    return value
