"""Goal: over a line that loses, doubles and mixes up packets, messages arrive once and in order.

Method: two ends in memory, a line drawn by hypothesis or the lab's line, and time that jumps from
event to event.
"""

import heapq
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.limits import MESSAGE_BYTES_MAX
from scripts.lab.line import Line, Shape
from sync.congestion import OVERHEAD_BYTES
from sync.datagrams import ANSWER_S, KEEPALIVE_S, SILENCE_S, Datagrams
from sync.errors import LinkError
from sync.outflow import PIECES_AHEAD_MAX, Outflow
from sync.packets import (
    PACKET_BYTES_MAX,
    PIECE_BYTES_MAX,
    Packet,
    Piece,
    Seen,
    Stream,
    decode_packet,
    encode_packet,
)

NUMBERS = st.integers(0, 2**32 - 1)
PACKETS = st.builds(
    Packet,
    number=NUMBERS,
    seen=st.none()
    | st.builds(
        Seen,
        highest=NUMBERS,
        before=st.integers(0, 2**64 - 1),
        taken=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    ),
    piece=st.none()
    | st.builds(
        Piece,
        stream=st.sampled_from(Stream),
        number=NUMBERS,
        data=st.binary(min_size=1, max_size=PIECE_BYTES_MAX),
    ),
    asks=st.booleans(),
    ends=st.booleans(),
)


class World:
    """Two ends, and ways between them that carry what a function lets pass, when it says."""

    def __init__(self, fate: Callable[[], list[float]]) -> None:
        self.now_s = 100.0
        self.ends = (
            Datagrams(self.now_s, keeps_alive=True),
            Datagrams(self.now_s, keeps_alive=False),
        )
        self._fate = fate
        self._way: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self.got: tuple[list[bytes], list[bytes]] = ([], [])

    def leave(self, number: int) -> None:
        for data in self.ends[number].packets(self.now_s):
            assert len(data) <= PACKET_BYTES_MAX
            for delay_s in self._fate():
                self._count += 1
                heapq.heappush(self._way, (self.now_s + delay_s, self._count, 1 - number, data))

    def fetch(self, number: int) -> None:
        while (message := self.ends[number].take()) is not None:
            self.got[number].append(message)

    def step(self, *, fetches: bool = True) -> None:
        for number in (0, 1):
            self.leave(number)
        times = [end.next_s(self.now_s) for end in self.ends]
        if self._way:
            times.append(self._way[0][0])
        self.now_s = max(self.now_s + 1e-4, min(times))
        while self._way and self._way[0][0] <= self.now_s:
            _, _, number, data = heapq.heappop(self._way)
            self.ends[number].receive(data, self.now_s)
        for number in (0, 1):
            if fetches:
                self.fetch(number)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.6),
    doubled=st.floats(0, 0.5),
    jitter_s=st.floats(0, 1.0),
    sizes=st.lists(
        st.integers(1, 40) | st.integers(1_000, 1_300) | st.just(9_000), min_size=1, max_size=30
    ),
)
def test_whatever_the_line_does_messages_arrive_once_and_in_order(
    seed: int, loss: float, doubled: float, jitter_s: float, sizes: list[int]
) -> None:
    rng = random.Random(seed)

    def fate() -> list[float]:
        if rng.random() < loss:
            return []
        return [0.05 + rng.random() * jitter_s for _ in range(1 + (rng.random() < doubled))]

    world = World(fate)
    wanted = [rng.randbytes(size) for size in sizes]
    for message in wanted:
        world.ends[0].outflow.put(message)
        world.ends[1].outflow.put(message[::-1])
    while not all(end.outflow.is_done for end in world.ends):
        world.step()
    assert world.got == ([message[::-1] for message in wanted], wanted)


def test_the_largest_message_goes_through_and_one_beyond_is_refused() -> None:
    world = World(lambda: [0.01])
    world.ends[0].outflow.put(bytes(MESSAGE_BYTES_MAX))
    while not world.ends[0].outflow.is_done:
        world.step()
    assert world.got[1] == [bytes(MESSAGE_BYTES_MAX)]
    for size in (0, MESSAGE_BYTES_MAX + 1):
        with pytest.raises(ValueError, match="message of"):
            world.ends[0].outflow.put(bytes(size))


def test_a_receiver_that_fetches_nothing_holds_no_more_than_its_bound_and_goes_on_later() -> None:
    world = World(lambda: [0.01])
    wanted = [bytes([number % 256]) * 1_000 for number in range(3_000)]
    for message in wanted:
        world.ends[0].outflow.put(message)
    for _ in range(3_000):
        world.step(fetches=False)
    held_bytes = world.ends[1].inflow.held_bytes
    assert held_bytes < (256 << 10) + (PIECES_AHEAD_MAX + 2) * PIECE_BYTES_MAX
    assert not world.ends[0].outflow.is_done
    while not world.ends[0].outflow.is_done:
        world.step()
    world.fetch(1)
    assert world.got[1] == wanted


def test_a_line_without_a_word_is_dead_and_one_that_is_only_idle_is_not() -> None:
    world = World(lambda: [0.3])
    begun_s = world.now_s
    while world.now_s < begun_s + 10 * SILENCE_S:
        world.step()
        assert not any(end.is_dead(world.now_s) for end in world.ends)
    assert world._count < 10 * 10 * SILENCE_S / KEEPALIVE_S, "keeping it alive is cheap"
    world._fate = list
    world.ends[0].outflow.put(b"lost")
    cut_s = world.now_s
    while not world.ends[0].is_dead(world.now_s):
        world.step()
    assert world.now_s < cut_s + ANSWER_S + 1


def test_on_a_dead_line_less_and_less_is_tried() -> None:
    left: list[float] = []
    world = World(lambda: [0.3])
    for _ in range(10):
        world.step()

    def fate() -> list[float]:
        left.append(world.now_s)
        return []

    world._fate = fate
    world.ends[0].outflow.put(b"lost")
    while not world.ends[0].is_dead(world.now_s):
        world.step()
    assert 5 < len(left) < 30
    assert left[-1] - left[-2] > 3 * (left[2] - left[1])


def test_who_closes_says_so() -> None:
    world = World(lambda: [0.01])
    world.step()
    for data in world.ends[0].farewell():
        world.ends[1].receive(data, world.now_s)
    assert world.ends[1].has_ended


def _transfer(shape: Shape, total_bytes: int, seed: int = 1) -> tuple[float, float, Outflow]:
    """Return seconds, the longest wait in the queue of the line, and the sender."""
    rng = random.Random(seed)
    lines = (Line(shape, rng), Line(shape, rng))
    ends = (Datagrams(0.0, keeps_alive=True), Datagrams(0.0, keeps_alive=False))
    now_s, put, got, longest_s = 0.0, 0, 0, 0.0
    while got < total_bytes:
        while put < total_bytes and not ends[0].is_full(Stream.URGENT):
            ends[0].outflow.put(bytes(1_200))
            put += 1_200
        for end, line in zip(ends, lines, strict=True):
            for data in end.packets(now_s):
                line.offer(data + bytes(OVERHEAD_BYTES), now_s)
        longest_s = max(longest_s, lines[0]._free_at_s - now_s)
        while (message := ends[1].take()) is not None:
            got += len(message)
        times = [end.next_s(now_s) for end in ends]
        times += [due for line in lines if (due := line.next_s()) is not None]
        now_s = max(min(times), now_s + 1e-4)
        for line, end in zip(lines, reversed(ends), strict=True):
            for data in line.due(now_s):
                end.receive(data[:-OVERHEAD_BYTES], now_s)
    return now_s, longest_s, ends[0].outflow


@pytest.mark.parametrize("rate_bps", [64_000, 512_000])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_losses_slow_the_sender_no_more_than_they_must_and_no_queue_fills(
    rate_bps: int, loss: float
) -> None:
    total_bytes = rate_bps * 15 // 8
    shape = Shape(rate_bps=rate_bps, delay_ms=300, loss=loss)
    took_s, longest_s, outflow = _transfer(shape, total_bytes)
    assert took_s < 2 * 15 / (1 - loss)
    assert longest_s < 1.5, "of 8 s that the queue of the line at 64 kbit/s could hold"
    # Delivered bytes in packets; what was sent twice was mostly lost.
    needed = total_bytes / PIECE_BYTES_MAX
    assert outflow.packets < needed / (1 - loss) * 1.25 + 10


def test_a_base_that_a_queue_has_lifted_is_not_taken_for_the_way() -> None:
    _, longest_s, outflow = _transfer(Shape(rate_bps=64_000, delay_ms=300), 2_000_000)
    assert longest_s < 1.5
    assert (outflow.congestion.base_s or 0) < 0.9


@given(packet=PACKETS)
def test_a_packet_is_read_as_it_was_written(packet: Packet) -> None:
    assert decode_packet(encode_packet(packet)) == packet


@given(data=st.binary(max_size=1_400))
def test_bytes_that_are_no_packet_are_refused_in_one_way(data: bytes) -> None:
    refused: list[str] = []
    try:
        assert encode_packet(decode_packet(data)) == data
    except LinkError as error:
        refused.append(error.code)
    assert refused in ([], ["packet_malformed"])


@settings(deadline=None)
@given(packets=st.lists(PACKETS, max_size=20))
def test_what_a_hostile_peer_says_costs_the_link_and_nothing_else(packets: list[Packet]) -> None:
    end = Datagrams(0.0, keeps_alive=False)
    end.outflow.put(bytes(5_000))
    now_s = 0.0
    refused: list[str] = []
    try:
        for packet in packets:
            now_s += 0.1
            end.packets(now_s)
            end.receive(encode_packet(packet), now_s)
            end.take()
    except LinkError as error:
        refused.append(error.code)
    assert all(code.startswith("packet_") for code in refused)


def test_an_acknowledgement_of_what_never_left_is_refused() -> None:
    end = Datagrams(0.0, keeps_alive=False)
    packet = Packet(number=0, seen=Seen(highest=7, before=0, taken=(0, 0, 0)))
    with pytest.raises(LinkError, match="not sent"):
        end.receive(encode_packet(packet), 0.1)
