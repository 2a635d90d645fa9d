"""Goal: a backup put in place goes on in a new epoch, whatever it is and whatever was there.

Method: real folders, the command itself, and the database of the folder read afterwards.
"""

import random
import shutil
from pathlib import Path

import pytest

from node.cli import main
from node.errors import ConfigError
from node.restore import restore
from node.station import opened_station
from schemas.ids import mint_document_id
from sync.errors import ChangeError
from sync.replica import Author
from tests.node.places import make_centre, make_commune, make_province


@pytest.fixture
def commune(tmp_path: Path) -> Path:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    return tmp_path / "commune"


NOW_MS = 1_790_000_000_000


def write(path: Path, title: str) -> None:
    with opened_station(path, random.Random(title)) as station:
        replica = station.replica
        author = Author(user="lan", name="Lan", role="reception_officer", device=replica.device)
        with replica.transaction():
            replica.write(
                author,
                mint_document_id(NOW_MS, random.Random(title)),
                now_ms=NOW_MS,
                kind="case",
                fields={"title": title},
                texts={"summary": ""},
            )


def titles(path: Path) -> list[str]:
    with opened_station(path, random.Random(1), alone=False) as station:
        rows = station.connection.execute("SELECT title FROM cases ORDER BY title")
        return [row[0] for row in rows]


def epoch(path: Path) -> int:
    with opened_station(path, random.Random(1), alone=False) as station:
        return station.replica.epoch


def test_a_backup_put_in_place_goes_on_in_a_new_epoch_and_the_old_database_stays(
    tmp_path: Path, commune: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(commune, "trước")
    backup = tmp_path / "backup"
    shutil.copytree(commune, backup)
    write(commune, "sau")
    assert main(["restore", "--data", str(commune), str(backup)]) == 0
    assert "epoch 1" in capsys.readouterr().out
    assert (epoch(commune), titles(commune)) == (1, ["trước"])
    assert (commune / "before-restore-1.db").exists()
    write(commune, "lại")
    assert titles(commune) == ["lại", "trước"]


def test_the_same_backup_twice_opens_an_epoch_each_time(tmp_path: Path, commune: Path) -> None:
    write(commune, "trước")
    backup = tmp_path / "backup.db"
    shutil.copy2(commune / "tiepdan.db", backup)
    assert restore(commune, backup, NOW_MS).epoch == 1
    assert restore(commune, backup, NOW_MS).epoch == 2
    assert (commune / "before-restore-2.db").exists()


def test_a_lost_machine_is_made_again_from_a_copied_folder(tmp_path: Path, commune: Path) -> None:
    write(commune, "trước")
    commune.rename(tmp_path / "backup")
    assert restore(commune, tmp_path / "backup", NOW_MS).kept is None
    assert (epoch(commune), titles(commune)) == (1, ["trước"])


def test_what_is_no_backup_of_this_node_changes_nothing(tmp_path: Path, commune: Path) -> None:
    write(commune, "trước")
    write(tmp_path / "province", "của tỉnh")
    for name, code in ((tmp_path / "province", "backup_foreign"), (tmp_path / "x", "missing")):
        with pytest.raises(ConfigError) as caught:
            restore(commune, name, NOW_MS)
        assert caught.value.code.endswith(code)
    assert (epoch(commune), titles(commune)) == (0, ["trước"])


def test_a_node_at_work_is_not_overwritten(tmp_path: Path, commune: Path) -> None:
    write(commune, "trước")
    shutil.copytree(commune, tmp_path / "backup")
    with opened_station(commune, random.Random(1)), pytest.raises(ConfigError) as caught:
        restore(commune, tmp_path / "backup", NOW_MS)
    assert caught.value.code == "folder_in_use"


def test_dead_letters_that_the_program_takes_by_now_take_effect(
    commune: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(commune, "trước")
    with opened_station(commune, random.Random(1)) as station:
        replica = station.replica
        monkeypatch.setattr(replica.intake, "_admit", refuse)
        documents = {row[0] for row in station.connection.execute("SELECT id FROM document")}
        with replica.transaction():
            replica.intake.redo(documents, NOW_MS)
    assert titles(commune) == []
    assert main(["retry", "--data", str(commune)]) == 0
    assert capsys.readouterr().out == "1 records were without effect; 0 still are.\n"
    assert titles(commune) == ["trước"]


def refuse(*_: object) -> None:
    raise ChangeError("event_foreign", "an older program did not know it")
