"""A client of the automerge-repo protocol that breaks its rules where a stock one would not."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import cbor2
from automerge.core import ROOT, Document, ObjType, ScalarType

from schemas.ids import DocumentId
from schemas.repo import repo_id
from sync.change import uleb

JOIN = {
    "type": "join",
    "senderId": "raw",
    "peerMetadata": {},
    "supportedProtocolVersions": ["1"],
}


class Raw:
    """One connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def say(self, message: dict[str, Any] | bytes) -> None:
        data = message if isinstance(message, bytes) else cbor2.dumps(message)
        await self._socket.send_bytes(data)

    async def hear(self) -> dict[str, Any] | int | None:
        """Return the next message, or the code with which the node closed."""
        came = await self._socket.receive(timeout=20)
        if came.type is aiohttp.WSMsgType.BINARY:
            found: dict[str, Any] = cbor2.loads(came.data)
            return found
        return self._socket.close_code

    async def sync(
        self, document: DocumentId, changes: Sequence[bytes], heads: Sequence[bytes] = ()
    ) -> None:
        """Send changes in a sync message."""
        chunks = b"".join(uleb(len(raw)) + raw for raw in changes)
        front = uleb(len(heads)) + b"".join(heads) + b"\x00\x00"
        await self.send(document, b"\x42" + front + uleb(len(changes)) + chunks)

    async def send(self, document: DocumentId, data: bytes, kind: str = "sync") -> None:
        """Send any bytes as a sync message."""
        name = repo_id(document)
        await self.say(
            {"type": kind, "senderId": "raw", "targetId": "x", "documentId": name, "data": data}
        )


@asynccontextmanager
async def raw_client(address: str, *, joins: bool = True) -> AsyncIterator[Raw]:
    """Connect for the length of a block."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
        raw = Raw(socket)
        if joins:
            await raw.say(JOIN)
            answer = await raw.hear()
            assert isinstance(answer, dict)
            assert answer["type"] == "peer"
        yield raw


def new_document(actor: bytes, kind: str = "person") -> Document:
    """Return a document in the shape of records."""
    document = Document(actor)
    with document.transaction() as change:
        change.put(ROOT, "kind", ScalarType.Str, kind)
        for name in ("fields", "texts", "events"):
            change.put_object(ROOT, name, ObjType.Map)
    return document


def put_field(document: Document, name: str, value: object, kind: ScalarType) -> bytes:
    """Change a field and return the change."""
    before = document.get_heads()
    fields = document.get(ROOT, "fields")
    assert fields is not None
    with document.transaction() as change:
        change.put(fields[1], name, kind, value)  # type: ignore[arg-type]
    return bytes(document.get_changes(before)[-1].raw_bytes)


def changes_of(document: Document) -> list[bytes]:
    """Return all its changes."""
    return [bytes(change.raw_bytes) for change in document.get_changes([])]
