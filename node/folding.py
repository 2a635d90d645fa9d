"""Folds Vietnamese text for search: what is typed without diacritics finds what has them.

SQLite's unicode61 tokenizer strips accents but keeps đ, which is a letter of its own in Unicode.
"""

import re
import unicodedata
from typing import Final

# More words than this in one query are a pasted text, which no index should be asked about.
WORDS_MAX: Final = 16
# The index holds prefixes of two and three letters; a shorter prefix would read half of it.
_PREFIX_CHARS_MIN: Final = 2
_STROKED: Final = str.maketrans({"đ": "d", "Đ": "d"})
# Combining marks by block: asking each letter for its class takes ten times as long.
_MARKS: Final = re.compile(r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_WORD: Final = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Return text in small letters without diacritics, đ as d; spaces and signs stay."""
    apart = unicodedata.normalize("NFKD", text.translate(_STROKED)).casefold()
    bare = _MARKS.sub("", apart)
    if not bare.isascii():
        # Other scripts have marks elsewhere; Vietnamese is plain by now.
        bare = "".join(letter for letter in bare if not unicodedata.combining(letter))
    # Casefolding may bring new composed letters.
    return unicodedata.normalize("NFKC", bare)


def match_query(text: str) -> str:
    """Return an FTS5 query for all words of text, each also as a beginning; empty without words.

    Every word is quoted, so nothing in it is taken for FTS5 syntax. A single letter at the end of
    several words is one that is still being typed: it narrows nothing.
    """
    words = _WORD.findall(fold(text))[:WORDS_MAX]
    if len(words) > 1 and len(words[-1]) < _PREFIX_CHARS_MIN:
        words.pop()
    return " ".join(f'"{word}"' + "*" * (len(word) >= _PREFIX_CHARS_MIN) for word in words)
