"""Who must see a document: the rule that keeps one commune's records from another.

Up goes everything. Down to a child goes only what concerns it: documents that began at its place,
directives addressed to it, cases assigned or transferred to it or taken along there, and what those
cases refer to.
"""

from collections.abc import Iterable
from typing import Final

from schemas.codes import DocumentKind
from schemas.event_text import KnownEvent
from schemas.events import (
    Assigned,
    DirectiveIssued,
    GroupLinked,
    PersonJoined,
    Received,
    TakenAlong,
    Transferred,
    UnknownEvent,
)
from schemas.ids import DocumentId, parse_document_id

# All events that the two rules below look at.
TELLING: Final = tuple(
    event.model_fields["type"].default
    for event in (
        Assigned,
        DirectiveIssued,
        GroupLinked,
        PersonJoined,
        Received,
        TakenAlong,
        Transferred,
    )
)


def is_within(code: str, ancestor: str) -> bool:
    """Tell whether a place code is the ancestor's own or below it; all are below the centre."""
    return ancestor == "0" or code == ancestor or code.startswith(ancestor + ".")


def containing(codes: Iterable[str]) -> set[str]:
    """Return the codes that any of these is within: themselves, those above, and the centre's."""
    found = {"0"}
    for code in codes:
        while code:
            found.add(code)
            code = code.rpartition(".")[0]
    return found


def addressed_codes(events: Iterable[KnownEvent | UnknownEvent]) -> set[str]:
    """Return the place codes that the document's own events address."""
    codes: set[str] = set()
    for event in events:
        match event:
            case DirectiveIssued():
                codes.update(event.to_codes)
            case Assigned() | Transferred() if event.to_code:
                codes.add(event.to_code)
            case TakenAlong():
                codes.add(event.to_code)
    return codes


def companions(kind: str, events: Iterable[KnownEvent | UnknownEvent]) -> set[DocumentId]:
    """Return the documents that somebody who works on this one needs as well.

    A visit is not among them: it may name people who came with another matter.
    """
    if kind not in (DocumentKind.CASE, DocumentKind.GROUP):
        return set()
    found: set[str] = set()
    for event in events:
        match event:
            case Received() if event.petition:
                found.add(event.petition)
            case PersonJoined():
                found.add(event.person)
            case GroupLinked():
                found.add(event.group)
    return {parse_document_id(ref) for ref in found}
