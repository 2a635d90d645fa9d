"""A field takes what its shape says and nothing else."""

import pytest

from schemas.codes import DocumentKind
from schemas.errors import RecordError
from schemas.fields import DENUNCIATION_FIELDS, FIELDS, check_field

CASE, PERSON = DocumentKind.CASE, DocumentKind.PERSON


@pytest.mark.parametrize("kind", DocumentKind)
def test_every_field_takes_its_longest_value_and_no_longer(kind: DocumentKind) -> None:
    for name, spec in FIELDS[kind].items():
        if spec.shape == "number":
            check_field(kind, name, 9_999)
            continue
        check_field(kind, name, "2026-11-23" if spec.shape == "date" else "đ" * spec.chars_max)
        with pytest.raises(RecordError) as refusal:
            check_field(kind, name, "đ" * (spec.chars_max + 1))
        assert refusal.value.code == "field_too_long"


@pytest.mark.parametrize("value", [-1, 10_000, True, "1980", None, 1980.0])
def test_a_number_is_a_whole_number_of_four_digits(value: object) -> None:
    with pytest.raises(RecordError) as refusal:
        check_field(PERSON, "birth_year", value)
    assert refusal.value.code == "field_malformed"


@pytest.mark.parametrize("value", [5, True, None, b"title", ["title"]])
def test_a_line_is_a_text(value: object) -> None:
    with pytest.raises(RecordError) as refusal:
        check_field(CASE, "title", value)
    assert refusal.value.code == "field_malformed"


def test_a_kind_has_only_its_own_fields() -> None:
    with pytest.raises(RecordError) as refusal:
        check_field(CASE, "full_name", "Nguyễn Thị Lan")
    assert refusal.value.code == "field_unknown"


def test_every_kind_has_fields_and_a_denunciation_names_nobody() -> None:
    assert set(FIELDS) == set(DocumentKind)
    telling = {"full_name", "address", "phone", "title", "summary", "content", "location"}
    assert not DENUNCIATION_FIELDS & telling
