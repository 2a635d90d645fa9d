"""Goal: no record of another node, however hostile, stops this one or names a denouncer in it.

Method: logs signed with a commune's real key, taken in by a province with its case logic and views.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from crypto.identity import NodeKey
from crypto.seal import seal, to_text
from node.cases.admission import admit_change
from node.law import load_calendar, load_law
from node.projection import Projection
from node.station import MIGRATIONS
from schemas.ids import DocumentId, event_id, mint_document_id
from sync.database import open_database
from sync.document import Edit
from tests.sync.builders import (
    COMMUNE,
    NOW,
    NOW_MS,
    PROVINCE,
    LogBuilder,
    Node,
    Pen,
    actor_of,
    new_node,
    place,
    writer_of,
)

NAME = "Nguyễn Văn A"
WRITER = writer_of(place(COMMUNE), role="reception_officer")
DENUNCIATION = '{"type":"received","on":"2026-11-23","stated_type":"to_cao"}'


def province(folder: Path) -> Node:
    """Return a province with its case logic and views, without a network."""
    connection = open_database(":memory:", MIGRATIONS)
    projection = Projection(load_law(), load_calendar(folder))
    found: list[Node] = []

    def project(documents: set[DocumentId]) -> None:
        projection.project(connection, found[0].replica.intake, documents)

    found.append(
        new_node(PROVINCE, folder, connection=connection, admit=admit_change, project=project)
    )
    return found[0]


def take(folder: Path, edits: Sequence[Edit]) -> Node:
    """Let a province take a document of a commune, one change after the other."""
    document = mint_document_id(NOW_MS, random.Random(1))
    pen, log = Pen(document), LogBuilder(place(COMMUNE)).declare(1, WRITER)
    for number, edit in enumerate(edits):
        change = pen.write(actor_of(WRITER, document), edit)
        log.change(change.raw, document=document, hlc=NOW + 256 * number)
    node = province(folder)
    log.put_into(node)
    return node


def case_with(*events: str) -> Edit:
    """Return the first edit of a case, with these events."""
    ids = [event_id(NOW + number, WRITER.device) for number in range(len(events))]
    return Edit(kind="case", texts={"summary": ""}, events=dict(zip(ids, events, strict=True)))


@pytest.mark.parametrize("on", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("case_type", ["khieu_nai", "to_cao", "kien_nghi"])
def test_a_record_with_any_date_there_is_gets_its_deadlines(
    tmp_path: Path, on: str, case_type: str
) -> None:
    event = f'{{"type":"received","on":"{on}","stated_type":"{case_type}"}}'
    node = take(tmp_path, [case_with(event)])
    assert node.dead_letters() == []
    assert node.rows("SELECT received_on FROM cases") == [(on,)]
    assert node.rows("SELECT count(*) FROM case_deadlines") != [(0,)]


@pytest.mark.parametrize(
    "edit",
    [
        Edit(texts={"summary": f"{NAME} tố cáo"}),
        Edit(fields={"title": NAME}),
        Edit(fields={"envelope_number": f"{NAME}, bản Hòa Sơn"}),
        Edit(fields={"sealed_ref": NAME}),
        Edit(fields={"topic": NAME}),
    ],
)
def test_no_change_from_elsewhere_writes_words_into_a_denunciation(
    tmp_path: Path, edit: Edit
) -> None:
    node = take(tmp_path, [case_with(DENUNCIATION), edit])
    assert node.dead_letters() == ["denunciation_identity"]
    columns = "title || summary || topic || envelope_number || sealed_ref"
    assert node.rows(f"SELECT {columns} FROM cases") == [("",)]
    assert node.rows("SELECT count(*) FROM long_text WHERE content != ''") == [(0,)]


SEALED = to_text(seal(b"TC-7F3K", [NodeKey.from_seed(bytes(32)).office_public], b""))


def test_numbers_of_a_denunciation_come_from_elsewhere(tmp_path: Path) -> None:
    fields = {
        "envelope_number": "PB-07/2026",
        "sealed_ref": SEALED,
        "letter_number": "9/QĐ-UBND",
    }
    node = take(tmp_path, [case_with(DENUNCIATION), Edit(fields=fields)])
    assert node.dead_letters() == []
    assert node.rows("SELECT envelope_number, sealed_ref FROM cases") == [("PB-07/2026", SEALED)]


def test_the_number_of_an_identity_paper_comes_sealed_or_not_at_all(tmp_path: Path) -> None:
    recorded: dict[str, str] = {event_id(NOW, WRITER.device): '{"type":"person_recorded"}'}
    first = Edit(kind="person", fields={"full_name": NAME}, events=recorded)
    node = take(tmp_path, [first, Edit(fields={"identity_number": "040162001234"})])
    assert node.dead_letters() == ["identity_unsealed"]
    assert node.rows("SELECT identity_sealed FROM people") == [("",)]


def test_a_date_that_is_none_is_set_aside(tmp_path: Path) -> None:
    lodged = '{"type":"petition_lodged","on":"2026-11-23","stated_type":"khieu_nai"}'
    first = Edit(
        kind="petition", texts={"content": ""}, events={event_id(NOW, WRITER.device): lodged}
    )
    node = take(tmp_path, [first, Edit(fields={"petition_date": "<script>"})])
    assert node.dead_letters() == ["field_malformed"]
