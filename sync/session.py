"""One link between two nodes, without the link: messages in, messages out.

Log shipping with cursors. Each side offers its logs and starts to send at once from where it
believes the other stands; the first acknowledgement of a log says where it really stands. All
methods run inside a transaction of the replica; what they return may leave only after its commit.
State that matters is in the store: a session can be thrown away at any moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from crypto.certificates import Subject
from crypto.errors import CryptoError
from crypto.note import Cosignature, key_name
from schemas.codes import Tier
from schemas.hlc import has_passed
from schemas.limits import (
    COSIGNATURES_MAX,
    FRAME_BYTES_TARGET,
    FRAME_LEAVES_MAX,
    GAPS_MAX,
    OFFERS_MAX,
    WINDOW_BYTES,
)
from schemas.wire import (
    PROTOCOL_VERSION,
    Ack,
    Chunk,
    Cosigned,
    Frame,
    Head,
    Hello,
    Message,
    Offer,
    Priority,
    Problem,
    Want,
)
from sync.blobs import BlobExchange, BlobFiles
from sync.errors import LinkError, LogError
from sync.log import HEAD_STEP, UP, Log
from sync.ranges import Ranges
from sync.replica import Replica

# A reliable link answers within this time; a lossy one is asked again after it.
RETRY_MS: Final = 20_000
# How often to ask whether the tiers above have countersigned meanwhile.
POLL_MS: Final = 300_000

Kinship = Literal["parent", "child"]


@dataclass(slots=True)
class _Flight:
    """A frame on its way: leaves first to first + count, sent at a time."""

    first: int
    count: int
    size_bytes: int
    sent_at_ms: int


@dataclass(slots=True)
class _Outgoing:
    """What this session knows about one log it sends.

    Attributes:
        acked: the peer holds every leaf below.
        sent: the next leaf to send for the first time.
        confirmed: an acknowledgement came in this session.
        head_size: size of the newest head sent, and when.
    """

    log_id: bytes
    acked: int
    sent: int
    confirmed: bool = False
    head_size: int = 0
    head_sent_at_ms: int = 0
    flights: list[_Flight] = field(default_factory=list)


@dataclass(slots=True)
class _Incoming:
    """What this session knows about one log it receives.

    Attributes:
        is_compared: a head below what is here was compared with it.
    """

    log_id: bytes
    arrived: Ranges
    told: tuple[object, ...] = ()
    is_news: bool = False
    is_compared: bool = False


class Session:
    """The protocol of one link.

    Attributes:
        peer: who is at the other end, by its certificate.
        peer_clock_ms: the other clock minus ours when its HELLO came; None before.
        waits: something was sent that is not acknowledged yet.
    """

    def __init__(self, replica: Replica, peer: Subject, kinship: Kinship, files: BlobFiles) -> None:
        """Talk to a peer that is our parent or our child."""
        self._replica = replica
        self._store = replica.store
        self.peer = peer
        self._kinship = kinship
        self._outgoing: dict[bytes, _Outgoing] = {}
        self._incoming: dict[bytes, _Incoming] = {}
        self._blobs = BlobExchange(replica.store, files, peer.peer_id, kinship)
        self._greeted = False
        self._cosignature_news = 0
        self.peer_clock_ms: int | None = None
        self.waits = False

    def open(self, now_ms: int) -> list[Message]:
        """Return the HELLO and the first leaves."""
        return self.pump(now_ms)

    def receive(self, message: Message, now_ms: int) -> list[Message]:
        """Return the answers to a message.

        Raises:
            LinkError: the peer broke the protocol; close the link.
        """
        match message:
            case Hello():
                return self._on_hello(message, now_ms)
            case Frame():
                return self._on_frame(message, now_ms)
            case Head():
                return self._on_head(message, now_ms)
            case Ack():
                self._on_ack(message, now_ms)
                return []
            case Want():
                self._blobs.on_want(message)
                return []
            case Chunk():
                self._blobs.on_chunk(message, now_ms)
                return []
            case Problem():
                self._on_problem(message, now_ms)
                return []

    def pump(self, now_ms: int) -> list[Message]:
        """Return whatever may be sent now: new offers, leaves, heads, acknowledgements, blobs."""
        messages = self._offers(now_ms)
        for outgoing in self._outgoing.values():
            log = self._log(outgoing.log_id)
            if not log.fault:
                messages += self._frames(outgoing, log, now_ms)
        messages += self._acks()
        self.waits = any(
            outgoing.flights and not self._log(outgoing.log_id).fault
            for outgoing in self._outgoing.values()
        )
        if not self.waits:
            messages += self._blobs.pump(now_ms)
        return messages

    # Sending

    def _offers(self, now_ms: int) -> list[Message]:
        offers: list[Offer] = []
        for log in self._logs_to_send():
            if log.log_id in self._outgoing or log.size == 0 or log.fault:
                continue
            if len(offers) == OFFERS_MAX:
                break
            acked = min(self._store.cursor(log, self.peer.peer_id), log.size)
            self._outgoing[log.log_id] = _Outgoing(log_id=log.log_id, acked=acked, sent=acked)
            offers.append(
                Offer(
                    log_id=log.log_id,
                    owner=log.owner,
                    purpose=log.purpose,
                    epoch=log.epoch,
                    from_seq=acked,
                    size=log.size,
                )
            )
        if not offers and self._greeted:
            return []
        self._greeted = True
        return [Hello(version=PROTOCOL_VERSION, now_ms=now_ms, offers=tuple(offers))]

    def _logs_to_send(self) -> list[Log]:
        reads = f"down/{self.peer.peer_id.hex()}"
        mine = self._replica.subject.peer_id
        if self._kinship == "child":
            return [log for log in self._store.logs() if log.owner == mine and log.purpose == reads]
        return [log for log in self._store.logs() if log.purpose == UP]

    def _frames(self, outgoing: _Outgoing, log: Log, now_ms: int) -> list[Message]:
        messages: list[Message] = []
        in_flight = sum(flight.size_bytes for flight in outgoing.flights)
        while outgoing.sent < log.size and in_flight < WINDOW_BYTES:
            head = self._store.next_head(log, outgoing.sent)
            frame, size_bytes = self._frame(log, outgoing.sent, head[0])
            if outgoing.flights and in_flight + size_bytes > WINDOW_BYTES:
                break
            count = len(frame.leaves)
            outgoing.flights.append(_Flight(outgoing.sent, count, size_bytes, now_ms))
            outgoing.sent += count
            in_flight += size_bytes
            messages.append(frame)
            if outgoing.sent == head[0]:
                messages.append(self._head(outgoing, log, head, now_ms))
        return messages + self._again(outgoing, log, now_ms)

    def _again(self, outgoing: _Outgoing, log: Log, now_ms: int) -> list[Message]:
        """Return frames and the head again that nobody answered for too long."""
        messages: list[Message] = []
        for flight in outgoing.flights:
            if has_passed(RETRY_MS, flight.sent_at_ms, now_ms):
                flight.sent_at_ms = now_ms
                end = flight.first + flight.count
                start = flight.first
                while start < end:
                    frame, _ = self._frame(log, start, end)
                    messages.append(frame)
                    start += len(frame.leaves)
        # The peer answers a head with all cosignatures: asking again costs little while one lacks.
        if outgoing.sent == log.size:
            unanswered = outgoing.acked < log.size or self._lacks_cosignature(log)
            wait_ms = RETRY_MS if outgoing.acked < log.size else POLL_MS
            if unanswered and has_passed(wait_ms, outgoing.head_sent_at_ms, now_ms):
                whole = (log.size, log.frontier.root(), log.head_signature)
                messages.append(self._head(outgoing, log, whole, now_ms))
        return messages

    def _lacks_cosignature(self, log: Log) -> bool:
        if self._kinship == "child":
            return self._store.cosigned_size(log, self.peer.tier) < log.size
        return self._store.cosigned_size(log, Tier.CENTRE) < log.size

    def _frame(self, log: Log, start: int, end: int) -> tuple[Frame, int]:
        count = min(end - start, FRAME_LEAVES_MAX)
        size_bytes = 0
        leaves: list[bytes] = []
        for leaf in self._store.leaves(log, start, count):
            if leaves and size_bytes + len(leaf) > FRAME_BYTES_TARGET:
                break
            leaves.append(leaf)
            size_bytes += len(leaf)
        frame = Frame(
            log_id=log.log_id, priority=Priority.RECORDS, first_seq=start, leaves=tuple(leaves)
        )
        return frame, size_bytes

    def _head(
        self, outgoing: _Outgoing, log: Log, head: tuple[int, bytes, bytes], now_ms: int
    ) -> Head:
        outgoing.head_size, outgoing.head_sent_at_ms = head[0], now_ms
        return Head(log_id=log.log_id, size=head[0], root=head[1], signature=head[2])

    def _on_ack(self, ack: Ack, now_ms: int) -> None:
        outgoing = self._outgoing.get(ack.log_id)
        if outgoing is None:
            raise LinkError("ack_foreign", "an acknowledgement for a log that was not offered")
        log = self._log(ack.log_id)
        if ack.have_seq > log.size and log.source is None:
            # Of a log that we only pass on, its owner gives us again what we lost.
            self._alarm(log, "log_behind", "the peer holds more of this log than we do", now_ms)
            return
        if not outgoing.confirmed:
            # The first answer is the truth: the peer may have lost data, or have more than we knew.
            outgoing.confirmed = True
            outgoing.acked = ack.have_seq
            if ack.have_seq < outgoing.sent and not outgoing.flights:
                outgoing.sent = ack.have_seq
            elif outgoing.flights and ack.have_seq < outgoing.flights[0].first:
                outgoing.sent, outgoing.flights = ack.have_seq, []
        outgoing.acked = max(outgoing.acked, ack.have_seq)
        outgoing.sent = max(outgoing.sent, outgoing.acked)
        self._land(outgoing, ack)
        self._store.set_cursor(log, self.peer.peer_id, outgoing.acked)
        self._take_cosignatures(log, ack.cosignatures, now_ms)

    def _land(self, outgoing: _Outgoing, ack: Ack) -> None:
        """Forget frames that arrived, whole; those in a gap stay in flight."""
        highest = max([ack.have_seq, *(first + count for first, count in ack.gaps)])
        outgoing.flights = [
            flight
            for flight in outgoing.flights
            if flight.first + flight.count > ack.have_seq
            and (
                flight.first + flight.count > highest
                or any(
                    first < flight.first + flight.count and flight.first < first + count
                    for first, count in ack.gaps
                )
            )
        ]

    def _take_cosignatures(self, log: Log, cosignatures: Iterable[Cosigned], now_ms: int) -> None:
        for cosigned in cosignatures:
            signer = self._store.peer(cosigned.peer_id)
            if cosigned.peer_id == self._replica.subject.peer_id or signer is None:
                # Ours comes back, or the certificate of a tier above has not arrived yet.
                continue
            made = Cosignature(
                peer_id=cosigned.peer_id,
                name=key_name(signer.code),
                timestamp_s=cosigned.timestamp_s,
                signature=cosigned.signature,
            )
            try:
                self._replica.inbound.add_cosignature(
                    log, cosigned.size, Tier(signer.tier), signer.code, made
                )
            except CryptoError as error:
                if cosigned.peer_id != self.peer.peer_id:
                    raise LinkError("cosignature_forged", "a cosignature is wrong") from error
                # It stores another log under this name: one of us was restored or cloned.
                self._alarm(log, "log_forked", "the peer cosigned another version", now_ms)
                return

    # Receiving

    def _on_hello(self, hello: Hello, now_ms: int) -> list[Message]:
        if hello.version != PROTOCOL_VERSION:
            raise LinkError("version_unknown", f"the peer speaks version {hello.version}")
        self.peer_clock_ms = hello.now_ms - now_ms
        answers: list[Message] = []
        for offer in hello.offers:
            known = self._store.find_log(offer.log_id)
            is_ours = known is not None and known.source == self.peer.peer_id
            log = self._replica.inbound.accept_offer(offer, self.peer)
            if is_ours and log.log_id in self._incoming:
                # Nobody of ours offers a log twice; looking through what waits of it takes long.
                continue
            arrived = Ranges(self._store.pending_numbers(log))
            arrived.add(0, log.size)
            incoming = self._incoming[log.log_id] = _Incoming(log.log_id, arrived)
            ack = self._ack(incoming, log)
            if ack.have_seq != offer.from_seq or ack.gaps:
                answers.append(ack)
        return answers

    def _on_frame(self, frame: Frame, now_ms: int) -> list[Message]:
        incoming, log = self._received(frame.log_id)
        if log.fault:
            return []
        self._replica.inbound.keep(log, frame.first_seq, frame.leaves)
        end = frame.first_seq + len(frame.leaves)
        if incoming.arrived.covers(frame.first_seq, end):
            # Sent again: what we said of it was lost, so it must be said again.
            incoming.told = ()
        incoming.arrived.add(frame.first_seq, end)
        incoming.is_news = True
        return self._settle(incoming, log, now_ms)

    def _on_head(self, head: Head, now_ms: int) -> list[Message]:
        incoming, log = self._received(head.log_id)
        if log.fault:
            return [Problem(code=log.fault, detail="this log is stopped", log_id=log.log_id)]
        if head.size < log.size and head.size % HEAD_STEP:
            # Its root takes up to 255 leaves to compute, which is done once on a link.
            if incoming.is_compared:
                return [self._ack(incoming, log)]
            incoming.is_compared = True
        try:
            self._replica.inbound.await_head(log, head)
        except LogError as error:
            return [self._fault(log, head, error, now_ms)]
        return self._settle(incoming, log, now_ms) or [self._ack(incoming, log)]

    def _settle(self, incoming: _Incoming, log: Log, now_ms: int) -> list[Message]:
        """Take leaves into use if a head covers them; return what is wrong with them, if it is."""
        size, root, signature = log.awaited or (0, b"", b"")
        try:
            self._replica.inbound.settle(log, incoming.arrived.contiguous_end(0), now_ms)
        except LogError as error:
            if error.code == "leaves_damaged":
                # Without a log: the peer ends this link and begins another from our true cursor.
                incoming.arrived, incoming.is_news = Ranges(), False
                incoming.arrived.add(0, log.size)
                return [Problem(code=error.code, detail=str(error))]
            head = Head(log_id=log.log_id, size=size, root=root, signature=signature)
            return [self._fault(log, head, error, now_ms)]
        return []

    def _fault(self, log: Log, head: Head, error: LogError, now_ms: int) -> Problem:
        """Stop a log that tells two stories, and keep both."""
        log.fault, log.dirty = error.code, True
        evidence = f"{log.origin} {head.size} {head.root.hex()} {head.signature.hex()}"
        self._store.raise_alarm(
            now_ms=now_ms, code=error.code, log_id=log.log_id, detail=str(error), evidence=evidence
        )
        return Problem(code=error.code, detail=str(error), log_id=log.log_id)

    def _received(self, log_id: bytes) -> tuple[_Incoming, Log]:
        incoming, log = self._incoming.get(log_id), self._store.find_log(log_id)
        if incoming is None or log is None or log.source != self.peer.peer_id:
            raise LinkError("frame_foreign", "leaves of a log that was not offered")
        return incoming, log

    def _ack(self, incoming: _Incoming, log: Log) -> Ack:
        cosignatures = tuple(
            Cosigned(peer_id=c.peer_id, size=size, timestamp_s=c.timestamp_s, signature=c.signature)
            for size, _, c in self._store.cosignatures(log)[-COSIGNATURES_MAX:]
        )
        ack = Ack(
            log_id=log.log_id,
            have_seq=incoming.arrived.contiguous_end(0),
            gaps=tuple(incoming.arrived.gaps(0)[:GAPS_MAX]),
            cosignatures=cosignatures,
        )
        incoming.told, incoming.is_news = _content(ack), False
        return ack

    def _acks(self) -> list[Message]:
        """Return acknowledgements that would say something new."""
        cosigned = self._store.cosignature_news != self._cosignature_news
        self._cosignature_news = self._store.cosignature_news
        messages: list[Message] = []
        for incoming in self._incoming.values():
            if cosigned or incoming.is_news:
                told = incoming.told
                ack = self._ack(incoming, self._log(incoming.log_id))
                if incoming.told != told:
                    messages.append(ack)
        return messages

    def _on_problem(self, problem: Problem, now_ms: int) -> None:
        log = self._store.find_log(problem.log_id) if problem.log_id else None
        if log is None or log.log_id not in self._outgoing:
            raise LinkError(problem.code, f"the peer reports: {problem.detail}")
        self._alarm(log, problem.code, f"the peer reports: {problem.detail}", now_ms)

    def _alarm(self, log: Log, code: str, detail: str, now_ms: int) -> None:
        if log.fault:
            # Stopped already: each further sign of it says nothing new.
            return
        code = code or "problem"
        self._store.raise_alarm(
            now_ms=now_ms, code=code, log_id=log.log_id, detail=detail, evidence=""
        )
        log.fault, log.dirty = code, True

    def _log(self, log_id: bytes) -> Log:
        log = self._store.find_log(log_id)
        if log is None:
            raise LogError("log_unknown", "the log is not in the store")
        return log


def _content(ack: Ack) -> tuple[object, ...]:
    return ack.have_seq, ack.gaps, ack.cosignatures
