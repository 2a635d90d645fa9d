"""One request on its way: who asks, in which language, with what; and how it changes something."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from node.accounts import SignedIn
from node.permissions import may, may_at
from node.web.errors import WebError
from node.web.languages import Language
from node.web.office import Office
from node.web.records import earlier_answer, keep_answer
from sync.errors import StoreError
from sync.replica import Author

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

OFFICE: Final[web.AppKey[Office]] = web.AppKey("office")
SIGNED_IN: Final[web.RequestKey[SignedIn | None]] = web.RequestKey("signed_in")
READS: Final[web.RequestKey[Language]] = web.RequestKey("reads")
_REQUEST_ID_CHARS_MAX: Final = 80
# What somebody may do whose password was made by another.
_BEFORE_CHANGE: Final = frozenset(
    {"account.me", "account.password", "account.sign_out", "link.read"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose sender, form and rights have been checked.

    Attributes:
        me: who is signed in; None only where nobody has to be.
        body: the request model, or None.
        query: the query model, or None.
        content: bytes of the body, to tell a repeated request from another.
        operation: its name in the table of operations.
    """

    office: Office
    request: web.Request
    language: Language
    operation: str
    signed_in: SignedIn | None = None
    body: BaseModel | None = None
    query: BaseModel | None = None
    content: bytes = b""

    @property
    def me(self) -> SignedIn:
        """Who is signed in."""
        assert self.signed_in is not None
        return self.signed_in

    @property
    def author(self) -> Author:
        """Who is signed in, as the writer of records."""
        me = self.me
        return Author(user=me.user, name=me.name, role=me.role.value, device=me.device)

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]

    def take(self, model: type[M]) -> M:
        """Return the parsed body."""
        assert isinstance(self.body, model)
        return self.body

    def ask(self, model: type[M]) -> M:
        """Return the parsed query."""
        assert isinstance(self.query, model)
        return self.query

    async def change(self, answer_model: type[M], work: Callable[[int], M]) -> M:
        """Run work(now_ms) in one transaction; a request that came before is not run again."""
        key = self.request.headers.get("Idempotency-Key", "")
        if not key:
            return await self.office.write(work)
        if len(key) > _REQUEST_ID_CHARS_MAX or not key.isascii():
            raise WebError("request_id_too_long", 422, "This Idempotency-Key is too long.")
        request_id = f"{self.me.user} {self.operation} {self.request.path} {key}"
        db = self.office.accounts.db

        def once(now_ms: int) -> M:
            earlier = earlier_answer(db, request_id, self.content)
            if earlier is not None:
                return answer_model.model_validate(earlier)
            answer = work(now_ms)
            keep_answer(db, request_id, self.content, answer.model_dump(mode="json"), now_ms)
            return answer

        return await self.office.write(once)


def needs_pairing(request: web.Request, office: Office) -> bool:
    """Tell whether people may be signed in over this connection at paired devices only.

    HTTPS is served on the LAN, plain HTTP to this machine alone.
    """
    return request.secure and office.config.lan_needs_pairing


def let_in(request: web.Request, office: Office, signed_in: SignedIn | None) -> SignedIn | None:
    """Return who is signed in, unless that was done at another device than may come this way.

    Else a cookie or a ticket that somebody copied would be good on the whole LAN.
    """
    if signed_in is not None and needs_pairing(request, office) and not signed_in.is_paired:
        return None
    return signed_in


async def write_if_possible(office: Office, work: Callable[[int], None]) -> None:
    """Write what is good to have; a full disk is no reason to hide what is stored."""
    try:
        await office.write(work)
    except StoreError as error:
        if error.code != "disk_full":
            raise
        log.error("not written", extra={"code": error.code})


def require(signed_in: SignedIn | None, operation: str) -> SignedIn:
    """Return who is signed in, if that role may do the operation.

    Raises:
        WebError: nobody is signed in, or the role may not.
    """
    if signed_in is None:
        raise WebError(
            "sign_in_needed", 401, "Sign in first.", "The session may have ended after a pause."
        )
    if signed_in.must_change and operation not in _BEFORE_CHANGE:
        raise WebError(
            "password_must_change",
            403,
            "Choose a password of your own first.",
            "Somebody else made the one you signed in with.",
        )
    if not may_at(signed_in.scope, operation):
        raise WebError(
            "device_scope",
            403,
            "This device is for looking things up only.",
            "Use another device, or ask the technician to pair this one for work.",
        )
    if not may(signed_in.role, operation):
        raise WebError(
            "not_permitted",
            403,
            "Your role may not do this.",
            "Ask a colleague whose role may, or the person in charge.",
        )
    return signed_in


def parse_json(content: bytes) -> Any:
    """Return the JSON in a body.

    Raises:
        WebError: it is not JSON.
    """
    try:
        return json.loads(content or b"{}")
    except (ValueError, RecursionError) as error:
        raise WebError("json_malformed", 400, "The body of the request is not JSON.") from error
