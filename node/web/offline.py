"""The installed web app: its manifest, its service worker, the page for when the node is away.

What a browser keeps of them holds no personal data: scripts, styles, the empty form and its lists.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Final

from aiohttp import web

from node.web.calls import OFFICE
from node.web.languages import LANGUAGES, languages
from node.web.rendering import render
from schemas.codes import (
    CaseType,
    Channel,
    IdentityMode,
    IdentityType,
    PartyRole,
    ReceptionKind,
)

FORM_LISTS: Final = {
    "case_types": list(CaseType),
    "channels": list(Channel),
    "kinds": list(ReceptionKind),
    "party_roles": list(PartyRole),
    "identity_types": list(IdentityType),
    "identity_modes": list(IdentityMode),
}
_STATIC: Final = files("node.web").joinpath("static")
# A new program brings a new worker, which fetches the shell anew.
_WORKER: Final = "worker.js"


@dataclass(frozen=True)
class Shell:
    """What a browser keeps to open the app without the node; made once, when first asked for."""

    app: web.Application

    @cached_property
    def pages(self) -> dict[str, str]:
        """The page in each language."""
        values = {"office": self.app[OFFICE], "drafts": [], "today": "", "is_apart": True}
        return {
            code: render(self.app, "offline.html", languages()[code], {**values, **FORM_LISTS})
            for code in LANGUAGES
        }

    @cached_property
    def worker(self) -> str:
        """The service worker, told what to keep and the hash of it."""
        digest = hashlib.sha256()
        addresses = [f"/offline/{code}" for code in self.pages]
        for page in self.pages.values():
            digest.update(page.encode())
        for file in sorted(_STATIC.iterdir(), key=lambda entry: entry.name):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
            addresses.append(f"/static/{file.name}")
        shell = {"hash": digest.hexdigest()[:16], "addresses": addresses}
        script = _STATIC.joinpath(_WORKER).read_text("utf-8")
        return f"self.shell = {json.dumps(shell)};\n{script}"


_SHELL: Final[web.AppKey[Shell]] = web.AppKey("shell")


def add_offline(app: web.Application) -> None:
    """Add the routes of the installed app; they are open to everybody and the same for all."""
    app[_SHELL] = Shell(app)
    app.router.add_get("/app.webmanifest", _manifest)
    app.router.add_get(f"/{_WORKER}", _worker)
    app.router.add_get("/offline/{code}", _offline)


async def _offline(request: web.Request) -> web.StreamResponse:
    page = request.app[_SHELL].pages.get(request.match_info["code"])
    if page is None:
        raise web.HTTPNotFound
    return web.Response(text=page, content_type="text/html", charset="utf-8")


async def _worker(request: web.Request) -> web.StreamResponse:
    script = request.app[_SHELL].worker
    return web.Response(text=script, content_type="text/javascript", charset="utf-8")


async def _manifest(request: web.Request) -> web.StreamResponse:
    name = request.app[OFFICE].name
    icon = {"src": "/static/icon-512.png", "sizes": "512x512", "type": "image/png"}
    manifest = {
        "id": "/",
        "name": f"Tiếp công dân · {name}",
        "short_name": "Tiếp công dân",
        "description": "Tiếp công dân, cả khi mất mạng",
        "lang": "vi",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f3f5f7",
        "theme_color": "#0b4f6c",
        "icons": [
            {"src": "/static/icon.svg", "sizes": "any", "type": "image/svg+xml"},
            {"src": "/static/icon-192.png", "sizes": "192x192", "type": "image/png"},
            icon,
            {**icon, "src": "/static/icon-maskable.png", "purpose": "maskable"},
        ],
    }
    text = json.dumps(manifest, ensure_ascii=False)
    return web.Response(text=text, content_type="application/manifest+json", charset="utf-8")
