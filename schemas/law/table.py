"""Reads one entry of a TOML file by its keys, so that no key is misspelt and none left over."""

import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Any, TypeVar

from schemas.errors import LawError

T = TypeVar("T")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the document.

    Raises:
        LawError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LawError("law_malformed", f"not TOML: {error}") from error


class Entry:
    """One table of a TOML file, read key by key."""

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        """Read a table; where names it in errors."""
        self._left = dict(table)
        self.where = f"{where} {self._left.get('id', '')}".strip()

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Return the value of a key.

        Raises:
            LawError: it is missing without a default, or of another type.
        """
        if key not in self._left:
            if default is None:
                raise LawError("law_key_missing", f"{self.where}: {key} is missing")
            return default
        return self._typed(key, self._left.pop(key), kind)

    def take_optional(self, key: str, kind: type[T]) -> T | None:
        """Return the value of a key, or None where it is left out."""
        if key not in self._left:
            return None
        return self._typed(key, self._left.pop(key), kind)

    def take_list(self, key: str, kind: type[T]) -> tuple[T, ...]:
        """Return the list under a key; empty where it is left out."""
        items = self.take_optional(key, list) or []
        return tuple(self._typed(key, item, kind) for item in items)

    def end(self) -> None:
        """Check that every key was read.

        Raises:
            LawError: a key is left over.
        """
        if self._left:
            raise LawError("law_key_unknown", f"{self.where}: unknown {', '.join(self._left)}")

    def _typed(self, key: str, value: object, kind: type[T]) -> T:
        if isinstance(value, str) and issubclass(kind, str) and kind is not str:
            try:
                return kind(value)
            except ValueError as error:
                raise LawError(
                    "law_value_wrong", f"{self.where}: {key} cannot be {value!r:.60}"
                ) from error
        # bool is a kind of int, and datetime a kind of date, to Python but not to us.
        if type(value) is not kind:
            raise LawError("law_value_wrong", f"{self.where}: {key} must be {_name(kind)}")
        return value


def _name(kind: type) -> str:
    names = {str: "a text", int: "a number", bool: "true or false", date: "a date", list: "a list"}
    return names.get(kind, "one of the known codes")
