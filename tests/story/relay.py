"""A wire between a browser and a node that breaks after a chosen number of bytes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Relay:
    """Passes bytes both ways; once told how many more may pass, it breaks every connection there.

    Attributes:
        port: where the browser connects.
    """

    def __init__(self, target: int) -> None:
        """Lead to a port of this machine."""
        self.port = 0
        self._target = target
        self._left: int | None = None
        self._broken = threading.Event()
        self._open: set[asyncio.StreamWriter] = set()

    def break_after(self, count: int) -> None:
        """Break after this many more bytes, in either direction."""
        self._broken.clear()
        self._left = count

    def wait_until_broken(self, timeout_s: float) -> bool:
        """Return whether it broke in time; otherwise it will not any more."""
        is_broken = self._broken.wait(timeout_s)
        if not is_broken:
            self._left = None
        return is_broken

    def _pass(self, count: int) -> int:
        """Return how many of these bytes may pass."""
        if self._left is None:
            return count
        passing = min(count, self._left)
        self._left -= passing
        return passing

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(1 << 12):
                passing = self._pass(len(block))
                writer.write(block[:passing])
                await writer.drain()
                if passing < len(block):
                    self._break()
        except OSError:
            self._open.discard(writer)
        finally:
            writer.close()

    def _break(self) -> None:
        self._left = None
        for writer in self._open:
            writer.close()
        self._open.clear()
        self._broken.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, back}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(reader, back))
            tasks.create_task(self._pump(there, writer))

    async def run(self, ready: threading.Event, stop: threading.Event) -> None:
        """Serve until told to stop."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.close()
        for writer in self._open:
            writer.close()


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
