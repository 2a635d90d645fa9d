"""The pages: each asks the same functions as the API and renders what they answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel

from node.queries.cases import CaseFilter
from node.queries.facts import Office as OfficeName
from node.queries.offices import office_names, offices_below, outposts_below
from node.queries.sync_state import news_digest
from node.web.api_account import read_sessions
from node.web.api_cases import read_case, read_cases, read_document, read_today
from node.web.api_data_requests import read_data_requests
from node.web.api_devices import lan_of, read_devices, site_answer
from node.web.api_directives import read_directive, read_directives
from node.web.api_node import link_answer, page_digest, read_technician
from node.web.api_office_key import read_office_key
from node.web.api_packs import read_packs
from node.web.api_passkeys import read_passkeys
from node.web.api_staff import read_accounts
from node.web.api_trail import TrailFilter, read_trail
from node.web.api_visits import VisitFilter, read_drafts, read_visits
from node.web.calls import OFFICE, READS, SIGNED_IN, Call, require
from node.web.cookies import keep_language
from node.web.forms import FormField, document_form, event_form, in_order
from node.web.languages import LANGUAGES
from node.web.office import place_of
from node.web.offline import FORM_LISTS
from node.web.problems import Refusal
from node.web.rendering import TEMPLATES, environment, page, render
from schemas.codes import CaseState, CaseType, DeviceScope, DocumentKind, IdentityType

_DIGEST: Final[web.RequestKey[str]] = web.RequestKey("digest")
_PageHandler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page with its permission and its parameters."""

    path: str
    permission: str
    handler: _PageHandler
    query: type[BaseModel] | None = None


async def _home(call: Call) -> web.StreamResponse:
    if not call.me.may("today.read"):
        raise web.HTTPSeeOther("/technician" if call.me.may("technician.read") else "/account")
    drafts = (await read_drafts(call)).drafts if call.me.may("draft.keep") else []
    return await _page(call, "home.html", today_facts=await read_today(call), drafts=drafts)


async def _register(call: Call) -> web.StreamResponse:
    return await _page(
        call,
        "register.html",
        drafts=(await read_drafts(call)).drafts,
        is_apart=False,
        **FORM_LISTS,
    )


async def _cases(call: Call) -> web.StreamResponse:
    wanted = call.ask(CaseFilter)
    found = await read_cases(call)
    following = ""
    if found.next:
        query = wanted.model_dump(mode="json", exclude_defaults=True) | {"after": found.next}
        following = "/cases?" + urlencode(query)
    communes = await call.office.read(offices_below)
    return await _page(
        call,
        "cases.html",
        wanted=wanted,
        found=found,
        following=following,
        communes=communes,
        case_types=list(CaseType),
        case_states=list(CaseState),
    )


async def _case(call: Call) -> web.StreamResponse:
    answer = await read_case(call)
    recorded = {entry.type for entry in answer.file.timeline}
    likely, aside = in_order(answer.allowed_events, recorded)
    forms: dict[str, tuple[FormField, ...]] = {name: event_form(name) for name in likely + aside}
    return await _page(
        call,
        "case.html",
        case=answer,
        likely=likely,
        aside=aside,
        forms=forms,
        addressees=await _addressees(call),
        outposts=await call.office.read(outposts_below),
        case_types=list(CaseType),
        office_names={office.code: office.name for office in answer.offices}
        | {call.office.code: call.office.name},
        document_id=answer.file.line.id,
        data_rights=_choices("data_requested", "right"),
    )


async def _visits(call: Call) -> web.StreamResponse:
    found = await read_visits(call)
    following = "/visits?" + urlencode({"after": found.next}) if found.next else ""
    return await _page(call, "visits.html", found=found, following=following)


async def _directives(call: Call) -> web.StreamResponse:
    found = await read_directives(call)
    return await _page(call, "directives.html", found=found, addressees=await _addressees(call))


async def _directive(call: Call) -> web.StreamResponse:
    found = await read_directive(call)
    own = place_of(call.office).own
    names = await call.office.read(lambda db: office_names(db, own))
    return await _page(
        call,
        "directive.html",
        directive=found,
        document_id=found.id,
        office_names=names,
        own_code=own.code,
    )


async def _addressees(call: Call) -> list[OfficeName]:
    """Return whom a directive can go to: those below; at a commune the own office."""
    below = await call.office.read(offices_below)
    return below or [OfficeName(code=call.office.code, name=call.office.name)]


async def _technician(call: Call) -> web.StreamResponse:
    answer = await read_technician(call)
    names = {peer.code: peer.name for peer in answer.node.peers}
    names[call.office.code] = call.office.name
    peers = {peer.peer_id: peer.name for peer in answer.node.peers}
    return await _page(call, "technician.html", answer=answer, office_names=names, peer_names=peers)


async def _devices(call: Call) -> web.StreamResponse:
    answer = await read_devices(call)
    return await _page(call, "devices.html", answer=answer, scopes=list(DeviceScope))


async def _packs(call: Call) -> web.StreamResponse:
    return await _page(call, "packs.html", answer=await read_packs(call))


async def _account(call: Call) -> web.StreamResponse:
    sessions = [] if call.me.must_change else (await read_sessions(call)).sessions
    may_unlock = call.me.may("office_key.unlock") and not call.me.must_change
    office_key = await read_office_key(call) if may_unlock else None
    passkeys = [] if call.me.must_change else (await read_passkeys(call)).passkeys
    shown = {"sessions": sessions, "passkeys": passkeys, "office_key": office_key}
    return await _page(call, "account.html", **shown)


async def _accounts(call: Call) -> web.StreamResponse:
    return await _page(call, "accounts.html", answer=await read_accounts(call))


def _choices(event: str, name: str) -> tuple[str, ...]:
    return next(field.choices for field in event_form(event) if field.name == name)


async def _data_requests(call: Call) -> web.StreamResponse:
    found = await read_data_requests(call)
    names = await call.office.read(lambda db: office_names(db, place_of(call.office).own))
    answers = _choices("data_answered", "answer")
    return await _page(call, "data_requests.html", found=found, office_names=names, answers=answers)


async def _audit(call: Call) -> web.StreamResponse:
    wanted = call.ask(TrailFilter)
    found = await read_trail(call)
    following = ""
    if found.next:
        query = wanted.model_dump(mode="json", exclude_defaults=True) | {"before": found.next}
        following = "/audit?" + urlencode(query)
    return await _page(call, "audit.html", found=found, wanted=wanted, following=following)


async def _edit_form(call: Call) -> web.StreamResponse:
    """Return the form of a document as a piece of a page, with the version it was read at."""
    answer = await read_document(call)
    document = answer.document
    present = document.fields.keys() | document.texts.keys()
    fields = [
        field for field in document_form(DocumentKind(document.kind)) if field.name in present
    ]
    text = render(
        call.request.app,
        "edit_form.html",
        call.language,
        {"answer": answer, "document": document, "fields": fields, "identity_types": IdentityType},
    )
    return web.Response(text=text, content_type="text/html", charset="utf-8")


PAGES: Final = (
    Page("/", "account.me", _home),
    Page("/visits/new", "visit.register", _register),
    Page("/visits", "visit.list", _visits, VisitFilter),
    Page("/cases", "case.list", _cases, CaseFilter),
    Page("/cases/{id}", "case.read", _case),
    Page("/directives", "directive.list", _directives),
    Page("/directives/{id}", "directive.list", _directive),
    Page("/packs", "pack.carry", _packs),
    Page("/devices", "device.list", _devices),
    Page("/technician", "technician.read", _technician),
    Page("/account", "account.me", _account),
    Page("/accounts", "account.manage", _accounts),
    Page("/data-requests", "data_request.list", _data_requests),
    Page("/audit", "audit.read", _audit, TrailFilter),
    Page("/documents/{id}/form", "document.edit", _edit_form),
)


async def _page(call: Call, template: str, **values: Any) -> web.Response:
    office = call.office
    link = await office.read(lambda db: link_answer(office, db))
    values.setdefault("document_id", "")
    shared = {
        "link": link,
        "digest": call.request[_DIGEST],
        "may_send_files": call.me.may("link.files"),
    }
    return page(call, template, **shared, **values)


def add_pages(app: web.Application) -> None:
    """Add the templates and the routes of all pages."""
    app[TEMPLATES] = environment()
    for entry in PAGES:
        app.router.add_get(entry.path, _served(entry))
    app.router.add_get("/sign-in", _sign_in)
    app.router.add_get("/site", _site)
    app.router.add_get("/pair", _pair)
    app.router.add_get("/language/{code}", _choose_language)


def _served(entry: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        signed_in = require(request[SIGNED_IN], entry.permission)
        if signed_in.must_change and entry.path != "/account":
            # The first page asks for no more than to be signed in.
            raise web.HTTPSeeOther("/account")
        given = {name: value for name, value in request.query.items() if value}
        office = request.app[OFFICE]
        # Taken before what the page shows, so that nothing in between goes unnoticed.
        shows = entry.permission == "device.list"
        request[_DIGEST] = await office.read(
            lambda db: page_digest(office, db, shows_devices=shows)
        )
        call = Call(
            office=office,
            request=request,
            language=request[READS],
            operation=entry.path,
            signed_in=signed_in,
            query=entry.query.model_validate(given) if entry.query else None,
        )
        return await entry.handler(call)

    return answer


async def _sign_in(request: web.Request) -> web.StreamResponse:
    if request[SIGNED_IN] is not None:
        raise web.HTTPSeeOther(_local(request.query.get("next", "/")))
    office = request.app[OFFICE]
    link = await office.read(lambda db: link_answer(office, db))
    text = render(
        request.app,
        "sign_in.html",
        request[READS],
        {
            "office": office,
            "next": _local(request.query.get("next", "/")),
            "tier": office.tier.value,
            "link": link,
            "is_demo": False,
            "is_lan": request.secure,
            "may_send_files": False,
        },
    )
    return web.Response(text=text, content_type="text/html", charset="utf-8")


async def _site(request: web.Request) -> web.StreamResponse:
    return _open_page(request, "site.html")


async def _pair(request: web.Request) -> web.StreamResponse:
    return _open_page(request, "pair.html")


def _open_page(request: web.Request, template: str) -> web.Response:
    """Return a page for a device at which nobody can sign in yet."""
    office = request.app[OFFICE]
    site = site_answer(office, lan_of(office))
    values = {"office": office, "site": site}
    text = render(request.app, template, request[READS], values)
    return web.Response(text=text, content_type="text/html", charset="utf-8")


async def _choose_language(request: web.Request) -> web.StreamResponse:
    code = request.match_info["code"]
    if code not in LANGUAGES:
        raise web.HTTPNotFound
    response = web.HTTPSeeOther(_local(request.query.get("back", "/")))
    keep_language(response, code)
    signed_in, office = request[SIGNED_IN], request.app[OFFICE]
    if signed_in is not None and signed_in.language != code:
        await office.write(lambda _: office.accounts.set_language(signed_in.user, code))
    raise response


async def problem_page(request: web.Request, refusal: Refusal) -> web.Response:
    """Return the page that says what is wrong; for somebody signed in, with menu and link."""
    office, signed_in = request.app[OFFICE], request.get(SIGNED_IN)
    values = {"problem": refusal.problem, "status": refusal.status}
    if signed_in is not None and refusal.status < 500:
        request[_DIGEST] = await office.read(news_digest)
        call = Call(
            office=office,
            request=request,
            language=request[READS],
            operation="problem",
            signed_in=signed_in,
        )
        answer = await _page(call, "problem_inside.html", **values)
        answer.set_status(refusal.status)
        return answer
    text = render(request.app, "problem.html", request[READS], {"office": office, **values})
    return web.Response(text=text, status=refusal.status, content_type="text/html", charset="utf-8")


def _local(address: str) -> str:
    """Return an address on this node; anything else becomes the first page."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    # Browsers drop tabs and line ends inside an address, which then may lead elsewhere.
    return address if is_local and address.isprintable() else "/"
