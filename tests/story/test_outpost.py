"""An officer works for days in a village, on a machine that the commune sent along, and comes back.

Method: centre, province, commune and outpost as processes, and the commands. The outpost is
enrolled with a token and given a case and an account; then the commune's node is killed, the
outpost is switched off and on, and both write on the same case without each other. They merge; the
machine goes out again, is lost, and its key is revoked.
"""

import asyncio
import contextlib
import hashlib
import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.cli import main
from node.config import read_config, write_config
from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import NodeProcess, Person, Refused, add_account

pytestmark = pytest.mark.serial

CODE = "40.17083.1"
PAPER = "040071000123"
SCAN = b"%PDF-1.4 scan of a paper " * 2_000
REASON = "Máy bị mất trên đường về"


def tiepdan(*arguments: str | Path) -> str:
    """Run a command and return what it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main([str(argument) for argument in arguments]) == 0
    return said.getvalue().strip()


def rows(node: NodeProcess, query: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{node.folder / 'tiepdan.db'}?mode=ro", uri=True)) as db:
        return db.execute(query, values).fetchall()


async def until(what: str, condition: Callable[..., object], *arguments: object) -> None:
    try:
        async with asyncio.timeout(30):
            while True:
                if condition(*arguments):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(f"not within 30 s: {what}") from error


def holds(node: NodeProcess, case: str) -> bool:
    return bool(rows(node, "SELECT 1 FROM cases WHERE id = ?", case))


def visit(title: str) -> dict[str, object]:
    return {
        "held_on": "2026-11-23",
        "people": [
            {
                "full_name": "Vi Văn Khăm",
                "identity_type": "cccd",
                "identity_number": PAPER,
                "identity_checked": True,
            }
        ],
        "petitions": [{"case_type": "khieu_nai", "title": title, "content": "Đất rẫy."}],
    }


async def signed_in(people: list[Person], node: NodeProcess, user: str) -> Person:
    """Sign in as soon as the account is there; the browser is closed in the end."""
    person = Person(node, user)
    people.append(person)
    async with asyncio.timeout(30):
        while True:
            try:
                await person.sign_in()
            except Refused:
                await asyncio.sleep(0.3)
            else:
                return person


class World:
    """The four nodes; the outpost is made by the story."""

    def __init__(self, folder: Path) -> None:
        centre, province, commune = folder / "centre", folder / "province", folder / "commune"
        make_centre(centre)
        make_province(province, centre)
        make_commune(commune, province)
        write_config(commune, replace(read_config(commune), sync_host="127.0.0.1"))
        add_account(commune, "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
        add_account(commune, "minh", "Hồ Văn Minh", Role.RECEPTION_OFFICER)
        add_account(commune, "ky", "Lê Kỳ", Role.NODE_ADMIN)
        add_account(centre, "an", "Đỗ An", Role.CENTRAL_RECEPTION_BOARD)
        self.folder = folder
        self.people: list[Person] = []
        self.centre = NodeProcess(centre)
        self.province = NodeProcess(province, parent_port=self.centre.sync_port)
        self.commune = NodeProcess(commune, parent_port=self.province.sync_port)
        for node in (self.centre, self.province, self.commune):
            node.start()

    async def enrol(self) -> NodeProcess:
        """Enrol the outpost, as the technician types it."""
        data = self.folder / "outpost"
        token = tiepdan(
            *("token", "--data", self.commune.folder, "--code", CODE),
            *("--address", f"127.0.0.1:{self.commune.sync_port}"),
        )
        tiepdan("outpost", "--data", self.commune.folder, "--code", CODE, "--accounts", "lan")
        name = "Máy lưu động 1"
        tiepdan("init", "--data", data, "--tier", "outpost", "--code", CODE, "--name", name)
        assert "Enrolled" in tiepdan("enrol", "--data", data, "--token", token)
        return NodeProcess(data, parent_port=self.commune.sync_port)


def test_a_machine_goes_to_a_village_comes_back_and_is_lost(tmp_path: Path) -> None:
    world = World(tmp_path)
    started = [world.centre, world.province, world.commune]
    try:
        asyncio.run(_told(world, started))
    finally:
        for node in started:
            with contextlib.suppress(AssertionError):
                node.kill()


async def _told(world: World, started: list[NodeProcess]) -> None:
    try:
        await _story(world, started)
    finally:
        for person in world.people:
            await person.close()


async def _story(world: World, started: list[NodeProcess]) -> None:
    for node in started:
        await node.wait_until_up()
    outpost = await world.enrol()
    lan = await signed_in(world.people, world.commune, "lan")
    [case] = (await lan.ask("POST", "/visits", visit("Đơn cũ")))["case_ids"]
    [stays] = (await lan.ask("POST", "/visits", visit("Đơn để ở nhà")))["case_ids"]
    event = {"type": "taken_along", "to_code": CODE}
    await lan.ask("POST", f"/cases/{case}/events", {"event": event})
    outpost.start()
    started.append(outpost)
    await outpost.wait_until_up()
    await signed_in(world.people, outpost, "lan")
    await until("the case goes along", holds, outpost, case)
    assert not holds(outpost, stays)
    with pytest.raises(Refused):
        await (stranger := Person(outpost, "minh")).sign_in()
    await stranger.close()

    # Three days without a line; a power cut on each side.
    world.commune.kill()
    outpost.kill()
    outpost.start()
    await outpost.wait_until_up()
    new = await _work_in_the_village(await signed_in(world.people, outpost, "lan"), case)
    outpost.kill()
    world.commune.start()
    await world.commune.wait_until_up()
    minh = await signed_in(world.people, world.commune, "minh")
    await _write_on(minh, case, "Tên ở xã", "Việc ở xã")

    outpost.start()
    await outpost.wait_until_up()
    await _merge(world, outpost, new)
    rivals = str(await minh.ask("GET", f"/cases/{case}"))
    assert "Tên ở bản" in rivals
    assert "Tên ở xã" in rivals
    await _verify_at_the_centre(world, new)
    _holds_no_number(outpost)
    await _lose(world, outpost, new)


async def _merge(world: World, outpost: NodeProcess, new: str) -> None:
    """Wait until the village's work is everywhere, once."""
    for node in (world.commune, world.province, world.centre):
        await until("the village's visit arrives", holds, node, new)
    for node in (outpost, world.commune, world.centre):
        await until("both remarks stand", lambda at: len(rows(at, _NOTES)) == 2, node)
        assert rows(node, "SELECT name FROM attachments") == [("scan.pdf",)]
        assert rows(node, "SELECT count(*) FROM visits") == [(3 if node != outpost else 1,)]
    digest = hashlib.sha256(SCAN).hexdigest()
    scan = world.commune.folder / "blobs" / digest[:2] / digest
    await until("the scan arrives", scan.exists)
    assert rows(world.province, "SELECT DISTINCT commune FROM cases") == [("40.17083",)]


async def _lose(world: World, outpost: NodeProcess, new: str) -> None:
    """Send it out again; revoke its key while it works; let whoever has it come back."""
    away = await signed_in(world.people, outpost, "lan")
    await away.ask("POST", "/link/cut", {"cut": True})
    [unsent] = (await away.ask("POST", "/visits", visit("Chưa gửi")))["case_ids"]
    [(sent,)] = rows(world.commune, f"SELECT size FROM log WHERE {_ITS_LOG}", CODE)
    ky = await signed_in(world.people, world.commune, "ky")
    [line] = (await ky.ask("GET", "/technician"))["outposts"]
    assert (line["code"], line["records"], line["accounts"]) == (CODE, sent, ["lan"])
    await ky.ask("POST", "/revocations", {"peer_id": line["peer_id"], "reason": REASON})
    assert "REVOKED" in tiepdan("outpost", "--data", world.commune.folder)
    await away.ask("POST", "/link/cut", {"cut": False})
    log = outpost.folder / "node.log"
    await until("the thief is told", lambda: "key_revoked" in log.read_text())
    valid = f"SELECT valid_size FROM log WHERE {_ITS_LOG}"
    for node in (world.commune, world.province, world.centre):
        await until("all know", lambda at: rows(at, valid, CODE) == [(sent,)], node)
        assert holds(node, new)
        assert not holds(node, unsent)


_ITS_LOG = "code = ? AND purpose = 'up'"
_NOTES = "SELECT 1 FROM event WHERE type = 'noted'"


async def _work_in_the_village(lan: Person, case: str) -> str:
    made = await lan.insist("POST", "/visits", visit("Đơn ở bản"), "visit-in-the-village")
    [new] = made["case_ids"]
    await lan.insist("POST", f"/documents/{new}/attachments", SCAN, "scan-in-the-village")
    await _write_on(lan, case, "Tên ở bản", "Việc ở bản")
    return str(new)


async def _write_on(person: Person, case: str, title: str, note: str) -> None:
    await person.ask("POST", f"/documents/{case}/fields", {"fields": {"title": title}})
    event = {"type": "noted", "text": note}
    await person.ask("POST", f"/cases/{case}/events", {"event": event})


async def _verify_at_the_centre(world: World, case: str) -> None:
    an = await signed_in(world.people, world.centre, "an")
    async with an._client.get(f"{world.centre.url}/api/v1/cases/{case}/record") as answer:
        record = world.folder / "record.json"
        record.write_bytes(await answer.read())
    said = tiepdan("verify", record, "--root", world.centre.folder / "root.pem")
    assert f"outpost {CODE}" in said
    assert "countersigned by Trung ương" in said


def _holds_no_number(node: NodeProcess) -> None:
    for file in node.folder.rglob("*"):
        if file.is_file():
            assert PAPER.encode() not in file.read_bytes(), file
