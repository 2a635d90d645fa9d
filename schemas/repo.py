"""Messages of the automerge-repo network protocol, version "1": one CBOR map in each frame.

Stock clients of a LAN speak it; the layout is automerge-repo's, packages/automerge-repo/src/network
and packages/automerge-repo-network-websocket. Keys that are not known here are passed over.
"""

from dataclasses import dataclass
from typing import Any, Final

import base58
import cbor2

from schemas.cbor import read_script_item
from schemas.errors import MessageError
from schemas.ids import DocumentId

VERSION: Final = "1"
# A change of the largest size, base64 never, with the names around it.
REPO_MESSAGE_BYTES_MAX: Final = 2 << 20
_NAME_CHARS_MAX: Final = 200
# 20 bytes in base 58 are 28 characters at most.
_DOCUMENT_CHARS_MAX: Final = 32
_URL: Final = "automerge:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The first message of a client.

    Attributes:
        sender: the name that the client gave itself.
        versions: of the protocol that it speaks.
    """

    sender: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSync:
    """An Automerge sync message about one document.

    Attributes:
        is_request: the client has nothing of it and asks whether there is such a document.
        data: Automerge sync message.
    """

    document: DocumentId
    is_request: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A message that means nothing here, such as who else is looking at a document."""

    type: str


RepoMessage = Join | DocumentSync | Passed


def decode_repo_message(data: bytes) -> RepoMessage:
    """Return the message of a client.

    Raises:
        MessageError: it is too long, or is none.
    """
    if len(data) > REPO_MESSAGE_BYTES_MAX:
        raise MessageError("message_too_long", f"a message of {len(data)} bytes")
    try:
        item = read_script_item(data)
    except (ValueError, RecursionError) as error:
        raise MessageError("message_malformed", f"not a message: {error!s:.100}") from error
    if not isinstance(item, dict):
        raise MessageError("message_malformed", "a message is a map")
    kind = _name(item, "type")
    match kind:
        case "join":
            versions = item.get("supportedProtocolVersions")
            if not isinstance(versions, list) or len(versions) > _DOCUMENT_CHARS_MAX:
                raise MessageError("message_malformed", "a client names the versions it speaks")
            spoken = tuple(each for each in versions if isinstance(each, str))
            return Join(sender=_name(item, "senderId"), versions=spoken)
        case "sync" | "request":
            content = item.get("data")
            if not isinstance(content, bytes):
                raise MessageError("message_malformed", "a sync message has bytes as its data")
            document = parse_repo_id(_name(item, "documentId"))
            return DocumentSync(document=document, is_request=kind == "request", data=content)
        case _:
            return Passed(type=kind)


def encode_peer(own: str, client: str, metadata: dict[str, Any]) -> bytes:
    """Return the answer to a client's first message."""
    return _encode(
        {
            "type": "peer",
            "senderId": own,
            "targetId": client,
            "peerMetadata": metadata,
            "selectedProtocolVersion": VERSION,
        }
    )


def encode_sync(own: str, client: str, document: DocumentId, data: bytes) -> bytes:
    """Return an Automerge sync message for a client."""
    return _encode(
        {
            "type": "sync",
            "senderId": own,
            "targetId": client,
            "documentId": repo_id(document),
            "data": data,
        }
    )


def encode_unavailable(own: str, client: str, document: DocumentId) -> bytes:
    """Return the message that there is no such document for this client."""
    return _encode(
        {
            "type": "doc-unavailable",
            "senderId": own,
            "targetId": client,
            "documentId": repo_id(document),
        }
    )


def encode_error(own: str, client: str, message: str) -> bytes:
    """Return what went wrong, for whoever develops the client."""
    return _encode({"type": "error", "senderId": own, "targetId": client, "message": message})


def repo_id(document: DocumentId) -> str:
    """Return the id of a document as automerge-repo writes it: base 58 with a checksum."""
    return base58.b58encode_check(document).decode()


def repo_url(document: DocumentId) -> str:
    """Return the address by which a client finds a document."""
    return _URL + repo_id(document)


def parse_repo_id(text: str) -> DocumentId:
    """Return the id that automerge-repo writes so.

    Raises:
        MessageError: it is none.
    """
    try:
        data = base58.b58decode_check(text) if len(text) <= _DOCUMENT_CHARS_MAX else b""
    except ValueError as error:
        raise MessageError("document_malformed", f"not a document id: {text!r:.60}") from error
    if len(data) != 16 or repo_id(DocumentId(data)) != text:
        raise MessageError("document_malformed", f"not a document id: {text!r:.60}")
    return DocumentId(data)


def _name(item: dict[Any, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not 1 <= len(value) <= _NAME_CHARS_MAX:
        raise MessageError("message_malformed", f"{key} is a short text")
    return value


def _encode(message: dict[str, Any]) -> bytes:
    return cbor2.dumps(message)
