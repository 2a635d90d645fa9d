"""Small parts that tests of the sync package put together: places, nodes, links, documents."""

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from crypto.certificates import Subject, chain_to_der, issue, make_request, make_root, subject_of
from crypto.identity import NodeKey, actor_id, device_id, log_id
from crypto.note import sign_head
from crypto.tiers import tier_of
from schemas.events import Event, Registered
from schemas.hlc import reading
from schemas.ids import DocumentId, mint_document_id
from schemas.record import Leaf, LeafType, Writer, encode_certificates
from schemas.wire import (
    WITH_DICTIONARY,
    Frame,
    Head,
    Hello,
    Message,
    Offer,
    decode_messages,
    encode_message,
)
from sync.blobs import BlobFiles
from sync.change import Change, parse_change
from sync.database import Connection, open_database
from sync.document import Documents, Edit
from sync.framing import dictionaries, past_needed, read_frame
from sync.intake import Admission, Events
from sync.log import UP, Log
from sync.migrations import migrations
from sync.replica import Author, Replica
from sync.session import Session
from sync.store import Peer, Store

NOW_MS: Final = 1_790_000_000_000
NOW: Final = reading(NOW_MS)
DOCUMENT: Final = DocumentId(bytes(range(16)))
CASE: Final = Edit(kind="case", texts={"summary": ""})
# Everything that leaves become.
DERIVED: Final = (
    *("writer", "document", "change", "waiting_change", "event", "long_text", "blob_document"),
    "dead_letter",
)


@dataclass(frozen=True)
class Place:
    """An office with its key and certificates, its own first, without the root."""

    key: NodeKey
    chain: tuple[x509.Certificate, ...]

    @property
    def subject(self) -> Subject:
        return subject_of(self.chain[0])

    @property
    def der(self) -> list[bytes]:
        return chain_to_der(self.chain)

    def as_peer(self, *, is_child: bool) -> Peer:
        return Peer.named(self.subject, self.der, is_child=is_child)


def _key(name: str) -> NodeKey:
    return NodeKey.from_seed(name.encode().ljust(32, b"."))


def root_key() -> NodeKey:
    return _key("root")


@cache
def root() -> x509.Certificate:
    return make_root(root_key(), "Gốc", NOW_MS, 3_650)


@cache
def place(code: str) -> Place:
    """Return the node with a code, as it is enrolled."""
    above = code.rpartition(".")[0]
    request = make_request(_key(code), tier_of(code), code, f"Nơi tiếp dân {code}")
    if not above:
        return Place(_key(code), (issue(root(), _key("root"), request, NOW_MS, 365),))
    issuer = place(above)
    own = issue(issuer.chain[0], issuer.key, request, NOW_MS, 365)
    return Place(_key(code), (own, *issuer.chain))


CENTRE, PROVINCE, COMMUNE, NEIGHBOUR = "0", "40", "40.17083", "40.17084"
OUTPOST = "40.17083.1"


def admit_all(
    kind: str, prior: Callable[[], Events], new: Events, fields: Mapping[str, object]
) -> None:
    """The domain that has no objections."""


def no_views(_documents: set[DocumentId]) -> None:
    """A node that shows nothing."""


@dataclass
class Node:
    """A node without a network."""

    place: Place
    replica: Replica
    files: BlobFiles

    @property
    def store(self) -> Store:
        return self.replica.store

    @property
    def peer_id(self) -> bytes:
        return self.place.key.peer_id

    def transaction(self) -> AbstractContextManager[None]:
        return self.replica.transaction()

    def author(self, user: str = "lan", device: bytes | None = None) -> Author:
        own = device or self.replica.device
        return Author(user=user, name="Nguyễn Thị Lan", role="reception_officer", device=own)

    def write(self, document: DocumentId, now_ms: int = NOW_MS, **what: Any) -> None:
        author = what.pop("author", self.author())
        with self.transaction():
            self.replica.write(author, document, now_ms=now_ms, **what)

    def open_case(self, number: int = 0, *events: Event, **fields: str) -> DocumentId:
        document = mint_document_id(NOW_MS + number, random.Random(f"{self.place}{number}"))
        self.write(
            document,
            kind="case",
            fields={"title": f"Vụ việc {number}", **fields},
            texts={"summary": ""},
            events=[Registered(), *events],
        )
        return document

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return list(self.store.db.execute(sql, parameters))

    def dead_letters(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT code FROM dead_letter ORDER BY log, seq")]

    def alarms(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT code FROM alarm ORDER BY number")]

    def values(self, document: DocumentId) -> dict[str, Any]:
        return dict(self.replica.intake.registers(document).values())

    def log(self, owner: "Place", purpose: str = UP, epoch: int = 0) -> Log:
        found = self.store.find_log(log_id(owner.key.peer_id, purpose, epoch))
        assert found is not None
        return found


def new_node(
    code: str,
    folder: Path,
    *,
    connection: Connection | None = None,
    admit: Admission = admit_all,
    project: Callable[[set[DocumentId]], None] = no_views,
) -> Node:
    """Return a node on a database in memory, or on the one given."""
    where = place(code)
    store = Store(connection or memory())
    replica = Replica(
        store, key=where.key, chain=where.chain, root=root(), admit=admit, project=project
    )
    return Node(where, replica, BlobFiles(folder / code))


def memory() -> sqlite3.Connection:
    return open_database(":memory:", (migrations,))


class Link:
    """Two sessions with a line between them.

    Attributes:
        lose: told (whether the parent sends, message); True loses it.
        sent: every message sent, with whether the parent sent it.
    """

    def __init__(self, child: Node, parent: Node, now_ms: int = NOW_MS) -> None:
        """Greet on both sides; nothing is sent yet."""
        self.child, self.parent, self.now_ms = child, parent, now_ms
        with child.transaction():
            child.replica.welcome(parent.place.as_peer(is_child=False))
        with parent.transaction():
            parent.replica.welcome(child.place.as_peer(is_child=True))
        self.up = Session(child.replica, parent.place.subject, "parent", child.files)
        self.down = Session(parent.replica, child.place.subject, "child", parent.files)
        self.lose: Callable[[bool, Message], bool] = lambda _from_parent, _message: False
        self.sent: list[tuple[bool, Message]] = []
        self._to_parent: list[bytes] = []
        self._to_child: list[bytes] = []

    def run(self, rounds: int = 100) -> "Link":
        """Exchange until nobody has anything to say."""
        for _ in range(rounds):
            if not self.step():
                return self
        raise AssertionError(f"still talking after {rounds} rounds")

    def step(self) -> bool:
        """Let both sides at once handle what arrived and speak; False when all is quiet.

        What came before one side ends the link is handled by the other, as in the program.
        """
        to_parent, self._to_parent = self._to_parent, []
        to_child, self._to_child = self._to_child, []
        try:
            self._send(True, handle(self.parent, self.down, to_parent, self.now_ms))
        finally:
            self._send(False, handle(self.child, self.up, to_child, self.now_ms))
        return bool(self._to_child or self._to_parent)

    def _send(self, from_parent: bool, messages: Sequence[Message]) -> None:
        for message in messages:
            self.sent.append((from_parent, message))
            if not self.lose(from_parent, message):
                (self._to_child if from_parent else self._to_parent).append(encode_message(message))


def handle(
    node: Node, session: Session, inbox: Sequence[bytes], now_ms: int = NOW_MS
) -> list[Message]:
    """Let a session handle messages in one transaction, as the program does."""
    with node.transaction():
        answers = [
            answer
            for data in inbox
            for message in decode_messages(data)
            for answer in session.receive(message, now_ms)
        ]
        return answers + session.pump(now_ms)


def tell(node: Node, session: Session, *messages: Message) -> list[Message]:
    """Hand a session messages that nobody of ours would send."""
    return handle(node, session, [encode_message(message) for message in messages])


def leaf_count(frame: Frame) -> int:
    """Return how many leaves a whole frame of ours holds."""
    needed, count = past_needed(frame.data) if frame.data else (0, 0)
    if needed:
        return count
    number = frame.coding - WITH_DICTIONARY
    dictionary = list(dictionaries().values())[number] if number >= 0 else b""
    return len(frame.leaves) or len(read_frame(frame.data, dictionary))


def noise(count: int, seed: int) -> str:
    """Return letters that no packing makes short."""
    return "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz ăâđêôơư", k=count))


def sync(child: Node, parent: Node) -> None:
    """Bring two nodes together until both have what they need."""
    Link(child, parent).run()


# What a program of somebody else could write


def writer_of(where: Place, device: bytes | None = None, epoch: int = 0, **said: str) -> Writer:
    who = where.subject
    names: dict[str, Any] = {
        "tier": who.tier.value,
        "code": who.code,
        "user": "lan",
        "name": "Lan",
        "role": "x",
    }
    own = device or device_id(who.peer_id)
    return Writer(node=who.peer_id, device=own, epoch=epoch, **(names | said))


@dataclass
class LogBuilder:
    """A log signed with the real key of its owner, leaf by leaf as the test wants it."""

    owner: Place
    purpose: str = UP
    epoch: int = 0
    leaves: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start with the owner's certificates."""
        self.add(LeafType.CERTIFICATES, encode_certificates(self.owner.der))

    @property
    def log_id(self) -> bytes:
        return log_id(self.owner.key.peer_id, self.purpose, self.epoch)

    def add(
        self, kind: int, body: bytes, *, writer: int = 0, document: bytes = b"", hlc: int = NOW
    ) -> "LogBuilder":
        leaf = Leaf(type=kind, writer=writer, document=document, hlc=hlc, body=body)
        self.leaves.append(leaf.encode())
        return self

    def declare(self, number: int, writer: Writer) -> "LogBuilder":
        return self.add(LeafType.WRITER, writer.encode(), writer=number)

    def change(
        self, raw: bytes, *, writer: int = 1, document: bytes = DOCUMENT, hlc: int = NOW
    ) -> "LogBuilder":
        return self.add(LeafType.CHANGE, raw, writer=writer, document=document, hlc=hlc)

    def log(self) -> Log:
        log = Log(
            number=0,
            log_id=self.log_id,
            owner=self.owner.key.peer_id,
            purpose=self.purpose,
            epoch=self.epoch,
            tier=self.owner.subject.tier.value,
            code=self.owner.subject.code,
        )
        for leaf in self.leaves:
            log.extend(leaf)
        return log

    def head(self) -> Head:
        head = self.log().head()
        signature = sign_head(self.owner.key, head)
        return Head(log=self.log_id, size=head.size, root=head.root, signature=signature)

    def offer(self, **said: Any) -> Offer:
        honest = Offer(
            owner=self.owner.key.peer_id,
            purpose=self.purpose.partition("/")[0],
            epoch=self.epoch,
            from_seq=0,
            size=len(self.leaves),
        )
        return replace(honest, **said)

    def hello(self) -> Hello:
        return Hello(version=1, now_ms=NOW_MS, offers=(self.offer(),))

    def put_into(self, node: Node) -> Log:
        """Put the log into a node's store as if it had come over a link, and take all of it."""
        own = self.log()
        with node.transaction():
            log = node.store.create_log(
                log_id=own.log_id,
                owner=own.owner,
                purpose=own.purpose,
                epoch=own.epoch,
                tier=own.tier,
                code=own.code,
                source=own.owner,
            )
            for leaf in self.leaves:
                self.take(node, log, leaf)
        return log

    @staticmethod
    def take(node: Node, log: Log, leaf: bytes) -> None:
        seq = log.extend(leaf)
        node.store.put_leaf(log, seq, leaf)
        node.replica.intake.take(log, seq, leaf, NOW_MS)


class Pen:
    """A document without a node: writes changes with the real binding and applies them."""

    def __init__(self, document: DocumentId = DOCUMENT) -> None:
        """Start without a document."""
        self.documents = Documents(lambda _: [change.raw for change in self.changes])
        self.document = document
        self.changes: list[Change] = []

    def write(self, actor: bytes, edit: Edit) -> Change:
        raw = self.documents.write(self.document, actor, edit)
        assert raw is not None, "the edit changes nothing"
        change = parse_change(raw)
        self.documents.apply(self.document, raw, change.hash, new=not self.changes)
        self.changes.append(change)
        return change

    def heads(self) -> tuple[bytes, ...]:
        return self.documents.heads(self.document)

    def text(self, name: str = "summary") -> str:
        return self.documents.text(self.document, name)


def actor_of(writer: Writer, document: bytes = DOCUMENT) -> bytes:
    return actor_id(writer.node, writer.device, writer.epoch, document)


def actor(code: str) -> bytes:
    """Return the actor of an office's own device for DOCUMENT."""
    return actor_of(writer_of(place(code)))


def device(code: str) -> bytes:
    return writer_of(place(code)).device


def logs(*codes: str) -> dict[str, LogBuilder]:
    """Return logs of these offices, each with one writer declared as number 1."""
    return {code: LogBuilder(place(code)).declare(1, writer_of(place(code))) for code in codes}


def tables(node: Node, names: Sequence[str] = DERIVED) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(node.rows(f"SELECT * FROM {name}")) for name in names}
