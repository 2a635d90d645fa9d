"""Reads and writes the messages of a link, from docs/PROTOCOL.md section 7.1 alone."""

from collections.abc import Callable, Iterator
from typing import Any

import cbor2

from tests.independent.change_reader import Reader, Refused, need

HELLO, FRAME, HEAD, ACK, WANT, CHUNK, PROBLEM, REVOKED, RECONCILE, REPAIR = range(1, 11)
MESSAGES_SIZE_BYTES_MAX = (1 << 20) + (64 << 10)
NUMBER_MAX, EPOCH_MAX = 1 << 53, 1 << 32
OFFERS_MAX, DICTIONARIES_MAX, GAPS_MAX, COSIGNATURES_MAX, LEAVES_MAX = 4_096, 16, 256, 8, 512
PART_SIZE_BYTES_MIN, LEAF_SIZE_BYTES_MAX = 1_000, 1 << 20
PACKED_SIZE_BYTES_MAX = LEAF_SIZE_BYTES_MAX + (8 << 10)
FILE_SIZE_BYTES_MAX, CHUNK_SIZE_BYTES_MAX = 50 << 20, 1_152
STEP_MAX, TURN_SIZE_BYTES_MAX, PROOF_HASHES_MAX = 1 << 16, 4_096, 53
DEPTH_MAX, REFERENCES_MAX, STATEMENT_SIZE_BYTES_MAX = 8, 1 << 20, 128 << 10
SIMPLE = {20: False, 21: True, 22: None}

Form = Callable[[Any], object]
Message = tuple[int, list[Any]]


def write(kind: int, *items: Any) -> bytes:
    return cbor2.dumps([kind, *items], canonical=True)


def read(whole: bytes) -> list[Message]:
    """Return all messages of a WebSocket message, or none: one that is malformed spoils it.

    Raises:
        Refused: the link has to be closed.
    """
    need(whole and len(whole) <= MESSAGES_SIZE_BYTES_MAX, "empty, or too long")
    reader, messages = Reader(whole), list[Message]()
    while reader.left:
        message = item(reader, DEPTH_MAX)
        need(isinstance(message, list) and message, "not an array")
        kind, *items = message
        need(type(kind) is int and kind in FORMS, "message of an unknown kind")
        FORMS[kind](items)
        messages.append((kind, items))
    return messages


def item(reader: Reader, depth: int) -> Any:
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
        found = reader.take(count)
        return found if major == 2 else text_of(found)
    need(major in (4, 5) and count <= reader.left, "item of another type, or too long")
    need(depth, "nested too deep")
    if major == 4:
        return [item(reader, depth - 1) for _ in range(count)]
    found_pairs = list(pairs(reader, count, depth - 1))
    need(len(dict(found_pairs)) == count, "key stands twice")
    return dict(found_pairs)


def text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("text is not UTF-8") from error


def pairs(reader: Reader, count: int, depth: int) -> Iterator[tuple[Any, Any]]:
    for _ in range(count):
        key = item(reader, depth)
        need(isinstance(key, str | bytes), "key of a map")
        yield key, item(reader, depth)


# Forms


def number(largest: int = NUMBER_MAX) -> Form:
    def check(value: Any) -> None:
        need(type(value) is int and 0 <= value <= largest, "not a number, or out of range")

    return check


def octets(*sizes: int) -> Form:
    """Return a form of byte strings of these sizes."""

    def check(value: Any) -> None:
        need(isinstance(value, bytes) and len(value) in sizes, "byte string of another size")

    return check


def data(largest: int) -> Form:
    def check(value: Any) -> None:
        need(isinstance(value, bytes) and len(value) <= largest, "not bytes, or too many")

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


def offer(value: Any) -> None:
    OFFER(value)
    need(value[3] <= value[4], "offer starts behind its end")


def frame(items: Any) -> None:
    need(len(items) in (5, 7), "frame of another length")
    LOG(items[0])
    number(3)(items[1])
    number()(items[2])
    number(1 + DICTIONARIES_MAX)(items[3])
    if items[3] == 0:
        need(len(items) == 5, "part of plain leaves")
        array(data(LEAF_SIZE_BYTES_MAX), LEAVES_MAX, 1)(items[4])
        return
    data(PACKED_SIZE_BYTES_MAX)(items[4])
    need(items[4], "frame without bytes")
    if len(items) == 7:
        offset, total = items[5:]
        number(PACKED_SIZE_BYTES_MAX)(offset)
        number(PACKED_SIZE_BYTES_MAX)(total)
        end = offset + len(items[4])
        need(offset < end <= total, "part lies outside, or is empty")
        need(end == total or len(items[4]) >= PART_SIZE_BYTES_MIN, "part is too short")


def runs(value: Any) -> None:
    """Take leaves as [first, count], ascending."""
    array(row(number(), number()), GAPS_MAX)(value)
    end = 0
    for first, count in value:
        need(first >= end and count, "leaves out of order, or none")
        end = first + count


def repair(items: Any) -> None:
    if len(items) == 2:
        octets(16)(items[0])
        runs(items[1])
        need(items[1], "asks for nothing")
        return
    row(
        octets(16),
        number(),
        data(LEAF_SIZE_BYTES_MAX),
        number(),
        octets(0, 64),
        array(octets(32), PROOF_HASHES_MAX),
    )(items)


LOG = octets(1, 2, 3, 4, 16)
OFFER = row(octets(0, 32), text(80), number(EPOCH_MAX), number(), number(), number(), number())
SIZE = number(FILE_SIZE_BYTES_MAX)
FORMS: dict[int, Form] = {
    HELLO: row(
        number(255),
        number(),
        number(REFERENCES_MAX),
        array(offer, OFFERS_MAX),
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
    WANT: row(octets(32), SIZE, SIZE),
    CHUNK: row(octets(8), SIZE, SIZE, data(CHUNK_SIZE_BYTES_MAX)),
    PROBLEM: row(text(60), text(500), octets(0, 1, 2, 3, 4, 16)),
    REVOKED: row(data(STATEMENT_SIZE_BYTES_MAX)),
    RECONCILE: row(octets(0, 16), number(STEP_MAX), data(TURN_SIZE_BYTES_MAX), runs),
    REPAIR: repair,
}
