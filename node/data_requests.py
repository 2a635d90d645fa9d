"""Requests of people about their own data: which wait for an answer."""

from collections.abc import Sequence

from node.cases.history import Fact
from schemas.ids import EventId
from schemas.person_events import DataAnswered, DataRequested


def open_requests(facts: Sequence[Fact]) -> set[EventId]:
    """Return the ids of requests in a person's document that nobody has answered."""
    asked = {fact.id for fact in facts if isinstance(fact.event, DataRequested)}
    return asked - {
        EventId(fact.event.request) for fact in facts if isinstance(fact.event, DataAnswered)
    }
