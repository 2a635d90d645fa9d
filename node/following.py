"""What somebody had seen of a case who acts on it."""

from collections.abc import Mapping, Sequence

from node.cases.history import Fact
from node.errors import RequestError
from schemas.events import StateEvent


def seen(facts: Sequence[Fact], follows: Sequence[str]) -> list[Fact]:
    """Return the state events up to and including those followed, and all other facts.

    Raises:
        RequestError: one that is followed is not among the facts.
    """
    by_id: Mapping[str, Fact] = {fact.id: fact for fact in facts}
    unknown = [key for key in follows if key not in by_id]
    if unknown:
        raise RequestError("event_unknown", "The page names an event that is not in this case.")
    seen: set[str] = set()
    pending = list(follows)
    while pending:
        key = pending.pop()
        if key not in seen and key in by_id:
            seen.add(key)
            pending += getattr(by_id[key].event, "follows", ())
    return [f for f in facts if f.id in seen or not isinstance(f.event, StateEvent)]
