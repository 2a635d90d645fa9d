"""Key files stay private, are never overwritten, and damage is noticed before a node starts.

Method: real files in a temporary folder, with every kind of damage a technician meets.
"""

import os
import stat
from pathlib import Path

import pytest

from crypto.certificates import make_root
from crypto.errors import KeyfileError
from crypto.identity import NodeKey
from crypto.keyfile import (
    FILE_BYTES_MAX,
    read_certificate,
    read_chain,
    read_key,
    write_chain,
    write_key,
)

KEY = NodeKey.from_seed(bytes([0xA7]) * 32)
ROOT = make_root(KEY, "Gốc", 1_790_000_000_000, 10)
OTHER = make_root(NodeKey.from_seed(bytes([8]) * 32), "Gốc", 1_790_000_000_000, 10)


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    path = tmp_path / "node.key"
    write_key(path, KEY)
    return path


def code_of(path: Path) -> str:
    with pytest.raises(KeyfileError) as caught:
        read_key(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value.code


def test_a_key_is_read_back_and_only_its_owner_can_read_it(key_path: Path) -> None:
    assert read_key(key_path).peer_id == KEY.peer_id
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert os.listdir(key_path.parent) == ["node.key"]


def test_a_key_is_never_overwritten(key_path: Path) -> None:
    with pytest.raises(KeyfileError) as caught:
        write_key(key_path, NodeKey.from_seed(bytes(32)))
    assert caught.value.code == "keyfile_exists"
    assert read_key(key_path).peer_id == KEY.peer_id


def test_not_even_a_dangling_link_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "node.key").symlink_to(tmp_path / "stick" / "node.key")
    with pytest.raises(KeyfileError) as caught:
        write_key(tmp_path / "node.key", KEY)
    assert caught.value.code == "keyfile_exists"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert code_of(tmp_path / "node.key") == "keyfile_missing"


def test_a_folder_in_its_place_is_unreadable(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "keyfile_unreadable"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_can_read_is_refused(key_path: Path, mode: int) -> None:
    key_path.chmod(mode)
    assert code_of(key_path) == "keyfile_too_open"


def test_every_cut_of_a_key_file_is_noticed(key_path: Path) -> None:
    data = key_path.read_bytes()
    for end in range(len(data)):
        key_path.write_bytes(data[:end])
        assert code_of(key_path) == "keyfile_damaged"


def test_every_altered_byte_of_a_key_file_is_noticed(key_path: Path) -> None:
    data = key_path.read_bytes()
    for at in range(len(data)):
        for bit in (0, 5, 7):
            altered = bytearray(data)
            altered[at] ^= 1 << bit
            key_path.write_bytes(altered)
            assert code_of(key_path) == "keyfile_damaged"


def test_a_file_of_another_kind_is_noticed(key_path: Path) -> None:
    for data in (b"", b"x" * (FILE_BYTES_MAX + 1), b"\xff\xfe", b"a\nb\nc\n"):
        key_path.write_bytes(data)
        assert code_of(key_path) == "keyfile_damaged"


def test_certificates_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    write_chain(path, [ROOT])
    assert read_certificate(path) == ROOT
    write_chain(path, [OTHER, ROOT])
    assert read_chain(path) == [OTHER, ROOT]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["chain.pem"]


def test_a_file_of_several_certificates_is_not_taken_for_one(tmp_path: Path) -> None:
    write_chain(tmp_path / "root.pem", [ROOT, OTHER])
    with pytest.raises(KeyfileError) as caught:
        read_certificate(tmp_path / "root.pem")
    assert caught.value.code == "keyfile_damaged"


def test_a_damaged_certificate_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "root.pem"
    write_chain(path, [ROOT])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(KeyfileError) as caught:
        read_chain(path)
    assert caught.value.code == "keyfile_damaged"


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "taken", tmp_path / "missing" / "chain.pem"):
        with pytest.raises(KeyfileError) as caught:
            write_chain(path, [ROOT])
        assert caught.value.code == "keyfile_unwritable"
    assert os.listdir(tmp_path) == ["taken"]
