"""Which files of vectors there are: a new part of the protocol adds its line here."""

from collections.abc import Callable
from typing import Any, Final

from tests.vectoring.certificates import certificates
from tests.vectoring.ids import ids, keys
from tests.vectoring.layout import Earlier, lay_out
from tests.vectoring.leaves import changes_refused, changes_taken, documents, leaves

FILES: Final[dict[str, Callable[[Earlier], Any]]] = {
    "keys.json": keys,
    "ids.json": ids,
    "certificates.json": certificates,
    "leaves.json": leaves,
    "documents.json": documents,
    "changes_taken.json": changes_taken,
    "changes_refused.json": changes_refused,
}


def made(name: str) -> str:
    """Return the text of a file as the product makes it now."""
    return lay_out(FILES[name](Earlier(name)))
