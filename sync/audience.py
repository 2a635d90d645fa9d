"""Whom each document concerns, as a table that the rule in sync/scope.py fills."""

from schemas.ids import DocumentId
from sync.intake import Intake
from sync.scope import TELLING, addressed_codes, companions
from sync.store import Store


class Audience:
    """Place codes by document, inside a transaction of the store."""

    def __init__(self, store: Store, intake: Intake) -> None:
        """Judge by the events that an intake applied."""
        self._db = store.db
        self._intake = intake

    def of(self, document: DocumentId) -> set[str]:
        """Return the codes of the places that a document concerns."""
        rows = self._db.execute("SELECT code FROM audience WHERE document = ?", (document,))
        return {row[0] for row in rows}

    def widen(self, document: DocumentId) -> set[DocumentId]:
        """Bring the audience of a document up to date; return all companions that gained readers.

        A companion has companions of its own: the people of a group go where its case goes.
        """
        row = self._db.execute(
            "SELECT kind, origin FROM document WHERE id = ?", (document,)
        ).fetchone()
        if row is None:
            # A companion that has not arrived; it takes its own along when it does.
            return set()
        events = self._intake.events(document, TELLING)
        codes = {row[1]} | addressed_codes(events) | self.of(document)
        self._add(document, codes)
        gained: set[DocumentId] = set()
        for companion in companions(row[0], events):
            missing = codes - self.of(companion)
            if missing:
                self._add(companion, missing)
                gained |= {companion} | self.widen(companion)
        return gained

    def renew(self) -> set[DocumentId]:
        """Work out all anew, as what does not count may have said so; return what gained readers.

        Documents take each other along, so none can be judged alone.
        """
        self._db.execute("CREATE TEMP TABLE before AS SELECT document, code FROM audience")
        self._db.execute("DELETE FROM audience")
        for (document,) in self._db.execute("SELECT id FROM document ORDER BY id").fetchall():
            self.widen(DocumentId(bytes(document)))
        gained = self._db.execute(
            "SELECT document, code FROM audience WHERE document IN (SELECT id FROM document)"
            " EXCEPT SELECT document, code FROM before"
        ).fetchall()
        self._db.execute("DROP TABLE before")
        return {DocumentId(bytes(document)) for document, _ in gained}

    def _add(self, document: DocumentId, codes: set[str]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO audience VALUES (?, ?)",
            [(document, code) for code in sorted(codes)],
        )
