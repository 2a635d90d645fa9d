"""Goal: who asks too often waits, nobody waits for another, and a crowd takes no memory.

Method: a throttle and a clock of numbers.
"""

from hypothesis import given
from hypothesis import strategies as st

from node.throttle import Throttle


def test_who_asked_often_waits_and_may_ask_again_at_the_time_that_was_named() -> None:
    throttle = Throttle(3, 10.0, 100)
    assert [throttle.wait_s("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]
    assert throttle.wait_s("b", 0.0) == 0.0
    assert throttle.wait_s("a", 4.0) == 6.0
    assert throttle.wait_s("a", 10.0) == 0.0
    assert throttle.wait_s("a", 10.0) == 10.0


def test_callers_beyond_the_bound_wait_until_others_rest() -> None:
    throttle = Throttle(1, 10.0, 2)
    assert [throttle.wait_s(caller, 0.0) for caller in "abc"] == [0.0, 0.0, 10.0]
    assert throttle.wait_s("c", 10.0) == 0.0


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60))
def test_nobody_is_let_in_more_often_than_agreed(pauses: list[float]) -> None:
    throttle, now_s, let_in = Throttle(3, 10.0, 100), 0.0, []
    for pause in pauses:
        now_s += pause
        if throttle.wait_s("a", now_s) == 0:
            let_in.append(now_s)
    for first in let_in:
        within = [at for at in let_in if first <= at <= first + 30.0]
        assert len(within) <= 3 + 3 + 1
