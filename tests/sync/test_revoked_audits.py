"""Goal: what a disk lost of a revoked key's log comes back, and counts no more than before.

Method: as in test_audit.py, with a commune that is revoked before or after the disk loses leaves.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.events import Noted
from schemas.wire_audit import Reconcile, Repair
from sync.kinship import is_theirs
from sync.log import Log
from sync.mending import Mending
from sync.scrub import look
from tests.sync.builders import CENTRE, NOW_MS, Link, LogBuilder, Node, new_node, place, sync, tell
from tests.sync.harmed import alter, live, lose, stored
from tests.sync.revoked import revoke_at

Harm = Callable[[Node, Log, int], None]


def notes(node: Node) -> int:
    return int(node.rows("SELECT count(*) FROM event WHERE type = 'noted'")[0][0])


def overrun(commune: Node, province: Node, centre: Node) -> Log:
    """Let three notes count of six; return the log at the province."""
    case = commune.open_case(1)
    for number in range(6):
        if number == 3:
            sync(commune, province)
            size = province.log(commune.place).size
        commune.write(case, events=[Noted(text=f"{number}")])
    for _ in range(2):
        sync(commune, province)
        sync(province, centre)
    revoke_at(province, commune.place, size)
    sync(province, centre)
    log = province.log(commune.place)
    assert (log.valid, log.size) == (size, size + 3)
    return log


@pytest.mark.parametrize("harm", [lose, alter])
def test_leaves_of_a_revoked_log_come_back_and_count_as_before(
    commune: Node, province: Node, centre: Node, harm: Harm
) -> None:
    log = overrun(commune, province, centre)
    whole = stored(province, log)
    for seq in (2, log.size - 1):
        harm(province, log, seq)
    live(province, centre)
    assert stored(province, log) == whole
    assert province.rows("SELECT * FROM damage") == []
    for node in (province, centre):
        assert notes(node) == 3
        assert node.log(commune.place).valid == log.valid


def test_equal_revoked_logs_raise_no_alarm(commune: Node, province: Node, centre: Node) -> None:
    overrun(commune, province, centre)
    live(province, centre)
    for node in (province, centre):
        assert set(node.alarms()) <= {"key_revoked"}
    audits = province.rows("SELECT lacked, lacked_there FROM peer_audit WHERE at_ms > 0")
    assert audits == [(0, 0)]


@pytest.mark.parametrize("harm", [lose, alter])
@pytest.mark.parametrize("at", [1, 3, -2])
def test_a_revocation_that_comes_while_leaves_are_lost_ends_with_the_same(
    commune: Node, province: Node, centre: Node, harm: Harm, at: int
) -> None:
    case = commune.open_case(1)
    for number in range(6):
        commune.write(case, events=[Noted(text=f"{number}")])
    for _ in range(2):
        sync(commune, province)
        sync(province, centre)
    log = centre.log(commune.place)
    whole = stored(centre, log)
    harm(centre, log, at % log.size)
    revoke_at(province, commune.place, log.size - 3)
    sync(province, centre)
    live(province, centre)
    assert stored(centre, log) == whole
    for node in (province, centre):
        assert node.log(commune.place).valid == log.size - 3
        assert notes(node) == 3
        assert node.dead_letters() == ["key_revoked"] * 3
        assert node.rows("SELECT * FROM damage") == []


def test_a_revoked_peer_gets_no_answer_of_an_audit(commune: Node, province: Node) -> None:
    commune.open_case(1)
    link = Link(commune, province).run()
    log = province.log(commune.place)
    revoke_at(province, commune.place)
    questions = (
        Reconcile(log=b"", step=0, data=b"\x61"),
        Repair(log=log.log_id, gaps=((0, 1),)),
    )
    said = tell(province, link.down, *questions)
    assert [type(each).__name__ for each in said] == ["Problem"]


def test_what_a_revoked_key_signed_beside_its_log_proves_nothing(
    tmp_path: Path, commune: Node, province: Node, centre: Node
) -> None:
    log = overrun(commune, province, centre)
    last = log.size - 1
    other = LogBuilder(commune.place)
    other.leaves[:] = [*stored(province, log)[:last], other.leaves[0], other.leaves[0]]
    thief = new_node(CENTRE, tmp_path)
    forged = other.put_into(thief)
    with thief.transaction():
        forged.head_signature, forged.dirty = other.head().signature, True
    giving = Mending(thief.replica, province.place.subject)
    giving.on_request(forged, Repair(log=forged.log_id, gaps=((last, 1),)), NOW_MS)
    (given,) = giving.pump(NOW_MS, 10_000)
    assert isinstance(given, Repair)
    assert given.size == last + 2
    lose(province, log, last)
    with province.transaction():
        look(province.store, log, 0, NOW_MS)
        taking = Mending(province.replica, centre.place.subject)
        assert taking.order(log, [(last, 1)]) == 1
        taking.pump(NOW_MS, 10_000)
        taking.on_leaf(log, given, NOW_MS)
    assert len(stored(province, log)) == last


def test_what_a_parent_wrote_for_its_child_goes_back_to_nobody_else(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    sync(commune, province)
    log = commune.log(province.place, f"down/{commune.peer_id.hex()}")
    assert is_theirs(commune.replica, province.place.subject, "parent", log)
    assert not is_theirs(commune.replica, place("48").subject, "parent", log)
