"""Goal: what is urgent waits for one frame at most, and what overtakes breaks nothing.

Method: real replicas in memory; between them a line that keeps the order within each stream of the
datagram link and mixes the streams as hypothesis wants.
"""

import random
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from node.exchange import streams_of
from schemas.limits import FRAME_BYTES_MAX
from schemas.wire import (
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
    encode_message,
)
from schemas.wire_audit import Reconcile
from sync.packets import Piece, Stream
from sync.session import Session
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    NEIGHBOUR,
    NOW_MS,
    PROVINCE,
    Link,
    Node,
    new_node,
    sync,
)
from tests.sync.test_datagrams import World


def _frame(log: bytes, priority: Priority) -> Frame:
    return Frame(log=log, priority=priority, first_seq=0, leaves=(b"leaf",))


def _head(log: bytes) -> Head:
    return Head(log=log, size=1, root=b"", signature=bytes(64))


def test_control_and_news_are_urgent_backlogs_are_records_and_files_come_last() -> None:
    ack = Ack(log=b"\0", have_seq=0, gaps=(), cosignatures=())
    control: list[Message] = [
        Hello(version=1, now_ms=0, offers=()),
        Revoked(statement=b"x"),
        ack,
        Problem(code="x", detail=""),
    ]
    news: list[Message] = [_frame(b"\0", Priority.STATUS), _head(b"\0")]
    backlog: list[Message] = [_frame(b"\1", Priority.RECORDS), _head(b"\1")]
    bulk: list[Message] = [
        Want(sha256=bytes(32), offset=0, length=1),
        Chunk(sha256=bytes(8), offset=0, total=1, data=b"x"),
        Reconcile(log=b"", step=0, data=b"", lacks=()),
    ]
    repeated = _head(b"\2")
    found = streams_of([*bulk, *backlog, repeated, *control, *news])
    assert found == {
        Stream.URGENT: [repeated, *control, *news],
        Stream.RECORDS: backlog,
        Stream.BULK: bulk,
    }


def _frames_of(session: Session, node: Node, down_to: Priority = Priority.BULK) -> list[Frame]:
    """Return the frames that a session sends until its window is full, without any answer."""
    found: list[Frame] = []
    while True:
        with node.transaction():
            said = session.pump(NOW_MS, 2 * FRAME_BYTES_MAX, down_to=down_to)
        fresh = [message for message in said if isinstance(message, Frame)]
        if not fresh:
            return found
        found += fresh


def test_news_of_a_commune_waits_for_no_backlog_of_another(tmp_path: Path) -> None:
    commune, neighbour = new_node(COMMUNE, tmp_path), new_node(NEIGHBOUR, tmp_path)
    province, centre = new_node(PROVINCE, tmp_path), new_node(CENTRE, tmp_path)
    case = neighbour.open_case()
    for below in (commune, neighbour):
        sync(below, province)
    sync(province, centre)
    for number in range(300):
        commune.open_case(number, summary=f"{random.Random(number).random()}")
    sync(commune, province)
    link = Link(province, centre)
    backlog = _frames_of(link.up, province)
    assert {frame.priority for frame in backlog} == {Priority.RECORDS}
    assert link.up.waits, "what is left of it waits for acknowledgements"
    neighbour.write(case, fields={"title": "có quyết định"})
    sync(neighbour, province)
    (news,) = _frames_of(link.up, province, Priority.STATUS)
    assert news.priority == Priority.STATUS
    assert news.log not in {frame.log for frame in backlog}
    assert len(encode_message(news)) < FRAME_BYTES_MAX
    assert not _frames_of(link.up, province), "the backlog waits all the same"


@given(st.integers(0, 2**32), st.floats(0, 0.4))
@settings(deadline=None, max_examples=40)
def test_what_is_urgent_leaves_with_the_next_packet_whatever_waits_and_was_lost(
    seed: int, loss: float
) -> None:
    rng = random.Random(seed)
    world = World(lambda: [] if rng.random() < loss else [0.3])
    end = world.ends[0]
    # The greeting is over; records and files more than the line takes.
    end.outflow.put(b"greeting")
    while not end.outflow.is_done:
        world.step()
    for _ in range(60):
        end.outflow.put(bytes(1_200), Stream.RECORDS)
        end.outflow.put(bytes(1_200), Stream.BULK)
    for _ in range(rng.randrange(60)):
        world.step()
    end.outflow.put(b"urgent", Stream.URGENT)
    room_at_s = end.outflow.room_at_s(world.now_s)
    assert room_at_s is not None
    assert room_at_s <= world.now_s, "one urgent packet may always leave"
    assert end.outflow.next_piece() == Piece(Stream.URGENT, 1, b"\0\0\6urgent")


class _Mixed(Link):
    """A link whose streams overtake each other; nothing passes the greeting."""

    def __init__(self, child: Node, parent: Node, rng: random.Random) -> None:
        super().__init__(child, parent)
        self._rng = rng
        self._ways = [{stream: deque[bytes]() for stream in Stream} for _ in range(2)]
        self._greeted = [False, False]

    def _send(self, from_parent: bool, messages: Sequence[Message]) -> None:
        ways = self._ways[from_parent]
        for stream, parted in streams_of(messages).items():
            ways[stream].extend(map(encode_message, parted))
        self.sent += [(from_parent, message) for message in messages]
        inbox = self._to_child if from_parent else self._to_parent
        for stream in self._rng.sample(list(Stream), len(Stream)):
            if stream is Stream.URGENT or self._greeted[from_parent]:
                for _ in range(self._rng.randrange(4)):
                    if ways[stream]:
                        inbox.append(ways[stream].popleft())
                        self._greeted[from_parent] = True

    def step(self) -> bool:
        super().step()
        left = [self._to_child, self._to_parent, *(w for ways in self._ways for w in ways.values())]
        return any(left)


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
def test_streams_that_overtake_each_other_lose_nothing_and_need_no_second_sending(
    seed: int,
) -> None:
    rng = random.Random(seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        commune, province = new_node(COMMUNE, folder), new_node(PROVINCE, folder)
        cases = [commune.open_case(number) for number in range(rng.choice((1, 40)))]
        link = _Mixed(commune, province, rng)
        for number in range(6):
            for _ in range(rng.randrange(6)):
                link.step()
            for more in range(rng.choice((1, 1, 3, 30))):
                commune.write(rng.choice(cases), fields={"title": f"{number} {more}"})
        link.run(10_000)
        ours, theirs = (node.log(commune.place) for node in (commune, province))
        assert (theirs.size, theirs.fault) == (ours.size, "")
        assert commune.store.cosigned_by(ours, province.peer_id) == ours.size
        assert all(province.values(case) == commune.values(case) for case in cases)
        frames = [m for from_parent, m in link.sent if isinstance(m, Frame) and not from_parent]
        assert all(a.first_seq <= b.first_seq for a, b in pairwise(frames))
