"""Goal: what is urgent waits for one frame at most, and what overtakes breaks nothing.

Method: real replicas in memory, whose messages arrive in the order that the test wants; for the
datagram link a line drawn by hypothesis.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
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
    handle,
    new_node,
    noise,
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


@pytest.mark.parametrize("busy", [COMMUNE, NEIGHBOUR])
def test_news_of_a_commune_waits_for_no_backlog_of_another(tmp_path: Path, busy: str) -> None:
    communes = {code: new_node(code, tmp_path) for code in (COMMUNE, NEIGHBOUR)}
    province, centre = new_node(PROVINCE, tmp_path), new_node(CENTRE, tmp_path)
    quiet = communes[NEIGHBOUR if busy == COMMUNE else COMMUNE]
    case = quiet.open_case()
    communes[busy].open_case()
    for below in communes.values():
        sync(below, province)
    sync(province, centre)
    for number in range(1, 100):
        communes[busy].open_case(number, title=noise(100, number))
    sync(communes[busy], province)
    quiet.write(case, fields={"title": "có quyết định"})
    sync(quiet, province)
    link = Link(province, centre)
    first, *backlog = _frames_of(link.up, province)
    assert first.priority == Priority.STATUS
    assert {frame.priority for frame in backlog} == {Priority.RECORDS}
    assert link.up.waits, "what is left of it waits for acknowledgements"
    handle(province, link.up, [encode_message(_acked(first))])
    quiet.write(case, fields={"title": noise(900, 1)})
    sync(quiet, province)
    (news,) = _frames_of(link.up, province, Priority.STATUS)
    assert (news.log, news.priority) == (first.log, Priority.STATUS)
    assert FRAME_BYTES_MAX / 2 < len(news.data) < FRAME_BYTES_MAX
    assert not _frames_of(link.up, province), "the backlog waits all the same"


def _acked(frame: Frame) -> Ack:
    return Ack(log=frame.log, have_seq=frame.first_seq + 1, gaps=(), cosignatures=())


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


def test_a_backlog_that_overtakes_news_of_its_own_log_is_taken_with_it_and_nothing_is_sent_again(
    tmp_path: Path,
) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    case = commune.open_case()
    link = Link(commune, province).run()
    commune.write(case, fields={"title": "mới"})
    late = handle(commune, link.up, [])
    for number in range(20):
        commune.write(case, fields={"title": f"{number}"})
    early = handle(commune, link.up, [])
    assert set(_priorities(late)) == {Priority.STATUS}
    assert set(_priorities(early)) == {Priority.RECORDS}
    answers = handle(province, link.down, [encode_message(each) for each in (*early, *late)])
    handle(commune, link.up, [encode_message(each) for each in answers])
    assert province.values(case) == commune.values(case)
    ours = commune.log(commune.place)
    assert commune.store.cosigned_by(ours, province.peer_id) == ours.size
    assert not link.up.waits


def test_leaves_of_a_new_log_are_urgent_until_it_is_sure_that_its_offer_came(
    tmp_path: Path,
) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    link = Link(commune, province).run()
    for number in range(20):
        commune.open_case(number)
    said = handle(commune, link.up, [])
    assert isinstance(said[0], Hello)
    assert set(_priorities(said)) == {Priority.STATUS}
    link.now_ms += 1
    link._to_parent += map(encode_message, said)
    link.run()
    for number in range(20, 40):
        commune.open_case(number)
    assert set(_priorities(handle(commune, link.up, []))) == {Priority.RECORDS}


def _priorities(messages: Sequence[Message]) -> list[int]:
    return [message.priority for message in messages if isinstance(message, Frame)]
