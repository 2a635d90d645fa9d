"""Section 7: whole contacts of a commune and its province, message by message.

A contact goes in rounds: in each, both sides first handle all that the other said in the round
before, and then say something.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from schemas.events import Noted
from schemas.wire import Frame, decode_messages, encode_message
from sync.errors import LinkError
from sync.session import Session
from tests.sync.builders import COMMUNE, NOW_MS, PROVINCE, Node, handle, memory, new_node
from tests.vectoring.layout import Earlier, plain
from tests.vectoring.world import CASE, HOUR_MS, issue_directive, new_country, write_case

SIDES: Final = ("child", "parent")
ROUNDS_MAX: Final = 60
Rounds = list[dict[str, list[bytes]]]


@dataclass
class Pair:
    """A commune and its province.

    Attributes:
        now_ms: the clock of both.
        copy: of the commune's database.
    """

    child: Node
    parent: Node
    now_ms: int = NOW_MS + 5 * HOUR_MS
    copy: Node | None = None

    def nodes(self) -> tuple[Node, Node]:
        """Return both, the child first."""
        return self.child, self.parent


@dataclass
class Contact:
    """What was said while two nodes were linked.

    Attributes:
        ended: who ended it for a reason, and the reason.
        rounds: messages of each side.
    """

    rounds: Rounds = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)


def meet(pair: Pair, said: Rounds | None = None) -> Contact:
    """Let two nodes meet; they hear each other, or what is given."""
    child, parent = pair.nodes()
    for one, peer in ((child, parent), (parent, child)):
        with one.transaction():
            one.replica.welcome(peer.place.as_peer(is_child=peer is child))
    sessions = (
        Session(child.replica, parent.place.subject, "parent", child.files),
        Session(parent.replica, child.place.subject, "child", parent.files),
    )
    contact = Contact()
    heard: dict[str, list[bytes]] = {side: [] for side in SIDES}
    for number in range(ROUNDS_MAX):
        saying: dict[str, list[bytes]] = {}
        for side, other, at, session in zip(
            SIDES, SIDES[::-1], pair.nodes(), sessions, strict=True
        ):
            try:
                saying[side] = speak(at, session, heard[other], pair.now_ms)
            except LinkError as error:
                contact.ended = {"by": side, "reason": error.code}
                saying[side] = []
        if not any(saying.values()) and not contact.ended:
            return contact
        contact.rounds.append(saying)
        if contact.ended:
            return contact
        heard = saying if said is None else said[number]
    raise AssertionError("they never stop talking")


def speak(node: Node, session: Session, heard: Sequence[bytes], now_ms: int) -> list[bytes]:
    """Return what a side says after it heard some messages."""
    return [encode_message(message) for message in handle(node, session, heard, now_ms)]


def first_contact(pair: Pair) -> None:
    """Both sides have something to say; the province has never seen the commune."""
    write_case(pair.child)
    issue_directive(pair.parent)


def nothing_new(pair: Pair) -> None:
    """Nothing happened."""


def one_change(pair: Pair) -> None:
    """One field was edited; somebody copied the database just before."""
    pair.copy = copy_of(pair.child)
    events = [Noted(text="đã xem")]
    pair.child.write(CASE, pair.now_ms, fields={"title": "Ranh giới"}, events=events)


def old_copy(pair: Pair) -> None:
    """The copy was put in place of the database, and written in."""
    assert pair.copy is not None
    pair.child = pair.copy
    pair.child.write(CASE, pair.now_ms, fields={"topic": "moi_truong"})


def copy_of(node: Node) -> Node:
    """Return a node on a copy of another's database."""
    disk = memory()
    source = node.store.db
    assert isinstance(source, sqlite3.Connection)
    disk.deserialize(source.serialize())
    copied = new_node(node.place.subject.code, Path("nowhere"), connection=disk)
    return replace(copied, files=node.files)


STORY: Final[dict[str, Callable[[Pair], None]]] = {
    "first contact": first_contact,
    "nothing new": nothing_new,
    "one change": one_change,
    "an old copy of the child's database": old_copy,
    "the new epoch": nothing_new,
}


def tell(said: Sequence[Rounds | None] | None = None) -> list[dict[str, Any]]:
    """Return the story contact by contact; both sides hear what is given, or else each other."""
    country = new_country()
    pair = Pair(country.commune, country.province)
    told = []
    for number, (what, happen) in enumerate(STORY.items()):
        happen(pair)
        before = state(pair)
        contact = meet(pair, said[number] if said else None)
        told.append(
            {
                "after": state(pair),
                "before": before,
                "ended": contact.ended,
                "now_ms": pair.now_ms,
                "rounds": contact.rounds,
                "what": what,
            }
        )
        pair.now_ms += HOUR_MS
    return told


def state(pair: Pair) -> dict[str, Any]:
    """Return the logs that both sides hold."""
    return {
        side: [
            {
                "cosigned": dict(cosigned(node, log.number)),
                "epoch": log.epoch,
                "log": log.log_id,
                "purpose": log.purpose,
                "root": log.frontier.root(),
                "size": log.size,
            }
            for log in sorted(node.store.logs(), key=lambda log: log.log_id)
        ]
        for side, node in zip(SIDES, pair.nodes(), strict=True)
    }


def cosigned(node: Node, log: int) -> list[tuple[str, int]]:
    """Return how many leaves of a log each place has cosigned, as a node knows."""
    rows = node.rows("SELECT code, max(size) FROM cosignature WHERE log = ? GROUP BY code", log)
    return [(row[0], row[1]) for row in rows]


def is_same(one: bytes, other: bytes) -> bool:
    """Tell whether two messages say the same; leaves may be packed by another zstd."""
    messages = (decode_messages(one), decode_messages(other))
    for mine, theirs in zip(*messages, strict=True):
        if isinstance(mine, Frame) and isinstance(theirs, Frame):
            mine, theirs = (replace(each, data=b"", total=0) for each in (mine, theirs))
        if mine != theirs:
            return False
    return True


def is_same_contact(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two contacts are the same, message by message."""
    if any(one[key] != other[key] for key in one if key != "rounds"):
        return False
    mine, theirs = flat(one["rounds"]), flat(other["rounds"])
    same_sides = [side for side, _ in mine] == [side for side, _ in theirs]
    return same_sides and all(is_same(a, b) for (_, a), (_, b) in zip(mine, theirs, strict=True))


def flat(rounds: Rounds) -> list[tuple[str, bytes]]:
    """Return all messages in order, each with its round and who says it."""
    return [
        (f"{number} {side}", data)
        for number, each in enumerate(rounds)
        for side in SIDES
        for data in each[side]
    ]


def sessions(earlier: Earlier) -> Any:
    """Return contacts with what was said, and the logs of both sides before and after."""
    fresh = tell()
    kept = earlier.value["contacts"] if earlier.value else []
    before = [{**contact, "rounds": rounds_of(contact)} for contact in kept]
    if len(before) == len(fresh):
        shown = [plain({**each, "rounds": []}) | {"rounds": each["rounds"]} for each in fresh]
        if all(map(is_same_contact, before, shown)):
            fresh = before
    return {"child": COMMUNE, "contacts": fresh, "parent": PROVINCE}


def rounds_of(contact: dict[str, Any]) -> Rounds:
    """Return the rounds of a contact as they stand in a file."""
    return [
        {side: [bytes.fromhex(data) for data in each[side]] for side in SIDES}
        for each in contact["rounds"]
    ]
