"""Goal: a cut costs little: few bytes go again, and every record arrives, once.

Method: two real replicas and their sessions over the emulated line (64 kbit/s, 300 ms each way),
with a clock of the test's own. The line is cut within a random byte, again and again, and loses
what is on its way; both ends then greet anew, as after every break. Then without a clock: one link
loses what the test chooses, and the next one shows what goes again.
"""

import random
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import pytest

from schemas.wire import Frame, Head, Message, encode_message
from scripts.lab.line import Line, Shape
from tests.sync.builders import (
    COMMUNE,
    NOW_MS,
    Link,
    Node,
    handle,
    leaf_count,
    new_node,
    noise,
)
from tests.sync.test_epochs import copy_of, restored
from tests.sync.test_thrift import open_cases

# Of TLS, TCP and IP around a message, about.
AROUND = bytes(90)
# From cut to cut at most: some windows.
CONTACT_BYTES = 20_000
AGAIN_BYTES_MAX = 6_000


class CutLine:
    """A commune and its province over a line that is cut now and then.

    Attributes:
        again: bytes of frames that had to be sent again after each cut.
    """

    def __init__(self, child: Node, parent: Node, seed: int) -> None:
        """Start with both ends silent."""
        self.child, self.parent = child, parent
        self.again: list[float] = []
        self._rng = random.Random(seed)
        self._now_s = 0.0
        # In which contact each leaf was handed to the line last.
        self._contact_of: dict[int, int] = {}

    def contact(self) -> bool:
        """Exchange until the line is cut; True when all was said before."""
        link = Link(self.child, self.parent, self._now_ms())
        shape = Shape(rate_bps=64_000, delay_ms=300)
        up, down = Line(shape, self._rng), Line(shape, self._rng)
        up.cut_after(self._rng.randrange(CONTACT_BYTES))
        self.again.append(0.0)
        while True:
            arrived = [[p[: -len(AROUND)] for p in line.due(self._now_s)] for line in (up, down)]
            if up.is_cut:
                break
            said = handle(self.child, link.up, arrived[1], self._now_ms())
            self._count(said)
            self._send(up, said)
            self._send(down, handle(self.parent, link.down, arrived[0], self._now_ms()))
            times = [line.next_s() for line in (up, down)]
            due_s = [at_s for at_s in times if at_s is not None]
            if not due_s:
                return True
            self._now_s = min(due_s)
        self._now_s += 1.0
        return False

    def _send(self, line: Line, messages: Sequence[Message]) -> None:
        for message in messages:
            line.offer(encode_message(message) + AROUND, self._now_s)

    def _count(self, messages: Sequence[Message]) -> None:
        now = len(self.again) - 1
        for frame in messages:
            if isinstance(frame, Frame):
                count = leaf_count(frame)
                for leaf in range(frame.first_seq, frame.first_seq + count):
                    before = self._contact_of.get(leaf, now)
                    assert before < now or leaf not in self._contact_of, "twice in one contact"
                    if before < now:
                        self.again[before] += len(encode_message(frame)) / count
                    self._contact_of[leaf] = now

    def _now_ms(self) -> int:
        return NOW_MS + round(self._now_s * 1_000)


@pytest.mark.parametrize("seed", range(2))
def test_after_cuts_within_random_bytes_little_is_sent_again_and_all_arrives_once(
    commune: Node, province: Node, seed: int
) -> None:
    open_cases(commune, 700)
    line = CutLine(commune, province, seed)
    while not line.contact():
        continue
    assert len(line.again) > 3
    assert any(line.again)
    assert max(line.again) <= AGAIN_BYTES_MAX
    assert province.log(commune.place).head() == commune.log(commune.place).head()
    [(count, different)] = province.rows("SELECT count(*), count(DISTINCT hash) FROM change")
    assert count == different == 700


def write_long(node: Node, count: int) -> None:
    """Open cases that fill a frame each."""
    for number in range(count):
        node.open_case(number, title=noise(900, number))


def ranges(link: Link) -> list[tuple[int, int]]:
    """Return (first, count) of the frames that the child sent."""
    sent = [message for sender, message in link.sent if not sender]
    return [(frame.first_seq, leaf_count(frame)) for frame in sent if isinstance(frame, Frame)]


def lose_answers(link: Link, frames: Container[int] = ()) -> Callable[[bool, Message], bool]:
    """Return what loses all that the parent says, and of the child's frames these, from 1."""
    return lambda sender, message: (
        sender or (isinstance(message, Frame) and len(ranges(link)) in frames)
    )


def open_link(commune: Node, province: Node) -> Link:
    """Return a link on which the log was acknowledged once, and nothing is on its way."""
    commune.open_case(99)
    link = Link(commune, province).run()
    link.sent.clear()
    return link


def test_of_what_was_on_its_way_at_a_cut_the_next_link_sends_what_was_lost(
    commune: Node, province: Node
) -> None:
    link = open_link(commune, province)
    write_long(commune, 12)
    # No acknowledgement comes back, and the last of the frames do not arrive either.
    link.lose = lose_answers(link, range(4, 100))
    link.step()
    link.step()
    sent = ranges(link)
    assert len(sent) > 4
    link = Link(commune, province).run()
    assert set(ranges(link)) >= set(sent[3:])
    assert not set(ranges(link)) & set(sent[:3])
    assert province.log(commune.place).head() == commune.log(commune.place).head()


def test_when_a_cut_lost_the_answers_alone_no_leaf_goes_again(
    commune: Node, province: Node
) -> None:
    link = open_link(commune, province)
    write_long(commune, 3)
    link.lose = lose_answers(link)
    link.run()
    link = Link(commune, province).run()
    assert ranges(link) == []
    assert [type(m) for sender, m in link.sent if not sender].count(Head) == 1
    assert province.log(commune.place).head() == commune.log(commune.place).head()


def test_what_came_behind_a_gap_before_a_cut_does_not_go_again(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    write_long(commune, 4)
    link = Link(commune, province)
    link.lose = lose_answers(link, [2])
    link.run()
    gap = ranges(link)[1]
    # A program that was started anew knows nothing of earlier links but what was acknowledged.
    anew = new_node(COMMUNE, tmp_path, connection=commune.store.db)
    log, peer = anew.log(anew.place), province.peer_id
    with anew.transaction():
        anew.store.set_cursor(log, peer, log.size)
    link = Link(anew, province).run()
    assert ranges(link) == [gap]
    assert province.log(commune.place).head() == commune.log(commune.place).head()


@pytest.mark.parametrize("lost", [{4, 5, 6}, {2, 5, 6}])
def test_a_province_put_back_keeps_what_came_before_each_cut(
    tmp_path: Path, commune: Node, province: Node, lost: set[int]
) -> None:
    commune.open_case(99)
    Link(commune, province).run()
    old = copy_of(province, tmp_path)
    write_long(commune, 6)
    Link(commune, province).run()
    restored(old)
    link = Link(commune, old)
    link.lose = lambda sender, message: (
        not sender
        and (
            isinstance(message, Head) or (isinstance(message, Frame) and len(ranges(link)) in lost)
        )
    )
    link.run()
    sent = ranges(link)
    assert len(sent) == 6
    link = Link(commune, old).run()
    assert set(ranges(link)) == {sent[number - 1] for number in lost}
    assert old.log(commune.place).head() == commune.log(commune.place).head()
