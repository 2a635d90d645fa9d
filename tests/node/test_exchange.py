"""An open link does no work while it waits for its turn at the writer."""

import asyncio
from collections.abc import Sequence
from typing import cast

from node.exchange import Exchange, Sessions
from schemas.wire import Message, Priority
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

    async def step(
        self, _: Session, messages: Sequence[Message], *, room_bytes: int, down_to: Priority
    ) -> list[Message]:
        assert room_bytes
        assert not messages
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
