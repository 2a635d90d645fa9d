"""A commune at the near end with further orders: a process of its own, as peers/commune.py is.

`python -m scripts.benchmarks.sync.commune FOLDER CASES`. Moments are those of the monotonic clock,
in seconds.
"""

import asyncio
import hashlib
import random
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from node.app import Node
from node.choice import Choice, Losses, Reason, Way
from node.exchange import Portion
from node.station import Station
from schemas.codes import Role
from schemas.wire import Frame, Message, encode_message
from scripts.benchmarks.peers.casebook import make_cases
from scripts.benchmarks.peers.commune import (
    Commune,
    Order,
    countersigned,
    main,
    officer,
    open_case,
)
from scripts.benchmarks.sync import work
from sync.framing import past_needed
from sync.session import Session

_DAY_MS: Final = 86_400_000


class ForcedChoice(Choice):
    """A choice that was made: for measuring one way."""

    def __init__(self, way: str) -> None:
        """Take this way alone."""
        super().__init__(may_datagrams=True)
        self._forced: Way = "datagrams" if way == "datagrams" else "websocket"

    def only(self, now_s: float) -> Way | None:
        """Return the way."""
        return self._forced

    def wants_other(self, losses: Losses, now_s: float) -> Reason | None:
        """Stay."""
        return None


class CountingNode(Node):
    """A node that counts the frames it hands to its link, and those that it hands out again.

    Attributes:
        frames_bytes: of all frames.
        again_bytes: of what was handed out before.
    """

    frames_bytes = 0
    again_bytes = 0
    _until = (0, 0)

    async def step(self, session: Session, take: Callable[[], Portion]) -> list[Message]:
        """Handle messages as every node does."""
        answers = await super().step(session, take)
        for answer in answers:
            if isinstance(answer, Frame):
                self._count(answer)
        return answers

    def _count(self, frame: Frame) -> None:
        size_bytes = len(encode_message(frame))
        if frame.total == len(frame.data):
            end = (frame.first_seq + past_needed(frame.data)[1], 0)
        else:
            end = (frame.first_seq, frame.offset + len(frame.data))
        self.frames_bytes += size_bytes
        begin = (frame.first_seq, frame.offset)
        if end <= self._until:
            self.again_bytes += size_bytes
        elif begin < self._until:
            # A frame that ends with new leaves; so large a share of it is of old ones.
            old, all_ = self._until[0] - begin[0], max(1, end[0] - begin[0])
            self.again_bytes += size_bytes * old // all_
        self._until = max(self._until, end)


class Worker(Commune):
    """A commune that works, is cut off, and says when it knew that the province countersigned."""

    node_type = CountingNode

    def __init__(self, node: Node, station: Station) -> None:
        """Take the orders of a running node."""
        super().__init__(node, station)
        self._next_acts: deque[tuple[str, dict[str, Any]]] = deque()
        self._seed = 1_000_000
        self._chosen: Choice | None = None

    def orders(self) -> dict[str, Order]:
        """Return what can be ordered."""
        return super().orders() | {
            "dial": self._dial,
            "up": self._up,
            "change": self._change,
            "act": self._act,
            "attach": self._attach,
            "known": self._known,
            "break": self._break,
            "rest": self._rest,
            "algorithm": self._algorithm,
            "sent": self._sent,
            "way": self._way,
            "force": self._force,
            "open": self._open,
        }

    async def _dial(self, _: Any) -> float:
        """Connect; return when that began."""
        begun_s = time.monotonic()
        await self._connect(None)
        return begun_s

    async def _up(self, within_s: float) -> bool:
        """Wait until the link is up."""
        uplink = self.node.uplink
        assert uplink is not None
        seen = self.node.changes.number
        until_s = time.monotonic() + within_s
        while uplink.status.state != "up" and time.monotonic() < until_s:
            seen = await self.node.changes.wait(seen, 1.0)
        return uplink.status.state == "up"

    async def _change(self, order: dict[str, int]) -> float:
        """Make many changes in one transaction; return when it was committed."""

        def unit(now_ms: int) -> None:
            for _ in work.changes(self.station, order["seed"], order["count"], now_ms):
                continue

        await self.node.write(unit)
        return time.monotonic()

    async def _act(self, _: Any) -> float:
        """Change one status; return when it was committed."""
        case_id, event = self._next_acts.popleft()
        await self.node.write(lambda now_ms: work.act(self.station, case_id, event, now_ms))
        return time.monotonic()

    async def _attach(self, size_bytes: int) -> None:
        """Attach a new file of incompressible bytes to a case, as a page does."""
        case_id = self._next_acts[-1][0]
        content = random.Random(self._seed).randbytes(size_bytes)
        self._seed += 1
        path = self.node.incoming_folder / f"{self._seed}.upload"
        path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(path.write_bytes, content)
        digest = hashlib.sha256(content).digest()
        self.node.blobs.adopt(path, digest)
        author, desk = officer(self.station, Role.RECEPTION_OFFICER), self.station.desk

        def unit(now_ms: int) -> None:
            desk.attach(author, case_id, digest, size_bytes, "quet.pdf", "application/pdf", now_ms)

        await self.node.write(unit)

    async def _known(self, order: dict[str, float]) -> float | None:
        """Wait until the province has countersigned all; return when, None if it takes too long."""
        try:
            async with asyncio.timeout(order["within_s"]):
                await countersigned(self.node)
        except TimeoutError:
            return None
        return time.monotonic()

    async def _break(self, _: Any) -> None:
        """Let the connection break without a farewell."""
        connection = self._socket()
        if connection is not None:
            # What the system still holds to send is lost with the line, too.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._disconnect(None)

    async def _rest(self, seconds: float) -> None:
        """Do nothing for a while."""
        await asyncio.sleep(seconds)

    async def _algorithm(self, name: str) -> bool:
        """Let another algorithm control congestion on the open connection, if the system has it."""
        connection = self._socket()
        assert connection is not None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return False
        return True

    def _socket(self) -> socket.socket | None:
        assert self.node.uplink is not None
        opened = self.node.uplink._opened
        return opened.tcp if opened is not None else None

    async def _way(self, _: Any) -> list[str]:
        """Return the way that the link takes, and why."""
        return [self.node.link.way, self.node.link.way_reason]

    async def _force(self, way: str) -> None:
        """Let links from now on take this way alone; empty: the node chooses, as it did before."""
        assert self.node.uplink is not None
        dialler = self.node.uplink._dialler
        self._chosen = self._chosen or dialler.choice
        dialler.choice = ForcedChoice(way) if way else self._chosen

    async def _sent(self, _: Any) -> list[int]:
        """Return bytes of frames handed to the link so far, and of those handed out again."""
        assert isinstance(self.node, CountingNode)
        return [self.node.frames_bytes, self.node.again_bytes]

    async def _open(self, count: int) -> None:
        """Open cases whose status can change afterwards, one transaction."""
        cases = make_cases(self._seed, count, self.node.clock.now_ms() - _DAY_MS)
        self._seed += 1

        def unit(_: int) -> None:
            for case in cases:
                open_case(self.station, case)

        await self.node.write(unit)
        self._next_acts.extend((case.id, work.status_changes(case)[0]) for case in cases)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), Worker))
