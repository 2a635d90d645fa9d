"""Goal: what a disk loses after it was cosigned is found within a day and comes back, proved.

Method: real nodes on databases in memory; rows are deleted and bytes flipped below them, clocks are
put forward a day, and links run until both are quiet.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from schemas.events import Noted
from schemas.wire import Message, encode_message
from schemas.wire_audit import Reconcile, Repair
from sync.audit import AUDIT_MS, QUIET_MS, Audit
from sync.errors import LinkError
from sync.log import Log
from sync.negentropy import probe
from sync.scrub import SCRUB_MS, Survey
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    NEIGHBOUR,
    NOW_MS,
    Link,
    LogBuilder,
    Node,
    new_node,
    place,
    sync,
    tables,
    tell,
)
from tests.sync.harmed import DAY_MS, alter, audit_messages, live, lose, scrub, stored, whole

# Equal nodes


def test_equal_nodes_ask_once_a_day_and_say_nothing_in_between(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    sync(commune, province)
    said = live(commune, province, 3.4)
    assert [type(message) for message in said] == [Reconcile, Reconcile] * 3
    assert sum(len(encode_message(message)) for message in said[:2]) <= 40
    assert commune.alarms() == province.alarms() == []
    for node in (commune, province):
        (since_ms,) = node.rows("SELECT since_ms FROM peer_audit")[0]
        assert since_ms >= NOW_MS + 2 * AUDIT_MS


def test_a_link_that_is_new_or_short_says_nothing_of_audits(commune: Node, province: Node) -> None:
    commune.open_case(1)
    link = Link(commune, province).run()
    link.now_ms += QUIET_MS * 2
    link.run()
    assert audit_messages(link) == []


# What a disk lost


@pytest.mark.parametrize("harm", [lose, alter])
@pytest.mark.parametrize("at", ["commune", "province"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_what_a_disk_lost_comes_back_from_the_other_side(
    commune: Node,
    province: Node,
    harm: Callable[[Node, Log, int], None],
    at: str,
    way: str,
) -> None:
    case = commune.open_case(1)
    sync(commune, province)
    province.write(case, fields={"topic": "của tỉnh"})
    for number in range(2, 6):
        commune.open_case(number)
    sync(commune, province)
    sick, other = (commune, province) if at == "commune" else (province, commune)
    purpose = "up" if way == "up" else f"down/{commune.peer_id.hex()}"
    owner = commune.place if way == "up" else province.place
    log = sick.log(owner, purpose)
    before = stored(sick, log)
    tables_before = tables(sick)
    harm(sick, log, log.size - 2)
    live(commune, province)
    assert stored(sick, sick.log(owner, purpose)) == before
    assert tables(sick) == tables_before
    assert sick.alarms() == ["audit_missing", "audit_missing"]
    assert other.alarms() == ["audit_missing"]
    for node in (commune, province):
        whole(node)


def test_many_lost_leaves_of_a_long_log_come_back(commune: Node, province: Node) -> None:
    for number in range(700):
        commune.open_case(number)
    sync(commune, province)
    log = province.log(commune.place)
    before = stored(province, log)
    province.store.db.execute(
        "DELETE FROM leaf WHERE log = ? AND (seq BETWEEN 100 AND 170 OR seq % 200 = 3)",
        (log.number,),
    )
    live(commune, province)
    assert stored(province, log) == before
    whole(province)
    found = province.rows("SELECT detail FROM alarm ORDER BY number")[-1][0]
    assert found.startswith("75 lost leaves came back")


def test_both_sides_heal_each_other(commune: Node, province: Node) -> None:
    for number in range(600):
        commune.open_case(number)
    sync(commune, province)
    ours, theirs = commune.log(commune.place), province.log(commune.place)
    before = stored(commune, ours)
    lose(commune, ours, 20)
    alter(province, theirs, 590)
    live(commune, province)
    assert stored(commune, ours) == stored(province, theirs) == before


@pytest.mark.parametrize("harm", [lose, alter])
def test_what_nobody_else_holds_is_gone_and_the_log_goes_on_in_a_new_epoch(
    commune: Node, province: Node, harm: Callable[[Node, Log, int], None]
) -> None:
    first = commune.open_case(1)
    sync(commune, province)
    lost, kept = commune.open_case(2), commune.open_case(3)
    commune.write(first, fields={"title": "sau"}, events=[Noted(text="sau")])
    log = commune.log(commune.place)
    harm(commune, log, log.size - 3)
    live(commune, province)
    assert commune.replica.epoch == 1
    for node in (commune, province):
        whole(node)
        assert node.values(kept)["title"] == "Vụ việc 3"
        assert node.values(first)["title"] == "sau"
        assert node.values(lost) == {}
    assert "log_damaged" in commune.alarms()
    assert "epoch_opened" in province.alarms()
    assert commune.log(commune.place).size == province.log(commune.place).size
    case = commune.open_case(9)
    sync(commune, province)
    assert province.values(case)["title"] == "Vụ việc 9"


def test_a_damaged_leaf_is_not_passed_on_and_its_log_is_not_taken_for_forked(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node(CENTRE, tmp_path)
    for number in range(3):
        commune.open_case(number)
    sync(commune, province)
    alter(province, province.log(commune.place), 3)
    for _ in range(4):
        with suppress(LinkError):
            sync(province, centre)
    assert centre.alarms() == []
    live(commune, province)
    sync(province, centre)
    sync(province, centre)
    assert stored(centre, centre.log(commune.place)) == stored(commune, commune.log(commune.place))
    for node in (commune, province, centre):
        whole(node)


def test_what_came_while_its_past_was_damaged_is_taken_once_that_is_back(
    commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    commune.write(case, fields={"title": "hai"})
    sync(commune, province)
    log = province.log(commune.place)
    alter(province, log, log.size - 1)
    commune.write(case, fields={"title": "ba"})
    live(commune, province)
    assert province.values(case) == commune.values(case) == {"title": "ba"}
    whole(province)
    assert "log_forked" not in province.alarms() + commune.alarms()


def test_a_wrong_subtree_hash_is_put_right_from_the_leaves(commune: Node, province: Node) -> None:
    for number in range(300):
        commune.open_case(number)
    sync(commune, province)
    kept = province.rows("SELECT * FROM subtree")
    province.store.db.execute("UPDATE subtree SET hash = zeroblob(32)")
    scrub(province, NOW_MS + SCRUB_MS)
    assert province.rows("SELECT * FROM subtree") == kept
    assert province.rows("SELECT * FROM damage") == []


# Cost


class Counted:
    """Counts the leaves that a connection reads."""

    def __init__(self, node: Node) -> None:
        self.steps = 0
        connection = node.store.db
        assert isinstance(connection, sqlite3.Connection)
        self._connection = connection

    def __enter__(self) -> "Counted":
        self._connection.set_progress_handler(self._count, 1_000)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_progress_handler(None, 0)

    def _count(self) -> int:
        self.steps += 1_000
        return 0


def long_log(node: Node, count: int) -> Log:
    """Put a log of so many small leaves into a node's store, as if a commune had sent it."""
    builder = LogBuilder(place(COMMUNE))
    builder.leaves += [b"leaf %d" % number for number in range(count - 1)]
    own = builder.log()
    with node.transaction():
        log = node.store.create_log(
            log_id=own.log_id,
            owner=own.owner,
            purpose=own.purpose,
            epoch=0,
            tier=own.tier,
            code=own.code,
            source=own.owner,
        )
        for seq, leaf in enumerate(builder.leaves):
            log.extend(leaf)
            node.store.put_leaf(log, seq, leaf)
    return log


def test_comparing_equal_logs_reads_no_leaf_however_long_they_are(province: Node) -> None:
    audit = Audit(province.replica, place(COMMUNE).subject, "child")
    cost = []
    for count in (1_000, 20_000):
        log = long_log(province, count) if count == 1_000 else None
        if log is None:
            log = province.log(place(COMMUNE))
            with province.transaction():
                for seq in range(log.size, count):
                    log.extend(b"leaf")
                    province.store.put_leaf(log, seq, b"leaf")
        with province.transaction(), Counted(province) as counted:
            items, _ = audit._logs_as_items()
            answer = audit.on_reconcile(Reconcile(log=b"", step=0, data=probe(items)), NOW_MS)
        assert answer == [Reconcile(log=b"", step=1, data=b"\x61")]
        cost.append(counted.steps)
    assert cost[1] <= cost[0] + 1_000


def test_a_survey_reads_a_piece_at_a_time_and_a_fingerprint_two_blocks(province: Node) -> None:
    log = long_log(province, 20_000)
    survey = Survey(province.store, log)
    with province.transaction():
        with Counted(province) as piece:
            assert not survey.advance(NOW_MS)
        while not survey.advance(NOW_MS):
            pass
        with Counted(province) as sums:
            for start in range(0, 19_000, 1_000):
                survey.id_sum(start, start + 917)
    assert piece.steps < 150_000
    assert sums.steps / 19 < 2 * 256 * 20


def test_a_step_of_the_scrub_reads_one_block(province: Node) -> None:
    long_log(province, 20_000)
    with province.transaction(), Counted(province) as counted:
        province.replica.scrub.step(NOW_MS)
        province.replica.scrub.step(NOW_MS)
    assert counted.steps < 20_000


# Peers that mean harm


def test_a_peer_gets_no_leaf_of_a_log_that_is_not_on_its_link(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    neighbour = new_node(NEIGHBOUR, tmp_path)
    neighbour.open_case(1)
    sync(neighbour, province)
    link = Link(commune, province).run()
    log = province.log(neighbour.place)
    for message in (
        Repair(log=log.log_id, gaps=((0, 2),)),
        Reconcile(log=log.log_id, step=0, data=bytes.fromhex("6100000200")),
    ):
        assert tell(province, link.down, message) == []
    assert province.alarms() == []


def test_a_peer_that_asks_for_too_much_or_too_often_loses_its_link(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    log_id = commune.log(commune.place).log_id
    link = Link(commune, province).run()
    with pytest.raises(LinkError) as refused:
        tell(province, link.down, Repair(log=log_id, gaps=((0, 257),)))
    assert refused.value.code == "repair_too_much"
    link = Link(commune, province).run()
    questions = [Reconcile(log=b"", step=0, data=bytes.fromhex("6100000200"))] * 1_100
    with pytest.raises(LinkError) as refused:
        tell(province, link.down, *questions)
    assert refused.value.code == "audit_endless"


def test_a_turn_that_is_no_negentropy_costs_the_link(commune: Node, province: Node) -> None:
    link = Link(commune, province).run()
    with pytest.raises(LinkError) as refused:
        tell(province, link.down, Reconcile(log=b"", step=0, data=b"\x61\x00"))
    assert refused.value.code == "negentropy_malformed"


def test_leaves_that_nobody_asked_for_or_that_prove_nothing_change_nothing(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    link = Link(commune, province).run()
    log = province.log(commune.place)
    before = stored(province, log)
    forged = Repair(log=log.log_id, seq=1, leaf=b"x", size=log.size, signature=bytes(64))
    assert tell(province, link.down, forged) == []
    assert stored(province, log) == before


def test_a_peer_that_says_we_lack_what_our_tree_confirms_is_not_asked(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    link = Link(commune, province).run()
    log_id = commune.log(commune.place).log_id
    lie = Reconcile(log=log_id, step=2, data=b"", lacks=((0, 2),))
    assert tell(province, link.down, lie) == []


def test_leaves_with_a_false_proof_are_refused_and_said_to_be_missing(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    sync(commune, province)
    log = province.log(commune.place)
    alter(province, log, 1)
    scrub(province, NOW_MS + DAY_MS)
    link = Link(commune, province, NOW_MS + DAY_MS)

    def spoil(from_parent: bool, message: Message) -> bool:
        if isinstance(message, Repair) and message.leaf and not from_parent:
            other = Repair(
                log=message.log,
                seq=message.seq,
                leaf=message.leaf + b"x",
                size=message.size,
                signature=message.signature,
                proof=message.proof,
            )
            tell(province, link.down, other)
            return True
        return False

    link.lose = spoil
    link.run()
    assert province.rows("SELECT count(*) FROM damage") == [(1,)]
    assert "0 lost leaves came back" in province.rows("SELECT detail FROM alarm")[-1][0]


def test_two_disks_that_lost_leaves_close_together_heal_each_other(
    commune: Node, province: Node
) -> None:
    for number in range(9):
        commune.open_case(number)
    sync(commune, province)
    ours, theirs = commune.log(commune.place), province.log(commune.place)
    before = stored(commune, ours)
    lose(commune, ours, 2)
    alter(province, theirs, 5)
    alter(province, theirs, 7)
    live(commune, province)
    assert stored(commune, ours) == stored(province, theirs) == before
    for node in (commune, province):
        whole(node)
