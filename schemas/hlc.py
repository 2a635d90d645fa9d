"""Hybrid logical clock: wall time that never runs backwards and respects what was seen.

A reading is one integer: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16
(Kulkarni et al., "Logical Physical Clocks", 2014).
"""

from schemas.limits import CLOCK_AHEAD_MS_MAX

_COUNTER_BITS = 16
HLC_MAX = (1 << 63) - 1


def reading(ms: int, counter: int = 0) -> int:
    """Return the reading of a wall time and a counter."""
    return ms << _COUNTER_BITS | counter


def reading_ms(hlc: int) -> int:
    """Return the milliseconds since 1970 of a reading."""
    return hlc >> _COUNTER_BITS


def tick(last: int, now_ms: int) -> int:
    """Return the reading for a new local event: at least now, always above last."""
    return max(last + 1, reading(now_ms))


def has_passed(wait_ms: int, since_ms: int, now_ms: int) -> bool:
    """Tell whether a wait is over by a wall clock that may have been set back meanwhile.

    A clock before the start of the wait says nothing but that it jumped: the wait is over, because
    it might otherwise last for weeks.
    """
    return not since_ms <= now_ms < since_ms + wait_ms


def observe(last: int, seen: int, now_ms: int) -> int:
    """Return the clock after a foreign reading was seen.

    A reading more than a day ahead is a broken clock elsewhere: following it would spoil ours.
    """
    if reading_ms(seen) > now_ms + CLOCK_AHEAD_MS_MAX:
        return last
    return max(last, seen)
