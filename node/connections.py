"""What is open for each device just now, so that a revocation ends it at once.

Whoever serves a stream or a socket holds its device meanwhile:

    with office.connections.hold(device):
        ...  # look here whether the device still counts, then serve

A device that is revoked has the tasks that hold it cancelled. Looking before holding would leave a
gap in which a revocation is missed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Connections:
    """Tasks by the device that they serve; used in the event loop only."""

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: dict[bytes, set[asyncio.Task[object]]] = {}

    @contextmanager
    def hold(self, device: bytes) -> Iterator[None]:
        """Let the running task be cancelled when the device is revoked."""
        task = asyncio.current_task()
        assert task is not None
        tasks = self._tasks.setdefault(device, set())
        tasks.add(task)
        try:
            yield
        finally:
            tasks.discard(task)
            if not tasks:
                self._tasks.pop(device, None)

    def end(self, device: bytes) -> None:
        """Cancel what serves a device."""
        for task in list(self._tasks.get(device, ())):
            task.cancel()

    def present(self) -> frozenset[bytes]:
        """Return the devices with something open."""
        return frozenset(self._tasks)
