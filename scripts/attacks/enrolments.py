"""Enrolment and renewal at the port for children: tokens that are used, wrong or withdrawn."""

import asyncio
import ssl
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from crypto.certificates import make_request, request_to_pem
from crypto.enrolment import Token, name_of, parse_token, proof_key, request_proof
from crypto.identity import NodeKey
from node.enrolling import ENROL_PATH, EnrolRequest
from node.renewing import RENEW_PATH
from schemas.codes import Role, Tier
from scripts.attacks.caller import Reply, calling
from scripts.attacks.report import Report
from scripts.attacks.world import NEIGHBOUR, World
from tests.independent.enrolment import Office

_CODE = "40.17101"


async def attack(world: World, report: Report) -> None:
    """Come to a province that has a token open."""
    async with world.signed_in(Role.NODE_ADMIN, "province") as technician:
        body = {"code": _CODE}
        made = await technician.ask("POST", "/api/v1/tokens", body)
        token = parse_token(made.body["line"])
        port = world.province.sync_port
        await _strangers(report, port)
        await _proofs(report, port, token)
        await technician.ask("DELETE", f"/api/v1/tokens/{_CODE}", {})
        report.answered("a token that was withdrawn", await _enrol(port, token, token.secret))
    await _renewals(world, report)


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _strangers(report: Report, port: int) -> None:
    """While a token is open the handshake lets strangers in, and nothing else does."""
    async with calling(f"https://127.0.0.1:{port}", _unchecked()) as caller:
        for method, path in (
            ("GET", "/link/1"),
            ("POST", RENEW_PATH),
            ("GET", ENROL_PATH),
            ("GET", f"{ENROL_PATH}/../../link/1"),
            ("GET", "/api/v1/cases"),
            ("GET", "/"),
        ):
            report.answered(f"a stranger: {method} {path}", await caller.ask(method, path))


async def _proofs(report: Report, port: int, token: Token) -> None:
    other = token.secret[::-1]
    report.answered("a secret that is wrong", await _enrol(port, token, other))
    report.answered(
        "a token for another commune", await _enrol(port, token, token.secret, NEIGHBOUR)
    )
    report.answered(
        "a proof for another listener", await _enrol(port, token, token.secret, listener=b"x")
    )
    async with calling(f"https://127.0.0.1:{port}", _unchecked()) as caller:
        for said, body in {
            "no JSON": b"{",
            "an empty form": b"{}",
            "32 KiB and more": b"[" + b"0," * (20 << 10),
        }.items():
            reply = await caller.ask("POST", ENROL_PATH, body)
            report.answered(f"an enrolment of {said}", reply)


async def _enrol(
    port: int, token: Token, secret: bytes, code: str = _CODE, listener: bytes = b""
) -> Reply:
    """Ask for a certificate; the listener is what the proof says was met, if not the real one."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_unchecked())
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    request = make_request(NodeKey(b"attacker".ljust(32)), Tier.COMMUNE, code, "Giả")
    der = request.public_bytes(Encoding.DER)
    asked = EnrolRequest(
        token=name_of(token.secret).hex(),
        request=request_to_pem(request).decode(),
        proof=request_proof(proof_key(secret), listener or shown, der).hex(),
    )
    async with calling(f"https://127.0.0.1:{port}", _unchecked()) as caller:
        return await caller.ask("POST", ENROL_PATH, asked.model_dump())


async def _renewals(world: World, report: Report) -> None:
    """Ask for a certificate with one of another place, or for another place."""
    port = world.province.sync_port
    for said, office, asked in _askers(world):
        async with calling(f"https://127.0.0.1:{port}", office.context) as caller:
            reply = await caller.ask("POST", RENEW_PATH, asked)
        report.answered(f"a renewal by {said}", reply)


def _askers(world: World) -> list[tuple[str, Office, dict[str, Any]]]:
    impostor = Office(world.folder / "impostor", NEIGHBOUR, "Xã khác")
    mine = {"request": world.office.request().decode()}
    return [
        *(
            (said, office, {"request": office.request().decode()})
            for said, office in world.foreign.items()
        ),
        ("a commune for its neighbour", world.office, {"request": impostor.request().decode()}),
        ("a commune that sends nonsense", world.office, {"request": "x"}),
        ("a commune that asks for more", world.office, {**mine, "days": 9_999}),
    ]
