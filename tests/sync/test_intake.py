"""Leaves become documents in whatever order they come; what cannot be used is only listed.

Method: logs are built leaf by leaf with the real keys of their owners and taken in drawn orders;
the tables must come out the same. Then leaves that no honest node writes are put between good ones.
"""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.events import Attached, Noted
from schemas.hlc import reading
from schemas.ids import DocumentId, event_id
from sync.change import parse_change
from sync.document import Edit
from sync.errors import StoreError
from sync.log import Log
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
    actor,
    device,
    logs,
    new_node,
    place,
    tables,
    writer_of,
)
from tests.sync.chunks import Op, chunk

OWNERS = (COMMUNE, NEIGHBOUR, CENTRE)


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
        node = new_node(PROVINCE, Path("nowhere"))
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
        node = new_node(PROVINCE, Path("nowhere"))
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
    node = new_node(PROVINCE, tmp_path)
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
    node = new_node(PROVINCE, tmp_path)
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
    node = new_node(PROVINCE, tmp_path)
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
    node = new_node(PROVINCE, tmp_path)
    builder.put_into(node)
    assert node.rows("SELECT seq, code FROM dead_letter") == [(2, "root_changed")]
    assert node.rows("SELECT * FROM waiting_change") == []


# Copies


def test_a_change_that_comes_again_changes_nothing(tmp_path: Path) -> None:
    pen, builder = chain_of(3)
    for change in pen.changes:
        builder.change(change.raw)
    node = new_node(PROVINCE, tmp_path)
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
        node = new_node(PROVINCE, tmp_path)
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
    node = new_node(PROVINCE, tmp_path)
    builder.put_into(node)
    other.put_into(node)
    assert node.dead_letters() == ["actor_foreign"]
    assert len(node.rows("SELECT * FROM change")) == 1


# Memory, clock, files


def test_a_rollback_leaves_nothing_in_memory(tmp_path: Path) -> None:
    pen, builder = chain_of(2)
    node = new_node(PROVINCE, tmp_path)
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
    node = new_node(PROVINCE, tmp_path)
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
    node = new_node(PROVINCE, tmp_path)
    builder.put_into(node)
    owner = place(COMMUNE).key.peer_id
    assert node.store.missing_blobs(owner, 9) == [(b"\xab" * 32, 10)]
    assert node.rows("SELECT * FROM blob_document") == [(b"\xab" * 32, DOCUMENT)]


def test_an_unknown_document_is_empty(tmp_path: Path) -> None:
    intake = new_node(PROVINCE, tmp_path).replica.intake
    unknown = DocumentId(bytes(16))
    assert (intake.events(unknown), intake.texts(unknown)) == ([], {})
    assert (intake.changes_of(unknown), intake.registers(unknown).kind) == ([], "")


def test_a_writer_is_remembered_as_declared(tmp_path: Path) -> None:
    node = new_node(PROVINCE, tmp_path)
    log = logs(COMMUNE)[COMMUNE].put_into(node)
    assert node.replica.intake.writer(log.number, 1) == writer_of(place(COMMUNE))
