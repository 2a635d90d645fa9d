"""The ways of a device: pairing codes and challenges that are used, wrong, or of another site."""

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from crypto import p256
from crypto.errors import CryptoError
from crypto.pairing import Way
from node.devices import signed_challenge
from node.errors import NodeError
from node.paired_device import PairedDevice, pair, read_code, read_link
from node.permissions import may_at
from node.site_client import SiteClient
from node.web.operations import OPERATIONS
from schemas.codes import DeviceScope, Role
from scripts.attacks.caller import Caller
from scripts.attacks.report import Report
from scripts.attacks.world import LEAD, OFFICER, PASSWORD, World, user_of

_HOST = "127.0.0.1"
_THROTTLED_S = 120.0


async def attack(world: World, report: Report) -> None:
    """Pair one device in earnest, then try its code, its proof and its place again."""
    async with world.signed_in(Role.NODE_ADMIN) as technician:
        offer = await _offer(technician, Way.QR)
        device = await _paired(technician, offer)
        await _try(report, "the QR code of a device that was paired", offer)
        offer = await _offer(technician, Way.QR)
        link = offer["link"][:-4] + "0000"
        await _try(report, "a QR code with another secret", {**offer, "link": link})
        await _try(report, "a QR code of another site", _elsewhere(offer))
        await technician.ask("DELETE", f"/api/v1/pairings/{offer['id']}")
        await _try(report, "a QR code that was taken back", offer)
        await _confirm_early(technician, report)
        offer = await _offer(technician, Way.CODE)
        wrong = f"{(int(offer['code']) + 1) % 10**8:08}"
        await _try(report, "8 wrong digits", {**offer, "code": wrong}, world.lan_port)
        await _try(report, "the right digits after wrong ones", offer, world.lan_port)
        await _proofs(device, report)
        await _only_reading(world, technician, report)
        await _revoked(technician, device, report)


async def _offer(technician: Caller, way: Way, scope: str = "work") -> dict[str, Any]:
    body = {"way": way.value, "name": "Máy bảng", "scope": scope}
    reply = await technician.ask("POST", "/api/v1/pairings", body)
    if reply.status != 200:
        raise RuntimeError(f"no code is shown: {reply.status} {reply.code}")
    return reply.body


async def _paired(technician: Caller, offer: dict[str, Any], seed: int = 1) -> PairedDevice:
    shown: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        entropy = random.Random(seed).randbytes
        invitation = read_link(offer["link"])
        pairing = group.create_task(pair(invitation, _HOST, entropy, shown.put_nowait))
        await shown.get()
        await technician.ask("POST", f"/api/v1/pairings/{offer['id']}/confirmed", {})
    return pairing.result()


async def _try(report: Report, what: str, offer: dict[str, Any], port: int = 0) -> None:
    """Pair by an offer; nobody confirms."""
    is_qr = offer["way"] == Way.QR.value
    invitation = read_link(offer["link"]) if is_qr else read_code(offer["code"], _HOST, port)
    shown: list[str] = []
    try:
        async with asyncio.timeout(10):
            await pair(invitation, _HOST, random.Random(2).randbytes, shown.append)
        answer = "paired"
    except (NodeError, CryptoError) as error:
        answer = error.code
    except TimeoutError:
        answer = "waits for the technician"
    report.tried(what, answer, refused=answer not in ("paired", "waits for the technician"))


def _elsewhere(offer: dict[str, Any]) -> dict[str, Any]:
    front, _, said = offer["link"].partition("#")
    return {**offer, "link": f"{front}#{'ab' * 32}{said[64:]}"}


async def _confirm_early(technician: Caller, report: Report) -> None:
    offer = await _offer(technician, Way.QR)
    reply = await technician.ask("POST", f"/api/v1/pairings/{offer['id']}/confirmed", {})
    report.answered("confirming before any device came", reply)
    reply = await technician.ask("POST", f"/api/v1/pairings/{'0' * 32}/confirmed", {})
    report.answered("confirming a pairing that there is not", reply)


async def _proofs(device: PairedDevice, report: Report) -> None:
    """Prove the device's key by a challenge that is used, made up, or signed for another site."""
    async with device.client() as client:
        site = (await client.ask("GET", "/site"))["fingerprint"]
        fresh = await client.ask("POST", "/device/challenge")
        signed = _proof(device, bytes.fromhex(site), fresh["challenge"])
        await client.ask("POST", "/device/proof", signed)
        made_up = _proof(device, bytes.fromhex(site), "00" * (len(fresh["challenge"]) // 2))
        other = (await client.ask("POST", "/device/challenge"))["challenge"]
        unsigned = {**_proof(device, bytes.fromhex(site), other), "signature": "00" * 64}
        for said, body in {
            "a proof that was used": signed,
            "a proof of a made-up challenge": made_up,
            "a proof that was signed for another site": _proof(device, b"\xab" * 32, other),
            "a proof without a signature": unsigned,
            "a proof in the name of no device": {**signed, "device": "00" * 16},
        }.items():
            try:
                await client.ask("POST", "/device/proof", body)
                answer = "admitted"
            except NodeError as error:
                answer = error.code
            report.tried(said, answer, refused=answer != "admitted")


def _proof(device: PairedDevice, site: bytes, challenge: str) -> dict[str, Any]:
    message = signed_challenge(site, bytes.fromhex(challenge))
    return {
        "device": device.device.hex(),
        "challenge": challenge,
        "signature": p256.sign(_key(), message).hex(),
    }


def _key() -> ec.EllipticCurvePrivateKey:
    """Return the key of the device, which came of the same entropy."""
    return p256.p256_key(random.Random(1).randbytes(p256.SECRET_BYTES))


async def _only_reading(world: World, technician: Caller, report: Report) -> None:
    """Change things, as people who may, at a device that is for looking things up."""
    device = await _paired(technician, await _offer(technician, Way.QR, "read"), seed=3)
    for role in (OFFICER, LEAD, Role.COMMUNE_CHAIR, Role.NODE_ADMIN):
        async with device.client() as client:
            await device.prove(client)
            client.headers["X-CSRF-Token"] = await _signed_in(client, role)
            for operation in OPERATIONS:
                if operation.permission is None or may_at(DeviceScope.READ, operation.permission):
                    continue
                path = world.path(operation.path)
                answer = await _answer(client.ask(operation.method, path, {}))
                said = f"{role} at a device that only reads: {operation.id}"
                report.tried(said, answer, refused=answer == "device_scope")
            client.headers["Origin"] = "https://" + client.headers["Host"]
            answer = await _answer(client.ask("GET", "/repo"))
            said = f"{role} at a device that only reads: the socket of programs"
            report.tried(said, answer, refused=answer in ("device_scope", "not_permitted"))


async def _signed_in(client: SiteClient, role: Role) -> str:
    """Sign in, after the wait that wrong passwords of other attacks cost; return the token."""
    me = {"user": user_of(role), "password": PASSWORD}
    async with asyncio.timeout(_THROTTLED_S):
        while True:
            try:
                return str((await client.ask("POST", "/sign-in", me))["csrf"])
            except NodeError as error:
                if error.code != "sign_in_throttled":
                    raise
            await asyncio.sleep(2)


async def _answer(asked: Awaitable[Any]) -> str:
    try:
        await asked
    except NodeError as error:
        return error.code
    return "done"


async def _revoked(technician: Caller, device: PairedDevice, report: Report) -> None:
    await technician.ask("POST", f"/api/v1/devices/{device.device.hex()}/revoked", {})
    async with device.client() as client:
        try:
            await device.prove(client)
            answer = "admitted"
        except NodeError as error:
            answer = error.code
    report.tried("a device that was revoked", answer, refused=answer != "admitted")
