"""A sealed stream opens for one office, whole and unaltered, and in no other case.

Method: round trips in pieces of any size, every kind of damage (altered, moved, left out, cut off,
followed by more), heads put together from two streams, and arbitrary bytes.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import CryptoError, SealError, SignatureError
from crypto.identity import NodeKey
from crypto.sealed_stream import (
    ABOUT_BYTES_MAX,
    CLEAR_BYTES_MAX,
    MAGIC,
    PIECE_BYTES,
    PREFIX_BYTES,
    TAG_BYTES,
    StreamSealer,
    head_bytes,
    open_stream,
    read_head,
    sealed_bytes,
)

SENDER, RECEIVER, OTHER = (NodeKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
CHAIN = (b"certificate", b"of the issuer")
ABOUT = b"part 1"
STREAM_KEY = bytes(range(32))
SEALED_PIECE = PIECE_BYTES + TAG_BYTES
SIZES = (0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES + 5)


def sealer(about: bytes = ABOUT, sender: NodeKey = SENDER, key: bytes = STREAM_KEY) -> StreamSealer:
    return StreamSealer(sender, CHAIN, RECEIVER.office_public, about, key)


def text(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sealed(size: int) -> tuple[bytes, bytes]:
    """Return head and body of a stream."""
    made = sealer()
    return made.head, made.update(text(size)) + made.finish()


def opened(head: bytes, body: bytes, key: NodeKey = RECEIVER, step: int = 1 << 20) -> bytes:
    opener = open_stream(read_head(head), SENDER.peer_id, key.office_private)
    parts = [opener.update(body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(parts) + opener.finish()


def code_of(head: bytes, body: bytes, key: NodeKey = RECEIVER) -> str:
    with pytest.raises(CryptoError) as caught:
        opened(head, body, key)
    return caught.value.code


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [7_001, 1 << 20])
def test_what_was_sealed_opens(size: int, step: int) -> None:
    made, plain = sealer(), text(size)
    parts = [made.update(plain[at : at + step]) for at in range(0, size, step)]
    body = b"".join(parts) + made.finish()
    assert opened(made.head, body, step=step) == plain
    assert len(body) == sealed_bytes(size)


def test_no_more_than_a_piece_waits_in_memory() -> None:
    made = sealer()
    opener = open_stream(read_head(made.head), SENDER.peer_id, RECEIVER.office_private)
    given_bytes = taken_bytes = 0
    for _ in range(40):
        given_bytes += 10_000
        taken_bytes += len(opener.update(made.update(bytes(10_000))))
        assert given_bytes - taken_bytes <= 2 * PIECE_BYTES


@pytest.mark.parametrize("size", SIZES)
def test_a_stream_that_was_cut_off_does_not_end(size: int) -> None:
    head, body = sealed(size)
    for end in {0, 1, len(body) // 2, len(body) - 1}:
        if end < len(body):
            assert code_of(head, body[:end]) in ("stream_cut_off", "stream_damaged")
    for end in range(SEALED_PIECE, len(body), SEALED_PIECE):
        assert code_of(head, body[:end]) == "stream_cut_off", "at the end of a piece"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_may_follow_the_end(size: int) -> None:
    head, body = sealed(size)
    _, more = sealed(10)
    for extra in (b"\0", more, bytes(SEALED_PIECE)):
        assert code_of(head, body + extra) == "stream_damaged"


def test_pieces_cannot_be_moved_repeated_or_left_out() -> None:
    head, body = sealed(3 * PIECE_BYTES + 5)
    pieces = [body[at : at + SEALED_PIECE] for at in range(0, len(body), SEALED_PIECE)]
    for order in ([1, 0, 2, 3], [0, 2, 3], [0, 0, 1, 2, 3], [0, 1, 3], [3], [0, 3]):
        assert code_of(head, b"".join(pieces[at] for at in order)) == "stream_damaged"


@settings(max_examples=60)
@given(data=st.data())
def test_one_altered_byte_anywhere_is_noticed(data: st.DataObject) -> None:
    head, body = sealed(PIECE_BYTES + 100)
    whole = bytearray(head + body)
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CryptoError):
        opened(bytes(whole[: len(head)]), bytes(whole[len(head) :]))


def test_only_the_receiver_opens_it() -> None:
    head, body = sealed(100)
    assert code_of(head, body, OTHER) == "not_a_recipient"
    assert code_of(head, body, SENDER) == "not_a_recipient"


def test_a_stream_signed_by_somebody_else_is_refused() -> None:
    made = sealer(sender=OTHER)
    with pytest.raises(SignatureError):
        open_stream(read_head(made.head), SENDER.peer_id, RECEIVER.office_private)


def test_nobody_can_pass_off_a_stream_as_their_own() -> None:
    """Another signature and chain do not help: the sealed key opens under its own head only."""
    head = read_head(sealed(100)[0])
    thief = read_head(sealer(sender=OTHER, about=b"mine").head)
    signature = OTHER.sign(thief.clear + head.sealed_key)
    forged = read_head(thief.clear + head.sealed_key + signature)
    with pytest.raises(SealError) as caught:
        open_stream(forged, OTHER.peer_id, RECEIVER.office_private)
    assert caught.value.code == "stream_damaged"


def test_a_head_that_is_cut_off_is_refused() -> None:
    head, _ = sealed(1)
    assert head_bytes(head[:PREFIX_BYTES]) == len(head)
    for end in range(len(head)):
        with pytest.raises(SealError):
            read_head(head[:end])


def test_a_head_says_whose_it_is_before_it_is_opened() -> None:
    head = read_head(sealed(1)[0])
    assert (head.chain, head.about) == (CHAIN, ABOUT)


@given(data=st.binary(max_size=400), is_marked=st.booleans())
def test_arbitrary_bytes_are_no_stream(data: bytes, is_marked: bool) -> None:
    with pytest.raises(SealError):
        read_head(MAGIC + data if is_marked else data)


def test_a_head_cannot_claim_more_room_than_a_head_needs() -> None:
    with pytest.raises(SealError) as caught:
        head_bytes(MAGIC + (CLEAR_BYTES_MAX + 1).to_bytes(4, "big"))
    assert caught.value.code == "stream_foreign"


def test_a_stream_needs_a_key_of_its_own_and_few_words() -> None:
    for about, key in ((ABOUT, b"short"), (bytes(ABOUT_BYTES_MAX + 1), STREAM_KEY)):
        with pytest.raises(ValueError, match="stream key"):
            sealer(about=about, key=key)
    for receiver in (bytes(31), bytes(32)):
        with pytest.raises(SealError) as caught:
            StreamSealer(SENDER, CHAIN, receiver, ABOUT, STREAM_KEY)
        assert caught.value.code == "recipients_wrong"
