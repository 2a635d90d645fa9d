"""Paths that lead out of the folder they belong to: static files, attachments, packs, uploads."""

from collections.abc import Iterator
from typing import Final

from aiohttp import FormData

from schemas.codes import Role
from scripts.attacks.caller import say_raw
from scripts.attacks.report import Report
from scripts.attacks.world import OFFICER, World

_UP: Final = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%5c",
    "%252e%252e%252f",
    "..%c0%af",
    "....//",
)
_ENDS: Final = ("server.py", "etc/passwd", "node.toml", "key", "tiepdan.db")
_SECRETS: Final = (b"root:x:0", b"PRIVATE KEY", b"SQLite format", b"def build_web", b"web_port")
_NAMES: Final = (
    "../../evil.txt",
    "..\\..\\evil.txt",
    "/tmp/evil.txt",
    "evil\x00.txt",
    "C:\\evil.txt",
)


async def attack(world: World, report: Report) -> None:
    """Ask for files outside, and upload under names that lead outside."""
    for role in (OFFICER, Role.NODE_ADMIN):
        async with world.signed_in(role) as caller:
            cookie = "; ".join(f"{name}={value}" for name, value in caller.cookies().items())
            for path in _paths(world):
                # By hand: a client would tidy the path up.
                request = (
                    f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n"
                    "Connection: close\r\n\r\n"
                )
                reply = await say_raw(world.commune.web_port, request.encode("utf-8"))
                leaks = any(secret in reply.content for secret in _SECRETS)
                refused = reply.is_refusal and not leaks
                report.tried(f"{role}: GET {path}", f"{reply.status}", refused=refused)
    await _uploads(world, report)


def _paths(world: World) -> Iterator[str]:
    bases = (
        "/static/",
        f"/api/v1/documents/{world.ids['case']}/attachments/",
        "/api/v1/packs/",
        "/language/",
    )
    for base in bases:
        for number, up in enumerate(_UP):
            yield base + up * 6 + _ENDS[number % len(_ENDS)]
        yield f"{base}/etc/passwd"
        yield f"{base}%2fetc%2fpasswd"
        yield f"{base}file:///etc/passwd"
        yield f"{base}%00"
        yield f"{base}{'a' * 4_000}"
    yield "/../../../../etc/passwd"
    yield "//etc/passwd"
    yield "/static"
    yield "/static/."


async def _uploads(world: World, report: Report) -> None:
    """Send files under such names; what is empty or no pack is refused, wherever it would go."""
    before = {path for path in world.folder.rglob("*") if "evil" in path.name}
    async with world.signed_in(OFFICER) as officer:
        for name in _NAMES:
            form = FormData(quote_fields=False)
            form.add_field("file", b"", filename=name.replace("\x00", "%00"))
            path = f"/api/v1/documents/{world.ids['case']}/attachments"
            reply = await officer.ask("POST", path, form)
            report.answered(f"an empty upload named {name!r}", reply)
    after = {path for path in world.folder.rglob("*") if "evil" in path.name}
    report.tried("uploads that lead outside", f"{len(after)} files", refused=after == before)
    left = [*(world.commune.folder / "incoming").glob("*")]
    report.tried("uploads that were refused", f"{len(left)} files left", refused=not left)
