"""An outpost of a commune writes a log of its own, which counts everywhere as far as it may.

Method: nodes of the real protocol, an outpost below a commune that is itself linked or cut off;
statements by hand where somebody stole a key.
"""

from pathlib import Path

import pytest

from crypto.certificates import issue, make_request
from crypto.errors import CertificateError
from crypto.identity import NodeKey
from schemas.codes import Tier
from schemas.events import Noted, PersonJoined, TakenAlong
from schemas.ids import document_text
from schemas.record import LeafType, encode_certificates
from sync.blobs import BlobFiles
from sync.errors import LinkError, LogError
from sync.replica import Replica
from sync.store import Store
from tests.sync.builders import (
    CENTRE,
    DERIVED,
    NEIGHBOUR,
    NOW_MS,
    OUTPOST,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    Place,
    admit_all,
    memory,
    new_node,
    no_views,
    place,
    root,
    sync,
    tables,
)
from tests.sync.revoked import hear, mark_of, revoke_at, said_of, statement_by, take_in

OTHER = "40.17083.2"


@pytest.fixture
def outpost(tmp_path: Path) -> Node:
    return new_node(OUTPOST, tmp_path)


def sync_all(*links: tuple[Node, Node]) -> None:
    for _ in range(3):
        for child, parent in links:
            sync(child, parent)


def notes(node: Node) -> list[str]:
    rows = node.rows("SELECT body FROM event WHERE type = 'noted' ORDER BY body")
    return [row[0].split('"')[3] for row in rows]


def has(node: Node, document: bytes) -> bool:
    return bool(node.rows("SELECT 1 FROM document WHERE id = ?", document))


def stolen_from(commune: Place, code: str, seed: bytes) -> Place:
    """An outpost that whoever has the commune's key makes for themselves."""
    key = NodeKey.from_seed(seed.ljust(32, b"!"))
    request = make_request(key, Tier.OUTPOST, code, "Máy lạ")
    own = issue(commune.chain[0], commune.key, request, NOW_MS, 365)
    return Place(key, (own, *commune.chain))


def log_of(where: Place, *texts: str) -> LogBuilder:
    """A log in which somebody opened a case for each text."""
    node = new_node_at(where)
    for number, text in enumerate(texts):
        node.open_case(number, Noted(text=text))
    builder = LogBuilder(where)
    builder.leaves[:] = node.store.leaves(node.log(where), 0, node.log(where).size)
    return builder


def new_node_at(where: Place) -> Node:
    replica = Replica(
        Store(memory()),
        key=where.key,
        chain=where.chain,
        root=root(),
        admit=admit_all,
        project=no_views,
    )
    return Node(where, replica, BlobFiles(Path("/nonexistent")))


def test_what_was_written_away_is_merged_and_verified_up_to_the_centre(
    outpost: Node, commune: Node, province: Node, centre: Node
) -> None:
    case = commune.open_case(1)
    commune.write(case, events=[TakenAlong(to_code=OUTPOST)])
    sync_all((outpost, commune))
    # Both go on without a line, on the same case.
    outpost.write(case, events=[Noted(text="ở bản")], fields={"title": "Tên ở bản"})
    found = outpost.open_case(7, Noted(text="mới ở bản"))
    commune.write(case, events=[Noted(text="ở xã")], fields={"title": "Tên ở xã"})
    sync_all((outpost, commune), (commune, province), (province, centre))
    for node in (outpost, commune, province, centre):
        assert notes(node) == ["mới ở bản", "ở bản", "ở xã"]
        assert has(node, found)
        assert node.dead_letters() == node.alarms() == []
        assert node.values(case) == commune.values(case)
        assert len(node.replica.intake.registers(case).fields["title"]) == 2
    for above in (commune, province, centre):
        log = above.log(outpost.place)
        assert (log.size, log.head_signature) == (
            outpost.log(outpost.place).size,
            outpost.log(outpost.place).head_signature,
        )
    cosigners = {tier for _, tier, _ in outpost.store.cosignatures(outpost.log(outpost.place))}
    assert cosigners == {"commune", "province", "centre"}


def test_an_outpost_holds_what_began_there_and_what_was_taken_along_and_nothing_else(
    outpost: Node, commune: Node, province: Node, tmp_path: Path
) -> None:
    neighbour = new_node(NEIGHBOUR, tmp_path)
    person, stranger = (commune.open_case(number) for number in (11, 12))
    taken = commune.open_case(1, PersonJoined(person=document_text(person)))
    stays = commune.open_case(2, PersonJoined(person=document_text(stranger)))
    elsewhere = neighbour.open_case(3)
    sync_all((outpost, commune), (commune, province), (neighbour, province))
    assert tables(outpost, ["document"])["document"] == []
    commune.write(taken, events=[TakenAlong(to_code=OUTPOST)])
    commune.write(stays, events=[TakenAlong(to_code=OTHER)])
    sync_all((outpost, commune))
    assert has(outpost, taken)
    assert has(outpost, person)
    assert not any(has(outpost, each) for each in (stays, stranger, elsewhere))
    commune.write(taken, events=[Noted(text="sau")])
    sync_all((outpost, commune))
    assert notes(outpost) == ["sau"]


def test_an_outpost_certifies_nobody_and_is_certified_by_its_commune_alone() -> None:
    for issuer, code in ((PROVINCE, OUTPOST), (NEIGHBOUR, OUTPOST), (OUTPOST, OTHER)):
        who = place(issuer)
        request = make_request(NodeKey.generate(), Tier.OUTPOST, code, "Máy lạ")
        with pytest.raises(CertificateError):
            issue(who.chain[0], who.key, request, NOW_MS, 90)


def test_a_commune_revokes_its_outpost_alone_and_everybody_goes_by_it(
    outpost: Node, commune: Node, province: Node, centre: Node
) -> None:
    outpost.open_case(1, Noted(text="trước"))
    sync_all((outpost, commune), (commune, province), (province, centre))
    size = commune.log(outpost.place).size
    outpost.open_case(2, Noted(text="chưa gửi"))
    known = revoke_at(commune, outpost.place)
    assert known.revocation.marks[0].last_valid_seq == size - 1
    link = Link(outpost, commune)
    with pytest.raises(LinkError) as refused:
        link.run()
    assert refused.value.code == "key_revoked"
    # The thief has the key, and a line elsewhere: what it wrote later counts nowhere.
    sync_all((commune, province), (province, centre))
    for node in (commune, province, centre):
        assert notes(node) == ["trước"]
        assert node.log(outpost.place).valid == size
    with pytest.raises(LogError) as error:
        revoke_at(commune, province.place)
    assert error.value.code == "revocation_foreign"
    with pytest.raises(LogError):
        revoke_at(commune, place(NEIGHBOUR))


def test_outposts_of_a_stolen_commune_count_only_if_the_commune_had_vouched_for_them(
    outpost: Node, commune: Node, province: Node, centre: Node
) -> None:
    outpost.open_case(1, Noted(text="thật"))
    sync_all((outpost, commune), (commune, province), (province, centre))
    thief = log_of(stolen_from(commune.place, OTHER, b"thief"), "giả")
    take_in(province, thief, 0, len(thief.leaves))
    assert notes(province) == ["giả", "thật"]
    revoke_at(province, commune.place)
    sync_all((province, centre))
    assert notes(province) == notes(centre) == ["thật"]
    # It goes on with the certificate of the key that was stolen, and counts.
    late = log_of(outpost.place, "thật", "sau")
    assert province.log(outpost.place).valid is None
    assert late.leaves[0] == next(iter(province.store.leaves(province.log(outpost.place), 0, 1)))


@pytest.mark.parametrize("statement_first", [True, False])
def test_it_does_not_matter_what_of_a_stolen_commune_comes_first(
    statement_first: bool, commune: Node, province: Node, tmp_path: Path
) -> None:
    centre = new_node(CENTRE, tmp_path)
    own = log_of(commune.place, "xã")
    vouched = stolen_from(commune.place, OUTPOST, b"real")
    own.add(LeafType.CERTIFICATES, encode_certificates(vouched.der))
    mark = len(own.leaves)
    unvouched = stolen_from(commune.place, OTHER, b"thief")
    own.add(LeafType.CERTIFICATES, encode_certificates(unvouched.der))
    statement = statement_by(province.place, said_of(commune.place, mark_of(own, mark)))
    if statement_first:
        hear(centre, statement)
    for where, text in ((vouched, "thật"), (unvouched, "giả")):
        builder = log_of(where, text)
        take_in(centre, builder, 0, len(builder.leaves))
    take_in(centre, own, 0, mark)
    take_in(centre, own, mark, len(own.leaves))
    if not statement_first:
        assert notes(centre) == ["giả", "thật", "xã"]
        hear(centre, statement)
    assert notes(centre) == ["thật", "xã"]


def test_what_a_stolen_commune_says_of_its_outposts_ends_with_its_key(
    outpost: Node, commune: Node, province: Node
) -> None:
    other = new_node_at(place(OTHER))
    for node in (outpost, other):
        node.open_case(1, Noted(text=node.place.subject.code))
    sync_all((outpost, commune), (other, commune), (commune, province))
    # Said by the office itself, in time; said by the thief, later.
    revoke_at(commune, other.place, 1)
    sync_all((commune, province))
    size = province.log(commune.place).size
    revoke_at(commune, outpost.place, 1)
    sync_all((commune, province))
    assert notes(province) == []
    revoke_at(province, commune.place, size)
    assert notes(province) == [OUTPOST]


def test_a_rebuild_ends_with_the_same(
    outpost: Node, commune: Node, province: Node, centre: Node
) -> None:
    outpost.open_case(1, Noted(text="thật"))
    sync_all((outpost, commune), (commune, province), (province, centre))
    thief = log_of(stolen_from(commune.place, OTHER, b"thief"), "giả")
    take_in(province, thief, 0, len(thief.leaves))
    revoke_at(province, commune.place)
    before = tables(province, [*DERIVED, "vouching", "quarantined_change"])
    with province.transaction():
        for table in ("vouching", "revocation_leaf", "void_change", "quarantined_change", *DERIVED):
            province.store.db.execute(f"DELETE FROM {table}")
        province.replica.intake.forget()
        for log in province.store.logs():
            for seq, leaf in enumerate(province.store.leaves(log, 0, log.size)):
                province.replica.intake.take(log, seq, leaf, NOW_MS)
    assert tables(province, [*DERIVED, "vouching", "quarantined_change"]) == before
    assert notes(province) == ["thật"]


def test_a_commune_vouches_for_no_key_that_is_another_nodes(
    commune: Node, province: Node, tmp_path: Path
) -> None:
    neighbour = new_node(NEIGHBOUR, tmp_path)
    sync(neighbour, province)
    request = make_request(neighbour.place.key, Tier.OUTPOST, OUTPOST, "Máy lạ")
    own = issue(commune.place.chain[0], commune.place.key, request, NOW_MS, 365)
    taken = Place(neighbour.place.key, (own, *commune.place.chain))
    log = LogBuilder(commune.place)
    log.add(LeafType.CERTIFICATES, encode_certificates(taken.der))
    take_in(province, log, 0, 2)
    assert province.dead_letters() == ["certificates_foreign"]
    known = province.store.peer(neighbour.peer_id)
    assert known is not None
    assert known.code == NEIGHBOUR
