"""Packs are made and taken in at the pages of a node that goes on working.

Method: a commune runs with its pages; its province is a folder whose packs the commands make and
take in.
"""

import asyncio
import io
from pathlib import Path
from typing import Any

from aiohttp import FormData

from node.app import Node
from node.cli import main
from node.clock import Clock
from node.entropy import system_rng
from node.pack_jobs import Arrived, PackJob
from node.packs import SUFFIX
from node.station import open_station
from tests.node import sticks
from tests.node.places import make_centre, make_commune, make_province
from tests.node.sticks import parts, take
from tests.web.offices import Browser, OpenOffice, Reply, register, tell, visit_form


async def hand_over(browser: Browser, *files: tuple[str, bytes]) -> Reply:
    form = FormData()
    for name, content in files:
        form.add_field("file", io.BytesIO(content), filename=name)
    return await browser.ask("POST", "/api/v1/packs/taken", form)


async def ended(browser: Browser) -> dict[str, Any]:
    """Wait for the job and return what came of it."""
    async with asyncio.timeout(60):
        while True:
            job = (await browser.get("/api/v1/packs")).body["job"]
            if job["ended_ms"]:
                return dict(job)
            await asyncio.sleep(0.05)


async def make(browser: Browser, folder: Path) -> list[Path]:
    """Make a pack for the province and fetch it onto a stick."""
    reply = await browser.post("/packs", {"to": "parent"})
    assert reply.status == 200, reply.text
    job = await ended(browser)
    assert job["failure"] is None
    for part in (await browser.get("/api/v1/packs")).body["parts"]:
        fetched = await browser.get(f"/api/v1/packs/{part['name']}")
        assert len(fetched.content) == part["size_bytes"]
        await asyncio.to_thread(keep, folder / part["name"], fetched.content)
    return parts(folder)


def keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def answer_of(province: Path, stick: Path) -> list[Path]:
    asked = ["pack", "export", "--data", f"{province}", "--to", "40.17083", "--out", f"{stick}"]
    assert main(asked) == 0
    return parts(stick)


def test_a_running_commune_and_its_province_hand_each_other_packs(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        await register(lan)
        made = await make(lan, tmp_path / "there")
        assert await asyncio.to_thread(take, tmp_path / "province", *made) == 0
        # While the stick was away, people went on.
        await lan.post("/visits", visit_form(["Cầu treo hỏng"]))
        back = await asyncio.to_thread(answer_of, tmp_path / "province", tmp_path / "back")
        reply = await hand_over(lan, *((path.name, path.read_bytes()) for path in back))
        assert reply.status == 200, reply.text
        job = await ended(lan)
        assert [taken["refusal"] for taken in job["taken"]] == [None]
        assert job["confirmed_province"] > 0
        assert job["senders"] == [{"name": "Nghệ An", "missing": [], "is_complete": True}]
        assert list(office.node.incoming_folder.iterdir()) == []
        page = (await lan.get("/packs")).text
        assert "Gói mới nhất của Nghệ An đã đủ." in page
        trail = await office.rows("SELECT action FROM audit WHERE action LIKE 'pack.%'")
        assert trail == [("pack.make",), ("pack.take",)]

    tell(tmp_path, story)


def test_what_is_no_pack_is_refused_in_words_and_costs_the_others_nothing(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        await register(lan)
        made = await make(lan, tmp_path / "there")
        await asyncio.to_thread(take, tmp_path / "province", *made)
        [back] = await asyncio.to_thread(answer_of, tmp_path / "province", tmp_path / "back")
        whole = back.read_bytes()
        reply = await hand_over(
            lan,
            ("scan.jpg", b"\xff\xd8\xff"),
            (f"cut{SUFFIX}", whole[:-9]),
            (made[0].name, made[0].read_bytes()),
            ("whole", whole),
        )
        assert reply.status == 200
        taken = {entry["name"]: entry for entry in (await ended(lan))["taken"]}
        assert taken["scan.jpg"]["refusal"]["code"] == "stream_foreign"
        assert taken[f"cut{SUFFIX}"]["refusal"]["code"] == "stream_damaged"
        assert taken[made[0].name]["refusal"]["code"] == "not_a_recipient"
        assert taken["whole"]["refusal"] is None
        for code in ("stream_damaged", "not_a_recipient"):
            assert code not in (await lan.get("/packs")).text

    tell(tmp_path, story)


def test_one_job_at_a_time_and_only_for_those_who_may(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tam = await office.browser("lan"), await office.browser("tam")
        assert (await tam.post("/packs", {"to": "parent"})).status == 403
        assert (await lan.post("/packs", {"to": "../x"})).status == 422
        await lan.post("/packs", {"to": "40.1"})
        assert (await ended(lan))["failure"]["code"] == "receiver_unknown"
        # A job that goes on until it is over below.
        office.node.packs.last = PackJob(task=(), began_ms=1)
        assert (await lan.post("/packs", {"to": "parent"})).status == 409
        assert (await hand_over(lan, ("a", b"x"))).status == 409
        office.node.packs.last.ended_ms = 2
        assert (await lan.get("/api/v1/packs/..%2Ftiepdan.db")).status == 404
        assert (await hand_over(lan)).status == 400

    tell(tmp_path, story)


def test_a_node_that_is_stopped_while_it_takes_a_pack_in_keeps_what_it_took(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    sticks.register(tmp_path / "commune", count=3)
    sticks.attach(tmp_path / "commune", bytes(3 << 20))
    stick = tmp_path / "stick"
    assert main(["pack", "export", "--data", f"{tmp_path / 'commune'}", "--out", f"{stick}"]) == 0
    [part] = parts(stick)

    async def story() -> PackJob:
        rng = system_rng()
        node = Node(open_station(tmp_path / "province", rng), Clock(), rng)
        path = node.incoming_folder / "one.upload"
        await asyncio.to_thread(path.write_bytes, part.read_bytes())
        job = node.packs.begin([Arrived(path=path, name=part.name)])
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            packing = group.create_task(node.packs.run())
            while True:
                await asyncio.sleep(0.001)
                if job.step is not None and job.step.phase == "taking":
                    break
            packing.cancel()
        await node.close()
        assert not await asyncio.to_thread(path.exists)
        return job

    job = asyncio.run(story())
    assert job.failure is not None
    assert job.failure.code == "pack_interrupted"
    assert take(tmp_path / "province", part) == 0
    assert sticks.count(tmp_path / "province", "blob") == 1
