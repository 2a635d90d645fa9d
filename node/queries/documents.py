"""What belongs to one document: its timeline, rivals, files, people, petitions, editable fields."""

import json
import sqlite3
from datetime import date
from typing import Final

from node.queries.cases import days_left
from node.queries.facts import (
    Attachment,
    Deadline,
    DocumentFields,
    Person,
    Petition,
    RivalField,
    RivalValue,
    SamePaper,
    TimelineEntry,
)
from schemas.codes import CaseType, DocumentKind
from schemas.fields import DENUNCIATION_FIELDS, FIELDS

_TABLES: Final = {
    DocumentKind.VISIT: "visits",
    DocumentKind.PERSON: "people",
    DocumentKind.PETITION: "petitions",
    DocumentKind.CASE: "cases",
    DocumentKind.GROUP: "groups",
    DocumentKind.DIRECTIVE: "directives",
}


_SEALED_ONLY: Final = frozenset({"envelope_number", "sealed_ref"})


def timeline(db: sqlite3.Connection, document: str) -> list[TimelineEntry]:
    """Return the events of a document, oldest first: their ids sort by clock."""
    rows = db.execute("SELECT * FROM timeline WHERE document_id = ? ORDER BY event_id", (document,))
    return [TimelineEntry(**{**dict(row), "body": json.loads(row["body"])}) for row in rows]


def deadlines(db: sqlite3.Connection, case: str, today: date) -> list[Deadline]:
    """Return the deadlines of a case, those still open first, the nearest on top."""
    rows = db.execute(
        "SELECT * FROM case_deadlines WHERE case_id = ? ORDER BY met_on != '', due_on, rule",
        (case,),
    )
    return [
        Deadline(
            **{**dict(row), "notices": row["notices"].split()},
            days_left=None if row["met_on"] else days_left(row["due_on"], today),
        )
        for row in rows
    ]


def rivals(db: sqlite3.Connection, document: str) -> list[RivalField]:
    """Return the fields of a document that hold several values written apart."""
    found: dict[str, list[RivalValue]] = {}
    rows = db.execute(
        "SELECT * FROM rivals WHERE document_id = ? ORDER BY field, position", (document,)
    )
    for row in rows:
        found.setdefault(row["field"], []).append(RivalValue(**dict(row)))
    return [RivalField(field=name, values=values) for name, values in found.items()]


def attachments(db: sqlite3.Connection, document: str) -> list[Attachment]:
    """Return the files of a document in the order in which they were attached."""
    rows = db.execute(
        "SELECT * FROM attachments WHERE document_id = ? ORDER BY event_id",
        (document,),
    ).fetchall()
    return [Attachment(**dict(row), is_here=_is_here(db, row["sha256"])) for row in rows]


def _is_here(db: sqlite3.Connection, sha256: str) -> bool:
    row = db.execute(
        "SELECT complete FROM blob WHERE sha256 = ?", (bytes.fromhex(sha256),)
    ).fetchone()
    return row is not None and bool(row[0])


def attached_before(db: sqlite3.Connection, document: str, sha256: str, name: str) -> str:
    """Return the event that attached a file of this content and name, or empty."""
    row = db.execute(
        "SELECT event_id FROM attachments WHERE document_id = ? AND sha256 = ? AND name = ?",
        (document, sha256, name),
    ).fetchone()
    return str(row[0]) if row else ""


def attachment(db: sqlite3.Connection, document: str, sha256: str) -> Attachment | None:
    """Return one file of a document."""
    return next((file for file in attachments(db, document) if file.sha256 == sha256), None)


def people(db: sqlite3.Connection, table: str, column: str, document: str) -> list[Person]:
    """Return who takes part in a case or a visit.

    Args:
        db: reading connection.
        table: `case_people` or `visit_people`.
        column: its column with the document's id.
        document: the id.
    """
    rows = db.execute(
        f"SELECT p.*, l.role FROM {table} l JOIN people p ON p.id = l.person_id"
        f" WHERE l.{column} = ? ORDER BY p.id",
        (document,),
    )
    return [
        Person(
            id=row["id"],
            full_name=row["full_name"],
            birth_year=row["birth_year"],
            address=row["address"],
            phone=row["phone"],
            identity_type=row["identity_type"],
            has_identity_number=bool(row["identity_sealed"]),
            role=row["role"],
        )
        for row in rows
    ]


def same_papers(db: sqlite3.Connection, case: str) -> list[SamePaper]:
    """Return other cases of people who showed the same identity paper as somebody in a case.

    Not those that the very same entry opened: one visit may bring several petitions.
    """
    rows = db.execute(
        "SELECT DISTINCT mine.person_id, c.id AS case_id, c.title, c.commune, p.full_name"
        " FROM case_people mine JOIN paper_mark m ON m.person_id = mine.person_id"
        " JOIN paper_mark o ON o.mark = m.mark AND o.mark != x'' AND o.person_id != m.person_id"
        " JOIN case_people other ON other.person_id = o.person_id"
        " JOIN cases c ON c.id = other.case_id JOIN people p ON p.id = o.person_id"
        " WHERE mine.case_id = ?1 AND m.mark != x'' AND c.id != ?1 ORDER BY c.changed_ms DESC"
        " LIMIT 50",
        (case,),
    )
    return [SamePaper(**dict(row)) for row in rows]


def petitions(db: sqlite3.Connection, case: str) -> list[Petition]:
    """Return the petitions of a case, the one it was opened for first."""
    rows = db.execute(
        "SELECT p.* FROM petitions p WHERE p.id IN ("
        " SELECT petition_id FROM cases WHERE id = ?1"
        " UNION SELECT petition_id FROM visit_petitions WHERE case_id = ?1)"
        " ORDER BY p.id",
        (case,),
    )
    return [Petition(**dict(row), has_sealed_ref=bool(row["sealed_ref"])) for row in rows]


def document_fields(db: sqlite3.Connection, document: str) -> DocumentFields | None:
    """Return what can be edited of a document of any kind."""
    for kind, table in _TABLES.items():
        row = db.execute(f"SELECT * FROM {table} WHERE id = ?", (document,)).fetchone()
        if row is not None:
            return _fields(db, kind, row)
    return None


def _fields(db: sqlite3.Connection, kind: DocumentKind, row: sqlite3.Row) -> DocumentFields:
    columns = set(row.keys())
    sealed = _is_sealed(db, kind, row)
    fields: dict[str, str | int | None] = {}
    texts: dict[str, str] = {}
    for name, spec in FIELDS[kind].items():
        if spec.shape == "sealed" or name not in columns:
            continue
        if name not in DENUNCIATION_FIELDS if sealed else name in _SEALED_ONLY:
            continue
        if spec.shape == "text":
            texts[name] = row[name]
        else:
            fields[name] = row[name]
    return DocumentFields(
        id=row["id"],
        kind=kind.value,
        is_sealed=sealed,
        fields=fields,
        texts=texts,
        rivals=rivals(db, row["id"]),
    )


def _is_sealed(db: sqlite3.Connection, kind: DocumentKind, row: sqlite3.Row) -> bool:
    if kind is DocumentKind.CASE:
        return bool(row["case_type"] == CaseType.DENUNCIATION)
    if kind is DocumentKind.PETITION:
        return bool(row["stated_type"] == CaseType.DENUNCIATION)
    if kind is DocumentKind.VISIT:
        found = db.execute(
            "SELECT 1 FROM visit_petitions v JOIN cases c ON c.id = v.case_id"
            " WHERE v.visit_id = ? AND c.case_type = ?",
            (row["id"], CaseType.DENUNCIATION.value),
        ).fetchone()
        return found is not None
    return False
