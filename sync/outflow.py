"""What leaves on the datagram link: streams of messages in pieces, sent until they arrived.

A packet counts as lost when one that left later arrived and the round trip of that one, with some
patience, has passed for it, too (RACK-TLP, RFC 8985). If nothing comes back, the oldest pieces
leave again after about a round trip: the wait does not double while anything is heard of the
other side, because what is lost on a poor line says nothing about the next packet.

What is urgent goes before records, and these before files and audits, at every packet, and one
urgent packet may always be on its way: it waits for the one that is just leaving, and for no loss
of others.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from schemas.limits import MESSAGE_BYTES_MAX
from sync.congestion import Congestion, Sent
from sync.errors import LinkError
from sync.packets import NUMBER_MAX, PIECE_BYTES_MAX, SEEN_BITS, Piece, Seen, Stream

LENGTH_BYTES: Final = 3
# The other side holds so many pieces from the first that it has not taken.
PIECES_AHEAD_MAX: Final = 256
# Of a round trip: so much later than the packets behind it may one arrive.
_PATIENCE_MIN: Final = 1 / 8
_PATIENCE_MAX: Final = 1.0
_TRIP_FIRST_S: Final = 1.0
_WAIT_MIN_S: Final = 0.05
_WAIT_MAX_S: Final = 10.0
# An acknowledgement may wait so long for company.
ACK_DELAY_S: Final = 0.025
# So many waits in vain, one after the other, before they grow.
_PATIENT_WAITS: Final = 8
# Pieces that leave again after a wait in vain: of two, one arrives.
AGAIN: Final = 2
# Where such a share is lost, the last ones leave so many times more, a part of a round trip
# apart: one loss in a row of several would else cost a whole one.
_COPIED_LOSS: Final = 0.04
_COPIES: Final = 2
_COPY_TRIPS: Final = 1 / 4
# After so many waits in vain it is rather the line that is down.
_COPIED_WAITS: Final = 3


@dataclass(slots=True)
class _Transmission:
    """A packet on its way; piece None: it only asked for an answer."""

    piece: Piece | None
    sent: Sent


@dataclass(slots=True)
class _Pending:
    """What of one stream has not arrived.

    Attributes:
        queue: messages that wait for their first sending.
        pieces: that left and were not acknowledged, in order.
        next_number: of the next piece.
        taken: the other side has put all pieces below into its stream.
        again: pieces that are to leave again.
        copies: of the last pieces, that may still leave.
        copy_at_s: when the next one does.
    """

    stream: Stream
    queue: bytearray = field(default_factory=bytearray)
    pieces: dict[int, Piece] = field(default_factory=dict)
    next_number: int = 0
    taken: int = 0
    again: deque[Piece] = field(default_factory=deque)
    copies: int = 0
    copy_at_s: float | None = None

    @property
    def may_cut(self) -> bool:
        """Whether the other side has room for one more piece."""
        return self.next_number < self.taken + PIECES_AHEAD_MAX

    @property
    def waits(self) -> bool:
        """Whether a piece could leave."""
        return bool(self.again or (self.queue and self.may_cut))

    def next(self) -> Piece | None:
        """Return the piece that is to leave next, those that were lost first."""
        while self.again:
            piece = self.again.popleft()
            if piece.number in self.pieces:
                return piece
        if not self.queue or not self.may_cut:
            return None
        piece = Piece(self.stream, self.next_number, bytes(self.queue[:PIECE_BYTES_MAX]))
        self.next_number += 1
        self.pieces[piece.number] = piece
        del self.queue[:PIECE_BYTES_MAX]
        return piece


class Outflow:
    """The sending half.

    Attributes:
        congestion: how fast.
        packets: that left.
        lost: of these, as far as known.
    """

    def __init__(self) -> None:
        """Start with an empty stream."""
        self.congestion = Congestion()
        self.packets = 0
        self.lost = 0
        self._streams = tuple(_Pending(stream) for stream in Stream)
        # Ordered by number, because numbers rise.
        self._flights: dict[int, _Transmission] = {}
        self._given_up: dict[int, _Transmission] = {}
        self._next_number = 0
        self._newest: tuple[int, float] | None = None
        self._trip_s: float | None = None
        self._variation_s = 0.0
        self._patience = _PATIENCE_MIN
        self._waits = 0
        self._wait_from_s = 0.0

    def queued_bytes(self, stream: Stream) -> int:
        """Return how many bytes of a stream wait for their first sending."""
        return len(self._streams[stream].queue)

    @property
    def is_done(self) -> bool:
        """Whether everything arrived."""
        return not any(pending.queue or pending.pieces for pending in self._streams)

    @property
    def waits(self) -> bool:
        """Whether something is on its way that was not answered."""
        return bool(self._flights)

    @property
    def trip_s(self) -> float | None:
        """The smoothed round trip; None before the first one."""
        return self._trip_s

    def put(self, message: bytes, stream: Stream = Stream.URGENT) -> None:
        """Append a message of 1 to MESSAGE_BYTES_MAX bytes to a stream."""
        if not 1 <= len(message) <= MESSAGE_BYTES_MAX:
            raise ValueError(f"a message of {len(message)} bytes")
        self._streams[stream].queue += len(message).to_bytes(LENGTH_BYTES, "big") + message
        self._streams[stream].copies = _COPIES

    # Sending

    def room_at_s(self, now_s: float) -> float | None:
        """Return from when on a piece may leave; None: none waits, or an answer must come first."""
        if not any(pending.waits for pending in self._streams):
            return None
        if self._streams[Stream.URGENT].waits and not self._has_urgent_on_way():
            return now_s
        return self.congestion.room_at_s(now_s)

    def _has_urgent_on_way(self) -> bool:
        return any(
            flight.piece is not None
            and flight.piece.stream is Stream.URGENT
            and self._lacks(flight.piece)
            for flight in self._flights.values()
        )

    def next_piece(self) -> Piece | None:
        """Return the piece that is to leave next, of the first stream that has one."""
        found = (pending.next() for pending in self._streams)
        return next((piece for piece in found if piece is not None), None)

    def _is_blocked(self) -> bool:
        """Tell whether the other side must say first that it has room."""
        return any(pending.queue and not pending.may_cut for pending in self._streams)

    def number(self) -> int:
        """Return the number of the packet that leaves now.

        Raises:
            LinkError: all are used up.
        """
        number, self._next_number = self._next_number, self._next_number + 1
        if number > NUMBER_MAX:
            raise LinkError("packets_used_up", "so many packets does one link not carry")
        return number

    def left(self, number: int, piece: Piece | None, size_bytes: int, now_s: float) -> None:
        """Remember that a packet left that is to be answered."""
        is_idle = not any(pending.again or pending.queue for pending in self._streams)
        sent = self.congestion.depart(size_bytes, now_s, is_idle=is_idle)
        self._flights[number] = _Transmission(piece, sent)
        self._wait_from_s = now_s
        self.packets += 1
        if piece is not None and piece.stream is not Stream.BULK:
            pending = self._streams[piece.stream]
            is_last = not (pending.again or pending.queue)
            is_copied = is_last and pending.copies and self.congestion.loss >= _COPIED_LOSS
            apart_s = (self.congestion.base_s or 0.0) * _COPY_TRIPS
            pending.copy_at_s = now_s + apart_s if is_copied else None

    # Answers

    def on_seen(self, seen: Seen, now_s: float) -> None:
        """Learn what arrived.

        Raises:
            LinkError: the other side saw what never left.
        """
        said = list(zip(self._streams, seen.taken, strict=True))
        if seen.highest >= self._next_number or any(n > p.next_number for p, n in said):
            raise LinkError("packet_foreign", "an acknowledgement for what was not sent")
        for pending, taken in said:
            pending.taken = max(pending.taken, taken)
        self._waits = 0
        arrived = [number for number in self._flights if seen.has(number)]
        for number in arrived:
            flight = self._flights.pop(number)
            self.congestion.arrive(flight.sent, now_s, is_newest=number == seen.highest)
            self._drop(flight)
            if self._newest is None or number > self._newest[0]:
                self._newest = (number, now_s - flight.sent.at_s)
                if number == seen.highest:
                    self._smooth(self._newest[1])
        late = [number for number in self._given_up if seen.has(number)]
        for number in late:
            # It was on its way: this line lets packets overtake each other.
            self._drop(self._given_up.pop(number))
            self._patience = min(self._patience * 2, _PATIENCE_MAX)
        self._give_up(now_s)

    def _drop(self, flight: _Transmission) -> None:
        if flight.piece is not None:
            self._streams[flight.piece.stream].pieces.pop(flight.piece.number, None)

    def _smooth(self, trip_s: float) -> None:
        """RFC 6298."""
        if self._trip_s is None:
            self._trip_s, self._variation_s = trip_s, trip_s / 2
            return
        off = abs(self._trip_s - trip_s)
        self._variation_s += (off - self._variation_s) / 4
        self._trip_s += (trip_s - self._trip_s) / 8

    # Time

    def next_s(self) -> float | None:
        """Return when to call on_time; None: no answer is due."""
        if not self._flights and not self._is_blocked():
            return None
        times = [self._wait_from_s + self._wait_s()]
        if not self._flights:
            return times[0]
        times += [pending.copy_at_s for pending in self._streams if pending.copy_at_s is not None]
        oldest = next(iter(self._flights))
        if self._newest is not None and oldest < self._newest[0]:
            times.append(self._flights[oldest].sent.at_s + self._lost_after_s())
        return min(times)

    def on_time(self, now_s: float) -> bool:
        """Find what was lost; tell whether an answer is overdue, so that something must leave."""
        self._give_up(now_s)
        for pending in self._streams:
            self._copy(pending, now_s)
        waits = self._flights or self._is_blocked()
        if not waits or now_s < self._wait_from_s + self._wait_s():
            return False
        self._waits += 1
        self._wait_from_s = now_s
        flying = dict.fromkeys(flight.piece for flight in self._flights.values())
        missing = sorted(piece for piece in flying if piece is not None and self._lacks(piece))
        for piece in reversed(missing[:AGAIN]):
            self._again(piece, is_first=True)
        return True

    def _lacks(self, piece: Piece) -> bool:
        return piece.number in self._streams[piece.stream].pieces

    def _copy(self, pending: _Pending, now_s: float) -> None:
        """Let the last pieces leave again on a line that loses many: nothing behind them hurries.

        Files can wait until it is sure that they were lost.
        """
        if pending.copy_at_s is None or now_s < pending.copy_at_s:
            return
        pending.copy_at_s = None
        if not pending.queue and not pending.again:
            pending.copies -= 1
            pending.again += list(pending.pieces.values())[-AGAIN:]

    def _wait_s(self) -> float:
        trip_s = _TRIP_FIRST_S if self._trip_s is None else self._trip_s
        wait_s = trip_s + max(2 * self._variation_s, trip_s / 8, _WAIT_MIN_S) + ACK_DELAY_S
        longer = float(2 ** max(0, self._waits - _PATIENT_WAITS))
        return min(wait_s * longer, max(wait_s, _WAIT_MAX_S))

    def _lost_after_s(self) -> float:
        assert self._newest is not None
        base_s = self.congestion.base_s or _TRIP_FIRST_S
        return max(self._newest[1], base_s) + self._patience * base_s

    def _give_up(self, now_s: float) -> None:
        if self._newest is None:
            return
        before_s = now_s - self._lost_after_s()
        for number, flight in list(self._flights.items()):
            if number > self._newest[0]:
                break
            if flight.sent.at_s <= before_s:
                del self._flights[number]
                self._lose(number, flight)

    def _lose(self, number: int, flight: _Transmission) -> None:
        self.congestion.give_up(flight.sent)
        self.lost += 1
        self._given_up[number] = flight
        while len(self._given_up) > SEEN_BITS:
            del self._given_up[next(iter(self._given_up))]
        piece = flight.piece
        is_flying = any(other.piece == piece for other in self._flights.values())
        if piece is not None and self._lacks(piece) and not is_flying:
            self._again(piece)

    def _again(self, piece: Piece, *, is_first: bool = False) -> None:
        pending = self._streams[piece.stream]
        if piece not in pending.again:
            pending.again.insert(0 if is_first else len(pending.again), piece)
            pending.copies = _COPIES if self._waits <= _COPIED_WAITS else 0
