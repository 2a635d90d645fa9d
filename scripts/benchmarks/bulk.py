"""Fills a database with very many cases, much faster than they could be written one by one.

What is loaded in bulk: copies of families that the real pipeline made (see families.py), inserted
straight into the real tables: leaves with their tree and signed head, documents, changes, events,
long texts, audience, view rows and the search index. They are what `tiepdan rebuild` would make of
those leaves, with one exception: the sealed number of a copied person cannot be opened, because a
seal is bound to its person. Nothing that is measured is done in this way.
"""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from crypto.identity import NodeKey
from crypto.note import cosign, key_name, sign_head
from node.samples.texts import Place
from node.station import Station
from scripts.benchmarks.families import Copy, Names, copy_of, families
from sync.replica import Replica
from sync.store import HEAD_STEP, Log

_COPIES_A_TRANSACTION: Final = 500


def fill(
    station: Station, log: Log, owner: NodeKey, device: bytes, place: Place, *, cases: int,
    rng: random.Random, now_ms: int,
) -> Iterator[int]:  # fmt: skip
    """Copy the families of a log until so many cases are here, yielding how many there are.

    Args:
        station: whose database is filled; nobody else works on it.
        log: its own log, or one that it received.
        owner: key of the log's owner, who signs the new tree heads.
        device: of the writer of the originals.
        place: commune of the originals.
        cases: to end with.
        rng: source of ids and names.
        now_ms: wall clock.
    """
    db, replica = station.connection, station.replica
    originals = list(families(db, log.number, log.owner, device))
    names = Names(rng, place)
    count = int(db.execute("SELECT coalesce(max(number), 0) FROM cases").fetchone()[0])
    while count < cases:
        with replica.transaction():
            known = replica.store.find_log(log.log_id)
            assert known is not None
            size = known.size
            some = []
            for number in range(count + 1, min(cases, count + _COPIES_A_TRANSACTION) + 1):
                copy = copy_of(
                    rng.choice(originals), rng, names, at_ms=now_ms + number, number=number,
                    first_seq=size, node=log.owner, device=device,
                )  # fmt: skip
                size += len(copy.leaves)
                some.append((number, copy))
            _insert(db, known.number, known.size, some)
            _extend(replica, known, owner, [leaf for _, copy in some for leaf in copy.leaves],
                    now_ms)  # fmt: skip
        count = some[-1][0]
        yield count


def _insert(
    db: sqlite3.Connection, log: int, first_seq: int, copies: Sequence[tuple[int, Copy]]
) -> None:
    leaves = [leaf for _, copy in copies for leaf in copy.leaves]
    rows = {"leaf": [(log, first_seq + index, leaf) for index, leaf in enumerate(leaves)]}
    for _, copy in copies:
        for table, some in copy.rows.items():
            rows.setdefault(table, []).extend(some)  # type: ignore[arg-type]
    for table, values in rows.items():
        marks = ", ".join("?" * len(values[0]))
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
    db.executemany(
        "INSERT INTO case_search (rowid, text) VALUES (?, ?)",
        [(number, copy.search) for number, copy in copies],
    )


def _extend(
    replica: Replica, log: Log, owner: NodeKey, leaves: Sequence[bytes], now_ms: int
) -> None:
    """Let the tree grow over the leaves, with the heads on the way that a real log has."""
    store = replica.store
    for leaf in leaves:
        log.extend(leaf)
        if log.size % HEAD_STEP == 0:
            signature = sign_head(owner, log.head())
            store.put_head(log, log.size, log.frontier.root(), signature)
    log.head_signature = sign_head(owner, log.head())
    if log.source is not None:
        subject = replica.subject
        made = cosign(replica.key, key_name(subject.code), log.head(), now_ms // 1000)
        store.put_cosignature(log, log.size, subject.tier.value, subject.code, made)
