"""Goal: leaves that were damaged on the way cost one link; only a log that insists is stopped.

Method: two real replicas; frames are altered between them, below what a session can see.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.wire import PLAIN, Frame, Head, Hello, Message, Problem, encode_message
from sync.audit import QUIET_MS
from sync.errors import LinkError
from sync.session import RETRY_MS
from tests.sync.builders import (
    COMMUNE,
    PROVINCE,
    Link,
    Node,
    handle,
    leaf_count,
    new_node,
    place,
    sync,
)
from tests.sync.test_epochs import copy_of

DOWN = f"down/{place(COMMUNE).key.peer_id.hex()}"


def spoilt(message: Message, commune: Node) -> Message:
    """Return a frame of the commune's own log with one bit of its last leaf flipped."""
    if not isinstance(message, Frame):
        return message
    log, count = commune.replica.up_log(), leaf_count(message)
    leaves = commune.store.leaves(log, message.first_seq, count)
    last = bytearray(leaves[-1])
    last[-1] ^= 1
    damaged = (*leaves[:-1], bytes(last))
    return replace(message, coding=PLAIN, data=b"", total=0, leaves=damaged)


def talk_over_a_bad_line(commune: Node, province: Node) -> None:
    """Let the commune send everything damaged until one side ends the link."""
    link = Link(commune, province)
    heard: list[Message] = []
    for _ in range(5):
        said = [spoilt(message, commune) for message in handle(commune, link.up, map_bytes(heard))]
        heard = handle(province, link.down, map_bytes(said))


def map_bytes(messages: list[Message]) -> list[bytes]:
    return [encode_message(message) for message in messages]


@pytest.mark.parametrize("at", [0, -1])
def test_a_leaf_damaged_before_its_head_keeps_out_no_frame_that_builds_on_it(
    at: int, commune: Node, province: Node
) -> None:
    case = commune.open_case()
    sync(commune, province)
    commune.write(case, fields={"title": "hai"}, author=commune.author("another"))
    log, received = commune.replica.up_log(), province.log(commune.place)
    declared = bytearray(commune.store.leaves(log, received.size, 1)[0])
    declared[at] ^= 1
    with province.transaction():
        # It was acknowledged, and the link broke before the head came.
        province.replica.inbound.keep(received, received.size, [bytes(declared)])
    with commune.transaction():
        commune.store.set_cursor(log, province.peer_id, received.size + 1)
    for _ in range(2):
        with suppress(LinkError):
            sync(commune, province)
    assert province.values(case) == commune.values(case) == {"title": "hai"}
    assert province.alarms() == commune.alarms() == []


def test_leaves_damaged_once_come_again_and_nothing_is_lost(commune: Node, province: Node) -> None:
    case = commune.open_case()
    with pytest.raises(LinkError, match="do not add up") as ended:
        talk_over_a_bad_line(commune, province)
    assert ended.value.code == "leaves_damaged"
    assert province.alarms() == []
    assert province.rows("SELECT * FROM pending_leaf") == []
    sync(commune, province)
    assert province.values(case) == commune.values(case)
    assert province.alarms() == []
    assert commune.alarms() == []


def test_a_log_that_never_adds_up_is_stopped_with_its_evidence(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    with pytest.raises(LinkError):
        talk_over_a_bad_line(commune, province)
    with pytest.raises(LinkError):
        talk_over_a_bad_line(commune, province)
    assert province.alarms() == ["log_forked"]
    assert set(commune.alarms()) == {"log_forked"}
    assert province.rows("SELECT count(*) FROM pending_leaf") != [(0,)]
    assert province.log(commune.place).fault == "log_forked"


@pytest.mark.parametrize("is_known", [True, False])
def test_what_stands_in_a_log_that_its_reader_stopped_arrives_in_the_next_epoch(
    is_known: bool, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    if is_known:
        sync(commune, province)
    commune.write(case, fields={"title": "hai"})
    stopped(commune, province)
    link = Link(commune, province).run()
    # Where nothing of it was countersigned, it is asked for once the link is quiet.
    link.now_ms += QUIET_MS
    link.run()
    assert commune.replica.epoch == 1
    assert commune.values(case) == province.values(case) == {"title": "hai"}
    for node in (commune, province):
        assert node.rows("SELECT fault FROM log WHERE fault != ''") == []


def test_a_copy_that_is_no_fork_any_more_hears_after_the_head_that_its_log_was_stopped(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    sync(commune, province)
    backup = copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "hai"})
    stopped(commune, province)
    # Its disk is put back to what the province has, and it writes on.
    backup.write(case, fields={"title": "ba"})
    link = Link(backup, province)
    hello, *rest = handle(backup, link.up, [])
    greeting = handle(province, link.down, map_bytes([hello]))
    assert any(isinstance(message, Head) for message in greeting)
    handle(backup, link.up, map_bytes(greeting))
    answers = handle(province, link.down, map_bytes(rest))
    assert any(isinstance(message, Problem) for message in answers)
    # On this very link, which may stay up for days.
    handle(backup, link.up, map_bytes(answers))
    assert backup.replica.epoch == 1
    sync(backup, province)
    assert backup.values(case) == province.values(case) == {"title": "ba"}
    assert province.rows("SELECT fault FROM log WHERE fault != ''") == []


def test_a_log_that_is_stopped_again_within_a_week_stays_so_and_is_not_asked_for_without_end(
    commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    sync(commune, province)
    for title in ("hai", "ba"):
        commune.write(case, fields={"title": title})
        stopped(commune, province)
        link = Link(commune, province).run()
    assert commune.replica.epoch == 1
    assert commune.replica.up_log().fault == "log_forked"
    link = Link(commune, province).run()
    said = len(link.sent)
    for _ in range(5):
        link.now_ms += RETRY_MS
        link.run()
    assert len(link.sent) == said


def test_a_log_downwards_that_is_stopped_is_not_asked_for_without_end_and_costs_no_epoch(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    sync(commune, province)
    reader, writer = commune.log(province.place, DOWN), province.log(province.place, DOWN)
    for node, log in ((commune, reader), (province, writer)):
        with node.transaction():
            log.fault, log.dirty = "log_forked", True
    link = Link(commune, province).run()
    heads = sum(isinstance(message, Head) for _, message in link.sent)
    assert heads, "the reader gives it back"
    for _ in range(5):
        link.now_ms += RETRY_MS
        link.run()
    assert sum(isinstance(message, Head) for _, message in link.sent) == heads
    assert province.replica.epoch == 0


def stopped(commune: Node, province: Node) -> None:
    """Let what the commune sends be damaged until the province takes no more of it."""
    for _ in range(2):
        with suppress(LinkError):
            talk_over_a_bad_line(commune, province)
    assert "log_forked" in commune.alarms()


def test_damage_long_ago_is_forgotten_once_the_log_added_up(commune: Node, province: Node) -> None:
    for number in range(3):
        commune.open_case(number)
        with pytest.raises(LinkError):
            talk_over_a_bad_line(commune, province)
        sync(commune, province)
    assert province.alarms() == []
    assert province.log(commune.place).size == commune.log(commune.place).size


def test_damage_under_a_head_without_its_root_costs_the_link_and_heals(
    commune: Node, province: Node
) -> None:
    case = commune.open_case()
    link = Link(commune, province).run()
    commune.write(case, fields={"title": "mới"})
    said = handle(commune, link.up, [])
    assert [message.root for message in said if isinstance(message, Head)] == [b""]
    # Each in a transaction of its own: the damaged leaves are stored when the head comes.
    leaves, head = map_bytes([spoilt(message, commune) for message in said])
    handle(province, link.down, [leaves])
    with pytest.raises(LinkError) as ended:
        handle(province, link.down, [head])
    assert ended.value.code == "head_forged"
    # The next link tells the root: those leaves are forgotten, and the one after brings them again.
    for _ in range(2):
        with suppress(LinkError):
            sync(commune, province)
    assert province.values(case) == commune.values(case) == {"title": "mới"}
    assert province.alarms() == commune.alarms() == []


def test_a_damaged_certificate_is_not_kept_and_the_true_one_is_taken(
    commune: Node, province: Node
) -> None:
    case = commune.open_case()
    leaves = commune.store.leaves(commune.log(commune.place), 0, 1)
    damaged = leaves[0][:-9] + bytes(9)
    for _ in range(2):
        link = Link(commune, province)
        said = handle(commune, link.up, [])
        first = next(message for message in said if isinstance(message, Frame))
        spoilt_first = replace(first, coding=PLAIN, data=b"", total=0, leaves=(damaged,))
        handle(province, link.down, map_bytes([m for m in said if isinstance(m, Hello)]))
        with pytest.raises(LinkError) as ended:
            handle(province, link.down, map_bytes([spoilt_first]))
        assert ended.value.code == "log_unnamed"
        with pytest.raises(LinkError):
            handle(commune, link.up, map_bytes([Problem(code="log_unnamed", detail="")]))
    sync(commune, province)
    assert province.values(case) == commune.values(case)
    assert province.alarms() == commune.alarms() == []


def test_a_flipped_bit_anywhere_in_a_packed_frame_costs_links_and_nothing_else(
    tmp_path: Path,
) -> None:
    size = 0
    at = 0
    while at == 0 or at < size:
        commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
        case = commune.open_case()
        sync(commune, province)
        commune.write(case, fields={"title": "mới", "location": "Mỹ Lý"})
        link = Link(commune, province)
        said = handle(commune, link.up, [])
        size = sum(len(message.data) for message in said if isinstance(message, Frame))
        with suppress(LinkError):
            for message in said:
                handle(province, link.down, map_bytes([flipped(message, at)]))
        with suppress(LinkError):
            sync(commune, province)
        sync(commune, province)
        assert province.values(case) == commune.values(case), at
        assert province.alarms() == commune.alarms() == []
        at += 1


def flipped(message: Message, at: int) -> Message:
    if not isinstance(message, Frame):
        return message
    data = bytearray(message.data)
    data[at] ^= 1 << at % 8
    return replace(message, data=bytes(data))
