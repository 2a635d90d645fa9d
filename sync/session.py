"""One link between two nodes, without the link: messages in, messages out.

Log shipping with cursors. Each side offers its logs and starts to send at once from where it
believes the other stands; the first acknowledgement of a log says where it really stands. All
methods run inside a transaction of the replica; what they return may leave only after its commit.
State that matters is in the store: a session can be thrown away at any moment.
"""

from collections.abc import Callable
from typing import Final

import cbor2

from crypto.certificates import Subject, chain_from_der, subject_of
from schemas.hlc import has_passed
from schemas.limits import OFFERS_MAX, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN, WINDOW_BYTES_PACED
from schemas.wire import (
    DICTIONARY_NAME_BYTES,
    PROTOCOL_VERSION,
    Ack,
    Chunk,
    Frame,
    Head,
    Hello,
    Message,
    Priority,
    Problem,
    Revoked,
    Want,
)
from schemas.wire_audit import Reconcile, Repair
from sync.audit import QUIET_MS, Audit
from sync.blobs import BlobExchange, BlobFiles
from sync.errors import LinkError, LogError
from sync.framing import dictionaries
from sync.kinship import Kinship
from sync.log import UP
from sync.outgoing import POLL_MS, RETRY_MS
from sync.pace import Pace
from sync.receiver import Receiver
from sync.replica import Replica
from sync.sender import Sender

__all__ = ["POLL_MS", "RETRY_MS", "Kinship", "Session"]


class Session:
    """The protocol of one link.

    Attributes:
        peer: who is at the other end, by its certificate.
        peer_clock_ms: the other clock minus ours when its HELLO came; None before.
        waits: something was sent that is not acknowledged yet.
        has_caught_up: all that the peer first offered has come and is in use.
    """

    def __init__(
        self,
        replica: Replica,
        peer: Subject,
        kinship: Kinship,
        files: BlobFiles,
        is_file_time: Callable[[int], bool] = lambda _now_ms: True,
    ) -> None:
        """Talk to a peer that is our parent or our child.

        Args:
            replica: of this node.
            peer: at the other end.
            kinship: what it is to us.
            files: attachments.
            is_file_time: told the wall clock; whether files travel then.
        """
        self.peer = peer
        self._sender = Sender(replica, peer, kinship, Pace(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX))
        self._receiver = Receiver(replica, peer)
        self._blobs = BlobExchange(replica.store, files, peer.peer_id, kinship, is_file_time)
        self._audit = Audit(replica, peer, kinship)
        self._heard_at_ms: int | None = None
        self._kinship = kinship
        self._greeted = False
        self._replica = replica
        self._epoch: int | None = None
        self._signers: list[Subject] = []
        # Why the peer will end the link, and why we do if it has not by the next step.
        self._told: Problem | None = None
        self._ended_by: Problem | None = None
        purpose = UP if kinship == "parent" else f"down/{peer.peer_id.hex()}"
        self._concerns = (purpose, peer.peer_id)
        # Counts of news when it was last looked at them; None: look in any case.
        self._seen: tuple[int, int] | None = None
        self.peer_clock_ms: int | None = None
        self.waits = False
        self.has_caught_up = False

    @property
    def rate_bytes_s(self) -> float | None:
        """What the line was seen to carry; None before."""
        return self._sender.pace.rate_bytes_s

    def leave_pacing(self) -> None:
        """Hold back less: what carries the messages holds back what the line does not take."""
        self._sender.pace.widen(WINDOW_BYTES_PACED)

    def has_news(self) -> bool:
        """Tell whether pump may have something to say that it had not when it was last called.

        Reads numbers in memory, outside of a transaction and in any thread. What is due because
        time has passed does not count: pump is to be called every few seconds.
        """
        return self._counts() != self._seen

    def _counts(self) -> tuple[int, int]:
        news, (purpose, peer_id) = self._replica.store.news, self._concerns
        # After each commit all links ask.
        return news[purpose], news[peer_id]

    def log_received(self, named: bytes) -> bytes:
        """Return the id of a log that the peer sends, by its id or reference.

        Raises:
            LinkError: it was not offered.
        """
        return self._receiver.log_id(named)

    def receive(self, message: Message, now_ms: int) -> list[Message]:
        """Return the answers to a message.

        Raises:
            LinkError: the peer broke the protocol; close the link.
        """
        if self._why_over() is not None:
            return []
        try:
            answers = self._answers(message, now_ms)
        except LogError as error:
            if error.code != "leaf_missing":
                raise
            # The disk lost a leaf that this builds on: the peer says it again when it is back.
            return []
        for answer in answers:
            if isinstance(answer, Problem) and not answer.log:
                self._told = answer
        return answers

    def _answers(self, message: Message, now_ms: int) -> list[Message]:
        if isinstance(message, Reconcile | Repair):
            return self._audit.on_message(message, now_ms)
        self._heard_at_ms = now_ms
        match message:
            case Hello():
                return self._on_hello(message, now_ms)
            case Frame():
                return self._receiver.on_frame(message, now_ms)
            case Head():
                return self._receiver.on_head(message, now_ms)
            case Ack():
                self._sender.on_ack(message, now_ms)
            case Want():
                self._blobs.on_want(message)
            case Chunk():
                self._blobs.on_chunk(message, now_ms)
            case Problem():
                self._sender.on_problem(message, now_ms)
                self._receiver.claims.look_again(now_ms)
            case Revoked():
                self._replica.intake.revocations.hear(message.statement, now_ms)
        return []

    def pump(
        self,
        now_ms: int,
        room_bytes: int = WINDOW_BYTES_MAX,
        *,
        down_to: Priority = Priority.BULK,
    ) -> list[Message]:
        """Return what may be sent now, the urgent first.

        Acknowledgements and offers go at once; then leaves and heads; then files, while no leaf
        waits.

        Args:
            now_ms: wall clock.
            room_bytes: for about so many bytes, so that what becomes urgent meanwhile can overtake.
            down_to: of no lower priority: of what is lower, enough waits to leave.
        """
        self._ended_by = self._why_over() or self._told
        if self._told is not None:
            return []
        self._ended_by = self._ended_by or self._sender.doubt or self._why_anew()
        if self._ended_by is not None:
            return [self._ended_by]
        messages = self._receiver.acks()
        counts = self._counts()
        # With many links, looking through all logs for new ones each time is most of the work.
        offers = self._sender.offers(now_ms) if counts != self._seen else ()
        # What one greeting does not hold follows with the next.
        self._seen = counts if len(offers) < OFFERS_MAX else None
        if offers or not self._greeted:
            self._greeted = True
            names = tuple(digest[:DICTIONARY_NAME_BYTES] for digest in dictionaries())
            hello = Hello(
                version=PROTOCOL_VERSION,
                now_ms=now_ms,
                first=self._sender.offered - len(offers),
                offers=offers,
                dictionaries=names,
            )
            messages.insert(0, hello)
        at = int(bool(messages) and isinstance(messages[0], Hello))
        messages[at:at] = self._sender.revocations()
        leaves = self._leaves(now_ms, room_bytes, down_to)
        messages += leaves
        self.waits = self._sender.waits
        if self.peer_clock_ms is not None and not self.has_caught_up:
            self.has_caught_up = self._receiver.holds_what_was_offered()
        room_bytes -= sum(len(frame.data) for frame in leaves if isinstance(frame, Frame))
        if room_bytes > 0 and down_to is Priority.BULK and not self._sender.has_unsent():
            messages += self._blobs.pump(now_ms, room_bytes)
            messages += self._audit.pump(
                now_ms, room_bytes, is_quiet=self._is_quiet(messages, now_ms)
            )
        return messages

    def _is_quiet(self, messages: list[Message], now_ms: int) -> bool:
        """Tell whether nothing went over the link for a while, and nothing waits."""
        if messages or self.waits or self._heard_at_ms is None:
            self._heard_at_ms = now_ms if messages else self._heard_at_ms
            return False
        return has_passed(QUIET_MS, self._heard_at_ms, now_ms)

    def _on_hello(self, hello: Hello, now_ms: int) -> list[Message]:
        if hello.version != PROTOCOL_VERSION:
            raise LinkError("version_unknown", f"the peer speaks version {hello.version}")
        self.peer_clock_ms = hello.now_ms - now_ms
        self._sender.coding.learn(hello.dictionaries)
        answers = self._receiver.on_hello(hello, now_ms)
        self._sender.learn_offers(self._receiver.offered)
        self._seen = None
        return answers

    def _leaves(self, now_ms: int, room_bytes: int, down_to: Priority) -> list[Message]:
        try:
            return self._sender.pump(now_ms, room_bytes, down_to)
        except LogError as error:
            if error.code != "leaf_missing":
                raise
            # From now on the sender leaves that log out.
            return []

    def _why_anew(self) -> Problem | None:
        """Return why this link must begin anew: leaves came back."""
        if not self._audit.has_mended:
            return None
        # What was sent or refused while they lacked is sent anew.
        return Problem(code="leaves_mended", detail="this link knows of logs what is not so")

    def _why_over(self) -> Problem | None:
        """Return why this link must end: the node went on in a new epoch, or a key was revoked.

        What was handled before stays, so the peer is told first and the link ends after that.

        Raises:
            LinkError: the peer was told why this one ends.
        """
        if self._ended_by is not None:
            raise LinkError(self._ended_by.code, self._ended_by.detail)
        if self._epoch is None:
            self._epoch = self._replica.epoch
            self._signers = _signers(self._replica, self.peer)
        if self._replica.epoch != self._epoch:
            return Problem(code="epoch_opened", detail="this node goes on in a new epoch")
        revocations = self._replica.intake.revocations
        former = revocations.of(self.peer.succeeds, self.peer.code)
        has_taken_over = any(known.signer == self.peer.peer_id for known in former)
        for known in () if has_taken_over else former:
            # Where a key was taken from an office, its spare may have been taken along.
            if known.is_from_above:
                return Problem(
                    code="key_revoked", detail=f"{known.sentence()}. {_WAYS_OUT['key_revoked']}"
                )
        for number, signer in enumerate(self._signers):
            for known in revocations.of(signer.peer_id, signer.code):
                code = "key_revoked" if self._kinship == "child" else "parent_revoked"
                code = "issuer_revoked" if number else code
                return Problem(code=code, detail=f"{known.sentence()}. {_WAYS_OUT[code]}")
        return None


_WAYS_OUT: Final = {
    "key_revoked": "Nothing at that node is lost; it is linked again once enrolled with a new key.",
    "issuer_revoked": "It signed this certificate: have request.pem signed by its successor.",
    "parent_revoked": "Ask the tier above for the address of its new node.",
}


def _signers(replica: Replica, peer: Subject) -> list[Subject]:
    """Return the peer and those who vouch for it, the root left out."""
    known = replica.store.peer(peer.peer_id)
    above = list(cbor2.loads(known.chain))[1:] if known is not None else []
    return [peer, *map(subject_of, chain_from_der(above))]
