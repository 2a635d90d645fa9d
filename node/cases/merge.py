"""Brings branches of a case's history together, or finds that they cannot both stand.

Two officers who worked apart often did things that fit: the same step twice, or a step that is a
legal continuation of the other's. Such branches are merged. Branches that differ in what they found
(accepted here, refused there; two classes; two decisions) are in conflict.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from node.cases.effects import changes
from node.cases.errors import GuardError
from node.cases.guards import judge
from node.cases.history import Fact, event_date, writer_role, writer_tier
from node.cases.standing import Position
from schemas.events import Settled, StateEvent

# What makes two events of one type the same fact; a type that is not listed needs nothing more.
_SAME: Mapping[str, tuple[str, ...]] = {
    "refused_reception": ("ground",),
    "classified": (
        "case_type",
        "instance",
        "within_authority",
        "complex",
        "especially_complex",
        "remote",
        "multi_place",
    ),
    "split": ("children",),
    "guided": ("to_office",),
    "transferred": ("to_office", "to_code"),
    "dialogue_held": ("on",),
    "extended": ("decision_number",),
    "decided": ("outcome", "decision_number"),
    "withdrawn": ("scope", "content"),
    "second_complaint_raised": ("case",),
    "assigned": ("to_office", "to_code"),
    "closed": ("reason",),
    "archived": ("to",),
    "settled": ("chosen",),
}
# Two different facts of one of these types never fit together, whatever the tables say.
_RIVALS = frozenset(
    {"classified", "closed", "decided", "guided", "refused_reception", "split", "transferred"}
)


_JOINED_MAX = 32
_RIVALS_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of events that stands by itself.

    Attributes:
        position: what it amounts to.
        past: indices, as bits, of the effective events it contains.
    """

    position: Position
    past: int


EMPTY = Line(position=Position(), past=0)


def advance(position: Position, fact: Fact) -> Position:
    """Return the position after a state event.

    Raises:
        GuardError: the event is out of place there.
    """
    event = fact.event
    assert isinstance(event, StateEvent)
    writer = fact.writer
    state = judge(position, event, role=writer_role(writer), tier=writer_tier(writer))
    found = changes(position, event, event_date(fact.id))
    found["state"] = state
    return position.moved(found)


def join(lines: Sequence[Line], order: Sequence[Fact]) -> list[Line]:
    """Return the lines that remain once all that fit together are merged; one if no conflict.

    Of a crowd the first are compared, in the order given; the others wait until those are settled.
    No office makes such a crowd, but a hostile one must not keep the others busy with it.

    Args:
        lines: in a fixed order; the result depends on nothing else.
        order: the events that the bits of `past` count, causes before effects.
    """
    remaining: list[Line] = []
    for line in distinct(lines)[:_JOINED_MAX]:
        for index, other in enumerate(remaining):
            merged = _merge(other, line, order)
            if merged is not None:
                remaining[index] = merged
                break
        else:
            if len(remaining) < _RIVALS_MAX:
                remaining.append(line)
    return remaining


def is_crowded(lines: Sequence[Line]) -> bool:
    """Tell whether join may leave some of the lines out."""
    return len(distinct(lines)) > _RIVALS_MAX


def distinct(lines: Sequence[Line]) -> list[Line]:
    """Return the first line of each past."""
    found: dict[int, Line] = {}
    for line in lines:
        found.setdefault(line.past, line)
    return list(found.values())


def tips(lines: Sequence[Line]) -> list[int]:
    """Return for each line the index of its newest event; if it can, one that no other has."""
    found = []
    for line in lines:
        others = 0
        for other in lines:
            others |= 0 if other is line else other.past
        own = line.past & ~others
        found.append((own or line.past).bit_length() - 1)
    return found


def _merge(left: Line, right: Line, order: Sequence[Fact]) -> Line | None:
    """Return both lines as one; None when they cannot both stand."""
    if left.past | right.past == left.past:
        return left
    if left.past | right.past == right.past:
        return right
    only_left = list(_bits(left.past & ~right.past))
    only_right = list(_bits(right.past & ~left.past))
    if _are_rivals([order[i] for i in only_left], [order[i] for i in only_right]):
        return None
    one = _continued(left, only_right, only_left, order)
    other = _continued(right, only_left, only_right, order)
    if one is None or other is None:
        return one or other
    if _verdict(one.position) != _verdict(other.position):
        return None
    # The same facts, told with different dates: the citizen's earlier date counts.
    return min(one, other, key=lambda line: _dates(line.position))


def _continued(
    base: Line, added: Sequence[int], known: Sequence[int], order: Sequence[Fact]
) -> Line | None:
    """Return base with the added events after it; None when one of them is out of place there."""
    said = {_sameness(order[index]) for index in known}
    position, past = base.position, base.past
    for index in added:
        past |= 1 << index
        if _sameness(order[index]) in said:
            continue
        if isinstance(order[index].event, Settled):
            # What a supervisor settled is a base to go on from, never a continuation.
            return None
        try:
            position = advance(position, order[index])
        except GuardError:
            return None
    return Line(position=position, past=past)


def _are_rivals(left: Sequence[Fact], right: Sequence[Fact]) -> bool:
    for event_type in _RIVALS:
        ours = {_sameness(fact) for fact in left if fact.event.type == event_type}
        theirs = {_sameness(fact) for fact in right if fact.event.type == event_type}
        if ours - theirs and theirs - ours:
            return True
    return False


def _sameness(fact: Fact) -> tuple[object, ...]:
    event = fact.event
    return (event.type, *(getattr(event, name) for name in _SAME.get(event.type, ())))


def _verdict(position: Position) -> tuple[object, ...]:
    return (
        position.state,
        position.case_type,
        position.instance,
        position.within_authority,
        position.complex,
        position.especially_complex,
        position.remote,
        position.multi_place,
        position.assigned_to,
        position.assigned_code,
    )


def _dates(position: Position) -> tuple[date, ...]:
    return tuple(
        day or date.max
        for day in (
            position.received_on,
            position.accepted_on,
            position.decided_on,
            position.published_on,
            position.answered_on,
        )
    )


def _bits(bits: int) -> Iterator[int]:
    """Yield the indices of the set bits, lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
