"""Goal: small messages of a peer never make much work for the one who gets them.

Method: sessions with a commune's real key that say the cheap thing again and again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import sync.inbound
from schemas.ids import DocumentId
from schemas.limits import LEAF_BYTES_MAX, PART_BYTES_MIN
from schemas.wire import PACKED, Ack, Frame, Hello
from sync.errors import LinkError
from sync.log import Log
from sync.session import Session
from sync.store import Store
from tests.sync.builders import (
    COMMUNE,
    NOW_MS,
    PROVINCE,
    Link,
    LogBuilder,
    Node,
    new_node,
    noise,
    place,
    tell,
    writer_of,
)


def _met(folder: Path) -> tuple[Node, Session]:
    province, commune = new_node(PROVINCE, folder), place(COMMUNE)
    with province.transaction():
        province.replica.welcome(commune.as_peer(is_child=True))
    return province, Session(province.replica, commune.subject, "child", province.files)


@contextmanager
def _steps_at_most(node: Node, maximum: int) -> Iterator[None]:
    """Count the steps of SQLite's virtual machine, which no busy computer makes more."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 100
        return 0

    db = node.store.db
    assert isinstance(db, sqlite3.Connection)
    db.set_progress_handler(count, 100)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)
    assert taken <= maximum


def test_a_log_offered_again_and_again_is_looked_through_once(tmp_path: Path) -> None:
    province, session = _met(tmp_path)
    log = LogBuilder(place(COMMUNE))
    leaves = tuple(bytes([number]) for number in range(200))
    tell(province, session, log.hello())
    # Half of it is missing, so that there are gaps as well.
    for first in range(1, 20_000, 400):
        tell(province, session, Frame(log=log.log_id, priority=2, first_seq=first, leaves=leaves))
    offers = (log.offer(),) * 4_000
    with _steps_at_most(province, 100_000):
        tell(province, session, Hello(version=1, now_ms=NOW_MS, offers=offers))


def test_a_leaf_in_the_smallest_parts_does_not_take_long_to_put_together(tmp_path: Path) -> None:
    province, session = _met(tmp_path)
    log = LogBuilder(place(COMMUNE))
    total = LEAF_BYTES_MAX // PART_BYTES_MIN * PART_BYTES_MIN
    parts = [
        Frame(
            log=log.log_id,
            priority=2,
            first_seq=0,
            coding=PACKED,
            data=bytes(PART_BYTES_MIN),
            offset=offset,
            total=total,
        )
        for offset in range(PART_BYTES_MIN, total, PART_BYTES_MIN)
    ]
    # A second of work at most, though each part looks at those before it.
    with _steps_at_most(province, 10_000 * len(parts)):
        tell(province, session, log.hello(), *parts)
    assert province.rows("SELECT count(*) FROM early_frame") == [(len(parts),)]


def test_logs_that_nobody_proves_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync.inbound, "OFFERS_MAX", 3)
    province, session = _met(tmp_path)
    commune = place(COMMUNE)
    for epoch in range(3):
        tell(province, session, LogBuilder(commune, epoch=epoch).hello())
    with pytest.raises(LinkError) as refused:
        tell(province, session, LogBuilder(commune, epoch=3).hello())
    assert refused.value.code == "offers_too_many"
    proved = LogBuilder(commune, epoch=1)
    frame = Frame(log=proved.log_id, priority=2, first_seq=0, leaves=tuple(proved.leaves))
    tell(province, session, proved.hello(), frame, proved.head())
    tell(province, session, LogBuilder(commune, epoch=3).hello())


def test_an_old_head_is_compared_once_and_answered_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    province, session = _met(tmp_path)
    commune = place(COMMUNE)
    log = LogBuilder(commune)
    for number in range(1, 6):
        log.declare(number, writer_of(commune, user=f"user{number}"))
    tell(
        province,
        session,
        log.hello(),
        Frame(log=log.log_id, priority=2, first_seq=0, leaves=tuple(log.leaves)),
        log.head(),
    )
    computed: list[int] = []
    honest = Store.root_at

    def counted(store: Store, log: Log, size: int) -> bytes:
        computed.append(size)
        return honest(store, log, size)

    monkeypatch.setattr(Store, "root_at", counted)
    short = LogBuilder(commune)
    for number in range(1, 3):
        short.declare(number, writer_of(commune, user=f"user{number}"))
    for _ in range(5):
        answers = tell(province, session, short.head())
        assert [type(answer) for answer in answers] == [Ack]
    assert computed == [len(short.leaves)]


def test_what_finds_no_room_on_the_line_is_read_and_packed_once(tmp_path: Path) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    with commune.transaction():
        for number in range(200):
            document, fields = DocumentId(number.to_bytes(16, "big")), {"title": noise(300, number)}
            author = commune.author()
            commune.replica.write(author, document, now_ms=NOW_MS, kind="case", fields=fields)
    said: list[str] = []
    link = Link(commune, province)
    db = commune.store.db
    assert isinstance(db, sqlite3.Connection)
    db.set_trace_callback(said.append)
    link.run()
    db.set_trace_callback(None)
    frames = [m for sender, m in link.sent if isinstance(m, Frame) and not sender]
    read = [text for text in said if text.startswith("SELECT data FROM leaf WHERE log")]
    # Some twice at the beginning, until the peer has said what it understands.
    assert len(frames) <= len(read) < len(frames) + 5
