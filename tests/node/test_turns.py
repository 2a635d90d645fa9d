"""Goal: no peer, however much it wants or however dear its messages are, makes the others wait.

Method: hypothesis invents peers with backlogs and what their work costs; then the writer's own
thread with a clock that runs by what the work costs. Turns are counted, not timed.
"""

import asyncio
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clock import Clock
from node.turns import Turns
from node.writer import WriterThread

_costs = st.lists(st.integers(1, 100), min_size=2, max_size=30)


def work_off(turns: Turns[int, int], costs: list[int], pieces: int) -> list[int]:
    """Let owners whose pieces cost so much, and who always want more, have some turns."""
    order = []
    for _ in range(pieces):
        owner, cost = turns.next()
        order.append(owner)
        turns.spend(owner, cost)
        turns.add(owner, costs[owner])
    return order


@given(_costs, st.integers(0, 400))
def test_those_who_always_want_more_get_equal_shares(costs: list[int], pieces: int) -> None:
    turns: Turns[int, int] = Turns()
    for owner, cost in enumerate(costs):
        turns.add(owner, cost)
    spent = Counter(dict.fromkeys(range(len(costs)), 0))
    for owner in work_off(turns, costs, pieces):
        spent[owner] += costs[owner]
    # Nobody is ahead of anybody by more than one piece of its own.
    for one in spent:
        assert spent[one] - costs[one] <= min(spent.values())


@given(_costs, st.integers(0, 400))
def test_who_wanted_nothing_for_a_while_waits_for_one_piece_of_each_other_at_most(
    costs: list[int], pieces: int
) -> None:
    turns: Turns[int, int] = Turns()
    for owner, cost in enumerate(costs):
        turns.add(owner, cost)
    work_off(turns, costs, pieces)
    newcomer = len(costs)
    turns.add(newcomer, 1)
    order = work_off(turns, [*costs, 1], len(costs) + 1)
    before = order[: order.index(newcomer)]
    assert len(before) == len({*before}), "one piece of each"


@settings(max_examples=50)
@given(st.lists(st.integers(1, 50), max_size=20), st.integers(0, 20))
def test_time_alone_saves_up_no_share(pauses: list[int], pieces: int) -> None:
    turns: Turns[str, None] = Turns()
    for _ in pauses:
        turns.add("busy", None)
        turns.next()
        turns.spend("busy", 10.0)
    # Others may not make up for turns that they did not want.
    for _ in range(2):
        turns.add("idle", None)
        turns.add("busy", None)
        first = [turns.next()[0], turns.next()[0]]
        turns.spend("idle", 10.0)
        turns.spend("busy", 10.0)
    assert first == ["busy", "idle"] or first == ["idle", "busy"]


def test_those_whose_share_is_used_up_are_forgotten_once_it_is_not() -> None:
    turns: Turns[int, None] = Turns()
    for owner in range(5_000):
        turns.add(owner, None)
        turns.next()
        turns.spend(owner, 1.0)
        turns.add(-1, None)
        turns.next()
        turns.spend(-1, 1.0)
    assert len(turns._ends) <= 1_001


class _Costly(Clock):
    """A clock that runs by what work costs."""

    def __init__(self) -> None:
        self.spent = 0.0

    def monotonic_s(self) -> float:
        return self.spent


def test_one_heavy_and_one_broken_commune_keep_none_of_twenty_others_waiting() -> None:
    clock, done = _Costly(), list[str]()

    def piece(who: str, cost: float) -> None:
        clock.spent += cost
        done.append(who)
        if who == "broken":
            raise ValueError("garbage")

    async def story() -> list[int]:
        writer, waited = WriterThread(clock), list[int]()

        async def peer(who: str, cost: float, pieces: int) -> None:
            for _ in range(pieces):
                asked = len(done)
                if who == "broken":
                    with pytest.raises(ValueError, match="garbage"):
                        await writer.run_for(who.encode(), lambda: piece(who, cost))
                else:
                    await writer.run_for(who.encode(), lambda: piece(who, cost))
                if who.startswith("normal"):
                    waited.append(done.index(who, asked) - asked)
                    # It has something to say now and then only.
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(peer("heavy", 100.0, 40))
            group.create_task(peer("broken", 500.0, 40))
            for number in range(20):
                group.create_task(peer(f"normal {number}", 1.0, 30))
        writer.close()
        return waited

    waited = asyncio.run(story())
    assert len(waited) == 600
    assert max(waited) <= 22
    # Nor do the two get more turns than their time allows while others want some.
    last = max(index for index, who in enumerate(done) if who.startswith("normal"))
    assert done[:last].count("heavy") <= 2 + 600 // 100
    assert done[:last].count("broken") <= 2 + 600 // 500
    assert done.count("heavy") == done.count("broken") == 40, "they are served all the same"


def test_people_at_a_page_go_before_all_links() -> None:
    done: list[str] = []

    async def story() -> None:
        writer = WriterThread(Clock())
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(
                    writer.run_for(bytes([number]), lambda: done.append("link")),
                )
            await asyncio.sleep(0)
            group.create_task(writer.run(lambda: done.append("person")))
        writer.close()

    asyncio.run(story())
    assert len(done) == 31
    assert done.index("person") <= 2, "after what was under way"


def test_work_whose_waiter_went_before_its_turn_is_not_done() -> None:
    done: list[int] = []

    async def story() -> None:
        writer = WriterThread(Clock())
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run(lambda: done.append(1)))
            second = group.create_task(writer.run_for(b"peer", lambda: done.append(2)))
            await asyncio.sleep(0)
            second.cancel()
        await writer.run(lambda: done.append(3))
        writer.close()

    asyncio.run(story())
    assert done == [1, 3]


def test_work_for_a_link_is_made_when_its_turn_has_come() -> None:
    async def story() -> list[str]:
        writer, may_end, came = WriterThread(Clock()), threading.Event(), ["early"]
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run_for(b"other", may_end.wait))
            await asyncio.sleep(0)
            made = group.create_task(writer.run_prepared(b"peer", lambda: [*came].copy))
            await asyncio.sleep(0)
            came.append("meanwhile")
            may_end.set()
        writer.close()
        return made.result()

    assert asyncio.run(story()) == ["early", "meanwhile"]
