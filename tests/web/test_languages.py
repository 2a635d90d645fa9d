"""Goal: whoever reads English reads no Vietnamese, and every error has its sentence in both.

Method: texts are extracted from templates and scripts with the extractors of Babel, error codes
from the sources; both are compared with the catalogues.
"""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract
from jinja2.ext import babel_extract

from node.web.forms import document_form, event_form
from node.web.languages import LANGUAGES, choose, languages, script_msgids
from schemas.codes import DocumentKind
from schemas.event_text import event_models
from schemas.fields import FIELDS

ROOT = Path(__file__).parents[2]
WEB = ROOT / "node/web"
# Code of these reaches a person at a page; the rest speaks to technicians and to other nodes.
SPOKEN = ("node/web", "node/desk.py", "node/registration.py", "node/accounts.py", "node/cases")
ERRORS = {"RequestError", "WebError", "GuardError", "AccountError", "PasswordError"}


def texts_of_pages() -> Iterator[str]:
    for template in sorted((WEB / "templates").glob("*.html")):
        with template.open("rb") as stream:
            for _, _, found, _ in babel_extract(stream, ["_"], [], {}):
                yield str(found[0] if isinstance(found, tuple) else found)
    for script in sorted((WEB / "static").glob("*.js")):
        yield from _texts("javascript", script, "t")
    for module in sorted(WEB.glob("*.py")):
        yield from _texts("python", module, "text")


def _texts(method: str, path: Path, function: str) -> Iterator[str]:
    with path.open("rb") as stream:
        for _, found, _, _ in extract(method, stream, {function: None}, [], {}):
            text = found[0] if isinstance(found, tuple) else found
            if text:
                yield str(text)


def test_every_text_has_an_english_one_and_none_is_left_over() -> None:
    assert set(texts_of_pages()) == set(languages()["en"].texts) - {""}


def test_translations_keep_their_places_for_values() -> None:
    for vietnamese, english in languages()["en"].texts.items():
        assert _places(vietnamese) == _places(english), vietnamese


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_the_scripts_find_all_their_texts() -> None:
    found = {
        text for path in (WEB / "static").glob("*.js") for text in _texts("javascript", path, "t")
    }
    assert found == set(script_msgids())


def spoken_codes() -> Iterator[tuple[str, str]]:
    for place in SPOKEN:
        path = ROOT / place
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(module.read_text("utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant):
                        yield str(first.value), str(module.relative_to(ROOT))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_at_a_page_has_a_sentence(language: str) -> None:
    known = languages()[language]
    labels = known.labels["error"]
    spoken = {code for code, sentence in known.sentences.items() if sentence.message}
    missing = {found for found in spoken_codes() if found[0] not in spoken | labels.keys()}
    assert missing == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_hint_in_one_language_is_there_in_the_other(language: str) -> None:
    other = languages()["en" if language == "vi" else "vi"]
    for code, sentence in languages()[language].sentences.items():
        assert bool(sentence.hint) == bool(other.sentences[code].hint), code


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_entry_of_every_form_has_a_name(language: str) -> None:
    labels = languages()[language].labels
    for event in event_models():
        assert event in labels["event"]
        for field in event_form(event):
            assert field.name in labels["event_field"], (event, field.name)
            for choice in field.choices if field.group else ():
                assert choice in labels[field.group], (event, field.name, choice)
    for kind in DocumentKind:
        assert {field.name for field in document_form(kind)} == set(FIELDS[kind])
        for field in document_form(kind):
            assert field.name in labels[f"field_{kind.value}"], (kind, field.name)


def test_vietnamese_is_what_the_templates_say() -> None:
    assert languages()["vi"].text("còn {n} ngày", n=3) == "còn 3 ngày"
    assert languages()["en"].text("còn {n} ngày", n=3) == "days left: 3"


@pytest.mark.parametrize(("wishes", "code"), [((), "vi"), (("fr", "en"), "en"), (("", "xx"), "vi")])
def test_an_unknown_language_is_passed_over(wishes: tuple[str, ...], code: str) -> None:
    assert choose(*wishes).code == code


def test_texts_for_the_scripts_cannot_end_their_element() -> None:
    assert not re.search(r"</|<!--", languages()["en"].script_texts())
