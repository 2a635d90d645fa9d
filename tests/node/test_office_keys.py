"""Goal: the office key is kept as the technician wants it, and the node works while it is locked.

Method: real folders, the command line, a running commune asked over HTTP.
"""

import asyncio
import random
from pathlib import Path

import pytest

from crypto.keyfile import read_secret
from crypto.office import open_office_key
from node.cli import main
from node.clock import Clock
from node.folder import open_folder
from node.office_keys import CREDENTIAL, credential, keep, state_of, unlock
from node.registration import register_visit
from node.station import opened_station
from sync.replica import Author
from tests.node.places import make_centre, make_commune, make_province, visit
from tests.web.offices import OpenOffice, open_office, register

PASSPHRASE = "cánh đồng buổi sớm"


@pytest.fixture
def commune(tmp_path: Path) -> Path:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    return tmp_path / "commune"


def written(folder: Path, text: str) -> str:
    path = folder / "typed"
    path.write_text(text + "\n")
    return str(path)


def test_a_passphrase_is_set_changed_and_needed(
    commune: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = (commune / "office.key").read_bytes()
    command = ["office-key", "--data", str(commune)]
    assert main(command) == 0
    assert "Whoever takes this folder" in capsys.readouterr().out
    assert main([*command, "--new-passphrase-file", written(tmp_path, PASSPHRASE)]) == 0
    assert "under a passphrase" in capsys.readouterr().out
    folder = open_folder(commune)
    assert not folder.key.office.is_open
    unlock(folder, PASSPHRASE)
    assert open_office_key(plain, "").public == folder.key.office_public
    wrong = written(tmp_path, "một cụm khác hẳn")
    assert main([*command, "--passphrase-file", wrong, "--plain"]) == 1
    assert "passphrase_wrong" in capsys.readouterr().err
    assert main([*command, "--passphrase-file", written(tmp_path, PASSPHRASE), "--plain"]) == 0
    assert open_folder(commune).key.office.is_open


def test_the_key_moves_to_another_disk_and_is_found_there(commune: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick" / "muong-xen.key"
    stick.parent.mkdir()
    assert main(["office-key", "--data", str(commune), "--move", str(stick)]) == 0
    assert not (commune / "office.key").exists()
    folder = open_folder(commune)
    assert folder.key.office.is_open
    assert not state_of(folder).is_beside
    stick.unlink()
    with pytest.raises(Exception, match="does not exist"):
        open_folder(commune)


def test_the_former_bytes_are_overwritten(commune: Path) -> None:
    folder = open_folder(commune)
    secret = folder.key.office_private.private_bytes_raw().hex().encode()
    with (commune / "office.key").open("rb") as held:
        keep(folder, folder.key.office, passphrase=PASSPHRASE, place=None)
        assert secret not in held.read()
    assert secret not in (commune / "office.key").read_bytes()


def test_the_key_of_another_office_is_refused(commune: Path, tmp_path: Path) -> None:
    (commune / "office.key").write_bytes((tmp_path / "province" / "office.key").read_bytes())
    with pytest.raises(Exception, match="does not belong"):
        open_folder(commune)


def test_a_passphrase_comes_from_the_service_manager(tmp_path: Path) -> None:
    assert credential({}) == ""
    assert credential({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ""
    (tmp_path / CREDENTIAL).write_text(PASSPHRASE + "\n")
    assert credential({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == PASSPHRASE


def test_a_new_node_gets_its_passphrase_at_once(tmp_path: Path) -> None:
    place = tmp_path / "node"
    arguments = ["init", "--data", str(place), "--tier", "commune", "--code", "40.17083"]
    typed = written(tmp_path, PASSPHRASE)
    assert main([*arguments, "--name", "Mường Xén", "--passphrase-file", typed]) == 0
    data = read_secret(place / "office.key")
    assert open_office_key(data, PASSPHRASE).is_open
    assert b"plain" not in data


def lock(folder: Path) -> None:
    place = open_folder(folder / "commune")
    keep(place, place.key.office, passphrase=PASSPHRASE, place=None)


async def _locked_story(office: OpenOffice) -> None:
    lan, mai, ky = [await office.browser(user) for user in ("lan", "mai", "ky")]
    person = (await register(lan))["people_ids"][0]
    reply = await mai.post(f"/people/{person}/identity")
    assert (reply.status, reply.code) == (422, "office_key_locked")
    assert (await lan.get("/api/v1/cases?text=mo")).status == 200
    assert "Đang khóa" in (await mai.get("/account")).text
    assert (await mai.get("/api/v1/office-key")).body["is_open"] is False
    wrong = await mai.post("/office-key", {"passphrase": "sai cụm mật khẩu"})
    assert (wrong.status, wrong.code) == (422, "passphrase_wrong")
    assert (await ky.post("/office-key", {"passphrase": PASSPHRASE})).body["is_open"] is True
    assert (await mai.post(f"/people/{person}/identity")).body == {"number": "040162001234"}
    rows = await office.rows("SELECT user, action FROM audit WHERE action LIKE 'office_key.%'")
    assert rows == [("mai", "office_key.wrong"), ("ky", "office_key.unlock")]


def test_a_locked_node_registers_searches_and_opens_nothing_until_it_is_unlocked(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with open_office(tmp_path, prepare=lock) as office:
            await _locked_story(office)

    asyncio.run(run())


def test_guessing_a_passphrase_at_the_page_is_slowed_down(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_office(tmp_path, prepare=lock) as office:
            mai = await office.browser("mai")
            body = {"passphrase": "sai cụm mật khẩu"}
            codes = [(await mai.post("/office-key", body)).code for _ in range(6)]
            assert codes == ["passphrase_wrong"] * 5 + ["sign_in_throttled"]

    asyncio.run(run())


def test_a_locked_office_takes_no_pack_until_it_has_the_passphrase(
    commune: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    province = tmp_path / "province"
    with opened_station(commune, random.Random(1)) as station:
        author = Author(user="lan", name="Lan", role="reception_officer", device=bytes(16))
        with station.replica.transaction():
            register_visit(station.desk, author, visit("Đất rẫy"), Clock().now_ms())
    stick = tmp_path / "stick"
    stick.mkdir()
    assert main(["pack", "export", "--data", str(commune), "--out", str(stick)]) == 0
    place = open_folder(province)
    keep(place, place.key.office, passphrase=PASSPHRASE, place=None)
    command = ["pack", "import", "--data", str(province), str(stick)]
    assert main(command) == 1
    assert "locked" in capsys.readouterr().out
    assert main([*command, "--passphrase-file", written(tmp_path, PASSPHRASE)]) == 0
    with opened_station(province, random.Random(1)) as station:
        assert station.connection.execute("SELECT count(*) FROM visits").fetchone()[0] == 1
