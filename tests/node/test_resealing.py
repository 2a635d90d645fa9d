"""Goal: a revoked key of a province is given nothing new; its next one opens what that could open.

Method: offices that meet by sticks; the centre revokes the province, which is made anew.
"""

from pathlib import Path

import pytest

from crypto.identity import NodeKey
from crypto.seal import from_text, office_key_id, recipients_of
from node.cli import main
from node.clock import Clock
from node.entropy import system_rng
from node.folder import open_folder
from node.resealing import Resealing
from node.station import Station, opened_station
from sync.revoking import say_revoked
from tests.node.places import make_province
from tests.node.sticks import COMMUNE, Country, register

NUMBER = "040071000123"


@pytest.fixture
def country(tmp_path: Path) -> Country:
    made = Country(tmp_path)
    register(made.commune, "Trước")
    made.carry(made.commune, made.province)
    made.carry(made.province, made.centre, f"{made.centre / 'chain.pem'}")
    made.carry(made.centre, made.province, "40")
    # Only now the commune hears of the centre.
    made.carry(made.province, made.commune, COMMUNE)
    return made


def key_of(folder: Path) -> bytes:
    return office_key_id(open_folder(folder).key.office_public)


def readers(station: Station) -> list[frozenset[bytes]]:
    rows = station.connection.execute("SELECT identity_sealed FROM people ORDER BY id")
    return [recipients_of(from_text(sealed)) for (sealed,) in rows]


def work(station: Station, count: int = 1) -> int:
    """Do all that is due, one value at a time, and return how many were sealed anew."""
    resealing, done = Resealing(station.replica, station.desk), 0
    while resealing.is_due():
        with station.replica.transaction():
            done += resealing.step(count, Clock().now_ms())
    return done


def alarms(station: Station) -> list[str]:
    return [row[0] for row in station.connection.execute("SELECT code FROM alarm")]


def test_the_next_key_of_a_province_opens_what_the_revoked_one_could(country: Country) -> None:
    register(country.commune, "Nữa")
    centre, commune = country.centre, country.commune
    assert main(["revoke", "--data", f"{centre}", "40", "--reason", "Mất máy"]) == 0
    later = country.folder / "later"
    make_province(later, centre)
    country.carry(centre, later, f"{later / 'chain.pem'}")
    country.carry(later, commune, f"{commune / 'chain.pem'}")
    with opened_station(commune, system_rng()) as station:
        assert work(station) == 2
        assert work(station) == 0
        assert readers(station) == [{key_of(commune), key_of(later)}] * 2
    register(commune, "Sau")
    country.carry(commune, later)
    with opened_station(later, system_rng()) as station:
        people = station.connection.execute("SELECT id FROM people").fetchall()
        opened = [station.desk.reveal(person, "identity_number") for (person,) in people]
        assert opened == [NUMBER] * 3
        assert readers(station) == [{key_of(commune), key_of(later)}] * 3


def test_while_no_key_of_the_province_counts_the_centre_reads_and_an_alarm_says_so(
    country: Country,
) -> None:
    centre, commune = country.centre, country.commune
    with opened_station(centre, system_rng()) as station:
        old = open_folder(country.province).key.peer_id
        with station.replica.transaction():
            known = say_revoked(station.replica, old, "40", (), "Mất máy", Clock().now_ms())
    with opened_station(commune, system_rng()) as station:
        with station.replica.transaction():
            station.replica.intake.revocations.learn(known.data, Clock().now_ms())
        assert work(station) == 0
        assert work(station) == 0
        assert alarms(station).count("seals_wait") == 1
    register(commune, "Sau")
    with opened_station(commune, system_rng()) as station:
        newest = readers(station)[-1]
        assert newest == {key_of(commune), key_of(centre)}


def test_a_province_elsewhere_is_given_nothing(country: Country) -> None:
    with opened_station(country.commune, system_rng()) as station:
        foreign = NodeKey.generate()
        with station.replica.transaction():
            station.connection.execute(
                "INSERT INTO peer VALUES (?, 'province', '38', 'Thanh Hóa', ?, x'', 0)",
                (foreign.peer_id, foreign.office_public),
            )
        keys = station.desk.seals.keys_above()
        assert keys == key_of(country.province)
