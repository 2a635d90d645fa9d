"""Goal: a cut costs little: few bytes go again, and every record arrives, once.

Method: two real replicas and their sessions over the emulated line (64 kbit/s, 300 ms each way),
with a clock of the test's own. The line is cut within a random byte, again and again, and loses
what is on its way; both ends then greet anew, as after every break.
"""

import random
from collections.abc import Sequence

import pytest

from schemas.limits import WINDOW_BYTES_MIN
from schemas.wire import Frame, Message, encode_message
from scripts.lab.line import Line, Shape
from tests.sync.builders import NOW_MS, Link, Node, handle, leaf_count
from tests.sync.test_thrift import open_cases

# Of TLS, TCP and IP around a message, about.
AROUND = bytes(90)
# From cut to cut at most: some windows.
CONTACT_BYTES = 20_000
# A window of leaves, and the heads of the five frames that they fill.
AGAIN_BYTES_MAX = WINDOW_BYTES_MIN + 5 * 20


class CutLine:
    """A commune and its province over a line that is cut now and then.

    Attributes:
        again: bytes of frames that each contact sent although one before had.
    """

    def __init__(self, child: Node, parent: Node, seed: int) -> None:
        """Start with both ends silent."""
        self.child, self.parent = child, parent
        self.again: list[int] = []
        self._rng = random.Random(seed)
        self._now_s = 0.0
        # Leaves below were handed to the line.
        self._sent = 0

    def contact(self) -> bool:
        """Exchange until the line is cut; True when all was said before."""
        link = Link(self.child, self.parent, self._now_ms())
        shape = Shape(rate_bps=64_000, delay_ms=300)
        up, down = Line(shape, self._rng), Line(shape, self._rng)
        up.cut_after(self._rng.randrange(CONTACT_BYTES))
        self.again.append(0)
        sent_before = self._sent
        while True:
            arrived = [[p[: -len(AROUND)] for p in line.due(self._now_s)] for line in (up, down)]
            if up.is_cut:
                break
            said = handle(self.child, link.up, arrived[1], self._now_ms())
            self._count(said, sent_before)
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

    def _count(self, messages: Sequence[Message], sent_before: int) -> None:
        for frame in messages:
            if isinstance(frame, Frame):
                end = frame.first_seq + leaf_count(frame)
                old = max(0, min(end, sent_before) - frame.first_seq)
                self.again[-1] += len(encode_message(frame)) * old // (end - frame.first_seq)
                self._sent = max(self._sent, end)

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
