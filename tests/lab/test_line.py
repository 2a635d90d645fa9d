"""Goal: an emulated line delays, loses and drops as much as it was told to, and keeps the order.

Method: the pure line with a clock of the test's own; shares are compared over many packets.
"""

import random
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lab.line import Line, Shape


def send(line: Line, count: int, size: int = 1_000, every_s: float = 1.0) -> list[bytes]:
    """Offer numbered packets one by one and return what arrives."""
    arrived: list[bytes] = []
    for number in range(count):
        line.offer(number.to_bytes(4, "big").ljust(size, b"."), number * every_s)
        arrived += line.due(number * every_s)
    return arrived + line.due(count * every_s + 3_600)


@given(
    st.floats(0, 0.5), st.floats(1, 20), st.floats(0, 900), st.floats(0, 400), st.integers(0, 2**32)
)
def test_packets_arrive_once_in_order_or_are_counted(
    loss: float, burst: float, delay_ms: float, jitter_ms: float, seed: int
) -> None:
    shape = Shape(rate_bps=64_000, delay_ms=delay_ms, jitter_ms=jitter_ms, loss=loss, burst=burst)
    line = Line(shape, random.Random(seed))
    arrived = send(line, 50, every_s=0.01)
    assert arrived == sorted(set(arrived))
    counts = line.counts
    assert counts.packets == 50
    assert counts.delivered == len(arrived)
    assert counts.delivered + counts.lost + counts.dropped + counts.cut == 50


def test_a_packet_takes_its_time_on_the_air_and_on_the_way() -> None:
    line = Line(Shape(rate_bps=64_000, delay_ms=300), random.Random(0))
    line.offer(bytes(1_000), 10.0)
    line.offer(bytes(1_000), 10.0)
    assert line.next_s() == pytest.approx(10.0 + 0.125 + 0.3)
    assert line.due(10.42) == []
    assert len(line.due(10.43)) == 1
    assert line.next_s() == pytest.approx(10.0 + 0.25 + 0.3)


def test_what_the_queue_cannot_hold_is_dropped_and_later_packets_get_in_again() -> None:
    line = Line(Shape(rate_bps=8_000, queue_bytes=2_500), random.Random(0))
    for _ in range(4):
        line.offer(bytes(1_000), 0.0)
    assert line.counts.dropped == 2
    line.offer(bytes(1_000), 1.5)
    assert line.counts.dropped == 2
    assert len(line.due(60.0)) == 3


def test_a_line_is_cut_within_the_packet_that_holds_the_byte() -> None:
    line = Line(Shape(), random.Random(0))
    line.offer(bytes(1_000), 0.0)
    assert len(line.due(0.0)) == 1
    line.cut_after(1_500)
    for _ in range(3):
        line.offer(bytes(1_000), 1.0)
    assert len(line.due(1.0)) == 1
    assert line.is_cut
    assert line.counts.cut == 2
    line.cut(is_cut=False)
    line.offer(bytes(1_000), 2.0)
    assert len(line.due(2.0)) == 1


@pytest.mark.parametrize("burst", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("loss", [0.05, 0.2, 0.3])
def test_losses_have_the_share_and_the_runs_asked_for(loss: float, burst: float) -> None:
    count = 60_000
    line = Line(Shape(loss=loss, burst=burst), random.Random(7))
    arrived = {int.from_bytes(packet[:4], "big") for packet in send(line, count, size=8)}
    lost = [number not in arrived for number in range(count)]
    assert sum(lost) / count == pytest.approx(loss, rel=0.1)
    runs = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    expected = 1 / (1 - loss) if burst == 1 else burst
    assert sum(runs) / len(runs) == pytest.approx(expected, rel=0.1)


def test_a_cut_loses_what_is_on_the_way_and_all_until_it_is_mended() -> None:
    line = Line(Shape(delay_ms=500), random.Random(0))
    line.offer(b"before", 0.0)
    line.cut(True)
    line.offer(b"during", 0.1)
    line.cut(False)
    line.offer(b"after", 0.2)
    assert line.due(9.0) == [b"after"]
    assert line.counts.cut == 2


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.0}, {"loss": -0.1}, {"burst": 0.5}, {"rate_bps": -1}, {"delay_ms": -1.0}]
)
def test_a_line_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Shape(**wrong)  # type: ignore[arg-type] # each is a number of its kind
