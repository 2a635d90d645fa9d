"""Ids are unique, sortable and have one spelling; clocks never run backwards.

Method: properties over random times, counters and devices, and the vectors of RFC 9562.
"""

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.hlc import HLC_MAX, has_passed, observe, reading, reading_ms, tick
from schemas.ids import document_text, event_hlc, event_id, mint_document_id, parse_document_id
from schemas.limits import CLOCK_AHEAD_MS_MAX

MS_MAX = (1 << 47) - 1
times = st.integers(0, MS_MAX)
readings = st.integers(0, HLC_MAX)
devices = st.binary(min_size=16, max_size=16)


@given(times, st.integers())
def test_a_document_id_is_a_uuid_of_version_7(now_ms: int, seed: int) -> None:
    minted = mint_document_id(now_ms, random.Random(seed))
    value = uuid.UUID(bytes=minted)
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert int.from_bytes(minted[:6], "big") == now_ms
    assert parse_document_id(document_text(minted)) == minted


def test_document_ids_of_one_instant_differ_and_later_ones_sort_later() -> None:
    rng = random.Random(1)
    minted = [mint_document_id(ms, rng) for ms in (5, 5, 5, 6, 1_000, 1 << 40)]
    assert len(set(minted)) == len(minted)
    assert sorted(minted[2:]) == minted[2:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        " 017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
        "zzzzzzzz-79b0-7cc3-98c4-dc0c0c07398f",
        None,
        5,
        b"x" * 16,
    ],
    ids=repr,
)
def test_another_spelling_of_a_document_id_is_refused(text: object) -> None:
    with pytest.raises(RecordError):
        parse_document_id(text)  # type: ignore[arg-type] # what a file or a request may hold


@given(st.text(max_size=40))
def test_any_text_is_a_document_id_or_refused(text: str) -> None:
    try:
        parsed = parse_document_id(text)
    except RecordError as refusal:
        code = refusal.code
    else:
        code = ""
        assert document_text(parsed) == text
    assert code in ("", "id_malformed")


@given(readings, readings, devices, devices)
def test_event_ids_sort_by_their_clock(first: int, second: int, one: bytes, other: bytes) -> None:
    a, b = event_id(first, one), event_id(second, other)
    assert len(a) == len(b) == 24
    assert event_hlc(a) == first
    if first != second:
        assert (a < b) == (first < second)
    else:
        assert (a == b) == (one[:4] == other[:4])


# Clocks


@given(readings, times)
def test_a_tick_is_above_the_last_and_not_before_the_wall_clock(last: int, now_ms: int) -> None:
    ticked = tick(last, now_ms)
    assert ticked > last
    assert ticked >= reading(now_ms)


@given(times, st.lists(st.integers(-60_000, 60_000), max_size=30))
def test_a_clock_that_jumps_about_still_gives_rising_readings(
    start_ms: int, jumps: list[int]
) -> None:
    last, now_ms = 0, start_ms
    for jump in jumps:
        now_ms = max(0, now_ms + jump)
        ticked = tick(last, now_ms)
        assert ticked > last
        last = ticked


@given(readings, readings, times)
def test_a_clock_follows_what_it_saw_but_not_a_broken_one(
    last: int, seen: int, now_ms: int
) -> None:
    after = observe(last, seen, now_ms)
    assert after >= last
    if reading_ms(seen) > now_ms + CLOCK_AHEAD_MS_MAX:
        assert after == last
    else:
        assert after >= seen


def test_a_reading_exactly_a_day_ahead_is_followed() -> None:
    seen = reading(CLOCK_AHEAD_MS_MAX, 7)
    assert observe(0, seen, 0) == seen
    assert observe(0, reading(CLOCK_AHEAD_MS_MAX + 1), 0) == 0


@given(times, st.integers(0, 0xFFFF))
def test_a_reading_holds_its_milliseconds(ms: int, counter: int) -> None:
    assert reading_ms(reading(ms, counter)) == ms


def test_a_wait_is_over_when_its_time_passed_or_the_clock_was_set_back() -> None:
    assert not has_passed(10, 100, 100)
    assert not has_passed(10, 100, 109)
    assert has_passed(10, 100, 110)
    assert has_passed(10, 100, 99)
