"""Signing in and out, who one is, the own password and sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import cache
from typing import Final

from aiohttp import web

from crypto.errors import PasswordError
from crypto.password import SALT_BYTES, hash_password, verify_password
from node.accounts import (
    Account,
    SignedIn,
    check_new_password,
    find_account,
    find_known,
    find_sign_in,
    open_sessions,
    wait_ms,
)
from node.devices import Device, find_device
from node.permissions import allowed_operations
from node.trail import note
from node.web.account_answers import EndedSessions, SessionLine, SessionList
from node.web.answers import Done, Me, NewPassword, SignIn
from node.web.calls import Call, needs_pairing
from node.web.cookies import device_cookie, forget_session, keep_sign_in
from node.web.errors import WebError

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
            raise too_many(1)
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

    def attempt(now_ms: int) -> tuple[int, Account | None]:
        office.accounts.sweep(now_ms)
        device = find_known(db, user, secret)
        pause_ms = wait_ms(db, user, device, now_ms)
        if pause_ms == 0:
            # Counted before the check, so that many attempts at once are counted too.
            office.accounts.note_failure(user, device, now_ms)
        account = find_account(db, user)
        return pause_ms, account if account and account.is_active else None

    await check_device(call)
    is_known = await office.read(lambda reader: find_known(reader, user, secret)) is not None
    async with call.request.app[PASSWORD_CHECKS].turn(is_known=is_known):
        pause_ms, account = await office.write(attempt)
        if pause_ms:
            raise too_many(-(-pause_ms // 1000))
        await check_password(asked.password, account.password if account else "")
    assert account is not None
    _check_one_time(account, office.clock.now_ms())
    return await open_session(call, user, "account.sign_in")


def _check_one_time(account: Account, now_ms: int) -> None:
    if 0 < account.once_until_ms < now_ms:
        raise WebError(
            "one_time_password_old",
            401,
            "This one-time password is no longer good.",
            "Ask whoever made it for a new one.",
        )


async def open_session(call: Call, user: str, action: str) -> web.StreamResponse:
    """Start a session for somebody who proved who that is, and give the browser its cookies.

    Raises:
        WebError: the account was closed meanwhile, or the device may not be used.
    """
    office = call.office
    db, secret = office.accounts.db, device_cookie(call.request, office.code)
    browser = ascii(call.request.headers.get("User-Agent", ""))[1:-1]

    def start(now_ms: int) -> tuple[SignedIn, str]:
        account = find_account(db, user)
        if account is None or not account.is_active:
            raise _refused()
        _check_paired(call, find_device(db, secret))
        new = office.accounts.sign_in(user, secret, browser, now_ms)
        me = find_sign_in(db, new.token, now_ms)
        assert me is not None
        note(db, me, now_ms, action)
        return me, new.device_secret

    me, device_secret = await office.write(start)
    response = web.json_response(text=_me(call, me).model_dump_json())
    keep_sign_in(response, call.request, office.code, me.token, device_secret)
    return response


async def check_device(call: Call) -> None:
    """Let people in from the LAN only at devices that the technician has confirmed.

    Raises:
        WebError: this one is not.
    """
    secret = device_cookie(call.request, call.office.code)
    _check_paired(call, await call.office.read(lambda db: find_device(db, secret)))


def _check_paired(call: Call, device: Device | None) -> None:
    if needs_pairing(call.request, call.office) and not (device and device.is_paired):
        raise WebError(
            "device_not_paired",
            403,
            "This device is not paired with this node.",
            "Ask the technician to pair it, or sign in at the node itself.",
        )


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
    check_new_password(asked.new, signed_in.user)
    if asked.new == asked.old:
        raise WebError(
            "password_same", 422, "The new password is the old one.", "Choose another.", field="new"
        )
    salt = office.entropy(SALT_BYTES)
    await check_own_password(call, asked.old, "old")
    phc = await asyncio.to_thread(hash_password, asked.new, salt)

    def store(now_ms: int) -> Done:
        office.accounts.set_password(signed_in.user, phc, signed_in.token)
        note(office.accounts.db, signed_in, now_ms, "account.password")
        return Done()

    return await office.write(store)


async def read_sessions(call: Call) -> SessionList:
    """Return the own sessions."""
    me, now_ms = call.me, call.office.clock.now_ms()
    found = await call.office.read(lambda db: open_sessions(db, me.user, me.token, now_ms))
    return SessionList(sessions=[SessionLine(**asdict(line)) for line in found])


async def end_sessions(call: Call) -> EndedSessions:
    """End all own sessions but this one."""
    office, me = call.office, call.me

    def work(now_ms: int) -> EndedSessions:
        ended = office.accounts.end_others(me.user, me.token)
        note(office.accounts.db, me, now_ms, "account.end_sessions", detail=str(ended))
        return EndedSessions(ended=ended)

    return await office.write(work)


async def check_own_password(call: Call, password: str, field: str) -> None:
    """Check the password of who is signed in: a screen that was left open is no proof.

    Raises:
        WebError: it is wrong, or too many were wrong before.
    """
    office, me = call.office, call.me
    db = office.accounts.db

    def attempt(now_ms: int) -> tuple[int, str]:
        office.accounts.sweep(now_ms)
        pause_ms = wait_ms(db, me.user, me.device, now_ms)
        if pause_ms == 0:
            office.accounts.note_failure(me.user, me.device, now_ms)
        account = find_account(db, me.user)
        assert account is not None
        return pause_ms, account.password

    async with call.request.app[PASSWORD_CHECKS].turn(is_known=True):
        pause_ms, phc = await office.write(attempt)
        if pause_ms:
            raise too_many(-(-pause_ms // 1000))
        try:
            await check_password(password, phc)
        except WebError as error:
            raise WebError("password_wrong", 422, "The password is wrong.", field=field) from error
    await office.write(lambda _: office.accounts.forget_failures(me.user, me.device))


async def check_password(password: str, phc: str) -> None:
    """Check a password against a stored hash; an empty one takes as long and is always wrong.

    Raises:
        WebError: it is wrong.
    """
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


def too_many(retry_after_s: int) -> WebError:
    """Return the refusal of an attempt that comes too soon after failed ones."""
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
        must_change_password=signed_in.must_change,
    )
