"""The facts of one document, in the one order that every node agrees on."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from schemas.codes import Role, Tier
from schemas.event_text import KnownEvent
from schemas.events import UnknownEvent
from schemas.hlc import reading_ms
from schemas.ids import EventId, event_hlc
from schemas.record import Writer

# Dates in law are dates in Viet Nam, which has kept UTC+7 without summer time since 1975.
_VIETNAM_AHEAD_MS = 7 * 60 * 60 * 1000
_DAY_MS = 24 * 60 * 60 * 1000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event of a document, with its id and the writer whom its leaf names."""

    id: EventId
    event: KnownEvent | UnknownEvent
    writer: Writer


def in_order(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return the facts sorted by id, each id once."""
    by_id: dict[str, Fact] = {}
    for fact in facts:
        by_id[fact.id] = fact
    return tuple(by_id[key] for key in sorted(by_id))


def event_date(event_id: str) -> date:
    """Return the day, in Viet Nam, of the clock reading inside an event id."""
    days = (reading_ms(event_hlc(event_id)) + _VIETNAM_AHEAD_MS) // _DAY_MS
    # A clock beyond the year 9999 is broken, but its event is kept like any other.
    return date.fromordinal(min(_EPOCH_ORDINAL + days, date.max.toordinal()))


def writer_role(writer: Writer) -> Role | None:
    """Return the role of a writer; None for one that a newer program defined."""
    return _ROLES.get(writer.role)


def writer_tier(writer: Writer) -> Tier | None:
    """Return the tier of a writer's node; None for one that a newer program defined."""
    return _TIERS.get(writer.tier)


_ROLES = {role.value: role for role in Role}
_TIERS = {tier.value: tier for tier in Tier}
