"""Goal: on a bad day a person gets one clear sentence with a stable code, and nothing is lost.

Method: the real command line and real processes; a small file system of its own that really fills
up.
"""

import asyncio
import io
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import ROOT, NodeProcess, Person, Refused, add_account

pytestmark = pytest.mark.serial


def _tiepdan(*arguments: str | Path, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def _refusal(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the code in a refusal, after checking that it is one sentence and no traceback."""
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    first = answer.stderr.splitlines()[0]
    assert first.startswith("tiepdan: ")
    return first.rsplit("[", 1)[1].rstrip("]")


def _commune(folder: Path) -> Path:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    add_account(folder / "commune", "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    return folder / "commune"


def _visit(number: int) -> dict[str, object]:
    return {
        "held_on": "2026-11-23",
        "people": [{"full_name": f"Lô Văn {number}"}],
        "petitions": [
            {"case_type": "khieu_nai", "title": f"Đơn số {number}", "content": "Nội dung. " * 300}
        ],
    }


def test_a_node_is_made_and_enrolled_by_files_alone(tmp_path: Path) -> None:
    centre, province = tmp_path / "centre", tmp_path / "province"
    made = _tiepdan("init", "--data", centre, "--tier", "centre", "--code", "0", "--name", "TW")
    assert made.returncode == 0, made.stderr
    made = _tiepdan(
        "init", "--data", province, "--tier", "province", "--code", "40", "--name", "Nghệ An"
    )
    assert made.returncode == 0, made.stderr
    chain = tmp_path / "chain.pem"
    signed = _tiepdan("enrol", "--data", centre, "--sign", province / "request.pem", "--out", chain)
    assert signed.returncode == 0, signed.stderr
    installed = _tiepdan("enrol", "--data", province, "--install", chain)
    assert installed.returncode == 0, installed.stderr
    assert "Nghệ An" in installed.stdout


def test_a_request_is_not_signed_by_the_wrong_tier(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    _tiepdan(
        "init", "--data", tmp_path / "a", "--tier", "commune", "--code", "40.1", "--name", "Xã"
    )
    answer = _tiepdan("enrol", "--data", tmp_path / "centre", "--sign", tmp_path / "a/request.pem")
    assert _refusal(answer).startswith("certificate_wrong")


def test_a_certificate_for_another_key_is_not_installed(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    answer = _tiepdan("enrol", "--data", tmp_path / "province", "--install", commune / "chain.pem")
    assert _refusal(answer) != ""


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ((), "not_initialised"),
        (("key",), "not_enrolled"),
    ],
)
def test_a_folder_without_a_node_says_what_is_missing(
    tmp_path: Path, files: Sequence[str], code: str
) -> None:
    commune = _commune(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in files:
        shutil.copy(commune / name, empty / name)
    assert _refusal(_tiepdan("serve", "--data", empty)) == code


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    node = NodeProcess(commune)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", node.web_port))
        taken.listen()
        answer = _tiepdan("serve", "--data", commune)
    assert _refusal(answer) == "port_in_use"
    assert str(node.web_port) in answer.stderr


def test_a_folder_has_one_writer_at_a_time_and_is_free_again_after_a_power_cut(
    tmp_path: Path,
) -> None:
    commune = _commune(tmp_path)
    node = NodeProcess(commune)
    node.start()
    asyncio.run(node.wait_until_up())
    (tmp_path / "password").write_text("mật khẩu để thử")
    account = f"--user mai --name Mai --role auditor --password-file {tmp_path / 'password'}"
    try:
        for command, rest in (("serve", ""), ("rebuild", ""), ("account", account)):
            answer = _tiepdan(command, "--data", commune, *rest.split())
            assert _refusal(answer) == "folder_in_use"
    finally:
        node.kill()
    assert _tiepdan("rebuild", "--data", commune).returncode == 0


def test_a_flood_of_connections_leaves_those_who_work_at_work(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    node = NodeProcess(commune)
    node.start()

    async def story() -> None:
        await node.wait_until_up()
        lan, late = Person(node, "lan"), Person(node, "lan")
        await lan.sign_in()
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (300, 300))
        flood = [socket.create_connection(("127.0.0.1", node.web_port)) for _ in range(400)]
        try:
            for number in range(3):
                await lan.ask("POST", "/visits", _visit(number))
            assert (await lan.ask("GET", "/cases"))["count"] == 3
        finally:
            for connection in flood:
                connection.close()
        async with asyncio.timeout(20):
            while True:
                try:
                    await late.sign_in()
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.2)
        await lan.close()
        await late.close()

    try:
        asyncio.run(story())
    finally:
        assert node.stop() == 0
    assert (commune / "node.log").stat().st_size < 10_000


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    (commune / "node.toml").write_text("web_prot = 8080\n")
    answer = _tiepdan("serve", "--data", commune)
    assert _refusal(answer) == "config_unknown_key"
    assert "web_prot" in answer.stderr


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    with sqlite3.connect(commune / "tiepdan.db") as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('sync', '9999_future', '2030-01-01')"
        )
    db.close()
    before = (commune / "tiepdan.db").read_bytes()
    assert _refusal(_tiepdan("serve", "--data", commune)) == "database_newer"
    assert (commune / "tiepdan.db").read_bytes() == before


def test_a_damaged_database_is_not_touched(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    (commune / "tiepdan.db").write_bytes(b"not a database at all" * 500)
    assert _refusal(_tiepdan("serve", "--data", commune)) == "database_damaged"


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    answer = _tiepdan(
        "init", "--data", blocked / "node", "--tier", "commune", "--code", "40.1", "--name", "Xã"
    )
    assert _refusal(answer) == "data_not_writable"


def test_a_full_disk_refuses_in_words_and_loses_nothing(tmp_path: Path) -> None:
    """Runs in a mount namespace of its own, with a file system of a few MiB."""
    namespace = ["unshare", "--mount", "--map-root-user"]
    able = subprocess.run([*namespace, "true"], capture_output=True, check=False)
    assert able.returncode == 0, "this test needs user and mount namespaces: " + str(able.stderr)
    script = tmp_path / "story.sh"
    small = tmp_path / "small"
    small.mkdir()
    script.write_text(
        f"mount -t tmpfs -o size=12m none {small} && exec {sys.executable}"
        f" -m tests.story.full_disk {small}\n"
    )
    told = subprocess.run(
        [*namespace, "sh", str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "disk_full" in told.stdout


def test_a_bad_form_is_refused_field_by_field_and_the_node_stays_up(tmp_path: Path) -> None:
    commune = _commune(tmp_path)
    node = NodeProcess(commune)
    node.start()

    async def story() -> None:
        await node.wait_until_up()
        lan = Person(node, "lan")
        try:
            await lan.sign_in()
            cases: list[tuple[dict[str, object], str]] = [
                ({}, "request_invalid"),
                (_visit(1) | {"held_on": "2026-13-45"}, "request_invalid"),
                (_visit(1) | {"people": []}, "people_missing"),
                (_visit(1) | {"surprise": True}, "request_invalid"),
                (_visit(1) | {"people": [{"full_name": "x" * 10_000}]}, "request_invalid"),
            ]
            for body, code in cases:
                with pytest.raises(Refused) as refused:
                    await lan.ask("POST", "/visits", body)
                assert refused.value.code == code
                assert refused.value.body["message"]
            await lan.ask("POST", "/visits", _visit(2))
            large = aiohttp.FormData()
            large.add_field("file", io.BytesIO(b"x" * ((50 << 20) + 1)), filename="lớn.pdf")
            found = await lan.ask("GET", "/cases")
            case = found["cases"][0]["id"]
            with pytest.raises(Refused) as refused:
                await lan.ask("POST", f"/documents/{case}/attachments", large)
            assert refused.value.status == 413
            assert refused.value.code == "attachment_too_large"
            assert (await lan.ask("GET", "/cases"))["count"] == 1
        finally:
            await lan.close()

    try:
        asyncio.run(story())
    finally:
        assert node.stop() == 0
