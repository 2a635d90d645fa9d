"""Contacts between a node and the one above it: messages that are late, lost or come twice.

They go by a stream, which here may also fail its promises, or by a datagram link (packets.py).
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from crypto.errors import CryptoError
from node.choice import Losses, Way
from schemas.errors import MessageError
from schemas.limits import WINDOW_BYTES_MAX
from schemas.wire import Ack, Message, decode_messages, encode_message
from sync.errors import LinkError, StoreError
from sync.packets import Stream
from sync.session import Kinship, Session
from tests.simulation.damage import damaged
from tests.simulation.nodes import SimulatedNode
from tests.simulation.packets import PacketLink
from tests.simulation.quality import Quality

# What node/link.py takes as the end of one link; anything else would be a fault of ours.
LINK_ERRORS: Final = (LinkError, MessageError, StoreError, CryptoError)
# What IP, TCP and TLS add.
_PACKET_BYTES: Final = 90
# So that it is not always the greeting of a new contact.
_DAMAGE_NOW: Final = 0.2


@dataclass(slots=True, eq=False)
class Side:
    """One end of a contact.

    Attributes:
        free_at_ms: when its line will have taken all that was sent.
        is_quiet: nothing is left to say until there is news, or time has passed.
        tick_at_ms: when it looks again without news.
        idle_ticks: so often in a row there was nothing to say then.
        packets, lost: that left by a stream, and how many of them had to leave again.
    """

    node: SimulatedNode
    session: Session
    inbox: list[bytes] = field(default_factory=list)
    is_due: bool = False
    last_arrival_ms: int = 0
    free_at_ms: int = 0
    is_quiet: bool = False
    tick_at_ms: int = 0
    idle_ticks: int = 0
    packets: int = 0
    lost: int = 0


class Contact:
    """One connection, from its opening until either end, or the country, cuts it.

    Attributes:
        sides: the child's end and the parent's.
        quality: of the line.
        way: that messages take.
    """

    def __init__(
        self, child: SimulatedNode, parent: SimulatedNode, quality: Quality, way: Way = "websocket"
    ) -> None:
        """Make new sessions at both ends; nothing is sent yet."""
        self.quality = quality
        self.way = way
        self.is_open = True
        self.sides = (_side(child, parent, "parent"), _side(parent, child, "child"))
        self._packets: PacketLink | None = None

    def carry_by(self, packets: PacketLink) -> None:
        """Let a datagram link carry what the sessions say."""
        self._packets = packets
        for side in self.sides:
            side.session.leave_pacing()
            self.drive(side, packets.now_ms)

    def drive(self, side: Side, now_ms: int) -> None:
        """Let leave what one end put, as far as it may by now."""
        if self._packets is not None:
            self._packets.drive(self.sides.index(side), now_ms)

    def put(self, sender: Side, data: bytes, stream: Stream) -> bool:
        """Give a message to the datagram link, if there is one."""
        if self._packets is None:
            return False
        self._packets.put(self.sides.index(sender), data, stream)
        return True

    def close(self) -> None:
        """Let nothing arrive any more."""
        self.is_open = False
        if self._packets is not None:
            self._packets.is_open = False

    def improve(self, quality: Quality) -> None:
        """Let the line be another from now on."""
        self.quality = quality
        if self._packets is not None:
            self._packets.quality = quality

    def has_room(self, side: Side, now_ms: int) -> bool:
        """Tell whether an end may say more: what it said is on its way."""
        if self._packets is not None:
            return not self._packets.is_full(self.sides.index(side))
        return side.free_at_ms <= now_ms

    @property
    def failure(self) -> str:
        """Why the datagram link is over; empty while it is not, or there is none."""
        return self._packets.failure if self._packets is not None else ""

    def is_busy(self, now_ms: int) -> bool:
        """Tell whether something is on its way that no end knows to have come."""
        if self._packets is not None:
            return self._packets.is_busy
        return any(side.free_at_ms > now_ms or side.last_arrival_ms > now_ms for side in self.sides)

    def losses(self) -> Losses:
        """Return what the child knows of what was lost of its packets."""
        if self._packets is not None:
            packets, lost = self._packets.losses(0)
        else:
            packets, lost = self.sides[0].packets, self.sides[0].lost
        return Losses(packets=packets, lost=lost)

    def other(self, side: Side) -> Side:
        """Return the opposite end."""
        return self.sides[1] if side is self.sides[0] else self.sides[0]

    def handle(self, side: Side, now_ms: int) -> list[Message]:
        """Let one end handle what arrived, in one transaction; return what may leave.

        Raises:
            LINK_ERRORS: the contact is over.
            Crash: the node is.
        """
        raw, side.inbox = side.inbox, []
        clock_ms = side.node.clock_ms(now_ms)
        # As node/exchange.py does: what is pumped cannot be overtaken any more.
        room_bytes = WINDOW_BYTES_MAX if self.has_room(side, now_ms) else 0

        def work() -> list[Message]:
            answers: list[Message] = []
            for data in raw:
                for message in decode_messages(data):
                    answers += side.session.receive(message, clock_ms)
            return answers + side.session.pump(clock_ms, room_bytes)

        return side.node.commit(work)


class Wire:
    """Carries messages of all contacts.

    Attributes:
        counts: what happened to messages.
    """

    def __init__(
        self,
        rng: random.Random,
        after: Callable[[int, Callable[[], None]], None],
        arrived: Callable[[Contact, Side], None],
    ) -> None:
        """Schedule with after(delay_ms, action); call arrived when an inbox got something."""
        self._rng = rng
        self._after = after
        self._arrived = arrived
        self.counts: Counter[str] = Counter()
        self._to_damage = 0

    def damage_next(self) -> None:
        """Let one of the next messages, of whatever contact, arrive otherwise than it was sent."""
        self._to_damage += 1

    def send(
        self, contact: Contact, sender: Side, message: Message, stream: Stream, now_ms: int
    ) -> bytes:
        """Put a message on its way and return its bytes as they will arrive."""
        quality, rng = contact.quality, self._rng
        data = encode_message(message)
        self.counts["messages"] += 1
        self.counts["bytes"] += len(data)
        sender.packets += 1
        if self._to_damage and rng.random() < _DAMAGE_NOW:
            self._to_damage -= 1
            self.counts["damaged"] += 1
            # No way carries what is empty.
            data = damaged(rng, data) or b"\0"
        if contact.put(sender, data, stream):
            return data
        if quality.loss and not quality.is_stream and rng.random() < quality.loss:
            self.counts["lost"] += 1
            sender.lost += 1
            self._depart(contact, sender, len(data), now_ms)
            return data
        copies = 1 + (rng.random() < quality.twice if quality.twice else 0)
        self.counts["twice"] += copies - 1
        for _ in range(copies):
            delay_ms = self._delay(contact, sender, len(data), now_ms)
            self._after(delay_ms, lambda: self._arrive(contact, contact.other(sender), data))
        return data

    def _depart(self, contact: Contact, sender: Side, size_bytes: int, now_ms: int) -> int:
        """Put bytes on the line; return when the last one has left."""
        rate_bytes_s = contact.quality.rate_bytes_s
        if not rate_bytes_s:
            return now_ms
        spent_ms = (size_bytes + _PACKET_BYTES) * 1_000 // rate_bytes_s
        sender.free_at_ms = max(sender.free_at_ms, now_ms) + spent_ms
        return sender.free_at_ms

    def _delay(self, contact: Contact, sender: Side, size_bytes: int, now_ms: int) -> int:
        quality, departure_ms = contact.quality, self._depart(contact, sender, size_bytes, now_ms)
        while quality.is_stream and quality.loss and self._rng.random() < quality.loss:
            self.counts["sent again"] += 1
            sender.packets += 1
            sender.lost += 1
            departure_ms = self._depart(contact, sender, size_bytes, now_ms)
            departure_ms += 2 * quality.latency_ms[1]
        arrival_ms = departure_ms + self._rng.randint(*quality.latency_ms)
        if contact.quality.overtaken and self._rng.random() < contact.quality.overtaken:
            self.counts["overtaken"] += 1
            return arrival_ms + contact.quality.latency_ms[1] - now_ms
        # A stream: nothing arrives before what was sent earlier.
        sender.last_arrival_ms = max(sender.last_arrival_ms, arrival_ms)
        return sender.last_arrival_ms - now_ms

    def _arrive(self, contact: Contact, side: Side, data: bytes) -> None:
        if not contact.is_open:
            self.counts["cut"] += 1
            return
        side.inbox.append(data)
        self._arrived(contact, side)


def _side(node: SimulatedNode, peer: SimulatedNode, kinship: Kinship) -> Side:
    return Side(node, Session(node.replica, peer.subject, kinship, node.files))


def acknowledgements(messages: list[Message]) -> list[Ack]:
    """Return the acknowledgements among messages."""
    return [message for message in messages if isinstance(message, Ack)]
