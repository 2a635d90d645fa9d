"""Goal: whatever was acknowledged to a person survives SIGKILL of any node, once, everywhere.

Method: centre, province and commune as processes. An officer registers visits with two petitions
and a scan, the province writes directives; fifty times a node drawn by a seeded generator is killed
at a random moment and started again. Clients repeat what got no answer, with the same ids, as pages
do. In the end every node must hold exactly what was acknowledged.
"""

import asyncio
import hashlib
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schemas.codes import Role
from schemas.ids import document_text, mint_document_id
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import NodeProcess, Person, add_account

KILLS = 50
SEED = 20_261


@dataclass
class Told:
    """What nodes acknowledged to people."""

    visits: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    petitions: list[str] = field(default_factory=list)
    scans: dict[str, str] = field(default_factory=dict)
    directives: list[str] = field(default_factory=list)


@pytest.mark.serial
def test_what_was_acknowledged_survives_fifty_kills_once_and_everywhere(tmp_path: Path) -> None:
    nodes = _three_nodes(tmp_path)
    told = Told()
    try:
        asyncio.run(_story(nodes, told))
    finally:
        for node in nodes:
            node.kill()
    for node in nodes:
        _check(node, told)


def _three_nodes(folder: Path) -> list[NodeProcess]:
    centre, province, commune = folder / "centre", folder / "province", folder / "commune"
    make_centre(centre)
    make_province(province, centre)
    make_commune(commune, province)
    add_account(commune, "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    add_account(province, "hung", "Trần Văn Hùng", Role.PROVINCIAL_RECEPTION_BOARD)
    above = NodeProcess(centre)
    middle = NodeProcess(province, parent_port=above.sync_port)
    below = NodeProcess(commune, parent_port=middle.sync_port)
    for node in (above, middle, below):
        node.start()
    return [above, middle, below]


async def _story(nodes: Sequence[NodeProcess], told: Told) -> None:
    rng = random.Random(SEED)
    _, province, commune = nodes
    for node in nodes:
        await node.wait_until_up()
    lan, hung = Person(commune, "lan"), Person(province, "hung")
    try:
        await lan.sign_in()
        await hung.sign_in()
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_work_at_the_commune(lan, random.Random(1), told, done))
            group.create_task(_work_at_the_province(hung, random.Random(2), told, done))
            for _ in range(KILLS):
                await asyncio.sleep(rng.uniform(0.05, 0.8))
                victim = rng.choice(nodes)
                victim.kill()
                victim.start()
                if rng.random() < 0.7:
                    await victim.wait_until_up()
            done.set()
        for node in nodes:
            await node.wait_until_up()
        await _wait_until_arrived(nodes, told)
    finally:
        await lan.close()
        await hung.close()


async def _work_at_the_commune(
    lan: Person, rng: random.Random, told: Told, done: asyncio.Event
) -> None:
    number = 0
    while not done.is_set():
        number += 1
        ids = [document_text(mint_document_id(1_795_000_000_000 + number, rng)) for _ in range(6)]
        body = {
            "visit_id": ids[0],
            "held_on": "2026-11-23",
            "people": [{"id": ids[1], "full_name": f"Lô Văn {number}", "address": "Bản Na"}],
            "petitions": [
                {"id": ids[2], "case_id": ids[3], "case_type": "khieu_nai", "title": "Đền bù đất"},
                {"id": ids[4], "case_id": ids[5], "case_type": "kien_nghi", "title": "Sửa cầu"},
            ],
        }
        answer = await lan.insist("POST", "/visits", body, f"visit-{number}")
        told.visits.append(answer["visit_id"])
        told.cases += answer["case_ids"]
        told.petitions += answer["petition_ids"]
        scan = b"%PDF-1.4 " + rng.randbytes(40_000)
        path = f"/documents/{ids[3]}/attachments"
        found = await lan.insist("POST", path, scan, f"scan-{number}")
        assert found["sha256"] == hashlib.sha256(scan).hexdigest()
        told.scans[ids[3]] = found["sha256"]
        await asyncio.sleep(0.1)


async def _work_at_the_province(
    hung: Person, rng: random.Random, told: Told, done: asyncio.Event
) -> None:
    number = 0
    while not done.is_set():
        number += 1
        wanted = document_text(mint_document_id(1_796_000_000_000 + number, rng))
        body = {
            "id": wanted,
            "to_codes": ["40.17083"],
            "title": f"Chỉ đạo số {number}",
            "body": "Báo cáo kết quả.",
            "due_on": "2026-12-31",
        }
        await hung.insist("POST", "/directives", body, f"directive-{number}")
        told.directives.append(wanted)
        await asyncio.sleep(0.5)


async def _wait_until_arrived(nodes: Sequence[NodeProcess], told: Told) -> None:
    """Wait until links are back and everything has moved; the checks come after."""
    async with asyncio.timeout(120):
        # Other processes have no event to wait for.
        while not all(_has_all(node, told) for node in nodes):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def _has_all(node: NodeProcess, told: Told) -> bool:
    with closing(sqlite3.connect(f"file:{node.folder / 'tiepdan.db'}?mode=ro", uri=True)) as db:
        cases = db.execute("SELECT count(*) FROM cases").fetchone()[0]
        directives = db.execute("SELECT count(*) FROM directives").fetchone()[0]
        blobs = db.execute("SELECT count(*) FROM blob WHERE complete = 1").fetchone()[0]
    return bool(
        cases >= len(told.cases) and directives >= len(told.directives) and blobs >= len(told.scans)
    )


def _check(node: NodeProcess, told: Told) -> None:
    """Compare what a node holds with what was acknowledged: nothing less, nothing more."""
    with closing(sqlite3.connect(node.folder / "tiepdan.db")) as db:
        for table, wanted in (
            ("visits", told.visits),
            ("cases", told.cases),
            ("petitions", told.petitions),
            ("directives", told.directives),
        ):
            held = sorted(row[0] for row in db.execute(f"SELECT id FROM {table}"))
            assert held == sorted(wanted), (node.folder.name, table)
        scans = db.execute("SELECT document_id, sha256 FROM attachments").fetchall()
        assert sorted(scans) == sorted(told.scans.items()), node.folder.name
        doubled = db.execute(
            "SELECT document_id, type, count(*) FROM timeline"
            " WHERE type NOT IN ('person_joined', 'petition_linked')"
            " GROUP BY document_id, type HAVING count(*) > 1"
        ).fetchall()
        assert doubled == [], node.folder.name
        assert db.execute("SELECT count(*) FROM dead_letter").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM alarm").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM waiting_change").fetchone() == (0,)
    for sha256 in told.scans.values():
        file = node.folder / "blobs" / sha256[:2] / sha256
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
