"""The initiator learns exactly what each side lacks, whatever the sets and the frames.

Method: conversations over drawn sets against the plain difference of the sets, messages compared
byte for byte with those of the published implementation, and every message cut and altered.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.errors import NegentropyError
from sync.negentropy import (
    FRAME_BYTES_MIN,
    INFINITY,
    Bound,
    Item,
    Items,
    ItemVector,
    fingerprint,
    initiate,
    probe,
    reconcile,
    respond,
)
from tests.vectoring.negentropy import Scenario, build, digest_of

VECTORS: Final = json.loads(
    (Path(__file__).parent.parent / "vectors" / "negentropy.json").read_text()
)
FRAMES: Final = st.sampled_from([None, 4096, 4097, 4500, 8192])
ROUNDS_MAX: Final = 500
EMPTY: Final = ItemVector([])


class Conversation(NamedTuple):
    """What was said, initiator and responder in turn, and what came of it."""

    messages: list[bytes]
    have: list[bytes]
    need: list[bytes]


def converse(
    ours: Items,
    theirs: Items,
    frames: tuple[int | None, int | None] = (None, None),
    first: bytes | None = None,
) -> Conversation:
    """Let the two sides talk until the initiator knows all."""
    message = initiate(ours) if first is None else first
    said = Conversation([message], [], [])
    for _ in range(ROUNDS_MAX):
        answer = respond(theirs, message, frame_bytes_max=frames[1])
        reply, have, need = reconcile(ours, answer, frame_bytes_max=frames[0])
        said.messages.append(answer)
        said.have.extend(item.id for run in have for item in ours.items(run.start, run.stop))
        said.need.extend(need)
        if reply is None:
            return said
        said.messages.append(reply)
        message = reply
    raise AssertionError("it never ends")


def plain_id(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def plain_items(count: int) -> list[tuple[int, bytes]]:
    return [(number, plain_id(number)) for number in range(count)]


@st.composite
def drawn_sets(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Return two small sets: few timestamps or many, ids alike or not."""
    times = draw(st.sampled_from([st.just(7), st.integers(0, 3), st.integers(0, INFINITY - 1)]))
    ids = draw(st.sampled_from([st.binary(min_size=32, max_size=32), short_ids()]))
    drawn = draw(st.dictionaries(ids, st.tuples(times, st.integers(1, 3)), max_size=120))
    ours = [(time, key) for key, (time, sides) in drawn.items() if sides & 1]
    return ours, [(time, key) for key, (time, sides) in drawn.items() if sides & 2]


def short_ids() -> st.SearchStrategy[bytes]:
    return st.integers(0, 1 << 16).map(lambda number: number.to_bytes(32, "big"))


@st.composite
def drawn_scenarios(draw: st.DrawFn) -> Scenario:
    permille = st.sampled_from([0, 3, 50, 1000])
    tail = st.sampled_from([0, 1, 40, 300])
    return Scenario(
        seed=draw(st.integers(0, 1 << 32)),
        count=draw(st.integers(0, 900)),
        first=draw(st.sampled_from([0, 1_700_000_000_000, INFINITY - 1_000])),
        same_time=draw(st.sampled_from([1, 2, 50, 1_000])),
        shared=draw(st.sampled_from([0, 0, 20])),
        missing=(draw(permille), draw(permille)),
        tail=(draw(tail), draw(tail)),
    )


def assert_differences_are_found(
    ours: list[tuple[int, bytes]],
    theirs: list[tuple[int, bytes]],
    frames: tuple[int | None, int | None],
    first: bytes | None = None,
) -> None:
    said = converse(ItemVector(ours), ItemVector(theirs), frames, first)
    assert set(said.have) == {key for _, key in ours} - {key for _, key in theirs}
    assert set(said.need) == {key for _, key in theirs} - {key for _, key in ours}
    if frames == (None, None):
        assert len(set(said.have)) == len(said.have)
        assert len(set(said.need)) == len(said.need)
    for number, message in enumerate(said.messages):
        limit = frames[number % 2]
        assert limit is None or len(message) <= limit


# What is found


@settings(deadline=None)
@given(drawn_sets(), FRAMES, FRAMES)
def test_the_initiator_learns_exactly_the_differences(
    sets: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]],
    our_frame: int | None,
    their_frame: int | None,
) -> None:
    assert_differences_are_found(*sets, (our_frame, their_frame))


@settings(deadline=None)
@given(drawn_scenarios(), FRAMES, FRAMES)
def test_large_sets_are_reconciled_in_small_frames(
    scenario: Scenario, our_frame: int | None, their_frame: int | None
) -> None:
    assert_differences_are_found(*build(scenario), (our_frame, their_frame))


@settings(deadline=None)
@given(drawn_scenarios())
def test_a_probe_finds_the_same(scenario: Scenario) -> None:
    ours, theirs = build(scenario)
    assert_differences_are_found(ours, theirs, (None, None), probe(ItemVector(ours)))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 1_000])
def test_equal_sets_cost_one_question(count: int) -> None:
    items = ItemVector(plain_items(count))
    for first in (initiate(items), probe(items)):
        said = converse(items, items, first=first)
        assert said.have == said.need == []
        assert len(said.messages) == 2
    assert len(probe(items)) == 20


@pytest.mark.parametrize("count", [1, 31, 32, 700])
def test_an_empty_side_lacks_everything(count: int) -> None:
    items = ItemVector(plain_items(count))
    ids = [key for _, key in plain_items(count)]
    assert converse(items, EMPTY).have == ids
    assert converse(EMPTY, items).need == ids
    assert converse(EMPTY, items, (4096, 4096)).need == ids


def test_what_the_peer_lacks_comes_as_few_runs() -> None:
    ours = ItemVector(plain_items(1_000))
    answer = respond(EMPTY, initiate(ours), frame_bytes_max=None)
    assert reconcile(ours, answer, frame_bytes_max=None).have == [range(1_000)]
    theirs = ItemVector(item for item in plain_items(30) if item[0] not in {3, 4, 5, 20})
    few = ItemVector(plain_items(30))
    answer = respond(theirs, initiate(few), frame_bytes_max=None)
    assert reconcile(few, answer, frame_bytes_max=None).have == [range(3, 6), range(20, 21)]


def test_new_items_at_the_end_of_a_long_log_cost_little() -> None:
    items = plain_items(40_000)
    ours, theirs = ItemVector(items), ItemVector(items[:-20])
    said = converse(ours, theirs)
    assert said.have == [key for _, key in items[-20:]]
    assert sum(map(len, said.messages)) < 2_500
    assert len(said.messages) <= 6


def test_an_end_the_peer_lacks_is_found_though_the_frame_is_full() -> None:
    # The peer differs in four ranges and has nothing behind them. Our answers to the four nearly
    # fill the frame, so the end has to wait, and nothing we say may look as if it were empty.
    items = plain_items(31 * 3 + 26 + 40)
    ours = ItemVector(items)
    theirs = [(at, plain_id(at + 1_000)) for at in (0, 31, 62, 93)]
    message = bytearray(b"\x61")
    for width in (31, 31, 31, 26):
        offset = width + (len(message) == 1)
        message += bytes((offset + (len(message) > 1), 0, 1)) + bytes(16)
    message += bytes((0, 0, 1)) + fingerprint(EMPTY, 0, 0)
    reply, have, _ = reconcile(ours, bytes(message), frame_bytes_max=4096)
    assert reply is not None
    assert not have
    assert reply[-19:-16] == bytes((0, 0, 1))
    assert reply[-16:] == fingerprint(ours, len(items) - 40, len(items))
    said = converse(ours, ItemVector(theirs), (4096, 4096), first=reply)
    assert set(said.have) == {key for _, key in items}
    assert set(said.need) == {key for _, key in theirs}


def test_one_id_at_two_times_is_two_items() -> None:
    ours = ItemVector([(1, plain_id(1)), (2, plain_id(1))])
    assert converse(ours, EMPTY).have == [plain_id(1)] * 2
    assert converse(ours, ItemVector([(1, plain_id(1))])).have == [plain_id(1)]


# The same bytes as others


@pytest.mark.parametrize("vector", VECTORS["scenarios"], ids=lambda vector: str(vector["seed"]))
def test_messages_are_those_of_the_published_implementation(vector: dict[str, Any]) -> None:
    names = Scenario.__dataclass_fields__
    scenario = Scenario(**{name: vector[name] for name in names})
    ours, theirs = build(scenario)
    frames = [limit or None for limit in scenario.frames]
    said = converse(ItemVector(ours), ItemVector(theirs), (frames[0], frames[1]))
    assert [message.hex() for message in said.messages] == vector["messages"]
    for found, expected in ((said.have, vector["have"]), (said.need, vector["need"])):
        assert [len(found), digest_of([key.hex() for key in found])] == expected


@pytest.mark.parametrize(("question", "answer"), VECTORS["answers"])
def test_answers_are_those_of_the_published_implementation(question: str, answer: str) -> None:
    items = ItemVector(build(Scenario(**first_parameters())).responder)
    assert respond(items, bytes.fromhex(question), frame_bytes_max=None).hex() == answer


def first_parameters() -> dict[str, Any]:
    return {name: VECTORS["scenarios"][0][name] for name in Scenario.__dataclass_fields__}


@settings(deadline=None)
@given(drawn_sets())
def test_a_fingerprint_follows_from_its_definition(
    sets: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]],
) -> None:
    items = ItemVector(sets[0])
    total = sum(int.from_bytes(key, "little") for _, key in sets[0]) % (1 << 256)
    # Fewer than 128 items, so their number is one byte.
    content = total.to_bytes(32, "little") + bytes((len(sets[0]),))
    assert fingerprint(items, 0, items.size()) == hashlib.sha256(content).digest()[:16]


# Reading a set


@settings(deadline=None)
@given(drawn_sets(), st.data())
def test_a_set_in_memory_answers_as_a_plain_list_does(
    sets: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]], data: st.DataObject
) -> None:
    plain = sorted(sets[0])
    items = ItemVector(sets[0])
    start = data.draw(st.integers(0, len(plain)))
    end = data.draw(st.integers(start, len(plain)))
    assert items.size() == len(plain)
    assert list(items.items(start, end)) == plain[start:end]
    ids = [int.from_bytes(key, "little") for _, key in plain[start:end]]
    assert items.id_sum(start, end) == sum(ids) % (1 << 256)
    time, key = data.draw(st.sampled_from([*sets[0], *sets[1], (0, b"")]))
    bound = Bound(time, key[: data.draw(st.integers(0, 32))])
    below = [at for at in range(start, end) if plain[at] < bound]
    assert items.lower_bound(start, end, bound) == start + len(below)


@pytest.mark.parametrize(
    "items",
    [
        [(INFINITY, bytes(32))],
        [(-1, bytes(32))],
        [(0, bytes(31))],
        [(0, bytes(33))],
        [(5, bytes(32)), (4, bytes(32)), (5, bytes(32))],
    ],
)
def test_what_cannot_be_an_item_is_refused(items: list[tuple[int, bytes]]) -> None:
    with pytest.raises(ValueError, match="item"):
        ItemVector(items)


@dataclass(slots=True)
class Watched:
    """A set that counts the items read one by one."""

    inner: ItemVector
    read: int = 0

    def size(self) -> int:
        return self.inner.size()

    def items(self, start: int, end: int) -> Iterator[Item]:
        for item in self.inner.items(start, end):
            self.read += 1
            yield item

    def id_sum(self, start: int, end: int) -> int:
        return self.inner.id_sum(start, end)

    def lower_bound(self, start: int, end: int, bound: Bound) -> int:
        return self.inner.lower_bound(start, end, bound)


def test_few_items_of_a_long_log_are_read() -> None:
    ours = Watched(ItemVector(plain_items(40_000)))
    theirs = Watched(ItemVector(plain_items(39_990)))
    assert len(converse(ours, theirs).have) == 10
    assert ours.read < 300
    assert theirs.read < 300


def test_a_peer_that_asks_for_everything_gets_one_frame() -> None:
    items = Watched(ItemVector(plain_items(40_000)))
    answer = respond(items, bytes.fromhex("6100000200"), frame_bytes_max=FRAME_BYTES_MIN)
    assert len(answer) <= FRAME_BYTES_MIN
    assert items.read < FRAME_BYTES_MIN // 32


def test_a_peer_that_claims_to_have_nothing_is_believed_unread() -> None:
    items = Watched(ItemVector(plain_items(40_000)))
    findings = reconcile(items, bytes.fromhex("6100000200"), frame_bytes_max=None)
    assert findings == (None, [range(40_000)], [])
    assert items.read == 0


# Messages that are none


@pytest.mark.parametrize(
    "message",
    [
        "",  # no version
        "00",
        "5f",
        "70",
        "6100",  # a bound cut short
        "610100",  # no mode
        "61000003",  # no such mode
        "6100008001",
        "61000001" + "00" * 15,  # a fingerprint cut short
        "6100000201" + "00" * 31,  # an id cut short
        "61000002" + "81" + "80" * 8 + "00",  # a list longer than any memory
        "6100000280" + "00" * 32,  # a number that is not in its shortest form
        "618000000200",
        "61" + "82" + "80" * 8 + "00" + "000200",  # a number of 65 bits
        "61" + "ff" * 5_000,
        "610121" + "00" * 33 + "00",  # a prefix longer than an id
        "6100010000",  # a prefix at infinity
        "61" + "0201ff00" + "0101fe00",  # backwards
        "61" + "020200ff00" + "010000",
    ],
)
def test_a_malformed_message_is_refused(message: str) -> None:
    for items in (EMPTY, ItemVector(plain_items(40))):
        for work in (respond, reconcile):
            with pytest.raises(NegentropyError) as refused:
                work(items, bytes.fromhex(message), frame_bytes_max=None)
            assert refused.value.code == "negentropy_malformed"


def test_omitted_bytes_of_a_bound_are_zeros() -> None:
    message = bytes.fromhex("61" + "0202ff0000" + "0101ff00")
    assert respond(EMPTY, message, frame_bytes_max=None) == b"\x61"


def test_ranges_behind_the_end_are_empty() -> None:
    message = bytes.fromhex("61" + "000000" + "0500020000000200")
    items = ItemVector(plain_items(40))
    assert respond(items, message, frame_bytes_max=None).hex() == "61" + "000000" + "00000200" * 2


def test_an_initiator_tells_another_version_from_an_answer() -> None:
    with pytest.raises(NegentropyError, match="version 0") as refused:
        reconcile(EMPTY, b"\x60", frame_bytes_max=None)
    assert refused.value.code == "negentropy_version"


@pytest.mark.parametrize("limit", [0, 1, FRAME_BYTES_MIN - 1])
def test_a_frame_too_small_for_the_protocol_is_a_mistake_of_ours(limit: int) -> None:
    with pytest.raises(ValueError, match="frame"):
        respond(EMPTY, initiate(EMPTY), frame_bytes_max=limit)


def assert_read_or_refused(items: Items, message: bytes) -> None:
    """Work the message off in both roles; anything but a NegentropyError fails the test."""
    for work in (reconcile, respond):
        try:
            done = work(items, message, frame_bytes_max=FRAME_BYTES_MIN)
        except NegentropyError:
            continue
        reply = done if isinstance(done, bytes) else done[0]
        assert reply is None or len(reply) <= FRAME_BYTES_MIN


def sample_messages() -> Iterable[bytes]:
    """Return messages with every mode, long bounds and a rest."""
    tight = Scenario(seed=5, count=300, same_time=100, shared=20, missing=(30, 30), tail=(80, 0))
    ours, theirs = map(ItemVector, build(tight))
    return [*converse(ours, theirs, (4096, 4096)).messages, probe(ours)]


def test_a_message_cut_anywhere_is_read_or_refused() -> None:
    items = ItemVector(plain_items(100))
    for message in sample_messages():
        for size in range(len(message)):
            assert_read_or_refused(items, message[:size])


@settings(deadline=None)
@given(st.data())
def test_an_altered_message_is_read_or_refused(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from(list(sample_messages()))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        message += b"\x61"[: not message]
    assert_read_or_refused(ItemVector(plain_items(100)), bytes(message))


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    items = ItemVector(plain_items(100))
    assert_read_or_refused(items, message)
    assert_read_or_refused(items, b"\x61" + message)
