"""What is small on the way and large when it is opened, and what is simply too large."""

import asyncio
import gzip
import os
import zlib
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import zstandard

from schemas.ids import DocumentId
from scripts.attacks.caller import Caller, Reply, calling, say_raw
from scripts.attacks.link import contact, outcome, peer_of
from scripts.attacks.report import Report
from scripts.attacks.world import OFFICER, World
from sync.change import MAGIC, uleb
from tests.independent.change_reader import uleb_bytes
from tests.independent.messages import FRAME, HEAD, write
from tests.independent.peer_link import now_ms
from tests.stock.raw import Raw, raw_client

_BOMB_BYTES: Final = 200 << 20
_DOCUMENT: Final = DocumentId(bytes.fromhex("01a0c4506c007226b63c5ab791b7584b"))
_KINDS: Final = {"gzip": 31, "deflate": 15}


async def attack(world: World, report: Report) -> None:
    """Send bombs and giants to the pages, the socket of programs and the port for children."""
    await _compressed_bodies(world, report)
    await _giants(world, report)
    await _broken_requests(world, report)
    for port in (world.commune.web_port, world.province.web_port):
        await _inflating_websockets(world, report, port)
    await _programs(world, report)
    await _frames(world, report)


def _bomb(wbits: int) -> bytes:
    deflating = zlib.compressobj(9, wbits=wbits)
    block = bytes(1 << 20)
    parts = [deflating.compress(block) for _ in range(_BOMB_BYTES >> 20)]
    return b"".join(parts) + deflating.flush()


async def _compressed_bodies(world: World, report: Report) -> None:
    """Announce a body as compressed: no client of ours does, so none is opened."""
    bombs = {kind: _bomb(wbits) for kind, wbits in _KINDS.items()}
    bombs["zstd"] = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    bombs["br"] = bytes(64)
    small = gzip.compress(b'{"user":"lan","password":"x"}')
    async with calling(world.commune.url) as stranger, world.signed_in(OFFICER) as officer:
        for who, caller, path in (
            ("a stranger", stranger, "/api/v1/sign-in"),
            ("a stranger", stranger, "/no/such/page"),
            ("an officer", officer, "/api/v1/visits"),
            ("an officer", officer, f"/api/v1/documents/{world.ids['case']}/attachments"),
        ):
            for kind, bomb in bombs.items():
                reply = await _encoded(caller, path, kind, bomb)
                report.answered(f"{who}: 200 MiB as {kind} to {path}", reply)
        reply = await _encoded(stranger, "/api/v1/sign-in", "gzip", small)
        report.answered("a stranger: a small body as gzip", reply, {"json_malformed"})
    context = world.office.context
    async with calling(f"https://127.0.0.1:{world.province.sync_port}", context) as child:
        for path in ("/renew/1", "/enrol/1", "/accounts/1", "/link/1"):
            reply = await _encoded(child, path, "gzip", bombs["gzip"])
            report.answered(f"a commune: 200 MiB as gzip to {path}", reply)


async def _encoded(caller: Caller, path: str, kind: str, body: bytes) -> Reply:
    headers = {"Content-Encoding": kind, "Content-Type": "application/json"}
    return await caller.ask("POST", path, body, headers)


async def _giants(world: World, report: Report) -> None:
    """Send bodies, heads and forms that are larger or deeper than any of ours."""
    long = b'{"user":"' + b"a" * (9 << 10) + b'","password":"x"}'
    async with calling(world.commune.url) as stranger:
        as_json = {"Content-Type": "application/json"}
        reply = await stranger.ask("POST", "/api/v1/sign-in", long, as_json)
        report.answered("a stranger: 9 KiB to sign in", reply, {"request_too_large"})
        reply = await stranger.ask("GET", "/sign-in?" + "a" * (64 << 10))
        report.answered("a stranger: a path of 64 KiB", reply)
        reply = await stranger.ask("GET", "/sign-in", headers={"X-Long": "a" * (64 << 10)})
        report.answered("a stranger: a header of 64 KiB", reply)
        many = {f"X-{number}": "a" * 100 for number in range(2_000)}
        report.answered(
            "a stranger: 2,000 headers", await stranger.ask("GET", "/api/v1/me", headers=many)
        )
    async with world.signed_in(OFFICER) as officer:
        for said, body in {
            "9 MiB of JSON": b'{"a":"' + b"x" * (9 << 20) + b'"}',
            "100,000 brackets": b"[" * 100_000,
            "a number of 100,000 digits": b'{"people_count":' + b"9" * 100_000 + b"}",
            "100,000 petitions": b'{"petitions":[' + b"{}," * 99_999 + b"{}]}",
            "half a character": b'{"statement":"\xc3"}',
            "a lone surrogate": b'{"statement":"\\ud800"}',
        }.items():
            reply = await officer.ask("POST", "/api/v1/visits", body, as_json)
            report.answered(f"an officer: {said}", reply)


async def _broken_requests(world: World, report: Report) -> None:
    """Send requests whose length is a lie, by which servers behind each other are confused."""
    for said, head in {
        "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n",
        "a length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "a length below nothing": "Content-Length: -1\r\n",
        "a length of letters": "Content-Length: five\r\n",
        "a length of many digits": f"Content-Length: {'9' * 30}\r\n",
        "a header without a name": ": x\r\n",
        "a folded header": "X-A: b\r\n c\r\n",
        "a zero in a header": "X-A: b\x00c\r\n",
    }.items():
        request = (
            "POST /api/v1/sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        reply = await say_raw(world.commune.web_port, request.encode())
        report.answered(f"a request with {said}", reply)
    for said, data in {
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n",
        "another version": b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        "no name": b"GET /api/v1/health HTTP/1.1\r\nConnection: close\r\n\r\n",
    }.items():
        report.answered(f"a request with {said}", await say_raw(world.commune.web_port, data))


async def _inflating_websockets(world: World, report: Report, port: int) -> None:
    """Ask for permessage-deflate, and send a compressed message all the same."""
    name = "commune" if port == world.commune.web_port else "province"
    async with world.signed_in(OFFICER, name) as officer:
        path = (await officer.ask("POST", "/api/v1/repo-tickets", {})).body["path"]
    deflating = zlib.compressobj(9, wbits=-15)
    bomb = deflating.compress(bytes(_BOMB_BYTES)) + deflating.flush(zlib.Z_SYNC_FLUSH)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    agreed = b"permessage-deflate" in head
    report.tried(f"{name}: permessage-deflate", head.split(b"\r\n")[0].decode(), refused=not agreed)
    # FIN, RSV1 and binary: a compressed message, masked with zeros.
    writer.write(b"\xc2\xff" + len(bomb).to_bytes(8) + bytes(4) + bomb)
    try:
        async with asyncio.timeout(10):
            ends = await reader.read()
        answer = f"closed with {int.from_bytes(ends[2:4])}" if ends[:1] == b"\x88" else "hung up"
        refused = True
    except ConnectionError:
        answer, refused = "hung up", True
    except TimeoutError:
        answer, refused = "kept open", False
    writer.close()
    report.tried(f"{name}: a compressed message of 200 MiB", answer, refused=refused)


async def _programs(world: World, report: Report) -> None:
    """Send messages of automerge-repo that open to giants, or are no messages."""
    async with world.signed_in(OFFICER) as officer:
        for said, messages in _hostile_messages():
            path = (await officer.ask("POST", "/api/v1/repo-tickets", {})).body["path"]
            address = world.commune.url.replace("http", "ws") + path
            async with raw_client(address) as raw:
                try:
                    for message in messages:
                        await _say(raw, message)
                    answer = await raw.hear()
                except ConnectionError:
                    answer = aiohttp.WSCloseCode.MESSAGE_TOO_BIG
            kind = answer.get("type", "") if isinstance(answer, dict) else str(answer)
            refused = kind in ("error", "doc-unavailable", "1008", "1009", "1002")
            report.tried(f"a program: {said}", kind, refused=refused)


async def _say(raw: Raw, message: Any) -> None:
    if isinstance(message, tuple):
        await raw.sync(_DOCUMENT, message[0])
    else:
        await raw.say(message)


def _hostile_messages() -> Iterator[tuple[str, list[Any]]]:
    deflated = _bomb(-15)
    chunk = MAGIC + bytes(4) + b"\x02" + uleb(len(deflated)) + deflated
    yield "a change that opens to 200 MiB", [([chunk],)]
    yield "9 MiB in one message", [bytes(9 << 20)]
    yield "malformed CBOR", [b"\xbf\xff\xff"]
    yield "CBOR of endless depth", [b"\x81" * 60_000]
    yield "CBOR that claims 2^60 entries", [b"\x9b" + (1 << 60).to_bytes(8)]
    yield "noise", [os.urandom(2_000)]


async def _frames(world: World, report: Report) -> None:
    """Send frames of a link that open to giants, and messages beyond all limits."""
    packed = zstandard.ZstdCompressionParameters.from_level(
        19, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=0, write_checksum=0
    )
    bomb = zstandard.ZstdCompressor(compression_params=packed).compress(bytes(_BOMB_BYTES))
    window = bytes([0x00, 0xF8]) + bytes([0x01, 0, 0])
    frame = uleb_bytes(0) + uleb_bytes(0)
    for said, message in {
        "a frame that opens to 200 MiB": write(FRAME, b"\0", 2, 0, 1, frame + bomb),
        "a frame with a window of gigabytes": write(FRAME, b"\0", 2, 0, 1, frame + window),
        "a frame of a leaf of 2 MiB": write(FRAME, b"\0", 2, 0, 0, [bytes(1 << 20)] * 2),
        "a head far beyond all leaves": write(HEAD, b"\0", 1 << 60, bytes(32), bytes(64)),
        "a message of 2 MiB": bytes(2 << 20),
        "noise": os.urandom(2_000),
        "CBOR of endless depth": b"\x81" * 60_000,
        "CBOR that claims 2^60 entries": b"\x9b" + (1 << 60).to_bytes(8),
    }.items():
        async with contact(world) as link:
            await link.say(peer_of(world, link, [b"x"]).greet(now_ms()))
            try:
                await link.say(message)
                answer = await outcome(link)
            except ConnectionError:
                answer = "hung_up"
        report.tried(f"a commune: {said}", answer, refused=answer != "silence")
