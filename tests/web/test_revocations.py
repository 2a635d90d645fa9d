"""Goal: the technician revokes a key at the page, and the page says what came of it.

Method: a real province that took in the records of a commune, asked over HTTP as a browser asks.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from crypto.identity import log_id
from node.cli import main
from node.queries.technician import waiting_changes
from schemas.events import Noted
from schemas.ids import document_text
from schemas.wire import Frame, Head, Hello, Message
from tests.node.places import make_commune
from tests.node.sticks import register
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    PROVINCE,
    Link,
    Node,
    Place,
    new_node,
    sync,
)
from tests.sync.revoked import revoke_at
from tests.web.offices import Browser, OpenOffice, open_office

REASON = "Máy bị mất trộm"


def take_in_a_commune(folder: Path) -> None:
    commune, stick = folder / "commune", folder / "stick"
    make_commune(commune, folder / "province")
    register(commune, count=2)
    assert main(["pack", "export", "--data", f"{commune}", "--out", f"{stick}"]) == 0
    assert main(["pack", "import", "--data", f"{folder / 'province'}", f"{stick}"]) == 0


def tell(folder: Path, story: Callable[[OpenOffice], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_office(folder, "province", take_in_a_commune) as office:
            await story(office)

    asyncio.run(run())


async def state(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = (await browser.get("/api/v1/technician")).body["node"]
    return found


def commune_of(node: dict[str, Any]) -> dict[str, Any]:
    (found,) = (peer for peer in node["peers"] if peer["tier"] == "commune")
    return dict(found)


def test_the_technician_revokes_and_sees_what_came_of_it(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        kha = await office.browser("kha")
        before = await state(kha)
        peer = commune_of(before)
        assert (peer["is_below"], peer["is_revoked"]) == (True, False)
        (log,) = (log for log in before["logs"] if log["tier"] == "commune")
        page = (await kha.get("/technician")).text
        assert f'data-revoke="{peer["peer_id"]}"' in page
        body = {"peer_id": peer["peer_id"], "reason": REASON, "last_valid_seq": log["size"] - 2}
        reply = await kha.post("/revocations", body, key="one")
        assert (reply.status, reply.body) == (200, {"set_aside": 1, "waiting": 0})
        again = await kha.post("/revocations", body, key="one")
        assert again.body == reply.body
        after = await state(kha)
        assert commune_of(after)["is_revoked"]
        (line,) = after["revocations"]
        assert (line["reason"], line["signer_name"]) == (REASON, "Nghệ An")
        assert (line["counts"], line["is_ours"], line["set_aside"]) == (True, False, 1)
        assert line["last_valid"] == [[log["log_id"], log["size"] - 2]]
        assert [letter["code"] for letter in after["dead_letters"]] == ["key_revoked"]
        assert "key_revoked" in [alarm["code"] for alarm in after["alarms"]]
        page = (await kha.get("/technician")).text
        assert REASON in page
        assert "data-revoke=" not in page
        trail = await office.rows("SELECT user, detail FROM audit WHERE action = 'node.revoke'")
        assert trail == [("kha", peer["peer_id"])]

    tell(tmp_path, story)


def test_nobody_else_may_revoke(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        sang, binh = await office.browser("sang"), await office.browser("binh")
        peer = commune_of(await state(sang))["peer_id"]
        assert "data-revoke=" not in (await sang.get("/technician")).text
        for browser in (sang, binh):
            reply = await browser.post("/revocations", {"peer_id": peer, "reason": REASON})
            assert (reply.status, reply.code) == (403, "not_permitted")
        assert await office.rows("SELECT * FROM revocation") == []

    tell(tmp_path, story)


def test_what_cannot_be_revoked_is_refused_in_words(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        kha = await office.browser("kha")
        peer = commune_of(await state(kha))["peer_id"]
        for body, status, code in (
            ({"peer_id": "0" * 64, "reason": REASON}, 422, "target_unknown"),
            ({"peer_id": peer, "reason": ""}, 422, "request_invalid"),
            ({"peer_id": peer, "reason": "x" * 301}, 422, "request_invalid"),
            ({"peer_id": "../../etc", "reason": REASON}, 422, "request_invalid"),
            ({"peer_id": peer, "reason": REASON, "last_valid_seq": 999}, 409, "revocation_ahead"),
        ):
            reply = await kha.post("/revocations", body)
            assert (reply.status, reply.code) == (status, code)
        assert await office.rows("SELECT * FROM revocation") == []

    tell(tmp_path, story)


def test_what_waits_for_good_is_told_from_what_waits_for_a_line(tmp_path: Path) -> None:
    commune, province, centre = (new_node(code, tmp_path) for code in (COMMUNE, PROVINCE, CENTRE))
    case = commune.open_case(1)
    sync(commune, province)
    sync(province, centre)
    size = province.log(commune.place).size
    commune.write(case, events=[Noted(text="sau")])
    sync(commune, province)
    for text in ("dựa trên", "dựa trên cái đó"):
        province.write(case, events=[Noted(text=text)])
    # To the centre the commune's last change has not come yet.
    carry_log(province.place, province, centre)
    assert [line.builds_on_revoked for line in waiting_changes(rows_of(centre))] == [False] * 2
    revoke_at(province, commune.place, size)
    sync(province, centre)
    for node in (province, centre):
        lines = waiting_changes(rows_of(node))
        assert [line.builds_on_revoked for line in lines] == [True, True]
        assert {line.document_id for line in lines} == {document_text(case)}


def rows_of(node: Node) -> sqlite3.Connection:
    """Return a copy of a node's database as the pages read it."""
    source = node.store.db
    assert isinstance(source, sqlite3.Connection)
    copy = sqlite3.connect(":memory:")
    copy.deserialize(source.serialize())
    copy.row_factory = sqlite3.Row
    return copy


def carry_log(owner: Place, sender: Node, receiver: Node) -> None:
    """Bring one log to a node, and no other."""
    link = Link(sender, receiver)
    keep = sender.log(owner).log_id
    frames: set[bytes] = set()

    def lose(from_parent: bool, message: Message) -> bool:
        if isinstance(message, Hello):
            numbers = range(message.first, message.first + len(message.offers))
            for number, offer in zip(numbers, message.offers, strict=True):
                if log_id(offer.owner or owner.key.peer_id, offer.purpose, offer.epoch) == keep:
                    frames.add(number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))
        is_other = isinstance(message, Frame | Head) and message.log not in frames
        return is_other and not from_parent

    link.lose = lose
    link.run()
