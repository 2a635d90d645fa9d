"""What both sides leave out of messages, and what happens when one side does not know it.

Method: messages of a commune that we play are handed to a province's session, and real links are
watched: references of logs, dictionaries, heads without their root, acknowledgements told once.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.codes import Tier
from schemas.limits import FRAME_LEAVES_MAX
from schemas.wire import PACKED, WITH_DICTIONARY, Ack, Frame, Head, Hello, Message
from sync.document import Edit
from sync.errors import LinkError
from sync.framing import dictionaries
from sync.session import POLL_MS, Kinship, Session
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    DOCUMENT,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    Pen,
    actor,
    handle,
    logs,
    new_node,
    place,
    sync,
    tell,
)

NAMES = tuple(digest[:8] for digest in dictionaries())


def met(node: Node, code: str) -> Session:
    """Return a session of a node with another that we play."""
    is_child = len(code) > len(node.place.subject.code) and node.place.subject.code != CENTRE
    with node.transaction():
        node.replica.welcome(place(code).as_peer(is_child=is_child))
    kin: Kinship = "child" if is_child else "parent"
    return Session(node.replica, place(code).subject, kin, node.files)


def greeting(*known: bytes) -> Hello:
    return Hello(version=1, now_ms=NOW_MS, offers=(), dictionaries=known)


def case_log() -> LogBuilder:
    edit = Edit(kind="case", fields={"title": "một"}, texts={"summary": ""})
    return logs(COMMUNE)[COMMUNE].change(Pen().write(actor(COMMUNE), edit).raw)


def leaves_of(builder: LogBuilder) -> Frame:
    return Frame(log=b"\0", priority=2, first_seq=0, leaves=tuple(builder.leaves))


def rootless(builder: LogBuilder) -> Head:
    return replace(builder.head(), log=b"\0", root=b"")


def ended_by(node: Node, session: Session, *messages: Message) -> str:
    with pytest.raises(LinkError) as ended:
        tell(node, session, *messages)
    return ended.value.code


# References


def test_a_reference_counts_the_offers_of_all_greetings_of_a_link(province: Node) -> None:
    one, two = case_log(), replace(LogBuilder(place(COMMUNE)), epoch=1)
    session = met(province, COMMUNE)
    tell(province, session, one.hello(), replace(two.hello(), first=1))
    frame = Frame(log=b"\1", priority=2, first_seq=0, leaves=tuple(two.leaves))
    answers = tell(province, session, frame, replace(two.head(), log=b"\1"))
    assert [answer.log for answer in answers if isinstance(answer, Ack)][-1] == b"\1"
    assert session.log_received(b"\0") == one.log_id
    assert session.log_received(b"\1") == session.log_received(two.log_id) == two.log_id
    assert (province.log(place(COMMUNE), epoch=1).size, province.log(place(COMMUNE)).size) == (2, 0)


@pytest.mark.parametrize("named", [b"\1", b"\xff\xff\xff\xff", bytes(16)])
def test_a_reference_that_was_not_given_ends_the_link(province: Node, named: bytes) -> None:
    builder = case_log()
    for message in (leaves_of(builder), rootless(builder)):
        session = met(province, COMMUNE)
        assert ended_by(province, session, builder.hello(), replace(message, log=named)) == (
            "frame_foreign"
        )
    ack = Ack(log=named, have_seq=0, gaps=(), cosignatures=())
    assert ended_by(province, met(province, COMMUNE), ack) == "ack_foreign"


def test_references_of_a_greeting_that_was_lost_end_the_link(commune: Node, province: Node) -> None:
    case = commune.open_case()
    link = Link(commune, province)
    link.lose = lambda from_parent, message: isinstance(message, Hello) and not from_parent
    with pytest.raises(LinkError) as ended:
        link.run()
    assert ended.value.code == "frame_foreign"
    sync(commune, province)
    assert province.values(case) == commune.values(case)


# Dictionaries


def test_a_frame_under_an_unknown_dictionary_ends_the_link(province: Node) -> None:
    unknown = replace(case_log().hello(), dictionaries=(b"unknown!",))
    frame = Frame(log=b"\0", priority=2, first_seq=0, data=b"data", total=4)
    for hello, coding in (
        (case_log().hello(), WITH_DICTIONARY),
        (unknown, WITH_DICTIONARY),
        (replace(unknown, dictionaries=NAMES), WITH_DICTIONARY + len(NAMES)),
    ):
        session = met(province, COMMUNE)
        message = replace(frame, coding=coding)
        assert ended_by(province, session, hello, message) == "dictionary_unknown"


def codings(messages: list[Message]) -> set[int]:
    return {message.coding for message in messages if isinstance(message, Frame)}


def test_a_peer_is_sent_only_what_it_understands(commune: Node) -> None:
    case = commune.open_case()
    session = met(commune, PROVINCE)
    assert codings(tell(commune, session)) == {PACKED}
    for number, (known, coding) in enumerate(
        [
            ((), PACKED),
            ((b"unknown!",), PACKED),
            ((b"unknown!", *NAMES), WITH_DICTIONARY),
            ((), PACKED),
        ]
    ):
        commune.write(case, fields={"title": f"{number}"})
        assert codings(tell(commune, session, greeting(*known))) == {coding}


def test_a_dictionary_of_an_earlier_session_is_used_at_once(commune: Node) -> None:
    case = commune.open_case()
    tell(commune, met(commune, PROVINCE), greeting(*NAMES))
    commune.write(case, fields={"title": "mới"})
    assert codings(tell(commune, met(commune, PROVINCE))) == {WITH_DICTIONARY}
    # Until the peer says that it understands it no more.
    assert codings(tell(commune, met(commune, PROVINCE), greeting())) == {PACKED}
    assert codings(tell(commune, met(commune, PROVINCE))) == {PACKED}


def test_what_one_peer_understands_says_nothing_of_another(province: Node) -> None:
    province.open_case()
    tell(province, met(province, CENTRE), greeting(*NAMES))
    commune = place(COMMUNE)
    session = met(province, COMMUNE)
    hello = LogBuilder(commune).hello()
    assert codings(tell(province, session, replace(hello, dictionaries=()))) == {PACKED}


# Heads without their root


def test_the_first_head_of_a_link_has_its_root_and_later_ones_do_not(
    commune: Node, province: Node
) -> None:
    case = commune.open_case()
    link = Link(commune, province).run()
    for number in range(3):
        commune.write(case, fields={"title": f"{number}"})
        link.run()
    roots = [len(m.root) for sender, m in link.sent if isinstance(m, Head) and not sender]
    assert roots == [32, 0, 0, 0]
    assert province.values(case) == {"title": "2"}
    sent = len(link.sent)
    link.now_ms += POLL_MS
    link.run()
    assert [len(m.root) for _, m in link.sent[sent:] if isinstance(m, Head)] == [32]


def test_a_head_without_its_root_is_checked_against_the_leaves(province: Node) -> None:
    builder, session = case_log(), met(province, COMMUNE)
    answers = tell(province, session, builder.hello(), leaves_of(builder), rootless(builder))
    assert [c.size for answer in answers if isinstance(answer, Ack) for c in answer.cosignatures]
    assert province.values(DOCUMENT) == {"title": "một"}


@pytest.mark.parametrize("is_known", [False, True])
def test_a_head_without_its_root_before_its_leaves_is_only_acknowledged(
    province: Node, *, is_known: bool
) -> None:
    builder, session = case_log(), met(province, COMMUNE)
    held = 2 if is_known else 0
    tell(province, session, builder.hello())
    if is_known:
        short = LogBuilder(place(COMMUNE), leaves=[])
        short.leaves = builder.leaves[:held]
        tell(province, session, leaves_of(short), replace(short.head(), log=b"\0"))
    (ack,) = tell(province, session, rootless(builder))
    assert isinstance(ack, Ack)
    assert (ack.have_seq, ack.cosignatures) == (held, ())
    assert province.log(place(COMMUNE)).awaited is None
    # Nor do the leaves that come then make it count.
    tell(province, session, leaves_of(builder))
    assert province.log(place(COMMUNE)).size == held
    tell(province, session, rootless(builder))
    assert province.values(DOCUMENT) == {"title": "một"}


def test_a_forged_head_without_its_root_ends_the_link(province: Node) -> None:
    builder = case_log()
    lies = (
        replace(rootless(builder), signature=bytes(64)),
        replace(rootless(builder), size=2),
        replace(rootless(builder), signature=replace(builder, epoch=1).head().signature),
    )
    for lie in lies:
        session = met(province, COMMUNE)
        said = (builder.hello(), leaves_of(builder), lie)
        assert ended_by(province, session, *said) == "head_forged"
    assert province.rows("SELECT * FROM leaf, cosignature") == []
    tell(province, met(province, COMMUNE), builder.hello(), leaves_of(builder), rootless(builder))
    assert province.values(DOCUMENT) == {"title": "một"}
    assert province.alarms() == []


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_an_old_head_without_its_root_changes_nothing(province: Node, size: int) -> None:
    builder, session = case_log(), met(province, COMMUNE)
    tell(province, session, builder.hello(), leaves_of(builder), rootless(builder))
    before = province.log(place(COMMUNE)).head()
    for _ in range(2):
        (ack,) = tell(province, session, replace(rootless(builder), size=size))
        assert isinstance(ack, Ack)
        assert ack.have_seq == 3
    assert province.log(place(COMMUNE)).head() == before
    assert province.alarms() == []


# Acknowledgements


def test_a_cosignature_is_told_once_and_again_when_a_head_is_repeated(
    commune: Node, province: Node
) -> None:
    case = commune.open_case()
    link = Link(commune, province).run()
    commune.write(case, fields={"title": "mới"})
    link.run()
    told = [m.cosignatures for sender, m in link.sent if sender and isinstance(m, Ack)]
    size = commune.log(commune.place).size
    assert [c.size for cosignatures in told for c in cosignatures] == [size - 1, size]
    assert {c.peer_id for cosignatures in told for c in cosignatures} == {b""}, "the sender's own"
    sent = len(link.sent)
    link.now_ms += POLL_MS
    link.run()
    (again,) = [m for _, m in link.sent[sent:] if isinstance(m, Ack)]
    assert [c.size for c in again.cosignatures] == [size]
    assert commune.store.cosigned_size(commune.log(commune.place), Tier.PROVINCE) == size


def test_a_cosignature_that_was_lost_is_asked_for_though_the_centres_came(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node(CENTRE, tmp_path)
    case = commune.open_case()
    for _ in range(2):
        sync(commune, province)
        sync(province, centre)
    lower, upper = Link(commune, province).run(), Link(province, centre).run()
    commune.write(case, fields={"title": "mới"})
    lower.lose = lambda from_parent, message: from_parent and isinstance(message, Ack)
    lower.run()
    lower.lose = lambda *_: False
    upper.run()
    lower.run()
    log = commune.log(commune.place)
    known = [commune.store.cosigned_size(log, tier) for tier in (Tier.PROVINCE, Tier.CENTRE)]
    assert known == [log.size - 1, log.size]
    Link(commune, province).run()
    assert commune.store.cosigned_size(log, Tier.PROVINCE) == log.size


def test_an_offer_of_our_own_log_leaves_its_owner_out(commune: Node, province: Node) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    offers = [(sender, o) for sender, m in link.sent if isinstance(m, Hello) for o in m.offers]
    assert {(sender, offer.owner, offer.purpose) for sender, offer in offers} == {
        (False, b"", "up"),
        (True, b"", "down"),
    }


def test_a_hello_alone_opens_a_link_that_has_nothing_to_offer(province: Node) -> None:
    (hello,) = handle(province, met(province, CENTRE), [])
    assert isinstance(hello, Hello)
    assert (hello.first, hello.dictionaries) == (0, NAMES)
    assert len(hello.offers) <= FRAME_LEAVES_MAX
