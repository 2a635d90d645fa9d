"""The connection of peer.py: WebSocket over TLS 1.3, from docs/PROTOCOL.md section 7 alone."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.independent import messages
from tests.independent.messages import MESSAGES_SIZE_BYTES_MAX, Message
from tests.independent.peer import Peer
from tests.independent.record_checker import Place, may_issue, read_chain


def tls(
    folder: Path, key: Ed25519PrivateKey, chain: Sequence[bytes], root: bytes
) -> ssl.SSLContext:
    """Return what both sides of a link show each other; folder is for files in between."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate's tier and code are checked instead
    context.load_verify_locations(cadata=root)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    shown = folder / "shown.pem"
    shown.write_text(pem + "".join(map(ssl.DER_cert_to_PEM_cert, chain)))
    context.load_cert_chain(shown)
    return context


class Contact:
    """An open link."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, parent: Place) -> None:
        self.parent = parent
        self._socket = socket

    async def say(self, *parts: bytes) -> None:
        """Send messages, each WebSocket message one."""
        for each in parts:
            await self._socket.send_bytes(each)

    async def talk(
        self, peer: Peer, until: Callable[[Peer], object], timeout_s: float = 20
    ) -> None:
        """Hear and answer until a condition holds."""
        async with asyncio.timeout(timeout_s):
            while not until(peer):
                data = await self._socket.receive_bytes()
                await self.say(*peer.take(data, now_ms()))

    async def hear(self) -> list[Message]:
        """Return the messages of the next WebSocket message."""
        async with asyncio.timeout(20):
            return messages.read(await self._socket.receive_bytes())

    async def wait_closed(self) -> None:
        """Hear without answering until the other side closes the link."""
        async with asyncio.timeout(20):
            while (await self._socket.receive()).type is aiohttp.WSMsgType.BINARY:
                continue


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def dialled(port: int, context: ssl.SSLContext, root: Place) -> AsyncIterator[Contact]:
    """Dial the parent on this machine and check who answers."""
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"wss://127.0.0.1:{port}/link/1", ssl=context, max_msg_size=MESSAGES_SIZE_BYTES_MAX
        ) as socket,
    ):
        tunnel = socket.get_extra_info("ssl_object")
        parent = read_chain([tunnel.getpeercert(binary_form=True)], root)
        assert may_issue(root, parent)
        yield Contact(socket, parent)
