"""A record that leaves the system proves itself, and no byte of it can be changed unseen.

Method: records written at three tiers are exported and verified; then bytes, values and whole parts
of the file are changed. Another program's opinion of such files is in tests/independent.
"""

import base64
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.certificates import make_root
from crypto.identity import NodeKey
from schemas.codes import Tier
from schemas.events import Noted, Registered, Transferred
from schemas.ids import DocumentId, document_text, event_id
from schemas.record import Leaf, LeafType, decode_leaf
from sync.document import Edit
from sync.errors import LogError, RecordFileError
from sync.record_file import FILE_BYTES_MAX, VerifiedRecord, export_record, verify_record
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    DOCUMENT,
    NEIGHBOUR,
    NOW,
    NOW_MS,
    PROVINCE,
    LogBuilder,
    Node,
    Pen,
    actor,
    device,
    logs,
    new_node,
    place,
    root,
    sync,
    writer_of,
)

NOWHERE = Path("nowhere")


@cache
def world() -> tuple[dict[str, Node], DocumentId]:
    """Return four nodes, and a case that three of them wrote in and all hold."""
    nodes = {code: new_node(code, NOWHERE) for code in (COMMUNE, NEIGHBOUR, PROVINCE, CENTRE)}
    case = nodes[COMMUNE].open_case(0, Transferred(to_office="UBND", to_code=NEIGHBOUR))
    meet(nodes)
    nodes[COMMUNE].write(case, fields={"title": "một"}, texts={"summary": "Ông trình bày."})
    nodes[PROVINCE].write(case, fields={"title": "hai"}, events=[Noted(text="tỉnh")])
    nodes[NEIGHBOUR].write(case, author=nodes[NEIGHBOUR].author("hoa"), fields={"location": "ba"})
    meet(nodes)
    return nodes, case


def meet(nodes: dict[str, Node]) -> None:
    for _ in range(3):
        for code in (COMMUNE, NEIGHBOUR):
            sync(nodes[code], nodes[PROVINCE])
        sync(nodes[PROVINCE], nodes[CENTRE])


@cache
def exported(code: str) -> bytes:
    nodes, case = world()
    return export_record(nodes[code].store, case, root())


@cache
def small() -> bytes:
    """Return the file of the smallest record."""
    node = new_node(COMMUNE, NOWHERE)
    case = node.open_case()
    return export_record(node.store, case, root())


def refusal(data: bytes) -> str:
    with pytest.raises(RecordFileError) as caught:
        verify_record(data, root())
    assert str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("code", [COMMUNE, NEIGHBOUR, PROVINCE, CENTRE])
def test_every_node_that_holds_a_record_can_prove_it(code: str) -> None:
    nodes, case = world()
    found = verify_record(exported(code), root())
    assert found.document == case
    assert (found.kind, found.leaves) == ("case", 4)
    assert found.fields == nodes[code].values(case)
    assert found.root == root()


def test_the_proof_says_who_vouches_and_who_saw_it() -> None:
    found = verify_record(exported(PROVINCE), root())
    owners = {each.owner.code: each for each in found.attestations}
    assert set(owners) == {COMMUNE, NEIGHBOUR, PROVINCE}
    # Each change is proved by its writer's own office, not by who passed it on.
    commune = owners[COMMUNE]
    assert {who.tier for who, _ in commune.cosigners} == {Tier.PROVINCE, Tier.CENTRE}
    assert all(second == NOW_MS // 1000 for _, second in commune.cosigners)
    assert commune.owner.name == place(COMMUNE).subject.name


def test_a_record_proves_itself_before_anybody_cosigned_it() -> None:
    found = verify_record(small(), root())
    assert isinstance(found, VerifiedRecord)
    assert [each.cosigners for each in found.attestations] == [()]


def test_without_a_root_of_ones_own_the_file_only_proves_that_it_is_whole() -> None:
    found = verify_record(small(), None)
    assert found.root == root()
    other = make_root(NodeKey.from_seed(b"?" * 32), "Gốc", NOW_MS, 3_650)
    with pytest.raises(RecordFileError) as caught:
        verify_record(small(), other)
    assert caught.value.code == "root_foreign"


def test_the_same_record_gives_the_same_file() -> None:
    nodes, case = world()
    for code in (COMMUNE, CENTRE):
        assert export_record(nodes[code].store, case, root()) == exported(code)


def test_what_is_not_here_cannot_be_exported() -> None:
    nodes, _ = world()
    with pytest.raises(LogError) as caught:
        export_record(nodes[CENTRE].store, DocumentId(bytes(16)), root())
    assert caught.value.code == "record_unknown"


# Damage


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([small(), exported(CENTRE)]))
    altered = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    altered[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    refusal(bytes(altered))


def test_no_bit_of_a_small_file_can_be_changed_where_sampled() -> None:
    whole, rng = small(), random.Random(11)
    for at in range(0, len(whole), 37):
        altered = bytearray(whole)
        altered[at] ^= 1 << rng.randrange(8)
        refusal(bytes(altered))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_part_can_be_cut_out_or_put_in(data: st.DataObject) -> None:
    whole = small()
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 400)))
    more = data.draw(st.sampled_from([b"", b" ", b"\n", b"0", b'"', b"\xff", whole[:50]]))
    altered = whole[:start] + more + whole[end:]
    if altered != whole:
        refusal(altered)


def test_every_truncation_is_refused() -> None:
    whole = small()
    for length in [*range(0, len(whole), 61), len(whole) - 1]:
        refusal(whole[:length])
    refusal(whole + b"\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b'{"format": "tiepdan-record/1"}',
        b'{"format": "tiepdan-record/2"}',
        b"[" * 100_000,
        b'{"format": ' + b"9" * 10_000 + b"}",
        bytes(1_000),
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    assert refusal(data) == "file_malformed"


def test_a_file_beyond_the_limit_is_not_read() -> None:
    assert refusal(bytes(FILE_BYTES_MAX + 1)) == "file_too_long"


Change = Callable[[dict[str, Any]], object]


def laid_out(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def put(*path: str | int, value: Any) -> Change:
    """Return what sets a value deep in a file."""

    def change(body: dict[str, Any]) -> None:
        at: Any = body
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


def leaves_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body["logs"][0]["leaves"]
    return found


@pytest.mark.parametrize(
    "change",
    [
        put("document", value=document_text(bytes(16))),
        put("document", value="no id"),
        put("more", value=1),
        put("root", value=base64.b64encode(b"no certificate").decode()),
        put("cosigners", value={}),
        put("cosigners", value={"00" * 32: []}),
        put("cosigners", value=[]),
        put("logs", value=[]),
        put("logs", value={}),
        put("logs", 0, "owner", value="00" * 32),
        put("logs", 0, "purpose", value="down/" + "0" * 64),
        put("logs", 0, "purpose", value="sideways"),
        put("logs", 0, "epoch", value=1),
        put("logs", 0, "epoch", value=False),
        put("logs", 0, "epoch", value=0.0),
        put("logs", 0, "epoch", value=-1),
        put("logs", 0, "note", value="x"),
        put("logs", 0, "leaves", value=[]),
        put("logs", 0, "leaves", 0, "seq", value=True),
        put("logs", 0, "leaves", 1, "seq", value=0),
        put("logs", 0, "leaves", 1, "seq", value=1 << 60),
        put("logs", 0, "leaves", 1, "leaf", value="?"),
        put("logs", 0, "leaves", 1, "proof", value=[]),
        put("logs", 0, "leaves", 1, "reads", value={}),
        put("logs", 0, "leaves", 1, "reads", "name", value="Ai khác"),
        lambda body: body["logs"].append(body["logs"][0]),
        lambda body: leaves_of(body).pop(0),
        lambda body: leaves_of(body).pop(1),
        lambda body: leaves_of(body).pop(2),
        lambda body: leaves_of(body).reverse(),
        lambda body: leaves_of(body).insert(1, leaves_of(body)[1]),
        lambda body: body.pop("cosigners"),
        lambda body: body["cosigners"].popitem(),
    ],
)
def test_a_file_of_another_content_is_refused(change: Change) -> None:
    body = json.loads(exported(CENTRE))
    assert laid_out(body) == exported(CENTRE)
    change(body)
    refusal(laid_out(body))


# What a dishonest owner signs


def of_log(builder: LogBuilder) -> bytes:
    """Return the file that a store makes of a log, whatever stands in it."""
    node = new_node(PROVINCE, NOWHERE)
    log = builder.put_into(node)
    with node.transaction():
        log.head_signature, log.dirty = builder.head().signature, True
        # Dead letters too: what the intake refused, the reader must refuse for itself.
        node.store.db.execute("DELETE FROM change")
        for seq, data in enumerate(builder.leaves):
            if decode_leaf(data).type == LeafType.CHANGE:
                row = (DOCUMENT, seq.to_bytes(4, "big"), log.number, seq)
                node.store.db.execute("INSERT INTO change VALUES (?, ?, ?, ?)", row)
        declared = (log.number, 1, 1, b"")
        node.store.db.execute("INSERT OR IGNORE INTO writer VALUES (?, ?, ?, ?)", declared)
    return export_record(node.store, DOCUMENT, root())


def test_a_log_of_an_honest_owner_is_proved() -> None:
    raw = Pen().write(actor(COMMUNE), Edit(kind="case", fields={"title": "một"})).raw
    found = verify_record(of_log(logs(COMMUNE)[COMMUNE].change(raw)), root())
    assert found.fields == {"title": "một"}


def altered_event() -> LogBuilder:
    """Return a log where an event is written over."""
    pen, builder = Pen(), logs(COMMUNE)[COMMUNE]
    key = event_id(NOW, device(COMMUNE))
    builder.change(pen.write(actor(COMMUNE), Edit(kind="case")).raw)
    edit = Edit(events={key: Registered().encode()})
    builder.change(pen.write(actor(COMMUNE), edit).raw)
    again = Edit(events={key: Noted(text="khác").encode()})
    return builder.change(pen.write(actor(COMMUNE), again).raw)


def foreign_actor() -> LogBuilder:
    return logs(COMMUNE)[COMMUNE].change(Pen().write(actor(NEIGHBOUR), Edit(kind="case")).raw)


def missing_past() -> LogBuilder:
    pen = Pen()
    pen.write(actor(COMMUNE), Edit(kind="case"))
    return logs(COMMUNE)[COMMUNE].change(pen.write(actor(COMMUNE), Edit(fields={"x": 1})).raw)


def twice() -> LogBuilder:
    raw = Pen().write(actor(COMMUNE), Edit(kind="case")).raw
    return logs(COMMUNE)[COMMUNE].change(raw).change(raw, hlc=NOW + 1)


def foreign_writer() -> LogBuilder:
    writer = writer_of(place(COMMUNE), tier="province")
    raw = Pen().write(actor(COMMUNE), Edit(kind="case")).raw
    return LogBuilder(place(COMMUNE)).declare(1, writer).change(raw)


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (altered_event, "event_altered"),
        (foreign_actor, "actor_foreign"),
        (missing_past, "record_incomplete"),
        (twice, "leaf_foreign"),
        (foreign_writer, "writer_foreign"),
    ],
)
def test_what_no_node_takes_in_no_file_proves(build: Callable[[], LogBuilder], code: str) -> None:
    assert refusal(of_log(build())) == code


def test_a_leaf_beyond_the_head_is_refused() -> None:
    body = json.loads(small())
    leaf = Leaf(type=0, writer=1, document=DOCUMENT, hlc=NOW, body=b"x").encode()
    last = leaves_of(body)[-1]
    leaves_of(body).append(last | {"seq": last["seq"] + 1, "leaf": base64.b64encode(leaf).decode()})
    refusal(laid_out(body))
