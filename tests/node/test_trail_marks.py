"""Goal: once the log has marked the trail, not even who holds database and keys alters it unseen.

Method: a real commune's database; the trail is rewritten as an attacker with everything would.
"""

import random
import sqlite3
from pathlib import Path

import pytest

from node.cli import main
from node.station import Station, opened_station
from node.trail import append, lines
from node.trail_marks import MARK_MS, check_marked, mark_trail, marks_in_log
from tests.node.places import make_centre, make_commune, make_province

NOW_MS = 1_795_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    return tmp_path / "commune"


def work(station: Station, user: str, now_ms: int) -> bool:
    with station.replica.transaction():
        for action in ("case.read", "person.identity"):
            append(station.connection, user, "reception_lead", now_ms, action)
        return mark_trail(station.replica, station.connection, now_ms)


def rewrite(db: sqlite3.Connection) -> None:
    """Make another trail that follows from itself, without the triggers."""
    found = list(lines(db))
    db.execute("DROP TRIGGER audit_kept")
    db.execute("DELETE FROM audit")
    for line in found:
        append(db, "somebody-else", line.role, line.at_ms, line.action)


def test_a_mark_a_day_goes_into_the_signed_log(folder: Path) -> None:
    with opened_station(folder, random.Random(1)) as station:
        assert work(station, "mai", NOW_MS)
        assert not work(station, "mai", NOW_MS + MARK_MS - 1)
        assert work(station, "mai", NOW_MS + MARK_MS)
        with station.replica.transaction():
            # Nothing new: no mark.
            assert not mark_trail(station.replica, station.connection, NOW_MS + 3 * MARK_MS)
        marks = marks_in_log(station.replica)
        assert [mark.lines for mark in marks] == [2, 6]
        assert check_marked(list(lines(station.connection)), marks).contradicted == ()
        assert station.connection.execute("SELECT count(*) FROM dead_letter").fetchone()[0] == 0


def test_a_trail_that_was_rewritten_with_new_hashes_contradicts_its_mark(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened_station(folder, random.Random(1)) as station:
        work(station, "mai", NOW_MS)
    command = ["audit", "--data", str(folder)]
    assert main(command) == 0
    assert "marks in the signed log that agree: 1" in capsys.readouterr().out
    with opened_station(folder, random.Random(1)) as station:
        with station.replica.transaction():
            rewrite(station.connection)
        check = check_marked(list(lines(station.connection)), marks_in_log(station.replica))
        assert check.trail.broken_at is None
        assert [mark.lines for mark in check.contradicted] == [2]
    assert main(command) == 1
    assert "not the one that was marked" in capsys.readouterr().out


def test_an_exported_trail_is_checked_without_a_node(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened_station(folder, random.Random(1)) as station:
        work(station, "mai", NOW_MS)
    out = tmp_path / "trail.ndjson"
    assert main(["audit", "--data", str(folder), "--out", str(out)]) == 0
    assert main(["audit", "--check", str(out)]) == 0
    assert "INTACT  2 lines" in capsys.readouterr().out
    out.write_text(out.read_text().replace("person.identity", "case.read"))
    assert main(["audit", "--check", str(out)]) == 1
    assert "BROKEN  line 2" in capsys.readouterr().out
    out.write_text("x\n{}\n")
    assert main(["audit", "--check", str(out)]) == 1
    assert main(["audit"]) == 1


def test_the_technician_keeps_accounts_without_a_network(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["account", "--data", str(folder), "--user"]
    person = ["--name", "Trần Văn Hùng", "--role", "commune_chair", "--one-time"]
    assert main([*command, "hung"]) == 1
    assert "account_unknown" in capsys.readouterr().err
    assert main([*command, "hung", *person]) == 0
    assert "One-time password: " in capsys.readouterr().out
    assert main([*command, "hung", "--close"]) == 1
    assert "account_last" in capsys.readouterr().err
    typed = tmp_path / "typed"
    typed.write_text("mật khẩu của Mai\n")
    mai = ["--name", "Lê Thị Mai", "--role", "reception_lead", "--password-file", str(typed)]
    assert main([*command, "mai", *mai]) == 0
    assert main([*command, "hung", "--close"]) == 0
    assert main([*command, "hung", "--open", "--one-time"]) == 0
    assert main(["accounts", "--data", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert "Lê Thị Mai\n" in listed
    assert "password not changed yet" in listed
    with opened_station(folder, random.Random(1)) as station:
        told = [(line.user, line.action, line.detail) for line in lines(station.connection)]
    assert ("", "account.put", "hung closed") in told
    assert not any("mật khẩu" in detail for _, _, detail in told)
