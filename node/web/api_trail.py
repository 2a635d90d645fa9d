"""The audit trail for those who check: a page of it with filters, and the whole as a file."""

import json
from datetime import date

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from node.errors import RequestError
from node.queries.trail import TrailQuery, trail_choices, trail_lines
from node.seals import Seals
from node.trail import TrailLine, check_lines, exported, lines, note
from node.web.account_answers import TrailEntry, TrailPage
from node.web.calls import Call
from node.web.trail_notes import audit_view


class TrailFilter(BaseModel):
    """Which lines the page shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = Field(default="", max_length=40)
    action: str = Field(default="", max_length=60)
    document: str = Field(default="", pattern=r"^([0-9a-f-]{36})?$")
    since: date | None = None
    until: date | None = None
    before: int = Field(default=0, ge=0)
    size: int = Field(default=100, ge=1, le=500)


async def read_trail(call: Call) -> TrailPage:
    """Return lines of the trail, newest first; who looks is noted in it as well."""
    wanted, office = call.ask(TrailFilter), call.office
    await audit_view(call, "audit.read", wanted.document, f"{wanted.user} {wanted.action}".strip())
    found = await office.read(lambda db: trail_lines(db, TrailQuery(**dict(wanted))))
    users, actions = await office.read(trail_choices)
    shown = found[: wanted.size]
    return TrailPage(
        lines=[_entry(line, office.desk.seals) for line in shown],
        next=shown[-1].number if len(found) > wanted.size else 0,
        actions=actions,
        users=users,
    )


def _entry(line: TrailLine, seals: Seals) -> TrailEntry:
    is_sealed = line.detail.startswith("~")
    detail = line.detail
    if is_sealed:
        _, _, sealed = detail.partition(" ")
        detail = _opened(sealed, seals)
    return TrailEntry(
        number=line.number,
        at_ms=line.at_ms,
        user=line.user,
        role=line.role,
        action=line.action,
        document_id=line.document_id,
        detail=detail,
        is_sealed=is_sealed,
    )


def _opened(sealed: str, seals: Seals) -> str:
    try:
        return seals.open_words(sealed)
    except RequestError:
        # Locked, or sealed for an earlier key: the line is shown all the same.
        return ""


async def export_trail(call: Call) -> web.StreamResponse:
    """Return the whole trail as JSON lines: what it is, then each line."""
    office, db = call.office, call.office.accounts.db
    await office.write(lambda now_ms: note(db, call.me, now_ms, "audit.export"))

    found = await office.read(lambda reader: list(lines(reader)))
    check = check_lines(iter(found))
    head = {
        "trail": "tiepdan audit v1",
        "office": office.code,
        "lines": check.lines,
        "link": check.link.hex(),
        "broken_at": check.broken_at,
    }
    text = "\n".join([json.dumps(head), *map(exported, found), ""])
    return web.Response(
        text=text,
        content_type="application/x-ndjson",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="audit-{office.code}.ndjson"'},
    )
