"""Marks of the audit trail in the signed log, and what they say about a trail later."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.trail import TrailCheck, TrailLine, check_lines
from schemas.record import LeafType, decode_leaf
from schemas.trail import TrailMark, decode_trail
from sync.log import UP
from sync.replica import Replica

MARK_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedCheck:
    """What a look at a trail and its marks found.

    Attributes:
        trail: whether its lines follow from each other.
        marks: how many marks there are.
        contradicted: marks that another trail left: of it, lines were altered or taken away since.
    """

    trail: TrailCheck
    marks: int
    contradicted: tuple[TrailMark, ...]


def mark_trail(replica: Replica, db: sqlite3.Connection, now_ms: int) -> bool:
    """Mark the trail in the log, in a transaction, if it grew and the last mark is a day old."""
    newest = db.execute("SELECT number, link FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    last = db.execute("SELECT max(lines), max(at_ms) FROM trail_mark").fetchone()
    if newest is None or newest[0] == last[0]:
        return False
    if last[1] is not None and 0 <= now_ms - last[1] < MARK_MS:
        return False
    mark = TrailMark(lines=newest[0], link=bytes(newest[1]))
    replica.append_statement(LeafType.TRAIL, mark.encode(), now_ms)
    db.execute(
        "INSERT OR REPLACE INTO trail_mark VALUES (?, ?, ?)", (mark.lines, mark.link, now_ms)
    )
    return True


def marks_in_log(replica: Replica) -> list[TrailMark]:
    """Return all marks in the node's own logs, oldest epoch and leaf first; reads every leaf."""
    rows = replica.store.db.execute(
        "SELECT l.data FROM leaf l JOIN log g ON g.number = l.log"
        " WHERE g.owner = ? AND g.purpose = ? AND substr(l.data, 1, 2) = ?"
        " ORDER BY g.epoch, l.seq",
        (replica.key.peer_id, UP, bytes([0x85, LeafType.TRAIL])),
    )
    return [decode_trail(decode_leaf(row[0]).body) for row in rows]


def check_marked(lines: Sequence[TrailLine], marks: Iterable[TrailMark]) -> MarkedCheck:
    """Compare a trail with the marks that its node left in its signed log."""
    links = {line.number: line.link for line in lines}
    known = list(marks)
    return MarkedCheck(
        trail=check_lines(iter(lines)),
        marks=len(known),
        contradicted=tuple(mark for mark in known if links.get(mark.lines) != mark.link),
    )
