"""A leaf that cannot be used is listed with its reason, and the next one is taken.

Method: leaves that no honest node writes are put between good ones, in logs signed by their owners;
the domain's judgement is recorded to see what it was told.
"""

import random
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.certificates import chain_to_der, issue, make_request
from schemas.codes import Tier
from schemas.errors import RecordError
from schemas.events import Noted, Registered
from schemas.ids import event_id
from schemas.record import LeafType, encode_certificates
from sync.document import Edit
from tests.sync.bad_leaves import BAD, chain_leaf, first_change, raw_leaf, writer_leaf
from tests.sync.builders import (
    CASE,
    CENTRE,
    COMMUNE,
    DOCUMENT,
    NEIGHBOUR,
    NOW,
    NOW_MS,
    PROVINCE,
    LogBuilder,
    Pen,
    actor,
    actor_of,
    device,
    logs,
    new_node,
    place,
    writer_of,
)
from tests.sync.chunks import Op, chunk


@pytest.mark.parametrize(("leaf", "code"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_used_is_listed_and_the_next_is_taken(
    leaf: bytes, code: str, tmp_path: Path
) -> None:
    builder = logs(COMMUNE)[COMMUNE]
    builder.leaves.append(leaf)
    builder.change(first_change())
    node = new_node(PROVINCE, tmp_path)
    builder.put_into(node)
    assert node.dead_letters() == [code]
    assert node.rows("SELECT seq FROM dead_letter") == [(2,)]
    assert node.rows("SELECT seq FROM change") == [(3,)]
    assert node.store.leaf(1, 2) == leaf


def test_no_log_puts_its_own_words_into_the_place_of_an_office_that_is_known(
    tmp_path: Path,
) -> None:
    """A province can certify anybody's public key as that of a commune of its own."""
    centre, liar = new_node(CENTRE, tmp_path), place("38")
    with centre.transaction():
        centre.replica.welcome(place(PROVINCE).as_peer(is_child=True))
    request = make_request(place(PROVINCE).key, Tier.COMMUNE, "38.1", "Giả")
    false = issue(liar.chain[0], liar.key, request, NOW_MS, 365)
    body = encode_certificates(chain_to_der([false, *liar.chain]))
    LogBuilder(liar).add(LeafType.CERTIFICATES, body).put_into(centre)
    assert centre.dead_letters() == ["certificates_foreign"]
    known = centre.store.peer(place(PROVINCE).key.peer_id)
    assert known == place(PROVINCE).as_peer(is_child=True)


@pytest.mark.parametrize("has_written", [True, False])
def test_only_we_vouch_for_our_own_writers(tmp_path: Path, *, has_written: bool) -> None:
    node = new_node(COMMUNE, tmp_path)
    if has_written:
        node.open_case()
    down = LogBuilder(place(PROVINCE), purpose=f"down/{node.peer_id.hex()}")
    down.declare(1, writer_of(place(COMMUNE))).declare(2, writer_of(place(NEIGHBOUR)))
    down.put_into(node)
    assert node.dead_letters() == ["writer_foreign"]


def test_an_event_that_stands_is_never_altered(tmp_path: Path) -> None:
    pen, builder = Pen(), logs(COMMUNE)[COMMUNE]
    event = event_id(NOW, device(COMMUNE))
    pen.write(actor(COMMUNE), CASE)
    base = pen.heads()
    edit = Edit(events={event: Registered().encode()}, base=base)
    builder.change(pen.changes[0].raw).change(pen.write(actor(COMMUNE), edit).raw)
    # The same id again, apart: it replaces nothing, and still there are two stories of one event.
    other = writer_of(place(COMMUNE), device=device(COMMUNE), epoch=1)
    again = Edit(events={event: Noted(text="khác").encode()}, base=base)
    builder.declare(2, other).change(pen.write(actor_of(other), again).raw, writer=2)
    node = new_node(PROVINCE, tmp_path)
    builder.put_into(node)
    assert node.dead_letters() == ["event_altered"]
    assert node.rows("SELECT type FROM event") == [("registered",)]


def test_the_domain_has_a_word(tmp_path: Path) -> None:
    heard: list[Any] = []

    def admit(kind: str, prior: Any, new: Any, fields: Any) -> None:
        heard.append((kind, [event.type for event in prior()], len(new), dict(fields)))
        if fields.get("title") == "bad":
            raise RecordError("field_unknown", "no")

    pen, builder = Pen(), logs(COMMUNE)[COMMUNE]
    event = event_id(NOW, device(COMMUNE))
    pen.write(
        actor(COMMUNE),
        Edit(kind="case", texts={"summary": ""}, events={event: Registered().encode()}),
    )
    base = pen.heads()
    pen.write(actor(COMMUNE), Edit(fields={"title": "bad"}, base=base))
    other = writer_of(place(COMMUNE), epoch=1)
    pen.write(
        actor_of(other),
        Edit(fields={"title": "good", "n": 2}, texts={"summary": "lời"}, base=base),
    )
    builder.declare(2, other)
    for change, writer in zip(pen.changes, (1, 1, 2), strict=True):
        builder.change(change.raw, writer=writer)
    node = new_node(PROVINCE, tmp_path, admit=admit)
    builder.put_into(node)
    assert node.dead_letters() == ["field_unknown"]
    assert node.values(DOCUMENT) == {"title": "good", "n": 2}
    assert heard == [
        ("case", [], 1, {}),
        ("case", ["registered"], 0, {"title": "bad"}),
        ("case", ["registered"], 0, {"title": "good", "n": 2, "summary": "…"}),
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20), st.permutations(range(4)))
def test_a_change_is_judged_by_its_own_past(seed: int, order: list[int]) -> None:
    """The domain hears the events that the writer could have seen, whatever came meanwhile."""
    rng, pen = random.Random(seed), Pen()
    writers = [writer_of(place(COMMUNE), epoch=number) for number in range(4)]
    pen.write(actor_of(writers[0]), CASE)
    for number, writer in enumerate(writers):
        base = (rng.choice(pen.changes).hash,)
        event = event_id(NOW + number, writer.device)
        edit = Edit(events={event: Noted(text=f"{number}").encode()}, base=base)
        pen.write(actor_of(writer), edit)
    heard: dict[str, list[str]] = {}

    def admit(kind: str, prior: Any, new: Any, fields: Any) -> None:
        for event in new:
            heard[event.text] = sorted(each.text for each in prior())

    builder = LogBuilder(place(COMMUNE))
    for number, writer in enumerate(writers):
        builder.declare(number + 1, writer)
    builder.change(pen.changes[0].raw)
    for number in order:
        builder.change(pen.changes[number + 1].raw, writer=number + 1, hlc=NOW + number)
    builder.put_into(new_node(PROVINCE, Path("nowhere"), admit=admit))
    past: dict[bytes, set[str]] = {pen.changes[0].hash: set()}
    for number, change in enumerate(pen.changes[1:]):
        seen = set().union(*(past[dep] for dep in change.deps))
        assert heard[f"{number}"] == sorted(seen)
        past[change.hash] = seen | {f"{number}"}


def forged_by_number(pen: Pen) -> list[bytes]:
    """Return a change whose operations are numbered after some that it does not build on."""
    first, busy = pen.changes
    op = Op(key="title", target=FIELDS, value="x")
    return [chunk([op], actor=actor(NEIGHBOUR), start_op=busy.last_op + 1, deps=[first.hash])]


def forged_by_sight(pen: Pen) -> list[bytes]:
    """Return a change that overwrites a value that it does not build on."""
    first, busy = pen.changes
    seen = next(op for op in busy.map_ops if op.key == "title")
    ops = [Op(key=name, target=FIELDS, value="x") for name in "abcdefghij"]
    ops.append(Op(key="title", target=FIELDS, value="x", replaces=[seen.id]))
    start_op = first.last_op + 1
    return [chunk(ops, actor=actor(NEIGHBOUR), start_op=start_op, deps=[first.hash])]


def forged_by_sequence(pen: Pen) -> list[bytes]:
    """Return two changes of one actor, the second of which does not build on the first."""
    first, busy = pen.changes
    one = [Op(key="one", target=FIELDS, value="x")]
    two = [Op(key="title", target=FIELDS, value="x")]
    start_op = first.last_op + 1
    return [
        chunk(one, actor=actor(NEIGHBOUR), start_op=start_op, deps=[first.hash]),
        chunk(two, actor=actor(NEIGHBOUR), seq=2, start_op=busy.last_op + 1, deps=[busy.hash]),
    ]


def forged_by_letter(pen: Pen) -> list[bytes]:
    """Return a change that types behind a letter that it does not build on."""
    first, busy = pen.changes
    text, seen = (5, actor(COMMUNE)), (busy.last_op, actor(COMMUNE))
    ops = [Op(key=f"f{number}", target=FIELDS, value="x") for number in range(30)]
    ops.append(Op(target=text, insert=True, after=seen, value="x"))
    start_op = first.last_op + 1
    return [chunk(ops, actor=actor(NEIGHBOUR), start_op=start_op, deps=[first.hash])]


FIELDS = (2, actor(COMMUNE))


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (forged_by_number, "change_misnumbered"),
        (forged_by_sight, "replaced_unknown"),
        (forged_by_sequence, "change_misnumbered"),
        (forged_by_letter, "replaced_unknown"),
    ],
)
def test_what_no_honest_program_writes_is_refused_in_whatever_order_it_comes(
    tmp_path: Path, forge: Callable[[Pen], list[bytes]], code: str
) -> None:
    pen = Pen()
    pen.write(actor(COMMUNE), CASE)
    fields = {**{f"f{number}": "x" for number in range(9)}, "title": "một"}
    pen.write(actor(COMMUNE), Edit(fields=fields, texts={"summary": "lời"}))
    forged = [(NEIGHBOUR, raw) for raw in forge(pen)]
    honest = [(COMMUNE, change.raw) for change in pen.changes]
    for order in permutations([*honest[1:], *forged]):
        node = new_node(PROVINCE, tmp_path)
        built = logs(COMMUNE, NEIGHBOUR)
        taken = {code: built[code].put_into(node) for code in (COMMUNE, NEIGHBOUR)}
        for owner, raw in [honest[0], *order]:
            built[owner].change(raw)
            with node.transaction():
                log = node.store.find_log(taken[owner].log_id)
                assert log is not None
                built[owner].take(node, log, built[owner].leaves[-1])
        assert node.values(DOCUMENT)["title"] == "một"
        registers = node.replica.intake.registers(DOCUMENT)
        assert all(len(row) == 1 for row in registers.fields.values())
        # Of letters that are not here yet, Automerge itself says so.
        assert node.dead_letters() in ([code], ["automerge_refused"])
        assert node.replica.intake.texts(DOCUMENT) == {"summary": "lời"}
        assert node.rows("SELECT * FROM waiting_change") == []


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_whatever_stands_in_a_leaf_is_taken_or_listed(
    which: int, damage: list[tuple[int, int]]
) -> None:
    event = event_id(NOW, device(COMMUNE))
    honest = (
        raw_leaf(body=first_change(**{event: Registered().encode()})),
        writer_leaf(2),
        chain_leaf(place(COMMUNE).der),
        raw_leaf(type=9, body=b"news"),
    )[which]
    altered = bytearray(honest)
    for position, byte in damage:
        altered[position % len(altered)] = byte
    builder = logs(COMMUNE)[COMMUNE]
    builder.leaves.append(bytes(altered))
    node = new_node(PROVINCE, Path("nowhere"))
    builder.put_into(node)
    assert len(node.dead_letters()) <= 1
    assert node.store.leaf(1, 2) == altered
