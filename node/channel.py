"""A datagram link at work: the sans-IO link over DTLS, driven by arrivals and by time."""

import asyncio
from collections.abc import Callable
from typing import Final

from crypto.errors import CryptoError
from node.clock import Clock
from node.dtls import Secured
from sync.datagrams import Datagrams
from sync.errors import LinkError
from sync.packets import Stream

# The first datagram of a stranger who is not there, or cannot be reached; few bytes are wasted.
HELLOS_MAX: Final = 6
_FIRST_WAIT_S: Final = 1.3
_COPY_S: Final = 0.25
# Of the handshake's round trip.
_PATIENCE: Final = 1.25
HANDSHAKE_S: Final = 20.0
# So long does who closes wait until what it said last has arrived.
_CLOSE_S: Final = 5.0
_LOOK_S: Final = 0.05


class Channel:
    """One end of a datagram link; a message is what the WebSocket calls one.

    Attributes:
        secured: for who is at the other end.
        is_answered: anything came from the other end.
        failure: what ended the link; None while it lives.
    """

    def __init__(
        self, secured: Secured, send: Callable[[bytes], None], clock: Clock, *, is_dialler: bool
    ) -> None:
        """Drive a connection that was just begun.

        Args:
            secured: the connection.
            send: sends a datagram to the other end; it may be lost.
            clock: for waits.
            is_dialler: this end dialled.
        """
        self.secured = secured
        self.is_answered = not is_dialler
        self.failure: Exception | None = None
        self._send = send
        self._clock = clock
        self._is_dialler = is_dialler
        self._begun_s = self._flew_s = clock.monotonic_s()
        self._again_s = _FIRST_WAIT_S
        # Sendings of the present flight.
        self._sendings = 1
        self._datagrams: Datagrams | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._opened = asyncio.Event()

    def begin(self) -> None:
        """Send the first datagram, or answer the one that the connection began with."""
        for datagram in self.secured.begin() if self._is_dialler else self.secured.flight:
            self._send(datagram)
        self._drive()

    @property
    def losses(self) -> tuple[int, int]:
        """Packets that left, and how many of them were lost."""
        if self._datagrams is None:
            return 0, 0
        return self._datagrams.outflow.packets, self._datagrams.outflow.lost

    # What the loop tells

    def on_datagram(self, datagram: bytes) -> None:
        """Take a datagram of the other end in."""
        if self.failure is not None:
            return
        self.is_answered = True
        try:
            packets, answers = self.secured.receive(datagram)
        except (LinkError, CryptoError) as error:
            # The library has words for the other end.
            for last in self.secured.leaving():
                self._send(last)
            self.fail(error)
            return
        now_s = self._clock.monotonic_s()
        if answers:
            if self._sendings == 1:
                trip_s = now_s - self._flew_s
                self._again_s = max(_COPY_S, min(trip_s * _PATIENCE, _FIRST_WAIT_S))
            self._sendings, self._flew_s = 1, now_s
            for answer in answers:
                self._send(answer)
        if self.secured.is_open and self._datagrams is None:
            self._datagrams = Datagrams(now_s, keeps_alive=self._is_dialler)
        if self.secured.is_open and (self._is_dialler or packets):
            self._opened.set()
        self._receive(packets, now_s)
        self._news.set()
        self._drive()

    def _receive(self, packets: list[bytes], now_s: float) -> None:
        for packet in packets:
            assert self._datagrams is not None
            try:
                self._datagrams.receive(packet, now_s)
            except LinkError as error:
                self.fail(error)
                return

    def fail(self, error: Exception) -> None:
        """End the link; what waits on it is told why."""
        if self.failure is None:
            self.failure = error
            if self._timer is not None:
                self._timer.cancel()
            self._opened.set()
            self._news.set()

    def _drive(self) -> None:
        """Send what is due, and come back when more is."""
        if self.failure is not None:
            return
        now_s = self._clock.monotonic_s()
        times = [self._drive_handshake(now_s)]
        if self._datagrams is not None:
            for packet in self._datagrams.packets(now_s):
                self._send(self.secured.seal(packet))
            if self._datagrams.is_dead(now_s):
                self.fail(TimeoutError("nothing was heard on the datagram link"))
            times.append(self._datagrams.next_s(now_s))
        if self._timer is not None:
            self._timer.cancel()
        if self.failure is None:
            wait_s = max(0.0, min(times) - now_s)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._drive)

    def _drive_handshake(self, now_s: float) -> float:
        """Let the last flight leave again while nothing shows that it came; return until when."""
        if self.secured.is_heard:
            return float("inf")
        is_lost = not self.is_answered and self._sendings >= HELLOS_MAX
        # Each flight leaves twice: this way is taken where many packets are lost.
        due_s = self._flew_s + (_COPY_S if self._sendings == 1 else self._again_s)
        if now_s >= self._begun_s + HANDSHAKE_S or (is_lost and now_s >= due_s):
            self.fail(TimeoutError("no answer to the handshake of the datagram link"))
        elif now_s >= due_s:
            self._sendings += 1
            self._flew_s = now_s
            due_s = now_s + self._again_s
            for datagram in self.secured.flight:
                self._send(datagram)
        return min(due_s, self._begun_s + HANDSHAKE_S)

    # What the link asks

    async def opened(self) -> None:
        """Wait for the end of the handshake, and who listens for the first packet.

        Only then does the other end know that the link is up: what it replaces may end.

        Raises:
            LinkError: the other end cannot be trusted.
            OSError: it did not answer.
        """
        await self._opened.wait()
        if self.failure is not None:
            raise self.failure

    async def send_bytes(self, data: bytes, /, stream: Stream = Stream.URGENT) -> None:
        """Send one message, waiting while the line is full.

        Raises:
            OSError: the link has ended.
        """
        assert self._datagrams is not None
        while self._datagrams.is_full(stream) and self.failure is None:
            self._news.clear()
            await self._left()
        if self.failure is not None:
            raise ConnectionResetError("the datagram link has ended")
        self._datagrams.outflow.put(data, stream)
        self._drive()

    async def receive(self) -> bytes | None:
        """Return the next message; None: the other end has closed the link.

        Raises:
            LinkError: the other end broke the protocol.
            OSError: the line is dead.
        """
        assert self._datagrams is not None
        while True:
            message = self._datagrams.take()
            if message is not None:
                self._drive()
                return message
            if self.failure is not None:
                raise self.failure
            if self._datagrams.has_ended:
                return None
            self._news.clear()
            await self._news.wait()

    async def _left(self) -> None:
        """Wait until something may have left: by an arrival or by time."""
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._news.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Let what was said arrive, say farewell, and end."""
        if self._datagrams is not None and not self._has_ended():
            until_s = self._clock.monotonic_s() + _CLOSE_S
            while not self._datagrams.outflow.is_done and self._clock.monotonic_s() < until_s:
                self._news.clear()
                await self._left()
                if self._has_ended():
                    break
        self.abort()

    def _has_ended(self) -> bool:
        return self.failure is not None or (
            self._datagrams is not None and self._datagrams.has_ended
        )

    def abort(self) -> None:
        """Say farewell and end at once; what is on its way may be lost."""
        if self._datagrams is not None and self.failure is None:
            for packet in self._datagrams.farewell():
                self._send(self.secured.seal(packet))
        self.fail(ConnectionResetError("the datagram link was closed here"))
