"""Reads the part of CBOR (RFC 8949) that records and messages are made of.

Whole numbers, byte strings, texts, arrays, maps, true, false and null, all of definite length. A
full decoder also makes decimals, sets and expressions out of tags, and one megabyte of those keeps
a node busy for minutes; what nobody may send is not decoded at all.
"""

import struct
from typing import Any, Final

_DEPTH_MAX: Final = 8
_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}
# What programs in JavaScript send besides: undefined, and numbers beyond 32 bits as floats.
_UNDEFINED: Final = 23
_FLOATS: Final = {26: ">f", 27: ">d"}


def read_item(data: bytes) -> Any:
    """Return the one item that fills data.

    Raises:
        ValueError: data is not exactly one item of this part of CBOR.
    """
    item, end = _read(data, 0, _DEPTH_MAX)
    if end != len(data):
        raise ValueError("bytes follow the end")
    return item


def read_script_item(data: bytes) -> Any:
    """Return the one item that fills data, as programs in JavaScript write them.

    Floats and undefined, which becomes None, are read too.

    Raises:
        ValueError: data is not exactly one item of this part of CBOR.
    """
    item, end = _read(data, 0, _DEPTH_MAX, is_script=True)
    if end != len(data):
        raise ValueError("bytes follow the end")
    return item


def read_items(data: bytes) -> list[Any]:
    """Return the items that fill data one after the other: a CBOR sequence (RFC 8742).

    Raises:
        ValueError: data is no such sequence.
    """
    items, at = [], 0
    while at < len(data):
        item, at = _read(data, at, _DEPTH_MAX)
        items.append(item)
    return items


def _read(data: bytes, at: int, depth: int, is_script: bool = False) -> tuple[Any, int]:
    """Return the item at a position, and the position behind it."""
    if at >= len(data):
        raise ValueError("the item ends early")
    major, number = data[at] >> 5, data[at] & 0x1F
    at += 1
    if number >= 24 and major != 7:
        number, at = _long(data, at, number)
    # Strings first: leaves and frames are made of them.
    if major == 2 or major == 3:
        end = at + number
        if end > len(data):
            raise ValueError("a string ends early")
        return (data[at:end] if major == 2 else data[at:end].decode()), end
    match major:
        case 0:
            return number, at
        case 1:
            return -1 - number, at
        case 4 | 5:
            if depth == 0 or number > len(data) - at:
                raise ValueError("nested too deep, or longer than what follows")
            read = _array if major == 4 else _map
            return read(data, at, number, depth - 1, is_script)
        case 7:
            return _value(data, at, number, is_script)
        case _:
            raise ValueError("tags have no place here")


def _long(data: bytes, at: int, number: int) -> tuple[int, int]:
    """Return the number of an item that does not fit its first byte, and the position behind it."""
    end = at + (1 << number - 24)
    if number > 27 or end > len(data):
        raise ValueError("a number is not definite, or ends early")
    return int.from_bytes(data[at:end], "big"), end


def _value(data: bytes, at: int, number: int, is_script: bool) -> tuple[bool | float | None, int]:
    if number in _SIMPLE:
        return _SIMPLE[number], at
    if not is_script or number not in (_UNDEFINED, *_FLOATS):
        raise ValueError("floats and other simple values have no place here")
    if number == _UNDEFINED:
        return None, at
    layout = _FLOATS[number]
    end = at + struct.calcsize(layout)
    if end > len(data):
        raise ValueError("a number ends early")
    return float(struct.unpack(layout, data[at:end])[0]), end


def _array(data: bytes, at: int, count: int, depth: int, is_script: bool) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _read(data, at, depth, is_script)
        items.append(item)
    return items, at


def _map(
    data: bytes, at: int, count: int, depth: int, is_script: bool
) -> tuple[dict[str | bytes, Any], int]:
    items: dict[str | bytes, Any] = {}
    for _ in range(count):
        key, at = _read(data, at, depth)
        # Python salts the hashes of texts and bytes, so nobody can make keys collide.
        if not isinstance(key, str | bytes) or key in items:
            raise ValueError("a key is neither text nor bytes, or stands twice")
        items[key], at = _read(data, at, depth, is_script)
    return items, at
