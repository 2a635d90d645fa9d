"""How fast packets may leave: as the line takes them, whatever share of them it loses.

In BBR's manner (draft-cardwell-iccrg-bbr-congestion-control): the rate is the best of the last
round trips, tried a quarter higher now and then. Losses say nothing, for radio loses packets at
any rate; a round trip that grows says that a queue does, and slows the sender until it is gone.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from sync.packets import PACKET_BYTES_MAX

# DTLS, UDP and IP around a packet.
OVERHEAD_BYTES: Final = 57
_FULL_BYTES: Final = PACKET_BYTES_MAX + OVERHEAD_BYTES
_FLIGHT_BYTES_MIN: Final = 4 * _FULL_BYTES
_FLIGHT_BYTES_MAX: Final = 512 << 10
# Before anything is known, and until the rate stops growing.
_START_GAIN: Final = 2.0
_GROWTH: Final = 1.25
# What was tried faster and was faster is tried faster again.
_GROWTH_LATER: Final = 1.05
_GROWTH_ROUNDS: Final = 2
_START_ROUNDS: Final = 4
# One round trip of this many is tried faster; all while there is no sign of a queue, unless the
# losses could be those of a line that drops what is too fast.
_PROBE_ROUNDS: Final = 5
_PROBE_QUEUE: Final = 0.25
_PROBE_LOSS: Final = 0.25
_LOSS_SAMPLES: Final = 32
# This way is taken where packets are lost; what comes through soon says otherwise.
_LOSS_FIRST: Final = 0.1
_PROBE_GAIN: Final = 1.25
_DRAIN_GAIN: Final = 0.7
_RATE_ROUNDS: Final = 10
_QUEUE_ROUNDS: Final = 3
# What was lost passed the line, too; of more than this share of losses, no more is believed.
_LOSS_MAX: Final = 0.4
# The shortest round trip of the last one to two such spans counts: a way can become longer.
_BASE_SPAN_S: Final = 60.0
# A queue of so much is none yet; of a round trip, and in packets.
_QUEUE_TRIPS: Final = 0.2
_QUEUE_PACKETS: Final = 2.5
_DRAINED: Final = 0.4


@dataclass(frozen=True, slots=True)
class Sent:
    """When a packet left, and what had been settled by then."""

    at_s: float
    size_bytes: int
    delivered_bytes: int
    lost_bytes: int
    delivered_at_s: float
    first_at_s: float
    round: int
    is_idle: bool


class Congestion:
    """The rate and the room for packets of one direction.

    Attributes:
        flight_bytes: that left and are neither acknowledged nor given up.
        delivered_bytes: acknowledged since the start, packet by packet.
        lost_bytes: given up since the start.
        loss: share of the last packets that was lost.
    """

    def __init__(self) -> None:
        """Know nothing: some packets at once, then what comes back tells."""
        self.flight_bytes = 0
        self.delivered_bytes = 0
        self.lost_bytes = 0
        self.loss = _LOSS_FIRST
        # When the last delivery became known, and when what it delivered had left.
        self._delivered_at_s = 0.0
        self._first_at_s = 0.0
        # Best rate of each of the last rounds.
        self._rates: deque[float] = deque([0.0], maxlen=_RATE_ROUNDS)
        self._round = 0
        self._round_ends_at_bytes = 0
        self._bases: deque[tuple[float, float]] = deque(maxlen=2)
        self._standing_s: deque[tuple[float, float]] = deque()
        self._is_starting = True
        self._grew_in = 0
        self._is_draining = False
        self._queue_s = 0.0
        self._free_at_s = 0.0

    @property
    def rate_bytes_s(self) -> float:
        """What the line takes; 0 before anything is known."""
        return max(self._rates)

    @property
    def base_s(self) -> float | None:
        """The round trip without a queue; None before the first one."""
        return min((trip_s for _, trip_s in self._bases), default=None)

    def room_at_s(self, now_s: float) -> float | None:
        """Return from when on a packet may leave; None: when something was settled first."""
        if self.flight_bytes + _FULL_BYTES > self._flight_max_bytes():
            return None
        return max(now_s, self._free_at_s)

    def depart(self, size_bytes: int, now_s: float, *, is_idle: bool) -> Sent:
        """Count a packet that leaves.

        Args:
            size_bytes: of the packet.
            now_s: monotonic clock.
            is_idle: nothing more waits, so that the line could have taken more.
        """
        size_bytes += OVERHEAD_BYTES
        if not self.flight_bytes:
            self._delivered_at_s = self._first_at_s = now_s
        self.flight_bytes += size_bytes
        pace = self._gain() * max(self.rate_bytes_s, self._rate_min())
        if pace:
            self._free_at_s = max(self._free_at_s, now_s) + size_bytes / pace
        return Sent(
            now_s,
            size_bytes,
            self.delivered_bytes,
            self.lost_bytes,
            self._delivered_at_s,
            self._first_at_s,
            self._round,
            is_idle,
        )

    def arrive(self, sent: Sent, now_s: float, *, is_newest: bool) -> None:
        """Learn from a packet that was acknowledged.

        Args:
            sent: what depart returned.
            now_s: monotonic clock.
            is_newest: it is the last that came; of others an earlier answer may have been lost, so
                that their round trip looks longer than it was.
        """
        self.flight_bytes -= sent.size_bytes
        self.delivered_bytes += sent.size_bytes
        self.loss -= self.loss / _LOSS_SAMPLES
        self._delivered_at_s = now_s
        self._first_at_s = max(self._first_at_s, sent.at_s)
        if is_newest:
            self._note_trip(max(now_s - sent.at_s, 0.001), now_s)
        has_queue = self._has_queue()
        # Neither sent nor acknowledged faster: answers that come together say nothing of the line.
        took_s = max(sent.at_s - sent.first_at_s, now_s - sent.delivered_at_s, 0.001)
        delivered = self.delivered_bytes - sent.delivered_bytes
        lost = 0 if has_queue else self.lost_bytes - sent.lost_bytes
        rate = min(delivered + lost, delivered / (1 - _LOSS_MAX)) / took_s
        if not sent.is_idle or rate > self.rate_bytes_s:
            self._rates[-1] = max(self._rates[-1], rate)
        if sent.round >= self._round and not sent.is_idle:
            self._begin_round(has_queue)

    def give_up(self, sent: Sent) -> None:
        """Count a packet that was lost."""
        self.flight_bytes -= sent.size_bytes
        self.lost_bytes += sent.size_bytes
        self.loss += (1 - self.loss) / _LOSS_SAMPLES

    def _begin_round(self, has_queue: bool) -> None:
        """One round trip is over: the first packet of the present one came back."""
        self._round += 1
        earlier = max(list(self._rates)[:-1], default=0.0)
        if self._rates[-1] > earlier * (_GROWTH if self._is_starting else _GROWTH_LATER):
            self._grew_in = self._round
        if has_queue or self._round - self._grew_in >= _START_ROUNDS:
            self._is_starting = False
        self._rates.append(0.0)
        while has_queue and len(self._rates) > _QUEUE_ROUNDS:
            # A queue that stays was filled by a rate that is too high.
            self._rates.popleft()

    def _note_trip(self, trip_s: float, now_s: float) -> None:
        if not self._bases or now_s - self._bases[-1][0] > _BASE_SPAN_S:
            self._bases.append((now_s, trip_s))
        elif trip_s < self._bases[-1][1]:
            self._bases[-1] = (self._bases[-1][0], trip_s)
        base_s = self.base_s or trip_s
        self._standing_s.append((now_s, trip_s))
        # What came within a part of a round trip: its shortest one is free of jitter.
        while self._standing_s[0][0] < now_s - base_s / 2:
            self._standing_s.popleft()
        self._queue_s = min(trip for _, trip in self._standing_s) - base_s
        if self._queue_s > self._queue_max_s():
            self._is_draining = True
        elif self._queue_s < self._queue_max_s() * _DRAINED:
            self._is_draining = False

    def _has_queue(self) -> bool:
        return self._is_draining

    def _queue_max_s(self) -> float:
        packets_s = _QUEUE_PACKETS * _FULL_BYTES / max(self.rate_bytes_s, self._rate_min(), 1.0)
        return max(packets_s, _QUEUE_TRIPS * (self.base_s or 0.0))

    def _gain(self) -> float:
        if self._is_draining:
            return _DRAIN_GAIN
        if self._is_starting:
            return _START_GAIN
        probes = self._round % _PROBE_ROUNDS == 0 or self._round - self._grew_in < _GROWTH_ROUNDS
        if self.loss < _PROBE_LOSS:
            probes = probes or self._queue_s < _PROBE_QUEUE * self._queue_max_s()
        return _PROBE_GAIN if probes else 1.0

    def _rate_min(self) -> float:
        """Return what is tried on any line: at first the smallest flight in a round trip."""
        if not self.base_s:
            return 0.0
        return (_FLIGHT_BYTES_MIN if self._is_starting else _FULL_BYTES) / self.base_s

    def _flight_max_bytes(self) -> float:
        trips = 1.0 if self._is_draining else 2.0
        carried = trips * self.rate_bytes_s * (self.base_s or 0.0)
        return min(max(carried, _FLIGHT_BYTES_MIN), _FLIGHT_BYTES_MAX)
