"""The node itself: its link, its health, what the technician sees, and news as they happen."""

import asyncio
import json
import platform
import shutil
import sqlite3
from functools import partial
from importlib.metadata import version
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from node.accounts import find_sign_in
from node.connections import Held
from node.qr import qr_picture
from node.queries.devices import devices_digest
from node.queries.sync_state import (
    changed_ms,
    news_digest,
    sync_states,
    waiting,
    waiting_files,
)
from node.queries.technician import technician
from node.staff import list_accounts
from node.trail import note
from node.web.answers import (
    CutLink,
    Done,
    Health,
    LinkAnswer,
    RevokedNode,
    RevokeNode,
    SendFiles,
)
from node.web.answers_node import (
    CertificateAnswer,
    Colleague,
    LetTravel,
    MakeToken,
    TechnicianAnswer,
    TokenAnswer,
    TokenLine,
)
from node.web.calls import Call
from node.web.errors import WebError
from node.web.office import Office
from node.web.rendering import render
from schemas.codes import Tier

# Proxies and tablets drop a connection on which nothing comes for a minute.
_BEAT_S: Final = 20.0
# Changes that follow each other closely are one piece of news.
_GATHER_S: Final = 0.3
# Each open page has one; whoever has more open does not look at them.
STREAMS_A_PERSON_MAX: Final = 20
# Of a key, as two people compare by voice: 128 bits.
_KEY_DIGITS: Final = 32
# With the request of each, which knows who reads it and whether the reader is still there.
STREAMS: Final[web.AppKey[dict[asyncio.Task[object], Call]]] = web.AppKey("streams")


class NewsFilter(BaseModel):
    """Which document the page shows, if any, and whether it shows the devices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str = Field(default="", pattern=r"^([0-9a-f-]{36})?$")
    devices: bool = False


async def read_link(call: Call) -> LinkAnswer:
    """Return the honest state of the link upwards."""
    office = call.office
    return await office.read(lambda db: link_answer(office, db))


def link_answer(office: Office, db: sqlite3.Connection) -> LinkAnswer:
    """Return the state of the link with what waits for it."""
    link = office.link
    waits = waiting(db, office.tier)
    files = waiting_files(db, office.tier, office.config, office.clock.now_ms())
    code, sentence = link.last_error or ("", "")

    def seconds_for(size_bytes: int) -> int | None:
        rate = link.rate_bytes_s
        return max(1, round(size_bytes / rate)) if size_bytes and rate else None

    return LinkAnswer(
        state=link.state,
        peer_name=link.peer_name,
        since_ms=link.since_ms,
        error_code=code,
        error=sentence,
        retry_at_ms=link.retry_at_ms,
        rate_bytes_s=link.rate_bytes_s,
        clock_difference_ms=link.clock_difference_ms,
        waiting=waits,
        way=link.way,
        way_reason=link.way_reason,
        seconds_left=seconds_for(waits.bytes),
        files=files,
        files_seconds_left=seconds_for(files.bytes),
    )


async def cut_link(call: Call) -> LinkAnswer:
    """Cut or restore the link upwards; only in the demo."""
    if not call.office.config.is_demo:
        raise WebError("demo_only", 403, "Only the demo has this switch.")
    asked, db, me = call.take(CutLink), call.office.accounts.db, call.me
    await call.office.set_link_cut(asked.cut)
    await call.office.write(
        lambda now_ms: note(db, me, now_ms, "link.cut", detail=str(asked.cut).lower())
    )
    return await read_link(call)


async def send_files(call: Call) -> LinkAnswer:
    """Let files go out of their hours, or keep them to these again."""
    asked, db, me = call.take(SendFiles), call.office.accounts.db, call.me
    await call.office.send_files_now(now=asked.now)
    await call.office.write(
        lambda now_ms: note(db, me, now_ms, "link.files", detail=str(asked.now).lower())
    )
    return await read_link(call)


async def read_technician(call: Call) -> TechnicianAnswer:
    """Return the state of the node; no case content."""
    office = call.office
    found = await office.read(lambda db: technician(db, office.code))
    is_commune = office.tier is Tier.COMMUNE
    free = await asyncio.to_thread(lambda: shutil.disk_usage(office.incoming_folder).free)
    return TechnicianAnswer(
        node=found,
        link=await read_link(call),
        certificate=_certificate(office),
        tokens=_tokens(office),
        outposts=await office.read(office.enrolment.outposts) if is_commune else [],
        colleagues=await office.read(_colleagues) if is_commune else [],
        version=version("tiepdan"),
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        disk_free_bytes=free,
    )


def _certificate(office: Office) -> CertificateAnswer:
    enrolment = office.enrolment
    code, sentence = enrolment.renewal.error or ("", "")
    return CertificateAnswer(
        state=enrolment.state,
        ends_ms=enrolment.ends_ms,
        has_spare=enrolment.has_spare,
        key=enrolment.key[:_KEY_DIGITS],
        renews_itself=enrolment.renews_itself,
        tried_ms=enrolment.renewal.tried_ms,
        error_code=code,
        error=sentence,
    )


def _tokens(office: Office) -> list[TokenLine]:
    now_ms = office.clock.now_ms()
    return [
        TokenLine(
            code=made.code,
            state=made.state(now_ms),
            expires_ms=made.expires_ms,
            used_by=made.used_by[:_KEY_DIGITS],
            refused=made.refused,
            refused_ms=made.refused_ms,
        )
        for made in office.enrolment.tokens()
    ]


def _colleagues(db: sqlite3.Connection) -> list[Colleague]:
    return [
        Colleague(user=line.user, name=line.name) for line in list_accounts(db) if line.is_active
    ]


async def let_travel(call: Call) -> Done:
    """Say whose accounts travel to an outpost."""
    asked, office, me, code = call.take(LetTravel), call.office, call.me, call.part("code")

    def work(now_ms: int) -> Done:
        office.enrolment.let_travel(code, asked.users)
        note(
            office.accounts.db, me, now_ms, "account.travel", detail=" ".join((code, *asked.users))
        )
        return Done()

    return await call.change(Done, work)


async def make_token(call: Call) -> TokenAnswer:
    """Make a one-time token for a place below; it is not kept: asked again, another is made."""
    asked, office, me = call.take(MakeToken), call.office, call.me

    def work(now_ms: int) -> TokenAnswer:
        line, expires_ms = office.enrolment.make_token(
            asked.code, hours=asked.hours, is_again=asked.is_again
        )
        note(office.accounts.db, me, now_ms, "token.make", detail=asked.code)
        return TokenAnswer(
            code=asked.code, line=line, picture=qr_picture(line), expires_ms=expires_ms
        )

    return await office.write(work)


async def withdraw_token(call: Call) -> Done:
    """Make the token of a place worthless."""
    office, me, code = call.office, call.me, call.part("code")

    def work(now_ms: int) -> Done:
        office.enrolment.withdraw(code)
        note(office.accounts.db, me, now_ms, "token.withdraw", detail=code)
        return Done()

    return await office.write(work)


async def revoke(call: Call) -> RevokedNode:
    """Revoke the key of a node below."""
    asked, office, me = call.take(RevokeNode), call.office, call.me

    def work(now_ms: int) -> RevokedNode:
        report = office.revoke(
            asked.peer_id, last_valid=asked.last_valid_seq, reason=asked.reason, now_ms=now_ms
        )
        note(office.accounts.db, me, now_ms, "node.revoke", detail=asked.peer_id)
        return RevokedNode(set_aside=report.quarantined, waiting=report.waiting)

    return await call.change(RevokedNode, work)


async def health(call: Call) -> Health:
    """Answer from the database, so that a monitor sees more than an open port."""
    await call.office.read(lambda db: db.execute("SELECT 1").fetchone())
    office = call.office
    return Health(
        code=office.code,
        tier=office.tier.value,
        version=version("tiepdan"),
        certificate=office.enrolment.state,
        certificate_ends_ms=office.enrolment.ends_ms,
    )


async def stream_news(call: Call) -> web.StreamResponse:
    """Send news as server-sent events: `status` with the link, what waits, and the document asked.

    Nothing is sent that a page could not read otherwise; the stream ends with the session.
    """
    streams = call.request.app[STREAMS]
    if _open_streams(streams, call.me.user) >= STREAMS_A_PERSON_MAX:
        raise WebError(
            "streams_too_many",
            429,
            f"You have {STREAMS_A_PERSON_MAX} pages open that wait for news.",
            "Close some of them.",
            retry_after_s=60,
        )
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(call.request)
    task = asyncio.current_task()
    assert task is not None
    streams[task] = call
    try:
        with call.office.connections.hold(call.me.device) as held:
            await _send_until_revoked(call, response, held)
    except ConnectionError:
        return response
    finally:
        del streams[task]
    return response


def _open_streams(streams: dict[asyncio.Task[object], Call], user: str) -> int:
    """Count what the user's pages still read, and end the streams that pages left behind.

    A stream finds out by its next beat only, and within one somebody opens twenty pages in turn.
    """
    count = 0
    for task, reader in streams.items():
        if reader.request.transport is None:
            task.cancel()
        elif reader.me.user == user:
            count += 1
    return count


async def _send_until_revoked(call: Call, response: web.StreamResponse, held: Held) -> None:
    try:
        await _send_news(call, response)
    except asyncio.CancelledError:
        if not held.is_revoked:
            raise
        held.task.uncancel()
        await _say_goodbye(response)


async def _say_goodbye(response: web.StreamResponse) -> None:
    await response.write(b"event: signed-out\ndata: {}\n\n")


async def _send_news(call: Call, response: web.StreamResponse) -> None:
    office = call.office
    number, last = -1, ""
    while True:
        seen = office.changes.number
        text = await office.read(partial(_news, call, office.clock.now_ms()))
        if text is None:
            await _say_goodbye(response)
            return
        if text != last:
            await response.write(f"event: status\ndata: {text}\n\n".encode())
            last = text
        number = await office.changes.wait(seen, _BEAT_S)
        if number == seen:
            await response.write(b": beat\n\n")
        else:
            await office.clock.sleep(_GATHER_S)


def _news(call: Call, now_ms: int, db: sqlite3.Connection) -> str | None:
    """Return what to send, or None when the session has ended.

    `bar` and `badge` are pieces of the page, in the reader's language, as the page itself has them.
    """
    office, app, wanted = call.office, call.request.app, call.ask(NewsFilter)
    if find_sign_in(db, call.me.token, now_ms) is None:
        return None
    link = link_answer(office, db)
    shared = {
        "tier": office.tier.value,
        "link": link,
        "is_demo": office.config.is_demo,
        "may_send_files": call.me.may("link.files"),
    }
    news = {
        "digest": page_digest(office, db, shows_devices=wanted.devices),
        "link": link.model_dump(mode="json"),
        "bar": render(app, "link_bar.html", call.language, shared),
        "document": None,
    }
    if document := wanted.document:
        state = sync_states(db, office.tier, [document])[document]
        news["document"] = {
            "level": state.level,
            "changed_ms": changed_ms(db, document),
            "badge": render(app, "sync_badge.html", call.language, {**shared, "state": state}),
        }
    return json.dumps(news, ensure_ascii=False)


def page_digest(office: Office, db: sqlite3.Connection, *, shows_devices: bool) -> str:
    """Return a text that differs whenever what a page shows is not the same as before."""
    digest = news_digest(db)
    if shows_devices:
        number = office.lan.discovery.number if office.lan else 0
        digest += f"-{devices_digest(db)}.{number}"
    return digest


async def end_streams(app: web.Application) -> None:
    """End all streams, so that the node can stop."""
    streams = app[STREAMS]
    for task in list(streams):
        task.cancel()
