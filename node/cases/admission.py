"""What a change from elsewhere must keep, or it is set aside before it enters the records.

Called for every change, so it is lookups in ready tables; the events that stand are read only when
something in the change could tell who wrote a denunciation.
"""

from collections.abc import Callable, Mapping, Sequence

from node.cases.denunciation import (
    is_denouncing,
    is_sealed,
    is_sealed_value,
    telling_fields,
    telling_part,
)
from schemas.codes import DocumentKind
from schemas.errors import RecordError
from schemas.event_text import KnownEvent, event_models
from schemas.events import StateEvent, UnknownEvent
from schemas.fields import check_field

Events = Sequence[KnownEvent | UnknownEvent]

_KINDS: Mapping[str, DocumentKind] = {kind.value: kind for kind in DocumentKind}
_STATE_EVENTS = frozenset(
    name for name, model in event_models().items() if issubclass(model, StateEvent)
)
_KNOWN = frozenset(event_models())
EVENTS_OF: Mapping[DocumentKind, frozenset[str]] = {
    DocumentKind.VISIT: frozenset(
        {"visit_held", "person_joined", "group_linked", "petition_linked", "attached", "noted"}
    ),
    DocumentKind.PERSON: frozenset({"person_recorded", "noted", "data_requested", "data_answered"}),
    DocumentKind.PETITION: frozenset({"petition_lodged", "petition_linked", "attached", "noted"}),
    DocumentKind.CASE: _STATE_EVENTS
    | {
        "person_joined",
        "group_linked",
        "petition_linked",
        "directive_linked",
        "taken_along",
        "attached",
        "noted",
    },
    DocumentKind.GROUP: frozenset({"group_formed", "person_joined", "attached", "noted"}),
    DocumentKind.DIRECTIVE: frozenset(
        {
            "directive_issued",
            "directive_acknowledged",
            "directive_reported",
            "directive_done",
            "directive_withdrawn",
            "attached",
            "noted",
        }
    ),
}
_SEALABLE = frozenset({DocumentKind.CASE, DocumentKind.PETITION})


def admit_change(
    kind: str,
    prior: Callable[[], Events],
    new: Events,
    fields: Mapping[str, object],
) -> None:
    """Check the new events and field values of one change.

    A classification as denunciation is let in even where the case names people already: it tells
    nothing by itself, and refusing it would hide what the case is. What names people after it is
    refused.

    Args:
        kind: of the document.
        prior: returns the events that stand already, in the order of their ids.
        new: events of the change, in the order of their ids.
        fields: values that the change sets; a long text that it touched stands here as well, under
            its name.

    Raises:
        RecordError: kind_unknown, event_not_for_kind, field_unknown, field_malformed,
            field_too_long, identity_unsealed, reference_unsealed or denunciation_identity.
    """
    known_kind = _KINDS.get(kind)
    if known_kind is None:
        raise RecordError("kind_unknown", f"unknown kind of document {kind!r:.40}")
    allowed = EVENTS_OF[known_kind]
    for event in new:
        if event.type in _KNOWN and event.type not in allowed:
            raise RecordError("event_not_for_kind", f"a {kind} holds no {event.type}")
    for name, value in fields.items():
        check_field(known_kind, name, value)
    if known_kind is DocumentKind.PERSON and not _is_sealed(fields.get("identity_number")):
        raise RecordError("identity_unsealed", "the number of an identity paper is not sealed")
    if known_kind in _SEALABLE:
        _check_sealed(prior, new, fields)
        if not _is_sealed(fields.get("sealed_ref")):
            raise RecordError("reference_unsealed", "the reference of a denunciation is not sealed")


def _is_sealed(number: object) -> bool:
    return not number or is_sealed_value(number)


def _check_sealed(prior: Callable[[], Events], new: Events, fields: Mapping[str, object]) -> None:
    telling = [part for part in map(telling_part, new) if part] + telling_fields(fields)
    if not telling:
        return
    if any(map(is_denouncing, new)) or is_sealed([*prior(), *new]):
        raise RecordError(
            "denunciation_identity",
            f"a denunciation may not hold {', '.join(telling)}",
        )
