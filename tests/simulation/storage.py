"""Databases that fail on command, below everything that decides.

A database lives in memory and outlives the node that works on it, as a disk outlives a process. The
guard between the two counts statements by kind and, when it was told so, ends the process at one
of them (Crash) or lets SQLite report a failing disk.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from sync.database import open_database
from sync.migrations import migrations

_KIND: Final = re.compile(
    r"\s*(INSERT|UPDATE|DELETE|SELECT|BEGIN|COMMIT|ROLLBACK)\b"
    r"(?:\s+OR\s+\w+)?(?:.*?\b(?:INTO|FROM)\b)?\s*(\w*)",
    re.DOTALL,
)
_STATEMENT_ALONE: Final = ("BEGIN", "COMMIT", "ROLLBACK")

Moment = Literal["before", "after"]


class Crash(BaseException):
    """The process ended here: power cut, kill, panic. Nothing in the product may catch it."""


@dataclass(frozen=True, slots=True)
class Trap:
    """What happens at a statement to come.

    Attributes:
        kind: of the statement that springs it; empty for any.
        countdown: how many such statements pass first.
        moment: "after" a COMMIT means: durable, but nobody was told.
        is_crash: else SQLite reports that the disk is full or failing, once.
    """

    kind: str
    countdown: int
    moment: Moment
    is_crash: bool


class Guard:
    """A connection for the store that can fail.

    Attributes:
        disk: the database itself, which a crash leaves as it is.
        counts: statements run, by kind.
        sprung: kind and moment of the traps that went off.
    """

    def __init__(self, disk: sqlite3.Connection) -> None:
        self.disk = disk
        self.counts: Counter[str] = Counter()
        self.sprung: Counter[tuple[str, Moment, bool]] = Counter()
        self._trap: Trap | None = None
        self._countdown = 0
        self._is_dead = False
        self._is_observed = False

    @property
    def in_transaction(self) -> bool:
        """Whether BEGIN came without COMMIT or ROLLBACK."""
        return self.disk.in_transaction

    @property
    def is_armed(self) -> bool:
        """Whether a trap waits."""
        return self._trap is not None

    def arm(self, trap: Trap) -> None:
        """Set a trap in the place of an earlier one."""
        self._trap, self._countdown = trap, trap.countdown

    def disarm(self) -> None:
        """Take the trap away."""
        self._trap = None

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Let an observer use the store's own methods without counting or failing."""
        self._is_observed = True
        try:
            yield
        finally:
            self._is_observed = False

    def restart(self) -> None:
        """Do what the disk does when the process ended: forget the open transaction."""
        self._is_dead, self._trap = False, None
        if self.disk.in_transaction:
            self.disk.execute("ROLLBACK")

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run one statement, unless a trap springs."""
        moment = self._moment(sql)
        if moment is None:
            return self.disk.execute(sql, parameters)
        if moment == "after":
            self.disk.execute(sql, parameters)
        raise self._spring(sql, moment)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Run one statement for each row, unless a trap springs."""
        moment = self._moment(sql)
        if moment is None:
            return self.disk.executemany(sql, parameters)
        if moment == "after":
            self.disk.executemany(sql, parameters)
        raise self._spring(sql, moment)

    def _moment(self, sql: str) -> Moment | None:
        """Count a statement; return when a trap springs at it."""
        if self._is_observed:
            return None
        if self._is_dead:
            # A process that ended runs nothing more, whoever caught its end.
            raise Crash
        kind = statement_kind(sql)
        self.counts[kind] += 1
        trap = self._trap
        if trap is None or trap.kind not in ("", kind):
            return None
        self._countdown -= 1
        if self._countdown > 0:
            return None
        # A disk reports before it did the work; a rollback never fails.
        if not trap.is_crash and kind == "ROLLBACK":
            return None
        return trap.moment if trap.is_crash else "before"

    def _spring(self, sql: str, moment: Moment) -> BaseException:
        assert self._trap is not None
        is_crash, self._trap = self._trap.is_crash, None
        self.sprung[statement_kind(sql), moment, is_crash] += 1
        if is_crash:
            self._is_dead = True
            return Crash()
        reading = statement_kind(sql).startswith("SELECT")
        return sqlite3.OperationalError("disk I/O error" if reading else "database or disk is full")


@cache
def statement_kind(sql: str) -> str:
    """Return verb and table of a statement, such as "INSERT leaf"."""
    found = _KIND.match(sql)
    if found is None:
        return sql.split(maxsplit=1)[0]
    verb, table = found.groups()
    return verb if verb in _STATEMENT_ALONE else f"{verb} {table}"


@cache
def _template() -> bytes:
    made = open_database(":memory:", (migrations,))
    try:
        return made.serialize()
    finally:
        made.close()


_spare: list[sqlite3.Connection] = []


def new_disk() -> sqlite3.Connection:
    """Return an empty database with the tables in place; give_back() takes it again."""
    if _spare:
        return _spare.pop()
    disk = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
    disk.deserialize(_template())
    disk.execute("PRAGMA foreign_keys = ON")
    return disk


def give_back(disk: sqlite3.Connection) -> None:
    """Empty a disk for a later node: to prepare all statements anew takes a tenth of a story."""
    if disk.in_transaction:
        disk.execute("ROLLBACK")
    tables = disk.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name != '_sqlite_migrations'"
    ).fetchall()
    disk.execute("PRAGMA foreign_keys = OFF")
    disk.execute("BEGIN")
    for (table,) in tables:
        disk.execute(f"DELETE FROM {table}")
    disk.execute("COMMIT")
    disk.execute("PRAGMA foreign_keys = ON")
    _spare.append(disk)
