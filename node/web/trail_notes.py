"""How looks at a page get into the audit trail."""

from typing import Final

from aiohttp import web

from node.trail import WORDS_CHARS_MAX, is_noted, note_view, sealed_detail
from node.web.calls import Call, write_if_possible

# Makes the marks by which a repeated search is known; made anew at each start.
TRAIL_SECRET: Final[web.AppKey[bytes]] = web.AppKey("trail_secret")


async def audit_view(call: Call, action: str, document: str = "", detail: str = "") -> None:
    """Note that somebody looked, unless the same look was noted a moment ago."""
    db, me, at_ms = call.office.accounts.db, call.me, call.office.clock.now_ms()
    if await call.office.read(lambda r: is_noted(r, me, at_ms, action, document, detail)):
        return
    await write_if_possible(
        call.office, lambda now_ms: note_view(db, me, now_ms, action, document, detail)
    )


async def audit_search(call: Call, action: str, words: str) -> None:
    """Note what somebody searched for, sealed: it may be anybody's name or number."""
    words = words[:WORDS_CHARS_MAX]
    sealed = call.office.desk.seals.seal_words(words)
    await audit_view(call, action, "", sealed_detail(words, sealed, call.request.app[TRAIL_SECRET]))
