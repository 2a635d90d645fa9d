"""People of one commune at another, and a commune's own node at what belongs to its neighbour."""

from hashlib import sha256
from typing import Any

from schemas.codes import Role
from scripts.attacks.caller import Caller
from scripts.attacks.link import contact, outcome, peer_of
from scripts.attacks.report import Report
from scripts.attacks.world import COMMUNE, LEAD, OFFICER, PAPER, World
from tests.independent import forger
from tests.independent.messages import CHUNK, FRAME, HELLO, write
from tests.independent.peer import CODING_PLAIN, log_id
from tests.independent.peer_link import Contact, now_ms


async def attack(world: World, report: Report) -> None:
    """Ask a neighbour and the link for the records and files of the commune."""
    for role in (OFFICER, LEAD, Role.COMMUNE_CHAIR):
        async with world.signed_in(role, "neighbour") as caller:
            await _next_door(world, report, role, caller)
    await _files_over_the_link(world, report)
    await _logs_over_the_link(world, report)


async def _next_door(world: World, report: Report, role: Role, caller: Caller) -> None:
    case, person = world.ids["case"], world.ids["person"]
    asked: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", f"/{route}/{world.ids[name]}{rest}", None)
        for name in ("case", "person", "petition", "visit")
        for route, rest in (("cases", ""), ("documents", ""), ("cases", "/record"))
    ]
    asked += [
        ("GET", f"/documents/{case}/attachments/{world.ids['file']}", None),
        ("GET", f"/documents/{case}/sync", None),
        ("POST", f"/people/{person}/identity", {}),
        ("POST", f"/cases/{case}/events", {"event": {"type": "noted", "text": "x"}}),
        ("POST", f"/documents/{case}/fields", {"fields": {"title": "Khác"}}),
    ]
    for method, path, body in asked:
        reply = await caller.ask(method, f"/api/v1{path}", body)
        report.answered(f"{role} next door: {method} {path}", reply)


async def _files_over_the_link(world: World, report: Report) -> None:
    """Ask for a file by its hash, which is known, of a case that is the neighbour's."""
    async with contact(world) as link:
        peer = peer_of(world, link)
        await link.say(peer.greet(now_ms()), peer.want(sha256(PAPER).digest()))
        given = await _given(link)
    report.tried("a neighbour's file over the link", f"{given} bytes", refused=given == 0)


async def _given(link: Contact) -> int:
    while True:
        for kind, items in await link.hear():
            if kind == CHUNK:
                return len(items[3])


async def _logs_over_the_link(world: World, report: Report) -> None:
    """Offer and send logs in the name of others."""
    [(owner,)] = world.rows("province", f"SELECT peer FROM peer WHERE code = '{COMMUNE}'")
    [(own,)] = world.rows("commune", "SELECT peer FROM peer WHERE code = '40'")
    offers = {
        "the neighbour's log": [owner, "up", 0, 0, 2, 0, 0],
        "the province's own log": [own, "up", 0, 0, 2, 0, 0],
        "a log downwards of our own": [b"", "down", 0, 0, 2, 0, 0],
    }
    for said, offer in offers.items():
        async with contact(world) as link:
            await link.say(write(HELLO, 1, now_ms(), 0, [offer], []))
            answer = await outcome(link)
        report.tried(f"an offer of {said}", answer, refused=answer != "silence")
    async with contact(world) as link:
        leaves = [forger.certificates(world.office.me.chain)]
        frame = write(FRAME, log_id(owner, "up", 0), 2, 0, CODING_PLAIN, leaves)
        await link.say(peer_of(world, link).greet(now_ms()), frame)
        answer = await outcome(link)
    report.tried("leaves for the neighbour's log", answer, refused=answer == "frame_foreign")
