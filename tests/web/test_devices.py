"""What a device may do, and that it ends the moment it is revoked."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.devices import CHALLENGE_MS, Challenges, Device
from node.errors import RequestError
from node.paired_device import PairedDevice
from node.permissions import may_at
from node.site_client import SiteClient
from node.web.api_repo import CONNECTIONS_A_PERSON_MAX
from node.web.operations import OPERATIONS
from schemas.codes import DeviceScope
from tests.stock.raw import raw_client
from tests.web.authenticator import Authenticator
from tests.web.lan_office import LanOffice, pass_time, tell_on_the_lan
from tests.web.offices import PASSWORD, visit_form


async def sign_in(client: SiteClient, user: str = "lan") -> Any:
    me = await client.ask("POST", "/sign-in", {"user": user, "password": PASSWORD})
    client.headers["X-CSRF-Token"] = me["csrf"]
    return me


async def code_of(asked: Any) -> str:
    with pytest.raises(RequestError) as caught:
        await asked
    return caught.value.code


def test_people_sign_in_from_the_lan_at_paired_devices_only(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        async with lan.client() as stranger:
            assert await code_of(sign_in(stranger)) == "device_not_paired"
        device = await lan.pair(await lan.offer())
        async with device.client() as client:
            assert await code_of(sign_in(client)) == "device_not_paired"
            await device.prove(client)
            assert (await sign_in(client))["user"] == "lan"
            assert (await client.ask("GET", "/me"))["user"] == "lan"
            assert await code_of(client.ask("GET", "/devices")) == "not_permitted"
        # At the node itself nothing has to be paired, and such a session is none on the LAN.
        here = await lan.office.browser("lan")
        async with lan.client() as thief:
            thief.headers["Cookie"] = here.cookies()
            assert await code_of(thief.ask("GET", "/me")) == "sign_in_needed"
        # A node can be told to do without.
        node = lan.office.node
        node.config = replace(node.config, lan_needs_pairing=False)
        async with lan.client() as stranger:
            assert (await sign_in(stranger))["user"] == "lan"

    tell_on_the_lan(tmp_path, story)


def test_a_copied_cookie_or_ticket_opens_no_socket_from_the_lan(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        here = await lan.office.browser("lan")
        path = (await here.post("/repo-tickets")).body["path"].removeprefix("/api/v1")
        async with lan.client() as thief:
            assert await code_of(thief.ask("GET", path)) == "sign_in_needed"
            thief.headers["Cookie"] = here.cookies()
            thief.headers["Origin"] = "https://" + thief.headers["Host"]
            assert await code_of(thief.ask("GET", "/repo")) == "sign_in_needed"

    tell_on_the_lan(tmp_path, story)


def test_a_name_that_somebody_else_announces_on_the_lan_is_none_of_ours(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        async with lan.client() as client:
            assert (await client.ask("GET", "/health"))["tier"] == "commune"
            client.headers["Host"] = client.headers["Host"].replace(lan.lan.site.name, "evil.local")
            assert await code_of(client.ask("GET", "/health")) == "host_unknown"

    tell_on_the_lan(tmp_path, story)


def test_what_a_person_has_open_counts_once_wherever_it_was_opened(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        device, here = await lan.pair(await lan.offer()), await lan.office.browser("lan")
        path = (await here.post("/repo-tickets")).body["path"]
        async with device.client() as client, AsyncExitStack() as stack:
            await device.prove(client)
            await sign_in(client)
            for _ in range(CONNECTIONS_A_PERSON_MAX):
                await stack.enter_async_context(raw_client(lan.office.address("ws") + path))
            there = (await client.ask("POST", "/repo-tickets"))["path"].removeprefix("/api/v1")
            assert await code_of(client.ask("GET", there)) == "repo_connections"

    tell_on_the_lan(tmp_path, story)


def test_a_passkey_signs_in_from_the_lan_at_paired_devices_only(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        host = f"{lan.lan.site.name}:{lan.lan.port}"
        passkey = Authenticator(lan.lan.site.name, f"https://{host}")
        device = await lan.pair(await lan.offer())
        async with device.client() as client:
            client.headers["Host"] = host
            await device.prove(client)
            await sign_in(client)
            asked = await client.ask("GET", "/me/passkeys/options")
            made = passkey.make(asked["options"])
            body = {"name": "Máy bảng", "password": PASSWORD, "credential": made}
            await client.ask("POST", "/me/passkeys", body)
        async with lan.client() as stranger:
            stranger.headers["Host"] = host
            assert await code_of(with_passkey(stranger, passkey)) == "device_not_paired"
            assert await code_of(stranger.ask("GET", "/me")) == "sign_in_needed"
        async with device.client() as client:
            client.headers["Host"] = host
            await device.prove(client)
            assert (await with_passkey(client, passkey))["user"] == "lan"
            assert (await client.ask("GET", "/me"))["user"] == "lan"

    tell_on_the_lan(tmp_path, story)


async def with_passkey(client: SiteClient, passkey: Authenticator) -> Any:
    asked = await client.ask("GET", "/sign-in/passkey")
    answer = passkey.answer(asked["options"])
    return await client.ask("POST", "/sign-in/passkey", {"credential": answer})


def test_a_revoked_device_loses_its_stream_its_sign_ins_and_its_key_at_once(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        device = await lan.pair(await lan.offer())
        async with device.client() as client, asyncio.TaskGroup() as group:
            await device.prove(client)
            await sign_in(client)
            stream = group.create_task(client.download("/api/v1/news"))
            while not (line := await listed(lan, device))["is_here"]:
                await lan.office.node.changes.wait(lan.office.node.changes.number, 0.05)
            assert line["people"] == ["Nguyễn Thị Lan"]
            assert not stream.done()
            reply = await lan.technician.post(f"/devices/{device.device.hex()}/revoked")
            assert reply.status == 200
            async with asyncio.timeout(20):
                assert (await stream).rstrip().endswith(b"event: signed-out\ndata: {}")
            assert await code_of(client.ask("GET", "/me")) == "sign_in_needed"
            assert await code_of(sign_in(client)) == "device_not_paired"
            assert await code_of(device.prove(client)) == "device_proof_wrong"
        line = await listed(lan, device)
        assert (line["is_here"], line["people"], line["revoked_by"]) == (False, [], "ky")
        again = await lan.technician.post(f"/devices/{device.device.hex()}/revoked")
        assert again.code == "device_unknown"
        audited = await lan.office.rows("SELECT action FROM audit WHERE action LIKE 'device.%'")
        assert audited == [("device.pair",), ("device.revoke",)]

    tell_on_the_lan(tmp_path, story)


async def listed(lan: LanOffice, device: PairedDevice) -> Any:
    devices = (await lan.technician.get("/api/v1/devices")).body["devices"]
    (line,) = [line for line in devices if line["id"] == device.device.hex()]
    return line


def test_a_device_for_looking_things_up_writes_nothing(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        device = await lan.pair(await lan.offer(scope="read"))
        async with device.client() as client:
            await device.prove(client)
            me = await sign_in(client)
            assert "case.read" in me["operations"]
            assert "visit.register" not in me["operations"]
            await client.ask("GET", "/cases")
            refused = client.ask("POST", "/visits", visit_form())
            assert await code_of(refused) == "device_scope"

    tell_on_the_lan(tmp_path, story)


def test_a_proof_counts_once_and_for_two_minutes(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        device = await lan.pair(await lan.offer())
        async with device.client() as client:
            heard: list[Any] = []
            ask = client.ask

            async def keep(method: str, path: str, body: Any = None) -> Any:
                heard.append(body)
                return await ask(method, path, body)

            client.ask = keep  # type: ignore[method-assign]
            await device.prove(client)
            replayed = ask("POST", "/device/proof", heard[-1])
            assert await code_of(replayed) == "device_proof_old"
            challenge = await ask("POST", "/device/challenge")
            other = {**heard[-1], "challenge": challenge["challenge"]}
            assert await code_of(ask("POST", "/device/proof", other)) == "device_proof_wrong"

            async def slowly(method: str, path: str, body: Any = None) -> Any:
                if path == "/device/proof":
                    pass_time(lan.lan, CHALLENGE_MS + 1)
                return await ask(method, path, body)

            client.ask = slowly  # type: ignore[method-assign]
            assert await code_of(device.prove(client)) == "device_proof_old"

    tell_on_the_lan(tmp_path, story)


def test_at_a_device_for_looking_things_up_no_operation_changes_anything() -> None:
    for operation in OPERATIONS:
        if operation.permission and may_at(DeviceScope.READ, operation.permission):
            assert not operation.is_change or operation.id == "sign_out", operation.id


def test_challenges_of_another_process_or_of_strangers_are_not_ours() -> None:
    device = Device(
        device=b"d" * 16, name="", scope=DeviceScope.WORK, point=b"p" * 65, certificate=b"c"
    )
    ours = Challenges(random.Random(1).randbytes, b"s" * 32)
    theirs = Challenges(random.Random(2).randbytes, b"s" * 32)
    for challenge in (theirs.make(1_000), b"", b"x" * 40):
        with pytest.raises(RequestError, match="not paired"):
            ours.check(device, challenge, b"", 1_000)


def test_a_certificate_that_ends_soon_is_renewed_when_the_device_comes(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        device = await lan.pair(await lan.offer())
        async with device.client() as client:
            first = (await device.prove(client))["certificate"]
            assert (await device.prove(client))["certificate"] == first
            node, now_ms = lan.office.node, lan.office.node.clock.now_ms()
            node.clock.now_ms = lambda: now_ms + 350 * 86_400_000  # type: ignore[method-assign]
            assert (await device.prove(client))["certificate"] != first

    tell_on_the_lan(tmp_path, story)
