"""Says on the LAN that this node is there, and keeps a list of what else says so (mDNS)."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

from zeroconf import Error as ZeroconfError
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from crypto.errors import CryptoError
from crypto.site import Address, fingerprint
from node.clock import Clock
from node.errors import RequestError
from node.sightings import KINDS, NODE_TYPE, Announcement, Sighting, sighting_of
from node.site_client import fetch_site, site_context
from node.writer import ChangeCounter

log = logging.getLogger(__name__)

# An office has some dozen; who announces more takes memory only so far.
SIGHTINGS_MAX: Final = 200
_WAITING_MAX: Final = 500
_RESOLVE_MS: Final = 1_500
_PROBE_S: Final = 3.0
_PROBE_EVERY_MS: Final = 60_000
_PROBES_AT_ONCE: Final = 32
_LOOK_S: Final = 2.0

Certificate = Literal["", "fits", "foreign", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something on the LAN and how it is.

    Attributes:
        seen_ms: when its announcement was last heard, wall time.
        checked_ms: when it was last tried, wall time; 0: not yet.
        is_reachable: whether somebody listened there then.
        certificate: of a node: `fits` what it announces, or `wrong`; `foreign`: its site's CA is
            another than announced. Empty where there is nothing to compare.
    """

    sighting: Sighting
    seen_ms: int
    checked_ms: int = 0
    is_reachable: bool = False
    certificate: Certificate = ""


class Discovery:
    """What is on this LAN.

    Attributes:
        number: grows when the list changes.
        error: why nothing is heard, or empty.
    """

    def __init__(
        self, announcement: Announcement, *, name: str, clock: Clock, changes: ChangeCounter
    ) -> None:
        """Prepare to announce a node under its `.local` name."""
        self.number = 0
        self.error = ""
        self._told = 0
        self._looked_ms = 0
        self._announcement = announcement
        self._name = name
        self._clock = clock
        self._changes = changes
        self._found: dict[tuple[str, str], Found] = {}
        self._waiting: dict[tuple[str, str], None] = {}
        self._news = asyncio.Event()

    def found(self) -> list[Found]:
        """Return what is there now, in a fixed order."""
        return sorted(
            self._found.values(), key=lambda f: (f.sighting.kind, f.sighting.name, f.sighting.host)
        )

    async def run(self, addresses: Callable[[], Sequence[Address]], port: int) -> None:
        """Announce and listen at the present addresses, until cancelled."""
        while True:
            here = addresses()
            try:
                if here:
                    await self._listen(here, addresses, port)
            except (OSError, RuntimeError, ZeroconfError) as error:
                log.error("discovery failed", extra={"error": type(error).__name__})
                await self._fail(str(error) or type(error).__name__)
            except Exception as error:
                # What strangers send may trip over a fault of ours or the library's: it costs the
                # list, never the node.
                log.exception("discovery fault")
                await self._fail(type(error).__name__)
            await self._clock.sleep(_LOOK_S * 5)

    async def _fail(self, error: str) -> None:
        self.error = error
        self.number += 1
        await self._tell()

    async def _listen(
        self, here: Sequence[Address], addresses: Callable[[], Sequence[Address]], port: int
    ) -> None:
        """Announce and listen until the addresses change."""
        async with AsyncZeroconf(interfaces=[str(address) for address in here]) as zeroconf:
            await zeroconf.async_register_service(self._service(here, port), allow_name_change=True)
            async with AsyncServiceBrowser(zeroconf.zeroconf, list(KINDS), handlers=[self._hear]):
                self.error = ""
                while list(addresses()) == list(here):
                    self._look_again(zeroconf.zeroconf)
                    await self._take_news(zeroconf.zeroconf)
                    await self._probe_due()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            await self._news.wait()
        self._found.clear()
        self.number += 1
        await self._tell()

    def _service(self, here: Sequence[Address], port: int) -> AsyncServiceInfo:
        label = self._name.removesuffix(".local")
        return AsyncServiceInfo(
            NODE_TYPE,
            f"{label}.{NODE_TYPE}",
            port=port,
            server=f"{self._name}.",
            properties=self._announcement.properties(),
            parsed_addresses=[str(address) for address in here],
        )

    def _hear(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Take a note of what changed; what it is is asked later, outside this callback."""
        key = (service_type, name)
        if state_change is ServiceStateChange.Removed:
            self._waiting.pop(key, None)
            if self._found.pop(key, None) is not None:
                self.number += 1
        elif len(self._waiting) < _WAITING_MAX:
            self._waiting[key] = None
        self._news.set()

    def _look_again(self, zeroconf: Zeroconf) -> None:
        """Note what is still announced, and ask again for what was passed over in a flood."""
        now_ms = self._clock.now_ms()
        if 0 <= now_ms - self._looked_ms < _PROBE_EVERY_MS:
            return
        self._looked_ms = now_ms
        heard = [
            # Only pointers stand under the name of a service; they name the instances.
            (service, str(getattr(record, "alias", "")))
            for service in KINDS
            for record in zeroconf.cache.entries_with_name(service)
        ]
        for key in heard:
            if key in self._found:
                self._found[key] = replace(self._found[key], seen_ms=now_ms)
            elif len(self._waiting) < _WAITING_MAX:
                self._waiting[key] = None

    async def _take_news(self, zeroconf: Zeroconf) -> None:
        """Ask what was announced is, and remember it."""
        self._news.clear()
        waiting, self._waiting = list(self._waiting), {}
        for at in range(0, len(waiting), _PROBES_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for service, name in waiting[at : at + _PROBES_AT_ONCE]:
                    group.create_task(self._resolve(zeroconf, service, name))
        await self._tell()

    async def _resolve(self, zeroconf: Zeroconf, service: str, name: str) -> None:
        try:
            info = AsyncServiceInfo(service, name)
            if not await info.async_request(zeroconf, _RESOLVE_MS):
                return
        except (ZeroconfError, ValueError) as error:
            # The library refuses names with control characters, and says so by raising.
            log.warning("announcement unfit", extra={"error": type(error).__name__})
            return
        sighting = sighting_of(
            service,
            name,
            info.server or "",
            info.parsed_addresses(),
            info.port or 0,
            info.properties,
        )
        key = (service, name)
        if sighting is None or (sighting.node and self._is_me(sighting.node)):
            return
        known = self._found.get(key)
        if known is None and not self._has_room():
            return
        now_ms = self._clock.now_ms()
        if known is not None and known.sighting == sighting:
            self._found[key] = replace(known, seen_ms=now_ms)
            return
        self._found[key] = Found(sighting=sighting, seen_ms=now_ms)
        self.number += 1

    def _has_room(self) -> bool:
        """Make room for one more: who only announces gives way, who is there stays."""
        if len(self._found) < SIGHTINGS_MAX:
            return True
        for key, found in self._found.items():
            if found.checked_ms and not found.is_reachable:
                del self._found[key]
                return True
        return False

    def _is_me(self, node: Announcement) -> bool:
        return node.node_id == self._announcement.node_id

    async def _probe_due(self) -> None:
        """Try again what was not tried for a while."""
        now_ms = self._clock.now_ms()
        due = [
            key
            for key, found in self._found.items()
            if not 0 <= now_ms - found.checked_ms < _PROBE_EVERY_MS
        ][:_PROBES_AT_ONCE]
        async with asyncio.TaskGroup() as group:
            for key in due:
                group.create_task(self._probe(key))
        await self._tell()

    async def _probe(self, key: tuple[str, str]) -> None:
        sighting = self._found[key].sighting
        is_reachable, certificate = await probe(sighting)
        found = self._found.get(key)
        # It may have gone, or changed, meanwhile.
        if found is None or found.sighting != sighting:
            return
        if (found.is_reachable, found.certificate, bool(found.checked_ms)) != (
            is_reachable,
            certificate,
            True,
        ):
            self.number += 1
        self._found[key] = replace(
            found,
            checked_ms=self._clock.now_ms(),
            is_reachable=is_reachable,
            certificate=certificate,
        )

    async def _tell(self) -> None:
        """Wake the pages if the list is another than when they were woken last."""
        if self.number != self._told:
            self._told = self.number
            await self._changes.announce()


async def probe(sighting: Sighting) -> tuple[bool, Certificate]:
    """Return whether somebody listens there, and of a node whether its certificate fits."""
    try:
        async with asyncio.timeout(_PROBE_S):
            if sighting.node is None:
                _, writer = await asyncio.open_connection(sighting.address, sighting.port)
                writer.close()
                return True, ""
            return True, await _certificate(sighting, sighting.node)
    except (OSError, TimeoutError, RequestError):
        return False, ""


async def _certificate(sighting: Sighting, node: Announcement) -> Certificate:
    try:
        site = await fetch_site(sighting.address, sighting.port)
        if fingerprint(site).hex() != node.fingerprint:
            return "foreign"
        _, writer = await asyncio.open_connection(
            sighting.address,
            sighting.port,
            ssl=site_context(site),
            server_hostname=sighting.host,
        )
        writer.close()
    except (ssl.SSLError, CryptoError):
        return "wrong"
    return "fits"
