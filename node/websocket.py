"""The WebSocket of a link, as the exchange wants it: either side, over TLS."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp import web

from node.choice import Losses
from sync.errors import LinkError
from sync.packets import Stream

PATH: Final = "/link/1"

_CLOSED: Final = (
    *(aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED),
    aiohttp.WSMsgType.ERROR,
)
# struct tcp_info of Linux (include/uapi/linux/tcp.h), to tcpi_data_segs_out; later kernels append.
_TCP_INFO: Final = struct.Struct("=8B24I4Q6I")
_BACKOFF, _TOTAL_RETRANS, _DATA_SEGS_OUT = 4, 31, 41


class WebSocket:
    """One WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse | web.WebSocketResponse) -> None:
        """Wrap an open one."""
        self._socket = socket

    async def send_bytes(self, data: bytes, /, stream: Stream = Stream.URGENT) -> None:
        """Send one message, waiting while the line is full; there is one stream for all.

        Raises:
            OSError, aiohttp.ClientError: the line broke.
        """
        await self._socket.send_bytes(data)

    async def receive(self) -> bytes | None:
        """Return the next message; None: the link is closed.

        Raises:
            LinkError: it was text.
        """
        message = await self._socket.receive()
        if message.type in _CLOSED:
            return None
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise LinkError("message_malformed", "the peer sent text")
        data: bytes = message.data
        return data


def transport_of(opened: aiohttp.ClientWebSocketResponse) -> asyncio.Transport | None:
    """Return what is below a WebSocket that was dialled; None: it is gone."""
    connection = opened._response.connection
    return connection.transport if connection is not None else None


def drop(opened: aiohttp.ClientWebSocketResponse) -> None:
    """End a WebSocket without the farewell that a cut line never gets.

    The library has no way to do that.
    """
    transport = transport_of(opened)
    if transport is not None:
        transport.abort()
    connection = opened._response.connection
    if connection is not None:
        connection.close()


def tcp_losses(transport: asyncio.BaseTransport | None) -> Losses:
    """Return what the kernel knows of a connection; nothing where it does not tell."""
    connection = transport.get_extra_info("socket") if transport else None
    data = b""
    if connection is not None:
        with suppress(OSError):
            data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    if len(data) < _TCP_INFO.size:
        return Losses(packets=0, lost=0)
    values = _TCP_INFO.unpack(data)
    return Losses(
        packets=values[_DATA_SEGS_OUT], lost=values[_TOTAL_RETRANS], doublings=values[_BACKOFF]
    )
