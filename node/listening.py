"""Listens on a port, and keeps a flood of connections from taking what the node needs itself."""

import asyncio
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from node.callers import Callers

# Database, its readers, attachments, the link upwards: never given away to connections.
_OWN_DESCRIPTORS: Final = 128
# Strangers who never finish the handshake go after this; a slow line needs some seconds.
_HANDSHAKE_S: Final = 30.0
# Those who connected and ask nothing, or ask it letter by letter.
_IDLE_S: Final = 60.0
_DESCRIPTORS_MAX: Final = 1 << 20


class Listener:
    """A port that is listened on."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server) -> None:
        """Hold what listens."""
        self._runner = runner
        self._server = server
        self._beside: list[Callable[[], None]] = []

    def close_too(self, close: Callable[[], None]) -> None:
        """Close something else together with this port."""
        self._beside.append(close)

    @property
    def port(self) -> int:
        """The port, also where any free one was asked for."""
        return int(self.address[1])

    @property
    def address(self) -> tuple[Any, ...]:
        """The address with the port, as the family has it."""
        address: tuple[Any, ...] = self._server.sockets[0].getsockname()
        return address

    @property
    def family(self) -> int:
        """The family of the address."""
        return self._server.sockets[0].family

    async def close(self) -> None:
        """Stop listening and end what is connected."""
        self._server.close()
        for close in self._beside:
            close()
        await self._runner.cleanup()


class _BoundedSocket(socket.socket):
    """A listening socket that lets only so many strangers be at their handshake or first words.

    It hangs up at once when only the node's own share is left.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._callers: Callers[int] = Callers()
        # By their descriptor, which the system gives again once the connection is closed.
        self._connections: dict[int, socket.socket] = {}

    def begun(self, descriptor: int) -> None:
        """Learn that somebody has asked for something: it counts no more."""
        self._callers.end(descriptor)
        self._connections.pop(descriptor, None)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection.

        Raises:
            BlockingIOError: there is none that can be taken.
        """
        connection, address = super().accept()
        for descriptor in [fd for fd, one in self._connections.items() if one.fileno() < 0]:
            self.begun(descriptor)
        # The system gives the lowest free number.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if connection.fileno() >= most - _OWN_DESCRIPTORS:
            connection.close()
            raise BlockingIOError
        self._connections[connection.fileno()] = connection
        leaving = self._callers.admit(connection.fileno(), address)
        if leaving is not None:
            # Whoever serves it sees its end, as if it had hung up.
            with suppress(OSError):
                self._connections.pop(leaving).shutdown(socket.SHUT_RDWR)
        return connection, address


async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None = None,
    shutdown_s: float,
) -> Listener:
    """Start listening; the caller closes the listener.

    Raises:
        OSError: the address is in use or not ours.
    """
    listening = await _bound(host, port)

    @web.middleware
    async def note_begun(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connection = request.get_extra_info("socket")
        if connection is not None:
            listening.begun(connection.fileno())
        return await handler(request)

    app.middlewares.insert(0, note_begun)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_s, keepalive_timeout=_IDLE_S
    )
    await runner.setup()

    assert runner.server is not None
    try:
        server = await asyncio.get_running_loop().create_server(
            runner.server,
            sock=listening,
            ssl=context,
            ssl_handshake_timeout=None if context is None else _HANDSHAKE_S,
        )
    except BaseException:
        listening.close()
        await runner.cleanup()
        raise
    return Listener(runner, server)


def raise_descriptor_limit() -> None:
    """Let the process hold as many connections as the system allows it to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _bound(host: str, port: int) -> _BoundedSocket:
    infos = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = min(infos, key=lambda info: info[0] != socket.AF_INET)
    listening = _BoundedSocket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except BaseException:
        listening.close()
        raise
    return listening
