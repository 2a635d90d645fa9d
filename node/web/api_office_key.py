"""Unlocking the key that opens sealed values, after a start without its passphrase."""

import asyncio
from typing import Final

from crypto.errors import PasswordError
from node.accounts import wait_ms
from node.trail import note
from node.web.account_answers import OfficeKeyAnswer, Passphrase
from node.web.api_account import PASSWORD_CHECKS, too_many
from node.web.calls import Call
from node.web.errors import WebError

# No account can have that name; its failures are counted like those of one.
_KEY: Final = "~office-key"


async def read_office_key(call: Call) -> OfficeKeyAnswer:
    """Return how the key is kept."""
    state = await asyncio.to_thread(lambda: call.office.office_key)
    return OfficeKeyAnswer(
        is_open=state.is_open, is_plain=state.is_plain, is_beside=state.is_beside
    )


async def unlock(call: Call) -> OfficeKeyAnswer:
    """Open the key with its passphrase, slowed down after failures."""
    asked, office, me = call.take(Passphrase), call.office, call.me
    db = office.accounts.db

    def attempt(now_ms: int) -> int:
        office.accounts.sweep(now_ms)
        pause_ms = wait_ms(db, _KEY, None, now_ms)
        if pause_ms == 0:
            office.accounts.note_failure(_KEY, None, now_ms)
        return pause_ms

    async with call.request.app[PASSWORD_CHECKS].turn(is_known=True):
        if pause_ms := await office.write(attempt):
            raise too_many(-(-pause_ms // 1000))
        try:
            await asyncio.to_thread(office.unlock, asked.passphrase)
        except PasswordError as error:
            await office.write(lambda now_ms: note(db, me, now_ms, "office_key.wrong"))
            raise WebError(
                "passphrase_wrong", 422, "The passphrase is wrong.", field="passphrase"
            ) from error

    def done(now_ms: int) -> None:
        office.accounts.forget_failures(_KEY)
        note(db, me, now_ms, "office_key.unlock")

    await office.write(done)
    return await read_office_key(call)
