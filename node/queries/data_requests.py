"""Requests of people about their own data, those that wait first."""

import json
import sqlite3

from node.queries.facts import DataRequest

_LINES_MAX = 500


def data_requests(db: sqlite3.Connection) -> list[DataRequest]:
    """Return requests with their answers, those that wait first, then the newest."""
    rows = db.execute(
        "SELECT t.event_id, t.document_id, t.body, t.name AS taken_by, t.office, p.full_name,"
        " (SELECT a.body FROM timeline a WHERE a.document_id = t.document_id"
        "  AND a.type = 'data_answered' AND json_extract(a.body, '$.request') = t.event_id"
        "  ORDER BY a.event_id LIMIT 1) AS answer"
        " FROM timeline t JOIN people p ON p.id = t.document_id WHERE t.type = 'data_requested'"
        " ORDER BY answer IS NOT NULL, t.at_ms DESC LIMIT ?",
        (_LINES_MAX,),
    )
    return [_request(row) for row in rows]


def _request(row: sqlite3.Row) -> DataRequest:
    asked, answered = json.loads(row["body"]), json.loads(row["answer"] or "{}")
    return DataRequest(
        event_id=row["event_id"],
        person_id=row["document_id"],
        full_name=row["full_name"],
        office=row["office"],
        taken_by=row["taken_by"],
        right=asked["right"],
        on=asked["on"],
        text=asked.get("text", ""),
        answer=answered.get("answer", ""),
        answered_on=answered.get("on", ""),
        reason=answered.get("reason", ""),
    )
