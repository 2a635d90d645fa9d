"""The sending half of a session: logs on their way to the peer, and what it says of them."""

from collections.abc import Iterable, Mapping, Sequence

from crypto.certificates import Subject
from crypto.errors import CryptoError
from crypto.note import Cosignature, key_name
from schemas.codes import Tier
from schemas.hlc import has_passed
from schemas.limits import FRAME_BYTES_MAX, FRAME_LEAVES_MAX, OFFERS_MAX
from schemas.wire import (
    Ack,
    Cosigned,
    Frame,
    Head,
    Message,
    Offer,
    Priority,
    Problem,
    Revoked,
    encode_message,
)
from sync.coding import Coding
from sync.errors import LinkError, LogError
from sync.framing import pack
from sync.history import LogHistory
from sync.inbound import DOUBTS_MAX
from sync.kinship import Kinship, is_theirs, logs_for
from sync.log import Log
from sync.outgoing import LEAVES_FIRST, LEAVES_MANY, RETRY_MS, Flight, Outgoing, Packed
from sync.pace import Pace
from sync.past import PAST_LEAVES_MAX
from sync.replica import Replica
from sync.scrub import has_damage
from sync.stopping import go_on, stop
from sync.stripping import Whole


class Sender:
    """All logs that go to one peer.

    Attributes:
        pace: what the line carries.
        coding: how frames are packed.
        doubt: what the peer said that cannot be, for which the link must end; None: nothing.
    """

    def __init__(
        self,
        replica: Replica,
        peer: Subject,
        kinship: Kinship,
        pace: Pace,
        *,
        is_fresh: bool = True,
    ) -> None:
        """Send to our parent or our child, who answers now or, not fresh, did some time ago."""
        self._is_fresh = is_fresh
        self._replica = replica
        self._store = replica.store
        self._peer = peer
        self._kinship = kinship
        self._handed_out = self._store.handed_out.setdefault(peer.peer_id, {})
        self.pace = pace
        self.doubt: Problem | None = None
        self._outgoing: list[Outgoing] = []
        self._by_id: dict[bytes, Outgoing] = {}
        self.coding = Coding(replica.store, peer.peer_id)
        # Logs of the peer of which we hold more than it does; None before it said what it has.
        self._owed: set[bytes] | None = None
        # How many leaves the peer offered of each log, as it goes on offering.
        self._sizes: Mapping[bytes, int] = {}
        # How many statements and logs there were when it was looked for what to tell.
        self._looked_at: tuple[int, int] = (0, 0)
        self._told: set[bytes] = set()
        self._has_greeted = False

    def learn_offers(self, sizes: Mapping[bytes, int] | None) -> None:
        """Learn from its first word how many leaves of its own logs the peer has."""
        if self._owed is None and sizes is not None:
            self._sizes = sizes
            self._owed = {
                log.log_id
                for log in self._store.logs()
                if self._is_theirs(log) and log.size > sizes.get(log.log_id, -1)
            }

    def _is_theirs(self, log: Log) -> bool:
        return is_theirs(self._replica, self._peer, self._kinship, log)

    @property
    def offered(self) -> int:
        """How many logs were offered in this session."""
        return len(self._outgoing)

    @property
    def waits(self) -> bool:
        """Whether something was sent that is not acknowledged yet."""
        return any(out.flights and not self._log(out.log_id).fault for out in self._outgoing)

    # Offers

    def offers(self, now_ms: int) -> tuple[Offer, ...]:
        """Return offers of the logs that appeared since the last time."""
        self.coding.recall()
        offers: list[Offer] = []
        for log in self._logs_to_send():
            if log.log_id in self._by_id or log.size == 0 or self._is_stopped(log):
                continue
            if len(offers) == OFFERS_MAX:
                break
            is_return = self._is_theirs(log)
            acked = min(self._store.cursor(log, self._peer.peer_id), log.size)
            # More may have arrived than was acknowledged: what lacks of it the peer says.
            start = min(max(acked, self._handed_out.get(log.number, 0)), log.size)
            if is_return:
                # Its head comes first; what the peer lacks follows when it says so.
                start = log.size
            number = len(self._outgoing)
            reference = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
            outgoing = Outgoing(
                log_id=log.log_id,
                reference=reference,
                history=LogHistory(self._store, log),
                acked=0 if is_return else acked,
                sent=start,
                is_late=self._has_greeted,
                # An offer asks for cosignatures too; only a head that may be lost is sent again.
                head_sent_at_ms=now_ms if self._cosigned(log) == log.size else 0,
            )
            self._outgoing.append(outgoing)
            self._by_id[log.log_id] = outgoing
            offers.append(
                Offer(
                    owner=b"" if log.owner == self._replica.subject.peer_id else log.owner,
                    purpose=log.purpose.partition("/")[0],
                    epoch=log.epoch,
                    from_seq=start,
                    size=log.size,
                    cosigned=self._cosigned(log),
                    cosigned_above=self._cosigned_above(log),
                )
            )
        self._has_greeted = True
        return tuple(offers)

    def _logs_to_send(self) -> list[Log]:
        logs = logs_for(self._replica, self._peer, self._kinship)
        returned = [log for log in self._store.logs() if self._is_to_return(log)]
        # The owner, on an older copy, opens the epoch behind the first that it hears of.
        return logs + sorted(returned, key=lambda log: -log.epoch)

    def has_offered(self, log_id: bytes) -> bool:
        """Tell whether a log was offered in this session."""
        return log_id in self._by_id

    def _is_to_return(self, log: Log) -> bool:
        """Tell whether the peer lacks leaves of an own log, or holds others in it."""
        if self._owed is None or not self._is_theirs(log):
            return False
        is_forked = log.fault == "log_forked" and log.owner == self._peer.peer_id
        came_back = self._store.given_back.get(log.log_id, -1) > self._sizes.get(log.log_id, -1)
        return log.log_id in self._owed or is_forked or came_back

    def revocations(self) -> list[Message]:
        """Return statements that stand in leaves which the peer has not acknowledged.

        They go ahead of all leaves, so that it knows of them before it takes what they judge.
        """
        known = self._replica.intake.revocations
        looked_at = (len(known.known()), len(self._outgoing))
        if looked_at == self._looked_at or not looked_at[0]:
            return []
        self._looked_at = looked_at
        messages: list[Message] = []
        for log_id, seq, statement in known.leaves():
            outgoing = self._by_id.get(log_id)
            if outgoing is not None and seq >= outgoing.acked and statement not in self._told:
                self._told.add(statement)
                messages.append(Revoked(statement=statement))
        return messages

    # Frames and heads

    def pump(
        self, now_ms: int, room_bytes: int, down_to: Priority = Priority.RECORDS
    ) -> list[Message]:
        """Return what may be sent of all logs, the urgent first.

        Args:
            now_ms: wall clock.
            room_bytes: new leaves for about so many bytes.
            down_to: of no lower priority.
        """
        messages: list[Message] = []
        logs = [(outgoing, self._log(outgoing.log_id)) for outgoing in self._outgoing]
        for outgoing, log in sorted(logs, key=lambda one: one[0].priority(one[1].size)):
            # What this very transaction wrote is signed at its end, and goes with the next one.
            if log.unsigned or self._is_held(outgoing, log):
                continue
            if outgoing.priority(log.size) <= down_to:
                room_bytes -= self._new_leaves(messages, outgoing, log, now_ms, room_bytes)
            self._again(messages, outgoing, log, now_ms)
        return messages

    def has_unsent(self) -> bool:
        """Tell whether leaves wait for their first sending."""
        return any(
            not self._is_held(out, log) and out.sent < log.size
            for out in self._outgoing
            for log in (self._log(out.log_id),)
        )

    def _new_leaves(
        self,
        messages: list[Message],
        outgoing: Outgoing,
        log: Log,
        now_ms: int,
        room_bytes: int,
    ) -> int:
        window, priority = self.pace.window_bytes, outgoing.priority(log.size)
        in_flight = sum(f.size_bytes for out in self._outgoing for f in out.flights)
        if priority is Priority.STATUS and not outgoing.flights:
            # News waits for no backlog of others.
            window = max(window, in_flight + FRAME_BYTES_MAX)
        used = 0
        outgoing.pass_over(log.size)
        while outgoing.sent < log.size and used < room_bytes and in_flight < window:
            head = self._store.next_head(log, outgoing.sent)
            end, packed, coding = outgoing.lacks_until(head[0]), outgoing.ready, self.coding.number
            if packed is None or not packed.is_for(outgoing.sent, end, coding, priority):
                packed = self._frames(outgoing, log, outgoing.sent, end, priority)
            size_bytes = sum(len(encode_message(frame)) for frame in packed.frames)
            if in_flight and in_flight + size_bytes > window:
                outgoing.ready = packed
                break
            outgoing.ready = None
            left = self.pace.depart(now_ms, in_flight + size_bytes)
            outgoing.flights += [Flight(packed.start, packed.count, size_bytes, left, priority)]
            outgoing.sent += packed.count
            in_flight += size_bytes
            used += size_bytes
            messages += packed.frames
            if outgoing.sent == head[0]:
                messages.append(self._head(outgoing, head, now_ms))
            outgoing.pass_over(log.size)
        self._remember(outgoing, log)
        return used

    def _remember(self, outgoing: Outgoing, log: Log) -> None:
        """Let the next link go on behind what is handed out, if the peer was heard of it.

        Else it may hold another log under this name, which shows when leaves and head come again.
        """
        if outgoing.confirmed and not outgoing.is_doubtful:
            ends = [outgoing.sent, *(end for _, end in outgoing.away)]
            self._handed_out[log.number] = max(*ends, self._handed_out.get(log.number, 0))

    def _frames(
        self, outgoing: Outgoing, log: Log, start: int, end: int, priority: Priority
    ) -> Packed:
        """Return leaves from start as one frame, or one leaf as parts of one."""
        wanted = min(end - start, FRAME_LEAVES_MAX, outgoing.likely * 2)
        past = outgoing.history.past.before(start) if end - start >= LEAVES_MANY else ()
        leaves = self._store.leaves(log, start, wanted)
        data, wholes = self._pack(outgoing, start, leaves, past)
        if len(data) > FRAME_BYTES_MAX and past:
            # Parts of one leaf may come from several sendings: each must cut the same bytes.
            data, wholes = self._pack(outgoing, start, leaves[:1], ())
        count = len(wholes)
        outgoing.history.past.add(start, wholes)
        outgoing.likely = max(count, LEAVES_FIRST // 2)
        parts = [
            Frame(
                log=outgoing.reference,
                priority=priority,
                first_seq=start,
                coding=self.coding.number,
                data=data[at : at + FRAME_BYTES_MAX],
                offset=at,
                total=len(data),
            )
            for at in range(0, len(data), FRAME_BYTES_MAX)
        ]
        return Packed(start, end, count, parts)

    def _pack(
        self, outgoing: Outgoing, start: int, leaves: list[bytes], past: Sequence[bytes]
    ) -> tuple[bytes, list[Whole]]:
        return pack(
            start,
            leaves,
            outgoing.history,
            dictionary=self.coding.dictionary,
            past=past,
            likely=outgoing.likely,
            size_max=FRAME_BYTES_MAX,
        )

    def _again(self, messages: list[Message], outgoing: Outgoing, log: Log, now_ms: int) -> None:
        """Add frames and the head again that nobody answered for too long."""
        for flight in outgoing.flights:
            if has_passed(RETRY_MS, flight.left.at_ms, now_ms):
                flight.left = self.pace.depart(now_ms)
                start, end = flight.first, flight.first + flight.count
                while start < end:
                    packed = self._frames(outgoing, log, start, end, flight.priority)
                    messages += packed.frames
                    start += packed.count
        # The peer answers a head with its cosignatures: asking again costs little while one lacks.
        if outgoing.sent == log.size:
            unanswered = outgoing.acked < log.size or self._lacks_cosignature(outgoing, log)
            wait_ms = outgoing.wait_ms(log.size)
            if unanswered and has_passed(wait_ms, outgoing.head_sent_at_ms, now_ms):
                whole = (log.size, log.frontier.root(), log.head_signature)
                outgoing.polls += outgoing.acked == log.size and outgoing.head_sent_at_ms > 0
                messages.append(self._head(outgoing, whole, now_ms, is_repeated=True))

    def _is_stopped(self, log: Log) -> bool:
        """Tell whether nothing of a log may go out; its owner may see what we hold."""
        return bool(log.fault) and log.owner != self._peer.peer_id

    def _is_held(self, outgoing: Outgoing, log: Log) -> bool:
        """Tell whether a log must not go on: stopped, or what is to be sent is damaged here."""
        if self._is_stopped(log) or outgoing.is_doubtful:
            return True
        return self._store.damage.holds_back(log, max(0, outgoing.acked - PAST_LEAVES_MAX))

    def _lacks_cosignature(self, outgoing: Outgoing, log: Log) -> bool:
        if self._is_theirs(log):
            return False
        if log.counted < log.size and not outgoing.head_sent_at_ms:
            # Nobody countersigns the rest; once on a link its head is enough.
            return True
        return min(self._cosigned(log), self._cosigned_above(log)) < log.counted

    def _cosigned(self, log: Log) -> int:
        return self._store.cosigned_by(log, self._peer.peer_id)

    def _cosigned_above(self, log: Log) -> int:
        """Return how many leaves the top tier has cosigned; a child has none above that counts."""
        if self._kinship == "child":
            return self._cosigned(log)
        return self._store.cosigned_size(log, Tier.CENTRE)

    def _head(
        self,
        outgoing: Outgoing,
        head: tuple[int, bytes, bytes],
        now_ms: int,
        *,
        is_repeated: bool = False,
    ) -> Head:
        """Return a head.

        The first of a session, repeated ones, and those that may overtake leaves have their root.
        """
        size, root, signature = head
        is_mixed = len({flight.priority for flight in outgoing.flights}) > 1
        if outgoing.is_rooted and not is_repeated and not is_mixed:
            root = b""
        outgoing.is_rooted, outgoing.head_sent_at_ms = True, now_ms
        outgoing.polls = outgoing.polls if is_repeated else 0
        return Head(log=outgoing.reference, size=size, root=root, signature=signature)

    # Answers

    def on_ack(self, ack: Ack, now_ms: int) -> None:
        """Learn what the peer holds of a log.

        Raises:
            LinkError: it is none of ours, or a cosignature is forged.
        """
        outgoing = self._find(ack.log)
        if outgoing is None:
            raise LinkError("ack_foreign", "an acknowledgement for a log that was not offered")
        if outgoing.is_doubtful:
            return
        log = self._log(outgoing.log_id)
        if ack.have_seq > log.size and log.source is None and log.epoch < self._replica.epoch:
            # What we lost of an earlier log comes back by itself.
            outgoing.acked = outgoing.sent = log.size
            outgoing.flights.clear()
            return
        if ack.have_seq > log.size and log.source is None:
            # Of a log that we only pass on, its owner gives us again what we lost.
            detail = "the peer holds more of this log than we do"
            self._doubt(outgoing, log, "log_behind", detail, now_ms)
            return
        if not outgoing.confirmed:
            # The first answer is the truth: the peer may have lost data, or have more than we knew.
            outgoing.confirmed = True
            outgoing.acked = ack.have_seq
            if self._kinship == "child" and self._is_fresh:
                # What it countersigned and has no more it must be told of again.
                self._store.drop_cosignature(log, self._peer.peer_id, ack.have_seq)
            if ack.have_seq < (outgoing.flights[0].first if outgoing.flights else outgoing.sent):
                outgoing.sent = ack.have_seq
        outgoing.acked = max(outgoing.acked, ack.have_seq)
        outgoing.sent = max(outgoing.sent, outgoing.acked)
        for flight in outgoing.land(ack.have_seq, ack.gaps):
            self.pace.arrive(flight.left, flight.size_bytes, now_ms)
        self._store.set_cursor(log, self._peer.peer_id, outgoing.acked)
        self._take_cosignatures(outgoing, log, ack.cosignatures, now_ms)

    def _take_cosignatures(
        self, outgoing: Outgoing, log: Log, cosignatures: Iterable[Cosigned], now_ms: int
    ) -> None:
        for cosigned in cosignatures:
            peer_id = cosigned.peer_id or self._peer.peer_id
            signer = self._store.peer(peer_id)
            if peer_id == self._replica.subject.peer_id or signer is None:
                # Ours comes back, or the certificate of a tier above has not arrived yet.
                outgoing.polls = 0
                continue
            made = Cosignature(
                peer_id=peer_id,
                name=key_name(signer.code),
                timestamp_s=cosigned.timestamp_s,
                signature=cosigned.signature,
            )
            try:
                is_news = self._replica.inbound.add_cosignature(
                    log, cosigned.size, Tier(signer.tier), signer.code, made
                )
                if is_news and log.doubts:
                    log.doubts, log.dirty = 0, True
            except CryptoError as error:
                if peer_id != self._peer.peer_id:
                    raise LinkError("cosignature_forged", "a cosignature is wrong") from error
                if has_damage(self._store, log, now_ms):
                    return
                # It stores another log under this name: one of us was restored or cloned.
                said = f"{cosigned.size} {cosigned.timestamp_s} {cosigned.signature.hex()}"
                outgoing.evidence = said
                detail = "the peer cosigned another version"
                self._doubt(outgoing, log, "log_forked", detail, now_ms)
                return

    def on_problem(self, problem: Problem, now_ms: int) -> None:
        """Stop a log that the peer takes no more of.

        Raises:
            LinkError: the problem is with the whole link.
        """
        outgoing = self._find(problem.log) if problem.log else None
        if problem.code == "leaves_damaged":
            # Perhaps not on the way, but on our disk.
            self._suspect(now_ms)
        if outgoing is None:
            # It may have forgotten what came: the next link begins behind what it acknowledged.
            self._handed_out.clear()
            raise LinkError(problem.code, f"the peer reports: {problem.detail}")
        log = self._log(outgoing.log_id)
        if self._is_theirs(log) and log.owner != self._peer.peer_id:
            # It stopped its own copy, and says so there.
            outgoing.is_doubtful = True
            return
        detail = f"the peer reports: {problem.detail}"
        stop(self._replica, log, problem.code, detail, now_ms, outgoing.evidence)
        if not self._cosigned(log):
            # Nothing of it could be given back, which would say what the peer holds.
            go_on(self._replica, log, detail, now_ms)

    def _suspect(self, now_ms: int) -> None:
        """Look whether what is on its way is damaged here; this transaction will not stand."""
        for out in self._outgoing:
            log, first = self._log(out.log_id), max(0, out.acked - PAST_LEAVES_MAX)
            if out.sent > out.acked and has_damage(self._store, log, now_ms, first):
                self._store.damage.suspect(log.number, first)

    def _doubt(self, outgoing: Outgoing, log: Log, code: str, detail: str, now_ms: int) -> None:
        """End the link; stop the log if the peer says the same on the next one.

        What is said once may have been damaged in the peer's memory, and no signature covers it.
        """
        outgoing.is_doubtful = True
        outgoing.flights.clear()
        self._handed_out.pop(log.number, None)
        log.doubts, log.dirty = log.doubts + 1, True
        if log.doubts >= DOUBTS_MAX or not self._is_fresh:
            stop(self._replica, log, code, detail, now_ms, outgoing.evidence)
        else:
            self.doubt = Problem(code=code, detail=detail)

    def _find(self, named: bytes) -> Outgoing | None:
        if len(named) == 16:
            return self._by_id.get(named)
        number = int.from_bytes(named, "big")
        return self._outgoing[number] if number < len(self._outgoing) else None

    def _log(self, log_id: bytes) -> Log:
        log = self._store.find_log(log_id)
        if log is None:
            raise LogError("log_unknown", "the log is not in the store")
        return log
