"""The receiving half of a session: logs that the peer sends, and what we say of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from crypto.certificates import Subject
from schemas.limits import COSIGNATURES_MAX, EARLY_FRAMES_MAX
from schemas.wire import (
    DICTIONARY_NAME_BYTES,
    PACKED,
    PLAIN,
    WITH_DICTIONARY,
    Ack,
    Cosigned,
    Frame,
    Head,
    Hello,
    Message,
    Offer,
    Problem,
)
from sync.apart import keep_apart
from sync.claims import Claims
from sync.epochs import open_epoch, pass_up, take_back
from sync.errors import FrameError, LinkError, LogError
from sync.framing import dictionaries, past_needed, read_after, restore
from sync.incoming import Incoming, came_of
from sync.log import HEAD_STEP, UP, Log
from sync.past import PAST_LEAVES_MAX
from sync.replica import Replica
from sync.scope import is_within
from sync.scrub import has_damage
from sync.stripping import Whole

_REFERENCES_MAX: Final = 1 << 16


class Receiver:
    """All logs that come from one peer."""

    def __init__(self, replica: Replica, peer: Subject, *, is_fresh: bool = True) -> None:
        """Receive from a peer, who speaks now, or (not fresh) spoke some time ago."""
        self._is_fresh = is_fresh
        self._replica = replica
        self._store = replica.store
        self._peer = peer
        # By the number of the offer, which is what the peer calls a log.
        self._incoming: dict[int, Incoming] = {}
        self._by_id: dict[bytes, Incoming] = {}
        # The peer's dictionaries in its order, None where we do not know one.
        self._dictionaries: list[bytes | None] = []
        self._cosignature_news = 0
        self._news = replica.store.news[peer.peer_id]
        self.claims = Claims(replica, peer)
        # Offers of logs that are stopped here: what comes of them is left alone.
        self._ignored: dict[int, str] = {}
        # Leaves of each log that the peer offered; None before its first word.
        self.offered: dict[bytes, int] | None = None

    # Offers

    def on_hello(self, hello: Hello, now_ms: int) -> list[Message]:
        """Accept offers; answer those that start elsewhere than where we stand.

        Raises:
            LinkError: the peer may not send one of the logs.
        """
        known = {digest[:DICTIONARY_NAME_BYTES]: data for digest, data in dictionaries().items()}
        self._dictionaries = [known.get(name) for name in hello.dictionaries]
        answers: list[Message] = []
        if hello.first == 0 and self.offered is None:
            self.offered = {}
        offers = list(enumerate(hello.offers, hello.first))
        # All before any is opened, because a new epoch closes the logs of earlier ones.
        logs = [self._admit(number, offer, now_ms) for number, offer in offers]
        for (number, offer), log in zip(offers, logs, strict=True):
            if log is not None:
                answers += self._on_offer(number, offer, log, now_ms)
        return answers

    def _is_set_aside(self, named: bytes) -> bool:
        """Tell whether the peer offered a log of which no leaves are taken."""
        number = int.from_bytes(named, "big") if len(named) != 16 else -1
        return number in self.claims or number in self._ignored

    def _is_own(self, offer: Offer) -> bool:
        return (offer.owner or self._peer.peer_id) == self._replica.subject.peer_id

    def _admit(self, number: int, offer: Offer, now_ms: int) -> Log | None:
        """Return the log that is offered; None if it must first be proved to be ours."""
        if self._is_own(offer):
            self._replica.inbound.check_returner(offer.purpose, self._peer)
            if offer.epoch >= self._replica.epoch:
                # Its head must show that we signed it, before we believe that we are a copy.
                self.claims.add(number, offer.epoch, self._purpose(offer))
                return None
            return self._accept(offer, now_ms)
        log = self._accept(offer, now_ms)
        if log.fault and log.source != self._peer.peer_id:
            # The tier above gives back what came through us, and ours contradicts something.
            self._ignored[number] = log.fault
            return None
        return log

    def _on_offer(self, number: int, offer: Offer, log: Log, now_ms: int) -> list[Message]:
        is_own = self._is_own(offer)
        if self.offered is not None:
            self.offered[log.log_id] = offer.size
        if len(self._incoming) >= _REFERENCES_MAX:
            raise LinkError("offers_too_many", "too many logs were offered in one session")
        incoming = self._incoming[number] = self._by_id.get(log.log_id) or self._greet(log, offer)
        if incoming.reference:
            return []
        # Nobody of ours offers a log twice; looking through what waits of it takes long.
        incoming.reference = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
        incoming.offered = offer.size
        incoming.known = (offer.cosigned, offer.cosigned_above)
        ack = self._ack(incoming, log)
        if is_own:
            incoming.returns = offer.size
            self._take_back(incoming, log, now_ms)
        is_news = ack.have_seq != offer.from_seq or ack.gaps or ack.cosignatures
        return [ack] if is_news or is_own else []

    def _greet(self, log: Log, offer: Offer) -> Incoming:
        if not offer.owner and self._is_fresh:
            self._forget_lost(log, offer.size)
        incoming = Incoming.of(self._store, log)
        is_behind = self._is_fresh and log.source is not None and offer.cosigned > log.size
        if is_behind and incoming.arrived.end >= offer.size:
            # Our disk was put back: the last head came before, and comes again behind leaves alone.
            self._store.drop_pending(log)
            incoming = Incoming.of(self._store, log)
        self._by_id[log.log_id] = incoming
        return incoming

    def _forget_lost(self, log: Log, size: int) -> None:
        """Keep leaves apart that the owner itself does not have any more, and no head covers."""
        waiting = self._store.pending_numbers(log)
        if log.size <= size and waiting and waiting[-1] >= size and not log.fault:
            keep_apart(self._store, log)

    def _take_back(self, incoming: Incoming, log: Log, now_ms: int) -> None:
        """Use an own log again once all is back that the peer offered of it."""
        if log.source is None and log.fault and log.size >= incoming.returns:
            take_back(self._replica, log, now_ms)

    def _accept(self, offer: Offer, now_ms: int) -> Log:
        owner, purpose = offer.owner or self._peer.peer_id, self._purpose(offer)
        return self._replica.inbound.accept_offer(owner, purpose, offer.epoch, self._peer, now_ms)

    def _purpose(self, offer: Offer) -> str:
        """Return the purpose in full: a log downwards has the other side as its reader."""
        if offer.purpose == UP:
            return UP
        reader = self._peer.peer_id if self._is_own(offer) else self._replica.subject.peer_id
        return f"{offer.purpose}/{reader.hex()}"

    def holds_what_was_offered(self) -> bool:
        """Tell whether all leaves that were offered are in use, but for those of stopped logs."""
        for incoming in self._incoming.values():
            log = self._log(incoming.log_id)
            if log.size < incoming.offered and not log.fault:
                return False
        return True

    # Frames

    def on_frame(self, frame: Frame, now_ms: int) -> list[Message]:
        """Keep what came; take it into use if a head covers it.

        Raises:
            LinkError: it is nothing that this peer may send.
        """
        if self._is_set_aside(frame.log):
            return []
        incoming, log = self._find(frame.log)
        if incoming.is_damaged or (log.fault and log.source is not None):
            return []
        answers = self._on_frame(incoming, log, frame, now_ms)
        incoming.seen = (log, log.arrivals)
        return answers

    def _on_frame(self, incoming: Incoming, log: Log, frame: Frame, now_ms: int) -> list[Message]:
        if frame.coding == PLAIN:
            self._keep(incoming, log, frame.first_seq, frame.leaves)
            return self._settle(incoming, log, now_ms)
        dictionary = self._dictionary(frame.coding)
        data: bytes | None = frame.data
        if frame.total != len(frame.data):
            if self._came_before(incoming, frame.first_seq, 1):
                return []
            self._replica.inbound.check_room(log, frame.first_seq + 1)
            data = self._store.early.put_part(
                log, frame.first_seq, frame.offset, frame.total, dictionary, frame.data
            )
        if data is None:
            return []
        try:
            self._take(incoming, log, frame.first_seq, data, dictionary)
        except (FrameError, LinkError) as error:
            first = max(0, log.size - PAST_LEAVES_MAX)
            if isinstance(error, FrameError) and has_damage(self._store, log, now_ms, first):
                # As if the line had lost it: what it was packed with comes back first.
                return []
            if isinstance(error, FrameError) and incoming.read.contiguous_end(0) > log.size:
                # What it builds on, which no head covers, may be damaged, and is not sent again.
                return [self._drop(incoming, log, str(error))]
            if frame.total != len(frame.data):
                # They are forgotten, else a damaged one would keep the true one out.
                return [Problem(code="leaves_damaged", detail=str(error))]
            raise LinkError(error.code, str(error)) from error
        return self._settle(incoming, log, now_ms)

    def _dictionary(self, coding: int) -> bytes:
        if coding == PACKED:
            return b""
        number = coding - WITH_DICTIONARY
        found = self._dictionaries[number] if number < len(self._dictionaries) else None
        if found is None:
            raise LinkError("dictionary_unknown", "a frame under a dictionary that is not here")
        return found

    def _take(
        self, incoming: Incoming, log: Log, first_seq: int, data: bytes, dictionary: bytes
    ) -> None:
        """Read a frame, or keep it until what it builds on has come.

        Raises:
            FrameError: it is no frame.
        """
        _, count = past_needed(data)
        try:
            entries = read_after(incoming.history.past, first_seq, data, dictionary)
            count = len(entries)
            if self._came_before(incoming, first_seq, count):
                return
            wholes = restore(first_seq, entries, incoming.history)
        except FrameError as error:
            if error.code != "frame_early" or first_seq <= incoming.read.contiguous_end(0):
                raise
            self._replica.inbound.check_room(log, first_seq + count)
            if len(self._store.early.ranges(log)) >= EARLY_FRAMES_MAX:
                # As if the line had lost it: the sender repeats it.
                return
            self._store.early.put(log, first_seq, count, dictionary, data)
            # Anew, because it may have taken the place of a longer one.
            incoming.arrived = came_of(self._store, log, incoming.read)
            incoming.is_news = True
            return
        self._keep(incoming, log, first_seq, [whole.data for whole in wholes])
        self._remember(incoming, first_seq, wholes)

    def _came_before(self, incoming: Incoming, first_seq: int, count: int) -> bool:
        """Tell whether leaves are here: what we said of them was lost, so it must be said again."""
        is_here = count > 0 and incoming.arrived.covers(first_seq, first_seq + count)
        if is_here:
            incoming.told, incoming.is_news = (), True
        return is_here

    def _keep(self, incoming: Incoming, log: Log, first_seq: int, leaves: Sequence[bytes]) -> None:
        self._replica.inbound.keep(log, first_seq, leaves)
        end = first_seq + len(leaves)
        if incoming.arrived.covers(first_seq, end):
            incoming.told = ()
        incoming.history.learn(leaves)
        incoming.arrived.add(first_seq, end)
        incoming.read.add(first_seq, end)
        incoming.is_news = True

    def _read_early(self, incoming: Incoming, log: Log) -> list[Message]:
        """Read frames that waited for what has come now."""
        while frame := self._store.early.next_frame(log):
            first, data, digest = frame
            if first > incoming.read.contiguous_end(0):
                break
            try:
                dictionary = dictionaries().get(digest, b"")
                entries = read_after(incoming.history.past, first, data, dictionary)
                wholes = restore(first, entries, incoming.history)
            except FrameError:
                # All that it could build on is here.
                return [self._drop(incoming, log, "a frame cannot be read")]
            self._store.early.drop(log, first)
            self._keep(incoming, log, first, [whole.data for whole in wholes])
            self._remember(incoming, first, wholes)
        return []

    def _remember(self, incoming: Incoming, first_seq: int, wholes: Sequence[Whole]) -> None:
        """Spare who comes to these leaves later to read them anew."""
        incoming.history.past.add(first_seq, wholes)
        self._replica.intake.readings.keep(wholes)

    def _drop(self, incoming: Incoming, log: Log, detail: str) -> Problem:
        """Forget what no head covers; the peer ends the link and sends it in another."""
        self._store.drop_pending(log)
        incoming.forget(self._store, log)
        incoming.is_damaged = True
        return Problem(code="leaves_damaged", detail=detail)

    # Heads

    def on_head(self, head: Head, now_ms: int) -> list[Message]:
        """Check a tree head, take the leaves under it into use, and acknowledge.

        Raises:
            LinkError: its signature or its owner's certificate is not acceptable.
        """
        if self._is_set_aside(head.log):
            return self._on_head_aside(head, now_ms)
        incoming, log = self._find(head.log)
        if incoming.is_damaged:
            return []
        if log.fault and log.source is not None:
            return [self._stopped(incoming, log.fault, "this log is stopped")]
        if head.size <= log.size:
            # The peer asks again: what we told of cosignatures may have been lost.
            incoming.cosigned.clear()
            incoming.known = (0, 0)
        if head.size < log.size and head.size % HEAD_STEP:
            # Its root takes up to 255 leaves to compute, which is done once on a link.
            if incoming.is_compared:
                return [self._ack(incoming, log)]
            incoming.is_compared = True
        if not head.root:
            root = self._replica.inbound.root_of(log, head.size, incoming.read.contiguous_end(0))
            if root is None:
                # Nothing tells yet whether it is genuine; a sender repeats it with its root.
                return [self._ack(incoming, log)]
            head = replace(head, root=root)
        try:
            self._replica.inbound.await_head(log, head)
        except LogError as error:
            return [self._fault(incoming, log, head, error, now_ms)]
        problems = self._settle(incoming, log, now_ms)
        incoming.seen = (log, log.arrivals)
        return problems or [self._ack(incoming, log)]

    def _on_head_aside(self, head: Head, now_ms: int) -> list[Message]:
        fault = self._ignored.get(int.from_bytes(head.log, "big"))
        if fault is None:
            return self.claims.on_head(head, now_ms)
        return [Problem(code=fault, detail="this log is stopped", log=head.log)]

    def _settle(self, incoming: Incoming, log: Log, now_ms: int) -> list[Message]:
        """Take leaves into use if a head covers them; return what is wrong with them, if it is."""
        if problems := self._read_early(incoming, log):
            return problems
        size, root, signature = log.awaited or (0, b"", b"")
        start = log.size
        try:
            if self._replica.inbound.settle(log, incoming.read.contiguous_end(0), now_ms):
                if log.source is None:
                    self._store.seek_blobs(self._peer.peer_id)
                    if log.purpose != UP:
                        pass_up(self._replica, log, start)
                self._pass_back(log)
                self._take_back(incoming, log, now_ms)
        except LogError as error:
            if error.code == "leaves_damaged":
                return [self._drop(incoming, log, str(error))]
            head = Head(log=incoming.reference, size=size, root=root, signature=signature)
            return [self._fault(incoming, log, head, error, now_ms)]
        return []

    def _pass_back(self, log: Log) -> None:
        """Let a log of a place below that came from above go on to its owner, on an open link."""
        is_above = is_within(self._replica.subject.code, self._peer.code)
        if log.source is not None and log.purpose == UP and is_above:
            self._store.given_back[log.log_id] = log.size
            self._store.news[log.owner] += 1

    def _fault(
        self, incoming: Incoming, log: Log, head: Head, error: LogError, now_ms: int
    ) -> Message:
        """Stop a log that tells two stories, and keep both; not if ours is the damaged one.

        Raises:
            LogError: the disk lost a leaf that would tell.
        """
        if error.code == "leaf_missing":
            raise error
        if has_damage(self._store, log, now_ms):
            self._store.drop_pending(log)
            incoming.forget(self._store, log)
            return self._ack(incoming, log)
        log.fault, log.dirty = error.code, True
        evidence = f"{log.origin} {head.size} {head.root.hex()} {head.signature.hex()}"
        self._store.raise_alarm(
            now_ms=now_ms, code=error.code, log_id=log.log_id, detail=str(error), evidence=evidence
        )
        # On this link, too, its owner is given back what we hold of it.
        self._store.news[log.owner] += 1
        if log.source is None:
            # A backup was put in place that had been written in since it was taken.
            open_epoch(
                self._replica,
                self._replica.epoch + 1,
                now_ms,
                error.code,
                f"{self._peer.name} holds other leaves of epoch {log.epoch}",
            )
        return self._stopped(incoming, error.code, str(error))

    def _stopped(self, incoming: Incoming, code: str, detail: str) -> Problem:
        return Problem(code=code, detail=detail, log=incoming.reference)

    # Acknowledgements

    def acks(self) -> list[Message]:
        """Return acknowledgements that would say something new."""
        cosigned = self._store.cosignature_news != self._cosignature_news
        self._cosignature_news = self._store.cosignature_news
        news = self._store.news[self._peer.peer_id]
        if news != self._news:
            self._news = news
            for incoming in self._by_id.values():
                self._look_again(incoming, self._log(incoming.log_id))
        messages: list[Message] = []
        for incoming in self._by_id.values():
            if cosigned or incoming.is_news:
                told = incoming.told
                ack = self._ack(incoming, self._log(incoming.log_id))
                if incoming.told != told or ack.cosignatures:
                    messages.append(ack)
        return messages

    def _ack(self, incoming: Incoming, log: Log) -> Ack:
        cosignatures = []
        for size, _, made in self._store.cosignatures(log)[-COSIGNATURES_MAX:]:
            own = made.peer_id == self._replica.subject.peer_id
            if incoming.cosigned.get(made.peer_id, incoming.known[not own]) < size:
                incoming.cosigned[made.peer_id] = size
                cosignatures.append(
                    Cosigned(
                        peer_id=b"" if own else made.peer_id,
                        size=size,
                        timestamp_s=made.timestamp_s,
                        signature=made.signature,
                    )
                )
        # It may have grown by another link.
        incoming.arrived.add(0, log.size)
        ack = Ack(
            log=incoming.reference,
            have_seq=incoming.arrived.contiguous_end(0),
            gaps=incoming.gaps(),
            cosignatures=tuple(cosignatures),
        )
        incoming.told, incoming.is_news = (ack.have_seq, ack.gaps), False
        return ack

    def log_id(self, named: bytes) -> bytes:
        """Return the id of a log by its id or reference.

        Raises:
            LinkError: it was not offered.
        """
        number = int.from_bytes(named, "big")
        if len(named) != 16 and number in self.claims:
            return self.claims.named(number)
        return self._find(named)[1].log_id

    def _find(self, named: bytes) -> tuple[Incoming, Log]:
        incoming = self._by_id.get(named)
        if len(named) != 16:
            incoming = self._incoming.get(int.from_bytes(named, "big"))
        log = self._store.find_log(incoming.log_id) if incoming else None
        is_here = log is not None and self._replica.inbound.comes_from(log, self._peer)
        if incoming is None or log is None or not is_here:
            raise LinkError("frame_foreign", "leaves of a log that was not offered")
        self._look_again(incoming, log)
        return incoming, log

    def _look_again(self, incoming: Incoming, log: Log) -> None:
        """Take notice of what came of a log by a stick, or another link."""
        seen, arrivals = incoming.seen
        if seen is not log or arrivals != log.arrivals:
            fresh = Incoming.of(self._store, log)
            incoming.arrived, incoming.read, incoming.history = (
                fresh.arrived,
                fresh.read,
                fresh.history,
            )
            incoming.seen, incoming.is_news = fresh.seen, True

    def _log(self, named: bytes) -> Log:
        log = self._store.find_log(named)
        if log is None:
            raise LogError("log_unknown", "the log is not in the store")
        return log
