"""What a node is on its LAN: the site's CA, the TLS of its pages, pairings, neighbours."""

import asyncio
from collections.abc import Callable
from typing import Final

from crypto.site import Address
from node.clock import Clock
from node.devices import Challenges
from node.discovery import Discovery
from node.folder import NodeFolder
from node.pairings import Pairings
from node.sightings import Announcement
from node.site import PageTls, lan_addresses, open_site
from node.writer import ChangeCounter

# Addresses change when a router is replaced; who opens a page then waits no longer than this.
_LOOK_S: Final = 10.0


class Lan:
    """Everything of a node that its LAN sees.

    Attributes:
        site: its CA.
        pairings: on offer just now.
        challenges: for devices that prove their keys.
        discovery: who else is there.
        peer_id: the node's key.
        port: of the pages; 0 until they are served.
    """

    def __init__(
        self,
        folder: NodeFolder,
        *,
        version: str,
        clock: Clock,
        entropy: Callable[[int], bytes],
        changes: ChangeCounter,
    ) -> None:
        """Open the site's CA, making it the first time.

        Raises:
            CryptoError: its files cannot be used.
        """
        self.site = open_site(folder, clock.now_ms(), entropy)
        self.tls = PageTls(self.site, entropy)
        self.pairings = Pairings(self.site, folder.key, entropy)
        self.challenges = Challenges(entropy, self.site.fingerprint)
        self.peer_id = folder.key.peer_id
        self.port = 0
        self._host = folder.config.lan_host
        self._clock = clock
        self.discovery = Discovery(
            Announcement(
                node_id=folder.key.peer_id.hex(),
                tier=folder.subject.tier.value,
                code=folder.subject.code,
                fingerprint=self.site.fingerprint.hex(),
                version=version,
            ),
            name=self.site.name,
            clock=clock,
            changes=changes,
        )
        self._discovers = folder.config.lan_discovery
        self.renew()

    @property
    def address(self) -> str:
        """Where devices open the pages."""
        return f"https://{self.site.name}:{self.port}"

    def now_ms(self) -> int:
        """Return milliseconds of a clock that does not jump: codes must not live longer by one."""
        return int(self._clock.monotonic_s() * 1000)

    def renew(self) -> None:
        """Bring the certificate of the pages up to date with addresses and time."""
        self.tls.renew(self.addresses(), self._clock.now_ms())

    def addresses(self) -> list[Address]:
        """Return the addresses at which the pages are reached now."""
        return lan_addresses(self._host)

    async def run(self) -> None:
        """Keep certificate and announcement true, and look around, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_renewed(), name="page certificate")
            if self._discovers:
                group.create_task(self.discovery.run(self.addresses, self.port), name="discovery")

    async def _keep_renewed(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            self.renew()
