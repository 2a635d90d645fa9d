"""Enrolment and renewal at the port for children: tokens that are used, wrong or withdrawn."""

import asyncio
import ssl
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from crypto.certificates import make_request, request_to_pem
from crypto.enrolment import HOUR_MS, Token, name_of, parse_token, proof_key, request_proof
from crypto.identity import NodeKey
from node.clock import Clock
from node.enrolling import ENROL_PATH, EnrolRequest
from node.entropy import system_entropy
from node.folder import open_folder
from node.renewing import RENEW_PATH
from node.tokens import FAILURES_MAX, make_token
from schemas.codes import Role, Tier
from scripts.attacks.caller import Caller, Reply, calling
from scripts.attacks.link import contact
from scripts.attacks.report import Report
from scripts.attacks.world import NEIGHBOUR, World, enrolled
from tests.independent.enrolment import Office
from tests.independent.peer import Peer
from tests.independent.peer_link import now_ms

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
        await _used(technician, report, port)
        await _blocked(technician, report, port)
    await _old(world, report)
    await _as_successor(world, report)
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


async def _token_for(technician: Caller, code: str, *, again: bool = False) -> Token:
    body = {"code": code, "is_again": again}
    return parse_token((await technician.ask("POST", "/api/v1/tokens", body)).body["line"])


async def _used(technician: Caller, report: Report, port: int) -> None:
    """Enrol once in earnest, then with the same token another key, and another office."""
    code, source = "40.17102", "127.0.0.2"
    token = await _token_for(technician, code)
    first = await _enrol(port, token, token.secret, code, source=source)
    report.holds("a token enrols once", good=first.status == 200, seen=first.code)
    for said, seed, place in (
        ("another key with a used token", b"second", code),
        ("the same key for another place", b"attacker", "40.17103"),
    ):
        reply = await _enrol(port, token, token.secret, place, source=source, seed=seed)
        report.answered(said, reply, {"token_used", "token_other_place"})
    later = await _token_for(technician, code)
    reply = await _enrol(port, later, later.secret, code, source=source, seed=b"second")
    report.answered("another key for a place that is enrolled", reply, {"code_enrolled"})
    reply = await _enrol(port, token, token.secret, code, source=source)
    report.answered("a token that a later one replaced", reply, {"token_unknown"})


async def _blocked(technician: Caller, report: Report, port: int) -> None:
    token = await _token_for(technician, "40.17104")
    for _ in range(FAILURES_MAX):
        await _enrol(port, token, token.secret[::-1], "40.17104", source="127.0.0.3")
    reply = await _enrol(port, token, token.secret, "40.17104", source="127.0.0.4")
    report.answered("the right secret after five wrong ones", reply, {"token_blocked"})


async def _old(world: World, report: Report) -> None:
    """Use a token whose time is over, and one that another province made."""
    code, now_ms = "40.17105", Clock().now_ms()
    for said, name, at_ms, refusal in (
        ("a token whose time is over", "province", now_ms - 30 * HOUR_MS, "token_expired"),
        ("a token of another node", "other-province", now_ms, "token_unknown"),
    ):
        own = open_folder(world.folder / name).subject
        token = make_token(
            world.folder / name,
            own=(own.tier, own.code, own.peer_id),
            code=code,
            address="127.0.0.1:1",
            now_ms=at_ms,
            entropy=system_entropy,
        )
        port = world.province.sync_port
        reply = await _enrol(port, token, token.secret, code, source="127.0.0.5")
        report.answered(said, reply, {refusal})


async def _as_successor(world: World, report: Report) -> None:
    """Ask with a good token for the key that may end and follow the one of an office."""
    async with world.signed_in(Role.NODE_ADMIN, "province") as technician:
        for said, code, of in (
            ("a successor of the office's own key", NEIGHBOUR, "neighbour"),
            ("a successor of another office's key", "40.17106", "neighbour"),
        ):
            token = await _token_for(technician, code, again=True)
            victim = open_folder(world.folder / of).subject.peer_id
            port = world.province.sync_port
            reply = await _enrol(
                port, token, token.secret, code, source="127.0.0.6", succeeds=victim
            )
            report.answered(said, reply, {"spare_unfit"})
            await technician.ask("DELETE", f"/api/v1/tokens/{code}", {})


async def _enrol(
    port: int,
    token: Token,
    secret: bytes,
    code: str = _CODE,
    listener: bytes = b"",
    *,
    source: str = "",
    seed: bytes = b"attacker",
    succeeds: bytes = b"",
) -> Reply:
    """Ask for a certificate; the listener is what the proof says was met, if not the real one."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_unchecked())
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    key = NodeKey(seed.ljust(32))
    request = make_request(key, Tier.COMMUNE, code, "Giả", succeeds)
    der = request.public_bytes(Encoding.DER)
    asked = EnrolRequest(
        token=name_of(token.secret).hex(),
        request=request_to_pem(request).decode(),
        proof=request_proof(proof_key(secret), listener or shown, der).hex(),
    )
    async with calling(f"https://127.0.0.1:{port}", _unchecked(), source) as caller:
        return await caller.ask("POST", ENROL_PATH, asked.model_dump())


async def _renewals(world: World, report: Report) -> None:
    """Ask for a certificate with one of another place, or for another place."""
    port = world.province.sync_port
    for said, office, asked in _askers(world):
        async with calling(f"https://127.0.0.1:{port}", office.context) as caller:
            reply = await caller.ask("POST", RENEW_PATH, asked)
        report.answered(f"a renewal by {said}", reply)
    await _revoked(world, report)


async def _revoked(world: World, report: Report) -> None:
    """Renew with a key that was revoked."""
    office = enrolled(world.folder, "revoked", "40.17107", "province")
    async with contact(world, office) as link:
        await link.say(Peer(office.me, link.parent, office.root, []).greet(now_ms()))
        await link.hear()
    async with world.signed_in(Role.NODE_ADMIN, "province") as technician:
        body = {"peer_id": office.me.peer_id.hex(), "reason": "Mất máy"}
        reply = await technician.ask("POST", "/api/v1/revocations", body)
        report.holds("a key is revoked", good=reply.status == 200, seen=reply.code)
    url = f"https://127.0.0.1:{world.province.sync_port}"
    async with calling(url, office.context, "127.0.0.7") as caller:
        asked = {"request": office.request().decode()}
        reply = await caller.ask("POST", RENEW_PATH, asked)
        report.answered("a renewal by a revoked key", reply, {"key_revoked"})


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
