"""Loads the law and the days off that ship with the program, and the days off of this node."""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from node.cases.workdays import Calendar
from schemas.errors import LawError
from schemas.law.holidays import YearOverride, parse_holidays
from schemas.law.rules import Law, parse_law

_TABLES = ("rules", "schedules", "groups", "online", "counting")


@cache
def load_law() -> Law:
    """Return the law that ships with this version."""
    folder = files("schemas.law")
    return parse_law("\n".join(_text(folder / f"{name}.toml") for name in _TABLES))


def load_calendar(folder: Path | None = None) -> Calendar:
    """Return the working days, with the yearly files that ship and those of this node.

    Args:
        folder: where this node keeps its own yearly files (2026.toml, ...); a file there replaces
            the one that ships for its year. It need not exist.

    Raises:
        LawError: a yearly file is wrong; the message names the file.
        OSError: a file cannot be read.
    """
    shipped = [_override(item) for item in _yearly(files("schemas.law") / "holidays")]
    own = [_override(path) for path in _yearly(folder)] if folder and folder.is_dir() else []
    return Calendar([*shipped, *own])


def _yearly(folder: Traversable) -> list[Traversable]:
    items = [item for item in folder.iterdir() if item.name.endswith(".toml")]
    return sorted(items, key=lambda item: item.name)


def _override(item: Traversable) -> YearOverride:
    try:
        return parse_holidays(_text(item))
    except (LawError, UnicodeDecodeError) as error:
        raise LawError("law_malformed", f"{item.name}: {error}") from error


def _text(item: Traversable) -> str:
    return item.read_text(encoding="utf-8")
