"""Invents people: names as they are common at a place, numbers that nobody can have."""

import random
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from node.samples.texts import Place, names, places

# The digit after the province in a citizen's number stands for sex and century of birth; 9 is for
# women born after 2300, so that no number made here is anybody's.
_NOBODY = "0409"
# No telephone number in the country starts like this.
_UNASSIGNED = "0100"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePerson:
    """Somebody who does not exist."""

    full_name: str
    is_woman: bool
    birth_year: int
    address: str
    phone: str
    identity_number: str


def invent_name(rng: random.Random, place: Place, *, is_woman: bool) -> str:
    """Return a name that sounds right at a place."""
    keys, weights = _peoples(place.code)
    people = names()[rng.choices(keys, cum_weights=weights)[0]]
    middle, given = people.women if is_woman else people.men
    return f"{rng.choice(people.families)} {rng.choice(middle)} {rng.choice(given)}"


def invent_person(
    rng: random.Random, place: Place, *, number: int, village: str, year: int
) -> SamplePerson:
    """Return a new person.

    Args:
        rng: source of every choice.
        place: the commune they live in.
        number: different for everybody, below 100 million.
        village: where they live.
        year: of the visit, to which the age is counted.
    """
    is_woman = rng.random() < 0.45
    return SamplePerson(
        full_name=invent_name(rng, place, is_woman=is_woman),
        is_woman=is_woman,
        birth_year=year - rng.randint(24, 82),
        address=f"{village}, xã {place.name}, tỉnh Nghệ An",
        phone=f"{_UNASSIGNED} {number // 1000 % 1000:03d} {number % 1000:03d}",
        identity_number=f"{_NOBODY}{number:08d}",
    )


@cache
def _peoples(code: str) -> tuple[list[str], list[int]]:
    peoples = next(place.peoples for place in places() if place.code == code)
    return list(peoples), list(accumulate(peoples.values()))
