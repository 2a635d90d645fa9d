"""A wire between a browser and a node: it is cut and mended, and knows when a drawn byte passes."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Trap:
    """What happens once, at a chosen byte.

    Attributes:
        markers: bytes of the browser's; after any of them counting begins.
        count: so many bytes pass after it, in both directions together.
        deed: what is done then, in the wire's own thread.
        is_sprung: set when it was done.
    """

    markers: tuple[bytes, ...]
    count: int
    deed: Callable[[], None]
    is_sprung: threading.Event = field(default_factory=threading.Event)
    is_counting: bool = False

    def see(self, block: bytes, *, is_asking: bool) -> None:
        """Count what passes."""
        if self.is_sprung.is_set():
            return
        if not self.is_counting:
            self.is_counting = is_asking and any(one in block for one in self.markers)
            return
        self.count -= len(block)
        if self.count <= 0:
            self.deed()
            self.is_sprung.set()


class Relay:
    """Passes bytes both ways; while it is cut, the node is out of reach.

    Attributes:
        port: where the browser connects.
    """

    def __init__(self, target: int) -> None:
        """Lead to a port of this machine."""
        self.port = 0
        self._target = target
        self._trap: Trap | None = None
        self._is_cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._pairs: set[asyncio.Task[None]] = set()

    def set_trap(self, trap: Trap | None) -> None:
        """Let something happen at a byte, or nothing."""
        self._trap = trap

    def cut(self) -> None:
        """Break all connections and let none through."""
        self._is_cut = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._break)

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_asking: bool
    ) -> None:
        try:
            while block := await reader.read(1 << 10):
                if self._trap is not None:
                    self._trap.see(block, is_asking=is_asking)
                writer.write(block)
                await writer.drain()
        except OSError:
            self._open.discard(writer)
        finally:
            writer.close()

    def _break(self) -> None:
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, back}
        if self._is_cut:
            self._break()
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, back, is_asking=True))
                tasks.create_task(self._pump(there, writer, is_asking=False))
        finally:
            self._pairs.discard(task)

    async def run(self, ready: threading.Event, stop: threading.Event) -> None:
        """Serve until told to stop."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.close()
        self._break()
        while self._pairs:
            await asyncio.wait(self._pairs)


@contextmanager
def relay_to(target: int) -> Iterator[Relay]:
    """Run a relay in a thread of its own."""
    relay, ready, stop = Relay(target), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(relay.run(ready, stop)))
    thread.start()
    ready.wait()
    try:
        yield relay
    finally:
        stop.set()
        thread.join()
