"""Goal: the province finds who showed one paper in two communes; its database tells no number.

Method: two communes that never met the province register people; their logs come on a stick.
"""

import random
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from node.cli import main
from node.folder import open_folder
from node.office_keys import keep, unlock
from node.paper_marks import has_pending, make_marks
from node.queries.documents import same_papers
from node.registration import register_visit
from node.requests import PersonEntry, PetitionEntry, RegisterVisit
from node.station import Station, opened_station
from schemas.codes import CaseType, IdentityType
from sync.replica import Author
from tests.node.places import make_centre, make_commune, make_province

NOW_MS = 1_795_000_000_000
ONE, TWO = "040162001234", "040190005678"
LAN = Author(user="lan", name="Nguyễn Thị Lan", role="reception_officer", device=bytes(16))
PASSPHRASE = "ba con trâu bên sông"


@pytest.fixture
def province(tmp_path: Path) -> Path:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    for code, people in (
        ("40.17083", [("Vi Thị Mơ", ONE)]),
        ("40.17084", [("Vi T. Mơ", ONE), ("Lô B", TWO)]),
    ):
        commune = tmp_path / code
        make_commune(commune, tmp_path / "province", code)
        with opened_station(commune, random.Random(code)) as station:
            for name, paper in people:
                register(station, name, paper)
        sticks = tmp_path / f"stick-{code}"
        sticks.mkdir()
        assert main(["pack", "export", "--data", str(commune), "--out", str(sticks)]) == 0
        assert main(["pack", "import", "--data", str(tmp_path / "province"), str(sticks)]) == 0
    return tmp_path / "province"


def register(station: Station, name: str, paper: str, petitions: int = 1) -> None:
    person = PersonEntry(
        full_name=name, identity_type=IdentityType.CITIZEN_CARD, identity_number=paper
    )
    brought = tuple(
        PetitionEntry(case_type=CaseType.COMPLAINT, title=f"Đơn của {name}", content="x")
        for _ in range(petitions)
    )
    visit = RegisterVisit(held_on=date(2026, 11, 23), people=(person,), petitions=brought)
    with station.replica.transaction():
        register_visit(station.desk, LAN, visit, NOW_MS)


def mark(station: Station) -> int:
    with station.replica.transaction():
        return make_marks(station.connection, station.desk.seals, 100)


def found(station: Station) -> set[tuple[str, str]]:
    db = station.connection
    db.row_factory = sqlite3.Row
    cases = db.execute("SELECT id, title FROM cases").fetchall()
    return {(case["title"], same.title) for case in cases for same in same_papers(db, case["id"])}


def test_one_paper_in_two_communes_is_found_at_the_province(province: Path) -> None:
    with opened_station(province, random.Random(1)) as station:
        assert has_pending(station.connection, station.desk.seals)
        assert mark(station) == 3
        assert mark(station) == 0
        assert found(station) == {
            ("Đơn của Vi Thị Mơ", "Đơn của Vi T. Mơ"),
            ("Đơn của Vi T. Mơ", "Đơn của Vi Thị Mơ"),
        }
    for file in province.iterdir():
        if file.is_file():
            assert ONE.encode() not in file.read_bytes()


def test_two_petitions_of_one_visit_are_no_finding(province: Path) -> None:
    with opened_station(province.parent / "40.17083", random.Random(1)) as station:
        register(station, "Cụt Thị Hoa", "040162009999", petitions=2)
        assert mark(station) > 0
        assert found(station) == set()


def test_without_the_key_nothing_is_marked_until_it_is_unlocked(province: Path) -> None:
    folder = open_folder(province)
    keep(folder, folder.key.office, passphrase=PASSPHRASE, place=None)
    with opened_station(province, random.Random(1)) as station:
        assert not has_pending(station.connection, station.desk.seals)
        assert mark(station) == 0
        assert found(station) == set()
        unlock(station.folder, PASSPHRASE)
        assert mark(station) == 3
        assert len(found(station)) == 2


def test_what_was_sealed_for_others_is_tried_once(province: Path) -> None:
    with opened_station(province.parent / "40.17083", random.Random(1)) as station:
        station.connection.execute("UPDATE people SET identity_sealed = 'AAAA'")
        assert mark(station) == 1
        assert mark(station) == 0
        assert found(station) == set()


def test_a_number_typed_in_groups_is_the_same_number() -> None:
    typed = [ONE, "040 162 001 234", "040.162.001.234", "0401-6200-1234"]
    people = [
        PersonEntry(
            full_name="Vi Thị Mơ", identity_type=IdentityType.CITIZEN_CARD, identity_number=number
        )
        for number in typed
    ]
    assert {person.identity_number for person in people} == {ONE}
