"""Nobody, or somebody with another's or no valid pass, at every route that is served."""

import re
import ssl
from collections.abc import Iterator
from typing import Any, Final, cast

from aiohttp import web

from node.clock import Clock
from node.folder import open_folder
from node.gate import Gate, Issuing
from node.web.server import add_routes
from node.websocket import PATH as LINK_PATH
from scripts.attacks.caller import Caller, calling
from scripts.attacks.report import Report
from scripts.attacks.world import OFFICER, World

# All that somebody may ask who is not signed in, and why. A new route that is open must be added.
OPEN: Final = {
    ("POST", "/api/v1/sign-in"): "people come in here; slowed down, from the LAN at paired devices",
    ("GET", "/api/v1/sign-in/passkey"): "a challenge, remembered nowhere",
    ("POST", "/api/v1/sign-in/passkey"): "as with a password; a challenge is good once",
    ("GET", "/api/v1/health"): "for a monitor: no more than mDNS announces, and when it must act",
    ("GET", "/api/v1/openapi.json"): "stands in the source",
    ("GET", "/api/v1/site"): "what a new device compares; all of it is announced",
    ("GET", "/api/v1/site/certificate"): "public; it is compared before it is installed",
    ("POST", "/api/v1/pairings/hello"): "one attempt for each code that the technician shows",
    ("POST", "/api/v1/pairings/proof"): "of a pairing that a hello began; one attempt",
    ("GET", "/api/v1/pairings/{id}/outcome"): "to who knows 16 random bytes; a public certificate",
    ("POST", "/api/v1/device/challenge"): "carries its own mark, remembered nowhere",
    ("POST", "/api/v1/device/proof"): "takes a signature of a key that was let in",
    ("GET", "/sign-in"): "names the office; leads on to addresses of this node only",
    ("GET", "/site"): "the fingerprint, for people",
    ("GET", "/pair"): "the form; what it sends is refused without a code",
    ("GET", "/language/{code}"): "a cookie; leads on to addresses of this node only",
    ("GET", "/app.webmanifest"): "the same for everybody",
    ("GET", "/worker.js"): "the same for everybody",
    ("GET", "/offline/{code}"): "the same for everybody, names nobody",
    ("GET", "/static"): "the same for everybody",
}
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
_SESSION: Final = "tiepdan_session_40_17083"


def served() -> list[tuple[str, str]]:
    """Return method and pattern of every route of the pages and the API."""
    app = web.Application()
    add_routes(app)
    found = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    return sorted(found)


async def attack(world: World, report: Report) -> None:
    """Ask every route without a pass, with false ones, with one that ended, from the LAN."""
    passes = dict(_false_passes()) | {"a session that ended": await _ended(world)}
    passes |= {"a session of another commune": await _session(world, "neighbour")}
    for said, value in passes.items():
        async with calling(world.commune.url) as caller:
            await _knock(world, report, caller, said, {"Cookie": f"{_SESSION}={value}"})
    async with calling(world.commune.url) as caller:
        await _knock(world, report, caller, "nobody", {})
        await _wrong_methods(world, report, caller)
        await _foreign_names(report, caller)
    await _from_the_lan(world, report)
    await _at_the_port_for_children(world, report)


async def _knock(
    world: World, report: Report, caller: Caller, who: str, headers: dict[str, str]
) -> None:
    for method, pattern in served():
        if (method, pattern) in OPEN:
            continue
        body: Any = {} if method != "GET" else None
        reply = await caller.ask(method, world.path(pattern), body, headers)
        report.answered(f"{who}: {method} {pattern}", reply, {"sign_in_needed", "csrf_failed", ""})


def _false_passes() -> Iterator[tuple[str, str]]:
    yield "a made-up session", "A" * 43
    yield "a session of injected SQL", "'%20OR%201=1--"
    yield "a session of 4,000 signs", "x" * 4_000


async def _session(world: World, node: str) -> str:
    async with world.signed_in(OFFICER, node) as officer:
        found = officer.cookies()
    return next(value for name, value in found.items() if name.startswith("tiepdan_session"))


async def _ended(world: World) -> str:
    async with world.signed_in(OFFICER) as officer:
        token = officer.cookies()[_SESSION]
        await officer.ask("POST", "/api/v1/sign-out", {})
    return token


async def _wrong_methods(world: World, report: Report, caller: Caller) -> None:
    patterns: dict[str, set[str]] = {}
    for method, pattern in served():
        patterns.setdefault(pattern, set()).add(method)
    for pattern, methods in patterns.items():
        for method in sorted(set(_METHODS) - methods):
            reply = await caller.ask(method, world.path(pattern))
            report.answered(f"{method} {pattern}, which has no such method", reply)


async def _foreign_names(report: Report, caller: Caller) -> None:
    for host in (
        "evil.local",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "a b",
        "",
    ):
        reply = await caller.ask("GET", "/api/v1/health", headers={"Host": host})
        report.answered(f"the name {host!r} for this node", reply)


async def _from_the_lan(world: World, report: Report) -> None:
    """Use a good session, of a browser at the node itself, from the LAN without a paired device."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    token = await _session(world, "commune")
    async with calling(f"https://127.0.0.1:{world.lan_port}", context) as caller:
        headers = {"Cookie": f"{_SESSION}={token}"}
        await _knock(world, report, caller, "a stolen session from the LAN", headers)
        headers["Origin"] = caller.url
        reply = await caller.ask("GET", "/api/v1/repo", headers=headers)
        report.answered("the socket by a stolen session from the LAN", reply, {"sign_in_needed"})
        async with world.signed_in(OFFICER) as officer:
            path = (await officer.ask("POST", "/api/v1/repo-tickets", {})).body["path"]
            reply = await caller.ask("GET", path)
        report.answered("the socket by a stolen ticket from the LAN", reply, {"sign_in_needed"})
        reply = await caller.sign_in("reception-officer", "mật khẩu để thử")
        report.answered("sign-in from the LAN at a device that is not paired", reply)


async def _at_the_port_for_children(world: World, report: Report) -> None:
    """Come to every route of the port for children without a certificate, and in plain HTTP."""
    gate = Gate(open_folder(world.province.folder), cast("Issuing", None), Clock())
    routes = [(route.method, _path(route)) for route in gate.application().router.routes()]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = world.province.sync_port
    for scheme in ("https", "http"):
        async with calling(f"{scheme}://127.0.0.1:{port}", context) as caller:
            for method, path in [*routes, ("GET", LINK_PATH), ("GET", "/"), ("GET", "/api/v1/me")]:
                reply = await caller.ask(method, path)
                report.answered(f"no certificate, {scheme}: {method} {path}", reply)


def _path(route: web.AbstractRoute) -> str:
    assert route.resource is not None
    return re.sub(r"\{\w+\}", "x", route.resource.canonical)
