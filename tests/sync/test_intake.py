"""Leaves become documents in whatever order they come; what cannot be used is only listed.

Method: logs are built leaf by leaf with the real keys of their owners and taken in drawn orders;
the tables must come out the same. Then leaves that no honest node writes are put between good ones.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.events import Attached, Noted, Registered
from schemas.hlc import reading
from schemas.ids import DocumentId, event_id
from schemas.record import Leaf, LeafType, Writer, encode_certificates
from sync.change import parse_change
from sync.document import Edit
from sync.errors import StoreError
from sync.store import Log
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
    Node,
    Pen,
    actor_of,
    new_node,
    place,
    writer_of,
)
from tests.sync.chunks import Op, chunk

OWNERS = (COMMUNE, NEIGHBOUR, CENTRE)
# Everything that leaves become.
TABLES = ("writer", "document", "change", "waiting_change", "event", "long_text", "blob_document",
          "dead_letter")  # fmt: skip


def tables(node: Node, names: Sequence[str] = TABLES) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(node.rows(f"SELECT * FROM {name}")) for name in names}


def province(folder: Path, **how: Any) -> Node:
    return new_node(PROVINCE, folder, **how)


def logs(*codes: str) -> dict[str, LogBuilder]:
    """Return logs of these offices, each with one writer declared as number 1."""
    return {code: LogBuilder(place(code)).declare(1, writer_of(place(code))) for code in codes}


def actor(code: str) -> bytes:
    return actor_of(writer_of(place(code)))


def device(code: str) -> bytes:
    return writer_of(place(code)).device


def history(rng: random.Random, size: int) -> tuple[Pen, dict[str, LogBuilder]]:
    """Return a case that three offices edited, partly apart, and their logs."""
    pen, built = Pen(), logs(*OWNERS)
    first = pen.write(
        actor(COMMUNE), Edit(kind="case", fields={"title": "0"}, texts={"summary": "một. hai."})
    )
    built[COMMUNE].change(first.raw)
    for number in range(1, size):
        code, hlc = rng.choice(OWNERS), NOW + number
        base = rng.choice([None, (rng.choice(pen.changes).hash,)])
        edit = Edit(
            fields={rng.choice(["title", "location"]): rng.choice([f"{number}", None])},
            events={event_id(hlc, device(code)): Noted(text=f"{number}").encode()},
            texts={"summary": f"một {number}. hai."} if rng.random() < 0.3 else {},
            base=base,
        )
        built[code].change(pen.write(actor(code), edit).raw, hlc=hlc)
    return pen, built


def create(node: Node, builder: LogBuilder) -> Log:
    own = builder.log()
    return node.store.create_log(
        log_id=own.log_id,
        owner=own.owner,
        purpose=own.purpose,
        epoch=own.epoch,
        tier=own.tier,
        code=own.code,
        source=own.owner,
    )


def take_interleaved(node: Node, built: dict[str, LogBuilder], rng: random.Random) -> None:
    """Take the logs in a drawn order, each from its start."""
    with node.transaction():
        created = {code: create(node, builder) for code, builder in built.items()}
    waiting = {code: list(builder.leaves) for code, builder in built.items()}
    while left := [code for code, leaves in waiting.items() if leaves]:
        code = rng.choice(left)
        with node.transaction():
            log = node.store.find_log(created[code].log_id)
            assert log is not None
            for _ in range(rng.randint(1, 5)):
                if waiting[code]:
                    LogBuilder.take(node, log, waiting[code].pop(0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(2, 14), st.integers(0, 1 << 20))
def test_the_order_in_which_logs_come_does_not_count(seed: int, size: int, order: int) -> None:
    pen, built = history(random.Random(seed), size)
    found = []
    for number in range(2):
        node = province(Path("nowhere"))
        take_interleaved(node, built, random.Random(order + number))
        found.append(tables(node))
    assert found[0] == found[1]
    assert found[0]["waiting_change"] == found[0]["dead_letter"] == []
    assert len(found[0]["change"]) == len(pen.changes)
    assert found[0]["long_text"][0][2] == pen.text()
    # From the disk alone, the documents are the same.
    node.replica.intake.documents.forget_all()
    assert node.replica.intake.documents.heads(DOCUMENT) == pen.heads()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(2, 10))
def test_any_order_within_a_log_gives_the_same_document(seed: int, size: int) -> None:
    rng = random.Random(seed)
    _, built = history(rng, size)
    found = []
    for _ in range(2):
        node = province(Path("nowhere"))
        for code in rng.sample(OWNERS, 3):
            # The certificates and the writer come first, the changes as they like.
            head, changes = built[code].leaves[:2], built[code].leaves[2:]
            built[code].leaves = [*head, *rng.sample(changes, len(changes))]
            built[code].put_into(node)
        registers = node.replica.intake.registers(DOCUMENT)
        rivals = {
            name: [(each.op, each.value) for each in row] for name, row in registers.fields.items()
        }
        kept = tables(node, ("waiting_change", "dead_letter", "long_text"))
        events = node.rows("SELECT id, type, body FROM event ORDER BY id")
        found.append((kept, rivals, events, node.rows("SELECT id, kind, origin FROM document")))
    assert found[0] == found[1]
    assert found[0][0]["waiting_change"] == found[0][0]["dead_letter"] == []


# Waiting


def chain_of(length: int) -> tuple[Pen, LogBuilder]:
    pen, builder = Pen(), logs(COMMUNE)[COMMUNE]
    pen.write(actor(COMMUNE), CASE)
    for number in range(length - 1):
        pen.write(actor(COMMUNE), Edit(fields={"title": f"{number}"}))
    return pen, builder


def test_changes_that_came_before_what_they_build_on_wait_and_wake(tmp_path: Path) -> None:
    pen, builder = chain_of(6)
    for change in reversed(pen.changes[1:]):
        builder.change(change.raw)
    node = province(tmp_path)
    log = builder.put_into(node)
    assert node.rows("SELECT count(*) FROM waiting_change") == [(5,)]
    assert node.rows("SELECT count(*) FROM document") == [(0,)]
    assert node.dead_letters() == []
    builder.change(pen.changes[0].raw)
    with node.transaction():
        builder.take(node, log, builder.leaves[-1])
    assert node.rows("SELECT count(*) FROM waiting_change") == [(0,)]
    assert node.values(DOCUMENT) == {"title": "4"}
    assert len(node.rows("SELECT * FROM change")) == 6


def test_a_change_that_waits_for_two_wakes_after_the_second(tmp_path: Path) -> None:
    pen, built = Pen(), logs(COMMUNE, NEIGHBOUR)
    first = pen.write(actor(COMMUNE), CASE)
    base = pen.heads()
    one = pen.write(actor(COMMUNE), Edit(fields={"title": "a"}, base=base))
    two = pen.write(actor(NEIGHBOUR), Edit(fields={"location": "b"}, base=base))
    both = pen.write(actor(COMMUNE), Edit(fields={"title": "c"}))
    built[COMMUNE].change(both.raw).change(first.raw).change(one.raw)
    built[NEIGHBOUR].change(two.raw)
    node = province(tmp_path)
    built[COMMUNE].put_into(node)
    assert node.values(DOCUMENT) == {"title": "a"}
    built[NEIGHBOUR].put_into(node)
    assert node.values(DOCUMENT) == {"title": "c", "location": "b"}
    assert node.rows("SELECT * FROM waiting_change") == []


def test_what_waits_for_a_dead_letter_waits_for_good_and_blocks_nobody(tmp_path: Path) -> None:
    pen, builder = chain_of(2)
    start_op = pen.changes[1].last_op + 1
    bad = chunk(
        [Op(key="kind", value="x")],
        actor=actor(COMMUNE),
        seq=3,
        start_op=start_op,
        deps=pen.heads(),
    )
    after = chunk(
        [Op(key="title", target=(2, actor(COMMUNE)), value="x")],
        actor=actor(COMMUNE),
        seq=4,
        start_op=start_op + 1,
        deps=[parse_change(bad).hash],
    )
    builder.change(pen.changes[0].raw).change(bad).change(after).change(pen.changes[1].raw)
    node = province(tmp_path)
    builder.put_into(node)
    assert node.dead_letters() == ["root_changed"]
    assert node.rows("SELECT seq FROM waiting_change") == [(4,)]
    assert node.values(DOCUMENT) == {"title": "0"}


def test_a_change_that_woke_and_may_not_enter_is_listed(tmp_path: Path) -> None:
    pen, builder = chain_of(1)
    bad = chunk(
        [Op(key="kind", value="x")],
        actor=actor(COMMUNE),
        seq=2,
        start_op=pen.changes[0].last_op + 1,
        deps=pen.heads(),
    )
    builder.change(bad).change(pen.changes[0].raw)
    node = province(tmp_path)
    builder.put_into(node)
    assert node.rows("SELECT seq, code FROM dead_letter") == [(2, "root_changed")]
    assert node.rows("SELECT * FROM waiting_change") == []


# Copies


def test_a_change_that_comes_again_changes_nothing(tmp_path: Path) -> None:
    pen, builder = chain_of(3)
    for change in pen.changes:
        builder.change(change.raw)
    node = province(tmp_path)
    log = builder.put_into(node)
    before = tables(node)
    with node.transaction():
        for change in pen.changes:
            builder.change(change.raw, hlc=NOW + 5)
            builder.take(node, log, builder.leaves[-1])
        assert node.replica.intake.changed == {}
    assert tables(node) == before


def test_a_copy_in_another_log_is_noted_beside_the_first(tmp_path: Path) -> None:
    pen, builder = chain_of(2)
    down = LogBuilder(place(CENTRE)).declare(7, writer_of(place(COMMUNE)))
    down.purpose = f"down/{place(PROVINCE).key.peer_id.hex()}"
    for change in pen.changes:
        builder.change(change.raw)
        down.change(change.raw, writer=7)
    found = []
    for order in ((builder, down), (down, builder)):
        node = province(tmp_path)
        for each in order:
            each.put_into(node)
        assert node.dead_letters() == []
        assert len(node.rows("SELECT * FROM change")) == 4
        found.append(node.replica.intake.changes_of(DOCUMENT))
    assert found[0] == found[1]
    assert sorted(found[0]) == sorted(change.raw for change in pen.changes)


def test_a_copy_under_another_writer_does_not_pass_for_the_original(tmp_path: Path) -> None:
    pen, builder = chain_of(1)
    builder.change(pen.changes[0].raw)
    other = logs(NEIGHBOUR)[NEIGHBOUR].change(pen.changes[0].raw)
    node = province(tmp_path)
    builder.put_into(node)
    other.put_into(node)
    assert node.dead_letters() == ["actor_foreign"]
    assert len(node.rows("SELECT * FROM change")) == 1


# Dead letters


def raw_leaf(**said: Any) -> bytes:
    honest: dict[str, Any] = {
        "type": LeafType.CHANGE, "writer": 1, "document": DOCUMENT, "hlc": NOW, "body": b""
    }  # fmt: skip
    return Leaf(**(honest | said)).encode()


def first_change(code: str = COMMUNE, **events: str) -> bytes:
    return Pen().write(actor(code), Edit(kind="case", texts={"summary": ""}, events=events)).raw


def writer_leaf(number: int = 2, document: bytes = b"", **said: Any) -> bytes:
    writer = writer_of(place(COMMUNE), **said)
    body = writer.encode()
    return raw_leaf(type=LeafType.WRITER, writer=number, document=document, body=body)


def foreign_writer(code: str) -> bytes:
    body = writer_of(place(code)).encode()
    return raw_leaf(type=LeafType.WRITER, writer=2, document=b"", body=body)


def chain_leaf(chain: list[bytes], **said: Any) -> bytes:
    what = {"type": LeafType.CERTIFICATES, "writer": 0, "document": b""} | said
    return raw_leaf(body=encode_certificates(chain), **what)


def event_leaf(body: str, hlc: int = NOW) -> bytes:
    return raw_leaf(body=first_change(**{event_id(hlc, device(COMMUNE)): body}))


BAD = [
    (b"", "leaf_malformed"),
    (b"not a leaf", "leaf_malformed"),
    (raw_leaf(document=b"short", body=first_change()), "leaf_malformed"),
    (raw_leaf(document=b"", body=first_change()), "leaf_malformed"),
    (b"\x98\x05" + raw_leaf(body=b"")[1:], "leaf_not_canonical"),
    (raw_leaf(type=3), "leaf_type_unknown"),
    (raw_leaf(type=255), "leaf_type_unknown"),
    (raw_leaf(body=b""), "change_malformed"),
    (raw_leaf(body=first_change()[:-1]), "change_malformed"),
    (raw_leaf(body=first_change(), writer=9), "writer_unknown"),
    (raw_leaf(body=first_change(NEIGHBOUR)), "actor_foreign"),
    (raw_leaf(body=first_change(), document=DOCUMENT[::-1]), "actor_foreign"),
    (raw_leaf(body=chunk([], actor=actor(COMMUNE))), "document_malformed"),
    (raw_leaf(body=chunk([Op(key="n", value=1, kind=8)], actor=actor(COMMUNE))), "change_counter"),
    (event_leaf("{}", NOW + 300), "event_foreign"),
    (event_leaf("no json"), "event_malformed"),
    (event_leaf("[" * 9_000), "event_malformed"),
    (event_leaf("{}"), "event_malformed"),
    (event_leaf('{"type":7}'), "event_malformed"),
    (event_leaf('{"type":"registered","more":1}'), "event_malformed"),
    (event_leaf('{"type":"noted","text":"' + "x" * 17_000 + '"}'), "event_too_long"),
    (writer_leaf(1), "writer_twice"),
    (writer_leaf(0), "writer_malformed"),
    (writer_leaf(document=DOCUMENT), "writer_malformed"),
    (writer_leaf(tier="province"), "writer_foreign"),
    (writer_leaf(code="40.17084"), "writer_foreign"),
    (foreign_writer(NEIGHBOUR), "writer_foreign"),
    (foreign_writer(PROVINCE), "writer_foreign"),
    (raw_leaf(type=LeafType.WRITER, writer=2, document=b"", body=b"x"), "writer_malformed"),
    (chain_leaf([]), "certificates_malformed"),
    (chain_leaf([b"no certificate"]), "certificate_malformed"),
    (chain_leaf(place(COMMUNE).der[:1]), "certificate_wrong_issuer"),
    (chain_leaf(place(COMMUNE).der, writer=1), "certificates_malformed"),
    (chain_leaf(place(COMMUNE).der, document=DOCUMENT), "certificates_malformed"),
]


@pytest.mark.parametrize(("leaf", "code"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_used_is_listed_and_the_next_is_taken(
    leaf: bytes, code: str, tmp_path: Path
) -> None:
    builder = logs(COMMUNE)[COMMUNE]
    builder.leaves.append(leaf)
    builder.change(first_change())
    node = province(tmp_path)
    builder.put_into(node)
    assert node.dead_letters() == [code]
    assert node.rows("SELECT seq FROM dead_letter") == [(2,)]
    assert node.rows("SELECT seq FROM change") == [(3,)]
    assert node.store.leaf(1, 2) == leaf


def test_only_we_vouch_for_our_own_writers(tmp_path: Path) -> None:
    node = new_node(COMMUNE, tmp_path)
    document = node.open_case()
    down = LogBuilder(place(PROVINCE), purpose=f"down/{node.peer_id.hex()}")
    down.declare(1, writer_of(place(COMMUNE))).declare(2, writer_of(place(NEIGHBOUR)))
    down.put_into(node)
    assert node.dead_letters() == ["writer_foreign"]
    assert node.values(document) == {"title": "Vụ việc 0"}


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
    node = province(tmp_path)
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
    node = province(tmp_path, admit=admit)
    builder.put_into(node)
    assert node.dead_letters() == ["field_unknown"]
    assert node.values(DOCUMENT) == {"title": "good", "n": 2}
    assert heard == [
        ("case", [], 1, {}),
        ("case", ["registered"], 0, {"title": "bad"}),
        ("case", ["registered"], 0, {"title": "good", "n": 2, "summary": ""}),
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
    builder.put_into(province(Path("nowhere"), admit=admit))
    past: dict[bytes, set[str]] = {pen.changes[0].hash: set()}
    for number, change in enumerate(pen.changes[1:]):
        seen = set().union(*(past[dep] for dep in change.deps))
        assert heard[f"{number}"] == sorted(seen)
        past[change.hash] = seen | {f"{number}"}


def test_a_change_numbered_beyond_its_past_is_refused_in_whatever_order_it_comes(
    tmp_path: Path,
) -> None:
    pen, built = Pen(), logs(COMMUNE, NEIGHBOUR)
    first = pen.write(actor(COMMUNE), CASE)
    busy = pen.write(
        actor(COMMUNE), Edit(fields={f"f{number}": "x" for number in range(9)}, base=pen.heads())
    )
    forged = chunk(
        [Op(key="title", target=(2, actor(COMMUNE)), value="x")],
        actor=actor(NEIGHBOUR),
        start_op=busy.last_op,
        deps=[first.hash],
    )
    built[COMMUNE].change(first.raw).change(busy.raw)
    built[NEIGHBOUR].change(forged)
    for order in ((COMMUNE, NEIGHBOUR), (NEIGHBOUR, COMMUNE)):
        node = province(tmp_path)
        for code in order:
            built[code].put_into(node)
        assert "title" not in node.values(DOCUMENT)
        assert node.dead_letters() == ["change_misnumbered"]


# Memory, clock, files


def test_a_rollback_leaves_nothing_in_memory(tmp_path: Path) -> None:
    pen, builder = chain_of(2)
    node = province(tmp_path)
    builder.change(pen.changes[0].raw)
    log = builder.put_into(node)
    builder.declare(2, writer_of(place(COMMUNE), user="hoa"))
    builder.change(pen.changes[1].raw).change(pen.changes[1].raw, document=bytes(16))
    before = tables(node)

    def fail() -> None:
        with node.transaction():
            found = node.store.find_log(log.log_id)
            assert found is not None
            for leaf in builder.leaves[3:]:
                builder.take(node, found, leaf)
            raise StoreError("disk_full", "full")

    with pytest.raises(StoreError):
        fail()
    intake = node.replica.intake
    assert tables(node) == before
    assert intake.changed == {}
    assert intake.documents.heads(DOCUMENT) == (pen.changes[0].hash,)
    with pytest.raises(RecordError):
        intake.writer(log.number, 2)
    with node.transaction():
        found = node.store.find_log(log.log_id)
        assert found is not None
        assert found.size == 3
        for leaf in builder.leaves[3:5]:
            builder.take(node, found, leaf)
    assert node.values(DOCUMENT) == {"title": "0"}


def test_the_clock_follows_what_it_saw_unless_that_is_from_a_broken_clock(tmp_path: Path) -> None:
    node = province(tmp_path)
    soon, never = reading(NOW_MS + 3_600_000), reading(NOW_MS + 30 * 24 * 3_600_000)
    builder = logs(COMMUNE)[COMMUNE]
    builder.change(b"nothing", hlc=soon).change(b"nothing", hlc=never)
    builder.put_into(node)
    assert node.replica.intake.clock == soon
    document = node.open_case()
    assert node.rows("SELECT changed_hlc > ? FROM document WHERE id = ?", soon, document) == [(1,)]


def test_a_file_that_an_event_names_is_wanted_from_where_it_came(tmp_path: Path) -> None:
    event = Attached(sha256="ab" * 32, size_bytes=10, name="scan.pdf", media_type="application/pdf")
    pen, builder = Pen(), logs(COMMUNE)[COMMUNE]
    key = event_id(NOW, device(COMMUNE))
    edit = Edit(kind="case", texts={"summary": ""}, events={key: event.encode()})
    builder.change(pen.write(actor(COMMUNE), edit).raw)
    node = province(tmp_path)
    builder.put_into(node)
    owner = place(COMMUNE).key.peer_id
    assert node.store.missing_blobs(owner, 9) == [(b"\xab" * 32, 10)]
    assert node.rows("SELECT * FROM blob_document") == [(b"\xab" * 32, DOCUMENT)]


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
    node = province(Path("nowhere"))
    builder.put_into(node)
    assert len(node.dead_letters()) <= 1
    assert node.store.leaf(1, 2) == altered


def test_an_unknown_document_is_empty(tmp_path: Path) -> None:
    intake = province(tmp_path).replica.intake
    unknown = DocumentId(bytes(16))
    assert (intake.events(unknown), intake.texts(unknown)) == ([], {})
    assert (intake.changes_of(unknown), intake.registers(unknown).kind) == ([], "")


def test_a_writer_is_remembered_as_declared(tmp_path: Path) -> None:
    node = province(tmp_path)
    log = logs(COMMUNE)[COMMUNE].put_into(node)
    expected: Writer = writer_of(place(COMMUNE))
    assert node.replica.intake.writer(log.number, 1) == expected
