"""The attacker's end of a link to the province: a good certificate, and a program of its own."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from scripts.attacks.world import World
from tests.independent.enrolment import Office
from tests.independent.messages import PROBLEM
from tests.independent.peer import Peer
from tests.independent.peer_link import Contact, dialled

_SILENCE_S = 3.0


def contact(world: World, office: Office | None = None) -> AbstractAsyncContextManager[Contact]:
    """Dial the province as a commune of the attacker, for the length of a block."""
    office = office or world.office
    return dialled(world.province.sync_port, office.context, office.root)


def peer_of(world: World, link: Contact, leaves: Sequence[bytes] = ()) -> Peer:
    """Return the attacker's commune with a log."""
    return Peer(world.office.me, link.parent, world.office.root, leaves)


async def outcome(link: Contact) -> str:
    """Return the code with which the province refuses, `closed`, or `silence` if it does not."""
    try:
        async with asyncio.timeout(_SILENCE_S):
            while True:
                for kind, items in await link.hear():
                    if kind == PROBLEM:
                        return str(items[0])
    except TypeError:
        return "closed"
    except TimeoutError:
        return "silence"
