"""Goal: a cut costs little: few bytes go again, and every record arrives, once.

Method: two real replicas and their sessions over the emulated line (64 kbit/s, 300 ms each way),
with a clock of the test's own. The line is cut within a random byte, again and again, and loses
what is on its way; both ends then greet anew, as after every break.
"""

import random
from collections.abc import Sequence

import pytest

from schemas.wire import Frame, Message, encode_message
from scripts.lab.line import Line, Shape
from tests.sync.builders import NOW_MS, Link, Node, handle, leaf_count
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
