"""One open link: reads, handles, writes around a sans-IO session, until either side ends it.

What arrives is handled in batches, each in one transaction; what the session answers leaves only
after the commit.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import aiohttp

from crypto.certificates import Subject
from crypto.errors import CryptoError
from schemas.errors import MessageError
from schemas.limits import FRAME_BYTES_MAX, WINDOW_BYTES_MAX
from schemas.wire import (
    Chunk,
    Frame,
    Head,
    Hello,
    Message,
    Priority,
    Want,
    decode_messages,
    encode_message,
)
from schemas.wire_audit import Reconcile, Repair
from sync.errors import LinkError, StoreError
from sync.packets import Stream
from sync.session import Kinship, Session

# Frequent pings cost a slow line; a dead one is noticed when bytes are due or after this.
PING_S: Final = 60.0
_TICK_S: Final = 5.0
# Commits that follow each other closely travel together.
_GATHER_S: Final = 0.1
_INBOX_MAX: Final = 64
# What others wait for while it is handled.
_BATCH_BYTES: Final = 64 << 10
# With what TLS, TCP and IP add, one packet of any line.
_JOINED_BYTES: Final = FRAME_BYTES_MAX + 100
# So long does something urgent wait, at the rate the line carries.
_PUMP_S: Final = 0.1
# Answers that a peer does not fetch; with more of them, nothing more of it is read.
_OUTBOX_MAX: Final = 512


class _Heard(NamedTuple):
    """A message that came, with its share of the bytes."""

    message: Message
    size_bytes: int


class Portion(NamedTuple):
    """What a link does in one transaction.

    Attributes:
        messages: that came, to be handled.
        room_bytes: for about so many bytes of new leaves and files in the answers; with 0 there are
            no answers but those to the messages.
        down_to: of no lower priority than this.
    """

    messages: Sequence[Message]
    room_bytes: int
    down_to: Priority


class Sessions(Protocol):
    """What a link needs of the node."""

    async def greet(self, peer: Subject, chain: list[bytes], kinship: Kinship) -> Session:
        """Remember the peer and return a session with it."""

    async def step(self, session: Session, take: Callable[[], Portion]) -> list[Message]:
        """Handle messages in one transaction and return what may leave after its commit.

        Args:
            session: with the peer.
            take: returns what is to be done; called once the writer is free for it.
        """

    async def wait_for_news(self, session: Session) -> None:
        """Return once there is news for a session."""


class Transport(Protocol):
    """What carries messages of one or more wire messages each: once, or not at all.

    Those of one stream arrive in order.
    """

    async def send_bytes(self, data: bytes, /, stream: Stream = Stream.URGENT) -> None:
        """Send one message, waiting while the line is full.

        Raises:
            OSError, aiohttp.ClientError: the line broke.
        """

    async def receive(self) -> bytes | None:
        """Return the next message; None: the other side has closed the link.

        Raises:
            LinkError: the peer broke the protocol.
            OSError, aiohttp.ClientError: the line broke.
        """


class Exchange:
    """One open link: reads, handles, writes, until either side ends it."""

    def __init__(
        self,
        transport: Transport,
        session: Session,
        sessions: Sessions,
    ) -> None:
        self._transport = transport
        self._session = session
        self._sessions = sessions
        # None: the link was closed; what came before is still handled, as it may say why.
        self._inbox: asyncio.Queue[_Heard | None] = asyncio.Queue(_INBOX_MAX)
        # Bounded by the session's windows: nothing new is pumped while they are not empty.
        self._outboxes = {stream: deque[bytes]() for stream in Stream}
        self._wake = asyncio.Event()
        self._filled = {stream: asyncio.Event() for stream in Stream}
        self._has_looked = asyncio.Event()
        self._is_deaf = False
        self._is_closed = False
        # Nothing is left to say until there is news, or time has passed.
        self._is_quiet = False

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
                for stream in Stream:
                    group.create_task(self._write(stream), name="link write")
                group.create_task(self._listen(), name="link listen")
                group.create_task(self._tick(), name="link tick")
                group.create_task(self._handle(), name="link handle")
        except* EXPECTED as errors:
            raise _first(errors) from None

    async def _read(self) -> None:
        while True:
            data = await self._transport.receive()
            if data is not None:
                parts = decode_messages(data)
                for part in parts:
                    await self._inbox.put(_Heard(part, len(data) // len(parts)))
                    self._wake.set()
            else:
                await self._inbox.put(None)
                self._wake.set()
            if data is None:
                return

    async def _write(self, stream: Stream) -> None:
        outbox, filled = self._outboxes[stream], self._filled[stream]
        while True:
            await filled.wait()
            filled.clear()
            while outbox:
                data = outbox.popleft()
                try:
                    await self._transport.send_bytes(data, stream)
                except (OSError, aiohttp.ClientError):
                    # The reader meets the same end, after the last words of the peer.
                    self._is_deaf = True
                    self._wake.set()
                    return
            self._wake.set()

    async def _listen(self) -> None:
        while True:
            await self._sessions.wait_for_news(self._session)
            self._has_looked.clear()
            self._wake.set()
            # Many links may be served before this one, and the news stays news until then.
            await self._has_looked.wait()
            await asyncio.sleep(_GATHER_S)

    async def _greet(self) -> None:
        """Say what we have and understand, before anything that is heard can end the link.

        Else a peer that believes more of us than is true would believe it again the next time.
        """
        await self._step(lambda: Portion((), self._room_bytes(), Priority.BULK))
        while self._outboxes[Stream.URGENT] and not self._is_deaf:
            await self._wake.wait()
            self._wake.clear()

    async def _tick(self) -> None:
        """Look now and then for what is due because time has passed."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._is_quiet = False
            self._wake.set()

    async def _handle(self) -> None:
        await self._greet()
        while True:
            if self._has_heard() or self._is_due():
                await self._step(self._take)
            if self._is_closed:
                raise LinkError("link_closed", "the link was closed")
            await self._wake.wait()
            self._wake.clear()

    def _has_heard(self) -> bool:
        """Tell whether something came that may be handled."""
        return not self._inbox.empty() and (self._is_deaf or self._outbox_size() < _OUTBOX_MAX)

    def _may_send(self) -> bool:
        """Tell whether more may be queued.

        What is pumped cannot be overtaken any more: little at a time, as the line carries.
        """
        return not self._outboxes[Stream.URGENT] and not self._is_deaf

    def _is_due(self) -> bool:
        return self._may_send() and not (self._is_quiet and not self._session.has_news())

    def _take(self) -> Portion:
        """Return what came, as much as one transaction takes, and how much may be answered."""
        batch: list[Message] = []
        size_bytes = 0
        while self._has_heard():
            heard = self._inbox.get_nowait()
            if heard is None:
                self._is_closed = True
                break
            batch.append(heard.message)
            size_bytes += heard.size_bytes
            # What the peer is and understands stays known, though what follows ends the link.
            if size_bytes >= _BATCH_BYTES or isinstance(heard.message, Hello):
                self._wake.set()
                break
        return Portion(batch, self._room_bytes() if self._may_send() else 0, self._down_to())

    def _outbox_size(self) -> int:
        return sum(map(len, self._outboxes.values()))

    def _down_to(self) -> Priority:
        """Return of which priority something more may be queued, since what was queued has left."""
        if self._outboxes[Stream.RECORDS]:
            return Priority.STATUS
        return Priority.RECORDS if self._outboxes[Stream.BULK] else Priority.BULK

    async def _step(self, take: Callable[[], Portion]) -> None:
        """Handle a portion and queue what may leave."""
        portion = Portion((), 0, Priority.BULK)

        def taken() -> Portion:
            nonlocal portion
            portion = take()
            return portion

        answers = await self._sessions.step(self._session, taken)
        self._is_quiet = portion.room_bytes > 0 and portion.down_to is Priority.BULK and not answers
        if portion.room_bytes:
            self._has_looked.set()
        parted = streams_of(answers)
        for stream, outbox in self._outboxes.items():
            outbox.extend(_together(parted[stream]))
            if outbox:
                self._filled[stream].set()

    def _room_bytes(self) -> int:
        carried = (self._session.rate_bytes_s or 0.0) * _PUMP_S
        return int(min(max(carried, 2 * FRAME_BYTES_MAX), WINDOW_BYTES_MAX))


def streams_of(messages: Iterable[Message]) -> dict[Stream, list[Message]]:
    """Return messages by the stream that they go in: a head goes with the frames that it covers."""
    found: dict[Stream, list[Message]] = {stream: [] for stream in Stream}
    framed = (b"", Stream.URGENT)
    for message in messages:
        stream = Stream.URGENT
        if isinstance(message, Want | Chunk | Reconcile | Repair):
            stream = Stream.BULK
        elif isinstance(message, Frame):
            stream = Stream.RECORDS if message.priority >= Priority.RECORDS else Stream.URGENT
            framed = (message.log, stream)
        elif isinstance(message, Head) and message.log == framed[0]:
            stream = framed[1]
        found[stream].append(message)
    return found


def _together(messages: Iterable[Message]) -> Iterator[bytes]:
    """Yield what is sent together: a frame and the head behind it travel in one packet."""
    joined = b""
    for message in messages:
        data = encode_message(message)
        if joined and len(joined) + len(data) > _JOINED_BYTES:
            yield joined
            joined = b""
        joined += data
    if joined:
        yield joined


EXPECTED = (LinkError, MessageError, StoreError, CryptoError, OSError, aiohttp.ClientError)


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
