"""Fills a database with very many cases, much faster than they could be written one by one.

What is loaded in bulk: copies of families that the real pipeline made (see families.py), inserted
straight into the real tables: leaves with their tree and signed head, documents, changes, events,
long texts, audience, view rows and the search index. They are what `tiepdan rebuild` would make of
those leaves, with one exception: the sealed number of a copied person cannot be opened, because a
seal is bound to its person. Nothing that is measured is done in this way.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from crypto.identity import NodeKey
from crypto.note import cosign, key_name, sign_head
from node.samples.texts import Place
from node.station import Station
from scripts.benchmarks.families import Copy, Family, Names, copy_of, families
from sync.log import HEAD_STEP, Log
from sync.replica import Replica

Originals: TypeAlias = Callable[[sqlite3.Connection, int, bytes, bytes], Iterator[Family]]

_COPIES_A_TRANSACTION: Final = 500


def fill(
    station: Station,
    owner: Station,
    place: Place,
    *,
    cases: int,
    rng: random.Random,
    now_ms: int,
    leaves_max: int = 1_000,
    originals: Originals = families,
) -> Iterator[int]:
    """Copy the families that a commune wrote until so many cases are here; yield how many are.

    Args:
        station: whose database is filled; nobody else works on it.
        owner: the commune, which signs the new tree heads; it may be the same.
        place: where the commune is.
        cases: to end with.
        rng: source of ids and names.
        now_ms: wall clock.
        leaves_max: only families with no more leaves than this are copied.
        originals: what is copied. With the same cases, rng and time, two stations that hold the
            same log end with the same log.
    """
    replica, key, device = station.replica, owner.replica.key, owner.replica.device
    log_id = owner.replica.up_log().log_id
    found = list(_originals(station, log_id, device, leaves_max, originals))
    names = Names(rng, place)
    count = int(station.connection.execute("SELECT max(number) FROM cases").fetchone()[0])
    while count < cases:
        with replica.transaction():
            log = replica.store.find_log(log_id)
            assert log is not None
            some: list[tuple[int, Copy]] = []
            size = log.size
            for number in range(count + 1, min(cases, count + _COPIES_A_TRANSACTION) + 1):
                copy = copy_of(
                    rng.choice(found),
                    rng,
                    names,
                    at_ms=now_ms + number,
                    number=number,
                    first_seq=size,
                    node=log.owner,
                    device=device,
                )
                size += len(copy.leaves)
                some.append((number, copy))
            _insert(station.connection, log, some)
            _extend(replica, log, key, some, now_ms)
        count = some[-1][0]
        yield count


def _originals(
    station: Station, log_id: bytes, device: bytes, leaves_max: int, originals: Originals
) -> Iterator[Family]:
    with station.replica.transaction():
        log = station.replica.store.find_log(log_id)
        assert log is not None
        for family in originals(station.connection, log.number, log.owner, device):
            if len(family.changes) <= leaves_max:
                yield family


def _insert(db: sqlite3.Connection, log: Log, copies: Sequence[tuple[int, Copy]]) -> None:
    leaves = [leaf for _, copy in copies for leaf in copy.leaves]
    rows: dict[str, list[tuple[Any, ...]]] = {
        "leaf": [(log.number, log.size + index, leaf) for index, leaf in enumerate(leaves)],
        "case_search (rowid, text)": [(number, copy.search) for number, copy in copies],
    }
    for _, copy in copies:
        for table, some in copy.rows.items():
            rows.setdefault(table, []).extend(some)
    for table, values in rows.items():
        marks = ", ".join("?" * len(values[0]))
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", values)


def _extend(
    replica: Replica, log: Log, owner: NodeKey, copies: Sequence[tuple[int, Copy]], now_ms: int
) -> None:
    """Let the tree grow over the leaves, with the heads on the way that a real log has."""
    store = replica.store
    for leaf in (leaf for _, copy in copies for leaf in copy.leaves):
        log.extend(leaf)
        if log.size % HEAD_STEP == 0:
            signature = sign_head(owner, log.head())
            store.put_head(log, log.size, log.frontier.root(), signature)
    log.head_signature = sign_head(owner, log.head())
    if log.source is not None:
        subject = replica.subject
        made = cosign(replica.key, key_name(subject.code), log.head(), now_ms // 1000)
        store.put_cosignature(log, log.size, subject.tier.value, subject.code, made)
