"""Reads and writes the messages of a link, from docs/PROTOCOL.md section 7.1 alone."""

from collections.abc import Callable, Iterator
from typing import Any

import cbor2

from tests.independent.change_reader import Reader, Refused, need

HELLO, FRAME, HEAD, ACK, WANT, CHUNK, PROBLEM = range(1, 8)
MESSAGES_SIZE_BYTES_MAX = (1 << 20) + (64 << 10)
NUMBER_MAX, EPOCH_MAX = 1 << 53, 1 << 32
OFFERS_MAX, DICTIONARIES_MAX, GAPS_MAX, COSIGNATURES_MAX, LEAVES_MAX = 4_096, 16, 256, 8, 512
PART_SIZE_BYTES_MIN, LEAF_SIZE_BYTES_MAX = 1_000, 1 << 20
SIMPLE = {20: False, 21: True, 22: None}

Form = Callable[[Any], object]
Message = tuple[int, list[Any]]


def write(kind: int, *items: Any) -> bytes:
    return cbor2.dumps([kind, *items], canonical=True)


def read(data: bytes) -> list[Message]:
    """Return all messages of a WebSocket message, or none: one that is malformed spoils it.

    Raises:
        Refused: the link has to be closed.
    """
    need(data and len(data) <= MESSAGES_SIZE_BYTES_MAX, "empty, or too long")
    reader, messages = Reader(data), list[Message]()
    while reader.left:
        message = item(reader)
        need(isinstance(message, list) and message, "not an array")
        kind, *items = message
        need(type(kind) is int and kind in FORMS, "message of an unknown kind")
        FORMS[kind](items)
        messages.append((kind, items))
    return messages


def item(reader: Reader) -> Any:
    """Read one item of CBOR; only what section 7.1 names."""
    head = reader.take(1)[0]
    major, count = head >> 5, head & 31
    if major == 7:
        need(count in SIMPLE, "neither true nor false nor null")
        return SIMPLE[count]
    if count >= 24:
        need(count < 28, "length is not definite")
        count = int.from_bytes(reader.take(1 << (count - 24)))
    if major in (0, 1):
        return -1 - count if major else count
    if major in (2, 3):
        data = reader.take(count)
        return data if major == 2 else text_of(data)
    need(major in (4, 5) and count <= reader.left, "item of another type, or too long")
    if major == 4:
        return [item(reader) for _ in range(count)]
    return dict(pairs(reader, count))


def text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("text is not UTF-8") from error


def pairs(reader: Reader, count: int) -> Iterator[tuple[Any, Any]]:
    for _ in range(count):
        key = item(reader)
        need(isinstance(key, int | str | bytes), "key of a map")
        yield key, item(reader)


# Forms


def number(largest: int = NUMBER_MAX, smallest: int = 0) -> Form:
    def check(value: Any) -> None:
        need(type(value) is int and smallest <= value <= largest, "not a number, or out of range")

    return check


def octets(*sizes: int) -> Form:
    """Return a form of byte strings; without sizes, of any."""

    def check(value: Any) -> None:
        need(isinstance(value, bytes) and (not sizes or len(value) in sizes), "byte string")

    return check


def text(letters_max: int) -> Form:
    def check(value: Any) -> None:
        need(isinstance(value, str) and len(value) <= letters_max, "not a text, or too long")

    return check


def array(form: Form, count_max: int, count_min: int = 0) -> Form:
    def check(value: Any) -> None:
        need(isinstance(value, list) and count_min <= len(value) <= count_max, "array")
        for each in value:
            form(each)

    return check


def row(*forms: Form) -> Form:
    def check(value: Any) -> None:
        need(isinstance(value, list) and len(value) == len(forms), "row of another length")
        for form, each in zip(forms, value, strict=True):
            form(each)

    return check


def purpose(value: Any) -> None:
    need(value in ("up", "down"), "purpose is unknown")


def frame(items: Any) -> None:
    need(len(items) in (5, 7), "frame of another length")
    LOG(items[0])
    number(3)(items[1])
    number()(items[2])
    number(1 + DICTIONARIES_MAX)(items[3])
    if items[3] == 0:
        need(len(items) == 5, "part of plain leaves")
        array(octets(), LEAVES_MAX, 1)(items[4])
        need(all(len(leaf) <= LEAF_SIZE_BYTES_MAX for leaf in items[4]), "leaf is too long")
        return
    octets()(items[4])
    if len(items) == 7:
        offset, total = items[5:]
        number()(offset)
        number()(total)
        end = offset + len(items[4])
        need(offset < end <= total, "part lies outside, or is empty")
        need(end == total or len(items[4]) >= PART_SIZE_BYTES_MIN, "part is too short")


LOG = octets(1, 2, 3, 4, 16)
OFFER = row(octets(0, 32), purpose, number(EPOCH_MAX), number(), number(), number(), number())
FORMS: dict[int, Form] = {
    HELLO: row(
        number(1, 1),
        number(),
        number(),
        array(OFFER, OFFERS_MAX),
        array(octets(8), DICTIONARIES_MAX),
    ),
    FRAME: frame,
    HEAD: row(LOG, number(), octets(0, 32), octets(64)),
    ACK: row(
        LOG,
        number(),
        array(row(number(), number()), GAPS_MAX),
        array(row(octets(0, 32), number(), number(), octets(64)), COSIGNATURES_MAX),
    ),
    WANT: row(octets(32), number(), number()),
    CHUNK: row(octets(8), number(), number(), octets()),
    PROBLEM: row(text(60), text(500), octets(0, 1, 2, 3, 4, 16)),
}
