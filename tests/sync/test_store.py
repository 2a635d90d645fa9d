"""A transaction is whole or did not happen, and the tree is that of the leaves.

Method: the program is ended at each statement of real work, in turn, and started again on what the
disk holds; proofs from the store are compared with those made from plain lists.
"""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from crypto.merkle import Frontier, inclusion_proof, leaf_hash, parent_hash, root_at
from crypto.note import Cosignature
from schemas.codes import Tier
from schemas.events import Noted
from schemas.ids import DocumentId
from sync.database import open_database, open_reader, translated
from sync.errors import LogError, StoreError
from sync.log import HEAD_STEP, Log
from sync.migrations import migrations
from sync.store import Store
from tests.sync.builders import (
    COMMUNE,
    DERIVED,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    memory,
    new_node,
    place,
)

OWNER = bytes(32)


class Crash(BaseException):
    """The process ended here."""


class Guard:
    """A connection that ends the process before or after a statement, or lets the disk fail.

    Attributes:
        left: statements that still pass; None lets all pass.
        failure: what happens then.
    """

    def __init__(self, disk: sqlite3.Connection, failure: BaseException, *, after: bool) -> None:
        self.disk, self.failure, self.after = disk, failure, after
        self.left: int | None = None

    @property
    def in_transaction(self) -> bool:
        return self.disk.in_transaction

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.after:
            cursor = self.disk.execute(sql, parameters)
            self._count(sql)
            return cursor
        self._count(sql)
        return self.disk.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        self._count(sql)
        return self.disk.executemany(sql, parameters)

    def _count(self, sql: str) -> None:
        # What comes after the end never runs; of a failing disk, SQLite still takes things back.
        if self.left is None or sql == "ROLLBACK":
            return
        if self.left == 0:
            raise self.failure
        self.left -= 1


def content(disk: sqlite3.Connection) -> dict[str, list[Any]]:
    names = (*DERIVED, "meta", "log", "leaf", "pending_leaf", "subtree", "head", "cosignature",
             "cursor", "peer", "blob", "alarm", "audience")  # fmt: skip
    return {name: sorted(disk.execute(f"SELECT * FROM {name}").fetchall()) for name in names}


def write_some(node: Node) -> DocumentId:
    case = node.open_case(0, Noted(text="một"))
    node.write(case, fields={"title": "hai"}, texts={"summary": "một hai ba"})
    return case


def add_more(node: Node, case: DocumentId) -> None:
    """Write one change, by a new writer, to a case that is there."""
    node.write(
        case,
        author=node.author("hoa"),
        fields={"title": "ba"},
        texts={"summary": "một hai bốn"},
        events=[Noted(text="hai")],
    )


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("is_crash", [False, True])
def test_a_write_that_ends_at_any_statement_is_whole_or_did_not_happen(
    tmp_path: Path, after: bool, is_crash: bool
) -> None:
    ended = Crash if is_crash else StoreError
    failure: BaseException = Crash() if is_crash else sqlite3.OperationalError("disk is full")
    count = 0
    while True:
        disk = memory()
        guard = Guard(disk, failure, after=after)
        node = new_node(COMMUNE, tmp_path, connection=guard)
        case = write_some(node)
        before = content(disk)
        guard.left = count
        try:
            add_more(node, case)
        except ended:
            committed = after and content(disk) != before
            assert not disk.in_transaction
        else:
            break
        guard.left = None
        if committed:
            # Ended right after the commit: it is done, and nobody was told.
            assert len(content(disk)["change"]) == len(before["change"]) + 1
        else:
            assert content(disk) == before
            add_more(node, case)
        # In memory and on the disk alike.
        assert_works(node, case)
        assert_works(new_node(COMMUNE, tmp_path, connection=disk), case)
        count += 1
    assert count > 12, "the write has many statements"


def assert_works(node: Node, case: DocumentId) -> None:
    node.write(case, fields={"title": f"{len(node.rows('SELECT * FROM leaf'))}"})
    log = node.log(node.place)
    leaves = node.store.leaves(log, 0, 99)
    assert len(leaves) == log.size
    assert log.head().root == root_of(leaves)
    assert node.dead_letters() == []


def root_of(leaves: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf))
    return frontier.root()


def test_a_batch_of_messages_that_ends_at_any_statement_is_received_again(tmp_path: Path) -> None:
    count = step = 0
    while step == count:
        disk = memory()
        guard = Guard(disk, Crash(), after=False)
        commune = new_node(COMMUNE, tmp_path)
        commune.open_case()
        province = new_node(PROVINCE, tmp_path, connection=guard)
        link = Link(commune, province)
        guard.left = count
        try:
            link.run()
        except Crash:
            step += 1
        guard.left = None
        reopened = new_node(PROVINCE, tmp_path, connection=disk)
        Link(commune, reopened).run()
        log = reopened.log(place(COMMUNE))
        assert log.size == commune.log(place(COMMUNE)).size
        assert reopened.store.cosigned_size(log, Tier.PROVINCE) == log.size
        assert reopened.alarms() == commune.alarms() == []
        count += 1
    assert count > 30


def test_a_rollback_forgets_what_memory_held() -> None:
    store = Store(memory())
    with store.transaction():
        put_leaves(store, a_log(store), 3)
    with pytest.raises(Crash):
        fail_after_growth(store)
    log = store.find_log(b"L" * 16)
    assert log is not None
    assert (log.size, log.dirty) == (3, False)
    assert [each.log_id for each in store.logs()] == [b"L" * 16]


def fail_after_growth(store: Store) -> None:
    with store.transaction():
        log = store.find_log(b"L" * 16)
        assert log is not None
        put_leaves(store, log, 5)
        a_log(store, b"M" * 16)
        assert len(store.logs()) == 2
        raise Crash


def test_a_log_that_grew_without_a_head_is_not_committed() -> None:
    store = Store(memory())

    def grow() -> None:
        with store.transaction():
            log = a_log(store)
            put_leaves(store, log, 1)
            log.unsigned = True

    with pytest.raises(StoreError) as caught:
        grow()
    assert caught.value.code == "head_unsigned"
    assert store.logs() == []


# The tree


def a_log(store: Store, log_id: bytes = b"L" * 16) -> Log:
    return store.create_log(log_id=log_id, owner=OWNER, purpose="up", epoch=0, code="40.1")


def put_leaves(store: Store, log: Log, count: int) -> None:
    for number in range(log.size, log.size + count):
        store.put_leaf(log, log.extend(b"leaf %d" % number), b"leaf %d" % number)


class Plain:
    """The tree over a plain list."""

    def __init__(self, count: int) -> None:
        self.levels = [[leaf_hash(b"leaf %d" % number) for number in range(count)]]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            pairs = zip(below[::2], below[1::2], strict=False)
            self.levels.append([parent_hash(left, right) for left, right in pairs])

    def hash(self, level: int, position: int) -> bytes:
        return self.levels[level][position]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 700])
def test_roots_and_proofs_are_those_of_the_leaves(count: int) -> None:
    store, plain = Store(memory()), Plain(count)
    with store.transaction():
        log = a_log(store)
        put_leaves(store, log, count)
        check_tree(store, log, plain, [count])
    check_tree(Store(store.db), log, plain, sorted({1, 2, 3, 200, 255, 256, 257, 513, count}))


def check_tree(store: Store, log: Log, plain: Plain, sizes: Sequence[int]) -> None:
    for size in sizes:
        if size > log.size:
            continue
        assert store.root_at(log, size) == root_at(size, plain.hash)
        for seq in {0, size // 2, size - 1}:
            expected = inclusion_proof(seq, size, plain.hash)
            assert store.inclusion_proof(log, seq, size) == expected


def test_subtrees_are_kept_at_every_eighth_level() -> None:
    store = Store(memory())
    with store.transaction():
        put_leaves(store, a_log(store), 700)
    rows = store.db.execute("SELECT level, position FROM subtree WHERE level > 0").fetchall()
    assert [tuple(row) for row in rows] == [(8, 0), (8, 1)]


def test_a_leaf_or_a_writer_or_a_log_that_is_not_there_is_said_so() -> None:
    store = Store(memory())
    with store.transaction():
        log = a_log(store)
    for ask in (
        lambda: store.leaf(log.number, 0),
        lambda: store.writer_seq(log, 1),
        lambda: store.log_by_number(99),
    ):
        with pytest.raises(LogError):
            ask()
    assert store.find_log(b"?" * 16) is None
    assert store.meta("nothing") is None
    assert store.peer(bytes(32)) is None


def test_pending_leaves_move_to_the_log_as_far_as_they_are_covered() -> None:
    store = Store(memory())
    with store.transaction():
        log = a_log(store)
        store.put_pending(log, 0, [b"a", b"b", b"c"])
        store.put_pending(log, 2, [b"other", b"d"])
        store.put_pending(log, 7, [b"h"])
        assert store.pending_numbers(log) == [0, 1, 2, 3, 7]
        store.promote(log, 0, 3)
        assert store.leaves(log, 0, 9) == [b"a", b"b", b"c"]
        assert store.pending(log, 0, 9) == [b"d", b"h"]


def test_heads_on_the_way_are_found_in_order() -> None:
    store = Store(memory())
    with store.transaction():
        log = a_log(store)
        put_leaves(store, log, 9)
        log.head_signature = b"whole"
        for size in (HEAD_STEP, 4, 8):
            store.put_head(log, size, b"r%d" % size, b"s")
        store.put_head(log, 4, b"another", b"s")
        assert store.next_head(log, 0) == (4, b"r4", b"s")
        assert store.next_head(log, 4) == (8, b"r8", b"s")
        assert store.next_head(log, HEAD_STEP) == (9, log.frontier.root(), b"whole")
        assert [size for size, _, _ in store.kept_heads(log, 5)] == [8, HEAD_STEP]


def test_a_cosigners_size_never_goes_back() -> None:
    store = Store(memory())

    def put(size: int, second: int) -> bool:
        made = Cosignature(peer_id=OWNER, name="x", timestamp_s=second, signature=b"s%d" % second)
        return store.put_cosignature(log, size, "province", "40", made)

    with store.transaction():
        log = a_log(store)
        assert [put(5, 1), put(4, 2), put(5, 3), put(6, 4)] == [True, False, False, True]
        assert store.cosignature_news == 2
        assert store.cosigned_by(log, OWNER) == store.cosigned_size(log, Tier.PROVINCE) == 6
        assert store.cosigned_size(log, Tier.CENTRE) == store.cosigned_by(log, b"?" * 32) == 0
        (found,) = store.cosignatures(log)
        assert (found[0], found[2].signature) == (6, b"s4")


def test_cosignatures_stand_in_the_order_of_their_tiers() -> None:
    store = Store(memory())
    with store.transaction():
        log = a_log(store)
        for tier, code, byte in (("centre", "0", 1), ("commune", "40.1", 2), ("province", "40", 3)):
            made = Cosignature(peer_id=bytes([byte]) * 32, name="x", timestamp_s=1, signature=b"s")
            store.put_cosignature(log, 1, tier, code, made)
        tiers = [tier for _, tier, _ in store.cosignatures(log)]
    assert tiers == ["commune", "province", "centre"]


def test_a_peer_that_is_a_child_stays_one_and_news_are_told() -> None:
    store = Store(memory())
    child, upper = place(COMMUNE).as_peer(is_child=True), place(COMMUNE).as_peer(is_child=False)
    with store.transaction():
        assert store.put_peer(upper)
        assert store.put_peer(child)
        assert not store.put_peer(child)
        store.put_peer(upper)
        assert store.peers() == [child]
        assert not store.put_peer(child)


# The database itself


def test_a_newer_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    newer = Migrations("sync")
    for migration in migrations._migrations:
        newer._migrations.append(migration)

    @newer(name="9999_later")
    def later(db: Database) -> None:
        db.execute("CREATE TABLE later (x)")

    open_database(path, (newer,)).close()
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        open_database(path, (migrations,))
    assert caught.value.code == "database_newer"
    assert "9999_later" in str(caught.value)
    assert path.read_bytes() == before


def test_a_database_opens_again_as_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    disk = open_database(path, (migrations,))
    assert disk.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert disk.execute("PRAGMA synchronous").fetchone() == (2,)
    assert disk.execute("PRAGMA foreign_keys").fetchone() == (1,)
    write_some(new_node(COMMUNE, tmp_path, connection=disk))
    before = content(disk)
    disk.close()
    disk = open_database(path, (migrations,))
    assert content(disk) == before
    disk.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    disk = open_database(path, (migrations,))
    reader = open_reader(path)
    assert reader.execute("SELECT count(*) FROM leaf").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM leaf")
    reader.close()
    disk.close()


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    path.write_bytes(b"not a database at all, but long enough " * 30)
    with pytest.raises(StoreError) as caught:
        open_database(path, (migrations,))
    assert caught.value.code == "database_damaged"
    with pytest.raises(StoreError) as caught:
        open_database(tmp_path / "no" / "folder", (migrations,))
    assert caught.value.code == "data_not_writable"
    with pytest.raises(StoreError):
        open_reader(tmp_path / "nothing.sqlite")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SQLITE_FULL", "disk_full"),
        ("SQLITE_READONLY_DBMOVED", "data_not_writable"),
        ("SQLITE_CANTOPEN", "data_not_writable"),
        ("SQLITE_CORRUPT_INDEX", "database_damaged"),
        ("SQLITE_NOTADB", "database_damaged"),
        ("SQLITE_BUSY_SNAPSHOT", "database_busy"),
        ("SQLITE_IOERR_WRITE", "database_error"),
        ("", "database_error"),
    ],
)
def test_errors_of_sqlite_become_ours(name: str, code: str) -> None:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    found = translated(error)
    assert found.code == code
    assert bool(found.hint) == (code != "database_error")


def test_a_full_disk_is_told_and_everything_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = open_database(tmp_path / "node.sqlite", (migrations,))
    node = new_node(COMMUNE, tmp_path, connection=disk)
    case = write_some(node)
    before = content(disk)
    pages = disk.execute("PRAGMA page_count").fetchone()[0]
    disk.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError) as caught:
        write_on(node, case)
    assert caught.value.code == "disk_full"
    assert caught.value.hint
    assert not disk.in_transaction
    kept = content(disk)
    assert len(kept["leaf"]) >= len(before["leaf"])
    disk.execute("PRAGMA max_page_count = 1000000")
    add_more(node, case)
    assert len(content(disk)["leaf"]) == len(kept["leaf"]) + 2
    disk.close()


def write_on(node: Node, case: DocumentId) -> None:
    for number in range(200):
        node.write(case, NOW_MS + number, fields={"title": f"{number}" * 200})


def test_a_second_program_is_told_that_the_database_is_taken(tmp_path: Path) -> None:
    first = open_database(tmp_path / "node.sqlite", (migrations,))
    second = open_database(tmp_path / "node.sqlite", (migrations,))
    second.execute("PRAGMA busy_timeout = 1")
    first.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught, Store(second).transaction():
        pass
    assert caught.value.code == "database_busy"
    first.close()
    second.close()


def test_logs_come_in_the_order_in_which_they_were_made() -> None:
    store = Store(memory())
    with store.transaction():
        made = [a_log(store, bytes([number]) * 16).number for number in (9, 3, 7)]
    assert [log.number for log in Store(store.db).logs()] == made
    assert all(one < two for one, two in pairwise(made))


def test_a_log_reads_back_as_it_was_stored(tmp_path: Path) -> None:
    builder = LogBuilder(place(COMMUNE))
    node = new_node(PROVINCE, tmp_path)
    log = builder.put_into(node)
    with node.transaction():
        log.awaited, log.fault, log.dirty = (9, bytes(32), bytes(64)), "log_forked", True
    again = Store(node.store.db).find_log(builder.log_id)
    assert again is not None
    assert again.head() == log.head()
    kept = ("number", "owner", "purpose", "epoch", "tier", "code", "source", "awaited", "fault")
    assert [getattr(again, name) for name in kept] == [getattr(log, name) for name in kept]
