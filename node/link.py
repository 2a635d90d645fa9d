"""The link to another node: WebSocket over TLS around a sans-IO session.

What arrives is handled in batches, each in one transaction; what a session answers leaves only
after the commit. A peer that breaks the protocol costs its link, which comes back by itself.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import aiohttp
from aiohttp import web

from crypto.certificates import Subject
from crypto.errors import CertificateError, CryptoError
from node.clock import Clock
from node.folder import NodeFolder, expiry_ms, is_directly_below
from node.listening import Listener, listen
from node.tls import client_context, peer_subject, server_context
from schemas.errors import MessageError
from schemas.limits import FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, WINDOW_BYTES_MAX
from schemas.wire import Message, Problem, decode_messages, encode_message
from sync.errors import LinkError, StoreError
from sync.session import Kinship, Session

log = logging.getLogger(__name__)

PATH: Final = "/link/1"
# Frequent pings cost a slow line; a dead one is noticed when bytes are due or after this.
_PING_S: Final = 60.0
_CONNECT_S: Final = 30.0
_TICK_S: Final = 5.0
# Commits that follow each other closely travel together.
_GATHER_S: Final = 0.1
# A long transfer is measured this often; one of fewer bytes says little about a line once known.
_METER_S: Final = 1.0
_METER_BYTES_MIN: Final = 1_000
_INBOX_MAX: Final = 64
# A link that was up for less counts as a failed attempt.
_LASTED_MS: Final = 10_000
# With what TLS, TCP and IP add, one packet of any line.
_JOINED_BYTES: Final = FRAME_BYTES_MAX + 100
# So long does something urgent wait, at the rate the line carries.
_PUMP_S: Final = 0.1
# Answers that a peer does not fetch; with more of them, nothing more of it is read.
_OUTBOX_MAX: Final = 512
BACK_OFF_FIRST_S: Final = 2.0
BACK_OFF_MAX_S: Final = 900.0

LinkState = Literal["up", "down", "cut", "none"]


@dataclass(slots=True)
class LinkStatus:
    """What the pages say about the link upwards.

    Attributes:
        state: "none" at the centre, "cut" when a person cut it in the demo.
        since_ms: when the state began.
        last_error: stable code and sentence of why it is down.
        rate_bytes_s: measured while records were waiting; None before.
        clock_difference_ms: the parent's clock minus ours.
    """

    state: LinkState = "none"
    peer_name: str = ""
    since_ms: int = 0
    last_error: tuple[str, str] | None = None
    retry_at_ms: int | None = None
    rate_bytes_s: float | None = None
    clock_difference_ms: int | None = None


class Sessions(Protocol):
    """What a link needs of the node."""

    async def greet(self, peer: Subject, chain: list[bytes], kinship: Kinship) -> Session:
        """Remember the peer and return a session with it."""

    async def step(
        self, session: Session, messages: Sequence[Message], *, room_bytes: int
    ) -> list[Message]:
        """Handle messages in one transaction and return what may leave after its commit.

        With new leaves and files for about so many bytes.
        """

    async def wait_for_news(self, after: int, timeout_s: float) -> int:
        """Return the count of commits once it is above `after`, or when time is up."""


class _Transport(Protocol):
    """A WebSocket of either side."""

    async def send_bytes(self, data: bytes, /) -> None:
        """Send one message, waiting while the line is full."""

    async def receive(self) -> aiohttp.WSMessage:
        """Return the next message."""


class _Exchange:
    """One open link: reads, handles, writes, until either side ends it."""

    def __init__(
        self,
        socket: _Transport,
        session: Session,
        sessions: Sessions,
        meter: "_Meter | None" = None,
    ) -> None:
        self._socket = socket
        self._session = session
        self._sessions = sessions
        self._meter = meter
        # None: the link was closed; what came before is still handled, as it may say why.
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue(_INBOX_MAX)
        # Bounded by the session's windows: nothing new is pumped while it is not almost empty.
        self._outbox: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._filled = asyncio.Event()
        self._is_deaf = False
        self.sent_bytes = 0

    async def run(self, beside: Coroutine[None, None, None] | None = None) -> None:
        """Exchange until the link ends, with another task beside it.

        Raises:
            LinkError: the peer broke the protocol, or closed the link.
            OSError: the line broke.
            StoreError: what came cannot be stored.
        """
        try:
            async with asyncio.TaskGroup() as group:
                if beside is not None:
                    group.create_task(beside, name="link meter")
                group.create_task(self._read(), name="link read")
                group.create_task(self._write(), name="link write")
                group.create_task(self._listen(), name="link listen")
                group.create_task(self._handle(), name="link handle")
        except* _EXPECTED as errors:
            raise _first(errors) from None

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                for part in decode_messages(message.data):
                    await self._inbox.put(part)
                    self._wake.set()
            elif message.type in _CLOSED:
                await self._inbox.put(None)
                self._wake.set()
                return
            else:
                raise LinkError("message_malformed", "the peer sent text")

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                data = self._outbox.popleft()
                try:
                    await self._socket.send_bytes(data)
                except (OSError, aiohttp.ClientError):
                    # The reader meets the same end, after the last words of the peer.
                    self._is_deaf = True
                    self._wake.set()
                    return
                self.sent_bytes += len(data)
            self._wake.set()

    async def _listen(self) -> None:
        seen = 0
        while True:
            seen = await self._sessions.wait_for_news(seen, _TICK_S)
            self._wake.set()
            await asyncio.sleep(_GATHER_S)

    async def _handle(self) -> None:
        while True:
            batch: list[Message] = []
            is_closed = False
            while not self._inbox.empty() and (self._is_deaf or len(self._outbox) < _OUTBOX_MAX):
                message = self._inbox.get_nowait()
                if message is None:
                    is_closed = True
                else:
                    batch.append(message)
            # What is pumped cannot be overtaken any more: little at a time, as the line carries.
            may_send = not self._outbox and not self._is_deaf
            room_bytes = self._room_bytes() if may_send else 0
            if batch or may_send:
                answers = await self._sessions.step(self._session, batch, room_bytes=room_bytes)
                if self._meter is not None:
                    self._meter.note(self.sent_bytes, waits=self._session.waits)
                self._outbox.extend(_together(answers))
                if answers:
                    self._filled.set()
            if is_closed:
                raise LinkError("link_closed", "the link was closed")
            await self._wake.wait()
            self._wake.clear()

    def _room_bytes(self) -> int:
        carried = (self._session.rate_bytes_s or 0.0) * _PUMP_S
        return int(min(max(carried, 2 * FRAME_BYTES_MAX), WINDOW_BYTES_MAX))


def _together(messages: Iterable[Message]) -> Iterator[bytes]:
    """Yield WebSocket messages: a frame and the head behind it travel in one packet."""
    joined = b""
    for message in messages:
        data = encode_message(message)
        if joined and len(joined) + len(data) > _JOINED_BYTES:
            yield joined
            joined = b""
        joined += data
    if joined:
        yield joined


_CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED,
           aiohttp.WSMsgType.ERROR)  # fmt: skip


_EXPECTED = (LinkError, MessageError, StoreError, CryptoError, OSError, aiohttp.ClientError)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    """Return the most telling of several errors that ended one link together."""
    flat: list[Exception] = []
    pending: list[BaseException] = [errors]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        elif isinstance(error, Exception):
            flat.append(error)
    telling = [e for e in flat if isinstance(e, LinkError) and e.code != "link_closed"]
    return (telling or flat)[0]


class _Meter:
    """Measures the rate upwards over the times in which records wait to be acknowledged."""

    def __init__(self, status: LinkStatus, clock: Clock) -> None:
        self._status = status
        self._clock = clock
        self._since_s: float | None = None
        self._from_bytes = 0

    def note(self, sent_bytes: int, *, waits: bool) -> None:
        """Take in how many bytes the link has sent by now, and whether records still wait."""
        now_s = self._clock.monotonic_s()
        if self._since_s is not None:
            moved, took_s = sent_bytes - self._from_bytes, now_s - self._since_s
            if moved and took_s > 0 and (took_s >= _METER_S or not waits):
                self._measured(moved, moved / took_s)
                self._since_s, self._from_bytes = now_s, sent_bytes
        if not waits:
            self._since_s = None
        elif self._since_s is None:
            self._since_s, self._from_bytes = now_s, sent_bytes

    def _measured(self, moved: int, rate: float) -> None:
        old = self._status.rate_bytes_s
        if old is None:
            self._status.rate_bytes_s = rate
        elif moved >= _METER_BYTES_MIN:
            self._status.rate_bytes_s = 0.7 * old + 0.3 * rate


class Uplink:
    """Dials the parent, exchanges, and dials again, for as long as the node runs.

    Attributes:
        status: for the pages.
    """

    def __init__(
        self,
        folder: NodeFolder,
        sessions: Sessions,
        *,
        clock: Clock,
        rng: random.Random,
        announce: Callable[[], Awaitable[None]],
    ) -> None:
        """Dial the parent that the folder's configuration names."""
        self._folder = folder
        self._sessions = sessions
        self._clock = clock
        self._rng = rng
        self._announce = announce
        self._is_cut = False
        self._changed = asyncio.Event()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.status = LinkStatus(state="down", since_ms=clock.now_ms())

    async def set_cut(self, is_cut: bool) -> None:
        """Cut the link as a broken line would, or let it come back."""
        self._is_cut = is_cut
        self._changed.set()
        if is_cut and self._socket is not None:
            self._abort(self._socket)
        await self._set_state("cut" if is_cut else "down")

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        failures = 0
        while True:
            self._changed.clear()
            if self._is_cut:
                await self._changed.wait()
                failures = 0
                continue
            # A group that ends with errors swallows a cancellation that comes just then (CPython
            # issue 116720): in a task of its own it cannot keep the node from stopping.
            async with asyncio.TaskGroup() as group:
                attempt = group.create_task(self._attempt(), name="link")
            error, lasted = attempt.result()
            failures = 0 if lasted else failures + 1
            await self._rest(error, failures)

    async def _attempt(self) -> tuple[tuple[str, str], bool]:
        """Dial and exchange once; return why it ended and whether the link had been up."""
        since_ms = self._clock.now_ms()
        try:
            async with aiohttp.ClientSession() as client:
                async with asyncio.timeout(_CONNECT_S):
                    socket = await self._dial(client)
                self._socket = socket
                try:
                    await self._talk(socket)
                finally:
                    self._socket = None
                    self._abort(socket)
        except CertificateError as error:
            reason = (error.code, f"{error} {error.hint}".strip())
        except (LinkError, MessageError, StoreError, CryptoError) as error:
            reason = (error.code, str(error))
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            reason = ("link_unreachable", str(error) or type(error).__name__)
        except Exception:
            # Whatever a peer or a line can do to us costs the link, never the node.
            log.exception("link fault")
            reason = ("link_fault", "The link met a fault of this program.")
        # A link that falls at once, again and again, must not be dialled again at once.
        return reason, self.status.state == "up" and self._lasted(since_ms)

    async def _dial(self, client: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        return await client.ws_connect(
            f"wss://{self._folder.config.parent}{PATH}",
            ssl=client_context(self._folder),
            max_msg_size=MESSAGE_BYTES_MAX,
            heartbeat=_PING_S,
            compress=0,
        )

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        session = await self._sessions.greet(*self._parent(socket), "parent")
        await self._set_state("up", peer_name=session.peer.name)
        meter = _Meter(self.status, self._clock)
        exchange = _Exchange(socket, session, self._sessions, meter)
        await exchange.run(self._watch(exchange, session, meter))

    def _lasted(self, since_ms: int) -> bool:
        return self._clock.now_ms() - since_ms >= _LASTED_MS

    def _parent(self, socket: aiohttp.ClientWebSocketResponse) -> tuple[Subject, list[bytes]]:
        subject, chain = peer_subject(
            socket.get_extra_info("ssl_object"), self._folder, self._plausible_now_ms()
        )
        if not is_directly_below(self._folder.subject, subject):
            raise CertificateError(
                "certificate_wrong_tier",
                f"{subject.name} ({subject.code}) is not the tier above this node.",
                "Check the setting `parent` in node.toml.",
            )
        return subject, chain

    def _plausible_now_ms(self) -> int | None:
        """Return the time to judge the parent by, unless our clock is plainly wrong."""
        now_ms = self._clock.now_ms()
        own = self._folder.chain[0]
        is_plausible = own.not_valid_before_utc.timestamp() * 1000 <= now_ms < expiry_ms(own)
        return now_ms if is_plausible else None

    async def _watch(self, exchange: _Exchange, session: Session, meter: _Meter) -> None:
        """Keep the rate and the difference of the clocks up to date while nothing else happens."""
        while True:
            await self._clock.sleep(_METER_S)
            meter.note(exchange.sent_bytes, waits=session.waits)
            self.status.clock_difference_ms = session.peer_clock_ms

    async def _rest(self, error: tuple[str, str], failures: int) -> None:
        """Wait before the next attempt: doubling, with full jitter against a herd."""
        longest_s = min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * 2 ** min(failures, 16))
        wait_s = self._rng.uniform(0.0, longest_s) if failures else BACK_OFF_FIRST_S / 4
        self.status.last_error = error
        self.status.retry_at_ms = self._clock.now_ms() + int(wait_s * 1000)
        log.info("link down", extra={"code": error[0], "retry_s": round(wait_s, 1)})
        await self._set_state("cut" if self._is_cut else "down")
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _set_state(self, state: LinkState, peer_name: str | None = None) -> None:
        if state != self.status.state:
            self.status.state, self.status.since_ms = state, self._clock.now_ms()
        if peer_name is not None:
            self.status.peer_name = peer_name
        if state == "up":
            self.status.last_error = self.status.retry_at_ms = None
        await self._announce()

    @staticmethod
    def _abort(socket: aiohttp.ClientWebSocketResponse) -> None:
        # The library has no way to drop a connection without a farewell that a cut line never gets.
        connection = socket._response.connection
        if connection is not None:
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()


class Downlink:
    """Listens for children and exchanges with each."""

    def __init__(self, folder: NodeFolder, sessions: Sessions, clock: Clock) -> None:
        """Listen where the folder's configuration says."""
        self._folder = folder
        self._sessions = sessions
        self._clock = clock
        self.connected: dict[str, int] = {}

    async def listen(self) -> Listener:
        """Start listening; the caller closes the listener.

        Raises:
            OSError: the address is in use or not ours.
        """
        app = web.Application()
        app.router.add_get(PATH, self._on_dial)
        config = self._folder.config
        # A child that is cut off loses nothing; waiting for it would only make a stop slow.
        return await listen(
            app,
            config.sync_host,
            config.sync_port,
            context=server_context(self._folder),
            shutdown_s=1.0,
        )

    async def _on_dial(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            max_msg_size=MESSAGE_BYTES_MAX, heartbeat=_PING_S, compress=False
        )
        await socket.prepare(request)
        code = ""
        try:
            subject, chain = peer_subject(
                request.get_extra_info("ssl_object"), self._folder, self._clock.now_ms()
            )
            self._check_child(subject)
            session = await self._sessions.greet(subject, chain, "child")
            code = subject.code
            self.connected[code] = self._clock.now_ms()
            log.info("child connected", extra={"code": code})
            await _Exchange(socket, session, self._sessions).run()
        except (CryptoError, LinkError, MessageError) as error:
            detail = f"{error} {getattr(error, 'hint', '')}".strip()
            await self._say(socket, error.code, detail)
        except (OSError, aiohttp.ClientError) as error:
            log.info("child lost", extra={"code": code, "reason": type(error).__name__})
        except StoreError as error:
            log.error("child refused", extra={"code": error.code})
            await self._say(socket, error.code, str(error))
        except Exception:
            log.exception("link fault")
            await self._say(socket, "link_fault", "The link met a fault of the other program.")
        finally:
            self.connected.pop(code, None)
            await socket.close()
        return socket

    def _check_child(self, subject: Subject) -> None:
        if not is_directly_below(subject, self._folder.subject):
            raise CertificateError(
                "certificate_wrong_code",
                f"{subject.name} ({subject.code}) is not directly below"
                f" {self._folder.subject.name}.",
                "Check the setting `parent` in node.toml of that node.",
            )

    async def _say(self, socket: web.WebSocketResponse, code: str, detail: str) -> None:
        if code != "link_closed" and not socket.closed:
            log.warning("link refused", extra={"code": code})
            await socket.send_bytes(encode_message(Problem(code=code, detail=detail)))
