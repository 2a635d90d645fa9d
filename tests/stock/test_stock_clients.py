"""Stock automerge-repo clients at a node: what they write is in the signed log, under their person."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.ids import parse_document_id
from schemas.record import Writer, decode_writer
from schemas.repo import parse_repo_id, repo_url
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
