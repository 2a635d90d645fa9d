"""Requests of people about their own data: taken down, listed, answered."""

from node.errors import RequestError
from node.queries.data_requests import data_requests
from node.queries.facts import DataRequestList
from node.requests import PersonAction
from node.trail import note
from node.web.answers import Events
from node.web.calls import Call
from node.web.errors import WebError
from node.web.trail_notes import audit_view
from schemas.event_text import parse_event
from schemas.person_events import DataAnswered, DataRequested


async def read_data_requests(call: Call) -> DataRequestList:
    """Return requests, those that wait first."""
    await audit_view(call, "person.requests")
    return DataRequestList(requests=await call.office.read(data_requests))


async def act(call: Call) -> Events:
    """Take a request down, or answer one."""
    person, asked, office = call.part("id"), call.take(PersonAction), call.office
    event = parse_event(asked.event)
    if not isinstance(event, DataRequested | DataAnswered):
        raise RequestError("event_foreign", "This is no request about personal data.", field="type")
    needed = "data_request.answer" if isinstance(event, DataAnswered) else "data_request.take"
    if not call.me.may(needed):
        raise WebError("not_permitted", 403, "Your role may not do this.")

    def work(now_ms: int) -> Events:
        made = office.desk.person_act(call.author, person, event, now_ms)
        note(office.accounts.db, call.me, now_ms, "person.request", person, event.type)
        return Events(event_ids=[made])

    return await call.change(Events, work)
