"""Accounts of the people here, for those in charge.

Nothing of this is answered twice for one Idempotency-Key: an answer that is kept would hold the
one-time password.
"""

import asyncio
from dataclasses import asdict

from crypto.password import SALT_BYTES, hash_password
from node.accounts import find_account
from node.permissions import may_grant
from node.staff import (
    ONE_TIME_BYTES,
    Manager,
    add_account,
    change_account,
    list_accounts,
    one_time_password,
    reset_password,
)
from node.trail import note
from node.web.account_answers import (
    AccountAnswer,
    AccountList,
    ChangeAccount,
    NewAccount,
    OneTimePassword,
)
from node.web.answers import Done
from node.web.calls import Call
from schemas.codes import Role


async def read_accounts(call: Call) -> AccountList:
    """Return all accounts, and the roles that whoever asks may give."""
    me, tier = call.me, call.office.tier
    found = await call.office.read(list_accounts)
    return AccountList(
        accounts=[
            AccountAnswer(
                **asdict(line),
                can_change=line.user != me.user and may_grant(me.role, line.role, tier),
            )
            for line in found
        ],
        roles=[role.value for role in Role if may_grant(me.role, role, tier)],
    )


async def add(call: Call) -> OneTimePassword:
    """Make an account and return its one-time password."""
    asked, office, db = call.take(NewAccount), call.office, call.office.accounts.db
    password, phc = await _new_password(call)
    user = asked.user.strip().lower()

    def work(now_ms: int) -> OneTimePassword:
        add_account(
            db,
            _manager(call),
            user=user,
            name=asked.name.strip(),
            role=asked.role,
            phc=phc,
            now_ms=now_ms,
        )
        note(db, call.me, now_ms, "account.add", detail=f"{user} {asked.role.value}")
        return _told(call, user, password)

    return await office.write(work)


async def change(call: Call) -> Done:
    """Give an account another name or role, close or open it."""
    asked, user, db = call.take(ChangeAccount), call.part("user"), call.office.accounts.db

    def work(now_ms: int) -> Done:
        change_account(
            db,
            _manager(call),
            user,
            name=asked.name.strip() if asked.name else None,
            role=asked.role,
            is_active=asked.is_active,
        )
        told = [user, asked.role.value if asked.role else "", "name" if asked.name else ""]
        if asked.is_active is not None:
            told.append("open" if asked.is_active else "closed")
        note(db, call.me, now_ms, "account.change", detail=" ".join(filter(None, told)))
        return Done()

    return await call.office.write(work)


async def reset(call: Call) -> OneTimePassword:
    """Give an account a one-time password and return it."""
    user, db = call.part("user"), call.office.accounts.db
    password, phc = await _new_password(call)

    def work(now_ms: int) -> OneTimePassword:
        reset_password(db, _manager(call), user, phc, now_ms)
        note(db, call.me, now_ms, "account.reset", detail=user)
        return _told(call, user, password)

    return await call.office.write(work)


def _manager(call: Call) -> Manager:
    return Manager(user=call.me.user, role=call.me.role.value, tier=call.office.tier)


async def _new_password(call: Call) -> tuple[str, str]:
    password = one_time_password(call.office.entropy(ONE_TIME_BYTES))
    salt = call.office.entropy(SALT_BYTES)
    return password, await asyncio.to_thread(hash_password, password, salt)


def _told(call: Call, user: str, password: str) -> OneTimePassword:
    account = find_account(call.office.accounts.db, user)
    assert account is not None
    return OneTimePassword(user=user, password=password, until_ms=account.once_until_ms)
