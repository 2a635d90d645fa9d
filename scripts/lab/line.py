"""One direction of an emulated line: packets in, packets out when they are due; no I/O, no clock.

A packet waits in the queue, takes its time on the air at the line's rate, may be lost there, and
arrives after the delay. Order is kept: a line is one radio, not many ways.
"""

import random
from collections import deque
from dataclasses import dataclass
from typing import Final

QUEUE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one direction of a line treats packets.

    Attributes:
        rate_bps: bits a second at the IP layer; 0 is as fast as the machine.
        delay_ms: time on the way, one direction.
        jitter_ms: up to so much more, evenly drawn for each packet.
        loss: share of packets lost, 0 to 1.
        burst: mean length of a run of lost packets; 1 loses each by itself.
        queue_bytes: what waits beyond this is dropped.
        blocks_udp: as many an office's firewall does.
    """

    rate_bps: int = 0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    queue_bytes: int = QUEUE_BYTES
    blocks_udp: bool = False

    def __post_init__(self) -> None:
        """Refuse what no line can do."""
        if not 0 <= self.loss < 1 or self.burst < 1:
            raise ValueError("loss is 0 to below 1, a burst at least one packet")
        if min(self.rate_bps, self.delay_ms, self.jitter_ms, self.queue_bytes) < 0:
            raise ValueError("rate, delay, jitter and queue are not negative")


@dataclass(slots=True)
class Counts:
    """What happened to the packets offered to one direction, with their bytes at the IP layer."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    dropped: int = 0
    cut: int = 0
    delivered: int = 0
    delivered_bytes: int = 0


class Line:
    """One direction of a line.

    Attributes:
        counts: since the start.
        is_cut: nothing gets through.
    """

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        """Start idle and empty."""
        self.shape = shape
        self.counts = Counts()
        self._rng = rng
        self.is_cut = False
        # So many bytes arrive at most; the packet that would exceed them cuts the line.
        self._bytes_max: int | None = None
        self._is_bad = False
        self._free_at_s = 0.0
        self._last_arrival_s = 0.0
        # (when it arrives, packet); (when it left the queue, bytes).
        self._on_way: deque[tuple[float, bytes]] = deque()
        self._queue: deque[tuple[float, int]] = deque()
        self._queued_bytes = 0

    def cut(self, is_cut: bool) -> None:
        """Cut the line, which loses all that is on the way, or mend it."""
        self.is_cut = is_cut
        self._bytes_max = None
        if is_cut:
            self.counts.cut += len(self._on_way)
            self._on_way.clear()
            self._queue.clear()
            self._queued_bytes = 0
            self._free_at_s = 0.0

    def cut_after(self, size_bytes: int) -> None:
        """Cut the line once so many more bytes have arrived, within a packet if need be."""
        self._bytes_max = self.counts.delivered_bytes + size_bytes

    def offer(self, packet: bytes, now_s: float) -> None:
        """Take a packet from the sender."""
        counts, shape = self.counts, self.shape
        counts.packets += 1
        counts.bytes += len(packet)
        if self.is_cut:
            counts.cut += 1
            return
        if shape.blocks_udp and _is_udp(packet):
            counts.dropped += 1
            return
        while self._queue and self._queue[0][0] <= now_s:
            self._queued_bytes -= self._queue.popleft()[1]
        left_s = now_s
        if shape.rate_bps:
            if self._queued_bytes + len(packet) > shape.queue_bytes:
                counts.dropped += 1
                return
            left_s = max(now_s, self._free_at_s) + len(packet) * 8 / shape.rate_bps
            self._free_at_s = left_s
            self._queue.append((left_s, len(packet)))
            self._queued_bytes += len(packet)
        if self._is_lost():
            counts.lost += 1
            return
        delay_s = (shape.delay_ms + self._rng.random() * shape.jitter_ms) / 1000
        self._last_arrival_s = max(self._last_arrival_s, left_s + delay_s)
        self._on_way.append((self._last_arrival_s, packet))

    def due(self, now_s: float) -> list[bytes]:
        """Return the packets that have arrived."""
        arrived: list[bytes] = []
        while self._on_way and self._on_way[0][0] <= now_s:
            packet = self._on_way[0][1]
            if self._bytes_max is not None and self._bytes_max < (
                self.counts.delivered_bytes + len(packet)
            ):
                self.cut(is_cut=True)
                break
            self._on_way.popleft()
            self.counts.delivered += 1
            self.counts.delivered_bytes += len(packet)
            arrived.append(packet)
        return arrived

    def next_s(self) -> float | None:
        """Return when the next packet arrives; None if none is on the way."""
        return self._on_way[0][0] if self._on_way else None

    def _is_lost(self) -> bool:
        """Draw the fate of one packet: Gilbert's model, whose bad state loses all.

        The bad state lasts `burst` packets on average and holds for the share `loss` of them.
        """
        shape = self.shape
        if shape.burst == 1:
            return self._rng.random() < shape.loss
        leaves_bad = 1 / shape.burst
        leaves_good = leaves_bad * shape.loss / (1 - shape.loss)
        if self._is_bad:
            self._is_bad = self._rng.random() >= leaves_bad
        else:
            self._is_bad = self._rng.random() < leaves_good
        return self._is_bad


def _is_udp(packet: bytes) -> bool:
    """Tell by the header of IPv4; the lab has no other."""
    return len(packet) > 9 and packet[0] >> 4 == 4 and packet[9] == 17
