"""A peer that breaks the protocol costs its link; a log with two stories costs that log alone.

Method: messages that no node of ours sends, signed with the real keys of the offices that cheat.
"""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crypto.identity import log_id
from crypto.note import Cosignature, cosign, key_name
from schemas.codes import Tier
from schemas.events import DirectiveIssued
from schemas.ids import mint_document_id
from schemas.limits import PENDING_LEAVES_MAX
from schemas.record import LeafType, encode_certificates
from schemas.wire import Ack, Cosigned, Frame, Head, Hello, Message, Problem
from sync.document import Edit
from sync.errors import LinkError
from sync.session import Session
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    DOCUMENT,
    NEIGHBOUR,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    Pen,
    actor,
    logs,
    new_node,
    place,
    sync,
    tell,
)


def child_link(province: Node, code: str = COMMUNE) -> Session:
    """Return the province's session with a commune that we play."""
    with province.transaction():
        province.replica.welcome(place(code).as_peer(is_child=True))
    return Session(province.replica, place(code).subject, "child", province.files)


def parent_link(node: Node, code: str) -> Session:
    """Return a node's session with a parent that we play."""
    with node.transaction():
        node.replica.welcome(place(code).as_peer(is_child=False))
    return Session(node.replica, place(code).subject, "parent", node.files)


def case_log(code: str = COMMUNE, title: str = "một") -> LogBuilder:
    edit = Edit(kind="case", fields={"title": title}, texts={"summary": ""})
    return logs(code)[code].change(Pen().write(actor(code), edit).raw)


def frame(builder: LogBuilder, start: int = 0, end: int | None = None) -> Frame:
    leaves = tuple(builder.leaves[start:end])
    return Frame(log=builder.log_id, priority=2, first_seq=start, leaves=leaves)


def all_of(builder: LogBuilder) -> tuple[Message, ...]:
    return builder.hello(), frame(builder), builder.head()


def refused(node: Node, session: Session, *messages: Message) -> str:
    before = list(node.store.db.execute("SELECT * FROM leaf")), node.alarms()
    with pytest.raises(LinkError) as caught:
        tell(node, session, *messages)
    assert (list(node.store.db.execute("SELECT * FROM leaf")), node.alarms()) == before
    return caught.value.code


def test_what_these_tests_build_on_is_accepted(province: Node) -> None:
    answers = tell(province, child_link(province), *all_of(case_log()))
    ack = next(answer for answer in answers if isinstance(answer, Ack))
    assert (ack.have_seq, [c.size for c in ack.cosignatures]) == (3, [3])
    assert province.values(DOCUMENT) == {"title": "một"}


# Offers


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"epoch": 1}, "head_forged"),
        ({"owner": bytes(32)}, "log_unnamed"),
        ({"purpose": "down"}, "offer_foreign"),
    ],
)
def test_leaves_under_the_offer_of_another_log_end_the_link(
    province: Node, said: dict[str, Any], code: str
) -> None:
    builder = case_log()
    hello = Hello(version=1, now_ms=NOW_MS, offers=(builder.offer(**said),))
    leaves, head = replace(frame(builder), log=b"\0"), replace(builder.head(), log=b"\0")
    assert refused(province, child_link(province), hello, leaves, head) == code


def offer_of(owner: str, purpose: str = "up") -> Hello:
    offer = LogBuilder(place(owner)).offer(purpose=purpose)
    return Hello(version=1, now_ms=NOW_MS, offers=(offer,))


def down(reader: str) -> str:
    return f"down/{place(reader).key.peer_id.hex()}"


@pytest.mark.parametrize("peer", [COMMUNE, CENTRE])
@pytest.mark.parametrize(
    "purpose", ["", "down/", down(PROVINCE), down(CENTRE), "up/", "UP", "down/x/y", "downs"]
)
def test_an_offer_of_a_purpose_that_nobody_has_ends_the_link(
    province: Node, peer: str, purpose: str
) -> None:
    session = child_link(province, peer) if peer == COMMUNE else parent_link(province, peer)
    assert refused(province, session, offer_of(peer, purpose)) == "offer_foreign"


def test_an_owner_left_out_is_the_sender(province: Node) -> None:
    builder, session = case_log(), child_link(province)
    hello = Hello(version=1, now_ms=NOW_MS, offers=(builder.offer(owner=b""),))
    tell(province, session, hello, frame(builder), builder.head())
    assert province.values(DOCUMENT) == {"title": "một"}


@pytest.mark.parametrize(
    ("here", "peer", "offer"),
    [
        (PROVINCE, COMMUNE, offer_of(PROVINCE)),
        (PROVINCE, COMMUNE, offer_of(COMMUNE, "down")),
        (PROVINCE, CENTRE, offer_of(CENTRE)),
        (PROVINCE, CENTRE, offer_of(CENTRE, down(COMMUNE))),
        (PROVINCE, CENTRE, offer_of(PROVINCE, "down")),
        (COMMUNE, PROVINCE, offer_of(PROVINCE)),
        (COMMUNE, PROVINCE, offer_of(COMMUNE, "down")),
        (COMMUNE, PROVINCE, offer_of(CENTRE, "down")),
        (COMMUNE, NEIGHBOUR, offer_of(NEIGHBOUR)),
        (COMMUNE, NEIGHBOUR, offer_of(NEIGHBOUR, "down")),
        (COMMUNE, COMMUNE, offer_of(COMMUNE)),
    ],
)
def test_a_log_comes_from_where_it_must(tmp_path: Path, here: str, peer: str, offer: Hello) -> None:
    node = new_node(here, tmp_path)
    kin = child_link(node, peer) if len(peer) > len(here) else parent_link(node, peer)
    assert refused(node, kin, offer) == "offer_foreign"


def test_a_commune_is_given_back_no_log_but_of_its_outposts(commune: Node) -> None:
    # Its certificate tells; the offer alone may be of an outpost that a restored commune forgot.
    builder = LogBuilder(place(NEIGHBOUR))
    session = parent_link(commune, PROVINCE)
    assert refused(commune, session, builder.hello(), frame(builder)) == "offer_foreign"


def test_a_known_log_of_another_place_is_not_taken_from_a_neighbour(province: Node) -> None:
    tell(province, child_link(province), *all_of(case_log()))
    assert refused(province, child_link(province, NEIGHBOUR), offer_of(COMMUNE)) == "offer_foreign"


def test_an_unknown_log_of_another_place_is_not_taken_from_a_neighbour(province: Node) -> None:
    builder = case_log()
    code = refused(province, child_link(province, NEIGHBOUR), *all_of(builder))
    assert code == "offer_foreign"
    # And the true owner is not kept out by what the other left.
    session = child_link(province, NEIGHBOUR)
    tell(province, session, builder.hello(), frame(replace(builder, leaves=[b"x"] * 2), 1, 2))
    tell(province, child_link(province), *all_of(builder))
    assert province.values(DOCUMENT) == {"title": "một"}
    assert province.alarms() == []


def test_our_own_log_is_not_taken_from_a_child(province: Node) -> None:
    province.open_case()
    assert refused(province, child_link(province), offer_of(PROVINCE)) == "offer_foreign"


def test_another_version_ends_the_link(province: Node) -> None:
    hello = replace(case_log().hello(), version=2)
    assert refused(province, child_link(province), hello) == "version_unknown"


# Certificates and heads


def test_a_log_must_start_with_the_certificate_of_its_owner(province: Node) -> None:
    for index, first in enumerate(
        [
            LogBuilder(place(NEIGHBOUR)).leaves[0],
            LogBuilder(place(PROVINCE)).leaves[0],
            b"no leaf",
            case_log().leaves[1],
            LogBuilder(place(COMMUNE), leaves=[]).add(LeafType.CERTIFICATES, b"x").leaves[1],
            LogBuilder(place(COMMUNE))
            .add(LeafType.CERTIFICATES, encode_certificates(place(COMMUNE).der[:1]))
            .leaves[1],
            LogBuilder(place(COMMUNE))
            .add(LeafType.CERTIFICATES, encode_certificates(place(COMMUNE).der), writer=1)
            .leaves[1],
        ]
    ):
        builder = case_log()
        builder.epoch = index
        builder.leaves[0] = first
        assert refused(province, child_link(province), *all_of(builder)) == "log_unnamed"


def test_a_forged_head_ends_the_link_and_the_true_one_is_taken(province: Node) -> None:
    builder = case_log()
    true = builder.head()
    lies = [
        replace(true, signature=bytes(64)),
        replace(true, root=bytes(32)),
        replace(true, size=2),
        replace(true, size=9),
        replace(true, signature=replace(builder, epoch=1).head().signature),
    ]
    for lie in lies:
        session = child_link(province)
        assert refused(province, session, builder.hello(), frame(builder), lie) == "head_forged"
    tell(province, child_link(province), *all_of(builder))
    assert province.values(DOCUMENT) == {"title": "một"}
    older = LogBuilder(place(COMMUNE), leaves=[])
    older.leaves = builder.leaves[:2]
    for lie in (
        replace(older.head(), root=bytes(32)),
        replace(older.head(), signature=bytes(64), root=bytes(32)),
    ):
        session = child_link(province)
        assert refused(province, session, builder.hello(), lie) == "head_forged"
    assert province.alarms() == []


def test_a_head_before_the_certificate_is_forgotten(province: Node) -> None:
    builder, session = case_log(), child_link(province)
    lie = replace(builder.head(), root=bytes(32))
    tell(province, session, builder.hello(), lie, frame(builder), builder.head())
    assert province.values(DOCUMENT) == {"title": "một"}


def test_an_old_head_of_the_same_log_is_answered(province: Node) -> None:
    builder, session = case_log(), child_link(province)
    tell(province, session, *all_of(builder))
    older = LogBuilder(place(COMMUNE), leaves=[])
    older.leaves = builder.leaves[:2]
    empty = Head(log=builder.log_id, size=0, root=bytes(32), signature=bytes(64))
    for head in (older.head(), empty):
        (ack,) = tell(province, session, head)
        assert isinstance(ack, Ack)
        assert ack.have_seq == 3


# Forks


def forked() -> tuple[LogBuilder, LogBuilder]:
    """Return two stories that a commune told under its own signature."""
    return case_log(title="một"), case_log(title="hai")


def other_goes_on(province: Node) -> None:
    other = case_log(NEIGHBOUR)
    tell(province, child_link(province, NEIGHBOUR), *all_of(other))
    assert province.log(place(NEIGHBOUR)).size == 3


def test_a_head_that_contradicts_what_is_stored_stops_the_log(province: Node) -> None:
    one, two = forked()
    tell(province, child_link(province), *all_of(one))
    session = child_link(province)
    answers = tell(province, session, two.hello(), two.head())
    problems = [answer for answer in answers if isinstance(answer, Problem)]
    assert [p.code for p in problems] == ["log_forked"]
    assert session.log_received(problems[0].log) == one.log_id
    assert province.alarms() == ["log_forked"]
    evidence = province.rows("SELECT evidence FROM alarm")[0][0]
    assert two.head().signature.hex() in evidence
    assert two.head().root.hex() in evidence
    # Stopped: what it says further is neither taken nor cosigned, on this link or the next.
    size = province.store.cosigned_size(province.log(place(COMMUNE)), Tier.PROVINCE)
    longer = one.add(99, b"more")
    for again in (session, child_link(province)):
        answers = tell(province, again, longer.hello(), frame(longer), longer.head())
        assert [a.code for a in answers if isinstance(a, Problem)] == ["log_forked"]
    log = province.log(place(COMMUNE))
    assert (log.size, province.store.cosigned_size(log, Tier.PROVINCE)) == (3, size)
    assert province.alarms() == ["log_forked"]
    other_goes_on(province)


def test_a_log_that_grows_from_another_past_is_stopped_with_both_stories_kept(
    province: Node,
) -> None:
    one, two = forked()
    tell(province, child_link(province), *all_of(one))
    two.add(99, b"more")
    for _ in range(2):
        # The first time, the leaves may have been damaged on the way.
        session = child_link(province)
        answers = tell(province, session, two.hello(), frame(two, 3), two.head())
    assert [a.code for a in answers if isinstance(a, Problem)] == ["log_forked"]
    assert province.alarms() == ["log_forked"]
    log = province.log(place(COMMUNE))
    assert province.store.leaves(log, 0, 9) == one.leaves
    assert province.store.pending(log, 0, 9) == two.leaves[3:]
    assert two.head().root.hex() in province.rows("SELECT evidence FROM alarm")[0][0]
    other_goes_on(province)


@pytest.mark.parametrize("more", [1, 2, 3])
def test_a_clone_that_wrote_on_hears_of_it_and_its_link_lives(tmp_path: Path, more: int) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    commune.open_case(0)
    commune.open_case(1)
    sync(commune, province)
    clone = new_node(COMMUNE, tmp_path)
    for number in range(more):
        clone.open_case(10 + number)
    for _ in range(4):
        # Links end because leaves that do not add up could be damaged ones, and with the epoch.
        with suppress(LinkError):
            Link(clone, province).run()
    assert clone.alarms()[0] == "log_forked"
    assert clone.replica.epoch == 1
    # Of both, everything stands.
    cases = "SELECT id FROM document ORDER BY id"
    assert len(clone.rows(cases)) == 2 + more
    assert clone.rows(cases) == province.rows(cases)
    # What the province has to say still reaches it.
    directive = mint_document_id(NOW_MS, random.Random(1))
    issued = DirectiveIssued(to_codes=(COMMUNE,), due_on=date(2026, 12, 1))
    province.write(directive, kind="directive", texts={"body": ""}, events=[issued])
    Link(clone, province).run()
    assert clone.rows("SELECT kind FROM document WHERE id = ?", directive) == [("directive",)]


# Frames, acknowledgements, cosignatures


def test_leaves_and_heads_of_a_log_that_was_not_offered_end_the_link(province: Node) -> None:
    builder = case_log()
    for message in (frame(builder), builder.head()):
        assert refused(province, child_link(province), message) == "frame_foreign"
    tell(province, child_link(province), *all_of(builder))
    session = child_link(province, NEIGHBOUR)
    assert refused(province, session, frame(builder)) == "frame_foreign"


def test_too_many_leaves_without_a_head_end_the_link(province: Node) -> None:
    builder, session = case_log(), child_link(province)
    far = replace(frame(builder), first_seq=PENDING_LEAVES_MAX - 2)
    assert refused(province, session, builder.hello(), far) == "head_overdue"
    near = replace(far, first_seq=PENDING_LEAVES_MAX - 3)
    tell(province, session, builder.hello(), near)
    assert province.rows("SELECT count(*) FROM pending_leaf") == [(3,)]


def test_the_first_copy_of_a_pending_leaf_stays(province: Node) -> None:
    builder, session = case_log(), child_link(province)
    tell(province, session, builder.hello(), frame(builder))
    other = replace(frame(builder), first_seq=1, leaves=(b"y", b"z"))
    tell(province, session, other, builder.head())
    assert province.values(DOCUMENT) == {"title": "một"}


def test_an_acknowledgement_of_a_log_that_was_not_offered_ends_the_link(province: Node) -> None:
    ack = Ack(log=bytes(16), have_seq=0, gaps=(), cosignatures=())
    assert refused(province, child_link(province), ack) == "ack_foreign"


def commune_with_link(tmp_path: Path) -> tuple[Node, Session, bytes]:
    commune = new_node(COMMUNE, tmp_path)
    commune.open_case()
    session = parent_link(commune, PROVINCE)
    with commune.transaction():
        session.pump(NOW_MS)
    return commune, session, log_id(commune.peer_id, "up", 0)


def cosigned_ack(commune: Node, log: bytes, by: str = PROVINCE, **said: Any) -> Ack:
    size = commune.log(commune.place).size
    made: Cosignature = cosign(
        place(by).key, key_name(by), commune.log(commune.place).head(), NOW_MS // 1000
    )
    honest = Cosigned(
        peer_id=made.peer_id, size=size, timestamp_s=made.timestamp_s, signature=made.signature
    )
    return Ack(log=log, have_seq=size, gaps=(), cosignatures=(replace(honest, **said),))


@pytest.mark.parametrize("said", [{"signature": bytes(64)}, {"timestamp_s": 5}, {"size": 2}])
def test_a_cosignature_counts_only_if_it_holds(tmp_path: Path, said: dict[str, Any]) -> None:
    commune, session, log = commune_with_link(tmp_path)
    false = cosigned_ack(commune, log, **said)
    ends = Problem(code="log_forked", detail="the peer cosigned another version")
    assert tell(commune, session, false, false) == [ends]
    assert commune.rows("SELECT * FROM cosignature") == []
    assert commune.alarms() == [], "said on one link only, it may be damaged"
    assert refused(commune, session) == "log_forked"
    again = parent_link(commune, PROVINCE)
    tell(commune, again)
    tell(commune, again, false)
    assert commune.alarms() == ["log_forked"], "the peer stores another log than ours"
    assert tell(commune, again) == []


def test_a_true_cosignature_counts(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    tell(commune, session, cosigned_ack(commune, log))
    assert commune.store.cosigned_size(commune.log(commune.place), Tier.PROVINCE) == 3


def test_a_forged_cosignature_of_a_third_ends_the_link(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    with commune.transaction():
        commune.store.put_peer(place(CENTRE).as_peer(is_child=False))
    honest = cosigned_ack(commune, log, by=CENTRE)
    forged = replace(honest, cosignatures=(replace(honest.cosignatures[0], timestamp_s=5),))
    assert refused(commune, session, forged) == "cosignature_forged"
    assert commune.rows("SELECT * FROM cosignature") == []
    # Neither is what else the message said believed.
    assert commune.store.cursor(commune.log(commune.place), place(PROVINCE).key.peer_id) == 0
    tell(commune, session, honest)
    assert commune.store.cosigned_size(commune.log(commune.place), Tier.CENTRE) == 3


def test_a_cosignature_of_somebody_unknown_or_of_what_is_not_here_is_left_alone(
    tmp_path: Path,
) -> None:
    commune, session, log = commune_with_link(tmp_path)
    tell(commune, session, cosigned_ack(commune, log, by=CENTRE))
    tell(commune, session, cosigned_ack(commune, log, size=99))
    tell(commune, session, cosigned_ack(commune, log, by=COMMUNE))
    assert commune.rows("SELECT * FROM cosignature") == []


def test_somebody_else_cannot_cosign_in_the_name_of_a_tier(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    with commune.transaction():
        commune.store.put_peer(place(CENTRE).as_peer(is_child=False))
    ack = cosigned_ack(commune, log, by=NEIGHBOUR, peer_id=place(CENTRE).key.peer_id)
    assert refused(commune, session, ack) == "cosignature_forged"


def test_a_peer_that_claims_more_than_there_is_stops_the_log(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    boast = Ack(log=log, have_seq=9, gaps=(), cosignatures=())
    ends = Problem(code="log_behind", detail="the peer holds more of this log than we do")
    assert tell(commune, session, boast, boast) == [ends]
    assert commune.alarms() == []
    assert refused(commune, session) == "log_behind"
    again = parent_link(commune, PROVINCE)
    tell(commune, again)
    tell(commune, again, boast)
    assert commune.alarms() == ["log_behind"]
    assert tell(commune, again) == []


def test_a_claim_that_is_not_repeated_on_the_next_link_is_forgotten(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    tell(commune, session, boast := Ack(log=log, have_seq=9, gaps=(), cosignatures=()))
    session = parent_link(commune, PROVINCE)
    tell(commune, session)
    tell(commune, session, cosigned_ack(commune, log))
    assert commune.store.cosigned_size(commune.log(commune.place), Tier.PROVINCE) == 3
    session = parent_link(commune, PROVINCE)
    tell(commune, session)
    tell(commune, session, boast)
    assert commune.alarms() == []


def test_gaps_of_nonsense_hurt_nobody(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    nonsense = ((0, 0), (1 << 50, 1 << 50), (2, 1 << 53), (0, 1))
    tell(commune, session, Ack(log=log, have_seq=0, gaps=nonsense, cosignatures=()))
    tell(commune, session, cosigned_ack(commune, log))
    assert commune.alarms() == []
    assert not session.waits


def test_a_problem_of_the_link_ends_it_and_one_of_a_log_stops_that(tmp_path: Path) -> None:
    commune, session, log = commune_with_link(tmp_path)
    with pytest.raises(LinkError) as caught:
        tell(commune, session, Problem(code="clock_wrong", detail="x"))
    assert caught.value.code == "clock_wrong"
    with pytest.raises(LinkError):
        tell(commune, session, Problem(code="x", detail="x", log=bytes(16)))
    stops = Problem(code="log_forked", detail="x", log=log)
    tell(commune, session, stops, replace(stops, detail="again"))
    assert commune.log(commune.place).fault == "log_forked"
    assert commune.rows("SELECT count(*) FROM alarm WHERE evidence != ''") == [(1,)]
