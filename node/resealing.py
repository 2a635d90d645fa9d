"""Sealed values when the key of the province above was revoked: they wait, then get its next one.

Until a later one is known, what is written is sealed for this office and the centre. Once there is
one, every value that this office can open is sealed anew, a few at a time.
"""

from typing import Final

from node.desk import Desk
from node.errors import RequestError
from schemas.ids import DocumentId, parse_document_id
from sync.replica import Author, Replica

# For which keys above all values were looked at; empty while they wait for one.
_DONE: Final = "sealed_above"
_SEALED: Final = """
SELECT id, field, value FROM (
    SELECT id, 'identity_number' AS field, identity_sealed AS value FROM people
    UNION ALL SELECT id, 'sealed_ref', sealed_ref FROM cases
    UNION ALL SELECT id, 'sealed_ref', sealed_ref FROM petitions)
WHERE id > ? AND value != '' ORDER BY id LIMIT ?
"""


class Resealing:
    """Goes through the sealed values of a commune; its place in them lives in memory only."""

    def __init__(self, replica: Replica, desk: Desk) -> None:
        """Work on a replica, in the writer's thread."""
        self._replica, self._desk = replica, desk
        self._after = ""
        self._for = b""

    def is_due(self) -> bool:
        """Tell whether there is something to say or to seal that can be done now."""
        keys = self._desk.seals.keys_above()
        if keys is None or self._replica.store.meta(_DONE) == keys:
            return False
        return not keys or self._desk.seals.is_open

    def step(self, count: int, now_ms: int) -> int:
        """Look at so many values at most, in a transaction; return how many were sealed anew.

        Where no key above counts any more, an alarm says so, once.
        """
        keys = self._desk.seals.keys_above() or b""
        if not keys:
            self._replica.store.raise_alarm(
                now_ms=now_ms,
                code="seals_wait",
                log_id=self._replica.up_log().log_id,
                detail="the key of the province was revoked and no later one is known: what is"
                " sealed now is sealed for this office and the centre, until there is one",
                evidence="",
            )
            self._replica.store.set_meta(_DONE, keys)
            return 0
        if keys != self._for:
            self._after, self._for = "", keys
        rows = self._replica.store.db.execute(_SEALED, (self._after, count)).fetchall()
        done = sum(self._seal(parse_document_id(row[0]), row[1], now_ms) for row in rows)
        if len(rows) < count:
            self._replica.store.set_meta(_DONE, keys)
            self._for = b""
        else:
            self._after = rows[-1][0]
        return done

    def _seal(self, document: DocumentId, field: str, now_ms: int) -> bool:
        standing = self._replica.intake.registers(document).fields[field]
        # Of rivals a person decides which one stands.
        if len(standing) != 1 or not isinstance(standing[0].value, str):
            return False
        try:
            value = self._desk.seals.sealed_anew(document, field, standing[0].value)
        except RequestError:
            # It was not sealed for this office, so another one has to.
            return False
        if value is None:
            return False
        own = self._replica
        author = Author(user="", name=own.subject.name, role="", device=own.device)
        own.write(author, document, now_ms=now_ms, fields={field: value})
        return True
