"""Goal: what the law asks of a reception is shown with its rule, never as more certain than it is.

Method: visits of a tiny office in the real tables, the shipped law.
"""

import sqlite3
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from node.queries.cases import Place
from node.queries.facts import Office
from node.queries.reception import online_reception, reception_periods, representatives
from node.station import MIGRATIONS
from schemas.codes import Tier
from sync.database import open_database

COMMUNE = Office(code="40.17083", name="Mỹ Lý")


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    found = open_database(":memory:", MIGRATIONS)
    yield found
    found.close()


def hold(
    db: sqlite3.Connection, on: str, kind: str = "periodic", commune: str = "40.17083"
) -> None:
    number = db.execute("SELECT count(*) FROM visits").fetchone()[0]
    row: dict[str, Any] = {"id": f"visit-{number}", "commune": commune, "held_on": on, "kind": kind}
    empty = ("place", "register_number", "result", "statement", "officer")
    row |= dict.fromkeys(empty, "") | {"changed_ms": 0}
    db.execute(
        f"INSERT INTO visits ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )


def at(today: date, tier: Tier = Tier.COMMUNE) -> Place:
    return Place(own=COMMUNE, tier=tier, today=today)


def test_only_days_of_the_head_at_this_office_count(db: sqlite3.Connection) -> None:
    hold(db, "2026-11-03")
    hold(db, "2026-11-03")
    hold(db, "2026-11-10", kind="regular")
    hold(db, "2026-11-17", commune="40.17084")
    hold(db, "2026-10-05")
    hold(db, "2026-10-19")
    (month,) = reception_periods(db, at(date(2026, 11, 24)))
    assert (month.first, month.last) == ("2026-11-01", "2026-11-30")
    assert (month.held, month.needed, month.is_over) == (1, 2, False)
    assert month.role == "commune_chair"
    assert month.basis.source == "Luật số 136/2025/QH15"


def test_a_month_that_was_missed_stays_on_the_screen_for_a_month(db: sqlite3.Connection) -> None:
    hold(db, "2026-12-07")
    missed, running = reception_periods(db, at(date(2027, 1, 2)))
    assert (missed.first, missed.held, missed.is_over) == ("2026-12-01", 1, True)
    assert (running.first, running.is_over) == ("2027-01-01", False)
    assert len(reception_periods(db, at(date(2027, 2, 1)))) == 2


def test_the_centre_has_no_head_whose_days_the_law_counts(db: sqlite3.Connection) -> None:
    assert reception_periods(db, at(date(2026, 11, 24), Tier.CENTRE)) == []


def test_what_no_rule_allows_is_not_allowed_and_says_so() -> None:
    today = date(2026, 11, 24)
    complaint = online_reception("khieu_nai", today)
    denunciation = online_reception("to_cao", today)
    land = online_reception("tranh_chap_dat_dai", today)
    assert complaint is not None
    assert complaint.is_allowed
    assert denunciation is not None
    assert not denunciation.is_allowed
    assert denunciation.basis is not None
    assert land is not None
    assert not land.is_allowed
    assert land.basis is None
    assert online_reception("", today) is None


def test_numbers_of_representatives_are_marked_as_not_verified() -> None:
    today = date(2026, 11, 24)
    seven, many = representatives(7, today), representatives(40, today)
    assert seven is not None
    assert (seven.fewest, seven.most) == (1, 2)
    assert not any(basis.verified for basis in seven.bases)
    assert many is not None
    assert (many.fewest, many.most) == (None, 5)
    assert representatives(3, today) is None
