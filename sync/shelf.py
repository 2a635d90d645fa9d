"""Registers of the documents used last, as they stand in the running transaction.

A document is written once for all its changes in a transaction, which under a backlog are many.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from schemas.ids import DocumentId
from sync.database import Connection
from sync.registers import Registers, decode_registers

# Some kilobytes each; the cases that an office works on these days.
_REGISTERS_MAX: Final = 1_000


class Shelf:
    """Takes registers from the database and writes them there."""

    def __init__(self, db: Connection) -> None:
        """Start empty."""
        self._db = db
        self._registers: OrderedDict[DocumentId, Registers] = OrderedDict()
        # What the database does not have yet: place of origin if the document is new, newest clock.
        self._unsaved: dict[DocumentId, tuple[str, int]] = {}

    def get(self, document: DocumentId) -> Registers:
        """Return the registers of a document, to be read only; of an unknown one they are empty."""
        known = self._registers.get(document)
        if known is not None:
            self._registers.move_to_end(document)
            return known
        row = self._db.execute(
            "SELECT registers FROM document WHERE id = ?", (document,)
        ).fetchone()
        if row is None:
            return Registers()
        found = decode_registers(row[0])
        self._keep(document, found)
        return found

    def put(self, document: DocumentId, registers: Registers, origin: str, hlc: int) -> None:
        """Keep registers that changed; save writes them.

        Args:
            document: which one.
            registers: as they stand now.
            origin: code of the place that made the document, if this change did.
            hlc: clock reading of the change.
        """
        first, newest = self._unsaved.get(document, (origin, 0))
        self._unsaved[document] = (first, max(newest, hlc))
        self._keep(document, registers)

    def _keep(self, document: DocumentId, registers: Registers) -> None:
        self._registers[document] = registers
        if len(self._registers) > _REGISTERS_MAX:
            self.drop(next(iter(self._registers)))

    def save(self) -> None:
        """Write what changed."""
        self._save(self._unsaved)
        self._unsaved.clear()

    def _save(self, documents: Mapping[DocumentId, tuple[str, int]]) -> None:
        rows = [
            (document, (known := self._registers[document]).kind, origin, hlc, known.encode())
            for document, (origin, hlc) in documents.items()
        ]
        self._db.executemany(
            "INSERT INTO document VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " changed_hlc = max(changed_hlc, excluded.changed_hlc), registers = excluded.registers",
            rows,
        )

    def drop(self, document: DocumentId) -> None:
        """Write a document if it changed, and let it be read again when it is needed."""
        unsaved = self._unsaved.pop(document, None)
        if unsaved is not None:
            self._save({document: unsaved})
        self._registers.pop(document, None)

    def remove(self, document: DocumentId) -> None:
        """Remove a document, from the database too."""
        self._unsaved.pop(document, None)
        self._registers.pop(document, None)
        self._db.execute("DELETE FROM document WHERE id = ?", (document,))

    def forget(self) -> None:
        """Drop what memory holds of a transaction that was rolled back."""
        self._unsaved.clear()
        self._registers.clear()
