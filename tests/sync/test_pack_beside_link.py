"""A stick may be taken in while a link is open: each notices what the other brought.

Method: real replicas in memory and a link between them that is held up at some message; then a pack
from the same sender is taken in at the other end, and the link goes on.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.wire import Ack, Frame, Message
from tests.sync.builders import COMMUNE, PROVINCE, Link, Node, new_node
from tests.sync.packs import carry, make, take


def test_what_a_pack_brought_is_not_sent_again_over_the_link(commune: Node, province: Node) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    for number in range(1, 200):
        commune.open_case(number)
    carry(commune, province)
    before = len(link.sent)
    # The province speaks first: its answer to the pack goes over the link.
    with province.transaction():
        answers = link.down.pump(link.now_ms)
    assert any(
        isinstance(answer, Ack) and answer.have_seq == commune.log(commune.place).size
        for answer in answers
    )
    with commune.transaction():
        for answer in answers:
            link.up.receive(answer, link.now_ms)
    link.run()
    assert not [message for _, message in link.sent[before:] if isinstance(message, Frame)]
    assert province.alarms() == []


def test_a_log_that_a_pack_completed_is_not_taken_for_forked(commune: Node, province: Node) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    for number in range(1, 300):
        commune.open_case(number, title="x" * 40)
    lost: list[Message] = []

    def lose(from_parent: bool, message: Message) -> bool:
        # The first frame never arrives; those behind it wait at the province.
        if not from_parent and isinstance(message, Frame) and not lost:
            lost.append(message)
            return True
        return False

    link.lose = lose
    for _ in range(4):
        link.step()
    assert province.store.pending_numbers(province.log(commune.place)) or lost
    carry(commune, province)
    for number in range(300, 320):
        commune.open_case(number)
    link.run()
    link.now_ms += 30_000
    link.run()
    assert province.log(commune.place).size == commune.log(commune.place).size
    assert province.alarms() == [] == commune.alarms()


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(0, 12),
    split=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
    losses=st.sets(st.integers(0, 30)),
)
def test_parts_of_a_pack_between_any_messages_of_a_link_lose_and_double_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    steps: int,
    split: int,
    order: random.Random,
    losses: set[int],
) -> None:
    folder = tmp_path_factory.getbasetemp()
    commune, province = new_node(COMMUNE, folder), new_node(PROVINCE, folder)
    link = Link(commune, province)
    for number in range(60):
        commune.open_case(number)
    made = make(commune, province, split_after=split)
    parts = list(range(1, len(made.parts) + 1))
    order.shuffle(parts)
    count = iter(range(10_000))
    link.lose = lambda _from_parent, message: isinstance(message, Frame) and next(count) in losses
    for step in range(steps):
        link.step()
        if parts and step % 2:
            take(province, made, [parts.pop()])
    for number in range(60, 70):
        commune.open_case(number)
    for part in parts:
        take(province, made, [part])
        link.step()
    # Each time the same frame may be lost.
    for _ in range(4 + len(losses)):
        link.run()
        link.now_ms += 25_000
    log = commune.log(commune.place)
    assert province.log(commune.place).size == log.size
    assert province.log(commune.place).frontier.root() == log.frontier.root()
    assert province.store.pending_numbers(province.log(commune.place)) == []
    assert province.alarms() == [] == commune.alarms()
