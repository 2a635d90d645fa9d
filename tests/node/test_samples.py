"""Goal: samples read like the real thing, are nobody's, and are the same for the same seed.

Method: compose every story at every place it fits, run the stream, and let hypothesis choose the
moment at which a demo starts.
"""

import random
import re
import struct
import zlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clock import PLACE, date_of
from node.registration import check_visit
from node.samples.agenda import Entry, Filing, Happening, Reception
from node.samples.incidents import past_of
from node.samples.papers import river_photo, scanned_page
from node.samples.texts import agenda_rows, communes, courses, find_place, places, stories
from node.samples.visits import Arrival, SampleVisit, case_stream, compose_visit, visit_form
from schemas.codes import CaseType, Tier
from schemas.event_text import parse_event

TODAY = date(2026, 11, 24)
NOW_MS = int(datetime(2026, 11, 24, 9, 30, tzinfo=PLACE).timestamp() * 1000)
# From 2026 to 2031: every day of the week, every hour, leap days.
MOMENTS_MS = st.integers(1_767_225_600_000, 1_924_991_999_000)


def every_visit() -> list[SampleVisit]:
    """Compose each story several times at each place whose ground it fits."""
    rng = random.Random(7)
    found: list[SampleVisit] = []
    for home in communes():
        for story in stories().values():
            if story.ground in ("", "highland" if home.is_highland else "lowland"):
                found += [
                    compose_visit(rng, home, story, number=len(found) + n, held_on=TODAY)
                    for n in range(1, 9)
                ]
    return found


def test_no_gap_stays_open_in_any_story() -> None:
    for visit in every_visit():
        texts = (visit.title, visit.content, visit.request, visit.respondent_name, visit.location)
        assert not [text for text in texts if "{" in text or "}" in text]


def test_every_story_can_be_registered() -> None:
    for visit in every_visit():
        for how in ("visit", "paper", "post"):
            check_visit(visit_form(visit, Arrival(how=how)))


def test_a_denunciation_brings_nobody_and_no_words() -> None:
    sealed = [visit for visit in every_visit() if visit.story.is_sealed]
    assert sealed
    for visit in sealed:
        form = visit_form(visit, Arrival())
        assert not form.people
        assert not form.statement
        assert not form.petitions[0].title
        assert not form.petitions[0].content
        assert form.petitions[0].envelope_number


def test_every_case_type_has_a_story() -> None:
    assert {story.case_type for story in stories().values()} == set(CaseType)


def test_a_stream_repeats_for_its_seed() -> None:
    one = [visit_form(v, Arrival()) for v in case_stream(random.Random(3), 300, today=TODAY)]
    two = [visit_form(v, Arrival()) for v in case_stream(random.Random(3), 300, today=TODAY)]
    assert one == two


def test_the_cases_of_a_stream_are_all_different() -> None:
    visits = list(case_stream(random.Random(3), 4_000, today=TODAY))
    assert len({visit.register_number for visit in visits}) == 4_000
    numbers = [person.identity_number for visit in visits for person in visit.people]
    assert len(set(numbers)) == len(numbers)


def test_a_stream_is_in_the_order_of_days_and_ends_today() -> None:
    days = [visit.held_on for visit in case_stream(random.Random(3), 500, today=TODAY)]
    assert days == sorted(days)
    assert days[-1] == TODAY


def test_nobody_can_have_the_numbers_of_invented_people() -> None:
    for visit in case_stream(random.Random(3), 2_000, today=TODAY):
        for person in visit.people:
            # The fourth digit 9 would be a woman born after 2300.
            assert re.fullmatch(r"0409[0-9]{8}", person.identity_number)
            assert person.phone.startswith("0100 ")


def test_offices_have_accounts_for_every_role_they_need() -> None:
    for place in places():
        roles = {person.role.value for person in place.staff}
        assert "node_admin" in roles
        if place.tier is Tier.COMMUNE:
            assert roles >= {"reception_officer", "reception_lead", "commune_chair"}


def test_every_row_of_the_agenda_names_what_exists() -> None:
    for folder, rows in agenda_rows().items():
        find_place(folder)
        assert rows
        for row in rows:
            assert row.story in stories()
            assert row.course in courses()


def test_a_past_repeats_for_its_seed_and_moment() -> None:
    assert past_of(random.Random(1), NOW_MS) == past_of(random.Random(1), NOW_MS)


@settings(max_examples=25, deadline=None)
@given(MOMENTS_MS)
def test_nothing_of_the_past_lies_in_the_future(now_ms: int) -> None:
    entries = past_of(random.Random(1), now_ms)
    assert all(entry.at_ms <= now_ms for entry in entries)
    assert [entry.at_ms for entry in entries] == sorted(entry.at_ms for entry in entries)
    for entry in entries:
        if isinstance(entry.deed, Reception):
            assert entry.deed.form.held_on == date_of(entry.at_ms)


@settings(max_examples=10, deadline=None)
@given(MOMENTS_MS)
def test_offices_work_on_working_days(now_ms: int) -> None:
    for entry in past_of(random.Random(1), now_ms):
        if isinstance(entry.deed, Reception):
            at = datetime.fromtimestamp(entry.at_ms / 1000, UTC).astimezone(PLACE)
            assert at.weekday() < 5
            assert 7 <= at.hour < 17


def entries_now() -> list[Entry]:
    return past_of(random.Random(2026), NOW_MS)


def test_every_deed_is_done_by_somebody_who_works_there() -> None:
    for entry in entries_now():
        assert entry.place.holder(entry.role).role is entry.role


def test_every_event_has_its_shape() -> None:
    for entry in entries_now():
        if isinstance(entry.deed, Happening):
            parse_event(dict(entry.deed.event))


def test_papers_belong_to_cases_that_may_have_them() -> None:
    entries = entries_now()
    sealed = {
        entry.deed.form.petitions[0].case_id
        for entry in entries
        if isinstance(entry.deed, Reception) and entry.deed.form.petitions[0].envelope_number
    }
    filed = {entry.deed.case_id for entry in entries if isinstance(entry.deed, Filing)}
    assert sealed
    assert filed
    assert not sealed & filed


def test_a_drawn_photo_is_a_png_that_decodes() -> None:
    data = river_photo(random.Random(5))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        body = data[position + 4 : position + 8 + length]
        (crc,) = struct.unpack_from(">I", data, position + 8 + length)
        assert crc == zlib.crc32(body)
        chunks[body[:4]] = body[4:]
        position += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)


def test_a_drawn_scan_is_a_pdf_whose_table_points_at_its_objects() -> None:
    data = scanned_page(random.Random(5))
    start = int(data.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    lines = data[start:].split(b"\n")
    count = int(lines[1].split()[1])
    for number in range(1, count):
        offset = int(lines[2 + number].split()[0])
        assert data[offset:].startswith(b"%d 0 obj\n" % number)
    assert data.endswith(b"%%EOF\n")


@pytest.mark.parametrize("draw", [scanned_page, river_photo])
def test_the_same_seed_draws_the_same_paper(draw: object) -> None:
    assert callable(draw)
    assert draw(random.Random(9)) == draw(random.Random(9))
