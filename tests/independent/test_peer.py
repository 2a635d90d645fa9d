"""docs/PROTOCOL.md is enough to write a peer from: one that was meets a province over a real link.

Method: peer.py knows only the protocol, and has a key of its own. A real province signs its request
and listens; the rest is between the two.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from node.clock import Clock
from node.folder import sign_request
from node.requests import IssueDirective
from sync.replica import Author
from tests.independent import forger
from tests.independent.document_reader import read_document
from tests.independent.enrolment import Office
from tests.independent.forger import Signer
from tests.independent.messages import FRAME, HELLO, PROBLEM, write
from tests.independent.peer import CODING_DICTIONARY, CODING_PACKED, CODING_PLAIN, Peer
from tests.independent.peer_link import Contact, dialled, now_ms
from tests.node.places import Running, make_centre, make_province, running, set_parent

PAPER = b"%PDF-1.4 " + sha256(b"paper").digest() * 500


@pytest.fixture
def province(tmp_path: Path) -> Path:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    return tmp_path / "province"


@pytest.fixture
def office(province: Path) -> Office:
    made = Office(province.parent / "office", "40.17099", "Xã Tam Hợp")
    made.enrol(sign_request(province, made.request(), Clock().now_ms(), 365))
    return made


def set_title(title: str) -> forger.Edit:
    def edit(transaction: Any, objects: dict[str, bytes]) -> None:
        transaction.put(objects["fields"], "title", forger.TEXT_TYPE, title)

    return edit


def attach(paper: bytes) -> forger.Edit:
    said = {
        "media_type": "application/pdf",
        "name": "don.pdf",
        "sha256": sha256(paper).hexdigest(),
        "size_bytes": len(paper),
        "type": "attached",
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))

    def edit(transaction: Any, objects: dict[str, bytes]) -> None:
        transaction.put(objects["events"], forger.event_id(), forger.TEXT_TYPE, text)

    return edit


def noise(size: int) -> str:
    """Return text that does not compress: a leaf of it goes in parts."""
    return "".join(sha256(bytes([n % 256, n >> 8])).hexdigest() for n in range(size // 64))


def a_log(me: Signer, *edits: forger.Edit) -> list[bytes]:
    """Return a log with one document: its start, and a change for each edit."""
    author = forger.actor(me)
    draft = forger.Draft(author)
    chunks = [draft.first, *(draft.edit(author, edit) for edit in edits)]
    return [
        forger.certificates(me.chain),
        forger.writer(me),
        *(forger.change(chunk) for chunk in chunks),
    ]


def meet(province: Path, story: Callable[[Running], Any]) -> None:
    async def run() -> None:
        async with running(province) as node:
            await story(node)

    asyncio.run(run())


@pytest.mark.parametrize("coding", [CODING_PLAIN, CODING_PACKED])
def test_it_sends_its_log_and_gets_the_cosignature(
    province: Path, office: Office, coding: int
) -> None:
    edits = [set_title(f"Đường {number}") for number in range(30)]
    leaves = a_log(office.me, *edits, set_title(noise(5_000)))

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = Peer(office.me, contact.parent, office.root, leaves)
            await contact.say(peer.greet(now_ms()), *peer.send(coding, 7, past=coding))
            await contact.talk(
                peer, lambda peer: peer.cosigned.get(contact.parent.key) == len(leaves)
            )
            assert peer.acked == len(leaves)
        await node.wait_for_rows("cases", 1)
        store = node.station.replica.store
        log = store.find_log(peer.log)
        assert log is not None
        assert store.leaves(log, 0, log.size) == leaves

    meet(province, story)


async def issue_directive(node: Running, code: str) -> None:
    author = Author(
        user="hung",
        name="Trần Hùng",
        role="provincial_reception_board",
        device=node.station.replica.device,
    )
    request = IssueDirective(
        case_id=str(uuid.UUID(bytes=forger.DOCUMENT)),
        to_codes=(code,),
        title="Xem xét, báo cáo",
        due_on=Clock().today(),
    )
    await node.node.write(lambda now_ms: node.station.desk.issue_directive(author, request, now_ms))


def down_size(node: Running, peer: Peer) -> int:
    log = node.station.replica.store.find_log(peer.log_down())
    return log.size if log else 1


def test_what_is_issued_to_it_comes_down_is_verified_and_countersigned(
    province: Path, office: Office
) -> None:
    leaves = a_log(office.me)

    def peer_of(contact: Contact) -> Peer:
        return Peer(office.me, contact.parent, office.root, leaves)

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = peer_of(contact)
            await contact.say(peer.greet(now_ms()), *peer.send(CODING_PLAIN))
            await contact.talk(peer, lambda peer: peer.cosigned)
            await node.wait_for_rows("cases", 1)
            await issue_directive(node, office.code)
            store = node.station.replica.store
            await contact.talk(peer, lambda peer: peer.has_down(down_size(node, peer)))
            theirs = store.find_log(peer.log_down())
            assert theirs is not None
            (down,) = peer.down.values()
            assert store.leaves(theirs, 0, theirs.size) == down.leaves[: theirs.size]
            await node.wait_for(
                lambda node: store.cosigned_by(theirs, office.me.peer_id) == down.in_use
            )
            documents = down.documents()
            assert len(documents.pop(forger.DOCUMENT)) == 1, "its own changes do not come back"
            (directive,) = map(read_document, documents.values())
            assert directive["kind"] == "directive"
            assert directive["fields"]["title"] == ["Xem xét, báo cáo"]

    meet(province, story)


def test_its_files_are_asked_for_and_arrive_and_it_gets_them_back(
    province: Path, office: Office
) -> None:
    leaves = a_log(office.me, attach(PAPER))
    name = sha256(PAPER).digest()

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = Peer(office.me, contact.parent, office.root, leaves, {name: PAPER})
            await contact.say(peer.greet(now_ms()), *peer.send(CODING_PLAIN))
            await contact.talk(peer, lambda peer: peer.given == len(PAPER))
            await contact.talk(peer, lambda peer: peer.cosigned)
            store = node.station.replica.store
            await node.wait_for(lambda node: not store.missing_blobs(office.me.peer_id, 1))
            await contact.say(peer.want(name))
            await contact.talk(peer, lambda peer: name in peer.fetched)
            assert peer.fetched[name] == PAPER

    meet(province, story)


def test_it_goes_on_where_the_last_contact_ended_and_names_a_dictionary(
    province: Path, office: Office
) -> None:
    leaves = a_log(office.me, *(set_title(f"Đường {number}") for number in range(40)))
    (dictionary,) = (files("sync") / "dictionaries").iterdir()

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = Peer(
                office.me, contact.parent, office.root, leaves[:20], {}, [dictionary.read_bytes()]
            )
            await contact.say(peer.greet(now_ms()), *peer.send(CODING_PACKED))
            await contact.talk(peer, lambda peer: peer.cosigned)
            await node.wait_for_rows("cases", 1)
        peer.begin_again(leaves)
        async with dialled(node.port, office.context, office.root) as contact:
            await contact.say(peer.greet(now_ms()), *peer.send(CODING_PACKED, 10, past=20))
            await contact.talk(peer, lambda peer: set(peer.cosigned.values()) == {len(leaves)})
            await issue_directive(node, office.code)
            await contact.talk(peer, lambda peer: CODING_DICTIONARY in peer.codings)
            await contact.talk(peer, lambda peer: peer.has_down(down_size(node, peer)))

    meet(province, story)


def test_the_centres_cosignature_reaches_it_through_the_province(
    province: Path, office: Office
) -> None:
    leaves = a_log(office.me)

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = Peer(office.me, contact.parent, office.root, leaves)
            await contact.say(peer.greet(now_ms()), *peer.send(CODING_PLAIN))
            await contact.talk(peer, lambda peer: len(peer.cosigned) == 2)
            (centre,) = peer.cosigned.keys() - {contact.parent.key}
            assert peer.places_above()[centre].tier == "centre"

    async def run() -> None:
        async with running(province.parent / "centre") as centre:
            set_parent(province, centre.port)
            async with running(province) as node:
                await story(node)

    asyncio.run(run())


def test_it_learns_what_a_node_understands_before_the_node_refuses_what_it_does_not(
    province: Path, office: Office
) -> None:
    leaves = a_log(office.me)

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = Peer(office.me, contact.parent, office.root, leaves, {}, [b"of another program"])
            frame = write(FRAME, b"\0", 2, 0, CODING_DICTIONARY, b"\0packed with it")
            await contact.say(peer.greet(now_ms()) + frame)
            heard = [await contact.hear(), await contact.hear()]
            assert [kind for (kind, _), *_ in heard] == [HELLO, PROBLEM]
            assert heard[1][0][1][0] == "dictionary_unknown"

    meet(province, story)


def test_what_it_says_it_understands_is_remembered_though_it_ends_the_link_with_it(
    province: Path, office: Office
) -> None:
    leaves = a_log(office.me)
    (dictionary,) = (files("sync") / "dictionaries").iterdir()

    async def story(node: Running) -> None:
        async with dialled(node.port, office.context, office.root) as contact:
            peer = Peer(
                office.me, contact.parent, office.root, leaves, {}, [dictionary.read_bytes()]
            )
            await contact.say(peer.greet(now_ms()), *peer.send(CODING_PLAIN))
            await contact.talk(peer, lambda peer: peer.cosigned)
            await node.wait_for_rows("cases", 1)
            # It ends the link, or the directive would count as handed out to this one.
            await contact.say(write(PROBLEM, "going", "the peer stops", b""))
            await contact.wait_closed()
        await issue_directive(node, office.code)
        for expected in (CODING_DICTIONARY, CODING_PACKED):
            async with dialled(node.port, office.context, office.root) as contact:
                assert await coding_of_a_frame(contact) == expected
                peer = Peer(office.me, contact.parent, office.root, leaves)
                problem = write(PROBLEM, "dictionary_unknown", "it is lost", b"")
                await contact.say(peer.greet(now_ms()) + problem)
                await contact.wait_closed()

    meet(province, story)


async def coding_of_a_frame(contact: Contact) -> int:
    """Return how the first frame that a node sends unasked is packed."""
    while True:
        for kind, items in await contact.hear():
            if kind == FRAME:
                return int(items[3])
