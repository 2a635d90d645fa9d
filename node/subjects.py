"""Documents as the view tables see them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from node.cases.history import Fact
from schemas.codes import DirectiveState, DocumentKind
from schemas.events import (
    DirectiveAcknowledged,
    DirectiveDone,
    DirectiveReported,
    DirectiveWithdrawn,
    Event,
)
from schemas.ids import DocumentId
from sync.change import Scalar
from sync.registers import Registers

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One document.

    Attributes:
        values: of its fields, as Automerge shows them.
        texts: long texts that somebody wrote in.
        facts: its events with their writers, in the order of their ids.
        bodies: JSON texts of the events by id.
    """

    kind: DocumentKind
    id: str
    document: DocumentId
    origin: str
    changed_ms: int
    registers: Registers
    values: Mapping[str, Scalar]
    texts: Mapping[str, str]
    facts: Sequence[Fact]
    bodies: Mapping[str, str]

    def value(self, name: str) -> str:
        """Return a field as text, empty when it has no value."""
        value = self.values.get(name, "")
        return "" if value is None else str(value)

    def events(self) -> list[Event]:
        """Return the events, in the order of their ids."""
        return [fact.event for fact in self.facts]

    def first(self, kind: type[E]) -> E | None:
        """Return the first event of a kind."""
        return next((event for event in self.events() if isinstance(event, kind)), None)


def directive_state(events: Iterable[Event]) -> DirectiveState:
    """Return where a directive stands: the furthest of its events, whatever their order."""
    reached = [_DIRECTIVE_STEPS[type(event)] for event in events if type(event) in _DIRECTIVE_STEPS]
    return max(reached, default=(0, DirectiveState.ISSUED), key=lambda step: step[0])[1]


_DIRECTIVE_STEPS: Final[dict[type[Event], tuple[int, DirectiveState]]] = {
    DirectiveAcknowledged: (1, DirectiveState.ACKNOWLEDGED),
    DirectiveReported: (2, DirectiveState.REPORTED),
    DirectiveDone: (3, DirectiveState.DONE),
    DirectiveWithdrawn: (4, DirectiveState.WITHDRAWN),
}
