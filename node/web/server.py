"""Puts the web application together: guards around every request, API, pages, static files."""

import asyncio
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel

from node.accounts import SignedIn, find_sign_in
from node.passkeys import Challenges
from node.web.api_account import PASSWORD_CHECKS, PasswordChecks
from node.web.api_node import STREAMS, end_streams
from node.web.api_passkeys import CHALLENGES
from node.web.api_repo import CONNECTIONS, PATH, end_connections, serve_repo
from node.web.calls import (
    OFFICE,
    READS,
    SIGNED_IN,
    Call,
    let_in,
    parse_json,
    require,
    write_if_possible,
)
from node.web.cookies import LANGUAGE, session_cookie
from node.web.errors import WebError
from node.web.languages import Language, choose
from node.web.office import Office
from node.web.offline import add_offline
from node.web.openapi import openapi_document
from node.web.operation import Operation
from node.web.operations import OPERATIONS, PREFIX
from node.web.pages import add_pages, problem_page
from node.web.problems import Refusal, fault, refusal_of
from node.web.records import sweep_answers
from node.web.trail_notes import TRAIL_SECRET

log = logging.getLogger(__name__)

# A visit of 20 petitions at their longest, in UTF-8, with its envelope.
_BODY_BYTES_MAX: Final = 8 << 20
# Of somebody who is not signed in: a name and a password. More would let strangers fill the memory.
_STRANGERS_BODY_BYTES_MAX: Final = 8 << 10
_STRANGERS_BODY_S: Final = 30.0
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; manifest-src 'self'; worker-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_web(office: Office, beside: web.Application | None = None) -> web.Application:
    """Return the application that serves the pages and the API of a node.

    Args:
        office: the node.
        beside: another of the same node, served elsewhere; what is counted is counted once.
    """
    app = web.Application(middlewares=[_guarded], client_max_size=_BODY_BYTES_MAX)
    app[OFFICE] = office
    app[STREAMS] = beside[STREAMS] if beside is not None else {}
    app[PASSWORD_CHECKS] = beside[PASSWORD_CHECKS] if beside is not None else PasswordChecks()
    app[CHALLENGES] = beside[CHALLENGES] if beside is not None else Challenges(office.entropy(32))
    app[TRAIL_SECRET] = beside[TRAIL_SECRET] if beside is not None else office.entropy(32)
    app[CONNECTIONS] = beside[CONNECTIONS] if beside is not None else {}
    add_routes(app)
    app.on_startup.append(_sweep)
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(end_streams)
    app.on_shutdown.append(end_connections)
    return app


def add_routes(app: web.Application) -> None:
    """Add all that is served: API, socket, pages, static files."""
    add_operations(app)
    app.router.add_get(PATH, serve_repo, allow_head=False)
    add_pages(app)
    add_offline(app)
    app.router.add_static("/static/", str(files("node.web").joinpath("static")))


def add_operations(app: web.Application) -> None:
    """Add the routes of the API and its description."""
    for operation in OPERATIONS:
        path, handler = PREFIX + operation.path, _served(operation)
        if operation.method == "GET":
            # Only of a stream of news there is no head to ask for.
            is_stream = operation.answer == "text/event-stream"
            app.router.add_get(path, handler, allow_head=not is_stream)
        else:
            app.router.add_route(operation.method, path, handler)
    document = json.dumps(openapi_document(), ensure_ascii=False)
    app.router.add_get(f"{PREFIX}/openapi.json", _constant(document))


async def _sweep(app: web.Application) -> None:
    office = app[OFFICE]

    def work(now_ms: int) -> None:
        office.accounts.sweep(now_ms)
        sweep_answers(office.accounts.db, now_ms)

    await write_if_possible(office, work)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        if name == "Cache-Control" and request.path.startswith("/static/"):
            response.headers.setdefault(name, "no-cache")
        else:
            response.headers.setdefault(name, value)


def _constant(text: str) -> _Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(text=text)

    return answer


def _served(operation: Operation) -> _Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        office, signed_in = request.app[OFFICE], request[SIGNED_IN]
        if operation.permission is not None:
            signed_in = require(signed_in, operation.permission)
        if operation.is_change:
            _check_origin(request, signed_in if operation.permission else None)
        content = await _content(request, operation)
        call = Call(
            office=office,
            request=request,
            language=request[READS],
            operation=operation.id,
            signed_in=signed_in,
            body=_body(operation, content),
            query=_query(operation, request),
            content=content,
        )
        result = await operation.handler(call)
        if isinstance(result, BaseModel):
            return web.json_response(text=result.model_dump_json())
        return result

    return answer


async def _content(request: web.Request, operation: Operation) -> bytes:
    if operation.body is None or operation.body == "multipart":
        return b""
    if request.content_type != "application/json":
        raise WebError("json_needed", 415, "The body of the request must be application/json.")
    if operation.permission is None:
        length = request.content_length
        if length is None or length > _STRANGERS_BODY_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(_STRANGERS_BODY_BYTES_MAX)
        try:
            async with asyncio.timeout(_STRANGERS_BODY_S):
                return await request.read()
        except TimeoutError as error:
            raise web.HTTPRequestTimeout from error
    return await request.read()


def _body(operation: Operation, content: bytes) -> BaseModel | None:
    if operation.body is None or isinstance(operation.body, str):
        return None
    return operation.body.model_validate(parse_json(content))


def _query(operation: Operation, request: web.Request) -> BaseModel | None:
    if operation.query is None:
        return None
    # An empty value is what an untouched field of a search form sends.
    given = {name: value for name, value in request.query.items() if value}
    return operation.query.model_validate(given)


def _check_origin(request: web.Request, signed_in: SignedIn | None) -> None:
    """Refuse a change that a page of somebody else made this browser send."""
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2] != request.host
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    token = signed_in is None or request.headers.get("X-CSRF-Token") == signed_in.csrf
    if foreign or site not in ("same-origin", "none") or not token:
        raise WebError(
            "csrf_failed",
            403,
            "This request did not come from a page of this node.",
            "Load the page again and repeat.",
        )


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    office = request.app[OFFICE]
    language = choose(request.cookies.get(LANGUAGE, ""), office.config.language)
    request[READS] = language
    try:
        _check_host(request)
        await _load_session(request, office, language)
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except web.HTTPException as error:
        refusal = refusal_of(error, request[READS])
        if error.status < 400 or refusal is None:
            raise
        return await _refused(request, refusal)
    except Exception as error:
        refusal = refusal_of(error, request[READS])
        if refusal is None:
            log.exception("fault", extra={"path": _shape(request)})
            refusal = fault(request[READS])
        elif refusal.status >= 500:
            log.error("refused", extra={"code": refusal.problem.code, "path": _shape(request)})
        return await _refused(request, refusal)


def _shape(request: web.Request) -> str:
    """Return the pattern of the path, which holds no ids."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"


async def _load_session(request: web.Request, office: Office, language: Language) -> None:
    request[SIGNED_IN] = None
    token = session_cookie(request, office.code)
    if not token or request.path.startswith("/static/"):
        return
    now_ms = office.clock.now_ms()
    signed_in = await office.read(lambda db: find_sign_in(db, token, now_ms))
    if signed_in is None or let_in(request, office, signed_in) is None:
        return
    request[SIGNED_IN] = signed_in
    if LANGUAGE not in request.cookies:
        request[READS] = choose(signed_in.language, language.code)
    if signed_in.needs_touch:
        await write_if_possible(office, lambda at_ms: office.accounts.touch(token, at_ms))


async def _refused(request: web.Request, refusal: Refusal) -> web.StreamResponse:
    if not request.path.startswith(f"{PREFIX}/") and request.method in ("GET", "HEAD"):
        if refusal.problem.code == "password_must_change":
            raise web.HTTPSeeOther("/account")
        if refusal.status == 401:
            back = quote(request.rel_url.raw_path_qs, safe="")
            raise web.HTTPSeeOther(f"/sign-in?next={back}")
        return await problem_page(request, refusal)
    headers = {}
    if refusal.problem.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.problem.retry_after_s)
    return web.json_response(
        text=refusal.problem.model_dump_json(), status=refusal.status, headers=headers
    )


def _check_host(request: web.Request) -> None:
    """Refuse names that are not ours: a foreign name that leads here is an attack on the browser.

    An address cannot be rebound, and `localhost` is not looked up outside. Any other `.local` name
    than ours is whose anybody on the LAN says, and may lead a browser to this machine.
    """
    host, office = (request.url.host or "").lower(), request.app[OFFICE]
    if host == "localhost" or host.endswith(".localhost"):
        return
    if host == office.config.web_host or (office.lan and host == office.lan.site.name):
        return
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise WebError("host_unknown", 421, "This node does not go by that name.") from error
