"""Messages are read, or refused, alike by the product and by a program of somebody else.

Method: good messages of every kind, damaged at random, as bytes and in their items.
"""

from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MessageError
from schemas.wire import decode_messages, encode_message
from tests.independent import messages
from tests.independent.change_reader import Refused
from tests.vectoring.messages import GOOD

WHOLE = [encode_message(message) for message in GOOD]
ITEMS = st.one_of(
    st.integers(-1, 300),
    st.sampled_from([1 << 20, (1 << 20) + 1, 50 << 20, (50 << 20) + 1, 1 << 32, 1 << 53, 1 << 54]),
    st.binary(max_size=70),
    st.text(max_size=3),
    st.booleans(),
    st.none(),
    st.lists(st.integers(0, 9), max_size=3),
)


def opinions(data: bytes) -> tuple[bool, bool]:
    """Return whether the product reads the bytes, and whether the other program does."""
    try:
        decode_messages(data)
        ours = True
    except MessageError:
        ours = False
    try:
        messages.read(data)
        theirs = True
    except Refused:
        theirs = False
    return ours, theirs


@given(st.sampled_from(WHOLE), st.data())
def test_damaged_bytes_are_read_alike(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, min(len(whole), 60)))
    put = data.draw(st.binary(max_size=2))
    ours, theirs = opinions(whole[:at] + put + whole[at + data.draw(st.integers(0, 2)) :])
    assert ours == theirs


@given(st.sampled_from(WHOLE), st.data())
def test_other_items_are_read_alike(whole: bytes, data: st.DataObject) -> None:
    items = cbor2.loads(whole)
    ours, theirs = opinions(cbor2.dumps(with_another(items, data)))
    assert ours == theirs


def with_another(items: list[Any], data: st.DataObject) -> list[Any]:
    """Return items with one replaced, left out or added, here or within one of them."""
    at = data.draw(st.integers(0, len(items)))
    inner = items[at] if at < len(items) else None
    if isinstance(inner, list) and inner and data.draw(st.booleans()):
        return [*items[:at], with_another(inner, data), *items[at + 1 :]]
    put = data.draw(st.lists(ITEMS, min_size=0, max_size=1))
    return [*items[:at], *put, *items[at + data.draw(st.integers(0, 1)) :]]
