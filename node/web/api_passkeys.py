"""Passkeys: adding and removing the own ones, and signing in with one."""

from dataclasses import asdict
from typing import Final

from aiohttp import web

from node.accounts import AccountError
from node.passkeys import (
    NONCE_BYTES,
    Challenges,
    Site,
    add_passkey,
    challenge_in,
    check_passkey,
    credentials_at,
    drop_passkey,
    passkeys_of,
    registration_options,
    sign_in_options,
    site_of,
)
from node.trail import note
from node.web.account_answers import (
    NewPasskey,
    PasskeyLine,
    PasskeyList,
    PasskeyOptions,
    PasskeySignIn,
)
from node.web.answers import Done
from node.web.api_account import check_device, check_own_password, open_session
from node.web.calls import Call
from node.web.errors import WebError

CHALLENGES: Final[web.AppKey[Challenges]] = web.AppKey("challenges")
_SIGN_IN: Final = "sign in"


async def read_passkeys(call: Call) -> PasskeyList:
    """Return the own passkeys."""
    user = call.me.user
    found = await call.office.read(lambda db: passkeys_of(db, user))
    return PasskeyList(passkeys=[PasskeyLine(**asdict(one)) for one in found])


async def read_options(call: Call) -> PasskeyOptions:
    """Return what the browser needs to make a passkey for this page's name."""
    office, me, site = call.office, call.me, _site(call)
    known = await office.read(lambda db: credentials_at(db, me.user, site))
    challenge = _challenge(call, _adding(me.user))
    return PasskeyOptions(
        options=registration_options(
            site,
            office=office.name,
            user=me.user,
            name=me.name,
            known=known,
            challenge=challenge,
        )
    )


async def add(call: Call) -> PasskeyList:
    """Store a passkey that the browser made; the password shows who is at the keyboard."""
    asked, office, me, site = call.take(NewPasskey), call.office, call.me, _site(call)
    await check_own_password(call, asked.password, "password")
    challenge = challenge_in(asked.credential)
    call.request.app[CHALLENGES].take(_adding(me.user), challenge, office.clock.now_ms())
    db = office.accounts.db

    def work(now_ms: int) -> None:
        name = asked.name.strip()
        add_passkey(db, site, me.user, name, asked.credential, challenge, now_ms)
        note(db, me, now_ms, "account.passkey_add", detail=site.name)

    await office.write(work)
    return await read_passkeys(call)


async def drop(call: Call) -> Done:
    """Remove one of the own passkeys."""
    office, me, passkey = call.office, call.me, call.part("id")

    def work(now_ms: int) -> Done:
        drop_passkey(office.accounts.db, me.user, passkey)
        note(office.accounts.db, me, now_ms, "account.passkey_drop")
        return Done()

    return await office.write(work)


async def read_sign_in_options(call: Call) -> PasskeyOptions:
    """Return what the browser needs to ask for a passkey of this page's name."""
    return PasskeyOptions(options=sign_in_options(_site(call), _challenge(call, _SIGN_IN)))


async def sign_in(call: Call) -> web.StreamResponse:
    """Check the answer of a passkey and start a session; all refusals look the same."""
    asked, office, site = call.take(PasskeySignIn), call.office, _site(call)
    await check_device(call)
    challenge = challenge_in(asked.credential)
    call.request.app[CHALLENGES].take(_SIGN_IN, challenge, office.clock.now_ms())
    db = office.accounts.db
    user = await office.write(
        lambda now_ms: check_passkey(db, site, asked.credential, challenge, now_ms)
    )
    try:
        return await open_session(call, user, "account.passkey_sign_in")
    except WebError as error:
        raise AccountError("passkey_refused", "The account was closed.") from error


def _site(call: Call) -> Site:
    request = call.request
    return site_of(request.scheme, request.url.host or "", request.host)


def _challenge(call: Call, purpose: str) -> bytes:
    nonce = call.office.entropy(NONCE_BYTES)
    return call.request.app[CHALLENGES].make(purpose, nonce, call.office.clock.now_ms())


def _adding(user: str) -> str:
    return f"add {user}"
