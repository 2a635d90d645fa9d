"""What is open for each device just now, so that a revocation ends it at once.

Whoever serves a stream or a socket holds its device meanwhile:

    with office.connections.hold(device) as held:
        ...  # look here whether the device still counts, then serve

A device that is revoked has the tasks that hold it cancelled; held.is_revoked then tells why.
Looking before holding would leave a gap in which a revocation is missed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Held:
    """One task that serves a device."""

    task: asyncio.Task[object]
    is_revoked: bool = False


class Connections:
    """Tasks by the device that they serve; used in the event loop only."""

    def __init__(self) -> None:
        """Start with none."""
        self._held: dict[bytes, set[Held]] = {}

    @contextmanager
    def hold(self, device: bytes) -> Iterator[Held]:
        """Let the running task be cancelled when the device is revoked."""
        task = asyncio.current_task()
        assert task is not None
        one, held = Held(task), self._held.setdefault(device, set())
        held.add(one)
        try:
            yield one
        finally:
            held.discard(one)
            if not held:
                self._held.pop(device, None)

    def end(self, device: bytes) -> None:
        """Cancel what serves a device."""
        for one in list(self._held.get(device, ())):
            one.is_revoked = True
            one.task.cancel()

    def present(self) -> frozenset[bytes]:
        """Return the devices with something open."""
        return frozenset(self._held)
