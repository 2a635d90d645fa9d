"""Packs for tests: made, brought through their bytes, and taken in, without files."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.events import Attached
from schemas.ids import DocumentId
from schemas.wire import Frame, Message
from sync.pack import (
    Outcome,
    Unpacker,
    closing,
    file_entries,
    files_to_take,
    leaf_entries,
    opening,
    plan_pack,
)
from sync.pack_entries import About, End, Entry, EntryReader, Messages, encode_entry
from sync.session import Kinship
from tests.sync.builders import CENTRE, COMMUNE, DERIVED, NEIGHBOUR, NOW_MS, PROVINCE, Node

KINSHIP: Final[dict[tuple[str, str], Kinship]] = {
    (COMMUNE, PROVINCE): "parent",
    (PROVINCE, CENTRE): "parent",
    (NEIGHBOUR, PROVINCE): "parent",
}
TRUTH: Final = (
    "log",
    "leaf",
    "pending_leaf",
    "cursor",
    "cosignature",
    "peer",
    "meta",
    "blob",
    *DERIVED,
)


def kinship(node: Node, peer: Node) -> Kinship:
    return KINSHIP.get((node.place.subject.code, peer.place.subject.code), "child")


@dataclass
class Pack:
    """A pack as parts that were bytes in between."""

    sender: Node
    parts: list[list[Entry]]
    pack_id: bytes
    made_ms: int

    def messages(self) -> list[Message]:
        found = (entry for part in self.parts for entry in part if isinstance(entry, Messages))
        return [message for entry in found for message in entry.messages]

    def frames(self) -> list[Frame]:
        return [message for message in self.messages() if isinstance(message, Frame)]


def through_bytes(entries: Sequence[Entry]) -> list[Entry]:
    reader = EntryReader()
    found = list(reader.feed(b"".join(encode_entry(entry) for entry in entries)))
    reader.finish()
    return found


def make(
    sender: Node,
    receiver: Node,
    *,
    made_ms: int = NOW_MS,
    split_after: int = 1_000,
    files: str = "missing",
    everything: bool = False,
) -> Pack:
    """Make a pack whose parts have at most so many entries of their own."""
    replica, peer, kin = sender.replica, receiver.place.subject, kinship(sender, receiver)
    plan = plan_pack(replica, peer, kin, everything=everything)
    content: list[Entry] = [
        entry for part in plan.ranges for entry, _ in leaf_entries(replica, part)
    ]
    if files != "none":
        for sha256, _ in files_to_take(replica, peer, kin, plan, everything=files == "all"):
            content += file_entries(sender.files, sha256)
    pieces = [content[at : at + split_after] for at in range(0, len(content), split_after)] or [[]]
    parts = [
        through_bytes([*opening(plan, made_ms), *piece, *closing(plan), End(number == len(pieces))])
        for number, piece in enumerate(pieces, start=1)
    ]
    return Pack(sender, parts, hashlib.sha256(f"{made_ms}".encode()).digest()[:16], made_ms)


def take(receiver: Node, made: Pack, parts: Sequence[int] | None = None) -> Outcome:
    """Take parts in, those with these numbers, each in one transaction."""
    sender = made.sender.place
    kin = kinship(receiver, made.sender)
    outcome = Outcome()
    for part in parts or range(1, len(made.parts) + 1):
        about = About(pack_id=made.pack_id, part=part, made_ms=made.made_ms, receiver="")
        with receiver.transaction():
            receiver.replica.welcome(sender.as_peer(is_child=kin == "child"))
            unpacker = Unpacker(receiver.replica, sender.subject, kin, receiver.files, about)
            for entry in made.parts[part - 1]:
                unpacker.take(entry, NOW_MS)
        outcome = unpacker.outcome
    return outcome


def carry(sender: Node, receiver: Node, made_ms: int = NOW_MS, **what: Any) -> Outcome:
    return take(receiver, make(sender, receiver, made_ms=made_ms, **what))


def scan(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def attach(node: Node, data: bytes, number: int = 0) -> DocumentId:
    """Attach a file to a new case, as the program does."""
    node.files.append(sha(data), data)
    assert node.files.finish(sha(data))
    event = Attached(
        sha256=sha(data).hex(), size_bytes=len(data), name="a.pdf", media_type="application/pdf"
    )
    case = node.open_case(number, event)
    with node.transaction():
        node.store.blob_arrived(sha(data), len(data))
    return case
