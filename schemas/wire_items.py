"""Items of messages: each reader returns what it names, or says that the message is malformed.

All raise MessageError.
"""

from collections.abc import Sequence
from typing import Any

from schemas.errors import MessageError

REFERENCE_BYTES_MAX = 4
SEQ_MAX = 1 << 53


def read_array(value: object, count: int) -> Sequence[Any]:
    """Return an array of so many items."""
    if not isinstance(value, list) or len(value) != count:
        raise MessageError("message_malformed", f"expected an array of {count} items")
    return value


def read_reference(value: object) -> bytes:
    """Return the id of a log, or the number of its offer."""
    if isinstance(value, bytes) and (len(value) == 16 or 1 <= len(value) <= REFERENCE_BYTES_MAX):
        return value
    raise MessageError("message_malformed", "expected the id of a log or the number of its offer")


def read_list(value: object, count_max: int) -> list[Any]:
    """Return an array of at most so many items."""
    if not isinstance(value, list):
        raise MessageError("message_malformed", "expected an array")
    if len(value) > count_max:
        raise MessageError("message_too_long", f"{len(value)} items where {count_max} are allowed")
    return value


def read_uint(value: object, maximum: int = SEQ_MAX) -> int:
    """Return a whole number from 0 to the maximum."""
    if type(value) is not int or not 0 <= value <= maximum:
        raise MessageError("message_malformed", f"expected a number from 0 to {maximum}")
    return value


def read_bytes(value: object, size: int) -> bytes:
    """Return a byte string of that size."""
    if not isinstance(value, bytes) or len(value) != size:
        raise MessageError("message_malformed", f"expected {size} bytes")
    return value


def read_blob(value: object, size_max: int) -> bytes:
    """Return a byte string of at most that size."""
    if not isinstance(value, bytes) or len(value) > size_max:
        raise MessageError("message_malformed", f"expected at most {size_max} bytes")
    return value


def read_text(value: object, chars_max: int) -> str:
    """Return a text of at most so many letters."""
    if not isinstance(value, str) or len(value) > chars_max:
        raise MessageError("message_malformed", f"expected a text of at most {chars_max} letters")
    return value
