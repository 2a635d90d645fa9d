"""Packs for a stick, made and taken in by people at the pages of a running node."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, web

from node.pack_imports import Imported, Taken, has_ended
from node.pack_jobs import Arrived, Failure, PackJob, Wanted
from node.packs import SUFFIX, Exported
from node.queries.offices import offices_below
from node.trail import note
from node.web.answers import (
    MakePack,
    PackJobAnswer,
    PackMade,
    PackPart,
    PackReceiver,
    PacksAnswer,
    PackSender,
    PackTaken,
    Trouble,
)
from node.web.api_files import safe_name
from node.web.calls import Call
from node.web.errors import WebError, not_found
from schemas.codes import Tier
from sync.blobs import disk_error
from sync.errors import StoreError

_WRITE_BYTES: Final = 1 << 20
_FILES_MAX: Final = 100


async def read_packs(call: Call) -> PacksAnswer:
    """Return how far the last job has come, and what can be fetched."""
    office = call.office
    job = office.packs.last
    parts = await asyncio.to_thread(office.packs.parts)
    below = await office.read(offices_below)
    receivers = [PackReceiver(to=child.code, name=child.name) for child in below]
    if office.tier is not Tier.CENTRE:
        receivers.insert(0, PackReceiver(to="parent", name=office.link.peer_name))
    return PacksAnswer(
        job=None if job is None else _job_answer(job, office.clock.now_ms()),
        parts=[PackPart(name=name, size_bytes=size) for name, size in parts],
        receivers=receivers,
    )


async def make_pack(call: Call) -> PacksAnswer:
    """Begin to make a pack."""
    asked, me, db = call.take(MakePack), call.me, call.office.accounts.db
    call.office.packs.begin(Wanted(to=asked.to, files=asked.files, everything=asked.everything))
    await call.office.write(lambda now_ms: note(db, me, now_ms, "pack.make", detail=asked.to))
    return await read_packs(call)


async def take_packs(call: Call) -> PacksAnswer:
    """Take packs in (form field `file`, once for each part)."""
    office, me, db = call.office, call.me, call.office.accounts.db
    office.packs.check_free()
    arrived: list[Arrived] = []
    try:
        await _receive(call, arrived)
        office.packs.begin(tuple(arrived))
    except BaseException:
        for file in arrived:
            file.path.unlink(missing_ok=True)
        raise
    names = ", ".join(file.name for file in arrived)
    await office.write(lambda now_ms: note(db, me, now_ms, "pack.take", detail=names))
    return await read_packs(call)


async def _receive(call: Call, arrived: list[Arrived]) -> None:
    """Write what comes to the disk, file by file."""
    if not call.request.content_type.startswith("multipart/"):
        raise WebError(
            "file_missing", 400, "Send the file as multipart/form-data, in the field `file`."
        )
    try:
        reader = await call.request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name == "file":
                if len(arrived) == _FILES_MAX:
                    raise WebError("files_too_many", 413, f"At most {_FILES_MAX} files at a time.")
                path = call.office.incoming_folder / f"{call.office.entropy(12).hex()}.upload"
                arrived.append(Arrived(path=path, name=safe_name(part.filename or "")))
                await _write(call, part, path)
    except (ValueError, AssertionError) as error:
        raise WebError("form_malformed", 400, "The form of the upload is malformed.") from error
    if not arrived:
        raise WebError("file_missing", 400, "The form holds no field `file`.")


async def _write(call: Call, part: BodyPartReader, path: Path) -> None:
    reserve_bytes = call.office.config.disk_reserve_mib << 20
    try:
        with path.open("xb") as stream:
            while block := await part.read_chunk(_WRITE_BYTES):
                free = await asyncio.to_thread(_put, stream.write, block, path)
                if free < reserve_bytes:
                    raise StoreError(
                        "disk_full",
                        "The disk is almost full; the pack was not taken.",
                        "Free some space, or take it in from the stick: tiepdan pack import",
                    )
    except OSError as error:
        raise disk_error(error) from error


def _put(write: Callable[[bytes], int], block: bytes, path: Path) -> int:
    write(block)
    return shutil.disk_usage(path.parent).free


async def fetch_pack(call: Call) -> web.StreamResponse:
    """Return a part that was made."""
    packs, name = call.office.packs, call.part("name")
    names = [part for part, _ in await asyncio.to_thread(packs.parts)]
    # Only a name from our own list ever becomes a path.
    if name not in names or not name.endswith(SUFFIX):
        raise not_found()
    return web.FileResponse(
        packs.outgoing / name,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        },
    )


# What came of a job


def _job_answer(job: PackJob, now_ms: int) -> PackJobAnswer:
    step, imported = job.step, job.imported
    before, after = (imported.before, imported.after) if imported else (None, None)
    return PackJobAnswer(
        kind=job.kind,
        began_ms=job.began_ms,
        ended_ms=job.ended_ms,
        phase=step.phase if step else "",
        done=step.done if step else 0,
        total=step.total if step else 0,
        name=job.name_of(step.name) if step else "",
        failure=_trouble(job.failure) if job.failure else None,
        made=_made(job.exported) if job.exported else None,
        taken=[_taken(job, taken, now_ms) for taken in imported.taken] if imported else [],
        senders=_senders(imported) if imported else [],
        confirmed_province=after.by_province - before.by_province if before and after else 0,
        confirmed_centre=after.by_centre - before.by_centre if before and after else 0,
    )


def _trouble(error: Failure) -> Trouble:
    hint = getattr(error, "hint", "")
    return Trouble(code=error.code, message=f"{str(error).rstrip('.')}. {hint}".strip())


def _made(exported: Exported) -> PackMade:
    plan = exported.plan
    return PackMade(
        leaves=plan.leaves,
        files=exported.files,
        files_bytes=exported.files_bytes,
        answered_logs=len(plan.answers),
        files_left_out=len(exported.files_left_out),
        stopped=[log.code for log in plan.stopped],
    )


def _taken(job: PackJob, taken: Taken, now_ms: int) -> PackTaken:
    part, outcome = taken.part, taken.outcome
    leaves = sum(part.leaves.values()) if part else 0
    refused = [
        Trouble(code=code, message=f"file {sha256[:4].hex()} was not taken")
        for sha256, code in sorted(outcome.files_refused.items())
    ]
    return PackTaken(
        name=job.name_of(taken.path.name),
        sender=part.sender.subject.name if part else "",
        part=part.about.part if part else 0,
        refusal=_trouble(taken.refusal) if taken.refusal else None,
        leaves_new=taken.leaves_new,
        leaves_known=max(0, leaves - taken.leaves_new),
        leaves_waiting=taken.leaves_waiting,
        files_new=len(outcome.files_new),
        files_known=len(outcome.files_known),
        problems=refused
        + [Trouble(code=code, message=detail) for _, code, detail in outcome.problems],
        was_known=taken.was_known,
        certificate_ended=part is not None and has_ended(part, now_ms),
        key_revoked=bool(taken.revoked),
    )


def _senders(imported: Imported) -> list[PackSender]:
    return [
        PackSender(
            name=subject.name,
            missing=taken.missing,
            is_complete=bool(taken.total) and not taken.missing,
        )
        for subject, taken in imported.newest
    ]
