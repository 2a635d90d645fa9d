"""A peer that has nothing of tiepdan: the child's end of a link, from docs/PROTOCOL.md alone.

It has one log of its own and takes in the log that its parent writes for it; whole frames are
kept in order only, what comes too early is as if it were lost. Messages in, messages out; the
connection is peer_link.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.independent import messages
from tests.independent.change_reader import need, read_change
from tests.independent.document_reader import Entry
from tests.independent.forger import Signer, base64_of, tree_root
from tests.independent.frame_reader import read_frame
from tests.independent.frame_writer import write_frame
from tests.independent.messages import (
    ACK,
    CHUNK,
    FRAME,
    HEAD,
    HELLO,
    PROBLEM,
    RECONCILE,
    REPAIR,
    REVOKED,
    WANT,
)
from tests.independent.record_checker import Place, cbor, read_chain, read_leaf

CODING_PLAIN, CODING_PACKED, CODING_DICTIONARY = 0, 1, 2
RECORDS = 2
CHUNK_SIZE_BYTES, FILE_WINDOW_BYTES, GIVEN_SIZE_BYTES_MAX = 1_152, 4_608, 256 << 10


def log_id(owner: bytes, purpose: str, epoch: int) -> bytes:
    """Section 1."""
    whole = b"tiepdan log v1\n" + owner + purpose.encode() + b"\0" + epoch.to_bytes(8)
    return sha256(whole).digest()[:16]


def root_of(leaves: Sequence[bytes]) -> bytes:
    return tree_root([sha256(b"\0" + leaf).digest() for leaf in leaves])


def head_text(code: str, log: bytes, leaves: Sequence[bytes]) -> bytes:
    """Section 4: the three lines of a tree head."""
    return f"tiepdan/{code}/{log.hex()}\n{len(leaves)}\n{base64_of(root_of(leaves))}\n".encode()


def cosigned_text(head: bytes, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n".encode() + head


@dataclass
class Incoming:
    """A log that the parent writes for us.

    Attributes:
        pending: size, root and signature of a head that waits for its leaves.
        in_use: so many leaves stand under a head that was checked.
    """

    log: bytes
    leaves: list[bytes] = field(default_factory=list)
    pending: tuple[int, bytes, bytes] | None = None
    in_use: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    parts_of: tuple[int, int, int] = (0, 0, 0)

    def join(self, first: int, coding: int, data: bytes, offset: int, total: int) -> bytes:
        """Add a part of a leaf; return the packed frame once it is whole, else nothing."""
        if self.parts_of != (first, coding, total):
            self.parts, self.parts_of = {}, (first, coding, total)
        self.parts[offset] = data
        whole = b""
        for at in sorted(self.parts):
            if at <= len(whole):
                whole = whole[:at] + self.parts[at]
        return whole if len(whole) == total else b""

    def documents(self) -> dict[bytes, list[Entry]]:
        """Return the changes in use by document, as document_reader takes them."""
        devices: dict[int, bytes] = {}
        found: dict[bytes, list[Entry]] = {}
        for leaf in self.leaves[: self.in_use]:
            kind, writer, document, hlc, body = read_leaf(leaf)
            if kind == 1:
                devices[writer] = cbor(body)[1]
            elif kind == 0:
                entry = Entry(read_change(body), devices[writer], hlc)
                found.setdefault(document, []).append(entry)
        return found


class Peer:
    """A commune.

    Args:
        me: who it is, and its hand.
        parent: the province, as its certificate says.
        root: whom it trusts.
        leaves: its log so far, from leaf 0.
        files: its files by their SHA-256.
        dictionaries: files in zstd's format, that it reads with.

    Attributes:
        cosigned: sizes of its log by the peer id of who has cosigned it.
        acked: as many leaves of its log the parent stores.
        given: as many bytes of a file the parent asked for.
        codings: of the frames that came.
        fetched: files that came.
        problems: what the parent complained about.
    """

    def __init__(
        self,
        me: Signer,
        parent: Place,
        root: Place,
        leaves: Sequence[bytes],
        files: dict[bytes, bytes] | None = None,
        dictionaries: Sequence[bytes] = (),
    ) -> None:
        self.me, self.parent, self.root = me, parent, root
        self.leaves, self.files = list(leaves), dict(files or {})
        self.dictionaries = {sha256(each).digest()[:8]: each for each in dictionaries}
        self.log = log_id(me.peer_id, "up", 0)
        self.acked = self.given = 0
        self.cosigned: dict[bytes, int] = {}
        self.fetched: dict[bytes, bytes] = {}
        self.problems: list[tuple[str, str, bytes]] = []
        self.down: dict[bytes, Incoming] = {}
        self.codings: set[int] = set()
        self._told: list[list[Any]] = []
        self._offers: list[Incoming] = []
        self._heard: list[bytes] = []
        self._fetching = b"", bytearray()
        self._asked_to = 0

    def begin_again(self, leaves: Sequence[bytes]) -> None:
        """Forget what counts for one link only; more leaves may have been written."""
        self.leaves, self._offers, self._heard = list(leaves), [], []

    # What it says

    def greet(self, now_ms: int) -> bytes:
        """Return HELLO with the offer of its own log."""
        offer = [b"", "up", 0, self.acked, len(self.leaves), 0, 0]
        return messages.write(HELLO, 1, now_ms, 0, [offer], list(self.dictionaries))

    def send(self, coding: int, count: int = 100, past: int = 0) -> Iterator[bytes]:
        """Yield frames of what the parent lacks, count leaves each, and the head."""
        for first in range(self.acked, len(self.leaves), count):
            mine = self.leaves[first : first + count]
            if coding == CODING_PLAIN:
                yield messages.write(FRAME, b"\0", RECORDS, first, coding, mine)
                continue
            known = self.leaves[:first]
            data = write_frame(mine, known, min(past, first))
            if len(mine) > 1 or len(data) <= 1_200:
                yield messages.write(FRAME, b"\0", RECORDS, first, coding, data)
                continue
            for at in range(0, len(data), 1_150):
                part = data[at : at + 1_150]
                yield messages.write(FRAME, b"\0", RECORDS, first, coding, part, at, len(data))
        yield self.head()

    def head(self) -> bytes:
        """Return HEAD over the whole log, with its root."""
        signature = self.me.sign(head_text(self.me.code, self.log, self.leaves))
        return messages.write(HEAD, b"\0", len(self.leaves), root_of(self.leaves), signature)

    def want(self, digest: bytes) -> bytes:
        """Ask for a file from its beginning."""
        self._fetching = digest, bytearray()
        return self._ask(0)

    def _ask(self, offset: int) -> bytes:
        self._asked_to = offset + FILE_WINDOW_BYTES
        return messages.write(WANT, self._fetching[0], offset, FILE_WINDOW_BYTES)

    def log_down(self, epoch: int = 0) -> bytes:
        """Return the id of the log that the parent writes for it."""
        return log_id(self.parent.key, f"down/{self.me.peer_id.hex()}", epoch)

    def has_down(self, size: int) -> bool:
        """Tell whether it has so many leaves from above in use."""
        return any(log.in_use >= size for log in self.down.values())

    # What it hears

    def take(self, data: bytes, now_ms: int) -> list[bytes]:
        """Take a WebSocket message in and return the answers.

        Raises:
            Refused: the link has to be closed.
        """
        answers: list[bytes] = []
        for kind, items in messages.read(data):
            handle: dict[int, Callable[..., Iterator[bytes]]] = {
                HELLO: self._hello,
                FRAME: self._frame,
                HEAD: self._head,
                ACK: self._ack,
                WANT: self._want,
                CHUNK: self._chunk,
                PROBLEM: self._problem,
                REVOKED: self._revoked,
                RECONCILE: self._audit,
                REPAIR: self._audit,
            }
            answers += handle[kind](now_ms, *items)
        return answers

    def _hello(
        self,
        _now_ms: int,
        version: int,
        _clock_ms: int,
        first: int,
        offers: list[list[Any]],
        dictionaries: list[bytes],
    ) -> Iterator[bytes]:
        need(version == 1, "another version")
        need(first == len(self._offers), "offers are not counted on")
        self._heard = dictionaries
        for owner, purpose, epoch, start, *_ in offers:
            need((owner, purpose) == (b"", "down"), "parent offers what is not for us")
            log = self.log_down(epoch)
            incoming = self.down.setdefault(log, Incoming(log))
            self._offers.append(incoming)
            if start != len(incoming.leaves):
                yield self._acknowledge(incoming)

    def _named(self, reference: bytes) -> Incoming:
        """Return the log that a message is about."""
        number = int.from_bytes(reference)
        found = [each for each in self._offers if each.log == reference]
        if len(reference) < 16:
            found = self._offers[number : number + 1]
        need(found, "log was not offered")
        return found[0]

    def _frame(
        self,
        _now_ms: int,
        reference: bytes,
        _priority: int,
        first: int,
        coding: int,
        data: Any,
        *part: int,
    ) -> Iterator[bytes]:
        log = self._named(reference)
        self.codings.add(coding)
        have = len(log.leaves)
        if part:
            data = log.join(first, coding, data, *part)
        if data and first <= have:
            log.leaves += self._unpack(log, first, coding, data)[have - first :]
        yield self._acknowledge(log)
        if log.pending and log.pending[0] <= len(log.leaves):
            yield from self._check_head(_now_ms, log, *log.pending)

    def _unpack(self, log: Incoming, first: int, coding: int, data: Any) -> list[bytes]:
        if coding == CODING_PLAIN:
            return list(data)
        if coding == CODING_PACKED:
            return read_frame(data, b"", log.leaves[:first])
        index = coding - CODING_DICTIONARY
        need(self._heard[index : index + 1] in [[name] for name in self.dictionaries], "dictionary")
        return read_frame(data, self.dictionaries[self._heard[index]], log.leaves[:first])

    def _head(
        self, now_ms: int, reference: bytes, size: int, root: bytes, signature: bytes
    ) -> Iterator[bytes]:
        log = self._named(reference)
        if size <= len(log.leaves):
            yield from self._check_head(now_ms, log, size, root, signature)
            return
        log.pending = (size, root, signature) if root else None
        yield self._acknowledge(log)

    def _check_head(
        self, now_ms: int, log: Incoming, size: int, root: bytes, signature: bytes
    ) -> Iterator[bytes]:
        """Section 7.5: check, take into use, cosign."""
        leaves = log.leaves[:size]
        text = head_text(self.parent.code, log.log, leaves)
        need(root in (b"", root_of(leaves)), "leaves do not add up to the root")
        kind, *_, body = read_leaf(leaves[0])
        need(kind == 2 and read_chain(cbor(body), self.root).key == self.parent.key, "owner")
        self.parent.verify(signature, text)
        log.in_use, log.pending = max(size, log.in_use), None
        self._check_cosignatures()
        seconds = now_ms // 1000
        mine = [b"", size, seconds, self.me.sign(cosigned_text(text, seconds))]
        yield self._acknowledge(log, mine)

    def _acknowledge(self, log: Incoming, *cosignatures: list[Any]) -> bytes:
        return messages.write(ACK, self._reference(log), len(log.leaves), [], list(cosignatures))

    def _reference(self, log: Incoming) -> bytes:
        number = self._offers.index(log)
        return number.to_bytes(max(1, (number.bit_length() + 7) // 8))

    def _ack(
        self,
        _now_ms: int,
        reference: bytes,
        have: int,
        _gaps: list[list[int]],
        cosignatures: list[list[Any]],
    ) -> Iterator[bytes]:
        need(reference in (b"\0", self.log), "acknowledgement of a log that we did not offer")
        need(have <= len(self.leaves), "more is acknowledged than there is")
        self.acked = have
        self._told += cosignatures
        self._check_cosignatures()
        yield from ()

    def _check_cosignatures(self) -> None:
        """Judge what was told; what comes before its cosigner's certificate waits for it."""
        places = self.places_above() | {b"": self.parent, self.parent.key: self.parent}
        told, self._told = self._told, [each for each in self._told if each[0] not in places]
        for peer, size, seconds, signature in told:
            if peer in places:
                text = head_text(self.me.code, self.log, self.leaves[:size])
                places[peer].verify(signature, cosigned_text(text, seconds))
                self.cosigned[places[peer].key] = size

    def places_above(self) -> dict[bytes, Place]:
        """Return the nodes whose certificates the parent's log holds (section 3, type 2)."""
        found: dict[bytes, Place] = {}
        for log in self.down.values():
            for leaf in log.leaves[: log.in_use]:
                kind, *_, body = cbor(leaf)
                if kind == 2:
                    place = read_chain(cbor(body), self.root)
                    found[place.key] = place
        return found

    def _want(self, _now_ms: int, digest: bytes, offset: int, length: int) -> Iterator[bytes]:
        data = self.files.get(digest, b"")
        self.given = max(self.given, min(len(data), offset + length))
        end = min(len(data), offset + min(length, GIVEN_SIZE_BYTES_MAX))
        for at in range(offset, end, CHUNK_SIZE_BYTES):
            piece = data[at : min(end, at + CHUNK_SIZE_BYTES)]
            yield messages.write(CHUNK, digest[:8], at, len(data), piece)
        if not data:
            yield messages.write(CHUNK, digest[:8], 0, 0, b"")

    def _chunk(
        self, _now_ms: int, name: bytes, offset: int, total: int, data: bytes
    ) -> Iterator[bytes]:
        digest, part = self._fetching
        if name != digest[:8] or offset != len(part):
            return
        need(data or not total, "chunk without bytes")
        part += data
        if len(part) == total:
            need(sha256(part).digest() == digest, "file is another one")
            self.fetched[digest] = bytes(part)
        elif len(part) == self._asked_to:
            yield self._ask(len(part))

    def _revoked(self, _now_ms: int, _statement: bytes) -> Iterator[bytes]:
        # The leaf that it goes ahead of says the same.
        yield from ()

    def _audit(self, _now_ms: int, *_items: Any) -> Iterator[bytes]:
        # Who does not take part says nothing.
        yield from ()

    def _problem(self, _now_ms: int, code: str, sentence: str, log: bytes) -> Iterator[bytes]:
        self.problems.append((code, sentence, log))
        need(log, "parent ends the link")
        yield from ()
