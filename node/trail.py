"""The audit trail: who saw and did what with personal data.

The table takes new lines only, and each line holds a hash over itself and the line before (`link`).
Once a day the newest link goes into the signed log, which the tier above countersigns: from then on
not even somebody with the database and the keys of this node changes an earlier line unseen.
Lines hold ids, actions and codes. Words that somebody searched for may be a name, so they are
sealed for the office.
"""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.accounts import SignedIn

_ONE_LOOK_MS: Final = 10 * 60_000
# Room for 200 letters, sealed.
_DETAIL_CHARS_MAX: Final = 1_000
WORDS_CHARS_MAX: Final = 200
_COLUMNS: Final = "at_ms, user, role, action, document_id, detail"
START: Final = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLine:
    """One line as it is stored."""

    number: int
    at_ms: int
    user: str
    role: str
    action: str
    document_id: str
    detail: str
    link: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailCheck:
    """What a look at the whole trail found.

    Attributes:
        lines: how many there are.
        link: of the last line.
        broken_at: number of the first line that does not follow from those before; None if none.
    """

    lines: int
    link: bytes
    broken_at: int | None


def note(
    db: sqlite3.Connection,
    me: SignedIn,
    now_ms: int,
    action: str,
    document: str = "",
    detail: str = "",
) -> None:
    """Append a line about somebody who is signed in."""
    append(db, me.user, me.role.value, now_ms, action, document, detail)


def append(
    db: sqlite3.Connection,
    user: str,
    role: str,
    now_ms: int,
    action: str,
    document: str = "",
    detail: str = "",
) -> None:
    """Append a line; of the technician's commands user and role are empty."""
    last = db.execute("SELECT number, link FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    number, link = (0, START) if last is None else (last[0], bytes(last[1]))
    values = (now_ms, user, role, action, document, detail[:_DETAIL_CHARS_MAX])
    db.execute(
        f"INSERT INTO audit (number, {_COLUMNS}, link) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number + 1, *values, _link(link, number + 1, *values)),
    )


def note_view(
    db: sqlite3.Connection,
    me: SignedIn,
    now_ms: int,
    action: str,
    document: str = "",
    detail: str = "",
) -> None:
    """Append a line for a look, unless the same look stands there since a few minutes."""
    if not is_noted(db, me, now_ms, action, document, detail):
        note(db, me, now_ms, action, document, detail)


def is_noted(
    db: sqlite3.Connection, me: SignedIn, now_ms: int, action: str, document: str, detail: str
) -> bool:
    """Tell whether the same look stands in the trail since a few minutes.

    A page that refreshes itself is one look, not hundreds. Of sealed words only their mark counts,
    as they look different each time.
    """
    mark = detail.partition(" ")[0] if detail.startswith("~") else ""
    found = db.execute(
        "SELECT 1 FROM (SELECT * FROM audit WHERE user = ? ORDER BY number DESC LIMIT 50)"
        " WHERE action = ? AND document_id = ? AND at_ms > ?"
        " AND (detail = ? OR (? != '' AND substr(detail, 1, length(?)) = ?))",
        (me.user, action, document, now_ms - _ONE_LOOK_MS, detail[:_DETAIL_CHARS_MAX], *[mark] * 3),
    ).fetchone()
    return found is not None


def sealed_detail(words: str, sealed: str, secret: bytes) -> str:
    """Return the detail for words that only the office may read.

    Args:
        words: as they were typed.
        sealed: the same, sealed.
        secret: known to this process alone; makes the mark by which a repetition is seen.
    """
    return f"~{hmac.new(secret, words.encode(), hashlib.sha256).hexdigest()[:16]} {sealed}"


def lines(db: sqlite3.Connection) -> Iterator[TrailLine]:
    """Yield all lines, oldest first."""
    for row in db.execute(f"SELECT number, {_COLUMNS}, link FROM audit ORDER BY number"):
        yield TrailLine(
            number=row[0],
            at_ms=row[1],
            user=row[2],
            role=row[3],
            action=row[4],
            document_id=row[5],
            detail=row[6],
            link=bytes(row[7]),
        )


def check_lines(found: Iterator[TrailLine]) -> TrailCheck:
    """Say whether lines follow from each other, from the first one."""
    link, count = START, 0
    for line in found:
        values = (line.at_ms, line.user, line.role, line.action, line.document_id, line.detail)
        link = _link(link, count + 1, *values)
        if line.number != count + 1 or line.link != link:
            return TrailCheck(lines=count, link=link, broken_at=count + 1)
        count += 1
    return TrailCheck(lines=count, link=link, broken_at=None)


def exported(line: TrailLine) -> str:
    """Return a line as JSON, as an export holds it; the link covers all else but itself."""
    shown = {
        "number": line.number,
        "at_ms": line.at_ms,
        "user": line.user,
        "role": line.role,
        "action": line.action,
        "document_id": line.document_id,
        "detail": line.detail,
        "link": line.link.hex(),
    }
    return json.dumps(shown, ensure_ascii=False)


def parse_exported(text: str) -> TrailLine:
    """Return the line that exported() wrote.

    Raises:
        ValueError: it is not one.
    """
    try:
        found = json.loads(text)
        return TrailLine(**(found | {"link": bytes.fromhex(found["link"])}))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("not a line of an audit trail") from error


def _link(before: bytes, number: int, *values: int | str) -> bytes:
    text = json.dumps([number, *values], ensure_ascii=False, separators=(",", ":"))
    content = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"tiepdan audit v1\n" + before + content).digest()
