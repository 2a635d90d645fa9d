"""Directives: written orders with a time limit."""

from node.errors import RequestError
from node.permissions import may
from node.queries.facts import Directive, DirectivePage
from node.queries.files import directives
from node.requests import DirectiveAction, IssueDirective
from node.trail import note
from node.web.answers import Events, Made
from node.web.calls import Call
from node.web.errors import WebError, not_found
from node.web.office import place_of
from node.web.trail_notes import audit_view


async def read_directives(call: Call) -> DirectivePage:
    """Return directives, those that wait first."""
    place = place_of(call.office)
    await audit_view(call, "directive.list")
    return DirectivePage(directives=await call.office.read(lambda db: directives(db, place)))


async def read_directive(call: Call) -> Directive:
    """Return one directive."""
    place, directive = place_of(call.office), call.part("id")
    found = await call.office.read(lambda db: directives(db, place, directive=directive))
    if not found:
        raise not_found()
    await audit_view(call, "directive.read", directive)
    return found[0]


async def issue(call: Call) -> Made:
    """Issue a directive to offices below this one."""
    asked, office = call.take(IssueDirective), call.office

    def work(now_ms: int) -> Made:
        made = office.desk.issue_directive(call.author, asked, now_ms)
        note(office.accounts.db, call.me, now_ms, "directive.issue", made)
        return Made(id=made)

    return await call.change(Made, work)


async def act(call: Call) -> Events:
    """Acknowledge, report on, finish or withdraw a directive."""
    directive, asked, office = call.part("id"), call.take(DirectiveAction), call.office
    event = str(asked.event.get("type", ""))[:60]
    if not event.startswith("directive_") or event == "directive_issued":
        raise RequestError("event_foreign", "This is not an event of a directive.", field="type")
    if not may(call.me.role, event.replace("directive_", "directive.", 1)):
        raise WebError("not_permitted", 403, "Your role may not do this.")

    def work(now_ms: int) -> Events:
        made = office.desk.directive_act(call.author, directive, asked, now_ms)
        note(office.accounts.db, call.me, now_ms, "directive.act", directive, event)
        return Events(event_ids=[made])

    return await call.change(Events, work)
