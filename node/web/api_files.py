"""Files: attachments up and down, and the signed export of a record."""

import asyncio
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ConfigDict

from node.queries.documents import attached_before, attachment
from node.trail import note
from node.web.answers import AttachedFile
from node.web.calls import Call
from node.web.errors import WebError, not_found
from node.web.trail_notes import audit_view
from schemas.ids import parse_document_id
from schemas.limits import ATTACHMENT_BYTES_MAX, ATTACHMENT_NAME_CHARS_MAX
from sync.blobs import disk_error
from sync.errors import StoreError

_WRITE_BYTES: Final = 1 << 20
# The rest of a file that is too large is read and thrown away, so that the browser can be told.
_DRAINED_BYTES_MAX: Final = 4 * ATTACHMENT_BYTES_MAX
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_SIGNATURES: Final = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"PK\x03\x04", "application/zip"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_NAME_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\u202a-\u202e\u2066-\u2069]+')
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class DownloadQuery(BaseModel):
    """How the browser wants the file; `inline=1` shows an image in the page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """An upload whose bytes are on the disk, not yet durable."""

    path: Path
    sha256: bytes
    size_bytes: int
    name: str
    media_type: str


async def attach(call: Call) -> AttachedFile:
    """Take a file (form field `file`), at most 50 MiB, and note it in a document."""
    document, office = call.part("id"), call.office
    await _check_document(call, document)
    async with _arrival(call, office.incoming_folder) as file:
        # It may have become a denunciation while the bytes came; then they are not kept.
        await office.write(lambda _: office.desk.attachable(document))
        try:
            await asyncio.to_thread(office.blobs.adopt, file.path, file.sha256)
        except OSError as error:
            raise disk_error(error) from error

        def work(now_ms: int) -> AttachedFile:
            # A tablet that was away longer than answers are kept sends its files again.
            event = attached_before(
                office.accounts.db, document, file.sha256.hex(), file.name
            ) or office.desk.attach(
                call.author,
                document,
                file.sha256,
                file.size_bytes,
                file.name,
                file.media_type,
                now_ms,
            )
            note(office.accounts.db, call.me, now_ms, "attachment.add", document, event)
            return AttachedFile(
                event_id=event,
                sha256=file.sha256.hex(),
                size_bytes=file.size_bytes,
                name=file.name,
                media_type=file.media_type,
            )

        # The hash stands for the content: a repeated upload brings the same bytes.
        return await replace(call, content=file.sha256).change(AttachedFile, work)


async def _check_document(call: Call, document: str) -> None:
    """Refuse before the bytes are received, where that is known already."""
    await call.office.write(lambda _: call.office.desk.attachable(document))
    folder = call.office.incoming_folder
    free = await asyncio.to_thread(lambda: shutil.disk_usage(folder).free)
    coming = call.request.content_length or 0
    if free - coming < call.office.config.disk_reserve_mib << 20:
        raise StoreError(
            "disk_full",
            "The disk is almost full; the file was not taken.",
            "Free some space and try again; records can still be written.",
        )


@asynccontextmanager
async def _arrival(call: Call, folder: Path) -> AsyncIterator[_Arrived]:
    part = await _file_part(call.request)
    path = folder / f"{call.office.entropy(12).hex()}.upload"
    try:
        yield await _receive(part, path)
    finally:
        path.unlink(missing_ok=True)


async def _file_part(request: web.Request) -> BodyPartReader:
    if not request.content_type.startswith("multipart/"):
        raise WebError(
            "file_missing", 400, "Send the file as multipart/form-data, in the field `file`."
        )
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name == "file":
                return part
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise WebError("form_malformed", 400, "The form of the upload is malformed.") from error
    raise WebError("file_missing", 400, "The form holds no field `file`.")


async def _receive(part: BodyPartReader, path: Path) -> _Arrived:
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        with path.open("xb") as stream:
            while block := await part.read_chunk(_WRITE_BYTES):
                size += len(block)
                head = head or block[:16]
                if size > _DRAINED_BYTES_MAX:
                    break
                if size <= ATTACHMENT_BYTES_MAX:
                    digest.update(block)
                    await asyncio.to_thread(stream.write, block)
    except OSError as error:
        raise disk_error(error) from error
    except ValueError as error:
        raise WebError("form_malformed", 400, "The form of the upload is malformed.") from error
    if size > ATTACHMENT_BYTES_MAX:
        raise WebError(
            "attachment_too_large",
            413,
            f"The file is larger than {ATTACHMENT_BYTES_MAX >> 20} MB.",
            "Scan with a lower resolution, or split the file.",
        )
    if size == 0:
        raise WebError("attachment_empty", 422, "The file is empty.")
    name = safe_name(part.filename or "")
    return _Arrived(
        path=path,
        sha256=digest.digest(),
        size_bytes=size,
        name=name,
        media_type=_media_type(head),
    )


def safe_name(name: str) -> str:
    """Return a file name without folders, control signs and signs that systems refuse."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    cleaned = _NAME_UNFIT.sub("_", last).strip(" .")
    if len(cleaned) > ATTACHMENT_NAME_CHARS_MAX:
        stem, suffix = os.path.splitext(cleaned)
        suffix = suffix[:20]
        cleaned = stem[: ATTACHMENT_NAME_CHARS_MAX - len(suffix)] + suffix
    return cleaned or "tep"


def _media_type(head: bytes) -> str:
    """Return what the first bytes say; what the browser claims is not asked."""
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "video/mp4" if head[4:8] == b"ftyp" else "application/octet-stream"


async def download(call: Call) -> web.StreamResponse:
    """Return a file of a document; with `inline=1` an image may be shown in the page."""
    document, sha256 = call.part("id"), call.part("sha256")
    if not _DIGEST.fullmatch(sha256):
        raise not_found()
    file = await call.office.read(lambda db: attachment(db, document, sha256))
    if file is None:
        raise not_found()
    path = call.office.blobs.path(bytes.fromhex(sha256))
    if not await asyncio.to_thread(path.is_file):
        raise WebError(
            "attachment_not_here",
            404,
            "The file has not arrived on this node yet.",
            "It is fetched in the background while the link is up.",
        )
    await audit_view(call, "attachment.read", document, sha256)
    inline = call.ask(DownloadQuery).inline and file.media_type in _IMAGES
    return web.FileResponse(
        path,
        headers={
            "Content-Type": file.media_type,
            "Content-Disposition": _disposition(file.name, inline=inline),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )


async def download_record(call: Call) -> web.StreamResponse:
    """Return a case as a signed file that `tiepdan verify` checks without a network."""
    case = call.part("id")
    parse_document_id(case)
    content = await call.office.export_record(case)
    await audit_view(call, "case.record", case)
    return web.Response(
        body=content,
        headers={
            "Content-Type": "application/json",
            "Content-Disposition": _disposition(f"{case}.tiepdan.json", inline=False),
            "Cache-Control": "private, no-store",
        },
    )


def _disposition(name: str, *, inline: bool) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
