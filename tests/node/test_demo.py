"""Goal: one command gives five nodes with a believable past, and leaves nothing behind.

Method: the data is made once in this process and looked at; copies of it are run as the command
runs them. What the demo prints is awaited line by line, ends of processes by their descriptors.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from node.config import read_config
from node.demo import free_base_port
from node.demo_folders import MARK, PASSWORD, prepare
from node.demo_nodes import RESTARTS_MAX, RESTARTS_WINDOW_S, RestartLimit
from node.errors import ConfigError
from node.samples.texts import communes, places
from node.station import Station, opened_station, rebuild, view_digest
from schemas.fields import DENUNCIATION_FIELDS
from schemas.ids import parse_document_id
from sync.record_file import export_record, verify_record

# Far more than is needed: what a hang costs, not what a start takes.
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made")
    for _ in prepare(data, time.time_ns() // 1_000_000):
        continue
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


@contextmanager
def stations(data: Path) -> Iterator[dict[str, Station]]:
    with ExitStack() as stack:
        yield {
            place.folder: stack.enter_context(opened_station(data / place.folder, random.Random(1)))
            for place in places()
        }


# What is made


def test_all_offices_start_with_a_synced_past(made: Path) -> None:
    with stations(made) as open_stations:
        for station in open_stations.values():
            for log in station.replica.store.logs():
                cosigned = [size for size, *_ in station.replica.store.cosignatures(log)]
                assert log.code == "0" or max(cosigned) == log.size
            assert station.connection.execute("SELECT count(*) FROM dead_letter").fetchone() == (0,)
            assert station.connection.execute("SELECT count(*) FROM alarm").fetchone() == (0,)


def test_each_commune_has_cases_in_many_states(made: Path) -> None:
    with stations(made) as open_stations:
        for place in communes():
            db = open_stations[place.folder].connection
            count, states, types = db.execute(
                "SELECT count(*), count(DISTINCT state), count(DISTINCT case_type) FROM cases"
            ).fetchone()
            assert count >= 25
            assert states >= 8
            assert types >= 4


def test_some_deadlines_have_passed_and_some_are_near(made: Path) -> None:
    today = time.strftime("%Y-%m-%d")
    with stations(made) as open_stations:
        db = open_stations["nghe-an"].connection
        passed, ahead = db.execute(
            "SELECT sum(due_on < ?), sum(due_on >= ?) FROM cases WHERE is_open AND due_on != ''",
            (today, today),
        ).fetchone()
    assert passed >= 3
    assert ahead >= 10


def test_work_of_two_devices_shows_a_rival_and_a_conflict(made: Path) -> None:
    with stations(made) as open_stations:
        my_ly = open_stations["my-ly"].connection
        rivals = my_ly.execute("SELECT field, value FROM rivals ORDER BY value").fetchall()
        assert [field for field, _ in rivals] == ["location", "location"]
        assert len({value for _, value in rivals}) == 2
        conflicts = open_stations["muong-xen"].connection.execute(
            "SELECT count(*) FROM cases WHERE in_conflict"
        )
        assert conflicts.fetchone() == (1,)


def test_the_mixed_petition_became_one_case_for_each_content(made: Path) -> None:
    with stations(made) as open_stations:
        rows = open_stations["my-ly"].connection.execute(
            "SELECT case_type FROM cases WHERE parent_id != '' ORDER BY case_type"
        )
        assert [row[0] for row in rows] == ["khieu_nai", "kien_nghi", "phan_anh"]


def test_directives_reach_only_the_communes_they_name(made: Path) -> None:
    with stations(made) as open_stations:
        for place in communes():
            db = open_stations[place.folder].connection
            here = {row[0] for row in db.execute("SELECT id FROM directives")}
            mine = {
                row[0]
                for row in open_stations["nghe-an"].connection.execute(
                    "SELECT directive_id FROM directive_offices WHERE code = ?", (place.code,)
                )
            }
            assert here == mine != set()


def test_denunciations_hold_nothing_that_tells_who_wrote(made: Path) -> None:
    with stations(made) as open_stations:
        station = open_stations["centre"]
        rows = station.connection.execute(
            "SELECT id, petition_id FROM cases WHERE case_type = ?", ("to_cao",)
        ).fetchall()
        assert len(rows) >= 4
        for row in rows:
            for text in row:
                fields = station.desk.fields(parse_document_id(text))
                filled = {name for name, value in fields.items() if value}
                assert filled <= DENUNCIATION_FIELDS
            people = station.connection.execute(
                "SELECT count(*) FROM case_people WHERE case_id = ?", row[:1]
            )
            assert people.fetchone() == (0,)


def test_every_attachment_has_arrived_above(made: Path) -> None:
    with stations(made) as open_stations:
        for folder in ("nghe-an", "centre"):
            station = open_stations[folder]
            rows = station.connection.execute("SELECT sha256 FROM attachments").fetchall()
            assert len(rows) >= 20
            assert all(station.blobs.holds(bytes.fromhex(row[0])) for row in rows)


def test_a_record_of_the_past_is_countersigned_by_both_tiers_above(made: Path) -> None:
    with stations(made) as open_stations:
        station = open_stations["lam-thanh"]
        (case_id,) = station.connection.execute("SELECT id FROM cases LIMIT 1").fetchone()
        root = station.folder.root
        file = export_record(station.replica.store, parse_document_id(case_id), root)
        record = verify_record(file, root)
    cosigners = {s.code for item in record.attestations for s, _ in item.cosigners}
    assert cosigners >= {"0", "40"}


def test_the_views_of_the_past_are_those_of_its_log(data: Path) -> None:
    with opened_station(data / "nghe-an", random.Random(1)) as station:
        before = view_digest(station.connection)
        rebuild(station, 0, lambda done, total: None)
        assert view_digest(station.connection) == before


def test_an_interrupted_first_start_is_made_again(tmp_path: Path) -> None:
    steps = prepare(tmp_path, time.time_ns() // 1_000_000)
    assert list(islice(steps, 4))
    steps.close()  # type: ignore[attr-defined]
    assert not (tmp_path / MARK).exists()
    for _ in prepare(tmp_path, time.time_ns() // 1_000_000):
        continue
    assert (tmp_path / MARK).exists()
    assert {path.name for path in tmp_path.iterdir()} == {MARK, *(p.folder for p in places())}


def test_data_that_was_whole_but_not_in_place_is_put_there(data: Path) -> None:
    making = data / ".making"
    making.mkdir()
    (making / "whole").touch()
    (data / MARK).unlink()
    (data / "my-ly").rename(making / "my-ly")
    before = (making / "my-ly" / "key").read_bytes()
    assert not list(prepare(data, 0))
    assert (data / "my-ly" / "key").read_bytes() == before
    assert (data / MARK).exists()


def test_a_second_start_makes_nothing_again(made: Path) -> None:
    assert not list(prepare(made, 0))


def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my-ly").mkdir()
    with pytest.raises(ConfigError) as caught:
        list(prepare(tmp_path, 0))
    assert caught.value.code == "demo_folder_foreign"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        list(prepare(tmp_path / "file", 0))
    assert caught.value.code == "data_not_writable"
    assert str(tmp_path / "file") in str(caught.value)


# What is run


def test_a_node_that_dies_again_and_again_is_given_up() -> None:
    limit = RestartLimit()
    assert all(limit.allows(float(second)) for second in range(RESTARTS_MAX))
    assert not limit.allows(float(RESTARTS_MAX))


def test_a_node_that_is_killed_now_and_then_is_not_given_up() -> None:
    limit = RestartLimit()
    pause_s = RESTARTS_WINDOW_S / RESTARTS_MAX
    assert all(limit.allows(number * pause_s) for number in range(10 * RESTARTS_MAX))


class RunningDemo:
    """The command, with what it printed and wrote."""

    def __init__(self, data: Path, base_port: int = 0) -> None:
        self.ready_file = data.parent / "ready.json"
        command = [sys.executable, "-m", "node.cli", "demo", "--data", str(data)]
        command += ["--base-port", str(base_port), "--ready-file", str(self.ready_file)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def wait_for_line(self, part: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if part in line:
                return line
        raise AssertionError(f"the demo ended without saying {part!r}")

    def nodes(self) -> list[dict[str, Any]]:
        return list(json.loads(self.ready_file.read_text(encoding="utf-8"))["nodes"])

    def node(self, code: str) -> dict[str, Any]:
        return next(node for node in self.nodes() if node["code"] == code)

    def finish(self) -> tuple[int, str]:
        """Return the exit status and what was said on the error stream."""
        _, errors = self.process.communicate()
        return self.process.returncode, errors


@contextmanager
def running(data: Path, base_port: int = 0) -> Iterator[RunningDemo]:
    demo = RunningDemo(data, base_port)
    watchdog = threading.Timer(PATIENCE_S, demo.process.kill)
    watchdog.start()
    try:
        yield demo
    finally:
        watchdog.cancel()
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.communicate()


def wait_for_end(descriptor: int) -> None:
    """Wait until the process of a descriptor has ended."""
    assert select.select([descriptor], [], [], PATIENCE_S)[0], "the process lives on"
    os.close(descriptor)


def status_of(url: str, method: str = "GET", path: str = "/", body: object = None) -> int:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json", "Origin": url})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.serial
def test_the_demo_serves_survives_a_killed_node_and_stops(data: Path) -> None:
    with running(data) as demo:
        demo.wait_for_line("Ctrl-C")
        nodes = demo.nodes()
        assert [node["code"] for node in nodes] == [place.code for place in places()]
        for node in nodes:
            assert status_of(node["url"]) < 500
            account = node["accounts"][0]
            asked = {"user": account["user"], "password": account["password"]}
            assert status_of(node["url"], "POST", "/api/v1/sign-in", asked) == 200
        before = demo.node("40.17083")
        os.kill(before["pid"], signal.SIGKILL)
        demo.wait_for_line("Mỹ Lý: đã chạy lại")
        after = demo.node("40.17083")
        assert after["pid"] != before["pid"]
        assert after["url"] == before["url"]
        assert status_of(after["url"]) < 500
        ends = [os.pidfd_open(node["pid"]) for node in demo.nodes()]
        demo.process.send_signal(signal.SIGINT)
        status, errors = demo.finish()
        assert (status, errors) == (0, "")
        for end in ends:
            wait_for_end(end)
        assert not list(data.glob("*/tiepdan.db-wal")), "a node was not stopped in order"


@pytest.mark.serial
def test_a_first_start_can_be_stopped_and_repeated(tmp_path: Path) -> None:
    with running(tmp_path / "data") as demo:
        demo.wait_for_line("25 %")
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == (0, "")
    assert not (tmp_path / "data" / MARK).exists()
    with running(tmp_path / "data") as demo:
        demo.wait_for_line("Ctrl-C")
        assert (tmp_path / "data" / MARK).exists()


@pytest.mark.serial
def test_no_node_outlives_a_killed_demo_and_the_next_start_waits_for_them(data: Path) -> None:
    with running(data) as demo:
        demo.wait_for_line("Ctrl-C")
        ends = [os.pidfd_open(node["pid"]) for node in demo.nodes()]
        demo.process.kill()
    with running(data) as demo:
        demo.wait_for_line("Ctrl-C")
        for end in ends:
            wait_for_end(end)
        demo.process.send_signal(signal.SIGTERM)
        assert demo.finish() == (0, "")


@pytest.mark.serial
def test_a_port_in_use_is_named_and_nothing_keeps_running(data: Path) -> None:
    base_port = free_base_port(data, random.Random(2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base_port + 1))
        taken.listen()
        with running(data, base_port) as demo:
            status, errors = demo.finish()
    assert status == 1
    assert f"Port {base_port + 1} " in errors
    assert "[port_in_use]" in errors
    assert not demo.ready_file.exists()


@pytest.mark.serial
def test_another_base_port_moves_all_nodes(data: Path) -> None:
    base_port = free_base_port(data, random.Random(1))
    with running(data, base_port) as demo:
        demo.wait_for_line("Ctrl-C")
        assert [node["url"] for node in demo.nodes()] == [
            f"http://127.0.0.1:{base_port + number}" for number in range(5)
        ]
        demo.process.send_signal(signal.SIGTERM)
        assert demo.finish()[0] == 0
    config = read_config(data / "my-ly")
    assert (config.web_port, config.parent) == (base_port + 2, f"127.0.0.1:{base_port + 11}")
    assert config.is_demo


@pytest.mark.serial
def test_a_node_that_cannot_run_is_named_with_the_reason(data: Path) -> None:
    (data / "lam-thanh" / "chain.pem").unlink()
    with running(data) as demo:
        status, errors = demo.finish()
    assert status == 1
    assert "Lam Thành" in errors
    assert "[not_enrolled]" in errors


@pytest.mark.serial
def test_two_demos_do_not_share_a_folder(data: Path) -> None:
    with running(data) as demo:
        demo.wait_for_line("Ctrl-C")
        with running(data) as second:
            status, errors = second.finish()
        assert status == 1
        assert "[demo_running]" in errors
        assert status_of(demo.node("0")["url"]) < 500


def test_the_password_is_one_that_the_pages_would_accept() -> None:
    users = {person.user for place in places() for person in place.staff}
    assert len(PASSWORD) >= 10
    assert not [user for user in users if user in PASSWORD]
