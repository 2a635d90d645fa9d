"""UDP below the datagram link: a child dials, a parent listens beside its TCP port."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

from node.callers import Callers
from node.channel import Channel
from node.clock import Clock
from node.dtls import Dialling, Listening
from sync.errors import LinkError

log = logging.getLogger(__name__)

# Connections at once; a province has some hundred communes.
_CHANNELS_MAX: Final = 4_096
# First datagrams of strangers that are read; each takes a part of a millisecond.
_HELLOS_PER_S: Final = 200
# A name that is not known by then is looked up by who dials.
_LOOK_UP_S: Final = 1.0
# What comes while others are being handled, at all links together.
_RECEIVE_BYTES: Final = 1 << 20

_Address: TypeAlias = tuple[Any, ...]


class Dialled(asyncio.DatagramProtocol):
    """The socket of one link that was dialled."""

    def __init__(self, dialling: Dialling, clock: Clock) -> None:
        """Dial as soon as there is a socket."""
        self._dialling = dialling
        self._clock = clock
        self._transport: asyncio.DatagramTransport | None = None
        self.channel: Channel | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        secured = self._dialling.dial()
        self.channel = Channel(secured, self._transport.sendto, self._clock, is_dialler=True)
        self.channel.begin()

    def datagram_received(self, data: bytes, addr: _Address) -> None:
        """Hand a datagram on."""
        assert self.channel is not None
        self.channel.on_datagram(data)

    def error_received(self, exc: Exception) -> None:
        """Believe a refusal before anything came; later anybody could forge it."""
        if self.channel is not None and not self.channel.is_answered:
            self.channel.fail(exc)

    def close(self) -> None:
        """Close the socket; the session can be resumed afterwards."""
        if self.channel is not None:
            self._dialling.resumes = self.channel.secured.end() or self._dialling.resumes
        if self._transport is not None:
            self._transport.close()


async def dial(dialling: Dialling, host: str, port: int, clock: Clock) -> Dialled:
    """Return a socket whose channel is in its handshake.

    Raises:
        OSError: there is no such address.
    """
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Dialled(dialling, clock), remote_addr=(host, port)
    )
    return protocol


async def own_host(host: str, port: int) -> str:
    """Return our address on the way to another; empty: there is no way, or it is not known soon.

    Nothing is sent but what looking up a name takes.
    """
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=(host, port)
            )
    except (OSError, UnicodeError):
        return ""
    address: _Address = transport.get_extra_info("sockname")
    transport.close()
    return str(address[0])


class Doorway(asyncio.DatagramProtocol):
    """The socket that children dial: one channel for each address that proved to be one."""

    def __init__(self, listening: Listening, clock: Clock) -> None:
        """Serve nobody yet."""
        self._listening = listening
        self._clock = clock
        self._transport: asyncio.DatagramTransport | None = None
        self._channels: dict[_Address, Channel] = {}
        # Strangers who proved their address and no more.
        self._callers: Callers[_Address] = Callers()
        self._arrived: asyncio.Queue[_Address] = asyncio.Queue()
        self._hellos_left = float(_HELLOS_PER_S)
        self._hellos_at_s = clock.monotonic_s()

    def show(self, listening: Listening) -> None:
        """Show another certificate from the next connection on."""
        self._listening = listening

    async def open(self, address: _Address, family: int) -> None:
        """Start listening.

        Raises:
            OSError: the address is in use or not ours.
        """
        listening = socket.socket(family, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            listening.bind(address)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listening)
        except BaseException:
            listening.close()
            raise

    async def serve(self, handle: Callable[[Channel], Awaitable[None]]) -> None:
        """Handle each link in a task of its own, until cancelled.

        Args:
            handle: raises nothing that a peer can bring about.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                address = await self._arrived.get()
                group.create_task(self._serve(address, handle), name="datagram link")

    async def _serve(self, address: _Address, handle: Callable[[Channel], Awaitable[None]]) -> None:
        channel = self._channels[address]
        try:
            await channel.opened()
            self._callers.end(address)
            await handle(channel)
        except (LinkError, OSError) as error:
            log.info("datagram link refused", extra={"reason": type(error).__name__})
        finally:
            channel.abort()
            channel.secured.end()
            self._callers.end(address)
            del self._channels[address]

    def close(self) -> None:
        """Stop listening."""
        for channel in self._channels.values():
            channel.abort()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: _Address) -> None:
        """Hand a datagram on to its channel, or look at what a stranger wants."""
        channel = self._channels.get(addr)
        if channel is not None:
            channel.on_datagram(data)
        elif self._has_time() and len(self._channels) < _CHANNELS_MAX:
            self._meet(data, addr)

    def _meet(self, data: bytes, addr: _Address) -> None:
        secured, answers = self._listening.greet(data, repr(addr).encode())
        if secured is None:
            for answer in answers:
                self._send(answer, addr)
        else:
            channel = Channel(
                secured, lambda datagram: self._send(datagram, addr), self._clock, is_dialler=False
            )
            self._channels[addr] = channel
            self._arrived.put_nowait(addr)
            channel.begin()
            leaving = self._callers.admit(addr, addr)
            if leaving is not None:
                self._channels[leaving].abort()

    def _send(self, datagram: bytes, addr: _Address) -> None:
        if self._transport is not None:
            self._transport.sendto(datagram, addr)

    def _has_time(self) -> bool:
        """Tell whether one more stranger may take some of our time."""
        now_s = self._clock.monotonic_s()
        more = (now_s - self._hellos_at_s) * _HELLOS_PER_S
        self._hellos_left = min(self._hellos_left + more, float(_HELLOS_PER_S))
        self._hellos_at_s = now_s
        if self._hellos_left < 1:
            return False
        self._hellos_left -= 1
        return True
