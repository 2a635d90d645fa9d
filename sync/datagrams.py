"""The datagram link without the link: messages in, packets out, and back; no I/O, no clock.

It carries what the WebSocket carries where TCP drowns: messages arrive once, and in order within
their stream, or the link ends. The packets are secured below (DTLS).
"""

from typing import Final

from sync.inflow import Inflow
from sync.outflow import ACK_DELAY_S, AGAIN, Outflow
from sync.packets import PIECE_BYTES_MAX, Packet, Piece, Stream, decode_packet, encode_packet

# So long may the line be silent: a NAT forgets a way after 30 s or more.
KEEPALIVE_S: Final = 25.0
# Without a word of the other side for so long the line is dead; sooner if it was asked.
SILENCE_S: Final = 60.0
ANSWER_S: Final = 20.0
# Every other packet that wants an answer gets one at once.
_UNANSWERED_MAX: Final = 2
# Farewells that leave together; nobody answers them.
_FAREWELLS: Final = 3


class Datagrams:
    """One end of a datagram link.

    Attributes:
        outflow: what leaves.
        inflow: what comes.
        has_ended: the other side has closed the link.
    """

    def __init__(self, now_s: float, *, keeps_alive: bool) -> None:
        """Begin after the handshake.

        Args:
            now_s: monotonic clock.
            keeps_alive: this side speaks when both are silent: the one that dialled.
        """
        self.outflow = Outflow()
        self.inflow = Inflow()
        self.has_ended = False
        self._keeps_alive = keeps_alive
        self._heard_s = now_s
        self._said_s = now_s
        # When the first packet left that should have been answered since.
        self._asked_s: float | None = None
        self._answer_at_s: float | None = None
        self._unanswered = 0
        self._asks = keeps_alive

    def is_full(self, stream: Stream) -> bool:
        """Tell whether further messages of a stream should wait."""
        return self.outflow.queued_bytes(stream) >= PIECE_BYTES_MAX

    def is_dead(self, now_s: float) -> bool:
        """Tell whether nothing was heard for too long."""
        return now_s >= self._dead_at_s()

    def _dead_at_s(self) -> float:
        dead_at_s = self._heard_s + SILENCE_S
        if self._asked_s is not None:
            dead_at_s = min(dead_at_s, max(self._asked_s, self._heard_s) + ANSWER_S)
        return dead_at_s

    def take(self) -> bytes | None:
        """Return the next message of the other side; None: it is not here yet.

        Raises:
            LinkError: the other side sent what are no messages.
        """
        before = self.inflow.taken
        message = self.inflow.take()
        if self.inflow.taken != before:
            # There is room again, of which the other side does not know.
            self._answer_at_s = self._heard_s
        return message

    def receive(self, data: bytes, now_s: float) -> None:
        """Take one packet in.

        Raises:
            LinkError: it is none, or says what cannot be; end the link.
        """
        packet = decode_packet(data)
        self._heard_s = now_s
        if packet.seen is not None:
            self.outflow.on_seen(packet.seen, now_s)
            self._asked_s = now_s if self.outflow.waits else None
        self.has_ended = self.has_ended or packet.ends
        is_odd = self.inflow.note(packet.number)
        if packet.piece is not None:
            self.inflow.put(packet.piece)
        if packet.wants_answer:
            self._unanswered += 1
            at_once = is_odd or packet.asks or self._unanswered >= _UNANSWERED_MAX
            due_s = now_s if at_once else now_s + ACK_DELAY_S
            self._answer_at_s = min(
                due_s, due_s if self._answer_at_s is None else self._answer_at_s
            )

    def packets(self, now_s: float) -> list[bytes]:
        """Return the packets that are to leave now."""
        found: list[bytes] = []
        if self.outflow.on_time(now_s):
            # Overdue: whatever room there is, something must leave for an answer to come.
            again = (self.outflow.next_piece() for _ in range(AGAIN))
            found += [self._packet(now_s, piece=piece) for piece in again if piece is not None]
            self._asks = self._asks or not found
        self._asks = self._asks or self._is_silent(now_s)
        while (room_at_s := self.outflow.room_at_s(now_s)) is not None and room_at_s <= now_s:
            piece = self.outflow.next_piece()
            if piece is None:
                break
            found.append(self._packet(now_s, piece=piece))
        answers = self._answer_at_s is not None and self._answer_at_s <= now_s
        if self._asks or answers:
            found.append(self._packet(now_s, asks=self._asks))
        return found

    def next_s(self, now_s: float) -> float:
        """Return when to call packets again, unless something comes or is put before."""
        times = [
            self._answer_at_s,
            self.outflow.next_s(),
            self.outflow.room_at_s(now_s),
            self._said_s + KEEPALIVE_S if self._keeps_alive else None,
            self._dead_at_s(),
        ]
        return min(at_s for at_s in times if at_s is not None)

    def farewell(self) -> list[bytes]:
        """Return what tells the other side that this one has closed the link."""
        return [
            encode_packet(Packet(number=self.outflow.number(), seen=self.inflow.seen(), ends=True))
            for _ in range(_FAREWELLS)
        ]

    def _is_silent(self, now_s: float) -> bool:
        return self._keeps_alive and now_s - self._said_s >= KEEPALIVE_S

    def _packet(self, now_s: float, piece: Piece | None = None, asks: bool = False) -> bytes:
        number = self.outflow.number()
        packet = Packet(number=number, seen=self.inflow.seen(), piece=piece, asks=asks)
        data = encode_packet(packet)
        if packet.wants_answer:
            self.outflow.left(number, piece, len(data), now_s)
            self._asked_s = now_s if self._asked_s is None else self._asked_s
            self._asks = False
        self._said_s = now_s
        self._answer_at_s, self._unanswered = None, 0
        return data
