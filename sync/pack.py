"""Packs: what two nodes would say over a link, as entries that travel on a stick.

A pack holds all that the peer has not acknowledged, and what we acknowledge and cosign. Nothing
about the peer is believed until its own word comes back: making a pack changes nothing here.
Every part begins with the offers and ends with all heads and acknowledgements, so that each can be
taken in alone, in any order, and again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import cbor2

from crypto.certificates import Subject
from schemas.limits import (
    ATTACHMENT_BYTES_MAX,
    COSIGNATURES_MAX,
    OFFERS_MAX,
    PACK_LEAVES_BYTES,
    PACK_PIECE_BYTES,
    PACK_WANTED_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_BYTES_MIN,
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
    Revoked,
    Want,
)
from sync.blobs import BlobFiles
from sync.errors import LinkError, LogError
from sync.kinship import Kinship, logs_for
from sync.log import Log
from sync.pace import Pace
from sync.pack_entries import About, End, Entry, Messages, Piece
from sync.receiver import Receiver
from sync.replica import Replica
from sync.sender import Sender

# Messages of a few hundred bytes that share an entry.
_TOGETHER: Final = 500
# Leaves read at once; they are small, but each may have a mebibyte.
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRange:
    """Leaves of a log that go into a pack, from start up to the head."""

    log: Log
    start: int
    head: Head

    @property
    def count(self) -> int:
        """How many leaves those are."""
        return self.head.size - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPlan:
    """What a pack holds, as it was at one moment; leaves under a head never change.

    Attributes:
        revocations: those that stand in leaves of the pack.
        stopped: logs left out because they tell two stories.
        answers: acknowledgements, and what is wrong with logs of the peer.
        wanted: files that we lack and the peer may have.
    """

    revocations: tuple[Message, ...]
    ranges: tuple[LogRange, ...]
    stopped: tuple[Log, ...]
    answers: tuple[Message, ...]
    wanted: tuple[Want, ...]

    @property
    def leaves(self) -> int:
        """How many leaves the pack holds."""
        return sum(part.count for part in self.ranges)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell the peer."""
        return not (self.ranges or self.answers or self.wanted)


# Making


def plan_pack(
    replica: Replica, peer: Subject, kinship: Kinship, *, everything: bool = False
) -> PackPlan:
    """Return what to take along to a peer; the caller sees to it that nobody writes meanwhile.

    Args:
        replica: ours; nothing of it is changed.
        peer: who it is for.
        kinship: the peer is our parent or our child.
        everything: also what the peer acknowledged, as after it lost data.
    """
    store = replica.store
    ranges, stopped = [], []
    for log in logs_for(replica, peer, kinship):
        if log.fault:
            stopped.append(log)
            continue
        start = 0 if everything else min(store.cursor(log, peer.peer_id), log.size)
        # Of what it acknowledged before its head came, only the head is missing.
        if start < log.size or store.cosigned_by(log, peer.peer_id) < log.size:
            root, signature = log.frontier.root(), log.head_signature
            head = Head(log=log.log_id, size=log.size, root=root, signature=signature)
            ranges.append(LogRange(log=log, start=start, head=head))
    answers = [
        answer
        for log in store.logs()
        if log.source == peer.peer_id
        for answer in _answers(replica, log)
    ]
    wanted = [
        Want(sha256=sha256, offset=0, length=min(size, ATTACHMENT_BYTES_MAX))
        for sha256, size in store.missing_blobs(peer.peer_id, PACK_WANTED_MAX)
    ]
    starts = {part.log.log_id: part.start for part in ranges}
    statements = {
        statement: Revoked(statement=statement)
        for log_id, seq, statement in replica.intake.revocations.leaves()
        if seq >= starts.get(log_id, seq + 1)
    }
    return PackPlan(
        revocations=tuple(statements.values()),
        ranges=tuple(ranges),
        stopped=tuple(stopped),
        answers=tuple(answers),
        wanted=tuple(wanted),
    )


def _answers(replica: Replica, log: Log) -> Iterator[Message]:
    """Yield what we say of a log that the peer sends: what is under a head, and who cosigned."""
    cosignatures = tuple(
        Cosigned(
            peer_id=made.peer_id,
            size=size,
            timestamp_s=made.timestamp_s,
            signature=made.signature,
        )
        for size, _, made in replica.store.cosignatures(log)[-COSIGNATURES_MAX:]
    )
    yield Ack(log=log.log_id, have_seq=log.size, gaps=(), cosignatures=cosignatures)
    if log.fault:
        yield Problem(code=log.fault, detail="this log is stopped", log=log.log_id)


def opening(plan: PackPlan, now_ms: int) -> list[Entry]:
    """Return what every part begins with."""
    offers = [
        Offer(
            owner=part.log.owner,
            purpose=part.log.purpose.partition("/")[0],
            epoch=part.log.epoch,
            from_seq=part.start,
            size=part.head.size,
        )
        for part in plan.ranges
    ]
    hellos = [
        Hello(
            version=PROTOCOL_VERSION,
            now_ms=now_ms,
            first=first,
            offers=tuple(offers[first : first + OFFERS_MAX]),
        )
        for first in range(0, max(1, len(offers)), OFFERS_MAX)
    ]
    return [Messages((message,)) for message in [*hellos, *plan.revocations]]


def closing(plan: PackPlan) -> list[Entry]:
    """Return what every part ends with, its End left out.

    Acknowledgements last: certificates that their cosignatures need are in the leaves before them.
    """
    messages: list[Message] = [part.head for part in plan.ranges]
    messages += [*plan.answers, *plan.wanted]
    return [
        Messages(tuple(messages[at : at + _TOGETHER])) for at in range(0, len(messages), _TOGETHER)
    ]


def leaf_entries(replica: Replica, part: LogRange) -> Iterator[tuple[Entry, int]]:
    """Yield the leaves of a log with the heads on the way, and how many leaves each entry holds."""
    store, log, at = replica.store, part.log, part.start
    while at < part.head.size:
        size, root, signature = store.next_head(log, at)
        head = part.head
        if size < head.size:
            head = Head(log=log.log_id, size=size, root=root, signature=signature)
        messages: list[Message] = []
        start, room_bytes = at, PACK_LEAVES_BYTES
        while at < head.size and room_bytes > 0:
            leaves = _up_to(store.leaves(log, at, min(_AT_ONCE, head.size - at)), room_bytes)
            if not leaves and not messages:
                raise LogError("leaf_missing", f"leaf {at} of a log is not in the store")
            if messages and (not leaves or len(leaves[0]) > room_bytes):
                break
            messages.append(
                Frame(log=log.log_id, priority=Priority.RECORDS, first_seq=at, leaves=tuple(leaves))
            )
            at += len(leaves)
            room_bytes -= sum(len(leaf) for leaf in leaves)
        if at == head.size:
            messages.append(head)
        yield Messages(tuple(messages)), at - start


def _up_to(leaves: Sequence[bytes], room_bytes: int) -> list[bytes]:
    """Return the first leaves that fit, one at least."""
    taken: list[bytes] = []
    for leaf in leaves:
        if taken and len(leaf) > room_bytes:
            break
        taken.append(leaf)
        room_bytes -= len(leaf)
    return taken


def files_to_take(
    replica: Replica, peer: Subject, kinship: Kinship, plan: PackPlan, *, everything: bool
) -> list[tuple[bytes, int]]:
    """Return (SHA-256, size) of files for a pack, the smallest first.

    Those of records in the pack and those that the peer asked for, or all; of a child's only what
    concerns it, and never what came from the peer itself.
    """
    store = replica.store
    rows = store.db.execute(
        "SELECT sha256, size_bytes, source FROM blob WHERE complete = 1 AND size_bytes > 0"
    )
    held = {
        bytes(row[0]): row[1] for row in rows if row[2] is None or bytes(row[2]) != peer.peer_id
    }
    if not everything:
        chosen = set(wanted_files(replica, peer))
        for part in plan.ranges:
            found = store.db.execute(
                "SELECT DISTINCT b.sha256 FROM blob_document b JOIN change c"
                " ON c.document = b.document WHERE c.log = ? AND c.seq >= ?",
                (part.log.number, part.start),
            )
            chosen |= {bytes(row[0]) for row in found}
        held = {sha256: size for sha256, size in held.items() if sha256 in chosen}
    return sorted(
        (
            (sha256, size)
            for sha256, size in held.items()
            if kinship == "parent" or store.blob_concerns(sha256, peer.peer_id)
        ),
        key=lambda file: (file[1], file[0]),
    )


def file_entries(files: BlobFiles, sha256: bytes) -> Iterator[Piece]:
    """Yield a file in pieces; nothing if it is not here."""
    offset = 0
    while True:
        total, data = files.read(sha256, offset, PACK_PIECE_BYTES)
        if not data:
            return
        yield Piece(sha256=sha256, offset=offset, total=total, data=data)
        offset += len(data)


def wanted_files(replica: Replica, peer: Subject) -> list[bytes]:
    """Return the files that the peer's newest pack asked for."""
    found = replica.store.meta(_wanted_key(peer)) or b""
    return [found[at : at + 32] for at in range(0, len(found), 32)]


# Taking in


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsTaken:
    """Which parts of a peer's newest pack were taken in; total is 0 until the last one was."""

    made_ms: int
    pack_id: bytes
    parts: tuple[int, ...]
    total: int

    @property
    def missing(self) -> list[int]:
        """Parts that are known to exist and were not taken in."""
        end = self.total or max(self.parts, default=0)
        return [part for part in range(1, end + 1) if part not in self.parts]


def parts_taken(replica: Replica, peer: Subject) -> PartsTaken | None:
    """Return what was taken in of the peer's newest pack."""
    data = replica.store.meta(_parts_key(peer))
    if data is None:
        return None
    made_ms, pack_id, parts, total = cbor2.loads(data)
    return PartsTaken(made_ms=made_ms, pack_id=pack_id, parts=tuple(parts), total=total)


@dataclass(slots=True)
class Outcome:
    """What became of the content of a part.

    Attributes:
        files_new, files_known: whole files taken, or here already.
        files_refused: files left out, each with the reason's code.
        problems: logs that were refused or stopped: (log id, code, sentence).
        is_in_doubt: leaves that had come earlier did not add up; take the part in once more.
    """

    files_new: set[bytes] = field(default_factory=set)
    files_known: set[bytes] = field(default_factory=set)
    files_refused: dict[bytes, str] = field(default_factory=dict)
    problems: list[tuple[bytes, str, str]] = field(default_factory=list)
    is_in_doubt: bool = False


class Unpacker:
    """Takes the entries of one part in, by the rules of the link.

    Attributes:
        outcome: of what was taken so far.
    """

    def __init__(
        self, replica: Replica, peer: Subject, kinship: Kinship, files: BlobFiles, about: About
    ) -> None:
        """Take in from a peer that the replica has welcomed, inside a transaction."""
        self._replica, self._peer, self._files, self._about = replica, peer, files, about
        self._store = replica.store
        self._receiver = Receiver(replica, peer, is_fresh=False)
        pace = Pace(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
        self._sender = Sender(replica, peer, kinship, pace, is_fresh=False)
        while self._sender.offers(about.made_ms):
            continue
        newest = parts_taken(replica, peer)
        self._newest = newest if newest and newest.pack_id == about.pack_id else None
        self._is_old = newest is not None and about.made_ms < newest.made_ms
        self._wanted: list[bytes] = []
        self.outcome = Outcome()

    def take(self, entry: Entry, now_ms: int) -> None:
        """Take one entry in, inside a transaction.

        Raises:
            LinkError: it holds what the peer may not send.
            StoreError: the disk refused.
        """
        self._store.news[self._peer.peer_id] += 1
        match entry:
            case Messages():
                for message in entry.messages:
                    self._take(message, now_ms)
            case Piece():
                self._on_piece(entry)
            case End():
                self._on_end(entry)

    def _take(self, message: Message, now_ms: int) -> None:
        match message:
            case Hello():
                if message.version != PROTOCOL_VERSION:
                    raise LinkError("version_unknown", f"the pack is of version {message.version}")
                self._receiver.on_hello(message, now_ms)
            case Frame():
                self._note(self._receiver.on_frame(message, now_ms))
            case Head():
                self._note(self._receiver.on_head(message, now_ms))
            case Ack():
                self._on_ack(message, now_ms)
            case Problem():
                self._on_problem(message, now_ms)
            case Revoked():
                self._replica.intake.revocations.hear(message.statement, now_ms)
            case Want():
                self._wanted.append(message.sha256)
            case Chunk():
                raise LinkError("pack_malformed", "files stand otherwise in a pack")

    def _on_problem(self, problem: Problem, now_ms: int) -> None:
        if self._sender.has_offered(problem.log):
            self._sender.on_problem(problem, now_ms)
            self.outcome.problems.append((problem.log, problem.code, problem.detail))

    def _note(self, answers: Sequence[Message]) -> None:
        """Remember what is wrong; acknowledgements go with our next pack, or by line."""
        for answer in answers:
            if not isinstance(answer, Problem):
                continue
            if answer.log:
                log_id = self._receiver.log_id(answer.log)
                known = {(log, code) for log, code, _ in self.outcome.problems}
                if (log_id, answer.code) not in known:
                    self.outcome.problems.append((log_id, answer.code, answer.detail))
            else:
                self.outcome.is_in_doubt = True

    def _on_ack(self, ack: Ack, now_ms: int) -> None:
        log = self._store.find_log(ack.log)
        if log is None or not self._sender.has_offered(ack.log):
            if log is None or not log.fault:
                detail = "it speaks of a log that is not here"
                self.outcome.problems.append((ack.log, "ack_foreign", detail))
            return
        cursor = self._store.cursor(log, self._peer.peer_id)
        if self._is_old and ack.have_seq < cursor:
            # A newer pack said more. Without one, the peer may have lost data: then it is true.
            ack = replace(ack, have_seq=cursor)
        self._sender.on_ack(ack, now_ms)

    def _on_piece(self, piece: Piece) -> None:
        sha256, outcome = piece.sha256, self.outcome
        if sha256 in outcome.files_new or sha256 in outcome.files_refused:
            return
        if self._files.holds(sha256):
            if piece.offset == 0:
                outcome.files_known.add(sha256)
                self._store.blob_arrived(sha256, piece.total)
            return
        if not self._files.may_fetch(piece.total):
            outcome.files_refused[sha256] = "file_unwanted"
            return
        # A file of which a part came by line, or before an interruption, goes on from there.
        here = self._files.part_size(sha256) - piece.offset
        if here < 0:
            outcome.files_refused[sha256] = "file_incomplete"
            return
        if here < len(piece.data):
            self._files.append(sha256, piece.data[here:])
        if piece.offset + len(piece.data) == piece.total:
            if self._files.finish(sha256):
                self._store.blob_arrived(sha256, piece.total)
                outcome.files_new.add(sha256)
            else:
                outcome.files_refused[sha256] = "file_damaged"

    def _on_end(self, end: End) -> None:
        if self._is_old:
            return
        about = self._about
        parts, total = {about.part}, about.part if end.is_last else 0
        if self._newest is not None:
            parts |= set(self._newest.parts)
            total = total or self._newest.total
        taken = [about.made_ms, about.pack_id, sorted(parts), total]
        self._store.set_meta(_parts_key(self._peer), cbor2.dumps(taken))
        self._store.set_meta(_wanted_key(self._peer), b"".join(self._wanted[:PACK_WANTED_MAX]))


def _parts_key(peer: Subject) -> str:
    return f"pack parts {peer.peer_id.hex()}"


def _wanted_key(peer: Subject) -> str:
    return f"pack wants {peer.peer_id.hex()}"
