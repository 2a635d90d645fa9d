"""Where a case stands, from its events alone: the same answer for the same set, in any order.

State events form a graph by `follows`. Each is applied to what it follows, causes before effects.
An event that is out of place there keeps its place in the history without effect. What nothing
follows yet is merged; where it cannot be, the case is in conflict until a Settled event chooses.
"""

import heapq
from collections.abc import Iterable, Sequence

from node.cases.denunciation import IDENTITY_EVENTS
from node.cases.errors import GuardError
from node.cases.guards import check_role
from node.cases.history import Fact, in_order, writer_role, writer_tier
from node.cases.merge import EMPTY, Line, advance, is_crowded, join, tips
from node.cases.standing import Branch, CaseStanding, Position, Refusal
from schemas import events as ev
from schemas.codes import CaseType
from schemas.events import Settled, StateEvent, UnknownEvent
from schemas.ids import EventId


def fold(facts: Iterable[Fact]) -> CaseStanding:
    """Return where the case stands.

    Args:
        facts: all events of one case document, in any order; a fact twice counts once.
    """
    ordered = in_order(facts)
    graph = _Graph([fact for fact in ordered if isinstance(fact.event, StateEvent)])
    lines = graph.tip_lines()
    position = lines[0].position if len(lines) == 1 else graph.agreed(lines)
    # While it is not settled what the case is, it is treated as the stricter of the two.
    is_sealed = any(
        line.position.effective_type is CaseType.DENUNCIATION for line in graph.candidates(lines)
    )
    aside = _FactsAside(is_sealed)
    for fact in ordered:
        aside.take(fact)
    return CaseStanding(
        **vars(position),
        people=tuple(aside.people),
        groups=tuple(dict.fromkeys(aside.groups)),
        directives=tuple(dict.fromkeys(aside.directives)),
        petitions=tuple(
            dict.fromkeys([*([position.petition] if position.petition else []), *aside.petitions])
        ),
        attachments=tuple(aside.attachments),
        notes=tuple(aside.notes),
        tips=graph.tips,
        is_denunciation_disputed=is_sealed and len(lines) > 1,
        in_conflict=graph.branches(lines) if len(lines) > 1 else (),
        refused=tuple(sorted([*graph.refused, *aside.refused], key=lambda item: item.fact.id)),
        unknown=tuple(aside.unknown),
        last_event_id=ordered[-1].id if ordered else "",
    )


class _Graph:
    """The state events of a case and the line that each of them ends."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        """Apply every event to what it follows."""
        self.refused: list[Refusal] = []
        self._order: list[Fact] = _causes_first(facts)
        self._index = {fact.id: index for index, fact in enumerate(self._order)}
        # One line for each event; several after one that saw a conflict and did not settle it.
        self._lines: dict[EventId, list[Line]] = {}
        for index, fact in enumerate(self._order):
            self._lines[fact.id] = self._after(index, fact)
        followed = {parent for fact in self._order for parent in _follows(fact)}
        # What no other event follows, oldest first.
        self.tips = tuple(sorted(key for key in self._lines if key not in followed))
        for fact in facts:
            if fact.id not in self._index:
                self._refuse(fact, "history_cycle", "the event follows itself")

    def tip_lines(self) -> list[Line]:
        """Return what stands at the tips, merged as far as it fits together; never empty."""
        return self._joined(self.tips)

    def candidates(self, lines: Sequence[Line]) -> Sequence[Line]:
        """Return the tip lines, with those that a crowd kept from being compared."""
        found = [line for name in self.tips for line in self._lines[name]]
        return found if is_crowded(found) else lines

    def agreed(self, lines: Sequence[Line]) -> Position:
        """Return the position that all lines contain."""
        common = lines[0].past
        for line in lines:
            common &= line.past
        inside = [fact.id for index, fact in enumerate(self._order) if common >> index & 1]
        return self._joined(inside)[0].position

    def branches(self, lines: Sequence[Line]) -> tuple[Branch, ...]:
        """Return the lines in conflict as people choose between them, oldest tip first."""
        found = []
        for line, tip in zip(lines, tips(lines), strict=True):
            fact = self._order[tip]
            found.append(Branch(tip=fact.id, state=line.position.state, fact=fact))
        return tuple(sorted(found, key=lambda branch: branch.tip))

    def _joined(self, names: Iterable[EventId]) -> list[Line]:
        """Return the lines after several events, merged as far as they fit; never empty."""
        return join([line for name in names for line in self._lines[name]], self._order) or [EMPTY]

    def _after(self, index: int, fact: Fact) -> list[Line]:
        """Return the lines after an event."""
        named = _follows(fact)
        parents = sorted(EventId(name) for name in set(named) if name in self._lines)
        lines = self._joined(parents)
        try:
            if named and not parents:
                raise GuardError("follows_missing", "what the event follows is not here")
            if isinstance(fact.event, Settled):
                return [self._settled(index, fact, lines)]
            if len(lines) > 1:
                raise GuardError("case_in_conflict", "the case was in conflict")
            position = advance(lines[0].position, fact)
        except GuardError as error:
            self._refuse(fact, error.code, error.message)
            return lines
        return [Line(position=position, past=lines[0].past | 1 << index)]

    def _settled(self, index: int, fact: Fact, lines: Sequence[Line]) -> Line:
        """Return the chosen line, with the others in its past so that they do not come back."""
        event = fact.event
        assert isinstance(event, Settled)
        check_role(event.type, writer_role(fact.writer), writer_tier(fact.writer))
        if len(lines) == 1:
            raise GuardError("nothing_to_settle", "the case held no conflict")
        chosen = self._index.get(EventId(event.chosen), -1)
        if chosen not in tips(lines):
            raise GuardError("settled_unknown", "the chosen event was not in conflict")
        past = 1 << index
        for line in lines:
            past |= line.past
        return Line(position=lines[tips(lines).index(chosen)].position, past=past)

    def _refuse(self, fact: Fact, code: str, message: str) -> None:
        self.refused.append(Refusal(fact=fact, code=code, message=message))


class _FactsAside:
    """Collects the facts beside the state, in the order of their ids."""

    def __init__(self, is_sealed: bool) -> None:
        """Refuse what a denunciation may not hold, if the case is one."""
        self._is_sealed = is_sealed
        self.people: list[ev.PersonJoined] = []
        self.groups: list[str] = []
        self.directives: list[str] = []
        self.petitions: list[str] = []
        self.attachments: list[ev.Attached] = []
        self.notes: list[Fact] = []
        self.unknown: list[Fact] = []
        self.refused: list[Refusal] = []

    def take(self, fact: Fact) -> None:
        """Sort one fact into its list."""
        event = fact.event
        if self._is_sealed and event.type in IDENTITY_EVENTS:
            message = "a denunciation holds nothing that could tell who wrote it"
            self.refused.append(Refusal(fact=fact, code="denunciation_identity", message=message))
            return
        match event:
            case ev.PersonJoined():
                self.people.append(event)
            case ev.GroupLinked():
                self.groups.append(event.group)
            case ev.DirectiveLinked():
                self.directives.append(event.directive)
            case ev.PetitionLinked():
                self.petitions.append(event.petition)
            case ev.Attached():
                self.attachments.append(event)
            case ev.Noted():
                self.notes.append(fact)
            case UnknownEvent():
                self.unknown.append(fact)


def _follows(fact: Fact) -> tuple[str, ...]:
    event = fact.event
    return event.follows if isinstance(event, StateEvent) else ()


def _causes_first(facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts so that each stands after what it follows; ties go by id.

    Facts that follow themselves in a circle are left out.
    """
    by_id = {fact.id: fact for fact in facts}
    waiting: dict[str, int] = {}
    followers: dict[str, list[str]] = {}
    for fact in facts:
        parents = {parent for parent in _follows(fact) if parent in by_id}
        waiting[fact.id] = len(parents)
        for parent in parents:
            followers.setdefault(parent, []).append(fact.id)
    ready = [key for key, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    ordered: list[Fact] = []
    while ready:
        key = heapq.heappop(ready)
        ordered.append(by_id[EventId(key)])
        for follower in followers.get(key, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    return ordered
