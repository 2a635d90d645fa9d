"""Requests that a page of somebody else makes the browser of a signed-in person send (CSRF)."""

from typing import Any, Final

from aiohttp import ClientSession, WSServerHandshakeError

from node.web.operations import OPERATIONS, PREFIX
from schemas.codes import Role
from scripts.attacks.caller import Caller
from scripts.attacks.report import Report
from scripts.attacks.world import LEAD, OFFICER, World

_EVIL: Final = "https://evil.example"


async def attack(world: World, report: Report) -> None:
    """Send every change without the token, with another's, and from a foreign page."""
    async with world.signed_in(LEAD) as lead:
        others_token = lead.csrf
    for role in (OFFICER, Role.NODE_ADMIN):
        async with world.signed_in(role) as caller:
            await _changes(world, report, caller, others_token)
            await _sockets(world, report, caller)


async def _changes(world: World, report: Report, caller: Caller, others_token: str) -> None:
    me = (await caller.ask("GET", "/api/v1/me")).body["operations"]
    forms: dict[str, dict[str, str]] = {
        "without the token": {"X-CSRF-Token": ""},
        "with a wrong token": {"X-CSRF-Token": "x" * 43},
        "with another person's token": {"X-CSRF-Token": others_token},
        "from a foreign page": {"Origin": _EVIL},
        "from a page without an origin": {"Origin": "null"},
        "from this host's other port": {"Origin": "http://127.0.0.1:1"},
        "said to be cross-site": {"Sec-Fetch-Site": "cross-site"},
        "said to be same-site": {"Sec-Fetch-Site": "same-site"},
    }
    for operation in OPERATIONS:
        if not operation.is_change or operation.permission not in {*me, None}:
            continue
        path = world.path(PREFIX + operation.path)
        for said, headers in forms.items():
            if operation.permission is None and "token" in said:
                continue
            reply = await caller.ask(operation.method, path, {}, headers)
            report.answered(f"{operation.id} {said}", reply, {"csrf_failed"})
    await _simple_forms(world, report, caller)


async def _simple_forms(world: World, report: Report, caller: Caller) -> None:
    """Send what a form of HTML can: it has no JSON, and no token either."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"Content-Type": kind, "X-CSRF-Token": caller.csrf}
        for path in ("/visits", "/me/password", f"/cases/{world.ids['case']}/events"):
            reply = await caller.ask("POST", f"/api/v1{path}", b'{"user":"x"}', headers)
            report.answered(f"{path} as {kind}", reply, {"json_needed", "not_permitted"})


async def _sockets(world: World, report: Report, caller: Caller) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in caller.cookies().items())
    url = world.commune.url.replace("http", "ws") + "/api/v1/repo"
    origins: dict[str, dict[str, Any]] = {
        "a foreign page": {"Origin": _EVIL},
        "a page without an origin": {"Origin": "null"},
        "nobody who says whose page it is": {},
    }
    for said, headers in origins.items():
        try:
            async with (
                ClientSession() as client,
                client.ws_connect(url, headers={"Cookie": cookie, **headers}),
            ):
                answer = "open"
        except WSServerHandshakeError as error:
            answer = str(error.status)
        report.tried(f"the socket of programs from {said}", answer, refused=answer == "403")
