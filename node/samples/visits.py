"""Composes visits: a person, a matter, and the words for it."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import accumulate
from typing import Any, Final, Literal

from node.requests import PersonEntry, PetitionEntry, RegisterVisit
from node.samples.people import SamplePerson, invent_name, invent_person
from node.samples.texts import How, Place, Stage, Story, communes, stories
from schemas.codes import Channel, IdentityMode, IdentityType, PartyRole, ReceptionKind

_STREAM_DAYS: Final = 3 * 365
_REPRESENTATIVES: Final = 2
_OTHERS: Final = 3


class Gaps(dict[str, str]):
    """What stands in the braces of a story, chosen when it is first asked for, then kept."""

    def __init__(self, rng: random.Random, place: Place, held_on: date) -> None:
        """Fill gaps for a place and a day."""
        super().__init__()
        self._rng = rng
        self._place = place
        self._held_on = held_on

    def __missing__(self, name: str) -> str:
        """Choose what a gap holds."""
        value = self[name] = _FILLINGS[name](self._rng, self._place, self._held_on)
        return value

    def renew(self, name: str) -> None:
        """Let a gap be chosen again at its next use."""
        self.pop(name, None)

    def fill(self, text: str) -> str:
        """Return a text with its gaps filled; a gap at its start gets a capital letter."""
        filled = text.format_map(self)
        return filled[:1].upper() + filled[1:] if text.startswith("{") else filled

    def fill_event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event with the gaps in its texts filled, each number a new one."""
        filled = {}
        for key, value in event.items():
            self.renew("number")
            filled[key] = self.fill(value) if isinstance(value, str) else value
        return filled


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleVisit:
    """Content of one visit with one petition.

    Attributes:
        home: place of the citizens.
        people: those who came; of a group, its representatives; nobody in a denunciation.
        people_count: everybody who stands behind it, None if nobody else does.
        gaps: what the words were filled with, for what happens later.
    """

    number: int
    home: Place
    story: Story
    held_on: date
    people: tuple[SamplePerson, ...]
    people_count: int | None
    title: str
    content: str
    request: str
    respondent_name: str
    decision_number: str
    decision_date: date | None
    location: str
    gaps: Gaps

    @property
    def statement(self) -> str:
        """What the officer wrote down while the citizen spoke."""
        if not self.people:
            return ""
        first = self.people[0]
        title = "Bà" if first.is_woman else "Ông"
        return f"{title} {first.full_name} trình bày: {self.content} {self.request}"

    @property
    def register_number(self) -> str:
        """Number in the paper register."""
        return f"{self.number}/{self.held_on.year}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a visit reached the desk, and the ids its records get; ids that are None are minted."""

    how: How = "visit"
    kind: ReceptionKind = ReceptionKind.REGULAR
    stage: Stage = "read_back"
    place: str = ""
    visit_id: str | None = None
    petition_id: str | None = None
    case_id: str | None = None
    person_ids: Sequence[str | None] = (None,) * _REPRESENTATIVES


def compose_visit(
    rng: random.Random, home: Place, story: Story, *, number: int, held_on: date
) -> SampleVisit:
    """Return the content of a visit.

    Args:
        rng: source of every choice.
        home: commune of the citizens.
        story: what it is about.
        number: different for every visit, below 30 million; makes the visit one of a kind.
        held_on: the day.
    """
    gaps = Gaps(rng, home, held_on)
    group = rng.choice(story.group) if story.group else None
    if group is not None:
        gaps["group"] = str(group)
    content = " ".join(gaps.fill(rng.choice(ways)) for ways in story.content)
    decision_date = held_on - timedelta(rng.randint(12, 60)) if story.has_decision else None
    return SampleVisit(
        number=number,
        home=home,
        story=story,
        held_on=held_on,
        people=_people(rng, home, story, number, gaps, held_on.year),
        people_count=group,
        title=gaps.fill(story.title),
        content=content,
        request=gaps.fill(story.request),
        respondent_name=gaps.fill(story.respondent),
        decision_number=f"{rng.randint(200, 4_900)}/QĐ-UBND" if decision_date else "",
        decision_date=decision_date,
        location="" if story.is_sealed else f"{gaps['village']}, xã {home.name}",
        gaps=gaps,
    )


def case_stream(
    rng: random.Random, count: int, *, today: date, homes: Sequence[Place] = ()
) -> Iterator[SampleVisit]:
    """Yield so many different visits of the last three years, oldest first.

    Args:
        rng: source of every choice; the same seed gives the same stream.
        count: up to 30 million.
        today: day of the newest visits.
        homes: communes to take people from; the demo's, if none are given.
    """
    homes = homes or communes()
    first = today - timedelta(_STREAM_DAYS)
    for number in range(1, count + 1):
        home = rng.choice(homes)
        choices, weights = _stories_at(home.is_highland)
        story = rng.choices(choices, cum_weights=weights)[0]
        held_on = first + timedelta(_STREAM_DAYS * number // count)
        yield compose_visit(rng, home, story, number=number, held_on=held_on)


def visit_form(visit: SampleVisit, arrival: Arrival) -> RegisterVisit:
    """Return what an officer would enter for a visit."""
    story, stage = visit.story, arrival.stage
    has_spoken = arrival.how == "visit"
    readback: Literal["fingerprint", "signature"] | None = None
    if has_spoken and stage == "read_back":
        readback = "fingerprint" if visit.number % 4 == 0 else "signature"
    is_group = visit.people_count is not None
    return RegisterVisit(
        visit_id=arrival.visit_id,
        held_on=visit.held_on,
        kind=arrival.kind,
        place="" if story.is_sealed else arrival.place,
        register_number=visit.register_number,
        statement=visit.statement if has_spoken else "",
        people=tuple(_people_entries(visit, arrival, is_identified=stage != "registered")),
        people_count=visit.people_count,
        group_name=f"Đại diện {visit.people_count} hộ, {visit.location}" if is_group else "",
        petitions=(_sealed_entry(visit, arrival) if story.is_sealed else _entry(visit, arrival),),
        statement_recorded=has_spoken and stage in ("recorded", "read_back"),
        readback=readback,
    )


def _people_entries(
    visit: SampleVisit, arrival: Arrival, *, is_identified: bool
) -> Iterator[PersonEntry]:
    role = PartyRole.PETITIONER if visit.people_count is None else PartyRole.GROUP_REPRESENTATIVE
    for person, person_id in zip(visit.people, arrival.person_ids, strict=False):
        yield PersonEntry(
            id=person_id,
            full_name=person.full_name,
            birth_year=person.birth_year,
            address=person.address,
            phone=person.phone,
            role=role,
            identity_type=IdentityType.CITIZEN_CARD,
            identity_number=person.identity_number,
            identity_checked=is_identified,
        )


def _entry(visit: SampleVisit, arrival: Arrival) -> PetitionEntry:
    return PetitionEntry(
        id=arrival.petition_id,
        case_id=arrival.case_id,
        case_type=visit.story.case_type,
        channel=_channel(arrival.how),
        written=arrival.how == "paper",
        title=visit.title,
        content=visit.content,
        request=visit.request,
        respondent_name=visit.respondent_name,
        petition_date=visit.held_on,
        decision_number=visit.decision_number,
        decision_date=visit.decision_date,
        topic=visit.story.topic,
        location=visit.location,
        register_number=visit.register_number,
    )


def _sealed_entry(visit: SampleVisit, arrival: Arrival) -> PetitionEntry:
    return PetitionEntry(
        id=arrival.petition_id,
        case_id=arrival.case_id,
        case_type=visit.story.case_type,
        channel=_channel(arrival.how),
        register_number=visit.register_number,
        identity_mode=IdentityMode.NAMED,
        sealed_ref=f"TC-{visit.held_on.year}-{visit.number:04d}",
        envelope_number=f"PB-{visit.number:04d}",
    )


def _channel(how: How) -> Channel:
    return Channel.VISIT if how in ("visit", "paper") else Channel(how)


def _people(
    rng: random.Random, home: Place, story: Story, number: int, gaps: Gaps, year: int
) -> tuple[SamplePerson, ...]:
    if story.is_sealed:
        return ()
    count = _REPRESENTATIVES if story.group else 1
    return tuple(
        invent_person(
            rng, home, number=number * _OTHERS + index, village=gaps["village"], year=year
        )
        for index in range(count)
    )


@cache
def _stories_at(is_highland: bool) -> tuple[list[Story], list[int]]:
    ground = "highland" if is_highland else "lowland"
    fitting = [story for story in stories().values() if story.ground in ("", ground)]
    return fitting, list(accumulate(story.weight for story in fitting))


def _flood(held_on: date) -> str:
    """Name the last flood of a July before a day."""
    year = held_on.year if held_on.month > 7 else held_on.year - 1
    return f"trận lũ tháng 7/{year}"


def _thousands(value: int) -> str:
    return f"{value:,}".replace(",", ".")


_Filling = Callable[[random.Random, Place, date], str]
_FILLINGS: Final[Mapping[str, _Filling]] = {
    "village": lambda rng, place, _: rng.choice(place.villages),
    "road": lambda rng, place, _: rng.choice(place.roads),
    "stream": lambda rng, place, _: rng.choice(place.streams),
    "bridge": lambda rng, place, _: rng.choice(place.bridges),
    "school": lambda rng, place, _: rng.choice(place.schools),
    "home": lambda _, place, __: place.name,
    "home_code": lambda _, place, __: place.code,
    "neighbour": lambda rng, place, _: (
        f"ông {invent_name(rng, place, is_woman=False)}"
        if rng.random() < 0.6
        else f"bà {invent_name(rng, place, is_woman=True)}"
    ),
    "flood": lambda _, __, held_on: _flood(held_on),
    "year": lambda _, __, held_on: str(held_on.year),
    "since": lambda rng, _, held_on: str(held_on.year - rng.randint(6, 38)),
    "parcel": lambda rng, _, __: str(rng.randint(3, 980)),
    "sheet": lambda rng, _, __: str(rng.randint(1, 64)),
    "area": lambda rng, _, __: f"{_thousands(rng.randint(80, 4_200))},{rng.randint(1, 9)}",
    "hectares": lambda rng, _, __: str(rng.randint(2, 45)),
    "money": lambda rng, _, __: _thousands(rng.randint(15, 980) * 250_000),
    "households": lambda rng, _, __: str(rng.randint(9, 86)),
    "members": lambda rng, _, __: str(rng.randint(3, 9)),
    "trees": lambda rng, _, __: str(rng.randint(6, 140)),
    "distance": lambda rng, _, __: str(rng.randint(6, 34)),
    "length": lambda rng, _, __: str(rng.randint(3, 40) * 10),
    "width": lambda rng, _, __: f"{rng.randint(1, 3)},{rng.randint(1, 9)}",
    "points": lambda rng, _, __: str(rng.randint(2, 12)),
    "days": lambda rng, _, __: str(rng.randint(3, 19)),
    "count": lambda rng, _, __: str(rng.randint(2, 9)),
    "number": lambda rng, _, __: str(rng.randint(12, 980)),
}
