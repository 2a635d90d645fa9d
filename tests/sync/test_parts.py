"""A leaf too large for a frame travels in parts; frames that overtake wait for what they build on.

Method: two real replicas; what the commune says is held, repeated, reordered and lost between them,
each message in a transaction of its own.
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import sync.receiver
import sync.sender
from schemas.ids import DocumentId
from schemas.limits import FRAME_BYTES_MAX, PART_BYTES_MIN, PENDING_LEAVES_MAX, TEXT_CHARS_MAX
from schemas.wire import PACKED, WITH_DICTIONARY, Ack, Frame, Head, Message, Problem, encode_message
from sync.document import Edit
from sync.errors import LinkError
from sync.session import POLL_MS, RETRY_MS
from tests.sync.builders import (
    CASE,
    CENTRE,
    COMMUNE,
    DOCUMENT,
    NOW_MS,
    Link,
    LogBuilder,
    Node,
    Pen,
    actor,
    handle,
    logs,
    new_node,
    noise,
    place,
    writer_of,
)
from tests.sync.builders import sync as bring_together

STATEMENT = noise(TEXT_CHARS_MAX, 1)


def hear(node: Node, link: Link, messages: Sequence[Message]) -> list[Message]:
    """Let the province hear messages of the commune one by one, and return its answers."""
    answers = []
    for message in messages:
        answers += handle(node, link.down, [encode_message(message)])
    return answers


def say(
    node: Node, link: Link, heard: Sequence[Message] = (), now_ms: int = NOW_MS
) -> list[Message]:
    """Return what the commune says after it heard some messages."""
    return handle(node, link.up, [encode_message(message) for message in heard], now_ms)


def parts_of(messages: Sequence[Message]) -> list[Frame]:
    return [m for m in messages if isinstance(m, Frame) and m.total != len(m.data)]


def waiting(node: Node) -> int:
    count: int = node.rows("SELECT count(*) FROM early_frame")[0][0]
    return count


def dictate(commune: Node, province: Node) -> tuple[DocumentId, Link, list[Message]]:
    """Return a case, an open link, and what the commune says once a long statement was written."""
    case = commune.open_case()
    link = Link(commune, province).run()
    commune.write(case, texts={"summary": STATEMENT})
    return case, link, say(commune, link)


def has_arrived(commune: Node, province: Node, case: DocumentId) -> None:
    assert province.replica.intake.documents.text(case, "summary") == STATEMENT
    log, copy = commune.log(commune.place), province.log(commune.place)
    assert copy.head() == log.head()
    assert waiting(province) == 0
    assert province.rows("SELECT * FROM pending_leaf") == []
    assert province.dead_letters() == province.alarms() == commune.alarms() == []


# Parts


def test_a_long_leaf_travels_in_parts_and_arrives_once(commune: Node, province: Node) -> None:
    case, link, said = dictate(commune, province)
    parts = parts_of(said)
    assert len(parts) > 20
    assert all(len(part.data) <= FRAME_BYTES_MAX for part in parts)
    assert [part.offset for part in parts] == [n * FRAME_BYTES_MAX for n in range(len(parts))]
    assert sum(len(part.data) for part in parts) == parts[0].total < TEXT_CHARS_MAX
    assert isinstance(said[-1], Head)
    hear(province, link, said)
    has_arrived(commune, province, case)


@pytest.mark.parametrize("seed", range(5))
def test_parts_may_come_in_any_order_and_more_than_once(
    commune: Node, province: Node, seed: int
) -> None:
    case, link, said = dictate(commune, province)
    rng = random.Random(seed)
    many = said + rng.sample(said, len(said) // 2)
    rng.shuffle(many)
    answers = hear(province, link, many)
    # A head that came before the leaf is forgotten; repeated, it says its root.
    again = say(commune, link, answers, NOW_MS + POLL_MS)
    hear(province, link, again)
    has_arrived(commune, province, case)


@pytest.mark.parametrize("lost", [0, 1, 17, -1])
def test_a_part_that_was_lost_comes_again(commune: Node, province: Node, lost: int) -> None:
    case, link, said = dictate(commune, province)
    gone = parts_of(said)[lost]
    answers = hear(province, link, [message for message in said if message is not gone])
    assert waiting(province) == len(parts_of(said)) - 1
    again = say(commune, link, answers, NOW_MS + RETRY_MS)
    assert len(parts_of(again)) == len(parts_of(said))
    hear(province, link, again)
    has_arrived(commune, province, case)


def test_a_leaf_that_is_packed_anew_after_a_cut_arrives(commune: Node, province: Node) -> None:
    case = commune.open_case()
    commune.write(case, texts={"summary": STATEMENT})
    link = Link(commune, province)
    link.lose = lambda *_, of=link: len(parts_of([m for _, m in of.sent])) > 9
    link.run()
    assert waiting(province) == 9
    assert {part.coding for part in parts_of([m for _, m in link.sent])} == {WITH_DICTIONARY}
    # The next link begins with what the parent understands no more.
    with commune.transaction():
        commune.store.set_meta(f"dictionaries {province.peer_id.hex()}", b"")
    link = Link(commune, province)
    answers = hear(province, link, say(commune, link))
    said = say(commune, link, [answer for answer in answers if isinstance(answer, Ack)])
    assert {part.coding for part in parts_of(said)} == {PACKED}
    for number, message in enumerate(said):
        hear(province, link, [message])
        if number == 0:
            assert waiting(province) == 1, "parts of the other packing are gone"
    bring_together(commune, province)
    has_arrived(commune, province, case)


def test_parts_that_came_before_a_cut_do_not_come_in_vain(commune: Node, province: Node) -> None:
    case, link, said = dictate(commune, province)
    parts = parts_of(said)
    hear(province, link, parts[:12])
    link = Link(commune, province)
    again = say(commune, link, hear(province, link, say(commune, link)))
    assert len(parts_of(again)) == len(parts)
    # Of the new link only what lacked arrives.
    hear(province, link, [m for m in again if not (is_early_part(m))])
    has_arrived(commune, province, case)


def is_early_part(message: Message) -> bool:
    return isinstance(message, Frame) and message.offset < 12 * FRAME_BYTES_MAX


def test_a_part_of_a_leaf_that_is_here_is_only_acknowledged(commune: Node, province: Node) -> None:
    _, link, said = dictate(commune, province)
    hear(province, link, said)
    answers = hear(province, link, parts_of(said)[3:4])
    assert [type(answer) for answer in answers] == [Ack]
    assert waiting(province) == 0


def test_a_part_beyond_all_bounds_ends_the_link(commune: Node, province: Node) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    far = Frame(
        log=b"\0",
        priority=2,
        first_seq=commune.log(commune.place).size + PENDING_LEAVES_MAX,
        coding=PACKED,
        data=bytes(PART_BYTES_MIN),
        total=PART_BYTES_MIN + 1,
    )
    with pytest.raises(LinkError) as refused:
        hear(province, link, [far])
    assert refused.value.code == "head_overdue"
    assert waiting(province) == 0


# Frames that overtake


def edits(
    commune: Node, province: Node, count: int
) -> tuple[DocumentId, Link, list[list[Message]]]:
    """Return a case, an open link, and what the commune says after each edit of the case."""
    case = commune.open_case()
    link = Link(commune, province).run()
    said = []
    for number in range(count):
        commune.write(case, fields={"title": f"lần {number}"})
        said.append(say(commune, link))
    return case, link, said


def test_a_frame_that_overtakes_waits_and_is_read_when_its_past_came(
    commune: Node, province: Node
) -> None:
    case, link, (first, second) = edits(commune, province, 2)
    held = province.log(commune.place).size
    (gap,) = [answer for answer in hear(province, link, second) if isinstance(answer, Ack)][-1:]
    assert (gap.have_seq, gap.gaps) == (held, ((held, 1), (held + 2, 0)))
    assert waiting(province) == 1
    assert province.values(case) == {"title": "Vụ việc 0"}
    answers = hear(province, link, first)
    assert waiting(province) == 0
    assert province.values(case) == {"title": "lần 0"}
    assert [a.have_seq for a in answers if isinstance(a, Ack)][-1] == held + 2
    # The head over both came too early; it is asked for again, with its root.
    hear(province, link, say(commune, link, [gap], NOW_MS + RETRY_MS))
    assert province.values(case) == {"title": "lần 1"}


@pytest.mark.parametrize("seed", range(5))
def test_frames_in_any_order_end_as_in_order(commune: Node, province: Node, seed: int) -> None:
    case, link, said = edits(commune, province, 12)
    frames = [message for messages in said for message in messages if isinstance(message, Frame)]
    random.Random(seed).shuffle(frames)
    answers = hear(province, link, frames)
    assert waiting(province) == 0
    hear(province, link, say(commune, link, answers, NOW_MS + POLL_MS))
    assert province.values(case) == {"title": "lần 11"}
    assert province.log(commune.place).head() == commune.log(commune.place).head()


def test_a_frame_that_waits_survives_a_cut(commune: Node, province: Node) -> None:
    case, link, said = edits(commune, province, 3)
    hear(province, link, [*said[1], *said[2]])
    assert waiting(province) == 2
    link = Link(commune, province).run()
    assert waiting(province) == 0
    assert province.values(case) == {"title": "lần 2"}
    assert province.log(commune.place).head() == commune.log(commune.place).head()


def test_so_many_frames_wait_and_those_beyond_are_as_if_lost(
    commune: Node, province: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync.receiver, "EARLY_FRAMES_MAX", 3)
    case, link, said = edits(commune, province, 9)
    hear(province, link, [message for messages in said[1:] for message in messages])
    assert waiting(province) == 3
    answers = hear(province, link, said[0])
    assert waiting(province) == 0
    hear(province, link, say(commune, link, answers, NOW_MS + RETRY_MS))
    bring_together(commune, province)
    assert province.values(case) == {"title": "lần 8"}


def test_a_waiting_frame_that_cannot_be_read_costs_the_link_and_heals(
    commune: Node, province: Node
) -> None:
    case, link, (first, second) = edits(commune, province, 2)
    hear(province, link, second)
    with province.transaction():
        province.store.db.execute("UPDATE early_frame SET data = x'00'")
    problems = hear(province, link, first[:1])
    with pytest.raises(LinkError) as ended:
        say(commune, link, problems)
    assert ended.value.code == "leaves_damaged"
    with pytest.raises(LinkError):
        hear(province, link, first[1:])
    assert waiting(province) == 0
    with suppress(LinkError):
        bring_together(commune, province)
    bring_together(commune, province)
    assert province.values(case) == {"title": "lần 1"}
    assert province.alarms() == commune.alarms() == []


def test_a_damaged_part_is_forgotten_with_the_others_and_all_come_again(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    bring_together(commune, province)
    commune.write(DOCUMENT, kind="case", fields={}, texts={"summary": STATEMENT})
    link = Link(commune, province)
    said = say(commune, link)
    parts = parts_of(said)
    damaged = replace(parts[0], data=bytes(len(parts[0].data)))
    told = hear(province, link, [*before(said, parts[0]), damaged, *parts[1:]])
    assert [m.code for m in told if isinstance(m, Problem)] == ["leaves_damaged"]
    with pytest.raises(LinkError):
        hear(province, link, [parts[0]])
    assert waiting(province) == 0
    bring_together(commune, province)
    assert province.values(DOCUMENT) == commune.values(DOCUMENT)
    assert province.alarms() == commune.alarms() == []


def test_parts_of_two_sendings_make_one_leaf(commune: Node, province: Node) -> None:
    commune.open_case()
    bring_together(commune, province)
    commune.write(DOCUMENT, kind="case", fields={}, texts={"summary": STATEMENT})
    for number in range(1, 12):
        commune.open_case(number)
    link = Link(commune, province)
    # Sent with many leaves behind it, it would lean on those before it; sent again, it is alone.
    first = parts_of(said := say(commune, link))
    again = parts_of(say(commune, link, now_ms=NOW_MS + RETRY_MS))
    assert first == again
    hear(province, link, [*before(said, first[0]), *first[::2], *again[1::2]])
    assert waiting(province) == 0
    assert province.rows("SELECT count(*) FROM pending_leaf") == [(1,)]


def before(messages: Sequence[Message], part: Frame) -> list[Message]:
    """Return what was said before the first part."""
    return list(messages[: list(messages).index(part)])


# Writers


def test_the_first_declaration_of_a_writer_counts_for_frames_too(
    tmp_path: Path, province: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre, pen = new_node(CENTRE, tmp_path), Pen()
    builder = logs(COMMUNE)[COMMUNE].change(pen.write(actor(COMMUNE), CASE).raw)
    log = builder.put_into(province)
    sign(province, builder)
    bring_together(province, centre)
    builder.declare(1, writer_of(place(COMMUNE), device=b"d" * 16))
    builder.change(pen.write(actor(COMMUNE), Edit(fields={"title": "mới"})).raw)
    with province.transaction():
        for leaf in builder.leaves[-2:]:
            builder.take(province, log, leaf)
    sign(province, builder)
    # The second declaration has arrived, under no head yet, when the frame behind it is read.
    monkeypatch.setattr(sync.sender, "FRAME_LEAVES_MAX", 1)
    bring_together(province, centre)
    assert centre.values(DOCUMENT) == province.values(DOCUMENT) == {"title": "mới"}
    assert centre.dead_letters() == ["writer_twice"]
    assert centre.alarms() == province.alarms() == []


def sign(node: Node, builder: LogBuilder) -> None:
    with node.transaction():
        log = node.log(builder.owner)
        log.head_signature, log.dirty = builder.head().signature, True
