"""Goal: a node whose database is an older copy goes on in a new epoch; nothing is lost.

Method: databases are copied and put back while nodes of the real protocol go on; then links run
until everybody is quiet.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from crypto.note import TreeHead, sign_head, verify_head
from schemas.events import Noted
from schemas.wire import Head, Hello
from sync.epochs import open_epoch
from sync.errors import LinkError
from sync.log import UP
from sync.session import RETRY_MS
from tests.sync.builders import (
    COMMUNE,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    memory,
    new_node,
    place,
    tables,
    tell,
)
from tests.sync.revoked import revoke_at


def copy_of(node: Node, folder: Path) -> Node:
    """Return a second node on a copy of the first one's database."""
    disk = memory()
    source = node.store.db
    assert isinstance(source, sqlite3.Connection)
    disk.deserialize(source.serialize())
    return new_node(node.place.subject.code, folder, connection=disk)


def meet(child: Node, parent: Node) -> None:
    """Let links come and go until one stays quiet."""
    for _ in range(8):
        try:
            Link(child, parent).run()
        except LinkError:
            continue
        return
    raise AssertionError("the links never come to rest")


def changes(node: Node) -> list[bytes]:
    return sorted({row[0] for row in node.rows("SELECT hash FROM change")})


def same_documents(one: Node, other: Node) -> None:
    """Check that two nodes hold the same documents, changes and events, and nothing waits."""
    assert changes(one) == changes(other)
    for query in (
        "SELECT id, kind, origin FROM document ORDER BY id",
        "SELECT document, id, body FROM event ORDER BY id",
        "SELECT document, name, content FROM long_text ORDER BY document, name",
    ):
        assert one.rows(query) == other.rows(query)
    for node in (one, other):
        assert node.dead_letters() == []
        assert node.rows("SELECT * FROM waiting_change") == []
        assert node.rows("SELECT code FROM log WHERE fault != ''") == []


def test_what_an_old_copy_lost_comes_back_from_the_tier_above(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "sau"}, events=[Noted(text="một")])
    commune.open_case(2)
    meet(commune, province)
    meet(old, province)
    assert old.replica.epoch == 1
    assert old.log(old.place).size == commune.log(commune.place).size
    assert old.log(old.place).frontier.root() == commune.log(commune.place).frontier.root()
    same_documents(old, province)
    assert changes(old) == changes(commune)
    assert "log_behind" in old.alarms()
    assert "epoch_opened" in province.alarms()
    old.write(case, fields={"title": "tiếp"})
    meet(old, province)
    assert province.log(old.place, epoch=1).size == old.log(old.place, epoch=1).size
    same_documents(old, province)


def test_the_link_that_brings_the_old_log_back_carries_what_is_written_again(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "mất"})
    meet(commune, province)
    old.write(case, fields={"topic": "lại"})
    with pytest.raises(LinkError):
        Link(old, province).run()
    # The new log grows in the midst of a session; its head must not leave before it is signed.
    Link(old, province).run()
    assert province.log(old.place, epoch=1).size == old.log(old.place, epoch=1).size == 3
    same_documents(old, province)


def test_what_was_written_on_an_old_copy_is_written_again_and_kept_as_evidence(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(commune, tmp_path)
    for number in range(4):
        commune.write(case, fields={"title": f"mất {number}"}, events=[Noted(text=f"mất {number}")])
    meet(commune, province)
    for number in range(3):
        texts = {"summary": f"Bà Lan nói {number}."}
        old.write(case, fields={"topic": f"{number}"}, texts=texts, events=[Noted(text="lại")])
    new = old.open_case(3)
    meet(old, province)
    assert old.replica.epoch == 1
    same_documents(old, province)
    notes = [row[0] for row in old.rows("SELECT body FROM event WHERE type = 'noted'")]
    assert sum("mất" in note for note in notes) == 4
    assert sum("lại" in note for note in notes) == 3
    assert old.values(case)["topic"] == "2"
    assert old.replica.intake.texts(case) == {"summary": "Bà Lan nói 2."}
    assert old.values(new)["title"] == "Vụ việc 3"
    assert "log_forked" in old.alarms()
    assert "log_forked" in province.alarms()
    assert len(old.rows("SELECT * FROM apart_leaf")) >= 4


def test_a_copy_that_wrote_more_than_the_tier_above_holds_is_noticed_too(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "mất"}, events=[Noted(text="mất")])
    meet(commune, province)
    for number in range(5):
        old.write(case, fields={"title": f"lại {number}"}, events=[Noted(text="lại")])
    meet(old, province)
    assert old.replica.epoch == 1
    same_documents(old, province)
    # Both leaf sets are there, at both ends.
    assert old.rows("SELECT count(*) FROM apart_leaf") == [(5,)]
    assert province.rows("SELECT count(*) FROM apart_leaf")[0][0] > 0
    assert len(old.rows("SELECT * FROM event WHERE type = 'noted'")) == 6


def test_the_same_copy_put_back_twice_skips_the_epochs_that_others_hold(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    first, second = copy_of(commune, tmp_path), copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "mất"})
    meet(commune, province)
    meet(first, province)
    first.write(case, fields={"title": "kỳ một"})
    meet(first, province)
    meet(second, province)
    assert (first.replica.epoch, second.replica.epoch) == (1, 2)
    same_documents(second, province)
    assert second.log(second.place, epoch=1).size == first.log(first.place, epoch=1).size


def test_an_empty_node_with_the_key_gets_everything_back(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    commune.open_case(1)
    commune.open_case(2)
    meet(commune, province)
    empty = new_node(COMMUNE, tmp_path)
    meet(empty, province)
    assert empty.replica.epoch == 1
    same_documents(empty, province)
    assert changes(empty) == changes(commune)


def test_the_centre_gets_the_old_and_the_new_epoch_as_they_are(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node("0", tmp_path)
    case = commune.open_case(1)
    meet(commune, province)
    meet(province, centre)
    old = copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "mất"}, events=[Noted(text="mất")])
    meet(commune, province)
    old.write(case, fields={"topic": "lại"}, events=[Noted(text="lại")])
    meet(old, province)
    meet(province, centre)
    same_documents(old, centre)
    meet(old, province)
    for epoch in (0, 1):
        mine, theirs = old.log(old.place, epoch=epoch), centre.log(old.place, epoch=epoch)
        assert mine.frontier.root() == theirs.frontier.root()


def test_nobody_can_make_a_node_open_an_epoch_without_a_head_that_it_signed(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    link = Link(commune, province)
    link.run()
    stranger = LogBuilder(place(PROVINCE))
    lie = LogBuilder(place(COMMUNE))
    hello = stranger.hello()
    offer = lie.offer(epoch=7, size=9)
    forged = LogBuilder(place(PROVINCE)).head()
    with pytest.raises(LinkError):
        tell(
            commune,
            link.up,
            type(hello)(version=1, now_ms=hello.now_ms, first=5, offers=(offer,)),
            type(forged)(log=b"\x05", size=9, root=forged.root, signature=forged.signature),
        )
    assert commune.replica.epoch == 0
    assert commune.alarms() == []


def test_remade_documents_are_the_same_as_before(commune: Node, province: Node) -> None:
    for number in range(3):
        case = commune.open_case(number)
        commune.write(case, texts={"summary": "Một câu."}, events=[Noted(text="ghi")])
    meet(commune, province)
    for node in (commune, province):
        before = tables(node)
        with node.transaction():
            documents = {row[0] for row in node.rows("SELECT id FROM document")}
            node.replica.intake.redo(documents, 0)
        assert tables(node) == before
    assert commune.log(commune.place).purpose == UP


def test_a_reader_on_an_old_copy_hears_again_of_heads_that_it_once_countersigned(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(commune, tmp_path)
    province.write(case, fields={"topic": "của tỉnh"})
    meet(commune, province)
    link = Link(old, province)
    link.lose = lambda from_parent, message: from_parent and isinstance(message, Head)
    link.run()
    assert old.rows("SELECT count(*) FROM pending_leaf") != [(0,)]
    meet(old, province)
    assert old.rows("SELECT count(*) FROM pending_leaf") == [(0,)]
    assert old.values(case)["topic"] == "của tỉnh"


def test_a_reader_on_an_old_copy_made_while_a_head_was_on_its_way_hears_that_head_again(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    province.write(case, fields={"topic": "của tỉnh"})
    link = Link(commune, province)
    link.lose = lambda from_parent, message: from_parent and isinstance(message, Head)
    link.run()
    old = copy_of(commune, tmp_path)
    assert old.rows("SELECT count(*) FROM pending_leaf") != [(0,)]
    meet(commune, province)
    meet(old, province)
    assert old.rows("SELECT count(*) FROM pending_leaf") == [(0,)]
    assert old.values(case)["topic"] == "của tỉnh"


def test_two_machines_under_one_key_open_epochs_in_turn_until_the_key_is_revoked(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    commune.open_case(1)
    meet(commune, province)
    twin = copy_of(commune, tmp_path)
    for number, machine in enumerate([commune, twin] * 3):
        machine.open_case(10 + number)
        meet(machine, province)
    assert "epoch_opened" in province.alarms()
    assert "epochs_in_turn" in province.alarms()
    assert "epochs_in_turn" in twin.alarms()
    for node in (province, twin):
        details = node.rows("SELECT detail FROM alarm WHERE code = 'epochs_in_turn'")
        assert all("tiepdan revoke" in detail for (detail,) in details)
    revoke_at(province, commune.place)
    epochs = commune.replica.epoch, twin.replica.epoch
    logs = len(province.store.logs())
    for machine in (commune, twin) * 2:
        with pytest.raises(LinkError) as refused:
            Link(machine, province).run()
        assert refused.value.code == "key_revoked"
    assert (commune.replica.epoch, twin.replica.epoch) == epochs
    assert len(province.store.logs()) == logs


def down_to(node: Node) -> str:
    return f"down/{node.peer_id.hex()}"


def same_logs_downwards(child: Node, parent: Node) -> None:
    """Check that both ends hold the same logs from the parent to the child, and none is stopped."""
    for epoch in range(parent.replica.epoch + 1):
        ours = child.log(parent.place, down_to(child), epoch)
        theirs = parent.log(parent.place, down_to(child), epoch)
        assert (ours.size, ours.frontier.root()) == (theirs.size, theirs.frontier.root())
        assert not ours.fault
        assert not theirs.fault


def restored(node: Node) -> None:
    """Open an epoch as the command does when it puts a copy in place."""
    with node.transaction():
        open_epoch(node.replica, node.replica.epoch + 1, NOW_MS, "restored", "copy", cuts=False)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_parent_on_an_old_copy_gets_its_log_downwards_back_from_the_reader(
    tmp_path: Path, commune: Node, province: Node, is_known: bool
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(province, tmp_path)
    for number in range(3):
        province.write(case, fields={"topic": f"tỉnh {number}"}, events=[Noted(text=f"{number}")])
    meet(commune, province)
    if is_known:
        restored(old)
    meet(commune, old)
    assert old.replica.epoch == 1
    same_logs_downwards(commune, old)
    # Nobody else holds what the province wrote: the copies that went down are all there is.
    same_documents(commune, old)
    assert old.values(case)["topic"] == "tỉnh 2"
    old.write(case, fields={"topic": "sau"})
    meet(commune, old)
    assert commune.values(case)["topic"] == "sau"
    same_documents(commune, old)


def test_a_log_downwards_that_was_written_in_on_an_old_copy_is_healed_at_both_ends(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node("0", tmp_path)
    case = commune.open_case(1)
    meet(commune, province)
    meet(province, centre)
    old = copy_of(province, tmp_path)
    province.write(case, fields={"topic": "mất"}, events=[Noted(text="mất")])
    meet(commune, province)
    meet(province, centre)
    for number in range(3):
        old.write(case, fields={"title": f"lại {number}"}, events=[Noted(text="lại")])
    for _ in range(3):
        meet(commune, old)
        meet(old, centre)
    same_logs_downwards(commune, old)
    same_documents(commune, old)
    same_documents(old, centre)
    notes = [row[0] for row in commune.rows("SELECT body FROM event WHERE type = 'noted'")]
    assert sum("mất" in note for note in notes) == 1
    assert sum("lại" in note for note in notes) == 3


@pytest.mark.parametrize("is_known", [True, False])
def test_a_centre_on_an_old_copy_gets_back_what_its_provinces_hold(
    tmp_path: Path, commune: Node, province: Node, is_known: bool
) -> None:
    centre = new_node("0", tmp_path)
    case = commune.open_case(1)
    meet(commune, province)
    meet(province, centre)
    old = copy_of(centre, tmp_path)
    centre.write(case, fields={"topic": "trung ương"}, events=[Noted(text="trung ương")])
    commune.open_case(2)
    for _ in range(2):
        meet(commune, province)
        meet(province, centre)
    if is_known:
        restored(old)
    meet(province, old)
    assert old.replica.epoch == 1
    same_logs_downwards(province, old)
    same_documents(province, old)
    same_documents(commune, old)
    assert old.values(case)["topic"] == "trung ương"


def test_a_province_gets_back_what_came_through_it_though_the_commune_is_gone_for_good(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node("0", tmp_path)
    meet(commune, province)
    old = copy_of(province, tmp_path)
    case = commune.open_case(1)
    meet(commune, province)
    meet(province, centre)
    meet(old, centre)
    assert old.values(case) == commune.values(case)
    assert old.log(commune.place).size == commune.log(commune.place).size
    # And the commune comes back after all.
    commune.write(case, fields={"title": "sau"})
    meet(commune, old)
    meet(old, centre)
    same_documents(commune, old)
    same_documents(old, centre)


def test_a_commune_and_its_province_on_old_copies_get_all_back_from_the_centre(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node("0", tmp_path)
    case = commune.open_case(1)
    meet(commune, province)
    meet(province, centre)
    old_commune, old_province = copy_of(commune, tmp_path), copy_of(province, tmp_path)
    commune.write(case, fields={"title": "xã"}, events=[Noted(text="xã")])
    province.write(case, fields={"topic": "tỉnh"}, events=[Noted(text="tỉnh")])
    for _ in range(2):
        meet(commune, province)
        meet(province, centre)
    for _ in range(3):
        meet(old_province, centre)
        meet(old_commune, old_province)
    assert old_commune.values(case) == {"title": "xã", "topic": "tỉnh"}
    same_documents(old_commune, old_province)
    same_documents(old_province, centre)
    assert old_commune.replica.epoch == 1


def test_both_ends_keep_the_heads_of_a_log_that_tells_two_stories(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    old = copy_of(province, tmp_path)
    province.write(case, fields={"topic": "một"})
    meet(commune, province)
    old.write(case, fields={"topic": "hai"})
    with suppress(LinkError):
        Link(commune, old).run()
    reader = commune.log(province.place, down_to(commune))
    forked = "SELECT evidence FROM alarm WHERE code = 'log_forked' AND log_id = ?"
    theirs = commune.rows(forked, reader.log_id.hex())[0][0].split()
    ours = old.rows(forked, reader.log_id.hex())[0][0].split()
    # The reader keeps the head that contradicts what it stores; the writer its own, and the size,
    # time and signature of the reader's word on the other.
    assert ours[:4] == theirs
    assert ours[4] == f"{reader.size}"
    head = TreeHead(origin=theirs[0], size=int(theirs[1]), root=bytes.fromhex(theirs[2]))
    verify_head(old.peer_id, head, bytes.fromhex(theirs[3]))
    assert head.size == reader.size
    assert head.root != reader.frontier.root()


def test_a_log_that_is_stopped_for_two_stories_is_given_back_on_the_same_link(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    log = province.log(commune.place)
    other = TreeHead(origin=log.origin, size=log.size, root=bytes(32))
    signature = sign_head(commune.place.key, other)
    told = Head(log=b"\0", size=other.size, root=other.root, signature=signature)
    said = tell(province, link.down, told)
    assert province.log(commune.place).fault == "log_forked"
    offers = [o for message in said if isinstance(message, Hello) for o in message.offers]
    assert [offer.owner for offer in offers] == [commune.place.subject.peer_id]


def test_a_log_that_is_given_back_and_stopped_here_is_offered_once(
    commune: Node, province: Node, centre: Node
) -> None:
    commune.open_case()
    Link(commune, province).run()
    Link(province, centre).run()
    with province.transaction():
        log = province.log(commune.place)
        log.fault, log.dirty = "log_forked", True
    link = Link(province, centre).run()
    for _ in range(10):
        link.now_ms += RETRY_MS
        link.run()
    given_back = [
        message
        for from_parent, message in link.sent
        if from_parent and isinstance(message, Head) and message.size == log.size
    ]
    assert len(given_back) == 1
    assert province.log(commune.place).fault == "log_forked"
