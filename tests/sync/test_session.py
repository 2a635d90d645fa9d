"""Two and three nodes that talk end with the same records, whatever the line loses.

Method: real replicas in memory with a line between their sessions that counts, loses and cuts
messages on command; time is an argument.
"""

import random
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codes import Tier
from schemas.ids import DocumentId
from schemas.limits import FRAME_BYTES_MAX, FRAME_LEAVES_MAX, OFFERS_MAX, WINDOW_BYTES_MIN
from schemas.wire import Ack, Frame, Head, Hello, Message, encode_message
from sync.errors import LinkError
from sync.log import HEAD_STEP
from sync.session import POLL_MS, RETRY_MS, Session
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    NOW,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    handle,
    leaf_count,
    new_node,
    noise,
    place,
    sync,
)


def cosigned(node: Node, owner: Node, tier: Tier) -> int:
    return node.store.cosigned_size(node.log(owner.place), tier)


def kinds(link: Link, *, from_parent: bool) -> list[type[Message]]:
    return [type(message) for sender, message in link.sent if sender is from_parent]


def acks(link: Link) -> list[Ack]:
    return [message for _, message in link.sent if isinstance(message, Ack)]


def frames(link: Link) -> list[Frame]:
    return [message for _, message in link.sent if isinstance(message, Frame)]


# One link


def test_a_first_meeting_takes_one_message_each_way_and_one_answer(
    commune: Node, province: Node
) -> None:
    case = commune.open_case()
    link = Link(commune, province).run()
    assert kinds(link, from_parent=False)[:3] == [Hello, Frame, Head]
    assert len(acks(link)) == 2, "one for each log, up and down"
    assert province.values(case) == commune.values(case)
    size = commune.log(commune.place).size
    assert cosigned(commune, commune, Tier.PROVINCE) == size
    assert cosigned(province, commune, Tier.PROVINCE) == size


def test_when_nothing_changed_only_greetings_are_exchanged(
    commune: Node, province: Node, centre: Node
) -> None:
    for number in range(5):
        commune.open_case(number)
    sync(commune, province)
    # The greeting also asks whether the centre has it by now.
    link = Link(commune, province).run()
    assert kinds(link, from_parent=False) == [Hello]
    assert kinds(link, from_parent=True) == [Hello]
    sync(province, centre)
    link = Link(commune, province).run()
    assert Head not in kinds(link, from_parent=False)
    assert Ack in kinds(link, from_parent=True)
    assert cosigned(commune, commune, Tier.CENTRE) == commune.log(commune.place).size
    for _ in range(2):
        sync(province, centre)
        sync(commune, province)
    link = Link(commune, province).run()
    assert kinds(link, from_parent=False) == kinds(link, from_parent=True) == [Hello]
    assert not link.step(), "and then nobody says a word"


def test_a_new_link_starts_where_the_last_one_ended(commune: Node, province: Node) -> None:
    commune.open_case(0)
    sync(commune, province)
    held = commune.log(commune.place).size
    commune.open_case(1)
    link = Link(commune, province).run()
    assert [frame.first_seq for frame in frames(link)] == [held]
    assert sum(leaf_count(frame) for frame in frames(link)) == 1


def test_what_is_written_while_the_link_is_open_goes_at_once(commune: Node, province: Node) -> None:
    link = Link(commune, province).run()
    said = len(link.sent)
    case = commune.open_case()
    link.run()
    assert province.values(case) == commune.values(case)
    fresh = link.sent[said:]
    assert [type(m) for sender, m in fresh if not sender] == [Hello, Frame, Head]
    said = len(link.sent)
    commune.write(case, fields={"title": "mới"})
    link.run()
    assert [(sender, type(m)) for sender, m in link.sent[said:]] == [
        (False, Frame),
        (False, Head),
        (True, Ack),
    ]
    assert province.values(case) == {"title": "mới"}


def test_records_travel_both_ways_at_once(commune: Node, province: Node) -> None:
    up = commune.open_case()
    sync(commune, province)
    province.write(up, fields={"location": "Mỹ Lý"})
    commune.write(up, fields={"title": "mới"})
    sync(commune, province)
    expected = {"title": "mới", "location": "Mỹ Lý"}
    assert commune.values(up) == province.values(up) == expected
    # What came down does not go up again, nor what came up down again.
    link = Link(commune, province).run()
    assert frames(link) == []


# Three tiers


def test_the_logs_of_a_commune_reach_the_centre_as_they_are(
    commune: Node, province: Node, centre: Node
) -> None:
    case = commune.open_case()
    sync(commune, province)
    sync(province, centre)
    assert centre.values(case) == commune.values(case)
    log, copy = commune.log(commune.place), centre.log(commune.place)
    assert (copy.size, copy.frontier.root(), copy.head_signature) == (
        log.size,
        log.frontier.root(),
        log.head_signature,
    )
    assert centre.store.leaves(copy, 0, 9) == commune.store.leaves(log, 0, 9)


def test_the_centres_cosignature_comes_down_to_the_commune(
    commune: Node, province: Node, centre: Node
) -> None:
    commune.open_case()
    sync(commune, province)
    assert cosigned(commune, commune, Tier.CENTRE) == 0
    sync(province, centre)
    assert cosigned(province, commune, Tier.CENTRE) == province.log(commune.place).size
    assert cosigned(commune, commune, Tier.CENTRE) == 0
    # The centre's certificate comes first, in the down log; the next answer counts.
    for _ in range(2):
        link = Link(commune, province)
        link.now_ms += POLL_MS
        link.run()
    assert cosigned(commune, commune, Tier.CENTRE) == commune.log(commune.place).size


def test_on_open_links_a_cosignature_comes_down_by_itself(
    commune: Node, province: Node, centre: Node
) -> None:
    lower, upper = Link(commune, province).run(), Link(province, centre).run()
    commune.open_case()
    for _ in range(4):
        lower.run()
        upper.run()
    case = commune.open_case(1)
    said = len(lower.sent)
    for _ in range(4):
        lower.run()
        upper.run()
    size = commune.log(commune.place).size
    assert cosigned(commune, commune, Tier.CENTRE) == size
    assert centre.values(case) == commune.values(case)
    answers = [m for _, m in lower.sent[said:] if isinstance(m, Ack)]
    assert len(answers) == 2, "the province's own, then the centre's"


def test_a_cosigned_size_never_goes_back(commune: Node, province: Node, centre: Node) -> None:
    sizes = []
    rng = random.Random(4)
    for number in range(12):
        commune.open_case(number)
        for child, parent in rng.sample([(commune, province), (province, centre)] * 2, 3):
            link = Link(child, parent)
            link.lose = lambda *_: rng.random() < 0.3
            with suppress(LinkError):
                link.run()
            log = commune.log(commune.place)
            sizes.append({tier: size for size, tier, _ in commune.store.cosignatures(log)})
            assert all(size <= log.size for size in sizes[-1].values())
    for earlier, later in pairwise(sizes):
        assert all(later[tier] >= size for tier, size in earlier.items())


def test_nothing_is_cosigned_before_it_is_stored(commune: Node, province: Node) -> None:
    commune.open_case()
    link = Link(commune, province)
    link.lose = lambda _, message: isinstance(message, Frame)
    link.run()
    assert province.rows("SELECT * FROM cosignature") == []
    assert [ack.cosignatures for ack in acks(link)] == [()] * len(acks(link))
    assert province.log(commune.place).size == 0


# Loss


def say_everything(commune: Node, province: Node) -> DocumentId:
    """Let both sides have something new to say."""
    case = commune.open_case()
    sync(commune, province)
    commune.write(case, fields={"title": "mới"})
    commune.open_case(1)
    province.write(case, fields={"location": "Mỹ Lý"})
    return case


def same_everywhere(*nodes: Node) -> None:
    shown = [
        sorted(node.rows("SELECT id, kind, origin FROM document"))
        + sorted(node.rows("SELECT document, hash FROM change GROUP BY document, hash"))
        for node in nodes
    ]
    assert all(each == shown[0] for each in shown)
    for node in nodes:
        assert node.alarms() == node.dead_letters() == []
        assert node.rows("SELECT * FROM waiting_change") == []
        assert node.rows("SELECT * FROM pending_leaf") == []


def count_messages(folder: Path) -> int:
    commune, province = new_node(COMMUNE, folder), new_node(PROVINCE, folder)
    say_everything(commune, province)
    return len(Link(commune, province).run().sent)


def test_any_single_message_may_be_lost(tmp_path: Path) -> None:
    for number in range(count_messages(tmp_path)):
        commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
        case = say_everything(commune, province)
        link = Link(commune, province)
        link.lose = lambda *_, at=number, of=link: len(of.sent) == at + 1
        try:
            link.run()
            # The same link heals by itself when nobody answers for a while.
            for wait_ms in (RETRY_MS, POLL_MS):
                link.now_ms += wait_ms
                link.run()
        except LinkError:
            # Leaves of a log that was never offered: the greeting was lost.
            assert isinstance(link.sent[number][1], Hello)
            sync(commune, province)
        same_everywhere(commune, province)
        assert commune.values(case) == {"title": "mới", "location": "Mỹ Lý"}
        assert cosigned(commune, commune, Tier.PROVINCE) == commune.log(commune.place).size


def test_the_link_may_be_cut_after_any_message(tmp_path: Path) -> None:
    for number in range(count_messages(tmp_path) + 1):
        commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
        say_everything(commune, province)
        link = Link(commune, province)
        link.lose = lambda *_, at=number, of=link: len(of.sent) > at
        link.run()
        sync(commune, province)
        same_everywhere(commune, province)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 20))
def test_three_nodes_agree_after_any_line(seed: int) -> None:
    rng, nowhere = random.Random(seed), Path("nowhere")
    nodes = [new_node(code, nowhere) for code in (COMMUNE, PROVINCE, CENTRE)]
    cases: list[DocumentId] = []
    for number in range(6):
        node = rng.choice(nodes[:2])
        known = [case for case in cases if node.values(case)]
        if known and rng.random() < 0.6:
            node.write(rng.choice(known), NOW_MS + number, fields={"title": f"{number}"})
        else:
            cases.append(nodes[0].open_case(number))
        lower = rng.randrange(2)
        link = Link(nodes[lower], nodes[lower + 1])
        link.lose = lambda *_: rng.random() < 0.2
        with suppress(LinkError):
            link.run()
    for _ in range(3):
        sync(nodes[0], nodes[1])
        sync(nodes[1], nodes[2])
    same_everywhere(*nodes)
    values = [[node.values(case) for case in cases] for node in nodes]
    assert values[0] == values[1] == values[2]


def test_a_gap_is_told_and_filled_alone(commune: Node, province: Node) -> None:
    for number in range(8):
        commune.open_case(number, title=noise(900, number))
    link = Link(commune, province)
    dropped: list[Frame] = []

    def lose(_: bool, message: Message) -> bool:
        if isinstance(message, Frame) and len(frames(link)) == 2 and not dropped:
            dropped.append(message)
            return True
        return False

    link.lose = lose
    link.run()
    gap = (dropped[0].first_seq, leaf_count(dropped[0]))
    end = (commune.log(commune.place).size, 0)
    assert [ack.gaps for ack in acks(link) if ack.gaps][-1] == (gap, end)
    assert province.log(commune.place).size == 0
    assert not link.step()
    sent = len(link.sent)
    link.now_ms += RETRY_MS
    link.run()
    again = [message for _, message in link.sent[sent:] if isinstance(message, Frame)]
    # What arrived behind the gap does not go again.
    assert [(frame.first_seq, leaf_count(frame)) for frame in again] == [gap]
    same_everywhere(commune, province)


def test_a_receiver_that_lost_its_data_gets_everything_again(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    cases = [commune.open_case(number) for number in range(3)]
    sync(commune, province)
    log = commune.log(commune.place)
    assert commune.store.cursor(log, province.peer_id) == log.size
    empty = new_node(PROVINCE, tmp_path)
    link = Link(commune, empty).run()
    offered = [m.offers for sender, m in link.sent if isinstance(m, Hello) and not sender]
    assert offered[0][0].from_seq == log.size
    assert [empty.values(case) for case in cases] == [commune.values(case) for case in cases]
    assert commune.alarms() == empty.alarms() == []


def test_a_parent_that_lost_a_log_downwards_says_so_and_gets_it_back(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case()
    sync(commune, province)
    for number in range(3):
        province.write(case, fields={"title": f"{number}"})
    sync(commune, province)
    empty = new_node(PROVINCE, tmp_path)
    with pytest.raises(LinkError, match="new epoch"):
        Link(commune, empty).run()
    assert "log_behind" in empty.alarms()
    for _ in range(2):
        sync(commune, empty)
    assert [log.fault for log in empty.store.logs() if log.fault] == []
    # Nothing that the commune had is gone, and the other has it too.
    assert commune.values(case) == empty.values(case) == {"title": "2"}


def test_a_relay_that_lost_a_log_gets_it_again_from_its_owner(
    tmp_path: Path, commune: Node, province: Node, centre: Node
) -> None:
    commune.open_case()
    sync(commune, province)
    sync(province, centre)
    empty = new_node(PROVINCE, tmp_path)
    sync(commune, empty)
    commune.open_case(1)
    sync(commune, empty)
    Link(empty, centre).run()
    assert centre.alarms() == empty.alarms() == []
    assert centre.log(commune.place).size == commune.log(commune.place).size


# Long logs


def test_a_long_log_goes_in_frames_within_the_window(commune: Node, province: Node) -> None:
    with commune.transaction():
        cases = [write_case(commune, number) for number in range(900)]
    link = Link(commune, province)
    link.step()
    first = [m for sender, m in link.sent if isinstance(m, Frame) and not sender]
    assert all(leaf_count(frame) <= FRAME_LEAVES_MAX for frame in first)
    assert all(len(frame.data) <= FRAME_BYTES_MAX for frame in first)
    in_flight = sum(len(frame.data) for frame in first)
    assert in_flight <= WINDOW_BYTES_MIN
    assert in_flight > WINDOW_BYTES_MIN // 2
    link.run()
    assert province.log(commune.place).size == commune.log(commune.place).size
    assert [province.values(case) for case in cases] == [commune.values(case) for case in cases]


def write_case(node: Node, number: int) -> DocumentId:
    document = DocumentId(number.to_bytes(16, "big"))
    fields = {"title": f"{number} " + noise(300, number)}
    node.replica.write(node.author(), document, now_ms=NOW_MS, kind="case", fields=fields)
    return document


def test_a_very_long_log_is_used_head_by_head(province: Node, centre: Node) -> None:
    builder = LogBuilder(place(COMMUNE))
    for number in range(HEAD_STEP + 5):
        builder.add(99, b"of a newer program", hlc=NOW + number)
    first = LogBuilder(place(COMMUNE))
    first.leaves = builder.leaves[:HEAD_STEP]
    log = builder.put_into(province)
    with province.transaction():
        log.head_signature, log.dirty = builder.head().signature, True
        head = first.head()
        province.store.put_head(log, head.size, head.root, head.signature)
    link = Link(province, centre)
    link.lose = lambda *_, of=link: (
        head.size in [sent.size for _, sent in of.sent[:-1] if isinstance(sent, Head)]
    )
    link.run()
    assert centre.log(place(COMMUNE)).size == HEAD_STEP
    link = Link(province, centre).run()
    assert centre.log(place(COMMUNE)).size == len(builder.leaves)
    assert centre.log(place(COMMUNE)).head() == log.head()


# Patience


def test_a_head_is_repeated_while_nobody_answers_and_not_too_often(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    session = Session(commune.replica, place(PROVINCE).subject, "parent", commune.files)
    with commune.transaction():
        commune.replica.welcome(place(PROVINCE).as_peer(is_child=False))
    first = handle(commune, session, [], NOW_MS)
    assert [type(message) for message in first] == [Hello, Frame, Head]
    assert handle(commune, session, [], NOW_MS + RETRY_MS - 1) == []
    again = handle(commune, session, [], NOW_MS + RETRY_MS)
    assert [encode_message(message) for message in again] == [
        encode_message(message) for message in first[1:]
    ]
    assert handle(commune, session, [], NOW_MS + RETRY_MS + 1) == []
    # A clock that was set back does not keep it quiet for long.
    assert handle(commune, session, [], NOW_MS - 10_000_000) != []


def test_the_cosignature_of_the_top_tier_is_asked_for_now_and_then(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    sent = len(link.sent)
    link.now_ms += POLL_MS - 1
    link.run()
    assert len(link.sent) == sent
    link.now_ms += 1
    link.run()
    assert [type(m) for _, m in link.sent[sent:]] == [Head, Ack]


def test_more_logs_than_one_greeting_holds_are_offered_in_several(
    commune: Node, province: Node
) -> None:
    with province.transaction():
        for number in range(OFFERS_MAX + 3):
            log = province.store.create_log(
                log_id=number.to_bytes(16, "big"), owner=bytes(32), purpose="up", epoch=number,
                tier="commune", code="40.1", source=bytes(32),
            )  # fmt: skip
            log.extend(b"leaf")
            province.store.put_leaf(log, 0, b"leaf")
    session = Session(province.replica, place(CENTRE).subject, "parent", province.files)
    counts = []
    for _ in range(3):
        said = handle(province, session, [])
        counts.append([len(m.offers) for m in said if isinstance(m, Hello)])
    assert counts == [[OFFERS_MAX], [3], []]
