"""Stock automerge-repo clients at a node: what they write is in the signed log, by their person."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.hlc import reading
from schemas.ids import event_id, parse_document_id
from schemas.record import decode_writer
from schemas.repo import repo_url
from sync.record_file import verify_record
from tests.stock.clients import VERSIONS, Stock, stock_client
from tests.web.offices import OpenOffice, open_office, visit_form


@asynccontextmanager
async def connected(
    office: OpenOffice, version: str, user: str = "lan"
) -> AsyncIterator[tuple[Stock, Any]]:
    """Run a client with a ticket of somebody who is signed in; yield it and what it was told."""
    browser = await office.browser(user)
    ticket = (await browser.post("/repo-tickets")).body["path"]
    async with stock_client(version, office.address("ws") + ticket) as client:
        yield client, await client.do("joined")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stock_client_creates_edits_and_finds_and_all_is_signed_into_the_log(
    tmp_path: Path, version: str
) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office, version) as (client, told):
            person = {"full_name": "Lữ Thị Sen", "birth_year": 1961, "address": "bản Xốp Lau"}
            url = await client.do("create", kind="person", fields=person)
            assert told
            assert url.startswith("automerge:")
            await office.until("SELECT 1 FROM people WHERE full_name = ?", "Lữ Thị Sen")
            await client.do("set", url=url, field="phone", value="0912 000 000")
            await office.until("SELECT 1 FROM people WHERE phone = ?", "0912 000 000")
            dead = await office.rows("SELECT code, detail FROM dead_letter")
            assert dead == []
            async with connected(office, version, "mai") as (other, _):
                found = await other.do("find", url=url)
                assert found["fields"] == {**person, "phone": "0912 000 000"}
                await other.do("set", url=url, field="address", value="bản Huồi Cọ")
                await client.do(
                    "until", url=url, part="fields", name="address", value="bản Huồi Cọ"
                )

    asyncio.run(story())


@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_written_by_a_client_stands_in_the_case_under_its_person(
    tmp_path: Path, version: str
) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            officer = await office.browser("lan")
            [case] = (await officer.post("/visits", visit_form())).body["case_ids"]
            url = repo_url(parse_document_id(case))
            async with connected(office, version) as (client, told):
                index = await client.do("find", url=told["boards"][0])
                assert json.loads(index["fields"][url])["title"] == "Đất rẫy bị thu hồi"
                await client.do("find", url=url)
                key = event_id(reading(office.node.clock.now_ms()), bytes.fromhex(told["device"]))
                body = json.dumps({"type": "noted", "text": "Đã gọi điện cho bà Mơ."})
                await client.do("event", url=url, key=key, body=body)
                rows = await office.until("SELECT writer, log FROM event WHERE id = ?", key)
                [(found,)] = await office.rows(
                    "SELECT body FROM writer WHERE number = ? AND log = ?", *rows[0]
                )
                writer = decode_writer(found)
                assert (writer.user, writer.role) == ("lan", "reception_officer")
                assert writer.actor
            exported = await officer.get(f"/api/v1/cases/{case}/record")
            assert verify_record(exported.content, None).kind == "case"

    asyncio.run(story())


def test_a_client_goes_on_after_its_connection_was_cut(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            async with connected(office, VERSIONS[0]) as (client, _):
                url = await client.do("create", kind="person", fields={"full_name": "Lữ Thị Sen"})
                await office.until("SELECT 1 FROM people WHERE full_name = ?", "Lữ Thị Sen")
                for number in range(3):
                    office.cut_programs()
                    await client.do("set", url=url, field="phone", value=f"0900 00{number}")
                    await office.until("SELECT 1 FROM people WHERE phone = ?", f"0900 00{number}")
            assert await office.rows("SELECT code FROM dead_letter") == []

    asyncio.run(story())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_counter_is_refused_with_its_document_and_the_rest_goes_on(
    tmp_path: Path, version: str
) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office, version) as (client, _):
            await client.do("count", kind="person")
            await office.until("SELECT 1 FROM audit WHERE detail = ?", "change_counter")
            await client.do("create", kind="person", fields={"full_name": "Lữ Thị Sen"})
            await office.until("SELECT 1 FROM people WHERE full_name = ?", "Lữ Thị Sen")

    asyncio.run(story())
