"""Brings the view tables up to date with the records, in the transaction that changed them.

A view row depends only on the set of records, never on the order in which they came: rebuilding all
of them ends with the same content.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any, Final

from crypto.tiers import office_code
from node.cases.deadlines import Deadline, deadlines
from node.cases.fold import fold
from node.cases.history import Fact
from node.cases.standing import CaseStanding
from node.cases.workdays import Calendar
from node.folding import fold as fold_text
from node.rows import Rows
from node.subjects import Subject, directive_state
from node.views import DOCUMENT_COLUMNS
from schemas.codes import DocumentKind
from schemas.event_text import decode_event
from schemas.events import (
    Attached,
    DirectiveIssued,
    DirectiveReported,
    GroupFormed,
    PersonJoined,
    PetitionLinked,
    PetitionLodged,
    VisitHeld,
)
from schemas.fields import SEALED_FIELDS
from schemas.hlc import reading_ms
from schemas.ids import DocumentId, EventId, document_text, event_hlc, parse_document_id
from schemas.law.rules import Law
from schemas.record import Writer, decode_leaf
from sync.database import Connection
from sync.intake import Intake

# People and petitions first: the rows of cases repeat some of their words.
_ORDER: Final = (
    DocumentKind.PERSON,
    DocumentKind.GROUP,
    DocumentKind.PETITION,
    DocumentKind.VISIT,
    DocumentKind.CASE,
    DocumentKind.DIRECTIVE,
)
# A sealed number is of no use to a reader of rivals; that there are two is.
_SEALED_SHOWN: Final = "•••"


class Projection:
    """Fills the view tables from documents.

    Args of project: ids of documents that changed.
    """

    def __init__(self, law: Law, calendar: Calendar) -> None:
        """Compute deadlines by this law and calendar."""
        self._law = law
        self._calendar = calendar

    def project(self, db: Connection, intake: Intake, documents: Iterable[DocumentId]) -> None:
        """Bring the rows of these documents, and of cases that repeat their words, up to date."""
        for document in sorted(intake.redone):
            _clear(db, document_text(document))
        view = _View(db, intake, self._law, self._calendar)
        view.bring_up_to_date(set(documents))


class _View:
    """One run over changed documents."""

    def __init__(self, db: Connection, intake: Intake, law: Law, calendar: Calendar) -> None:
        self._db = db
        self._intake = intake
        self._law = law
        self._calendar = calendar
        self._rows_due = Rows(db)
        self._writers: dict[tuple[int, int], Writer] = {}

    def bring_up_to_date(self, documents: set[DocumentId]) -> None:
        found: dict[DocumentKind, list[Subject]] = {kind: [] for kind in _ORDER}
        for document in sorted(documents):
            subject = self._subject(document)
            if subject is not None:
                found[subject.kind].append(subject)
        repeating = set(self._cases_repeating(found)) - documents
        found[DocumentKind.CASE] += filter(None, map(self._subject, sorted(repeating)))
        for kind in _ORDER:
            for subject in found[kind]:
                self._rows(subject)
            self._rows_due.write()

    def _cases_repeating(
        self, found: Mapping[DocumentKind, Sequence[Subject]]
    ) -> Iterable[DocumentId]:
        """Return cases whose rows repeat words of changed people or petitions."""
        for kind, query in (
            (DocumentKind.PERSON, "SELECT case_id FROM case_people WHERE person_id = ?"),
            (
                DocumentKind.PETITION,
                "SELECT id FROM cases WHERE petition_id = ? AND petition_id != ''",
            ),
        ):
            for subject in found[kind]:
                for row in self._db.execute(query, (subject.id,)).fetchall():
                    yield parse_document_id(row[0])

    def _subject(self, document: DocumentId) -> Subject | None:
        registers = self._intake.registers(document)
        kind = _KINDS.get(registers.kind)
        if kind is None:
            return None
        row = self._db.execute(
            "SELECT origin, changed_hlc FROM document WHERE id = ?", (document,)
        ).fetchone()
        bodies = self._db.execute(
            "SELECT id, body, log, writer FROM event WHERE document = ? ORDER BY id", (document,)
        ).fetchall()
        return Subject(
            kind=kind,
            id=document_text(document),
            document=document,
            origin=office_code(row[0]),
            changed_ms=reading_ms(row[1]),
            registers=registers,
            values=registers.values(),
            texts=self._intake.texts(document) if registers.texts else {},
            facts=[
                Fact(id=EventId(key), event=decode_event(body), writer=self._writer(log, number))
                for key, body, log, number in bodies
            ],
            bodies={body[0]: body[1] for body in bodies},
        )

    def _rows(self, subject: Subject) -> None:
        refused = self._kind_rows(subject.kind, subject)
        self._timeline(subject, refused)
        self._attachments(subject)
        self._rivals(subject)
        self._record_logs(subject)

    def _kind_rows(self, kind: DocumentKind, subject: Subject) -> Mapping[str, str]:
        """Write the rows of the document's own kind; return refusal codes by event id."""
        match kind:
            case DocumentKind.CASE:
                return self._case(subject)
            case DocumentKind.VISIT:
                self._visit(subject)
            case DocumentKind.PERSON:
                self._person(subject)
            case DocumentKind.PETITION:
                self._petition(subject)
            case DocumentKind.GROUP:
                self._group(subject)
            case DocumentKind.DIRECTIVE:
                self._directive(subject)
        return {}

    def _writer(self, log: int, number: int) -> Writer:
        writer = self._writers.get((log, number))
        if writer is None:
            writer = self._writers[log, number] = self._intake.writer(log, number)
        return writer

    # Kinds

    def _visit(self, subject: Subject) -> None:
        held = subject.first(VisitHeld)
        self._replace(
            "visits",
            {
                "id": subject.id,
                "commune": subject.origin,
                "held_on": held.on.isoformat() if held else "",
                "kind": held.kind.value if held else "",
                "place": subject.value("place"),
                "register_number": subject.value("register_number"),
                "result": subject.value("result"),
                "statement": subject.texts.get("statement", ""),
                "officer": subject.facts[0].writer.name if subject.facts else "",
                "changed_ms": subject.changed_ms,
            },
        )
        for event in subject.events():
            match event:
                case PersonJoined():
                    row = (subject.id, event.person, event.role.value)
                    self._rows_due.add("visit_people", row)
                case PetitionLinked():
                    link = (subject.id, event.petition, event.case)
                    self._rows_due.add("visit_petitions", link)

    def _person(self, subject: Subject) -> None:
        birth_year = subject.values.get("birth_year")
        self._replace(
            "people",
            {
                "id": subject.id,
                "commune": subject.origin,
                "full_name": subject.value("full_name"),
                "birth_year": birth_year if isinstance(birth_year, int) else None,
                "address": subject.value("address"),
                "phone": subject.value("phone"),
                "identity_type": subject.value("identity_type"),
                "identity_sealed": subject.value("identity_number"),
                "changed_ms": subject.changed_ms,
            },
        )

    def _petition(self, subject: Subject) -> None:
        lodged = subject.first(PetitionLodged)
        mode = lodged.identity_mode if lodged else None
        names = (
            "title",
            "request",
            "respondent_name",
            "respondent_code",
            "petition_date",
            "decision_number",
            "decision_date",
            "settled_by",
            "envelope_number",
            "sealed_ref",
        )
        self._replace(
            "petitions",
            {
                "id": subject.id,
                "commune": subject.origin,
                "lodged_on": lodged.on.isoformat() if lodged else "",
                "channel": lodged.channel.value if lodged else "",
                "stated_type": lodged.stated_type.value if lodged else "",
                "identity_mode": mode.value if mode else "",
                "content": subject.texts.get("content", ""),
                "changed_ms": subject.changed_ms,
            }
            | {name: subject.value(name) for name in names},
        )

    def _group(self, subject: Subject) -> None:
        formed = subject.first(GroupFormed)
        self._replace(
            "groups",
            {
                "id": subject.id,
                "commune": subject.origin,
                "name": subject.value("name"),
                "people_count": formed.people_count if formed else 0,
                "changed_ms": subject.changed_ms,
            },
        )

    def _directive(self, subject: Subject) -> None:
        issued = subject.first(DirectiveIssued)
        reports = [event.text for event in subject.events() if isinstance(event, DirectiveReported)]
        self._replace(
            "directives",
            {
                "id": subject.id,
                "origin": subject.origin,
                "case_id": (issued.case if issued else None) or "",
                "title": subject.value("title"),
                "body": subject.texts.get("body", ""),
                "letter_number": subject.value("letter_number"),
                "issued_ms": reading_ms(event_hlc(subject.facts[0].id)) if subject.facts else 0,
                "due_on": issued.due_on.isoformat() if issued else "",
                "state": directive_state(subject.events()).value,
                "report": reports[-1] if reports else "",
                "issued_by": subject.facts[0].writer.name if subject.facts else "",
                "changed_ms": subject.changed_ms,
            },
        )
        self._db.execute("DELETE FROM directive_offices WHERE directive_id = ?", (subject.id,))
        for code in issued.to_codes if issued else ():
            self._rows_due.add("directive_offices", (subject.id, code))

    def _case(self, subject: Subject) -> Mapping[str, str]:
        standing = fold(subject.facts)
        # Who stood may stand no more: an event that came late can make a denunciation of it.
        self._db.execute("DELETE FROM case_people WHERE case_id = ?", (subject.id,))
        for person in standing.people:
            self._rows_due.add("case_people", (subject.id, person.person, person.role.value))
        found = deadlines(standing, self._law, self._calendar)
        self._deadlines(subject, found)
        names = self._names({person.person for person in standing.people})
        summary = subject.texts.get("summary", "")
        number = self._case_row(subject, standing, found, names, summary)
        self._search(subject, standing, number, names, summary)
        return {refusal.fact.id: refusal.code for refusal in standing.refused}

    def _case_row(
        self,
        subject: Subject,
        standing: CaseStanding,
        found: Sequence[Deadline],
        names: str,
        summary: str,
    ) -> int:
        due = min(
            (d for d in found if d.met_on is None and d.kind == "deadline" and standing.is_open),
            key=lambda deadline: (deadline.due_on, deadline.rule_id),
            default=None,
        )
        case_type = standing.effective_type
        row = {
            "id": subject.id,
            "commune": subject.origin,
            "title": subject.value("title"),
            "summary": summary,
            "case_type": case_type.value if case_type else "",
            "instance": standing.instance,
            "state": standing.state.value,
            "is_open": int(standing.is_open),
            "in_conflict": int(bool(standing.in_conflict)),
            "rival_fields": sum(len(row) > 1 for row in subject.registers.fields.values()),
            "topic": subject.value("topic"),
            "location": subject.value("location"),
            "respondent_name": subject.value("respondent_name"),
            "respondent_code": subject.value("respondent_code"),
            "register_number": subject.value("register_number"),
            "envelope_number": subject.value("envelope_number"),
            "sealed_ref": subject.value("sealed_ref"),
            "people": names,
            "group_id": standing.groups[0] if standing.groups else "",
            "petition_id": standing.petition or "",
            "visit_id": standing.visit or "",
            "parent_id": standing.parent or "",
            "assigned_to": standing.assigned_to,
            "channel": standing.channel.value if standing.channel else "",
            "received_on": _day(standing.received_on),
            "accepted_on": _day(standing.accepted_on),
            "decided_on": _day(standing.decided_on),
            "closed_reason": standing.closing_reason.value if standing.closing_reason else "",
            "due_on": _day(due.due_on if due else None),
            "due_rule": due.rule_id if due else "",
            "officer": subject.facts[0].writer.name if subject.facts else "",
            "last_by": subject.facts[-1].writer.name if subject.facts else "",
            "changed_ms": subject.changed_ms,
        }
        found_number = self._db.execute(_case_statement(tuple(row)), tuple(row.values())).fetchone()
        return int(found_number[0])

    def _names(self, people: Collection[str]) -> str:
        if not people:
            return ""
        marks = ", ".join("?" * len(people))
        rows = self._db.execute(
            f"SELECT full_name FROM people WHERE id IN ({marks}) ORDER BY full_name", (*people,)
        )
        return ", ".join(row[0] for row in rows)

    def _deadlines(self, subject: Subject, found: Sequence[Deadline]) -> None:
        self._db.execute("DELETE FROM case_deadlines WHERE case_id = ?", (subject.id,))
        for deadline in found:
            self._rows_due.add(
                "case_deadlines",
                (
                    subject.id,
                    deadline.rule_id,
                    deadline.kind,
                    _day(deadline.trigger_on),
                    _day(deadline.due_on),
                    _day(deadline.met_on),
                    deadline.source,
                    int(deadline.verified),
                    deadline.note,
                    " ".join(deadline.notices),
                ),
            )

    def _search(
        self, subject: Subject, standing: CaseStanding, number: int, names: str, summary: str
    ) -> None:
        petition: Sequence[str] | None = None
        if standing.petition:
            petition = self._db.execute(
                "SELECT title, content, respondent_name FROM petitions WHERE id = ?",
                (standing.petition,),
            ).fetchone()
        words = [
            *(str(subject.values.get(name, "")) for name in _SEARCHED),
            names,
            summary,
            *(petition or ()),
        ]
        text = fold_text(" ".join(dict.fromkeys(word for word in words if word)))
        known = self._db.execute(
            "SELECT text FROM case_search WHERE rowid = ?", (number,)
        ).fetchone()
        if known is None or known[0] != text:
            # The index is the dearest of all tables, and an event seldom changes the words.
            self._rows_due.add("case_search (rowid, text)", (number, text))

    # Every kind

    def _timeline(self, subject: Subject, refused: Mapping[str, str]) -> None:
        for fact in subject.facts:
            writer = fact.writer
            self._rows_due.add(
                "timeline",
                (
                    subject.id,
                    fact.id,
                    fact.event.type,
                    subject.bodies[fact.id],
                    reading_ms(event_hlc(fact.id)),
                    writer.user,
                    writer.name,
                    writer.role,
                    writer.tier,
                    writer.code,
                    refused.get(fact.id, ""),
                ),
            )

    def _attachments(self, subject: Subject) -> None:
        for fact in subject.facts:
            event = fact.event
            if isinstance(event, Attached):
                file = (event.sha256, event.name, event.media_type, event.size_bytes)
                self._rows_due.add("attachments", (subject.id, fact.id, *file))

    def _rivals(self, subject: Subject) -> None:
        self._db.execute("DELETE FROM rivals WHERE document_id = ?", (subject.id,))
        for name, standing in subject.registers.fields.items():
            if len(standing) < 2:
                continue
            for position, value in enumerate(standing):
                leaf = decode_leaf(self._leaf(value.log, value.seq))
                writer = self._writer(value.log, leaf.writer)
                shown = _SEALED_SHOWN if name in SEALED_FIELDS else str(value.value)
                who = (writer.user, writer.name, writer.code)
                row = (subject.id, name, position, shown, reading_ms(leaf.hlc), *who)
                self._rows_due.add("rivals", row)

    def _leaf(self, log: int, seq: int) -> bytes:
        row = self._db.execute(
            "SELECT data FROM leaf WHERE log = ? AND seq = ?", (log, seq)
        ).fetchone()
        return bytes(row[0])

    def _record_logs(self, subject: Subject) -> None:
        self._rows_due.run(
            "INSERT OR REPLACE INTO record_logs SELECT ?, c.log, max(c.seq) FROM change c"
            " JOIN log l ON l.number = c.log WHERE c.document = ? AND l.purpose = 'up'"
            " GROUP BY c.log",
            (subject.id, subject.document),
        )

    def _replace(self, table: str, row: Mapping[str, Any]) -> None:
        self._rows_due.add(f"{table} ({', '.join(row)})", tuple(row.values()))


@cache
def _case_statement(columns: tuple[str, ...]) -> str:
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    return (
        f"INSERT INTO cases ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT (id) DO UPDATE SET {updates} RETURNING number"
    )


def _clear(db: Connection, document: str) -> None:
    """Delete every row that was made from a document."""
    db.execute(
        "DELETE FROM case_search WHERE rowid = (SELECT number FROM cases WHERE id = ?)", (document,)
    )
    for table, column in DOCUMENT_COLUMNS.items():
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", (document,))


_KINDS: Final = {kind.value: kind for kind in DocumentKind}
_SEARCHED: Final = (
    "title",
    "location",
    "respondent_name",
    "register_number",
    "letter_number",
    "envelope_number",
)


def _day(value: date | None) -> str:
    return value.isoformat() if value is not None else ""
