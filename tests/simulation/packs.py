"""Packs on their way between two nodes: in parts, late, twice, in any order, damaged, or never."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from crypto.certificates import chain_to_der
from crypto.errors import CryptoError
from crypto.sealed_stream import (
    PREFIX_BYTES,
    StreamSealer,
    head_bytes,
    open_stream,
    read_head,
)
from sync.errors import PackError, StoreError
from sync.pack import (
    Unpacker,
    closing,
    file_entries,
    files_to_take,
    leaf_entries,
    opening,
    plan_pack,
)
from sync.pack_entries import About, End, Entry, EntryReader, decode_about, encode_entry
from sync.session import Kinship
from tests.simulation.damage import damaged
from tests.simulation.ledger import RESTORE_ALARMS
from tests.simulation.network import LINK_ERRORS
from tests.simulation.nodes import SimulatedNode
from tests.simulation.promises import BrokenPromise
from tests.simulation.storage import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World

_LOST: Final = 0.15
_TWICE: Final = 0.3
# What a pack may say to a node whose disk was put back: it speaks of what was lost.
_PUT_BACK: Final = ("ack_foreign", *RESTORE_ALARMS)


def send_pack(world: "World") -> None:
    """Let somebody make a pack for the node above or below, and hand it to a boat."""
    rng = world.rng
    child = world.nodes[rng.choice([c for c, node in world.nodes.items() if node.office.parent])]
    parent = world.nodes[child.office.parent]
    pairs: list[tuple[SimulatedNode, SimulatedNode, Kinship]] = [
        (child, parent, "parent"),
        (parent, child, "child"),
    ]
    carry(world, *rng.choice(pairs))


def carry(world: "World", sender: SimulatedNode, receiver: SimulatedNode, kinship: Kinship) -> None:
    """Let a node make a pack for another, its parent or child, and hand it to a boat."""
    if not sender.is_up:
        return
    rng = world.rng
    parts: list[bytes] = []
    pieces = rng.choice((1, 2, 4))
    made_ms = sender.clock_ms(world.now_ms)
    if not _commit(world, sender, lambda: parts.extend(_make(sender, receiver, kinship, pieces))):
        return
    world.counts["packs made"] += 1
    world.note(f"{sender.code} makes a pack of {len(parts)} parts for {receiver.code}")
    pack_id = rng.randbytes(16)
    for number, data in enumerate(parts, start=1):
        about = About(pack_id=pack_id, part=number, made_ms=made_ms, receiver=receiver.code)
        part = _seal(sender, receiver, about, data, rng.randbytes(32))
        copies = 0 if rng.random() < _LOST else 1 + (rng.random() < _TWICE)
        for _ in range(copies):
            arrive = partial(_arrive, world, sender, receiver, kinship, part)
            world.after(rng.randrange(world.plan.late_ms), arrive)


def _seal(
    sender: SimulatedNode, receiver: SimulatedNode, about: About, data: bytes, key: bytes
) -> bytes:
    chain = chain_to_der(sender.office.chain)
    sealer = StreamSealer(
        sender.office.key, chain, receiver.office.key.office_public, about.encode(), key
    )
    return sealer.head + sealer.update(data) + sealer.finish()


def _make(
    sender: SimulatedNode, receiver: SimulatedNode, kinship: Kinship, pieces: int
) -> list[bytes]:
    replica, peer = sender.replica, receiver.subject
    plan = plan_pack(replica, peer, kinship)
    content: list[Entry] = [e for part in plan.ranges for e, _ in leaf_entries(replica, part)]
    for sha256, _ in files_to_take(replica, peer, kinship, plan, everything=False):
        content += file_entries(sender.files, sha256)
    size = max(1, -(-len(content) // pieces))
    shares = [content[at : at + size] for at in range(0, len(content), size)] or [[]]
    return [
        b"".join(
            encode_entry(entry)
            for entry in (*opening(plan, 0), *share, *closing(plan), End(number == len(shares)))
        )
        for number, share in enumerate(shares, start=1)
    ]


def _arrive(
    world: "World",
    sender: SimulatedNode,
    receiver: SimulatedNode,
    kinship: Kinship,
    part: bytes,
) -> None:
    """Take a part in as the command does: the node is stopped for it."""
    if world.is_healing or not receiver.is_up:
        return
    if world.rng.random() < world.plan.bad_sticks:
        _refuse(world, receiver, damaged(world.rng, part))
        # Somebody is told which part is bad, and brings it again.
        again = partial(_arrive, world, sender, receiver, kinship, part)
        world.after(world.rng.randrange(world.plan.late_ms), again)
        return
    about, entries = _open(receiver, part)
    world.hang_up(receiver)
    world.counts["packs taken"] += 1
    world.note(f"{receiver.code} takes in part {about.part} of a pack of {sender.code}")
    found: list[Unpacker] = []
    seen_from: Kinship = "child" if kinship == "parent" else "parent"

    def begin() -> None:
        receiver.replica.welcome(sender.office.as_peer(is_child=seen_from == "child"))
        replica, files = receiver.replica, receiver.files
        found.append(Unpacker(replica, sender.subject, seen_from, files, about))

    def take(entry: Entry) -> None:
        found[0].take(entry, receiver.clock_ms(world.now_ms))

    if not _commit(world, receiver, begin):
        return
    for entry in entries:
        if not _commit(world, receiver, partial(take, entry)):
            return
    allowed = _PUT_BACK if receiver.code in world.ledger.unaware else ()
    problems = [problem for problem in found[0].outcome.problems if problem[1] not in allowed]
    if found[0].outcome.is_in_doubt and not problems and world.wire.counts["damaged"]:
        # Of what a line had brought otherwise than it was sent; the page asks for the part again.
        again = partial(_arrive, world, sender, receiver, kinship, part)
        world.after(world.rng.randrange(world.plan.late_ms), again)
        return
    if problems or found[0].outcome.is_in_doubt:
        raise BrokenPromise("pack_refused", f"{found[0].outcome} among honest nodes")


def _refuse(world: "World", receiver: SimulatedNode, part: bytes) -> None:
    """Check that a damaged part is refused before anything of it counts."""
    try:
        _open(receiver, part)
    except (CryptoError, PackError) as error:
        world.counts["bad sticks"] += 1
        world.note(f"{receiver.code} refuses a part: {error.code}")
    else:
        raise BrokenPromise("pack_damaged", f"{receiver.code} took in a damaged part")


def _open(receiver: SimulatedNode, part: bytes) -> tuple[About, list[Entry]]:
    """Read a part to its end, as the command does before it takes in anything.

    Raises:
        CryptoError: it is damaged, or sealed for another.
        PackError: its content is malformed.
    """
    ends = head_bytes(part[:PREFIX_BYTES])
    head = read_head(part[:ends])
    about = decode_about(head.about)
    sender = receiver.replica.verify_chain(list(head.chain))
    opener = open_stream(head, sender.peer_id, receiver.office.key.office_private)
    reader = EntryReader()
    entries = [*reader.feed(opener.update(part[ends:])), *reader.feed(opener.finish())]
    reader.finish()
    return about, entries


def _commit(world: "World", node: SimulatedNode, work: Callable[[], object]) -> bool:
    """Run a step of a pack in a transaction; return whether it stands."""
    try:
        node.commit(work)
    except Crash:
        world.crash(node, "crash over a pack")
        return False
    except StoreError:
        return False
    except LINK_ERRORS as error:
        raise BrokenPromise("pack_refused", f"{node.code}: {error} among honest nodes") from error
    world.ledger.look(node)
    return True
