"""Ranges are a set of numbers: whatever is done to them, a plain set answers the same.

Method: drawn additions are made to both.
"""

from hypothesis import given
from hypothesis import strategies as st

from sync.ranges import Ranges

numbers = st.integers(0, 40)
spans = st.lists(st.tuples(numbers, numbers), max_size=20)


def added(history: list[tuple[int, int]]) -> tuple[Ranges, set[int]]:
    ranges, plain = Ranges(), set[int]()
    for first, end in history:
        ranges.add(first, end)
        plain |= set(range(first, end))
    return ranges, plain


@given(spans, numbers)
def test_ranges_answer_like_a_set(history: list[tuple[int, int]], start: int) -> None:
    ranges, plain = added(history)
    end = start
    while end in plain:
        end += 1
    assert ranges.contiguous_end(start) == end
    assert ranges.end == max(plain, default=-1) + 1
    missing = [
        number for first, count in ranges.gaps(start) for number in range(first, first + count)
    ]
    assert missing == [n for n in range(start, max(plain, default=-1) + 1) if n not in plain]


@given(spans, numbers, numbers)
def test_what_is_covered_is_held_whole(
    history: list[tuple[int, int]], start: int, end: int
) -> None:
    ranges, plain = added(history)
    assert ranges.covers(start, end) == (set(range(start, end)) <= plain)


@given(spans)
def test_gaps_are_as_few_and_as_long_as_can_be(history: list[tuple[int, int]]) -> None:
    gaps = added(history)[0].gaps(0)
    assert all(count > 0 for _, count in gaps)
    ends = [first + count for first, count in gaps]
    assert all(end < first for end, (first, _) in zip(ends, gaps[1:], strict=False))


@given(st.lists(numbers))
def test_ranges_start_from_numbers(given_numbers: list[int]) -> None:
    ranges = Ranges(given_numbers)
    held = {n for n in range(42) if ranges.contiguous_end(n) != n}
    assert held == set(given_numbers)


def test_nothing_is_held_at_first() -> None:
    ranges = Ranges()
    ranges.add(5, 5)
    ranges.add(7, 3)
    assert (ranges.contiguous_end(3), ranges.gaps(0)) == (3, [])
