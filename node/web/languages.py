"""Languages of the pages: Vietnamese is what the templates say, English comes from a catalogue.

The catalogue is gettext's .po file, read once at start. Names of codes, events and fields come from
schemas/labels.toml, sentences of errors from messages.toml, both in both languages.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from babel.messages.pofile import read_po

DEFAULT: Final = "vi"
LANGUAGES: Final = ("vi", "en")
_SCRIPT_TEXT: Final = re.compile(r"""\bt\(\s*"((?:[^"\\]|\\.)*)\"""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What a person is told about an error."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language of the pages.

    Attributes:
        texts: translation of each text of the templates and scripts; empty for Vietnamese.
        labels: by list and value, as in labels.toml.
        sentences: by error code.
    """

    code: str
    texts: Mapping[str, str]
    labels: Mapping[str, Mapping[str, str]]
    sentences: Mapping[str, Sentence]

    def text(self, msgid: str, /, **values: object) -> str:
        """Return a text of the templates in this language, with {values} put in."""
        text = self.texts.get(msgid) or msgid
        return text.format(**values) if values else text

    def label(self, group: str, value: str) -> str:
        """Return the name of a value of a closed list; a value of a newer program as it is."""
        return self.labels.get(group, {}).get(value, value)

    def step(self, event_type: str) -> str:
        """Return what a button says that records an event."""
        return self.labels.get("step", {}).get(event_type) or self.label("event", event_type)

    def script_texts(self) -> str:
        """Return, as JSON, the translations that the scripts of the pages need."""
        wanted = {text: self.texts[text] for text in script_msgids() if text in self.texts}
        return json.dumps(wanted, ensure_ascii=False)


@cache
def languages() -> Mapping[str, Language]:
    """Return all languages by code; read once."""
    labels = tomllib.loads(files("schemas").joinpath("labels.toml").read_text("utf-8"))
    messages = tomllib.loads(files("node.web").joinpath("messages.toml").read_text("utf-8"))
    return {
        code: Language(
            code=code,
            texts=_texts(code),
            labels=_labels(labels, code),
            sentences={
                name: Sentence(message=entry.get(code, ""), hint=entry.get(f"hint_{code}", ""))
                for name, entry in messages.items()
            },
        )
        for code in LANGUAGES
    }


def choose(*wishes: str) -> Language:
    """Return the first wish that is a language of ours, else Vietnamese."""
    known = languages()
    return next((known[wish] for wish in wishes if wish in known), known[DEFAULT])


@cache
def script_msgids() -> tuple[str, ...]:
    """Return every text that a script hands to t(), sorted."""
    found: set[str] = set()
    for script in files("node.web").joinpath("static").iterdir():
        if script.name.endswith(".js"):
            found.update(
                json.loads(f'"{m}"') for m in _SCRIPT_TEXT.findall(script.read_text("utf-8"))
            )
    return tuple(sorted(found))


def _texts(code: str) -> dict[str, str]:
    if code == DEFAULT:
        return {}
    with files("node.web").joinpath(f"locale/{code}.po").open("rb") as stream:
        catalogue = read_po(stream, locale=code)
    return {
        message.id: message.string
        for message in catalogue
        if isinstance(message.id, str) and isinstance(message.string, str) and message.string
    }


def _labels(tree: Mapping[str, Any], code: str) -> dict[str, dict[str, str]]:
    return {
        group: {value: entry[code] for value, entry in values.items() if code in entry}
        for group, values in tree.items()
        if isinstance(values, dict)
    }
