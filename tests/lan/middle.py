"""Stands between devices and a node: ends their TLS with a CA of its own, and passes all else on.

As a program: `python -m tests.lan.middle HOST NODE PORT CERTIFICATE` until it is killed.
"""

import asyncio
import random
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from crypto import p256
from crypto.site import certificate_der, make_site
from node.clock import Clock
from node.site import PageTls, Site

_PIECE = 65_536


@asynccontextmanager
async def between(
    host: str, port: int, node: tuple[str, int], true: bytes, *, shows_own: bool
) -> AsyncIterator[int]:
    """Listen; yield the port.

    Args:
        host: where to listen.
        port: 0 for any free one.
        node: whom everything is passed on to.
        true: certificate of the node's site, as DER.
        shows_own: hands out a CA of its own for it; else the true one, whose key it lacks.
    """
    key = p256.p256_key(random.Random(3).randbytes(p256.SECRET_BYTES))
    now_ms = Clock().now_ms()
    certificate = make_site(key, "Xã Mỹ Lý", "40.17083", now_ms)
    site = Site(certificate=certificate, key=key, name="tiepdan-40-17083.local")
    tls = PageTls(site, random.Random(4).randbytes)
    tls.renew([ip_address(host)], now_ms)
    own = certificate_der(certificate)
    inward = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    inward.check_hostname, inward.verify_mode = False, ssl.CERT_NONE

    def changed(data: bytes) -> bytes:
        if not shows_own or true not in data:
            return data
        head = data.partition(b"\r\n\r\n")[0]
        return head.replace(str(len(true)).encode(), str(len(own)).encode()) + b"\r\n\r\n" + own

    async def carry(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool
    ) -> None:
        while data := await reader.read(_PIECE):
            writer.write(changed(data) if outward else data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection(*node, ssl=inward)
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, inner[1], outward=False))
            group.create_task(carry(inner[0], writer, outward=True))

    server = await asyncio.start_server(serve, host, port, ssl=tls.context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _stand(host: str, node: str, port: int, true: bytes) -> None:
    async with between(host, port, (node, port), true, shows_own=True):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    HOST, NODE, PORT, CERTIFICATE = sys.argv[1:]
    asyncio.run(_stand(HOST, NODE, int(PORT), Path(CERTIFICATE).read_bytes()))
