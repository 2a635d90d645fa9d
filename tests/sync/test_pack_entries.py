"""Entries of packs come out as they went in; whatever else comes ends in one error.

Method: round trips in pieces of any size, every cut, hand-made nonsense and arbitrary bytes.
"""

from collections.abc import Iterator
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schemas.limits import (
    ATTACHMENT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PACK_ENTRY_BYTES_MAX,
    PACK_PIECE_BYTES,
)
from schemas.wire import Frame, Hello, Problem, encode_message
from sync.errors import PackError
from sync.pack_entries import (
    About,
    End,
    Entry,
    EntryReader,
    Messages,
    Piece,
    decode_about,
    encode_entry,
)
from tests.sync.builders import NOW_MS
from tests.sync.packs import scan, through_bytes


def entries() -> Iterator[Entry]:
    yield Messages((Hello(version=1, now_ms=5, offers=()), Problem(code="a", detail="b")))
    yield Piece(sha256=bytes(32), offset=3, total=9, data=b"abc")
    yield End(True)


def test_entries_come_out_as_they_went_in_whatever_the_pieces() -> None:
    data = b"".join(encode_entry(entry) for entry in entries())
    for step in (1, 2, 7, len(data)):
        reader = EntryReader()
        found = [
            entry for at in range(0, len(data), step) for entry in reader.feed(data[at : at + step])
        ]
        reader.finish()
        assert found == list(entries())


def test_a_part_that_does_not_end_is_malformed() -> None:
    data = b"".join(encode_entry(entry) for entry in entries())
    for end in range(len(data)):
        reader = EntryReader()
        list(reader.feed(data[:end]))
        with pytest.raises(PackError):
            reader.finish()
    for more in (data, encode_entry(End(True))):
        with pytest.raises(PackError):
            list(EntryReader().feed(data + more))


def raw(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(4, "big") + content


def piece(offset: int, total: int, data: bytes) -> bytes:
    return raw(2, bytes(32) + offset.to_bytes(8, "big") + total.to_bytes(8, "big") + data)


def bomb() -> bytes:
    return raw(1, zstandard.compress(bytes(MESSAGE_BYTES_MAX + 1)))


@pytest.mark.parametrize(
    "data",
    [
        raw(0, b""),
        raw(4, b""),
        raw(3, b"\2"),
        raw(3, b""),
        raw(1, b""),
        raw(1, b"no zstd"),
        bomb(),
        raw(1, encode_entry(Messages(()))[5:]),
        raw(2, bytes(20)),
        piece(0, 0, b"x"),
        piece(0, 1, b""),
        piece(0, 1, b"xy"),
        piece(1, 1, b"x"),
        piece(0, ATTACHMENT_BYTES_MAX + 1, b"x"),
        piece(0, PACK_PIECE_BYTES + 1, bytes(PACK_PIECE_BYTES + 1)),
        b"\1" + (PACK_ENTRY_BYTES_MAX + 1).to_bytes(4, "big"),
    ],
)
def test_malformed_entries_are_refused(data: bytes) -> None:
    with pytest.raises(PackError):
        list(EntryReader().feed(data))


@given(data=st.binary(max_size=300), kind=st.integers(0, 5))
def test_arbitrary_bytes_end_in_the_reader_s_own_error(data: bytes, kind: int) -> None:
    for entry in (data, raw(kind, data), raw(1, encode_entry(Messages(()))[5:] + data)):
        reader = EntryReader()
        try:
            list(reader.feed(entry))
            reader.finish()
        except PackError:
            continue


@given(data=st.binary(max_size=100))
def test_arbitrary_bytes_are_about_no_part(data: bytes) -> None:
    with suppress(PackError):
        assert decode_about(data).encode() == data


def test_what_a_part_is_about_comes_out_as_it_went_in() -> None:
    about = About(pack_id=bytes(16), part=3, made_ms=NOW_MS, receiver="40")
    assert decode_about(about.encode()) == about
    for wrong in (
        About(pack_id=bytes(15), part=3, made_ms=1, receiver="40"),
        About(pack_id=bytes(16), part=0, made_ms=1, receiver="40"),
        About(pack_id=bytes(16), part=1, made_ms=-1, receiver="40"),
        About(pack_id=bytes(16), part=1, made_ms=1, receiver="\x1b[31m"),
    ):
        with pytest.raises(PackError):
            decode_about(wrong.encode())


def test_the_largest_message_makes_an_entry_that_is_read() -> None:
    frame = Frame(log=bytes(16), priority=2, first_seq=0, leaves=(scan(1 << 20),))
    assert len(encode_message(frame)) < MESSAGE_BYTES_MAX
    (entry, _) = through_bytes([Messages((frame,)), End(False)])
    assert entry == Messages((frame,))
