"""The link to another node, which comes back by itself: a WebSocket over TLS, or datagrams.

A peer that breaks the protocol costs its link, and nothing else.
"""

import asyncio
import hashlib
import logging
import math
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import aiohttp
from aiohttp import web

from crypto.certificates import Subject
from crypto.errors import CertificateError, CryptoError
from node.channel import Channel
from node.choice import Reason, Way
from node.clock import Clock
from node.dialling import BusyError, Dialler, Opened
from node.dtls import Listening, judge
from node.entropy import system_entropy
from node.exchange import PING_S, Exchange, Sessions, Transport
from node.folder import NodeFolder, is_directly_below
from node.gate import Gate, Issuing
from node.listening import Listener, listen
from node.slots import Slots
from node.tls import ListenContext, bear_loss, keep_resumable, peer_subject, server_context
from node.udp import Doorway
from node.websocket import PATH, WebSocket
from schemas.errors import MessageError
from schemas.limits import MESSAGE_BYTES_MAX
from schemas.wire import Problem, encode_message
from sync.errors import LinkError, StoreError
from sync.session import Session

log = logging.getLogger(__name__)

# Those whose turn is near each other must not come at the same instant.
_TURN_APART_S: Final = 1.0
# How often what the pages say of the line is brought up to date.
_METER_S: Final = 1.0
# A link that was up for less counts as a failed attempt.
_LASTED_MS: Final = 10_000
# An earlier link of the same child ends within this time, or the new one is refused.
_REPLACED_S: Final = 30.0
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
        rate_bytes_s: what the line was seen to carry; None before.
        clock_difference_ms: the parent's clock minus ours.
        way: that the link takes now, or took last.
        way_reason: why it takes that one.
    """

    state: LinkState = "none"
    peer_name: str = ""
    since_ms: int = 0
    last_error: tuple[str, str] | None = None
    retry_at_ms: int | None = None
    rate_bytes_s: float | None = None
    clock_difference_ms: int | None = None
    way: Way = "websocket"
    way_reason: Reason = "usual"


class _TakenOverError(LinkError):
    """The link goes on another way, which is up."""


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
        self._sessions = sessions
        self._clock = clock
        self._rng = rng
        self._announce = announce
        self._is_cut = False
        self._changed = asyncio.Event()
        # Seconds after which the parent wants us, when it said so last.
        self._turn_s: int | None = None
        self._opened: Opened | None = None
        # Up beside the link, which it replaces.
        self._next: Opened | None = None
        self._dialler = Dialler(folder, clock)
        reason = self._dialler.choice.reason
        self.status = LinkStatus(state="down", since_ms=clock.now_ms(), way_reason=reason)

    async def set_cut(self, is_cut: bool) -> None:
        """Cut the link as a broken line would, or let it come back."""
        self._is_cut = is_cut
        self._changed.set()
        if is_cut and self._opened is not None:
            self._opened.drop()
        await self._set_state("cut" if is_cut else "down")

    def show_anew(self) -> None:
        """Show the folder's present certificate from the next time on; who waits dials at once."""
        self._dialler.show_anew()
        self._changed.set()

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
            # To be told to wait is no failure.
            if self._turn_s is None:
                failures = 0 if lasted else failures + 1
            await self._rest(error, failures)

    async def _attempt(self) -> tuple[tuple[str, str], bool]:
        """Dial and exchange once; return why it ended and whether the link had been up."""
        since_ms, self._turn_s = self._clock.now_ms(), None
        try:
            await self._hold(await self._dialler.open())
        except BusyError as error:
            self._turn_s = error.turn_s
            reason = ("parent_busy", f"The node above is busy; our turn is in {error.turn_s} s.")
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

    async def _hold(self, opened: Opened) -> None:
        """Exchange over a link, and over those that take over from it, until one ends."""
        while True:
            self._opened, self._next = opened, None
            try:
                if self._is_cut:
                    raise ConnectionAbortedError("the link was cut while it came up")
                await self._talk(opened)
            except _TakenOverError:
                log.info("link goes another way", extra={"way": self._dialler.choice.way})
            except BaseException:
                if self._next is not None:
                    await self._next.close()
                raise
            finally:
                self._opened = None
                await opened.close()
            assert self._next is not None
            opened = self._next

    async def _talk(self, opened: Opened) -> None:
        session = await self._sessions.greet(opened.subject, opened.chain, "parent")
        if opened.way == "datagrams":
            session.leave_pacing()
        choice = self._dialler.choice
        self.status.way, self.status.way_reason = choice.way, choice.reason
        await self._set_state("up", peer_name=session.peer.name)
        try:
            watch = self._watch(session, opened)
            await Exchange(opened.transport, session, self._sessions).run(watch)
        finally:
            self._measure(session)

    def _lasted(self, since_ms: int) -> bool:
        return self._clock.now_ms() - since_ms >= _LASTED_MS

    async def _watch(self, session: Session, opened: Opened) -> None:
        """Keep the rate and the difference of the clocks up to date, and look for a better way.

        Raises:
            _TakenOverError: the other way is up.
        """
        while True:
            reason = self._dialler.choice.wants_other(opened.losses(), self._clock.monotonic_s())
            if reason is not None:
                self._next = await self._dialler.open_other(reason)
                if self._next is not None:
                    raise _TakenOverError("link_taken_over", "the link goes another way")
            await self._clock.sleep(_METER_S)
            self._measure(session)

    def _measure(self, session: Session) -> None:
        self.status.rate_bytes_s = session.rate_bytes_s or self.status.rate_bytes_s
        if session.peer_clock_ms is not None:
            self.status.clock_difference_ms = session.peer_clock_ms

    async def _rest(self, error: tuple[str, str], failures: int) -> None:
        """Wait before the next attempt: for our turn, or doubling, with jitter against a herd."""
        longest_s = min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * 2 ** min(failures, 16))
        wait_s = self._rng.uniform(0.0, longest_s) if failures else BACK_OFF_FIRST_S / 4
        if self._turn_s is not None:
            wait_s = self._turn_s + self._rng.uniform(0.0, _TURN_APART_S)
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


@dataclass(slots=True, eq=False)
class _Link:
    """One open link of a child, which is named as the slots know it; abort drops it."""

    child: bytes
    abort: Callable[[], None]
    session: Session | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Neighbours(Sessions, Issuing, Protocol):
    """What the port for children needs of the node."""


class Downlink:
    """Listens for children and exchanges with each."""

    def __init__(self, folder: NodeFolder, sessions: Neighbours, clock: Clock) -> None:
        """Listen where the folder's configuration says."""
        self._folder = folder
        self._sessions = sessions
        self._clock = clock
        self._context: ListenContext | None = None
        self._doorway: Doorway | None = None
        self._slots = Slots()
        # One of each child, by its peer id.
        self._links: dict[bytes, _Link] = {}

    async def listen(self) -> Listener:
        """Start listening; the caller closes the listener.

        Raises:
            OSError: the address is in use or not ours.
        """
        gate = Gate(self._folder, self._sessions, self._clock)
        app = gate.application()
        app.router.add_get(PATH, self._on_dial)
        self._context = server_context(self._folder)
        self._context.admits_strangers = gate.admits_strangers
        config = self._folder.config
        # A child that is cut off loses nothing; waiting for it would only make a stop slow.
        listener = await listen(
            app,
            config.sync_host,
            config.sync_port,
            context=self._context,
            shutdown_s=1.0,
        )
        if config.datagrams:
            self._doorway = await self._open_doorway(listener)
        return listener

    def show_anew(self) -> None:
        """Show the folder's present certificate from the next connections on."""
        if self._context is not None:
            self._context.show(self._folder)
        if self._doorway is not None:
            self._doorway.show(Listening(self._folder, system_entropy))

    async def _open_doorway(self, listener: Listener) -> Doorway | None:
        """Listen for datagrams under the same number; without them children find out by TCP."""
        doorway = Doorway(Listening(self._folder, system_entropy), self._clock)
        try:
            await doorway.open(listener.address, listener.family)
        except OSError as error:
            log.warning("no datagrams", extra={"reason": error.strerror or type(error).__name__})
            return None
        listener.close_too(doorway.close)
        return doorway

    async def run(self) -> None:
        """Exchange with the children that come by datagrams, until cancelled."""
        if self._doorway is not None:
            await self._doorway.serve(self._on_channel)

    async def _on_dial(self, request: web.Request) -> web.StreamResponse:
        """Let a child in, or tell it when to come back, before anything else is done for it."""
        secured = request.get_extra_info("ssl_object")
        child = hashlib.sha256(secured.getpeercert(binary_form=True) if secured else b"").digest()
        self._free_slots()
        wait_s = self._slots.ask(child, self._clock.monotonic_s())
        if wait_s > 0:
            log.info("child told to wait", extra={"retry_s": round(wait_s, 1)})
            later = web.Response(status=503, headers={"Retry-After": f"{math.ceil(wait_s)}"})
            later.force_close()
            return later
        try:
            return await self._on_link(request, secured, child)
        finally:
            self._slots.end(child, self._clock.monotonic_s())

    def _free_slots(self) -> None:
        now_s = self._clock.monotonic_s()
        for link in self._links.values():
            if link.session is not None and link.session.has_caught_up:
                self._slots.end(link.child, now_s)

    async def _on_link(
        self, request: web.Request, secured: ssl.SSLObject | None, child: bytes
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            max_msg_size=MESSAGE_BYTES_MAX, heartbeat=PING_S, compress=False
        )
        below = request.transport
        bear_loss(below)
        await socket.prepare(request)
        try:
            await self._serve(
                WebSocket(socket),
                lambda: peer_subject(secured, self._folder, self._clock.now_ms()),
                _Link(child, lambda: below.abort() if below is not None else None),
                "websocket",
            )
        finally:
            await socket.close()
            keep_resumable(secured)
        return socket

    async def _on_channel(self, channel: Channel) -> None:
        await self._serve(
            channel,
            lambda: judge(channel.secured, self._folder, self._clock.now_ms()),
            _Link(b"", channel.abort),
            "datagrams",
        )
        await channel.close()

    async def _serve(
        self,
        transport: Transport,
        show: Callable[[], tuple[Subject, list[bytes]]],
        link: _Link,
        way: Way,
    ) -> None:
        """Exchange with whoever is at the other end, or say why not."""
        code = ""
        try:
            subject, chain = show()
            self._check_child(subject)
            code = subject.code
            await self._replace(subject.peer_id, link)
            link.session = await self._sessions.greet(subject, chain, "child")
            if way == "datagrams":
                link.session.leave_pacing()
            log.info("child connected", extra={"code": code, "way": way})
            await Exchange(transport, link.session, self._sessions).run()
        except (CryptoError, LinkError, MessageError) as error:
            detail = f"{error} {getattr(error, 'hint', '')}".strip()
            await self._say(transport, error.code, detail)
        except (OSError, aiohttp.ClientError) as error:
            log.info("child lost", extra={"code": code, "reason": type(error).__name__})
        except StoreError as error:
            log.error("child refused", extra={"code": error.code})
            await self._say(transport, error.code, str(error))
        except Exception:
            log.exception("link fault")
            detail = "The link met a fault of the other program."
            await self._say(transport, "link_fault", detail)
        finally:
            self._links = {peer: each for peer, each in self._links.items() if each is not link}
            link.ended.set()

    async def _replace(self, peer_id: bytes, link: _Link) -> None:
        """End an earlier link of the same child: it would not dial if that one were any good."""
        while (earlier := self._links.get(peer_id)) is not None:
            earlier.abort()
            async with asyncio.timeout(_REPLACED_S):
                await earlier.ended.wait()
        self._links[peer_id] = link

    def _check_child(self, subject: Subject) -> None:
        if not is_directly_below(subject, self._folder.subject):
            raise CertificateError(
                "certificate_wrong_code",
                f"{subject.name} ({subject.code}) is not directly below"
                f" {self._folder.subject.name}.",
                "Check the setting `parent` in node.toml of that node.",
            )

    async def _say(self, transport: Transport, code: str, detail: str) -> None:
        if code == "link_closed":
            return
        log.warning("link refused", extra={"code": code})
        try:
            await transport.send_bytes(encode_message(Problem(code=code, detail=detail)))
        except (OSError, aiohttp.ClientError) as error:
            log.info("not told", extra={"reason": type(error).__name__})
