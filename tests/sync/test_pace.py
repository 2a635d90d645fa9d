"""Goal: as much is on its way as the line carries, and not much more.

Method: a line of a given rate and delay in a loop, with a clock of the test's own.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.pace import Departure, Pace


def fill(
    pace: Pace, rate_bytes_s: float, delay_ms: float, frames: int = 400, lost_every: int = 0
) -> float:
    """Send frames through a line as the window allows, and return the bytes a second achieved.

    A lost frame comes again after two more round trips; what follows it waits for it.
    """
    now_ms, free_ms, in_flight, held_until_ms = 0.0, 0.0, 0, 0.0
    flights: list[tuple[float, Departure]] = []
    for number in range(1, frames + 1):
        while in_flight + 1_200 > pace.window_bytes:
            arrives_ms, left = flights.pop(0)
            now_ms = max(now_ms, arrives_ms)
            pace.arrive(left, 1_200, int(now_ms))
            in_flight -= 1_200
        free_ms = max(free_ms, now_ms) + 1_200 / rate_bytes_s * 1_000
        if lost_every and number % lost_every == 0:
            held_until_ms = free_ms + 6 * delay_ms
        arrives_ms = max(held_until_ms, free_ms + 2 * delay_ms)
        in_flight += 1_200
        flights.append((arrives_ms, pace.depart(int(now_ms), in_flight)))
    return frames * 1_200 / free_ms * 1_000


@pytest.mark.parametrize(
    ("rate_bytes_s", "delay_ms"), [(8_000, 300), (2_000, 300), (16_000, 350), (1e6, 20), (5e6, 5)]
)
def test_a_line_is_filled_and_not_flooded(rate_bytes_s: float, delay_ms: float) -> None:
    pace = Pace(6_000, 256 << 10)
    assert fill(pace, rate_bytes_s, delay_ms, frames=4_000) > 0.7 * rate_bytes_s
    carried = rate_bytes_s * (2 * delay_ms / 1_000) + 2_400
    assert pace.window_bytes <= max(6_000, 1.6 * carried)


def test_the_slow_line_of_a_commune_has_a_few_packets_on_its_way() -> None:
    pace = Pace(6_000, 256 << 10)
    fill(pace, 8_000, 300)
    assert 6_000 <= pace.window_bytes <= 6_300


def test_a_slow_line_that_becomes_faster_is_filled_again() -> None:
    pace = Pace(6_000, 256 << 10)
    fill(pace, 8_000, 300)
    assert fill(pace, 16_000, 300) > 0.85 * 16_000


def test_a_line_that_loses_packets_does_not_stand_still_for_each_of_them() -> None:
    pace = Pace(6_000, 256 << 10)
    assert fill(pace, 8_000, 300, frames=1_000, lost_every=10) > 0.7 * 8_000
    assert pace.window_bytes <= 1.25 * 8_000 * 1.8 * 1.2, "as long as the longest way"


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(1, 10**6)), max_size=50))
def test_a_clock_that_jumps_leaves_a_window_within_bounds(steps: list[tuple[int, int]]) -> None:
    pace = Pace(6_000, 100_000)
    now_ms = 0
    for jump_ms, size_bytes in steps:
        left = pace.depart(now_ms, size_bytes)
        now_ms += jump_ms
        pace.arrive(left, size_bytes, now_ms)
        assert 6_000 <= pace.window_bytes <= 100_000
