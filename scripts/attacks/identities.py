"""Every role at every route that it may not use, and each person at what is another's."""

from typing import Any, Final

from aiohttp import ClientSession, WSServerHandshakeError

from node.permissions import ROLES
from node.web.operations import OPERATIONS, PREFIX
from node.web.pages import PAGES
from schemas.codes import Role
from scripts.attacks.caller import Caller
from scripts.attacks.report import Report
from scripts.attacks.world import LEAD, OFFICER, World

_FORBIDDEN: Final = {"not_permitted"}


async def attack(world: World, report: Report) -> None:
    """Ask as each role what it may not, then for drafts, files and tickets of somebody else."""
    for role in Role:
        async with world.signed_in(role) as caller:
            await _beyond_the_role(world, report, role, caller)
    async with world.signed_in(LEAD) as lead:
        await _what_is_anothers(world, report, lead)
    async with world.signed_in(Role.AUDITOR) as auditor:
        await _events(world, report, auditor)
    await _tickets(world, report)


async def _beyond_the_role(world: World, report: Report, role: Role, caller: Caller) -> None:
    for operation in OPERATIONS:
        if operation.permission is None or role in ROLES[operation.permission]:
            continue
        body: Any = {} if operation.is_change else None
        path = world.path(PREFIX + operation.path)
        reply = await caller.ask(operation.method, path, body)
        report.answered(f"{role}: {operation.id}", reply, _FORBIDDEN)
    for page in PAGES:
        if role not in ROLES[page.permission]:
            reply = await caller.ask("GET", world.path(page.path))
            refused = reply.status == 403 and b"40162001234" not in reply.content
            report.tried(f"{role}: the page {page.path}", str(reply.status), refused=refused)
    if role not in ROLES["repo.connect"]:
        await _socket(world, report, role, caller)


async def _socket(world: World, report: Report, role: Role, caller: Caller) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in caller.cookies().items())
    headers = {"Cookie": cookie, "Origin": world.commune.url}
    answer = await _connect(world, "/api/v1/repo", headers)
    report.tried(f"{role}: the socket of programs", answer, refused=answer == "403")


async def _connect(world: World, path: str, headers: dict[str, str]) -> str:
    """Return the status with which a WebSocket is refused, or that it is open."""
    url = world.commune.url.replace("http", "ws") + path
    try:
        async with ClientSession() as client, client.ws_connect(url, headers=headers):
            return "open"
    except WSServerHandshakeError as error:
        return str(error.status)


async def _what_is_anothers(world: World, report: Report, lead: Caller) -> None:
    draft, sha256 = world.ids["draft"], world.ids["file"]
    reply = await lead.ask("GET", f"/api/v1/drafts/{draft}")
    report.answered("the draft of another person", reply, {"not_found"})
    await lead.ask("DELETE", f"/api/v1/drafts/{draft}", {})
    async with world.signed_in(OFFICER) as officer:
        kept = await officer.ask("GET", f"/api/v1/drafts/{draft}")
    report.tried(
        "deleting another's draft", f"it is kept: {kept.status}", refused=kept.status == 200
    )
    for name in ("person", "petition", "visit"):
        path = f"/api/v1/documents/{world.ids[name]}/attachments/{sha256}"
        report.answered(f"a file by way of a {name} it is not in", await lead.ask("GET", path))
        report.answered(
            f"a {name} as a case", await lead.ask("GET", f"/api/v1/cases/{world.ids[name]}")
        )
    case = world.ids["case"]
    report.answered(
        "a case as a person", await lead.ask("POST", f"/api/v1/people/{case}/identity", {})
    )


async def _events(world: World, report: Report, auditor: Caller) -> None:
    body = {"event": {"type": "noted", "text": "x"}}
    path = f"/api/v1/cases/{world.ids['case']}/events"
    report.answered("an auditor's note", await auditor.ask("POST", path, body), _FORBIDDEN)
    other = dict.fromkeys(("X-CSRF-Token",), "x" * 43)
    reply = await auditor.ask("POST", "/api/v1/me/password", {"old": "x", "new": "y" * 12}, other)
    report.answered("another's password by a made-up token", reply, {"csrf_failed"})


async def _tickets(world: World, report: Report) -> None:
    async with world.signed_in(OFFICER) as officer:
        path = (await officer.ask("POST", "/api/v1/repo-tickets", {})).body["path"]
        await officer.ask("POST", "/api/v1/sign-out", {})
    for said, address in {
        "the ticket of somebody who signed out": path,
        "a made-up ticket": "/api/v1/repo?ticket=" + "A" * 43,
        "no ticket": "/api/v1/repo",
    }.items():
        answer = await _connect(world, address, {"Origin": world.commune.url})
        report.tried(said, answer, refused=answer == "401")
