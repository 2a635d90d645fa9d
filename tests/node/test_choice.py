"""Goal: the link takes datagrams where TCP drowns, comes back where it does not, never flaps."""

from collections.abc import Callable
from itertools import pairwise

from node.choice import Choice, Losses, Reason


def _told(
    choice: Choice, seconds: float, losses: Callable[[float], Losses], begun_s: float = 0.0
) -> tuple[Reason | None, float]:
    """Look once a second until something is wanted; return it, and after how long."""
    at_s = 0.0
    while at_s <= seconds:
        reason = choice.wants_other(losses(at_s), begun_s + at_s)
        if reason is not None:
            return reason, at_s
        at_s += 1.0
    return None, seconds


def _losing(share: float, packets_s: float = 5.0) -> Callable[[float], Losses]:
    def at(seconds: float) -> Losses:
        packets = int(seconds * packets_s)
        return Losses(packets=packets, lost=int(packets * share))

    return at


def test_tcp_that_loses_many_packets_is_left_soon() -> None:
    for share in (0.1, 0.2, 0.3):
        reason, after_s = _told(Choice(may_datagrams=True), 60, _losing(share))
        assert reason == "losses"
        assert after_s <= 10


def test_tcp_that_loses_few_packets_is_kept() -> None:
    for share in (0.0, 0.01, 0.03):
        assert _told(Choice(may_datagrams=True), 3_600, _losing(share))[0] is None


def test_one_lost_packet_at_the_beginning_is_no_reason() -> None:
    choice = Choice(may_datagrams=True)
    assert _told(choice, 60, lambda _: Losses(packets=4, lost=1))[0] is None


def test_a_packet_lost_again_and_again_is_a_reason() -> None:
    choice = Choice(may_datagrams=True)
    assert choice.wants_other(Losses(packets=100, lost=2, doublings=2), 1.0) == "losses"


def test_losses_of_long_ago_are_forgotten() -> None:
    choice = Choice(may_datagrams=True)

    def losses(seconds: float) -> Losses:
        return Losses(packets=100 + int(seconds * 5), lost=5)

    assert _told(choice, 3_600, losses)[0] is None


def test_where_they_are_forbidden_datagrams_are_never_tried() -> None:
    choice = Choice(may_datagrams=False)
    assert choice.only(0.0) == "websocket"
    assert _told(choice, 600, _losing(0.3))[0] is None
    assert choice.reason == "forbidden"


def test_what_got_through_last_time_is_dialled_first() -> None:
    choice = Choice(may_datagrams=True)
    assert choice.first() == "websocket"
    choice.take("datagrams", "losses")
    assert (choice.only(1.0), choice.first()) == (None, "datagrams")
    choice.take("websocket", "calm")
    assert choice.first() == "websocket"


def test_udp_that_nobody_answers_is_asked_rarely() -> None:
    choice = Choice(may_datagrams=True)
    asked, now_s = 0, 0.0
    while now_s < 7 * 86_400:
        if choice.may_try_datagrams(now_s):
            asked += 1
            choice.datagrams_failed(now_s, is_answered=False)
        now_s += 10
    assert asked < 14
    choice.take("datagrams", "losses")
    assert choice.may_try_datagrams(now_s)


def test_udp_that_was_answered_is_tried_again_soon() -> None:
    choice = Choice(may_datagrams=True)
    choice.datagrams_failed(0.0, is_answered=True)
    assert not choice.may_try_datagrams(5.0)
    assert choice.may_try_datagrams(15.0)


def test_a_line_that_has_long_lost_nothing_goes_back_to_tcp_and_a_silent_one_stays() -> None:
    choice = Choice(may_datagrams=True)
    choice.take("datagrams", "losses")
    reason, after_s = _told(choice, 3_600, _losing(0.005))
    assert reason == "calm"
    assert 590 < after_s < 700
    choice.take("datagrams", "losses")
    assert _told(choice, 3_600, _losing(0.0, packets_s=0.01))[0] is None
    assert _told(choice, 3_600, _losing(0.1))[0] is None


def test_who_went_back_too_early_waits_longer_next_time() -> None:
    choice = Choice(may_datagrams=True)
    waits, now_s = [], 0.0
    for _ in range(4):
        choice.take("datagrams", "losses")
        reason, after_s = _told(choice, 86_400, _losing(0.0), now_s)
        assert reason == "calm"
        waits.append(after_s)
        now_s += after_s
        choice.take("websocket", "calm")
        reason, after_s = _told(choice, 600, _losing(0.2), now_s)
        assert reason == "losses"
        now_s += after_s
    assert all(later > 1.8 * earlier for earlier, later in pairwise(waits))
