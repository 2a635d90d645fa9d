"""What a person may do to documents through a program of their own, change by change.

The same permissions and guards as at the pages: here a change comes ready made, and is judged by
what it does. What needs more than one document, or bytes beside it, has its own request in the API.
"""

from collections.abc import Sequence
from typing import Final

from node.cases.fold import fold
from node.cases.history import Fact
from node.desk import Desk
from node.errors import RequestError
from node.following import seen
from node.permissions import may
from node.sealing import check_values
from schemas.codes import DocumentKind
from schemas.event_text import KnownEvent, decode_event
from schemas.events import Attached, Split, StateEvent, UnknownEvent
from schemas.fields import FIELDS
from schemas.ids import DocumentId, EventId
from schemas.record import Writer
from sync.registers import Effect, Registers
from sync.replica import Author

# A directive has addresses and turns that its own request checks.
_KINDS: Final = frozenset(
    {
        DocumentKind.VISIT,
        DocumentKind.PERSON,
        DocumentKind.PETITION,
        DocumentKind.CASE,
        DocumentKind.GROUP,
    }
)
_NOTED: Final = "noted"


class DeviceRights:
    """Rights of one person at one device."""

    def __init__(self, desk: Desk, author: Author) -> None:
        """Judge what the author does."""
        self._desk = desk
        self._author = author

    def may_read(self, document: DocumentId, /) -> bool:
        """Tell whether a document that is here may be read."""
        return may(self._author.role, "document.read")

    def check(
        self,
        document: DocumentId,
        registers: Registers,
        kind: str,
        effect: Effect,
        writer: Writer,
        /,
    ) -> None:
        """Refuse what the person may not do.

        Raises:
            RequestError, GuardError: why.
        """
        if kind not in _KINDS:
            raise RequestError(
                "not_by_device",
                f"Documents of the kind {kind!r:.40} are not changed by devices.",
                "Use the page of this node.",
            )
        is_new = not registers.kind
        if is_new or effect.fields or effect.texts:
            self._require("visit.register" if is_new else "document.edit")
        if not is_new:
            self._check_values(document, DocumentKind(kind), effect)
        events = [(EventId(key), decode_event(body)) for key, body in sorted(effect.events.items())]
        if kind == DocumentKind.CASE:
            self._check_case(document, registers, events, effect, writer)
        elif not is_new and any(event.type != _NOTED for _, event in events):
            raise RequestError("not_by_device", "Only notes are added to this document by devices.")
        elif events:
            self._require("case.act")

    def _require(self, operation: str) -> None:
        if not may(self._author.role, operation):
            raise RequestError("not_permitted", "Your role may not do this.")

    def _check_values(self, document: DocumentId, kind: DocumentKind, effect: Effect) -> None:
        sealed = [name for name in effect.fields if _is_sealed_field(kind, name)]
        if sealed:
            raise RequestError("field_unknown", f"{sealed[0]} cannot be set here.", field=sealed[0])
        if self._desk.is_sealed(document):
            check_values({**effect.fields, **dict.fromkeys(effect.texts, "…")})

    def _check_case(
        self,
        document: DocumentId,
        registers: Registers,
        events: Sequence[tuple[EventId, KnownEvent | UnknownEvent]],
        effect: Effect,
        writer: Writer,
    ) -> None:
        """Let each event pass the guards of the case as the ones before it left it."""
        if events:
            self._require("case.act")
        facts = self._desk.facts(document) if registers.kind else []
        fields = {**registers.values(), **effect.fields}
        for key, event in events:
            if isinstance(event, UnknownEvent | Attached | Split):
                raise RequestError(
                    "not_by_device",
                    f"An event of the type {event.type!r:.40} is not written by devices.",
                    "Use the API of this node.",
                )
            before = seen(facts, event.follows) if isinstance(event, StateEvent) else facts
            self._desk.check(self._author, fields, fold(before), event)
            facts.append(Fact(id=key, event=event, writer=writer))


def _is_sealed_field(kind: DocumentKind, name: str) -> bool:
    spec = FIELDS[kind].get(name)
    return spec is not None and spec.shape == "sealed"
