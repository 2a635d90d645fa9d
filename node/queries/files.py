"""Whole files: a case with everything around it, visits, directives."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from node.queries.cases import Place, case_lines, days_left
from node.queries.documents import attachments, deadlines, people, petitions, rivals, timeline
from node.queries.facts import (
    CaseFile,
    CaseLine,
    CaseRef,
    Directive,
    DirectiveOffice,
    VisitLine,
    VisitPage,
)
from node.queries.offices import office_names
from node.queries.sync_state import sync_states
from schemas.codes import DirectiveState
from schemas.ids import parse_document_id

_OPEN_DIRECTIVES: Final = (DirectiveState.ISSUED, DirectiveState.ACKNOWLEDGED)
_SHOWN_MAX: Final = 200


def case_file(db: sqlite3.Connection, place: Place, case: str) -> CaseFile | None:
    """Return everything the view tables say about a case."""
    row = db.execute("SELECT * FROM cases WHERE id = ?", (case,)).fetchone()
    if row is None:
        return None
    group = db.execute("SELECT * FROM groups WHERE id = ?", (row["group_id"],)).fetchone()
    return CaseFile(
        line=case_lines(db, place, [row])[0],
        summary=row["summary"],
        topic=row["topic"],
        location=row["location"],
        respondent_code=row["respondent_code"],
        has_sealed_ref=bool(row["sealed_ref"]),
        channel=row["channel"],
        accepted_on=row["accepted_on"],
        decided_on=row["decided_on"],
        closed_reason=row["closed_reason"],
        visit_id=row["visit_id"],
        parent_id=row["parent_id"],
        children=_children(db, place, case),
        group_name=group["name"] if group else "",
        group_count=group["people_count"] if group else 0,
        timeline=timeline(db, case),
        deadlines=deadlines(db, case, place.today),
        rivals=rivals(db, case),
        attachments=attachments(db, case),
        people=people(db, "case_people", "case_id", case),
        petitions=petitions(db, case),
        directives=directives(db, place, case=case),
        sent_down=[
            DirectiveOffice(code=row[0], name=row[1], delivered=bool(row[2]))
            for row in db.execute(_SENT_DOWN, (bytes(parse_document_id(case)),))
        ],
    )


def _children(db: sqlite3.Connection, place: Place, case: str) -> list[CaseLine]:
    rows = db.execute(
        "SELECT * FROM cases WHERE parent_id = ? AND parent_id != '' LIMIT ?", (case, _SHOWN_MAX)
    ).fetchall()
    return case_lines(db, place, rows)


def list_visits(db: sqlite3.Connection, place: Place, after: str, size: int) -> VisitPage:
    """Return visits, newest first.

    Args:
        db: reading connection.
        place: where and when.
        after: `next` of the page before, or empty.
        size: how many at most.
    """
    held_on, _, visit = (after or "9999-12-31:").partition(":")
    rows = db.execute(
        "SELECT * FROM visits WHERE held_on <= ? AND (held_on, id) < (?, ?)"
        " ORDER BY held_on DESC, id DESC LIMIT ?",
        (held_on, held_on, visit, size + 1),
    ).fetchall()
    shown = rows[:size]
    names = office_names(db, place.own)
    states = sync_states(db, place.tier, [row["id"] for row in shown])
    visits = [
        VisitLine(
            **{name: row[name] for name in _VISIT_COLUMNS},
            commune_name=names.get(row["commune"], row["commune"]),
            people=", ".join(
                person.full_name for person in people(db, "visit_people", "visit_id", row["id"])
            ),
            cases=_visit_cases(db, row["id"]),
            sync=states[row["id"]],
        )
        for row in shown
    ]
    following = f"{shown[-1]['held_on']}:{shown[-1]['id']}" if len(rows) > size else ""
    return VisitPage(visits=visits, next=following)


_VISIT_COLUMNS: Final = (
    "id",
    "commune",
    "held_on",
    "kind",
    "place",
    "register_number",
    "result",
    "officer",
)


def _visit_cases(db: sqlite3.Connection, visit: str) -> list[CaseRef]:
    rows = db.execute(
        "SELECT DISTINCT c.id, c.title, c.case_type FROM visit_petitions v"
        " JOIN cases c ON c.id = v.case_id WHERE v.visit_id = ? ORDER BY c.id",
        (visit,),
    )
    return [CaseRef(**dict(row)) for row in rows]


def directives(
    db: sqlite3.Connection,
    place: Place,
    *,
    case: str = "",
    only_waiting: bool = False,
    directive: str = "",
) -> list[Directive]:
    """Return directives, those that wait first, the nearest time limit on top.

    Args:
        db: reading connection.
        place: where and when.
        case: only those about this case.
        only_waiting: only those that this office is asked to do and has not reported on.
        directive: only this one.
    """
    conditions, parameters = ["1"], []
    if case:
        conditions.append("d.case_id = ?")
        parameters.append(case)
    if directive:
        conditions.append("d.id = ?")
        parameters.append(directive)
    if only_waiting:
        conditions.append(
            "d.state IN ('issued', 'acknowledged') AND EXISTS (SELECT 1 FROM directive_offices o"
            " WHERE o.directive_id = d.id AND o.code = ?)"
        )
        parameters.append(place.own.code)
    rows = db.execute(
        "SELECT d.*, coalesce(c.title, '') AS case_title FROM directives d"
        " LEFT JOIN cases c ON c.id = d.case_id WHERE " + " AND ".join(conditions) + " ORDER BY"
        " d.state NOT IN ('issued', 'acknowledged'), d.due_on, d.id LIMIT ?",
        [*parameters, _SHOWN_MAX],
    ).fetchall()
    return _directives(db, place, rows)


def _directives(
    db: sqlite3.Connection, place: Place, rows: Sequence[sqlite3.Row]
) -> list[Directive]:
    names = office_names(db, place.own)
    states = sync_states(db, place.tier, [row["id"] for row in rows])
    return [
        Directive(
            **dict(row),
            days_left=days_left(row["due_on"], place.today)
            if row["state"] in _OPEN_DIRECTIVES
            else None,
            offices=_offices(db, place, row["id"], names),
            sync=states[row["id"]],
        )
        for row in rows
    ]


def _offices(
    db: sqlite3.Connection, place: Place, directive: str, names: dict[str, str]
) -> list[DirectiveOffice]:
    codes = db.execute(
        "SELECT code FROM directive_offices WHERE directive_id = ? ORDER BY code", (directive,)
    ).fetchall()
    return [
        DirectiveOffice(
            code=row[0],
            name=names.get(row[0], row[0]),
            delivered=True if row[0] == place.own.code else _delivered(db, directive, row[0]),
        )
        for row in codes
    ]


def _delivered(db: sqlite3.Connection, directive: str, code: str) -> bool | None:
    """Tell whether a child said that it holds all that we wrote; None if it is none of ours."""
    row = db.execute(_DELIVERED, (code, bytes(parse_document_id(directive)))).fetchone()
    if row is None or row[0] is None:
        return None
    return bool(row[0] < row[1])


_SENT_DOWN: Final = """
SELECT p.code, p.name, max(ch.seq) < coalesce(max(cu.acked), 0)
FROM change ch
CROSS JOIN log l ON l.number = ch.log AND l.source IS NULL AND l.purpose LIKE 'down/%'
CROSS JOIN peer p ON p.is_child = 1 AND l.purpose = 'down/' || lower(hex(p.peer))
LEFT JOIN cursor cu ON cu.log = l.number AND cu.peer = p.peer
WHERE ch.document = ?
GROUP BY p.peer
ORDER BY p.code
"""
_DELIVERED: Final = """
SELECT max(ch.seq), coalesce(max(cu.acked), 0)
FROM peer p
JOIN log l ON l.source IS NULL AND l.purpose = 'down/' || lower(hex(p.peer))
JOIN change ch ON ch.log = l.number
LEFT JOIN cursor cu ON cu.log = l.number AND cu.peer = p.peer
WHERE p.is_child = 1 AND p.code = ? AND ch.document = ?
"""
