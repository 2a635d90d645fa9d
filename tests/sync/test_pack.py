"""Packs carry what a link would, in any order, as often as one likes, and are believed as little.

Method: real replicas in memory; packs as lists of parts, each a list of entries that went through
their bytes; what an evil or damaged neighbour could send is put together by hand.
"""

import random
from collections.abc import Callable
from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from schemas.codes import Tier
from schemas.events import DirectiveIssued
from schemas.ids import DocumentId, mint_document_id
from schemas.limits import PACK_PIECE_BYTES
from schemas.wire import Ack, Chunk, Frame, Head, Hello, Message, Offer, Problem
from sync import pack
from sync.errors import LinkError, LogError
from sync.pack import parts_taken, plan_pack, wanted_files
from sync.pack_entries import End, Messages, Piece, encode_entry
from tests.sync.builders import (
    COMMUNE,
    DERIVED,
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
from tests.sync.packs import TRUTH, Pack, attach, carry, make, scan, sha, take


def direct(node: Node, *codes: str) -> DocumentId:
    document = mint_document_id(NOW_MS, random.Random(7))
    issued = DirectiveIssued(to_codes=codes, due_on=date(2026, 12, 1))
    node.write(document, kind="directive", texts={"body": ""}, events=[issued])
    return document


def cosigned(node: Node, tier: Tier) -> int:
    return node.store.cosigned_size(node.log(node.place), tier)


# There and back


def test_packs_alone_carry_records_up_and_word_of_them_back(
    commune: Node, province: Node, centre: Node
) -> None:
    case = commune.open_case()
    carry(commune, province)
    carry(province, centre)
    directive = direct(centre, COMMUNE)
    carry(centre, province)
    carry(province, commune)
    assert centre.values(case) == province.values(case) == commune.values(case)
    size = commune.log(commune.place).size
    assert cosigned(commune, Tier.PROVINCE) == cosigned(commune, Tier.CENTRE) == size
    assert commune.rows("SELECT kind FROM document WHERE id = ?", directive) == [("directive",)]
    assert commune.alarms() + province.alarms() + centre.alarms() == []


def test_making_a_pack_changes_nothing(commune: Node, province: Node) -> None:
    commune.open_case()
    sync(commune, province)
    commune.open_case(1)
    before = tables(commune, TRUTH)
    assert make(commune, province).parts == make(commune, province).parts
    assert tables(commune, TRUTH) == before


def test_a_lost_pack_is_made_up_for_by_the_next(commune: Node, province: Node) -> None:
    commune.open_case(0)
    make(commune, province)
    case = commune.open_case(1)
    carry(commune, province)
    assert province.values(case) == commune.values(case)


def test_what_was_acknowledged_is_not_taken_along_again(commune: Node, province: Node) -> None:
    commune.open_case(0)
    carry(commune, province)
    held = commune.log(commune.place).size
    assert make(commune, province).frames(), "no word came back yet"
    carry(province, commune)
    made = make(commune, province)
    assert made.frames() == []
    commune.open_case(1)
    assert [frame.first_seq for frame in make(commune, province).frames()] == [held]
    everything = make(commune, province, everything=True)
    assert [frame.first_seq for frame in everything.frames()] == [0]


def test_a_link_goes_on_where_packs_ended_and_packs_where_a_link_did(
    commune: Node, province: Node
) -> None:
    commune.open_case(0)
    carry(commune, province)
    carry(province, commune)
    commune.open_case(1)
    sync(commune, province)
    assert make(commune, province).frames() == []
    case = commune.open_case(2)
    carry(commune, province)
    sync(commune, province)
    assert province.values(case) == commune.values(case)
    assert cosigned(commune, Tier.PROVINCE) == commune.log(commune.place).size


def test_a_head_that_a_cut_kept_back_comes_by_pack(commune: Node, province: Node) -> None:
    """Leaves can be acknowledged before their head came; the pack then brings the head alone."""
    commune.open_case()
    made = make(commune, province)
    for part in made.parts:
        for entry in list(part):
            if isinstance(entry, Messages):
                kept = tuple(m for m in entry.messages if isinstance(m, Hello | Frame))
                part[part.index(entry)] = Messages(kept)
    take(province, made)
    log = commune.log(commune.place)
    assert province.log(commune.place).size == 0
    with commune.transaction():
        commune.store.set_cursor(log, province.peer_id, log.size)
    again = make(commune, province)
    assert again.frames() == []
    take(province, again)
    assert province.log(commune.place).size == log.size


# Any order, again and again


def test_parts_in_any_order_give_the_same_records(commune: Node, tmp_path: Path) -> None:
    data = scan(PACK_PIECE_BYTES)
    for number in range(6):
        commune.open_case(number)
    attach(commune, data, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "PACK_LEAVES_BYTES", 500)
        made = make(commune, new_node(PROVINCE, tmp_path), split_after=2)
    assert 3 <= len(made.parts) <= 5
    seen = []
    for number, order in enumerate(permutations(range(1, len(made.parts) + 1))):
        province = new_node(PROVINCE, tmp_path / str(number))
        for at, part in enumerate(order, start=1):
            take(province, made, [part])
            taken = parts_taken(province.replica, commune.place.subject)
            assert taken is not None
            assert sorted(order[:at]) == list(taken.parts)
            assert not set(taken.missing) & set(order[:at])
        taken = parts_taken(province.replica, commune.place.subject)
        assert taken is not None
        assert taken.missing == []
        assert taken.total == len(made.parts)
        assert province.files.holds(sha(data))
        assert province.alarms() == []
        seen.append(tables(province, ("leaf", "pending_leaf", *DERIVED)))
    assert all(found == seen[0] for found in seen)
    assert seen[0]["pending_leaf"] == []


def test_a_pack_taken_in_again_changes_nothing(commune: Node, province: Node) -> None:
    attach(commune, scan(1_000))
    made = make(commune, province)
    take(province, made)
    before = tables(province, TRUTH)
    outcome = take(province, made)
    assert tables(province, TRUTH) == before
    assert (outcome.files_new, len(outcome.files_known)) == (set(), 1)


def test_an_older_pack_takes_nothing_back(commune: Node, province: Node) -> None:
    commune.open_case(0)
    carry(commune, province)
    old = make(province, commune, made_ms=NOW_MS)
    commune.open_case(1)
    carry(commune, province, made_ms=NOW_MS + 1)
    take(commune, make(province, commune, made_ms=NOW_MS + 1))
    before = tables(commune, TRUTH)
    take(commune, old)
    assert tables(commune, TRUTH) == before


def test_a_peer_that_lost_data_gets_it_again(commune: Node, province: Node, tmp_path: Path) -> None:
    case = commune.open_case()
    carry(commune, province)
    carry(province, commune)
    restored = new_node(PROVINCE, tmp_path / "restored")
    commune.open_case(1)
    carry(commune, restored, made_ms=NOW_MS + 1)
    carry(restored, commune, made_ms=NOW_MS + 1)
    carry(commune, restored, made_ms=NOW_MS + 2)
    assert restored.values(case) == commune.values(case)


def test_the_missing_parts_are_named(commune: Node, province: Node) -> None:
    for number in range(6):
        commune.open_case(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "PACK_LEAVES_BYTES", 500)
        made = make(commune, province, split_after=1)
    last = len(made.parts)
    assert last > 3
    take(province, made, [2, last])
    taken = parts_taken(province.replica, commune.place.subject)
    assert taken is not None
    assert taken.missing == [part for part in range(1, last) if part != 2]
    assert province.log(commune.place).size == 0
    take(province, made, taken.missing)
    assert province.log(commune.place).size == commune.log(commune.place).size


def test_a_long_log_comes_with_heads_on_the_way_and_large_leaves_alone(
    commune: Node, province: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.replica.HEAD_STEP", 16)
    for number in range(30):
        text = random.Random(number).randbytes(20_000).hex() if number % 10 == 9 else ""
        document = mint_document_id(NOW_MS, random.Random(number))
        commune.write(document, kind="case", fields={}, texts={"summary": text})
    monkeypatch.setattr(pack, "PACK_LEAVES_BYTES", 3_000)
    made = make(commune, province)
    sizes = [len(encode_entry(entry)) for entry in made.parts[0]]
    assert max(sizes) < 45_000, "a large leaf takes nothing along"
    take(province, made)
    assert province.log(commune.place).size == commune.log(commune.place).size


def test_a_leaf_that_is_gone_is_told(commune: Node, province: Node) -> None:
    commune.open_case()
    commune.store.db.execute("DELETE FROM leaf")
    with pytest.raises(LogError):
        make(commune, province)


# What a neighbour may not do


def test_a_forked_log_is_stopped_and_all_others_go_on(
    commune: Node, province: Node, tmp_path: Path
) -> None:
    clone = new_node(COMMUNE, tmp_path / "clone")
    commune.open_case(0)
    carry(commune, province)
    clone.open_case(5)
    clone.open_case(6)
    before = tables(province, ("leaf", *DERIVED))
    outcome = carry(clone, province, made_ms=NOW_MS + 1)
    if outcome.is_in_doubt:
        outcome = carry(clone, province, made_ms=NOW_MS + 1)
    assert [code for _, code, _ in outcome.problems] == ["log_forked"]
    assert province.alarms() == ["log_forked"]
    assert tables(province, ("leaf", *DERIVED)) == before
    # The neighbour's log is none of it, and the commune hears of it.
    neighbour = new_node(NEIGHBOUR, tmp_path)
    case = neighbour.open_case()
    carry(neighbour, province)
    assert province.values(case)
    told = carry(province, commune, made_ms=NOW_MS + 1)
    assert [code for _, code, _ in told.problems] == ["log_forked"]
    assert commune.alarms() == ["log_forked"]
    plan = plan_pack(commune.replica, province.place.subject, "parent")
    assert [log.log_id for log in plan.stopped] == [commune.log(commune.place).log_id]
    take(commune, make(province, commune, made_ms=NOW_MS + 2))
    assert commune.alarms() == ["log_forked"], "said once"


def test_leaves_that_were_damaged_earlier_are_thrown_away_and_come_again(
    commune: Node, province: Node, tmp_path: Path
) -> None:
    commune.open_case()
    made = make(commune, province)
    other = new_node(PROVINCE, tmp_path / "other")
    with other.transaction():
        other.replica.welcome(commune.place.as_peer(is_child=True))
        subject = commune.place.subject
        log = other.replica.inbound.accept_offer(commune.peer_id, "up", 0, subject, NOW_MS)
        other.store.put_pending(log, 2, [b"damaged on the way"])
    assert take(other, made).is_in_doubt
    assert other.log(commune.place).size == 0
    assert not take(other, made).is_in_doubt
    assert other.log(commune.place).size == commune.log(commune.place).size


def forged(sender: Node, *messages: Message) -> Pack:
    return Pack(sender, [[Messages(messages), End(True)]], bytes(16), NOW_MS)


def _log_of_the_neighbour(_: Node) -> list[Message]:
    log = LogBuilder(place(NEIGHBOUR))
    frame = Frame(log=log.log_id, priority=2, first_seq=0, leaves=tuple(log.leaves))
    return [log.hello(), frame, log.head()]


def _words_of_the_parent(commune: Node) -> list[Message]:
    offer = Offer(owner=commune.peer_id, purpose="down", epoch=0, from_seq=0, size=1)
    return [Hello(version=1, now_ms=0, offers=(offer,))]


def _unknown_version(_: Node) -> list[Message]:
    return [Hello(version=2, now_ms=0, offers=())]


def _chunk(_: Node) -> list[Message]:
    return [Chunk(sha256=bytes(8), offset=0, total=1, data=b"x")]


def _not_offered(_: Node) -> list[Message]:
    return [Frame(log=bytes(16), priority=2, first_seq=0, leaves=(b"x",))]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (_log_of_the_neighbour, "offer_foreign"),
        (_words_of_the_parent, "offer_foreign"),
        (_unknown_version, "version_unknown"),
        (_chunk, "pack_malformed"),
        (_not_offered, "frame_foreign"),
    ],
)
def test_what_a_neighbour_may_not_send_is_refused_and_nothing_stays(
    commune: Node, province: Node, messages: Callable[[Node], list[Message]], code: str
) -> None:
    before = tables(province, TRUTH)
    with pytest.raises(LinkError) as caught:
        take(province, forged(commune, *messages(commune)))
    assert caught.value.code == code
    assert tables(province, TRUTH) == before


def test_an_acknowledgement_of_a_log_that_is_not_here_is_reported(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    stray = Ack(log=bytes(16), have_seq=9, gaps=(), cosignatures=())
    outcome = take(commune, forged(province, stray, Problem(code="x", detail="y", log=bytes(16))))
    assert [code for _, code, _ in outcome.problems] == ["ack_foreign"]


def test_a_peer_that_holds_more_than_we_do_stops_the_log(commune: Node, province: Node) -> None:
    commune.open_case()
    log = commune.log(commune.place)
    boast = Ack(log=log.log_id, have_seq=99, gaps=(), cosignatures=())
    take(commune, forged(province, boast))
    assert commune.alarms() == ["log_behind"]


# Files


def test_files_go_by_choice(commune: Node, province: Node) -> None:
    first, second = scan(PACK_PIECE_BYTES * 2 + 1, 1), scan(10, 2)
    attach(commune, first, 0)
    carry(commune, province, files="none")
    assert not province.files.holds(sha(first))
    with commune.transaction():
        log = commune.log(commune.place)
        commune.store.set_cursor(log, province.peer_id, log.size)
    attach(commune, second, 1)
    carry(commune, province, files="missing")
    assert province.files.holds(sha(second))
    assert not province.files.holds(sha(first)), "of a record that went earlier"
    carry(commune, province, files="all")
    assert province.files.read(sha(first), 0, len(first)) == (len(first), first)


def test_files_that_the_peer_asks_for_go_with_the_next_pack(commune: Node, province: Node) -> None:
    data = scan(500)
    attach(commune, data)
    carry(commune, province, files="none")
    carry(province, commune)
    assert wanted_files(commune.replica, province.place.subject) == [sha(data)]
    outcome = carry(commune, province, made_ms=NOW_MS + 1)
    assert outcome.files_new == {sha(data)}
    carry(province, commune, made_ms=NOW_MS + 1)
    assert wanted_files(commune.replica, province.place.subject) == []


def test_a_child_gets_files_of_what_concerns_it_only(
    commune: Node, province: Node, tmp_path: Path
) -> None:
    neighbour = new_node(NEIGHBOUR, tmp_path)
    data = scan(500)
    attach(commune, data)
    carry(commune, province)
    neighbour.open_case()
    carry(neighbour, province)
    for receiver in (commune, neighbour):
        made = make(province, receiver, files="all")
        assert not any(isinstance(entry, Piece) for part in made.parts for entry in part)


def test_a_file_goes_on_from_the_part_of_it_that_is_here(commune: Node, province: Node) -> None:
    data = scan(PACK_PIECE_BYTES * 2)
    attach(commune, data)
    province.files.append(sha(data), data[: PACK_PIECE_BYTES + 7])
    assert carry(commune, province).files_new == {sha(data)}
    assert province.files.read(sha(data), 0, len(data)) == (len(data), data)


def test_a_file_that_does_not_fit_its_name_is_not_kept(commune: Node, province: Node) -> None:
    data = scan(100)
    attach(commune, data)
    province.files.append(sha(data), b"damaged")
    made = make(commune, province)
    assert take(province, made).files_refused == {sha(data): "file_damaged"}
    assert not province.files.holds(sha(data))
    assert take(province, made).files_new == {sha(data)}


def test_a_file_without_its_beginning_is_told(commune: Node, province: Node) -> None:
    piece = Piece(sha256=sha(b"x"), offset=5, total=9, data=b"last")
    made = Pack(commune, [[piece, End(True)]], bytes(16), NOW_MS)
    assert take(province, made).files_refused == {sha(b"x"): "file_incomplete"}


def test_a_node_that_takes_no_files_says_so(
    commune: Node, province: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = scan(100)
    attach(commune, data)
    monkeypatch.setattr(province.files, "may_fetch", lambda _size: False)
    assert carry(commune, province).files_refused == {sha(data): "file_unwanted"}


def test_a_frame_that_waits_is_read_when_a_stick_brings_what_it_builds_on(
    commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    sync(commune, province)
    end = commune.log(commune.place).size
    commune.write(case, fields={"title": "một"})
    stick = make(commune, province)
    link = Link(commune, province)
    link.lose = lambda from_parent, message: isinstance(message, Frame | Head) and not from_parent
    while link.step():
        continue
    commune.write(case, fields={"title": "hai"})
    link.lose = lambda _from_parent, message: isinstance(message, Head)
    link.step()
    link.step()
    log = province.log(commune.place)
    assert province.store.early.ranges(log) == [(end + 1, 1)]
    take(province, stick)
    assert province.store.early.ranges(province.log(commune.place)) == []
    sync(commune, province)
    assert province.values(case)["title"] == "hai"
