"""What a state event adds to the position it is applied to, besides the new state."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from node.cases.standing import Position
from schemas import events as ev
from schemas.events import StateEvent

Changes = dict[str, Any]

# The petition was processed: the first of these ends the time for processing it.
_RESULTS = frozenset(
    {
        "acceptance_proposed",
        "answered",
        "assigned",
        "declared_ineligible",
        "guided",
        "split",
        "supplement_requested",
        "transferred",
    }
)
_ROUTES = frozenset({"declared_ineligible", "guided", "split", "transferred"})


def changes(position: Position, event: StateEvent, on: date) -> Changes:
    """Return the attributes of the position that the event replaces, without `state`.

    Args:
        position: where the case stood before.
        event: already judged to be legal there.
        on: day of the event's clock reading; an event's own `on` goes before it.
    """
    effect = _EFFECTS.get(event.type)
    found = effect(position, event, on) if effect else {}
    if event.type in _RESULTS and position.processed_on is None:
        found["processed_on"] = on
    if event.type in _ROUTES and position.routed_on is None:
        found["routed_on"] = on
    return found


def _received(_: Position, event: ev.Received, __: date) -> Changes:
    return {
        "stated_type": event.stated_type,
        "channel": event.channel,
        "written": event.written,
        "petition": event.petition,
        "visit": event.visit,
        "parent": event.parent,
        "received_on": event.on,
    }


def _classified(position: Position, event: ev.Classified, on: date) -> Changes:
    return {
        "case_type": event.case_type,
        "instance": event.instance,
        "within_authority": event.within_authority,
        "complex": event.complex,
        "especially_complex": event.especially_complex,
        "remote": event.remote,
        "multi_place": event.multi_place,
        "classified_on": position.classified_on or on,
    }


def _decided(_: Position, event: ev.Decided, __: date) -> Changes:
    return {
        "decided_on": event.on,
        "outcome": event.outcome,
        "decision_number": event.decision_number,
    }


def _transferred(position: Position, event: ev.Transferred, __: date) -> Changes:
    return {
        "transferred_count": position.transferred_count + 1,
        "transferred_to": event.to_office,
    }


def _withdrawn(_: Position, event: ev.Withdrawn, __: date) -> Changes:
    return {"withdrawn_full" if event.scope == "full" else "withdrawn_partial": True}


def _archived(_: Position, event: ev.Archived, on: date) -> Changes:
    return {f"archived_{event.to}_on": on}


def _reopened(_: Position, __: ev.Reopened, ___: date) -> Changes:
    """Clear what the first run found, so that the deadlines of the second run start afresh."""
    cleared: Changes = dict.fromkeys(_CLEARED_WHEN_REOPENED)
    return {
        **cleared,
        "decision_number": "",
        "extensions_count": 0,
        "was_suspended": False,
        "withdrawn_full": False,
    }


_CLEARED_WHEN_REOPENED = (
    "processed_on",
    "routed_on",
    "ineligible_on",
    "accepted_on",
    "not_accepted_on",
    "decided_on",
    "handled_on",
    "published_on",
    "answered_on",
    "terminated_on",
    "closed_on",
    "outcome",
    "closing_reason",
)

# Each function takes the one event class of its key; the table is what pairs them.
_EFFECTS: Mapping[str, Callable[[Position, Any, date], Changes]] = {
    "received": _received,
    "recorded": lambda _, __, on: {"recorded_on": on},
    "refused_reception": lambda _, event, __: {"refusal_ground": event.ground},
    "classified": _classified,
    "split": lambda _, event, __: {"children": event.children},
    "declared_ineligible": lambda _, __, on: {"ineligible_on": on},
    "transferred": _transferred,
    "accepted": lambda _, event, __: {"accepted_on": event.on},
    "not_accepted": lambda _, __, on: {"not_accepted_on": on},
    "suspended": lambda _, __, ___: {"was_suspended": True},
    "extended": lambda position, __, ___: {"extensions_count": position.extensions_count + 1},
    "decided": _decided,
    "handled": lambda _, __, on: {"handled_on": on},
    "published": lambda _, event, __: {"published_on": event.on},
    "withdrawn": _withdrawn,
    "terminated": lambda _, __, on: {"terminated_on": on},
    "second_complaint_raised": lambda position, event, __: {
        "second_cases": (*position.second_cases, event.case)
    },
    "assigned": lambda _, event, __: {
        "assigned_to": event.to_office,
        "assigned_code": event.to_code or "",
    },
    "answered": lambda _, event, __: {"answered_on": event.on},
    "closed": lambda _, event, on: {"closed_on": on, "closing_reason": event.reason},
    "archived": _archived,
    "reopened": _reopened,
}
