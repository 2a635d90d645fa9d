"""What comes from elsewhere and has no place in the records is set aside, and nothing else is.

Method: one change for each reason; a prior that must not be read where it is not needed.
"""

from collections.abc import Sequence
from datetime import date

import pytest

from crypto.identity import NodeKey
from crypto.seal import seal, to_text
from node.cases.admission import EVENTS_OF, admit_change
from schemas import events as ev
from schemas.codes import CaseType, Channel, DocumentKind, IdentityMode
from schemas.errors import RecordError
from schemas.event_text import KnownEvent, event_models
from schemas.events import UnknownEvent
from schemas.fields import DENUNCIATION_FIELDS, FIELDS
from tests.cases.histories import DIGEST, OTHER, PERSON, classified, received

Events = Sequence[KnownEvent | UnknownEvent]
DENOUNCED = received(CaseType.DENUNCIATION, channel=Channel.POST)
LODGED = ev.PetitionLodged(
    on=date(2026, 9, 1), stated_type=CaseType.DENUNCIATION, identity_mode=IdentityMode.NAMED
)
FILE = ev.Attached(sha256=DIGEST, size_bytes=1, name="đơn.pdf", media_type="application/pdf")


def unread() -> Events:
    raise AssertionError("the events that stand were read without need")


def code_of(kind: str, prior: Events, new: Events, fields: dict[str, object] | None = None) -> str:
    with pytest.raises(RecordError) as caught:
        admit_change(kind, lambda: prior, new, fields or {})
    return caught.value.code


def test_an_event_of_another_kind_of_document_is_set_aside() -> None:
    assert code_of("visit", [], [received()]) == "event_not_for_kind"
    assert code_of("case", [], [ev.PersonRecorded()]) == "event_not_for_kind"
    assert code_of("person", [], [FILE]) == "event_not_for_kind"
    assert code_of("parcel", [], []) == "kind_unknown"


def test_every_known_event_has_a_document() -> None:
    assert set().union(*EVENTS_OF.values()) == set(event_models())
    assert set(EVENTS_OF) == set(DocumentKind)


def test_an_event_of_a_newer_program_is_let_in() -> None:
    admit_change("case", unread, [UnknownEvent(type="foreseen")], {})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"colour": "đỏ"}, "field_unknown"),
        ({"title": 7}, "field_malformed"),
        ({"title": "a" * 501}, "field_too_long"),
    ],
)
def test_a_field_of_the_wrong_shape_is_set_aside(fields: dict[str, object], code: str) -> None:
    assert code_of("case", [], [], fields) == code


@pytest.mark.parametrize(
    "event",
    [ev.PersonJoined(person=PERSON), ev.GroupLinked(group=OTHER), FILE, ev.Noted(text="ai")],
)
def test_what_names_a_denouncer_is_set_aside(event: KnownEvent) -> None:
    assert code_of("case", [], [DENOUNCED, event]) == "denunciation_identity"
    assert code_of("case", [DENOUNCED], [event]) == "denunciation_identity"
    assert code_of("case", [received(), classified(CaseType.DENUNCIATION)], [event]) == (
        "denunciation_identity"
    )


@pytest.mark.parametrize("name", sorted(set(FIELDS[DocumentKind.CASE]) - DENUNCIATION_FIELDS))
def test_a_telling_field_of_a_denunciation_is_set_aside(name: str) -> None:
    assert code_of("case", [DENOUNCED], [], {name: "bà C"}) == "denunciation_identity"
    admit_change("case", lambda: [received()], [], {name: "bà C"})


def test_the_petition_of_a_denunciation_is_sealed_as_well() -> None:
    assert code_of("petition", [], [LODGED], {"title": "Đơn"}) == "denunciation_identity"
    assert code_of("petition", [LODGED], [FILE]) == "denunciation_identity"
    sealed = to_text(seal(b"TC-9", [NodeKey.from_seed(bytes(32)).office_public], b""))
    fields = {"envelope_number": "PB-9", "sealed_ref": sealed, "petition_date": "2026-08-30"}
    admit_change("petition", unread, [LODGED], fields)
    plain: dict[str, object] = {"sealed_ref": "TC-2026-9"}
    assert code_of("petition", [], [LODGED], plain) == "denunciation_identity"
    assert code_of("case", [], [], plain) == "reference_unsealed"


def test_a_denunciation_is_not_linked_with_a_case_that_names_people() -> None:
    linked = received(CaseType.DENUNCIATION, parent=OTHER)
    assert code_of("case", [], [linked]) == "denunciation_identity"


def test_what_turned_out_to_be_a_complaint_may_name_people() -> None:
    admit_change("case", lambda: [DENOUNCED], [classified(), ev.PersonJoined(person=PERSON)], {})
    admit_change("case", lambda: [DENOUNCED, classified()], [FILE], {"title": "Về đất"})


def test_the_word_that_it_is_a_denunciation_always_gets_in() -> None:
    prior: Events = [received(), ev.PersonJoined(person=PERSON)]
    admit_change("case", lambda: prior, [classified(CaseType.DENUNCIATION)], {})


def test_the_events_that_stand_are_read_only_where_needed() -> None:
    admit_change("case", unread, [DENOUNCED, ev.Registered()], {"envelope_number": "PB-9"})
    admit_change("person", unread, [ev.PersonRecorded()], {"full_name": "Lô Văn Nam"})
    admit_change("visit", unread, [ev.PersonJoined(person=PERSON)], {"place": "Trụ sở"})
