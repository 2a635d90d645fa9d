"""Goal: nothing that a revoked key wrote too late counts anywhere; what it wrote before does.

Method: nodes of the real protocol, one of which is revoked while the others go on; statements by
hand where somebody lies.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.events import Assigned, Noted
from schemas.wire import Problem, Revoked
from sync.errors import LinkError, LogError
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    NEIGHBOUR,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    new_node,
    place,
    sync,
    tables,
)
from tests.sync.packs import carry, make, take
from tests.sync.revoked import (
    REASON,
    hear,
    mark_of,
    revoke_at,
    said_of,
    statement_by,
)


@pytest.fixture
def neighbour(tmp_path: Path) -> Node:
    return new_node(NEIGHBOUR, tmp_path)


def notes(node: Node) -> list[str]:
    return sorted(row[0] for row in node.rows("SELECT body FROM event WHERE type = 'noted'"))


def said(text: str) -> str:
    return f'{{"text":"{text}","type":"noted"}}'


def problems(link: Link) -> list[str]:
    return [message.code for _, message in link.sent if isinstance(message, Problem)]


def sync_all(*links: tuple[Node, Node]) -> None:
    for _ in range(3):
        for child, parent in links:
            sync(child, parent)


def test_what_came_before_counts_and_what_came_after_does_not(
    commune: Node, province: Node, centre: Node
) -> None:
    case = commune.open_case(1)
    commune.write(case, events=[Noted(text="trước")])
    sync_all((commune, province), (province, centre))
    size = province.log(commune.place).size
    commune.write(case, events=[Noted(text="sau")])
    late = commune.open_case(2)
    sync_all((commune, province), (province, centre))
    assert said("sau") in notes(centre)
    known = revoke_at(province, commune.place, size)
    assert known.revocation.marks[0].last_valid_seq == size - 1
    sync(province, centre)
    for node in (province, centre):
        assert notes(node) == [said("trước")]
        assert node.rows("SELECT * FROM document WHERE id = ?", late) == []
        assert node.dead_letters() == ["key_revoked", "key_revoked"]
        assert "key_revoked" in node.alarms()
        log = node.log(commune.place)
        assert (log.valid, log.size) == (size, size + 2)
    assert tables(province, ["event", "document"]) == tables(centre, ["event", "document"])
    # Its own data stay with the revoked node.
    assert said("sau") in notes(commune)
    assert commune.rows("SELECT * FROM document WHERE id = ?", late)


def test_by_default_all_counts_that_was_countersigned(commune: Node, province: Node) -> None:
    commune.open_case(1)
    sync(commune, province)
    commune.open_case(2)
    known = revoke_at(province, commune.place)
    assert known.revocation.marks[0].last_valid_seq == province.log(commune.place).size - 1
    assert province.dead_letters() == []


def test_a_revoked_node_is_refused_with_what_to_do(commune: Node, province: Node) -> None:
    commune.open_case(1)
    sync(commune, province)
    revoke_at(province, commune.place)
    commune.open_case(2)
    size = province.log(commune.place).size
    link = Link(commune, province)
    with pytest.raises(LinkError) as refused:
        link.run()
    assert problems(link)[0] == refused.value.code == "key_revoked"
    assert REASON in str(refused.value)
    assert "enrolled with a new key" in str(refused.value)
    assert province.log(commune.place).size == size


def test_an_open_link_ends_when_its_peer_is_revoked(commune: Node, province: Node) -> None:
    commune.open_case(1)
    link = Link(commune, province).run()
    revoke_at(province, commune.place)
    with pytest.raises(LinkError, match="revoked"):
        link.run()
    assert "key_revoked" in problems(link)


def test_a_child_refuses_a_parent_that_it_knows_to_be_revoked(
    commune: Node, province: Node
) -> None:
    sync(commune, province)
    hear(commune, statement_by(place(CENTRE), said_of(place(PROVINCE))))
    link = Link(commune, province)
    with pytest.raises(LinkError) as ended:
        link.run()
    assert ended.value.code == "parent_revoked"
    assert (False, "parent_revoked") in [
        (by_parent, m.code) for by_parent, m in link.sent if isinstance(m, Problem)
    ]


def test_a_node_whose_issuer_was_revoked_must_have_its_certificate_signed_again(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    hear(province, statement_by(place(CENTRE), said_of(place(PROVINCE))))
    link = Link(commune, province)
    with pytest.raises(LinkError) as refused:
        link.run()
    assert refused.value.code == "issuer_revoked"
    assert "request.pem" in str(refused.value)


def test_a_revocation_goes_ahead_of_all_leaves(commune: Node, province: Node, centre: Node) -> None:
    sync_all((commune, province), (province, centre))
    for number in range(40):
        commune.open_case(number)
    sync(commune, province)
    revoke_at(province, commune.place, 3)
    link = Link(province, centre).run()
    kinds = [type(message).__name__ for by_parent, message in link.sent if not by_parent]
    assert kinds[:2] == ["Hello", "Revoked"]
    assert kinds.index("Revoked") < kinds.index("Frame")
    again = Link(province, centre).run()
    assert not any(isinstance(message, Revoked) for _, message in again.sent)


def test_a_pack_carries_it_first_and_is_taken_in_from_a_revoked_node_as_far_as_it_counts(
    commune: Node, province: Node, centre: Node
) -> None:
    case = commune.open_case(1)
    commune.write(case, events=[Noted(text="trước")])
    carry(commune, province)
    size = province.log(commune.place).size
    carry(province, centre)
    commune.write(case, events=[Noted(text="sau")])
    revoke_at(province, commune.place, size)
    carry(commune, province)
    log = province.log(commune.place)
    assert (log.size, log.valid) == (size + 1, size)
    assert province.dead_letters() == ["key_revoked"]
    # Acknowledged as stored, and not countersigned.
    assert province.store.cosigned_by(log, province.peer_id) == size
    pack = make(province, centre)
    take(centre, pack)
    kinds = [type(message).__name__ for message in pack.messages()]
    assert kinds[:2] == ["Hello", "Revoked"]
    assert notes(province) == notes(centre) == [said("trước")]
    assert centre.store.cosigned_by(centre.log(commune.place), centre.peer_id) == size
    carry(province, commune)
    assert commune.store.cosigned_by(commune.log(commune.place), province.peer_id) == size


def test_what_was_passed_on_to_others_is_taken_out_of_use_there_too(
    commune: Node, neighbour: Node, province: Node, centre: Node
) -> None:
    links = ((commune, province), (neighbour, province), (province, centre))
    case = commune.open_case(1, Assigned(to_office="Keng Đu", to_code=NEIGHBOUR))
    commune.write(case, events=[Noted(text="trước")])
    sync_all(*links)
    size = province.log(commune.place).size
    commune.write(case, events=[Noted(text="sau")], fields={"title": "giả"})
    sync_all(*links)
    assert said("sau") in notes(neighbour)
    revoke_at(province, commune.place, size)
    sync_all(*links[1:])
    for node in (neighbour, province, centre):
        assert notes(node) == [said("trước")]
        assert node.values(case)["title"] == "Vụ việc 1"
    assert "key_revoked" in neighbour.dead_letters()


def test_what_builds_on_it_waits_and_blocks_nothing(
    commune: Node, neighbour: Node, province: Node, centre: Node
) -> None:
    links = ((commune, province), (neighbour, province), (province, centre))
    case = commune.open_case(1, Assigned(to_office="Keng Đu", to_code=NEIGHBOUR))
    sync_all(*links)
    size = province.log(commune.place).size
    commune.write(case, events=[Noted(text="sau")])
    sync_all(*links)
    neighbour.write(case, events=[Noted(text="dựa trên")])
    province.write(case, events=[Noted(text="cũng vậy")])
    other = neighbour.open_case(7)
    sync_all(*links)
    revoke_at(centre, commune.place, size)
    sync_all(*links[1:])
    for node in (neighbour, province, centre):
        assert notes(node) == []
        assert node.rows("SELECT count(DISTINCT hash) FROM waiting_change") == [(2,)]
    neighbour.write(case, events=[Noted(text="nhập lại")])
    neighbour.write(other, events=[Noted(text="việc khác")])
    sync_all(*links[1:])
    for node in (neighbour, province, centre):
        assert said("nhập lại") in notes(node)
    assert said("việc khác") in notes(centre)


def test_what_a_late_change_said_of_readers_counts_no_more(
    commune: Node, neighbour: Node, province: Node
) -> None:
    case = commune.open_case(1)
    sync_all((commune, province), (neighbour, province))
    size = province.log(commune.place).size
    commune.write(case, events=[Assigned(to_office="Keng Đu", to_code=NEIGHBOUR)])
    sync_all((commune, province), (neighbour, province))
    assert neighbour.rows("SELECT * FROM document WHERE id = ?", case)
    revoke_at(province, commune.place, size)
    province.write(case, events=[Noted(text="chỉ ở đây")])
    sync(neighbour, province)
    assert (case, NEIGHBOUR) not in province.rows("SELECT document, code FROM audience")
    assert said("chỉ ở đây") not in notes(neighbour)


def test_a_log_that_a_revoked_key_opens_later_counts_nothing(commune: Node, province: Node) -> None:
    commune.open_case(1)
    carry(commune, province)
    revoke_at(province, commune.place)
    with commune.transaction():
        commune.replica.begin_epoch(1)
    commune.open_case(2)
    carry(commune, province)
    assert province.log(commune.place, epoch=1).valid == 0
    assert province.dead_letters() == ["key_revoked"]
    assert len(province.rows("SELECT * FROM document")) == 1


def test_a_rebuild_ends_with_the_same(commune: Node, neighbour: Node, province: Node) -> None:
    links = ((commune, province), (neighbour, province))
    case = commune.open_case(1, Assigned(to_office="Keng Đu", to_code=NEIGHBOUR))
    sync_all(*links)
    size = province.log(commune.place).size
    commune.write(case, events=[Noted(text="sau")])
    sync_all(*links)
    neighbour.write(case, events=[Noted(text="dựa trên")])
    sync_all(*links)
    revoke_at(province, commune.place, size)
    sync(neighbour, province)
    names = ["writer", "document", "change", "waiting_change", "event", "dead_letter", "audience"]
    names += ["void_change", "quarantined_change", "revocation_leaf"]
    for node in (province, neighbour):
        before = tables(node, names)
        with node.transaction():
            for name in names:
                node.store.db.execute(f"DELETE FROM {name}")
            node.replica.intake.forget()
            for log in node.store.logs():
                for seq in range(log.size):
                    leaf = node.store.leaf(log.number, seq)
                    node.replica.intake.take(log, seq, leaf, NOW_MS)
        assert tables(node, names) == before


@pytest.mark.parametrize(
    ("signer", "target"),
    [
        (COMMUNE, NEIGHBOUR),
        (COMMUNE, COMMUNE),
        (COMMUNE, PROVINCE),
        (PROVINCE, PROVINCE),
        (PROVINCE, CENTRE),
        (PROVINCE, "44.18901"),
        (PROVINCE, "44"),
        (CENTRE, CENTRE),
    ],
)
def test_nobody_is_revoked_by_who_does_not_stand_above(
    signer: str, target: str, tmp_path: Path
) -> None:
    node = new_node(PROVINCE, tmp_path)
    with pytest.raises(LinkError) as refused:
        hear(node, statement_by(place(signer), said_of(place(target))))
    assert refused.value.code == "revocation_forged"
    assert node.rows("SELECT * FROM revocation") == []


def test_a_forged_signature_is_refused(province: Node) -> None:
    honest = statement_by(place(CENTRE), said_of(place(COMMUNE)))
    for forged in (
        {"signature": bytes(64)},
        {"said": said_of(place(NEIGHBOUR)).encode()},
        {"chain": tuple(place(COMMUNE).der)},
        {"chain": tuple(place(PROVINCE).der)},
    ):
        with pytest.raises(LinkError, match="refused"):
            hear(province, replace(honest, **forged))
    assert province.rows("SELECT * FROM revocation") == []


def test_a_key_is_revoked_only_under_the_code_of_its_certificate(
    province: Node, centre: Node
) -> None:
    # A province can put anybody's public key into a certificate for a place of its own.
    hear(centre, statement_by(place("44"), said_of(place(PROVINCE), code="44.18901")))
    province.open_case(1)
    sync(province, centre)
    assert centre.log(province.place).valid is None
    assert len(centre.rows("SELECT * FROM document")) == 1


def test_a_revocation_may_come_before_anything_of_the_node(commune: Node, province: Node) -> None:
    hear(province, statement_by(place(CENTRE), said_of(place(COMMUNE))))
    commune.open_case(1)
    carry(commune, province)
    assert province.dead_letters() == ["key_revoked"]
    assert province.rows("SELECT * FROM document") == []


def test_of_two_revocations_the_lower_number_counts(commune: Node, province: Node) -> None:
    case = commune.open_case(1)
    for number in range(4):
        commune.write(case, events=[Noted(text=f"{number}")])
    sync(commune, province)
    size = province.log(commune.place).size
    revoke_at(province, commune.place, size - 1)
    assert notes(province) == [said("0"), said("1"), said("2")]
    revoke_at(province, commune.place, size - 3)
    assert notes(province) == [said("0")]
    revoke_at(province, commune.place, size)
    assert notes(province) == [said("0")]


def test_the_word_of_a_revoked_province_ends_and_the_centre_says_again_what_it_had_said(
    commune: Node, province: Node, centre: Node
) -> None:
    case = commune.open_case(1)
    commune.write(case, events=[Noted(text="một")])
    commune.write(case, events=[Noted(text="hai")])
    sync_all((commune, province), (province, centre))
    size = province.log(commune.place).size
    revoke_at(province, commune.place, size - 1)
    sync(province, centre)
    counted = centre.store.cosigned_by(centre.log(province.place), centre.peer_id)
    # What a thief says later counts nothing.
    hear(centre, statement_by(place(PROVINCE), said_of(place(NEIGHBOUR))))
    hear(centre, statement_by(place(PROVINCE), said_of(place(COMMUNE))))
    assert notes(centre) == []
    revoke_at(centre, province.place, counted)
    assert notes(centre) == [said("một")]
    revocations = centre.replica.intake.revocations
    assert revocations.of(place(NEIGHBOUR).key.peer_id, NEIGHBOUR) == []
    assert [k.signer_code for k in revocations.of(commune.peer_id, COMMUNE)] == [CENTRE]


def test_a_log_other_than_the_one_that_was_marked_counts_nothing(
    commune: Node, province: Node
) -> None:
    commune.open_case(1)
    forged = LogBuilder(place(COMMUNE))
    forged.leaves *= 3
    hear(province, statement_by(place(CENTRE), said_of(place(COMMUNE), mark_of(forged, 3))))
    carry(commune, province)
    assert province.log(commune.place).valid == 0
    assert province.rows("SELECT * FROM document") == []


def test_nobody_speaks_for_leaves_that_are_not_here(commune: Node, province: Node) -> None:
    commune.open_case(1)
    sync(commune, province)
    with pytest.raises(LogError, match="cannot say"):
        revoke_at(province, commune.place, 99)
    with pytest.raises(LogError, match="below"):
        revoke_at(commune, province.place)
    assert province.rows("SELECT * FROM revocation") == []
