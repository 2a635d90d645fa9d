"""Dials the parent on either way, or on both where it is in doubt which gets through."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from socket import socket
from typing import Final

import aiohttp

from crypto.certificates import Subject
from crypto.errors import CertificateError, CryptoError
from node.choice import Choice, Losses, Reason, Way
from node.clock import Clock
from node.dtls import Dialling, judge
from node.exchange import PING_S, Transport
from node.folder import NodeFolder, expiry_ms, is_directly_below
from node.tls import bear_loss, client_context, keep_resumable, peer_subject
from node.udp import dial, own_host
from node.ways import Ways
from node.websocket import PATH, WebSocket, drop, tcp_losses, transport_of
from schemas.limits import MESSAGE_BYTES_MAX
from sync.errors import LinkError

log = logging.getLogger(__name__)

_CONNECT_S: Final = 30.0
# A parent that is busy names a time; beyond this it is no longer taken for one.
_TURN_S_MAX: Final = 600
# The second way is dialled when the first has not come up after this: some round trips of a poor
# line.
_HEAD_START_S: Final = 2.5
# So much longer does a WebSocket that came late wait for datagrams that were answered.
_PATIENCE_S: Final = 4.0
# Headers that tell the parent nothing.
_NEEDLESS: Final = ("User-Agent", "Accept", "Accept-Encoding")

UNREACHED: Final = (CryptoError, LinkError, OSError, aiohttp.ClientError)


class BusyError(Exception):
    """The parent is busy and named the seconds after which it is our turn."""

    def __init__(self, turn_s: int) -> None:
        """Keep the seconds."""
        super().__init__(turn_s)
        self.turn_s = turn_s


def _turn_s(error: aiohttp.WSServerHandshakeError) -> int | None:
    """Return how long a parent asks us to wait; None if it does not, or not in seconds."""
    named = error.headers.get("Retry-After", "") if error.headers else ""
    if error.status != HTTPStatus.SERVICE_UNAVAILABLE or not re.fullmatch("[0-9]{1,9}", named):
        return None
    return min(int(named), _TURN_S_MAX)


@dataclass(slots=True)
class Opened:
    """A link that is up, of either way.

    Attributes:
        subject: the parent.
        chain: of its certificate, as DER.
        losses: tells what was lost so far.
        drop: ends it at once, as a cut would.
        tcp: the socket, where there is one.
        kept: what is to be given back when it is over.
    """

    way: Way
    transport: Transport
    subject: Subject
    chain: list[bytes]
    losses: Callable[[], Losses]
    drop: Callable[[], None]
    kept: AsyncExitStack
    tcp: socket | None = None

    async def close(self) -> None:
        """Give back what it took."""
        await self.kept.aclose()


class Dialler:
    """Dials the parent of a node; remembers sessions, and through its choice what worked.

    Attributes:
        choice: of the way.
    """

    def __init__(self, folder: NodeFolder, clock: Clock) -> None:
        """Dial the parent that the folder's configuration names."""
        self._folder = folder
        self._clock = clock
        # Kept, because a session is resumed in the context that it began in.
        self._context = client_context(folder)
        self._dialling = Dialling(folder)
        # Datagrams failed just now: whether they were answered at all.
        self._failed: bool | None = None
        # Whether a handshake of datagrams is on its way and was answered.
        self._is_answered: Callable[[], bool] = _never
        self.choice = Choice(may_datagrams=folder.config.datagrams)
        self._ways = Ways(folder.path)
        # Our address in the network that we are in.
        self._own = ""

    def show_anew(self) -> None:
        """Show the folder's present certificate from the next connection on."""
        self._context = client_context(self._folder)
        self._dialling = Dialling(self._folder)

    async def open(self) -> Opened:
        """Return a link of whichever way is up first, the likelier one being dialled first.

        Raises:
            BusyError, CryptoError, LinkError, OSError, aiohttp.ClientError: it cannot be reached.
        """
        only = self.choice.only(self._clock.monotonic_s())
        if only is not None:
            opened = await self._reach(only)
            self.choice.take(only, "usual")
            return opened
        self._own = await own_host(*self._address())
        better = self._ways.better(self._folder.config.parent, self._own, self._clock.now_ms())
        self.choice.prefer(better)
        first = self.choice.first()
        second: Way = "websocket" if first == "datagrams" else "datagrams"
        self._failed, self._is_answered = None, _never
        opened = await _Race(self._reach, lambda: self._is_answered()).run(first, second)
        self._judge_failure(opened.way)
        reason: Reason = "usual"
        if opened.way == "datagrams":
            reason = "remembered" if first == "datagrams" else "unreachable"
        elif first == "datagrams":
            reason = "broken"
        self._take(opened.way, reason)
        return opened

    def _take(self, way: Way, reason: Reason) -> None:
        self.choice.take(way, reason)
        if reason == "broken":
            return
        parent, better = self._folder.config.parent, self.choice.first()
        self._ways.keep(parent, self._own, better, self._clock.now_ms())

    def _address(self) -> tuple[str, int]:
        host, _, port = self._folder.config.parent.rpartition(":")
        return host.strip("[]"), int(port)

    async def open_other(self, reason: Reason) -> Opened | None:
        """Return a link of the way that is not taken now; None: it does not come up."""
        other: Way = "websocket" if self.choice.way == "datagrams" else "datagrams"
        self._failed = None
        try:
            opened = await self._reach(other)
        except (*UNREACHED, BusyError) as error:
            self._judge_failure(self.choice.way)
            log.info("other way not up", extra={"way": other, "reason": type(error).__name__})
            return None
        self._take(other, reason)
        return opened

    def _judge_failure(self, way: Way) -> None:
        """Learn from datagrams that failed while the other way is up: else the line is down."""
        if way == "websocket" and self._failed is not None:
            self.choice.datagrams_failed(self._clock.monotonic_s(), is_answered=self._failed)

    async def _reach(self, way: Way) -> Opened:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(_CONNECT_S):
                opened = await (
                    self._websocket(stack) if way == "websocket" else self._datagrams(stack)
                )
            opened.kept = stack.pop_all()
        return opened

    async def _websocket(self, stack: AsyncExitStack) -> Opened:
        client = aiohttp.ClientSession(skip_auto_headers=_NEEDLESS)
        await stack.enter_async_context(client)
        try:
            opened = await client.ws_connect(
                f"wss://{self._folder.config.parent}{PATH}",
                ssl=self._context,
                max_msg_size=MESSAGE_BYTES_MAX,
                heartbeat=PING_S,
                compress=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            turn_s = _turn_s(error)
            if turn_s is None:
                raise
            raise BusyError(turn_s) from error
        secured = opened.get_extra_info("ssl_object")

        def end() -> None:
            # The parent named the session after the handshake.
            self._context.resumes = keep_resumable(secured)
            drop(opened)

        stack.callback(end)
        transport = transport_of(opened)
        bear_loss(transport)
        subject, chain = peer_subject(secured, self._folder, self._plausible_now_ms())
        self._check_parent(subject)
        return Opened(
            "websocket",
            WebSocket(opened),
            subject,
            chain,
            lambda: tcp_losses(transport),
            lambda: drop(opened),
            stack,
            transport.get_extra_info("socket") if transport else None,
        )

    async def _datagrams(self, stack: AsyncExitStack) -> Opened:
        host, port = self._address()
        dialled = await dial(self._dialling, host, port, self._clock)
        stack.callback(dialled.close)
        channel = dialled.channel
        assert channel is not None
        self._is_answered = lambda: channel.is_answered and channel.failure is None
        stack.callback(channel.abort)
        try:
            await channel.opened()
        except (LinkError, OSError):
            self._failed = channel.is_answered
            raise
        subject, chain = judge(channel.secured, self._folder, self._plausible_now_ms())
        self._check_parent(subject)
        return Opened(
            "datagrams",
            channel,
            subject,
            chain,
            lambda: Losses(packets=channel.losses[0], lost=channel.losses[1]),
            channel.abort,
            stack,
        )

    def _check_parent(self, subject: Subject) -> None:
        if not is_directly_below(self._folder.subject, subject):
            raise CertificateError(
                "certificate_wrong_tier",
                f"{subject.name} ({subject.code}) is not the tier above this node.",
                "Check the setting `parent` in node.toml.",
            )

    def _plausible_now_ms(self) -> int | None:
        """Return the time to judge the parent by, unless our clock is plainly wrong."""
        now_ms = self._clock.now_ms()
        own = self._folder.chain[0]
        is_plausible = own.not_valid_before_utc.timestamp() * 1000 <= now_ms < expiry_ms(own)
        return now_ms if is_plausible else None


class _Race:
    """Both ways dialled at once; the second waits for its turn.

    Attributes:
        found: the link that is up first.
        errors: of the ways that do not come up.
    """

    def __init__(
        self, reach: Callable[[Way], Awaitable[Opened]], is_answered: Callable[[], bool]
    ) -> None:
        """Dial by a function; another tells whether datagrams were answered so far."""
        self._reach = reach
        self._is_answered = is_answered
        self.found: Opened | None = None
        self.errors: dict[Way, Exception] = {}
        self._turn = asyncio.Event()
        self._settled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, first: Way, second: Way) -> Opened:
        """Return the link that is up first.

        Raises:
            BusyError, CryptoError, LinkError, OSError, aiohttp.ClientError: none comes up.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks += [
                    group.create_task(self._attempt(way, waits=way == second), name=f"dial {way}")
                    for way in (first, second)
                ]
        except BaseException:
            if self.found is not None:
                await self.found.close()
            raise
        if self.found is not None:
            return self.found
        raise self.errors.get("websocket") or self.errors["datagrams"]

    async def _attempt(self, way: Way, *, waits: bool) -> None:
        if waits:
            await _within(self._turn, _HEAD_START_S)
            self._turn.set()
        try:
            opened = await self._reach(way)
        except BusyError as error:
            # The other way must not be one around its turn.
            self.errors[way] = error
            self._end_others()
            return
        except UNREACHED as error:
            self.errors[way] = error
            self._turn.set()
            self._settled.set()
            return
        if way == "websocket" and self._turn.is_set() and self._is_answered():
            # TCP was slow, and datagrams are almost there: they would take over at once.
            await self._wait_for_datagrams(opened)
        if self.found is not None:
            await opened.close()
            return
        self.found = opened
        self._settled.set()
        self._end_others()

    def _end_others(self) -> None:
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _wait_for_datagrams(self, opened: Opened) -> None:
        try:
            await _within(self._settled, _PATIENCE_S)
        except asyncio.CancelledError:
            await opened.close()
            raise


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than this."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _never() -> bool:
    return False
