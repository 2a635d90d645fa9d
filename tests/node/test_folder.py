"""Goal: a data folder survives a making cut short, is nobody else's to read, and has one writer.

Method: folders made and cut short by taking away what would have been written later.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.config import Config, parse_config, write_config
from node.errors import ConfigError
from node.folder import init_folder, open_folder
from node.station import open_station, opened_station
from schemas.codes import Tier
from tests.node.places import make_centre, make_commune, make_province

_NOW_MS = 1_790_000_000_000


def _make(folder: Path, tier: Tier) -> None:
    code = "0" if tier is Tier.CENTRE else "40.17083"
    init_folder(folder, tier=tier, code=code, name="Nơi", config=Config(web_port=0), now_ms=_NOW_MS)


@pytest.mark.parametrize(
    "written",
    [
        (),
        ("key",),
        ("key", "root.key"),
        ("key", "root.key", "node.toml"),
        ("key", "root.key", "node.toml", "request.pem"),
        ("key", "root.key", "node.toml", "request.pem", "root.pem"),
    ],
)
def test_a_centre_whose_making_was_cut_short_is_made_to_its_end(
    tmp_path: Path, written: Sequence[str]
) -> None:
    _make(tmp_path, Tier.CENTRE)
    kept = {name: (tmp_path / name).read_bytes() for name in written}
    for file in tmp_path.iterdir():
        if file.is_file() and file.name not in written:
            file.unlink()
    _make(tmp_path, Tier.CENTRE)
    assert open_folder(tmp_path).subject.tier is Tier.CENTRE
    for name in ("key", "root.key"):
        assert (tmp_path / name).read_bytes() == kept.get(name, (tmp_path / name).read_bytes())


@pytest.mark.parametrize("written", [(), ("key",), ("key", "node.toml")])
def test_a_commune_whose_making_was_cut_short_is_made_to_its_end(
    tmp_path: Path, written: Sequence[str]
) -> None:
    _make(tmp_path, Tier.COMMUNE)
    for file in tmp_path.iterdir():
        if file.is_file() and file.name not in written:
            file.unlink()
    _make(tmp_path, Tier.COMMUNE)
    assert (tmp_path / "request.pem").exists()


def test_a_node_is_never_made_over_another(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    _make(tmp_path / "commune", Tier.COMMUNE)
    (tmp_path / "province" / "request.pem").unlink()
    for folder in ("centre", "province", "commune"):
        before = (tmp_path / folder / "key").read_bytes()
        with pytest.raises(ConfigError) as refused:
            _make(tmp_path / folder, Tier.COMMUNE)
        assert refused.value.code == "already_initialised"
        assert (tmp_path / folder / "key").read_bytes() == before


def test_other_users_of_the_machine_see_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "centre"
    folder.mkdir(mode=0o755)
    make_centre(folder)
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("key", "root.key"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_a_folder_has_one_writer_and_forgets_what_a_killed_one_left(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    commune = tmp_path / "commune"
    left = (commune / "incoming" / "1.upload", commune / ".tls-1.pem")
    for file in left:
        file.write_bytes(b"half")
    with opened_station(commune, random.Random(1)):
        assert not any(file.exists() for file in left)
        with pytest.raises(ConfigError) as refused:
            open_station(commune, random.Random(1))
        assert refused.value.code == "folder_in_use"
        with opened_station(commune, random.Random(1), alone=False):
            pass
    with opened_station(commune, random.Random(1)):
        pass


@pytest.mark.parametrize(
    "line",
    [
        "web_port = 99999",
        "sync_port = -1",
        'parent = "10.0.0.1"',
        'parent = "10.0.0.1:99999"',
        'parent = "http://10.0.0.1:8443"',
        'parent = "[::1"',
        'parent = " "',
        'language = "fr"',
        "disk_reserve_mib = -1",
    ],
)
def test_a_setting_that_cannot_be_is_named(line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(line)
    assert refused.value.code == "config_wrong_value"
    assert line.split()[0] in str(refused.value)


@pytest.mark.parametrize("parent", ["", "10.0.0.1:8443", "[::1]:8443", "tinh.local:1", 'a"\\b:1'])
def test_settings_are_read_as_they_were_written(tmp_path: Path, parent: str) -> None:
    config = Config(parent=parent, is_remote=True, web_port=0)
    write_config(tmp_path, config)
    assert parse_config((tmp_path / "node.toml").read_text("utf-8")) == config
