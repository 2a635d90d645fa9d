"""The sealed rules of a denunciation: nothing on a networked node may tell who wrote it.

Name and address of a denouncer are a state secret, and a state secret must not be stored on a
networked computer (Decision 774/QĐ-TTg; Law 117/2025/QH15, Art. 5). So a denunciation holds an
opaque reference and the number of a sealed paper envelope: no people, no files, no remarks, no
free text that is not needed, and no link to a case that names people. The visit it came with holds
no people either; registering it sees to that.
"""

import re
from collections.abc import Iterable, Mapping

from crypto.errors import SealError
from crypto.seal import from_text, recipients_of
from node.cases.errors import GuardError
from node.cases.standing import CaseStanding
from schemas.codes import CaseType
from schemas.event_text import KnownEvent
from schemas.events import Classified, PetitionLodged, Received, UnknownEvent
from schemas.fields import DENUNCIATION_FIELDS, SEALED_FIELDS

# Facts that name people, show their handwriting, say anything in free words, or let the case leave
# the office on a machine that may be lost.
IDENTITY_EVENTS = frozenset({"person_joined", "group_linked", "attached", "noted", "taken_along"})
# Texts of other events that the law does not ask for; `reason` is asked for and stays.
_FREE_TEXTS = ("note", "content", "summary")
# A number or a code is one word; a name or a sentence is several.
_CODE = re.compile(r"[\w/.,:-]{0,60}")


def is_sealed(events: Iterable[KnownEvent | UnknownEvent]) -> bool:
    """Tell whether the events, in the order of their ids, make the document a denunciation.

    The last classification counts; before one, what the petition looked like.
    """
    stated, classified = None, None
    for event in events:
        match event:
            case Classified():
                classified = event.case_type
            case Received() | PetitionLodged():
                stated = event.stated_type
    return (classified or stated) is CaseType.DENUNCIATION


def is_denouncing(event: KnownEvent | UnknownEvent) -> bool:
    """Tell whether this event makes its document a denunciation."""
    match event:
        case Classified():
            return event.case_type is CaseType.DENUNCIATION
        case Received() | PetitionLodged():
            return event.stated_type is CaseType.DENUNCIATION
    return False


def telling_fields(fields: Mapping[str, object]) -> list[str]:
    """Return the names of the filled fields that a denunciation may not hold, or not so filled."""
    return sorted(
        name
        for name, value in fields.items()
        if value and not (name in DENUNCIATION_FIELDS and _tells_nothing(name, value))
    )


def _tells_nothing(name: str, value: object) -> bool:
    return is_sealed_value(value) if name in SEALED_FIELDS else is_code(value)


def is_sealed_value(value: object) -> bool:
    """Tell whether a value is one that only named offices can open."""
    if not isinstance(value, str):
        return False
    try:
        return bool(recipients_of(from_text(value)))
    except SealError:
        return False


def is_code(value: object) -> bool:
    """Tell whether a value is a number, a date or a code, and no free words."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def telling_part(event: KnownEvent | UnknownEvent) -> str:
    """Return what in the event could tell who wrote the denunciation; empty when nothing does."""
    if event.type in IDENTITY_EVENTS:
        return event.type
    if isinstance(event, Received):
        return "parent" if event.parent else ""
    # Not by getattr: a model takes long to say that it has no such thing.
    said = (event.model_extra or {}) if isinstance(event, UnknownEvent) else vars(event)
    return next((name for name in _FREE_TEXTS if said.get(name)), "")


def check_sealed(standing: CaseStanding, event: KnownEvent, fields: Mapping[str, object]) -> None:
    """Refuse what would bring the author of a denunciation onto this node.

    Args:
        standing: of the case before the event.
        event: about to be recorded.
        fields: the case's fields as they will stand with the event.

    Raises:
        GuardError: denunciation_identity, denunciation_linked, denunciation_free_text, or
            denunciation_identity_present when what the case already holds stands in the way.
    """
    if is_denouncing(event) and not standing.is_sealed and standing.received_on is not None:
        _check_turning(standing, fields)
    if not (standing.is_sealed or is_denouncing(event)) or _unseals(event):
        return
    telling = telling_fields(fields)
    if telling:
        raise GuardError(
            "denunciation_identity",
            f"a denunciation holds no {', '.join(telling)} on this node",
            "keep it on paper in the sealed envelope; record its number and an opaque reference",
        )
    part = telling_part(event)
    if not part:
        return
    if part == "parent":
        raise GuardError(
            "denunciation_linked",
            "a denunciation does not name the case it was found in: people are named there",
            "record it without the link; write the connection on the sealed envelope",
        )
    if part in IDENTITY_EVENTS:
        raise GuardError(
            "denunciation_identity",
            f"a denunciation takes no {part} on this node",
            "keep people, papers and remarks in the sealed envelope",
        )
    raise GuardError(
        "denunciation_free_text",
        f"free text in {part!r} could tell who wrote the denunciation",
        "leave it empty; what must be written down goes into the sealed envelope",
    )


def _unseals(event: KnownEvent) -> bool:
    return isinstance(event, Classified) and event.case_type is not CaseType.DENUNCIATION


def _check_turning(standing: CaseStanding, fields: Mapping[str, object]) -> None:
    """Refuse to turn a case that already tells its author into a denunciation."""
    held = [
        name
        for name, value in (
            ("people", standing.people),
            ("groups", standing.groups),
            ("attachments", standing.attachments),
            ("notes", standing.notes),
            ("parent", standing.parent),
        )
        if value
    ]
    held += telling_fields(fields)
    if held:
        raise GuardError(
            "denunciation_identity_present",
            f"this case holds {', '.join(held)}, which a denunciation may not hold here",
            "record a new denunciation with only an opaque reference and the envelope number, then"
            " close this case as a duplicate; nothing can be removed from a signed log, so report"
            " it to the person in charge of state secrets",
        )
