"""The sample data as it stands in the TOML files beside this module, parsed once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from schemas.codes import CaseType, ReceptionKind, Role, Tier

Paper = Literal["scan", "photo"]
# How a petition comes: spoken at the desk, on paper at the desk, or without its author.
How = Literal["visit", "paper", "post", "box", "forwarded"]
Stage = Literal["registered", "identified", "recorded", "read_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Somebody who works at an office."""

    user: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An office of the demo and what is around it.

    Attributes:
        folder: name of its data folder.
        peoples: keys of names(), with how common each is.
    """

    folder: str
    tier: Tier
    code: str
    name: str
    staff: tuple[Staff, ...]
    is_remote: bool = False
    is_highland: bool = False
    seat: str = ""
    peoples: Mapping[str, int] = field(default_factory=dict)
    villages: tuple[str, ...] = ()
    roads: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    schools: tuple[str, ...] = ()

    def holder(self, role: Role) -> Staff:
        """Return who has a role here."""
        return next(person for person in self.staff if person.role is role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Parts of the names of one people: (middle, given) for men and for women."""

    families: tuple[str, ...]
    men: tuple[tuple[str, ...], tuple[str, ...]]
    women: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One content of a mixed petition."""

    case_type: CaseType
    title: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A kind of matter, with gaps in braces; see stories.toml."""

    id: str
    case_type: CaseType
    weight: int
    topic: str
    title: str
    content: tuple[tuple[str, ...], ...]
    request: str
    respondent: str = ""
    ground: str = ""
    has_decision: bool = False
    is_sealed: bool = False
    group: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseStep:
    """Something that happens to a case some days after its reception.

    Attributes:
        event: as in schemas/events.py, with gaps in braces; what the story knows is left out.
    """

    after_days: int
    role: Role
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitRow:
    """One visit of the demo's past; see agenda.toml."""

    age: int
    story: str
    course: str
    how: How = "visit"
    kind: ReceptionKind = ReceptionKind.REGULAR
    stage: Stage = "read_back"
    papers: tuple[Paper, ...] = ()
    home: str = ""
    again: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an office did about a directive, some days after it."""

    after_days: int
    folder: str
    role: Role
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectiveRow:
    """One directive of the demo's past; see directives.toml."""

    age: int
    due_in: int
    role: Role
    to: tuple[str, ...]
    title: str
    body: str
    case: str = ""
    answers: tuple[Answer, ...] = ()


@cache
def places() -> tuple[Place, ...]:
    """Return the offices of the demo, those above first."""
    return tuple(_place(row) for row in _read("places")["places"])


def communes() -> tuple[Place, ...]:
    """Return the communes among the places."""
    return tuple(place for place in places() if place.tier is Tier.COMMUNE)


def find_place(folder: str) -> Place:
    """Return the office with this folder."""
    return next(place for place in places() if place.folder == folder)


@cache
def names() -> Mapping[str, Names]:
    """Return parts of names by people."""
    return {key: _names(row) for key, row in _read("names").items()}


@cache
def stories() -> Mapping[str, Story]:
    """Return all stories by id."""
    return {row["id"]: _story(row) for row in _read("stories")["stories"]}


@cache
def courses() -> Mapping[str, tuple[CourseStep, ...]]:
    """Return what happens to a case, step by step, by the course's name."""
    return {key: tuple(map(_course_step, row["steps"])) for key, row in _read("courses").items()}


@cache
def agenda_rows() -> Mapping[str, tuple[VisitRow, ...]]:
    """Return the visits of the demo's past by the folder of the place."""
    return {key: tuple(map(_visit_row, row["visits"])) for key, row in _read("agenda").items()}


@cache
def directive_rows() -> tuple[DirectiveRow, ...]:
    """Return the directives of the demo's past."""
    return tuple(map(_directive_row, _read("directives")["directives"]))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files("node.samples") / f"{name}.toml").read_text(encoding="utf-8"))


def _place(row: Mapping[str, Any]) -> Place:
    staff = (Staff(**person | {"role": Role(person["role"])}) for person in row["staff"])
    return Place(**_frozen(row) | {"tier": Tier(row["tier"]), "staff": tuple(staff)})


def _names(row: Mapping[str, Any]) -> Names:
    parts = {sex: (tuple(row[sex]["middle"]), tuple(row[sex]["given"])) for sex in ("men", "women")}
    return Names(families=tuple(row["families"]), men=parts["men"], women=parts["women"])


def _story(row: Mapping[str, Any]) -> Story:
    known = _frozen(row)
    known["case_type"] = CaseType(known.pop("type"))
    known["has_decision"] = known.pop("decision", False)
    known["is_sealed"] = known.pop("sealed", False)
    known["content"] = tuple(map(tuple, row["content"]))
    known["parts"] = tuple(
        Part(case_type=CaseType(part["type"]), title=part["title"], summary=part["summary"])
        for part in row.get("parts", ())
    )
    return Story(**known)


def _course_step(row: Mapping[str, Any]) -> CourseStep:
    event = {key: value for key, value in row.items() if key not in ("after", "by")}
    return CourseStep(after_days=row["after"], role=Role(row["by"]), event=event)


def _visit_row(row: Mapping[str, Any]) -> VisitRow:
    return VisitRow(**_frozen(row) | {"kind": ReceptionKind(row.get("kind", "regular"))})


def _directive_row(row: Mapping[str, Any]) -> DirectiveRow:
    known = _frozen(row)
    known["role"] = Role(known.pop("by"))
    known["answers"] = tuple(map(_answer, row["answers"]))
    return DirectiveRow(**known)


def _answer(row: Mapping[str, Any]) -> Answer:
    event = {key: value for key, value in row.items() if key not in ("after", "at", "by")}
    return Answer(after_days=row["after"], folder=row["at"], role=Role(row["by"]), event=event)


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
