"""An office that is open to its LAN over HTTPS, and devices there."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.config import read_config, write_config
from node.lan import Lan
from node.listening import listen
from node.paired_device import PairedDevice, pair, read_code, read_link
from node.site_client import SiteClient, site_context
from node.web.server import build_web
from tests.web.offices import Browser, OpenOffice, open_office

HOST = "127.0.0.1"


class LanOffice:
    """An office, its technician, and the way in from the LAN."""

    def __init__(self, office: OpenOffice, technician: Browser, lan: Lan) -> None:
        self.office = office
        self.technician = technician
        self.lan = lan

    def client(self, address: str = HOST, port: int = 0) -> SiteClient:
        """Return a client that trusts the site, as a browser does once its CA is installed."""
        context = site_context(self.lan.site.certificate)
        return SiteClient(address, port or self.lan.port, self.lan.site.name, context)

    async def offer(self, way: str = "qr", scope: str = "work", name: str = "Máy bảng 1") -> Any:
        """Have a code shown."""
        reply = await self.technician.post("/pairings", {"way": way, "name": name, "scope": scope})
        assert reply.status == 200, reply.text
        return reply.body

    async def pairing(self, offer: Any) -> Any:
        """Return what the technician sees of a pairing."""
        return (await self.technician.get(f"/api/v1/pairings/{offer['id']}")).body

    async def confirm(self, offer: Any, digits: str) -> None:
        """Let a device in whose digits are those on the technician's screen."""
        shown = await self.pairing(offer)
        assert (shown["state"], shown["digits"]) == ("proven", digits)
        await self.technician.post(f"/pairings/{offer['id']}/confirmed")

    async def pair(
        self,
        offer: Any,
        *,
        code: str = "",
        port: int = 0,
        seed: int = 7,
        confirms: bool = True,
    ) -> PairedDevice:
        """Pair a program by what an offer shows, or by another code, or through another port.

        The same seed makes the same key.
        """
        invitation = (
            read_code(code or offer["code"], self.lan.site.name, port or self.lan.port)
            if offer["way"] == "code"
            else replace(read_link(offer["link"]), port=port or self.lan.port)
        )
        shown: asyncio.Queue[str] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            paired = group.create_task(
                pair(invitation, HOST, random.Random(seed).randbytes, shown.put_nowait)
            )
            group.create_task(self._answer(offer, shown, confirms=confirms))
        return paired.result()

    async def _answer(self, offer: Any, shown: "asyncio.Queue[str]", *, confirms: bool) -> None:
        digits = await shown.get()
        if confirms:
            await self.confirm(offer, digits)
        else:
            await self.technician.ask("DELETE", f"/api/v1/pairings/{offer['id']}")

    async def paired_rows(self) -> list[tuple[Any, ...]]:
        """Return name and scope of every paired device, and whether it is revoked."""
        return await self.office.rows(
            "SELECT name, scope, revoked_ms IS NOT NULL FROM device WHERE point IS NOT NULL"
        )


@asynccontextmanager
async def open_to_the_lan(folder: Path) -> AsyncIterator[LanOffice]:
    """Run an office whose pages are served by HTTPS too."""

    def prepare(place: Path) -> None:
        commune = place / "commune"
        config = replace(read_config(commune), lan_host=HOST, lan_port=0, lan_discovery=False)
        write_config(commune, config)

    async with open_office(folder, prepare=prepare) as office:
        lan = office.node.lan
        assert lan is not None
        app = build_web(office.node, beside=office.pages)
        listener = await listen(app, HOST, 0, context=lan.tls.context, shutdown_s=0.5)
        lan.port = listener.port
        try:
            yield LanOffice(office, await office.browser("ky"), lan)
        finally:
            await listener.close()


def tell_on_the_lan(folder: Path, story: Callable[[LanOffice], Awaitable[None]]) -> None:
    """Run a story in an office of its own that is open to the LAN."""

    async def run() -> None:
        async with open_to_the_lan(folder) as lan:
            await story(lan)

    asyncio.run(run())


def pass_time(lan: Lan, ms: int) -> None:
    """Let the clock of codes and challenges go on."""
    now_ms = lan.now_ms
    lan.now_ms = lambda: now_ms() + ms  # type: ignore[method-assign]
