"""Datagram links between two simulated nodes: the real packets over a line that spoils them.

The handshake is left out. What a line does to a packet, DTLS answers by silence: of what was cut
short or flipped, came before, or came too late, nothing is passed up (test_packets.py holds that
against the real one).
"""

import math
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from sync.datagrams import Datagrams
from sync.errors import LinkError
from sync.packets import Stream
from tests.simulation.promises import BrokenPromise
from tests.simulation.quality import Quality

# DTLS, UDP and IP around a packet.
_AROUND_BYTES: Final = 57
# A line with a rate holds so much of a second; what is more is lost.
_QUEUE_MS: Final = 2_000
# Of so many numbers below the highest, DTLS knows whether they came; what is older it drops.
_REPLAY_WINDOW: Final = 64


class Replays:
    """What DTLS remembers of record numbers, to pass each record up once."""

    def __init__(self) -> None:
        """Nothing came."""
        self._highest = -1
        self._seen = 0

    def is_news(self, number: int) -> bool:
        """Tell whether a record with this number is passed up; then it has come."""
        ahead = number - self._highest
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & ((1 << _REPLAY_WINDOW) - 1)
            self._highest = number
            return True
        bit = 1 << -ahead
        if -ahead >= _REPLAY_WINDOW or self._seen & bit:
            return False
        self._seen |= bit
        return True


class _End:
    """One end: its half of the link, and what is on its way to it."""

    def __init__(self, now_s: float, *, is_dialler: bool) -> None:
        self.datagrams = Datagrams(now_s, keeps_alive=is_dialler)
        self.replays = Replays()
        self.records = 0
        self.wakes_at_ms = -1
        self.line_free_at_ms = 0
        # What the other end put, in the order of each stream, and has not arrived.
        self.expected = tuple(deque[bytes]() for _ in Stream)

    @property
    def is_full(self) -> bool:
        return any(self.datagrams.is_full(stream) for stream in Stream)


class PacketLink:
    """A datagram link that is up; ends are named by 0, the one who dialled, and 1.

    Attributes:
        quality: of the line, which may change.
        is_open: nothing arrives any more when it is not.
        failure: why the link is over at one of its ends; empty while it is not.
        now_ms: of the world, when it was last driven.
    """

    def __init__(
        self,
        rng: random.Random,
        quality: Quality,
        now_ms: int,
        counts: Counter[str],
        after: Callable[[int, Callable[[], None]], None],
        changed: Callable[[int, Sequence[bytes]], None],
    ) -> None:
        """Begin after the handshake.

        Args:
            rng: of the story.
            quality: of the line.
            now_ms: of the world.
            counts: of what happens to packets.
            after: schedules an action in so many milliseconds.
            changed: called with an end where messages came, there is room again, or the link ended.
        """
        self.quality = quality
        self.is_open = True
        self.failure = ""
        self.now_ms = now_ms
        self._rng = rng
        self._counts = counts
        self._after = after
        self._changed = changed
        self._ends = tuple(_End(now_ms / 1_000, is_dialler=number == 0) for number in (0, 1))

    def is_full(self, number: int) -> bool:
        """Tell whether an end should put no more for now."""
        return self._ends[number].is_full

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way that the other end has not taken."""
        return any(any(end.expected) for end in self._ends)

    def losses(self, number: int) -> tuple[int, int]:
        """Return how many packets left an end, and how many of them it knows to be lost."""
        outflow = self._ends[number].datagrams.outflow
        return outflow.packets, outflow.lost

    def put(self, number: int, message: bytes, stream: Stream) -> None:
        """Put a message on its way; it leaves with the next drive."""
        self._ends[number].datagrams.outflow.put(message, stream)
        self._ends[1 - number].expected[stream].append(message)

    def drive(self, number: int, now_ms: int) -> None:
        """Let leave what may, and come back when more may."""
        end, self.now_ms = self._ends[number], now_ms
        if not self.is_open:
            return
        now_s = now_ms / 1_000
        was_full = end.is_full
        for packet in end.datagrams.packets(now_s):
            self._leave(number, packet)
        if end.datagrams.is_dead(now_s):
            self._fail(number, "silent")
            return
        if was_full and not end.is_full:
            self._changed(number, ())
        # A millisecond is the shortest time here.
        delay_ms = max(1, math.ceil(end.datagrams.next_s(now_s) * 1_000) - now_ms)
        if end.wakes_at_ms != now_ms + delay_ms:
            wakes_at_ms = end.wakes_at_ms = now_ms + delay_ms
            self._after(delay_ms, lambda: self._wake(number, wakes_at_ms))

    def _wake(self, number: int, at_ms: int) -> None:
        if self._ends[number].wakes_at_ms == at_ms:
            self._ends[number].wakes_at_ms = -1
            self.drive(number, at_ms)

    def _leave(self, number: int, packet: bytes) -> None:
        """Give a packet to the line."""
        end, rng, quality = self._ends[number], self._rng, self.quality
        record, end.records = end.records, end.records + 1
        self._counts["packets"] += 1
        depart_ms = self.now_ms
        if quality.rate_bytes_s:
            depart_ms = max(depart_ms, end.line_free_at_ms)
            if depart_ms > self.now_ms + _QUEUE_MS:
                self._counts["packets dropped"] += 1
                return
            depart_ms += (len(packet) + _AROUND_BYTES) * 1_000 // quality.rate_bytes_s
            end.line_free_at_ms = depart_ms
        if quality.loss and rng.random() < quality.loss:
            self._counts["packets lost"] += 1
            return
        copies = 1
        if quality.twice and rng.random() < quality.twice:
            self._counts["packets twice"] += 1
            copies = 2
        for _ in range(copies):
            delay_ms = depart_ms - self.now_ms + rng.randint(*quality.latency_ms)
            if quality.overtaken and rng.random() < quality.overtaken:
                self._counts["packets overtaken"] += 1
                delay_ms += rng.randint(1, 2 * quality.latency_ms[1])
            is_spoiled = bool(quality.spoiled) and rng.random() < quality.spoiled
            at_ms = self.now_ms + delay_ms
            self._after(delay_ms, self._arrival(1 - number, record, packet, at_ms, is_spoiled))

    def _arrival(
        self, number: int, record: int, packet: bytes, at_ms: int, is_spoiled: bool
    ) -> Callable[[], None]:
        def arrive() -> None:
            if not self.is_open:
                return
            if is_spoiled:
                # Whatever became of it, its seal does not fit.
                self._counts["packets spoiled"] += 1
            elif not self._ends[number].replays.is_news(record):
                self._counts["packets stale"] += 1
            else:
                self._receive(number, packet, at_ms)

        return arrive

    def _receive(self, number: int, packet: bytes, now_ms: int) -> None:
        end = self._ends[number]
        try:
            end.datagrams.receive(packet, now_ms / 1_000)
            messages = list(iter(end.datagrams.take, None))
        except LinkError as error:
            raise BrokenPromise("packet_refused", f"{error} among honest nodes") from error
        for message in messages:
            next_of = [waiting for waiting in end.expected if waiting and waiting[0] == message]
            if not next_of:
                raise BrokenPromise("message_order", "a message came that was no stream's next")
            next_of[0].popleft()
        if messages:
            self._changed(number, messages)
        self.drive(number, now_ms)

    def _fail(self, number: int, why: str) -> None:
        self.failure = why
        self._changed(number, ())
