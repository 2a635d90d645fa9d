"""What the port for children answers beside links: enrolment with a token, renewal, accounts.

Whoever comes without a certificate is let through the handshake only while a token is open, and
then only to the enrolment; everything else on the port needs a certificate of our root, as ever.
"""

import asyncio
import logging
import math
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from crypto.certificates import Subject, chain_to_pem, request_from_pem, subject_of_request
from crypto.errors import CertificateError, CryptoError
from node.clock import Clock
from node.enrolling import ENROL_PATH, EnrolRequest, answer_request
from node.errors import NodeError, RequestError
from node.folder import NodeFolder, is_directly_below
from node.issuing import IsRevoked, check_renewal, issue_below
from node.renewing import RENEW_PATH, RenewAnswer, RenewRequest
from node.throttle import Throttle
from node.tls import peer_subject
from node.tokens import Door
from node.travelling import ACCOUNTS_PATH, Parcel, parcel_for
from schemas.codes import Tier
from sync.errors import StoreError, SyncError

log = logging.getLogger(__name__)
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_BYTES_MAX: Final = 32 << 10
_BODY_S: Final = 30.0
# One address may stand for many communes, but few enrol in the same minute.
_AT_ONCE: Final = 8
_EVERY_S: Final = 10.0
_CALLERS_MAX: Final = 1_000


class Issuing(Protocol):
    """What the gate needs of the node."""

    async def issue(self, work: Callable[[IsRevoked], T], /) -> T:
        """Return what work returned in the writer thread."""


class Gate:
    """Answers those who ask for a certificate."""

    def __init__(self, folder: NodeFolder, issuing: Issuing, clock: Clock) -> None:
        """Issue in the name of a folder's node."""
        self._folder = folder
        self._issuing = issuing
        self._clock = clock
        self._door = Door(folder.path)
        self._throttle = Throttle(_AT_ONCE, _EVERY_S, _CALLERS_MAX)

    def application(self) -> web.Application:
        """Return an application with the gate's routes, in which all others need a certificate."""
        app = web.Application(middlewares=[_certified], client_max_size=BODY_BYTES_MAX)
        app.router.add_post(ENROL_PATH, self._on_enrol)
        app.router.add_post(RENEW_PATH, self._on_renew)
        app.router.add_post(ACCOUNTS_PATH, self._on_accounts)
        return app

    def admits_strangers(self) -> bool:
        """Tell whether somebody without a certificate may come now."""
        return self._door.is_open(self._clock.now_ms())

    async def _on_enrol(self, request: web.Request) -> web.Response:
        """Enrol a node that has a token."""

        async def work() -> BaseModel:
            asked = EnrolRequest.model_validate_json(await _body(request))
            now_ms, own = self._clock.now_ms(), self._folder.chain[0]
            return await self._issuing.issue(
                lambda is_revoked: answer_request(self._folder.path, asked, own, now_ms, is_revoked)
            )

        return await self._answered(request, "enrolment", work)

    async def _on_renew(self, request: web.Request) -> web.Response:
        """Renew the certificate of a node below, also one that is out of time."""

        async def work() -> BaseModel:
            shown = self._child(request)
            asked = RenewRequest.model_validate_json(await _body(request))
            wanted = request_from_pem(asked.request.encode())
            check_renewal(shown, subject_of_request(wanted))
            now_ms = self._clock.now_ms()
            chain = await self._issuing.issue(
                lambda is_revoked: issue_below(
                    self._folder.path, wanted, now_ms=now_ms, is_revoked=is_revoked, again=True
                )
            )
            log.info("certificate issued", extra={"code": shown.code})
            return RenewAnswer(certificates=chain_to_pem(chain).decode())

        return await self._answered(request, "renewal", work)

    async def _on_accounts(self, request: web.Request) -> web.Response:
        """Tell an outpost who may sign in there."""

        async def work() -> BaseModel:
            shown = self._child(request)

            def parcel(is_revoked: IsRevoked) -> Parcel:
                if shown.tier is not Tier.OUTPOST or is_revoked(shown.peer_id, shown.code):
                    raise RequestError("key_revoked", "No accounts travel to that machine.")
                return parcel_for(self._folder.path, self._folder.key, shown, self._clock.now_ms())

            return await self._issuing.issue(parcel)

        return await self._answered(request, "accounts", work)

    def _child(self, request: web.Request) -> Subject:
        shown, _ = peer_subject(_secured(request), self._folder, None)
        if not is_directly_below(shown, self._folder.subject):
            raise CertificateError(
                "certificate_wrong_code",
                f"{shown.name} ({shown.code}) is not directly below this node",
                "Check the setting `parent` in node.toml of that node.",
            )
        return shown

    async def _answered(
        self, request: web.Request, what: str, work: Callable[[], Awaitable[BaseModel]]
    ) -> web.Response:
        wait_s = self._throttle.wait_s(f"{what} {request.remote}", self._clock.monotonic_s())
        if wait_s > 0:
            error = RequestError(
                "enrol_throttled",
                "Too many requests came from this address.",
                f"Try again in {math.ceil(wait_s)} s.",
            )
            response = _refusal(429, error)
            response.headers["Retry-After"] = f"{math.ceil(wait_s)}"
            return response
        try:
            answer = await work()
        except (ValidationError, TimeoutError):
            error = RequestError("request_invalid", "The request cannot be read.", "Send it again.")
            response = _refusal(400, error)
        except web.HTTPRequestEntityTooLarge:
            error = RequestError("request_too_large", "The request is too large.", "Send it again.")
            response = _refusal(413, error)
        except (NodeError, CryptoError, SyncError) as error:
            log.warning("not issued", extra={"asked": what, "code": error.code})
            response = _refusal(503 if isinstance(error, StoreError) else 403, error)
        else:
            response = web.json_response(text=answer.model_dump_json())
        response.force_close()
        return response


@web.middleware
async def _certified(request: web.Request, handler: Handler) -> web.StreamResponse:
    secured = _secured(request)
    if request.path != ENROL_PATH and (
        secured is None or secured.getpeercert(binary_form=True) is None
    ):
        error = RequestError("certificate_missing", "This needs a certificate.", "Enrol first.")
        response = _refusal(403, error)
        response.force_close()
        return response
    return await handler(request)


def _secured(request: web.Request) -> ssl.SSLObject | None:
    found: ssl.SSLObject | None = request.get_extra_info("ssl_object")
    return found


async def _body(request: web.Request) -> bytes:
    async with asyncio.timeout(_BODY_S):
        return await request.read()


def _refusal(status: int, error: NodeError | CryptoError | SyncError) -> web.Response:
    said = {"code": error.code, "message": str(error), "hint": getattr(error, "hint", "")}
    return web.json_response(said, status=status)
