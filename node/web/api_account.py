"""Signing in and out, who one is, the own password."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from aiohttp import web

from crypto.errors import PasswordError
from crypto.password import SALT_BYTES, hash_password, verify_password
from node.accounts import (
    SignedIn,
    check_new_password,
    find_account,
    wait_ms,
)
from node.devices import Device, find_device
from node.permissions import allowed_operations
from node.web.answers import Done, Me, NewPassword, SignIn
from node.web.calls import Call, needs_pairing
from node.web.cookies import device_cookie, forget_session, keep_sign_in
from node.web.errors import WebError
from node.web.records import note
from schemas.codes import DeviceScope

# Each check takes 19 MiB and tens of milliseconds; more at once would starve a small node.
_KNOWN_CHECKS: Final = 1
_STRANGE_CHECKS: Final = 1
# Of browsers that nobody signed in with before, not more wait than are checked in a few seconds.
_STRANGERS_WAITING_MAX: Final = 32


class PasswordChecks:
    """Two queues, so that strangers who guess never keep those waiting who work here."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._known = asyncio.Semaphore(_KNOWN_CHECKS)
        self._strange = asyncio.Semaphore(_STRANGE_CHECKS)
        self._strangers = 0

    @asynccontextmanager
    async def turn(self, *, is_known: bool) -> AsyncIterator[None]:
        """Wait for a turn to check a password.

        Raises:
            WebError: too many strangers wait already.
        """
        if is_known:
            async with self._known:
                yield
            return
        if self._strangers >= _STRANGERS_WAITING_MAX:
            raise _too_many(1)
        self._strangers += 1
        try:
            async with self._strange:
                yield
        finally:
            self._strangers -= 1


PASSWORD_CHECKS: Final[web.AppKey[PasswordChecks]] = web.AppKey("password_checks")


async def sign_in(call: Call) -> web.StreamResponse:
    """Check name and password, slowed down after failures, and start a session."""
    asked, office = call.take(SignIn), call.office
    user, secret = asked.user.strip().lower(), device_cookie(call.request, office.code)
    db = office.accounts.db

    def attempt(now_ms: int) -> tuple[int, str]:
        office.accounts.sweep(now_ms)
        known = find_device(db, secret)
        device = None if known is None else known.device
        pause_ms = wait_ms(db, user, device, now_ms)
        if pause_ms == 0:
            # Counted before the check, so that many attempts at once are counted too.
            office.accounts.note_failure(user, device, now_ms)
        account = find_account(db, user)
        return pause_ms, account.password if account and account.is_active else ""

    device = await office.read(lambda reader: find_device(reader, secret))
    _check_device(call, device)
    async with call.request.app[PASSWORD_CHECKS].turn(is_known=device is not None):
        pause_ms, phc = await office.write(attempt)
        if pause_ms:
            raise _too_many(-(-pause_ms // 1000))
        await _check(asked.password, phc)
    browser = ascii(call.request.headers.get("User-Agent", ""))[1:-1]

    def start(now_ms: int) -> tuple[SignedIn, str]:
        new = office.accounts.sign_in(user, secret, browser, now_ms)
        account = find_account(db, user)
        assert account is not None
        me = SignedIn(
            user=user,
            name=account.name,
            role=account.role,
            device=b"",
            token=new.token,
            csrf=new.csrf,
            language=account.language,
            needs_touch=False,
            scope=DeviceScope.WORK if device is None else device.scope,
        )
        note(db, me, now_ms, "account.sign_in")
        return me, new.device_secret

    me, device_secret = await office.write(start)
    response = web.json_response(text=_me(call, me).model_dump_json())
    keep_sign_in(response, call.request, office.code, me.token, device_secret)
    return response


async def sign_out(call: Call) -> web.StreamResponse:
    """End the session."""
    await call.office.write(lambda _: call.office.accounts.sign_out(call.me.token))
    response = web.json_response(text=Done().model_dump_json())
    forget_session(response, call.office.code)
    return response


async def me(call: Call) -> Me:
    """Return who is signed in."""
    return _me(call, call.me)


async def change_password(call: Call) -> Done:
    """Change the own password; all other sessions end."""
    asked, office, signed_in = call.take(NewPassword), call.office, call.me
    account = await office.read(lambda db: find_account(db, signed_in.user))
    assert account is not None
    check_new_password(asked.new, signed_in.user)
    salt = office.entropy(SALT_BYTES)
    async with call.request.app[PASSWORD_CHECKS].turn(is_known=True):
        try:
            await _check(asked.old, account.password)
        except WebError as error:
            raise WebError(
                "password_wrong", 422, "The old password is wrong.", field="old"
            ) from error
        phc = await asyncio.to_thread(hash_password, asked.new, salt)

    def store(now_ms: int) -> Done:
        office.accounts.set_password(signed_in.user, phc, signed_in.token)
        note(office.accounts.db, signed_in, now_ms, "account.password")
        return Done()

    return await office.write(store)


def _check_device(call: Call, device: Device | None) -> None:
    """Let people in from the LAN only at devices that the technician has confirmed."""
    if needs_pairing(call.request, call.office) and not (device and device.is_paired):
        raise WebError(
            "device_not_paired",
            403,
            "This device is not paired with this node.",
            "Ask the technician to pair it, or sign in at the node itself.",
        )


async def _check(password: str, phc: str) -> None:
    try:
        # A name without an account costs the same time, so that names cannot be guessed by it.
        await asyncio.to_thread(verify_password, password, phc or _nobody())
    except PasswordError as error:
        raise _refused() from error
    if not phc:
        raise _refused()


@cache
def _nobody() -> str:
    return hash_password("nobody has this password", bytes(SALT_BYTES))


def _too_many(retry_after_s: int) -> WebError:
    return WebError(
        "sign_in_throttled",
        429,
        "Too many failed attempts.",
        "Wait a moment, then try again.",
        retry_after_s=retry_after_s,
    )


def _refused() -> WebError:
    return WebError("sign_in_refused", 401, "The name or the password is wrong.")


def _me(call: Call, signed_in: SignedIn) -> Me:
    office = call.office
    return Me(
        user=signed_in.user,
        name=signed_in.name,
        role=signed_in.role.value,
        language=call.language.code,
        csrf=signed_in.csrf,
        operations=list(allowed_operations(signed_in.role, signed_in.scope)),
        tier=office.tier.value,
        code=office.code,
        office=office.name,
        is_demo=office.config.is_demo,
    )
