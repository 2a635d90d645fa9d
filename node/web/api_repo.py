"""The socket of programs that speak automerge-repo, and the ticket that lets one in.

A page of this node has its cookie. A program can only say where to connect, so it puts a ticket
into the address; the ticket lives as long as the sign-in that it was made in.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from node.accounts import SignedIn, find_sign_in, find_ticket
from node.connections import Held
from node.repo import Note
from node.trail import note
from node.web.answers import RepoTicket
from node.web.calls import OFFICE, Call, let_in, require
from node.web.cookies import session_cookie
from node.web.errors import WebError
from node.web.office import Office
from schemas.errors import MessageError
from schemas.repo import REPO_MESSAGE_BYTES_MAX
from sync.errors import LinkError, StoreError
from sync.repo import RepoSession

log = logging.getLogger(__name__)
_Find = Callable[[sqlite3.Connection], SignedIn | None]

PATH: Final = "/api/v1/repo"
_PERMISSION: Final = "repo.connect"
_JOIN_S: Final = 10.0
# A sign-in that ended is noticed by then, should nothing be announced.
_BEAT_S: Final = 20.0
_SEND_S: Final = 30.0
_HEARTBEAT_S: Final = 30.0
# Changes that follow each other closely travel together.
_GATHER_S: Final = 0.1
CONNECTIONS_MAX: Final = 200
CONNECTIONS_A_PERSON_MAX: Final = 10
# By who is connected.
CONNECTIONS: Final[web.AppKey[dict[asyncio.Task[object], str]]] = web.AppKey("repo_connections")


async def make_ticket(call: Call) -> RepoTicket:
    """Return where a program connects in the name of who is signed in."""
    office, me = call.office, call.me

    def work(now_ms: int) -> RepoTicket:
        ticket = office.accounts.make_ticket(me.token)
        note(office.accounts.db, me, now_ms, "repo.ticket")
        return RepoTicket(path=f"{PATH}?ticket={ticket}")

    return await office.write(work)


async def serve_repo(request: web.Request) -> web.StreamResponse:
    """Serve one client until it leaves, breaks the protocol or is signed out."""
    office = request.app[OFFICE]
    find = _finder(request, office)
    me = require(await office.read(find), _PERMISSION)
    connections, task = request.app[CONNECTIONS], asyncio.current_task()
    assert task is not None
    own = sum(user == me.user for user in connections.values())
    if own >= CONNECTIONS_A_PERSON_MAX or len(connections) >= CONNECTIONS_MAX:
        raise WebError(
            "repo_connections",
            429,
            "Too many programs are connected.",
            "Close some of them.",
            retry_after_s=60,
        )
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_S, max_msg_size=REPO_MESSAGE_BYTES_MAX, compress=False
    )
    await socket.prepare(request)
    connections[task] = me.user
    try:
        with office.connections.hold(me.device) as held:
            await _Connection(office, me, find, socket, held).run()
    finally:
        del connections[task]
    return socket


def _finder(request: web.Request, office: Office) -> _Find:
    """Return how to find out who connects: by ticket, or by the cookie of a page of this node."""
    ticket = request.query.get("ticket", "")
    if ticket:
        return lambda db: let_in(request, office, find_ticket(db, ticket, office.clock.now_ms()))
    origin = request.headers.get("Origin", "")
    if origin.partition("://")[2] != request.host:
        # A browser sends the cookie for pages of others too, and says whose page it was.
        raise WebError("csrf_failed", 403, "This request did not come from a page of this node.")
    token = session_cookie(request, office.code)
    return lambda db: let_in(request, office, find_sign_in(db, token, office.clock.now_ms()))


async def end_connections(app: web.Application) -> None:
    """End all connections, so that the node can stop."""
    connections = app[CONNECTIONS]
    for task in [*connections]:
        task.cancel()


class _Connection:
    """One client."""

    def __init__(
        self,
        office: Office,
        me: SignedIn,
        find: _Find,
        socket: web.WebSocketResponse,
        held: Held,
    ) -> None:
        self._office = office
        self._me = me
        self._find = find
        self._held = held
        self._socket = socket
        # Answers leave in the order in which they were made.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Read and write until the connection ends."""
        session = await self._office.repo.open(self._me)
        try:
            await self._serve(session)
        except asyncio.CancelledError:
            if not self._held.is_revoked:
                raise
            self._held.task.uncancel()
            await self._end(WSCloseCode.POLICY_VIOLATION, "device revoked")
        finally:
            await self._office.repo.close(session)

    async def _serve(self, session: RepoSession) -> None:
        async with asyncio.TaskGroup() as tasks:
            teller = tasks.create_task(self._tell(session))
            await self._listen(session)
            teller.cancel()

    async def _listen(self, session: RepoSession) -> None:
        try:
            while True:
                wait_s = None if session.is_joined else _JOIN_S
                came = await self._socket.receive(timeout=wait_s)
                if came.type is not WSMsgType.BINARY:
                    break
                if not await self._is_signed_in():
                    return
                async with self._turn:
                    await self._send(await self._office.repo.hear(session, came.data, self._note))
        except TimeoutError:
            await self._end(WSCloseCode.POLICY_VIOLATION, "nothing came")
        except (LinkError, MessageError) as error:
            await self._end(WSCloseCode.POLICY_VIOLATION, f"{error} [{error.code}]")
        except StoreError as error:
            log.error("client sent away", extra={"code": error.code})
            await self._end(WSCloseCode.TRY_AGAIN_LATER, f"{error} [{error.code}]")
        except ConnectionError:
            return
        await self._end(WSCloseCode.OK, "")

    async def _tell(self, session: RepoSession) -> None:
        """Pass on what changes here, and end the connection with the sign-in."""
        office = self._office
        with suppress(ConnectionError, TimeoutError):
            while await self._is_signed_in():
                seen = office.changes.number
                if session.is_joined and session.news:
                    async with self._turn:
                        await self._send(await office.repo.tell(session))
                if await office.changes.wait(seen, _BEAT_S) != seen:
                    await office.clock.sleep(_GATHER_S)

    async def _is_signed_in(self) -> bool:
        if await self._office.read(self._find) is not None:
            return True
        await self._end(WSCloseCode.POLICY_VIOLATION, "signed out")
        return False

    async def _send(self, answers: list[bytes]) -> None:
        for answer in answers:
            async with asyncio.timeout(_SEND_S):
                await self._socket.send_bytes(answer)

    async def _end(self, code: int, why: str) -> None:
        # RFC 6455 section 5.5: 123 bytes at most.
        await self._socket.close(code=code, message=why.encode()[:120])

    @property
    def _note(self) -> Note:
        office, me = self._office, self._me

        def append(action: str, document: str, detail: str) -> None:
            note(office.accounts.db, me, office.clock.now_ms(), action, document, detail)

        return append
