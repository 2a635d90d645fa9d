"""The list of cases that are worked on, as a document that programs of the LAN read.

It lives with the process: under a new id after each start, in no log, and nobody else writes it.
"""

import json
import sqlite3
import uuid
from collections.abc import Callable
from typing import Final

from schemas.ids import DocumentId, parse_document_id
from schemas.repo import repo_url
from sync.change import parse_change
from sync.document import Documents, Edit

CASES_MAX: Final = 2_000
_KIND: Final = "index"
_COLUMNS: Final = ("title", "state", "case_type", "number")


class CaseIndex:
    """The newest open cases, by the address under which a client finds each.

    Attributes:
        id: of the document.
        documents: the only one in it.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        """Start with an empty list."""
        # Clients take the id of a random UUID only.
        self.id = DocumentId(uuid.UUID(bytes=entropy(16), version=4).bytes)
        self._actor = entropy(16)
        self._changes: list[bytes] = []
        self._lines: dict[str, str] = {}
        self.documents = Documents(lambda _: self._changes)
        self._write(Edit(kind=_KIND))

    def refresh(self, db: sqlite3.Connection) -> bool:
        """Bring the list up to date with the tables; False if nothing changed."""
        rows = db.execute(
            f"SELECT id, {', '.join(_COLUMNS)} FROM cases WHERE is_open = 1"
            " ORDER BY changed_ms DESC, id LIMIT ?",
            (CASES_MAX,),
        ).fetchall()
        lines = {
            repo_url(parse_document_id(row[0])): json.dumps(
                dict(zip(_COLUMNS, row[1:], strict=True)), ensure_ascii=False
            )
            for row in rows
        }
        changed: dict[str, str | int | None] = {
            key: text for key, text in lines.items() if self._lines.get(key) != text
        }
        changed |= dict.fromkeys(self._lines.keys() - lines.keys())
        self._lines = lines
        if changed:
            self._write(Edit(fields=changed))
        return bool(changed)

    def _write(self, edit: Edit) -> None:
        raw = self.documents.write(self.id, self._actor, edit)
        assert raw is not None
        self.documents.apply(self.id, raw, parse_change(raw).hash, new=edit.kind is not None)
        self._changes.append(raw)
