"""Short names of all codes, in Vietnamese and English."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.errors import LawError
from schemas.law.table import Entry, parse_toml

LANGUAGES: Final = ("vi", "en")


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by section, code and language."""

    sections: Mapping[str, Mapping[str, Mapping[str, str]]]

    def text(self, section: str, code: str, language: str) -> str:
        """Return the label of a code; the code itself where a newer program made it up."""
        label = self.sections.get(section, {}).get(code)
        if label is None:
            return code
        return label.get(language, label["vi"])

    def section(self, name: str, language: str) -> dict[str, str]:
        """Return all labels of a section, in the order of the file."""
        return {
            code: label.get(language, label["vi"]) for code, label in self.sections[name].items()
        }


def parse_labels(text: str) -> Labels:
    """Return the labels in a TOML text: a table for each section, code = { vi = "", en = "" }.

    Raises:
        LawError: not that shape, a language missing or unknown, or an empty label.
    """
    sections: dict[str, dict[str, dict[str, str]]] = {}
    for name, table in parse_toml(text).items():
        if not isinstance(table, Mapping):
            raise LawError("law_malformed", f"{name} is a section of labels")
        sections[name] = {code: _label(value, f"{name}.{code}") for code, value in table.items()}
    return Labels(sections)


def _label(value: object, where: str) -> dict[str, str]:
    entry = Entry(value, where)
    label = {language: entry.take(language, str) for language in LANGUAGES}
    entry.end()
    if not all(text.strip() for text in label.values()):
        raise LawError("law_value_wrong", f"{where} has an empty label")
    return label
