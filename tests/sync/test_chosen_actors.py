"""Actors that programs of devices choose: their changes travel like all others, by one writer."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from schemas.ids import DocumentId
from sync.change import Change, parse_change
from sync.document import Documents, Edit
from sync.errors import LogError
from sync.record_file import export_record, verify_record
from sync.replica import Author
from tests.independent.record_checker import check
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    DOCUMENT,
    NEIGHBOUR,
    NOW,
    NOW_MS,
    PROVINCE,
    Node,
    new_node,
    root,
    sync,
)

ACTOR = b"chosen by chance"
LAN = Author(user="lan", name="Lò Thị Lan", role="reception_officer", device=b"tablet of lan...")
MAI = Author(user="mai", name="Lê Thị Mai", role="reception_lead", device=b"tablet of mai...")


class Program:
    """A program on a device with documents of its own."""

    def __init__(self, actor: bytes = ACTOR) -> None:
        self._actor = actor
        self._changes: list[bytes] = []
        self._documents = Documents(lambda _: self._changes)

    def write(self, edit: Edit) -> Change:
        raw = self._documents.write(DOCUMENT, self._actor, edit)
        assert raw is not None
        made = parse_change(raw)
        self._documents.apply(DOCUMENT, raw, made.hash, new=edit.kind is not None)
        self._changes.append(raw)
        return made


def enter(node: Node, author: Author, change: Change, actor: bytes = ACTOR) -> None:
    with node.transaction():
        writer = node.replica.writer(author, actor)
        node.replica.enter(writer, DocumentId(DOCUMENT), change.raw, NOW, NOW_MS)


def test_what_a_program_wrote_reaches_the_centre_and_is_proved_by_a_file(tmp_path: Path) -> None:
    commune, province, centre = (new_node(code, tmp_path) for code in (COMMUNE, PROVINCE, CENTRE))
    program = Program()
    enter(commune, LAN, program.write(Edit(kind="case", texts={"summary": ""})))
    enter(commune, LAN, program.write(Edit(fields={"title": "Ranh giới đất"})))
    sync(commune, province)
    sync(province, centre)
    for node in (province, centre):
        assert node.values(DOCUMENT) == {"title": "Ranh giới đất"}
    assert centre.dead_letters() == []
    file = export_record(centre.store, DOCUMENT, root())
    assert verify_record(file, root()).fields == {"title": "Ranh giới đất"}
    assert check(file, root().public_bytes(Encoding.DER))["fields"] == {"title": ["Ranh giới đất"]}


def test_an_actor_of_one_person_is_not_taken_from_another(tmp_path: Path) -> None:
    commune, province, neighbour = (
        new_node(code, tmp_path) for code in (COMMUNE, PROVINCE, NEIGHBOUR)
    )
    program = Program()
    enter(commune, LAN, program.write(Edit(kind="case", texts={"summary": ""})))
    sync(commune, province)
    other = Program().write(Edit(kind="case", texts={"summary": "", "statement": ""}))
    enter(neighbour, LAN, other)
    sync(neighbour, province)
    assert province.dead_letters() == ["actor_taken", "writer_unknown"]
    assert province.rows("SELECT count(*) FROM change") == [(1,)]


@pytest.mark.parametrize("size_bytes", [1, 15, 33])
def test_an_actor_of_another_length_is_none(tmp_path: Path, size_bytes: int) -> None:
    commune = new_node(COMMUNE, tmp_path)
    change = Program(bytes(size_bytes)).write(Edit(kind="case", texts={"summary": ""}))
    with pytest.raises(LogError, match="declared no writer"):
        enter(commune, LAN, change, bytes(size_bytes))
    assert commune.rows("SELECT count(*) FROM change") == [(0,)]
