"""Clients that break the rules: each costs its own connection or its own document, nothing else."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from automerge.core import ScalarType

from schemas.ids import DocumentId, document_text
from schemas.repo import REPO_MESSAGE_BYTES_MAX, repo_id
from sync.change import MAGIC, uleb
from sync.document import Documents, Edit
from tests.stock.raw import JOIN, Raw, changes_of, new_document, put_field, raw_client
from tests.web.offices import OpenOffice, open_office, visit_form

DOCUMENT = DocumentId(bytes(range(16)))
OTHER = DocumentId(bytes(range(16, 32)))


async def ticket_of(office: OpenOffice, user: str = "lan") -> str:
    browser = await office.browser(user)
    path = (await browser.post("/repo-tickets")).body["path"]
    return office.address("ws") + str(path)


@asynccontextmanager
async def connected(office: OpenOffice, user: str = "lan") -> AsyncIterator[Raw]:
    async with raw_client(await ticket_of(office, user)) as raw:
        yield raw


async def refusal(raw: Raw) -> str:
    """Return the sentence of the next refusal."""
    while True:
        answer = await raw.hear()
        assert isinstance(answer, dict), answer
        if answer["type"] == "error":
            return str(answer["message"])


async def works(raw: Raw, office: OpenOffice, document: DocumentId = OTHER) -> None:
    """Show that the connection still takes good changes."""
    made = new_document(b"good" * 4)
    put_field(made, "full_name", "Vi Thị Nở", ScalarType.Str)
    await raw.sync(document, changes_of(made))
    await office.until("SELECT 1 FROM people WHERE full_name = ?", "Vi Thị Nở")


def test_what_is_no_message_ends_the_connection_with_a_reason(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            address = await ticket_of(office)
            for data in (
                b"",
                b"\xff\xff",
                b"\xa1\x64type\x64sync",
                b"\x9f" * 1_000,
                b"\xa1" * 1_000,
                b"\xa2\x64type\x67request\x6adocumentId\x1b" + bytes(8),
                bytes(1_000),
            ):
                async with raw_client(address) as raw:
                    await raw.say(data)
                    assert await raw.hear() == aiohttp.WSCloseCode.POLICY_VIOLATION
            async with raw_client(address) as raw:
                await works(raw, office)

    asyncio.run(story())


def test_a_message_beyond_the_limit_ends_the_connection(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            await raw.say(bytes(REPO_MESSAGE_BYTES_MAX + 1))
            assert await raw.hear() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG

    asyncio.run(story())


def test_who_does_not_join_first_in_a_known_version_is_sent_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            address = await ticket_of(office)
            for message in (
                {"type": "sync", "documentId": "x", "data": b""},
                {"type": "sync", "documentId": repo_id(DOCUMENT), "data": b"\x42"},
                {**JOIN, "supportedProtocolVersions": ["2"]},
                {**JOIN, "senderId": ""},
            ):
                async with raw_client(address, joins=False) as raw:
                    await raw.say(message)
                    assert await raw.hear() == aiohttp.WSCloseCode.POLICY_VIOLATION

    asyncio.run(story())


def test_a_change_under_somebody_elses_actor_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            made = new_document(b"lan." * 4)
            async with connected(office, "lan") as raw:
                await raw.sync(DOCUMENT, changes_of(made))
                await office.until("SELECT 1 FROM document WHERE id = ?", DOCUMENT)
            forged = put_field(made, "phone", "0900 000 000", ScalarType.Str)
            async with connected(office, "mai") as raw:
                await raw.sync(DOCUMENT, [forged])
                assert "[actor_foreign]" in await refusal(raw)
            async with connected(office, "lan") as raw:
                await raw.sync(DOCUMENT, [forged])
                await office.until("SELECT 1 FROM people WHERE phone = ?", "0900 000 000")

    asyncio.run(story())


def test_a_person_of_a_reading_role_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            async with connected(office, "tam") as raw:
                await raw.sync(DOCUMENT, changes_of(new_document(b"tam." * 4)))
                assert "[not_permitted]" in await refusal(raw)
            rows = await office.rows("SELECT user, detail FROM audit WHERE action='device.refused'")
            assert rows == [("tam", "not_permitted")]

    asyncio.run(story())


def test_a_role_of_the_machine_gets_no_ticket_and_no_connection(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            technician = await office.browser("ky")
            assert (await technician.post("/repo-tickets")).code == "not_permitted"
            for path in ("/api/v1/repo", "/api/v1/repo?ticket=none"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    async with raw_client(office.address("ws") + path):
                        pass
                assert refused.value.status in (401, 403)

    asyncio.run(story())


def test_the_connection_ends_when_the_person_signs_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            browser = await office.browser("lan")
            path = (await browser.post("/repo-tickets")).body["path"]
            async with raw_client(office.address("ws") + path) as raw:
                await browser.post("/sign-out")
                assert await raw.hear() == aiohttp.WSCloseCode.POLICY_VIOLATION
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with raw_client(office.address("ws") + path):
                    pass

    asyncio.run(story())


def test_a_malformed_sync_message_costs_its_document(tmp_path: Path) -> None:
    cases = [
        (b"", "sync_message_malformed"),
        (b"\x42\x01", "change_malformed"),
        (b"\x43\x00\x00\x00\x00", "sync_message_version"),
        # A filter of one entry with four thousand million probes.
        (b"\x42\x00\x00\x01\x00\x07\x01\x0a\xff\xff\xff\xff\x0f\x00", "sync_message_malformed"),
        (b"\x42\x00\x00\x00\x01\x03abc", "change_malformed"),
    ]

    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            for number, (data, code) in enumerate(cases):
                await raw.send(DocumentId(number.to_bytes(16, "big")), data)
                assert f"[{code}]" in await refusal(raw)
            await works(raw, office)

    asyncio.run(story())


def test_a_change_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            deflated = zlib.compressobj(wbits=-15)
            bomb = deflated.compress(bytes(200 << 20)) + deflated.flush()
            chunk = MAGIC + bytes(4) + b"\x02" + uleb(len(bomb)) + bomb
            await raw.sync(DOCUMENT, [chunk])
            assert "[change_malformed]" in await refusal(raw)
            await works(raw, office)

    asyncio.run(story())


def test_changes_that_come_before_what_they_build_on_wait_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            made = new_document(b"late" * 4)
            late = put_field(made, "phone", "0911 111 111", ScalarType.Str)
            await raw.sync(DOCUMENT, [late])
            assert await raw.hear() is not None
            assert await office.rows("SELECT 1 FROM change WHERE document = ?", DOCUMENT) == []
            await raw.sync(DOCUMENT, changes_of(made)[:1])
            await office.until("SELECT 1 FROM people WHERE phone = ?", "0911 111 111")

    asyncio.run(story())


def test_who_fills_the_memory_document_by_document_is_sent_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            lost = new_document(b"lost" * 4)
            early = put_field(lost, "note", os.urandom(450_000).hex(), ScalarType.Str)
            answer: object = {}
            for number in range(64):
                await raw.sync(DocumentId(number.to_bytes(16, "big")), [early])
                while isinstance(answer := await raw.hear(), dict) and answer["type"] == "error":
                    pass
                if not isinstance(answer, dict):
                    break
            assert answer == aiohttp.WSCloseCode.POLICY_VIOLATION
            assert number > 10

    asyncio.run(story())


def test_a_client_whose_documents_are_all_refused_is_sent_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            answer: object = {}
            for number in range(200):
                await raw.send(DocumentId(number.to_bytes(16, "big")), b"")
                answer = await raw.hear()
                if not isinstance(answer, dict):
                    break
            assert answer == aiohttp.WSCloseCode.POLICY_VIOLATION

    asyncio.run(story())


def test_the_list_of_cases_is_read_and_never_written(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            officer = await office.browser("lan")
            await officer.post("/visits", visit_form())
            async with raw_client(await ticket_of(office), joins=False) as raw:
                await raw.say(JOIN)
                told = await raw.hear()
                assert isinstance(told, dict)
                [board] = told["peerMetadata"]["boards"]
                name = board.removeprefix("automerge:")
                data = Documents(lambda _: []).write(OTHER, bytes(16), Edit(kind="index"))
                assert data is not None
                chunk = b"\x42\x00\x00\x00\x01" + uleb(len(data)) + data
                await raw.say({"type": "sync", "documentId": name, "data": chunk})
                assert "[document_read_only]" in await refusal(raw)

    asyncio.run(story())


def test_the_connection_ends_when_its_device_is_revoked(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            technician = await office.browser("ky")
            async with connected(office) as raw:
                [(device,)] = await office.rows("SELECT device FROM sign_in WHERE user = 'lan'")
                reply = await technician.post(f"/devices/{bytes(device).hex()}/revoked")
                assert reply.status == 200, reply.text
                assert await raw.hear() == aiohttp.WSCloseCode.POLICY_VIOLATION

    asyncio.run(story())


def test_a_change_that_was_undone_with_a_refused_one_is_not_in_the_trail(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office, connected(office) as raw:
            made = new_document(b"half" * 4)
            put_field(made, "no_such_field", "x", ScalarType.Str)
            await raw.sync(DOCUMENT, changes_of(made))
            await refusal(raw)
            await works(raw, office)
            edits = await office.rows(
                "SELECT document_id FROM audit WHERE action = 'document.edit'"
            )
            assert {row[0] for row in edits} == {document_text(OTHER)}

    asyncio.run(story())
