"""Takes accounts that travel into use at an outpost, as they come over the line or as a file."""

import logging
from asyncio import to_thread
from collections.abc import Awaitable, Callable
from typing import Final

from crypto.errors import CryptoError
from node.asking import ask
from node.clock import Clock
from node.errors import NodeError
from node.folder import NodeFolder
from node.renewing import check_above
from node.tls import plain_client_context
from node.travelling import ACCOUNTS_PATH, PARCEL, Traveller, keep_parcel, travellers_in
from sync.errors import StoreError

log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0
# Who is closed out at the commune is closed out here this much later, if there is a line.
_ASK_MS: Final = 60_000


def fetch(folder: NodeFolder) -> bytes:
    """Return the parcel that the commune has for this outpost; it blocks.

    Raises:
        RequestError: the commune cannot be reached, or refuses.
        CryptoError: somebody else answers.
    """

    def say(listener: bytes) -> bytes:
        check_above(folder, listener)
        return b"{}"

    return ask(folder.config.parent, ACCOUNTS_PATH, say, context=plain_client_context(folder))


class Arrivals:
    """Keeps the accounts of an outpost those that its commune lets travel, while it runs."""

    def __init__(
        self,
        folder: NodeFolder,
        clock: Clock,
        *,
        is_linked: Callable[[], bool],
        take: Callable[[list[Traveller]], Awaitable[None]],
    ) -> None:
        """Fetch while the link is up.

        Args:
            folder: of the outpost.
            clock: ours.
            is_linked: whether the link upwards is up.
            take: takes them into use.
        """
        self._folder = folder
        self._clock = clock
        self._is_linked = is_linked
        self._take = take
        self._asked_ms: int | None = None
        self._seen_ns: int | None = None

    async def run(self) -> None:
        """Fetch and look until cancelled."""
        while True:
            if self._is_time():
                await self._ask()
            await self._look()
            await self._clock.sleep(_LOOK_S)

    def _is_time(self) -> bool:
        if not self._is_linked():
            self._asked_ms = None
            return False
        now_ms = self._clock.now_ms()
        return self._asked_ms is None or not 0 <= now_ms - self._asked_ms < _ASK_MS

    async def _ask(self) -> None:
        self._asked_ms = self._clock.now_ms()
        try:
            data = await to_thread(fetch, self._folder)
            keep_parcel(self._folder, data, is_fresh=True)
        except (NodeError, CryptoError) as error:
            log.warning("no accounts fetched", extra={"code": error.code})

    async def _look(self) -> None:
        try:
            changed_ns = (self._folder.path / PARCEL).stat().st_mtime_ns
        except OSError:
            # None has come yet.
            return
        if changed_ns == self._seen_ns:
            return
        try:
            await self._take(travellers_in(self._folder))
        except (NodeError, CryptoError, StoreError) as error:
            # With a locked office key, or a full disk, it is tried again until that is over.
            log.warning("accounts not taken", extra={"code": error.code})
            return
        except OSError as error:
            log.warning("accounts not taken", extra={"code": f"file_{error.errno}"})
            return
        self._seen_ns = changed_ns
