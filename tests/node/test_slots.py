"""Goal: after an outage every child gets in at the time that it was told, and few begin at once.

Method: hypothesis lets herds of any size dial and obey, more or less; times are numbers.
"""

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.slots import (
    DIAL_EVERY_S,
    DIALS_AT_ONCE,
    FIRST_GUESS_S,
    START_S,
    STARTING_MAX,
    Slots,
)


def child(number: int) -> bytes:
    return number.to_bytes(4, "big")


def play(dials: list[float], lateness: list[float], lasts: list[float]) -> list[float]:
    """Let children dial first at these times, and return when each began."""
    slots, begun = Slots(), list[float]()
    # What happens when: a dial before any refusal, one after it, or the end of a start.
    due = [(at_s, number, "first") for number, at_s in enumerate(dials)]
    heapq.heapify(due)
    while due:
        now_s, number, what = heapq.heappop(due)
        if what == "end":
            slots.end(child(number), now_s)
        elif (wait_s := slots.ask(child(number), now_s)) == 0:
            begun.append(now_s)
            heapq.heappush(due, (now_s + lasts[number % len(lasts)], number, "end"))
        else:
            assert what == "first", "whoever comes at its turn is let in"
            assert wait_s <= (len(dials) + 1) * START_S / STARTING_MAX
            late_s = lateness[number % len(lateness)]
            heapq.heappush(due, (now_s + wait_s + late_s, number, "second"))
    return begun


_dials = st.lists(st.floats(0, 30), min_size=1, max_size=120)
_lateness = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@given(_dials, _lateness, st.lists(st.floats(0.01, 40), min_size=1, max_size=9))
@settings(max_examples=60)
def test_everybody_in_a_herd_gets_in_and_is_sent_away_once_at_most(
    dials: list[float], lateness: list[float], lasts: list[float]
) -> None:
    assert len(play(dials, lateness, lasts)) == len(dials)


@pytest.mark.parametrize("lasts_s", [0.5, FIRST_GUESS_S, START_S])
def test_few_begin_at_once_however_many_dial_and_all_are_let_in_soon(lasts_s: float) -> None:
    count = 10 * STARTING_MAX
    begun = sorted(play([0.0] * count, [0.0, 0.3, 0.9], [lasts_s]))
    # Beside those that found a slot, those whose turn comes while a start lasts, or a bit late.
    most = max(sum(s <= other < s + lasts_s for other in begun) for s in begun[::16])
    assert most <= STARTING_MAX * (1 + (lasts_s + 1) / FIRST_GUESS_S) + 4
    assert begun[-1] <= count / STARTING_MAX * max(lasts_s, FIRST_GUESS_S) + 1


def test_with_slots_free_nobody_waits() -> None:
    slots = Slots()
    for number in range(1_000):
        assert slots.ask(child(number), 0.0) == 0
        slots.end(child(number), 0.0)


def test_who_comes_before_its_turn_is_told_the_same_turn_again() -> None:
    slots = Slots()
    for number in range(2 * STARTING_MAX):
        slots.ask(child(number), 0.0)
    wait_s = slots.ask(b"early", 0.0)
    assert 0.5 < wait_s <= FIRST_GUESS_S + 0.1
    assert slots.ask(b"early", wait_s / 2) == wait_s / 2
    assert slots.ask(b"early", wait_s) == 0


def test_a_child_with_a_long_backlog_holds_no_slot_for_long() -> None:
    slots = Slots()
    for number in range(STARTING_MAX):
        assert slots.ask(child(number), 0.0) == 0
    assert slots.ask(b"next", START_S) == 0
    assert slots.starting == (b"next",)


def test_a_child_that_dials_without_end_is_told_to_rest_and_keeps_no_other_out() -> None:
    slots = Slots()
    let_in = 0
    for second in range(600):
        if slots.ask(b"broken", float(second)) == 0:
            let_in += 1
            slots.end(b"broken", float(second))
        assert slots.ask(child(second), float(second)) == 0
        slots.end(child(second), float(second))
    assert let_in <= DIALS_AT_ONCE + 600 / DIAL_EVERY_S
    assert len(slots._dials) <= DIALS_AT_ONCE * DIAL_EVERY_S + 2, "the others are forgotten"
