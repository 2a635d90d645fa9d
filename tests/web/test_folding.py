"""Goal: whoever types without diacritics finds what was written with them, whatever they type.

Method: properties over all texts, and the query is run against a real FTS5 table.
"""

import sqlite3
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.folding import WORDS_MAX, fold, match_query

VIETNAMESE = "Nguyễn Đức Thịnh khiếu nại quyết định thu hồi đất ở bản Xốp Tụ, xã Mỹ Lý"


def test_diacritics_and_the_stroked_d_fold_away() -> None:
    folded = "nguyen duc thinh khieu nai quyet dinh thu hoi dat o ban xop tu, xa my ly"
    assert fold(VIETNAMESE) == folded
    assert fold(unicodedata.normalize("NFD", VIETNAMESE)) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_nothing_combining_is_left(text: str) -> None:
    assert not any(unicodedata.combining(letter) for letter in fold(text))


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE found USING fts5 (text, prefix='2 3', tokenize='unicode61')")
    db.execute("INSERT INTO found VALUES (?)", (fold(VIETNAMESE),))
    yield db
    db.close()


@given(text=st.one_of(st.text(), st.text(alphabet='"*:^()-+ andornot{}', max_size=30)))
def test_no_typed_text_breaks_the_query(index: sqlite3.Connection, text: str) -> None:
    query = match_query(text)
    if query:
        index.execute("SELECT 1 FROM found WHERE found MATCH ?", (query,)).fetchall()


@pytest.mark.parametrize(
    "typed", ["duc thinh", "ĐỨC", "thu hoi dat", "xop t", "Mỹ lý", "khieu-nai", "NGUYEN  đuc"]
)
def test_words_are_found_however_they_are_typed(index: sqlite3.Connection, typed: str) -> None:
    assert index.execute(
        "SELECT 1 FROM found WHERE found MATCH ?", (match_query(typed),)
    ).fetchone()


@pytest.mark.parametrize("typed", ["thinh vuong", "hoi dong nhan dan", "x"])
def test_words_that_are_not_there_are_not_found(index: sqlite3.Connection, typed: str) -> None:
    query = match_query(typed)
    assert not index.execute("SELECT 1 FROM found WHERE found MATCH ?", (query,)).fetchone()


def test_signs_alone_ask_for_nothing() -> None:
    assert match_query(' .,"*() ') == ""


def test_a_pasted_text_asks_for_its_first_words_only() -> None:
    assert match_query("đất " * 500).count('"') == 2 * WORDS_MAX
