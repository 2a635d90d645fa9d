"""An open link does no work while it waits for its turn at the writer."""

import asyncio
from collections.abc import Callable
from typing import cast

from node.exchange import Exchange, Portion, Sessions
from schemas.wire import Message, Problem, encode_message
from sync.packets import Stream
from sync.session import Session


class _Queue:
    """A node with news whose writer serves others first, and a line on which nothing comes."""

    rate_bytes_s = None

    def __init__(self) -> None:
        """Count how often somebody asks for news."""
        self.asked = 0
        self.steps = 0
        self.waits = asyncio.Event()

    async def receive(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def send_bytes(self, _: bytes, /, stream: Stream = Stream.URGENT) -> None:
        """Take what is sent."""

    def has_news(self) -> bool:
        return True

    async def wait_for_news(self, _: Session) -> None:
        self.asked += 1

    async def step(self, _: Session, take: Callable[[], Portion]) -> list[Message]:
        portion = take()
        assert portion.room_bytes
        assert not portion.messages
        self.steps += 1
        if self.steps > 1:
            # The greeting was served; this one is not.
            self.waits.set()
            await asyncio.Event().wait()
        return []


def test_a_link_that_waits_for_its_turn_does_not_ask_for_news_again_and_again() -> None:
    async def story() -> None:
        queue = _Queue()
        link = Exchange(queue, cast("Session", queue), cast("Sessions", queue))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(link.run(), name="link")
            await queue.waits.wait()
            asked = queue.asked
            # Time enough to gather news several times.
            await asyncio.sleep(0.5)
            assert queue.asked <= asked + 1
            running.cancel()

    asyncio.run(story())


class _Busy:
    """A session, the node and a line; the writer is free only once all has come."""

    rate_bytes_s = None

    def __init__(self, count: int) -> None:
        """Let so many messages come one by one."""
        self.left = count
        self.has_come = asyncio.Event()
        self.steps: list[int] = []
        self.is_done = asyncio.Event()

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        if not self.left:
            self.has_come.set()
            await asyncio.Event().wait()
        self.left -= 1
        return encode_message(Problem(code="some", detail="thing"))

    async def send_bytes(self, _: bytes, /, stream: Stream = Stream.URGENT) -> None:
        """Take what is sent."""

    def has_news(self) -> bool:
        return False

    async def wait_for_news(self, _: Session) -> None:
        await asyncio.Event().wait()

    async def step(self, _: Session, take: Callable[[], Portion]) -> list[Message]:
        if self.steps:
            await self.has_come.wait()
            self.is_done.set()
        self.steps.append(len(take().messages))
        return []


def test_what_comes_while_a_link_waits_for_its_turn_is_handled_in_that_turn() -> None:
    async def story() -> None:
        busy = _Busy(5)
        link = Exchange(busy, cast("Session", busy), cast("Sessions", busy))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(link.run(), name="link")
            await busy.is_done.wait()
            running.cancel()
        assert busy.steps == [0, 5]

    asyncio.run(story())
