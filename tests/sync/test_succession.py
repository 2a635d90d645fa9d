"""Goal: the spare key of an office ends the one before it, and can do no more than that.

Method: statements by hand, judged by us and by the reader that was written from the document.
"""

import json
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from crypto.errors import CertificateError
from schemas.events import Noted
from schemas.revocation import Revocation, Statement
from sync.errors import LinkError
from sync.replica import Replica
from sync.revocations import Known, by_node, verified
from sync.store import Store
from sync.succession import succeed
from tests.independent.change_reader import Refused
from tests.independent.record_checker import read_place
from tests.independent.revocation_checker import counting, read_words
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    NEIGHBOUR,
    NOW_MS,
    PROVINCE,
    Link,
    Node,
    Place,
    admit_all,
    memory,
    new_node,
    no_views,
    place,
    root,
    sync,
)
from tests.sync.packs import carry
from tests.sync.revoked import revoke_at, said_of, spare_of, statement_by

FIRST = place(COMMUNE)
SECOND = spare_of(FIRST, b"second")
THIRD = spare_of(SECOND, b"third")
ROOT = read_place(root().public_bytes(Encoding.DER))


def known(statement: Statement, folder: Path) -> Known:
    return verified(statement.encode(), new_node(CENTRE, folder).replica.verify_chain)


def in_effect(folder: Path, *statements: Statement) -> set[tuple[bytes, str]]:
    """Return who is revoked by statements together, in whatever order, by both readers."""
    found = by_node([known(statement, folder) for statement in statements])
    back = by_node([known(statement, folder) for statement in statements[::-1]])
    assert found == back
    words = read_words(b"".join(each.encode() for each in statements), ROOT)
    assert {word.id for word in counting(words)} == {
        one.id.hex() for some in found.values() for one in some
    }
    return set(found)


def node_of(office: Place) -> tuple[bytes, str]:
    return office.key.peer_id, office.subject.code


def test_a_key_is_ended_by_the_one_that_was_made_for_it(tmp_path: Path) -> None:
    one = statement_by(SECOND, said_of(FIRST))
    assert in_effect(tmp_path, one) == {node_of(FIRST)}
    # And so on; what the second said goes on counting when the third ends it.
    two = statement_by(THIRD, said_of(SECOND))
    assert in_effect(tmp_path, one, two) == {node_of(FIRST), node_of(SECOND)}


@pytest.mark.parametrize(
    ("signer", "said"),
    [
        (FIRST, said_of(FIRST)),
        (FIRST, said_of(SECOND)),
        (THIRD, said_of(FIRST)),
        (SECOND, said_of(place(NEIGHBOUR))),
        (SECOND, said_of(place(PROVINCE))),
        (SECOND, said_of(FIRST, code=NEIGHBOUR)),
        (spare_of(place(NEIGHBOUR), b"other"), said_of(FIRST)),
    ],
)
def test_no_other_key_of_a_place_ends_one(signer: Place, said: Revocation, tmp_path: Path) -> None:
    forged = statement_by(signer, said)
    with pytest.raises(CertificateError) as refused:
        known(forged, tmp_path)
    assert refused.value.code == "revocation_foreign"
    with pytest.raises(Refused):
        read_words(forged.encode(), ROOT)


def test_a_spare_key_that_was_revoked_from_above_ends_nothing(tmp_path: Path) -> None:
    one = statement_by(SECOND, said_of(FIRST))
    for above in (PROVINCE, CENTRE):
        two = statement_by(place(above), said_of(SECOND))
        assert in_effect(tmp_path, one, two) == {node_of(SECOND)}
    # But if the province that said so was itself revoked, nothing is left of it.
    three = statement_by(place(CENTRE), said_of(place(PROVINCE)))
    by_province = statement_by(place(PROVINCE), said_of(SECOND))
    assert in_effect(tmp_path, one, by_province, three) == {
        node_of(FIRST),
        node_of(place(PROVINCE)),
    }


def as_spare(commune: Node, office: Place) -> Node:
    """Return the node that goes on with another key on the same database."""
    replica = Replica(
        Store(commune.store.db),
        key=office.key,
        chain=office.chain,
        root=root(),
        admit=admit_all,
        project=no_views,
    )
    return Node(place=office, replica=replica, files=commune.files)


def changed(commune: Node, former: Place = FIRST, office: Place = SECOND) -> Node:
    """Let an office take its spare key into use."""
    node = as_spare(commune, office)
    with node.transaction():
        succeed(node.replica, former.key, "x", NOW_MS)
    return node


def copy_of(node: Node, folder: Path) -> Node:
    """Return what a thief has: the whole database, and the key."""
    copied = memory()
    source = node.store.db
    assert isinstance(source, sqlite3.Connection)
    copied.deserialize(source.serialize())
    return new_node(COMMUNE, folder, connection=copied)


def notes(node: Node) -> list[str]:
    rows = node.rows("SELECT body FROM event WHERE type = 'noted'")
    return sorted(json.loads(row[0])["text"] for row in rows)


def test_the_spare_key_of_a_key_that_was_taken_away_gets_no_link(tmp_path: Path) -> None:
    province, commune = new_node(PROVINCE, tmp_path), new_node(COMMUNE, tmp_path)
    commune.open_case(1)
    sync(commune, province)
    revoke_at(province, FIRST)
    late = as_spare(new_node(COMMUNE, tmp_path), SECOND)
    with pytest.raises(LinkError) as refused:
        sync(late, province)
    assert refused.value.code == "key_revoked"


@pytest.mark.parametrize("lost", ["nothing", "the answers", "all"])
def test_what_was_on_its_way_is_neither_lost_nor_doubled(lost: str, tmp_path: Path) -> None:
    commune, province, centre = (new_node(code, tmp_path) for code in (COMMUNE, PROVINCE, CENTRE))
    case = commune.open_case(1)
    sync(commune, province)
    for text in ("một", "hai"):
        commune.write(case, events=[Noted(text=text)])
    link = Link(commune, province)
    link.lose = lambda from_parent, _: lost == "all" or (lost == "the answers" and from_parent)
    link.run()
    sync(province, centre)
    after = changed(commune)
    after.write(case, events=[Noted(text="ba")])
    for _ in range(3):
        sync(after, province)
        sync(province, centre)
    for node in (after, province, centre):
        assert notes(node) == ["ba", "hai", "một"]
        assert node.values(case)["title"] == "Vụ việc 1"
    # And the next change of key, before anything of this one was heard of.
    later = changed(after, SECOND, THIRD)
    later.write(case, events=[Noted(text="tư")])
    for _ in range(2):
        sync(later, province)
    assert notes(province) == notes(later) == ["ba", "hai", "một", "tư"]


def test_two_changes_of_key_in_a_row_are_heard_of_together(tmp_path: Path) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    case = commune.open_case(1)
    sync(commune, province)
    commune.write(case, events=[Noted(text="một")])
    later = changed(changed(commune), SECOND, THIRD)
    sync(later, province)
    assert notes(province) == notes(later) == ["một"]
    for old in (FIRST, SECOND):
        assert province.replica.intake.revocations.of(*node_of(old))
    assert not province.replica.intake.revocations.of(*node_of(THIRD))


def test_what_a_thief_wrote_in_the_same_place_of_the_log_takes_nothing_away(
    tmp_path: Path,
) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    case = commune.open_case(1)
    sync(commune, province)
    thief = copy_of(commune, tmp_path)
    commune.write(case, events=[Noted(text="thật")])
    for text in ("giả", "giả nữa"):
        thief.write(case, events=[Noted(text=text)])
    sync(thief, province)
    assert notes(province) == ["giả", "giả nữa"]
    after = changed(commune)
    for _ in range(2):
        sync(after, province)
    assert notes(province) == notes(after) == ["thật"]
    assert province.values(case)["title"] == "Vụ việc 1"
    thief.write(case, events=[Noted(text="giả thêm")])
    with pytest.raises(LinkError) as refused:
        sync(thief, province)
    assert refused.value.code == "key_revoked"
    assert notes(province) == ["thật"]


def test_somebody_above_may_take_back_more_and_the_new_key_stays_good(tmp_path: Path) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    case = commune.open_case(1)
    commune.write(case, events=[Noted(text="giả")])
    sync(commune, province)
    size = province.log(FIRST).size
    after = changed(commune)
    after.write(case, events=[Noted(text="thật")])
    for _ in range(2):
        sync(after, province)
    assert notes(province) == ["giả", "thật"]
    # It had been written with the office's key before anybody noticed.
    revoke_at(province, FIRST, size - 1)
    after.write(case, events=[Noted(text="nữa")])
    for _ in range(2):
        sync(after, province)
    assert province.log(FIRST).counted == size - 1
    assert notes(province) == notes(after) == []
    # What was built on it waits; the office writes on, on the record as it stands.
    after.write(case, events=[Noted(text="lại")])
    sync(after, province)
    assert notes(province) == ["lại"]


def test_the_word_travels_on_a_stick(tmp_path: Path) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    case = commune.open_case(1)
    sync(commune, province)
    commune.write(case, events=[Noted(text="một")])
    after = changed(commune)
    carry(after, province)
    assert notes(province) == ["một"]
    assert province.replica.intake.revocations.of(*node_of(FIRST))
