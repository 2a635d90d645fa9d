"""What a node does beside the work, a little at a time: tidying up, marking, reading again."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from node.clock import Clock
from node.paper_marks import has_pending, make_marks
from node.resealing import Resealing
from node.station import Station
from node.trail_marks import mark_trail
from node.writer import ChangeCounter, WriterThread
from sync.database import open_checkpointer, translated
from sync.errors import StoreError
from sync.scrub import SCRUB_STEP_MS

log = logging.getLogger(__name__)
T = TypeVar("T")

# The log is folded that often while there are commits.
_FOLD_S: Final = 1.0
_FOLD_IDLE_S: Final = 600.0
# Some milliseconds of work.
_MERGE_PAGES: Final = 64
# A mark a day; asked for more often, as a node may run for an hour only.
_MARK_S: Final = 600.0
# Opening a number takes a tenth of a millisecond; looking who waits, some for many people.
_MARKS_A_STEP: Final = 100
_PAPERS_S: Final = 5.0
# Each becomes a change to a record.
_SEALS_A_STEP: Final = 20
_SEALS_S: Final = 5.0
_SCRUB_IDLE_MS: Final = 60_000


class Read(Protocol):
    """Runs work on a read-only connection in a reader thread."""

    async def __call__(self, work: Callable[[sqlite3.Connection], T], /) -> T:
        """Return what it returned."""


class Housekeeping:
    """Works of one running node; each goes on until it is cancelled."""

    def __init__(
        self,
        station: Station,
        clock: Clock,
        writer: WriterThread,
        changes: ChangeCounter,
        pool: ThreadPoolExecutor,
        read: Read,
    ) -> None:
        """Write in the writer thread, fold in a thread of the pool, look by read."""
        self._station, self._clock, self._writer = station, clock, writer
        self._changes, self._pool, self._read = changes, pool, read

    def works(self) -> list[tuple[str, Coroutine[None, None, None]]]:
        """Return all of them by name, to be started."""
        return [
            ("fold", self.keep_folded()),
            ("scrub", self.keep_scrubbed()),
            ("trail", self.keep_trail_marked()),
            ("papers", self.keep_papers_marked()),
            ("seals", self.keep_sealed_anew()),
        ]

    async def keep_folded(self) -> None:
        """Tidy the database up beside the work, until cancelled: its log and its search index.

        Else every so many commits one would have to do it, while somebody waits at the counter.
        """
        folder = open_checkpointer(self._station.folder.database)
        seen = self._changes.number
        try:
            while True:
                seen = await self._changes.wait(seen, _FOLD_IDLE_S)
                await asyncio.get_running_loop().run_in_executor(self._pool, _fold, folder)
                await self._writer.run(self._merge_index)
                await self._clock.sleep(_FOLD_S)
        finally:
            folder.close()

    def _merge_index(self) -> None:
        """Merge a bit of the search index; where there is nothing to merge, nothing is written."""
        try:
            with self._station.replica.transaction():
                self._station.connection.execute(
                    "INSERT INTO case_search (case_search, rank) VALUES ('merge', ?)",
                    (_MERGE_PAGES,),
                )
        except StoreError as error:
            log.error("index not merged", extra={"code": error.code})

    async def keep_trail_marked(self) -> None:
        """Put into the signed log how far the audit trail has come, once a day, until cancelled."""
        while True:
            await self._writer.run(self._mark_trail)
            await self._clock.sleep(_MARK_S)

    def _mark_trail(self) -> None:
        replica, db = self._station.replica, self._station.connection
        try:
            with replica.transaction():
                mark_trail(replica, db, self._clock.now_ms())
        except StoreError as error:
            log.error("trail not marked", extra={"code": error.code})

    async def keep_papers_marked(self) -> None:
        """Mark who has the same identity paper, while the office key is open, until cancelled."""
        db, seals = self._station.connection, self._station.desk.seals

        def unit() -> int:
            with self._station.replica.transaction():
                return make_marks(db, seals, _MARKS_A_STEP)

        while True:
            if await self._read(lambda reader: has_pending(reader, seals)):
                try:
                    await self._writer.run(unit)
                except StoreError as error:
                    log.error("papers not marked", extra={"code": error.code})
            await self._clock.sleep(_PAPERS_S)

    async def keep_sealed_anew(self) -> None:
        """Seal for the next key of the province what a revoked one opened, until cancelled."""
        replica = self._station.replica
        resealing = Resealing(replica, self._station.desk)

        def unit() -> int:
            if not resealing.is_due():
                return 0
            with replica.transaction():
                return resealing.step(_SEALS_A_STEP, self._clock.now_ms())

        while True:
            try:
                if done := await self._writer.run(unit):
                    # They travel with what is written next, as the marks of the trail do.
                    log.info("sealed anew", extra={"values": done})
            except StoreError as error:
                log.error("not sealed anew", extra={"code": error.code})
            await self._clock.sleep(_SEALS_S)

    async def keep_scrubbed(self) -> None:
        """Read all that is stored again beside the work, a little at a time, until cancelled."""
        while True:
            has_worked = await self._writer.run(self._scrub)
            await self._clock.sleep((SCRUB_STEP_MS if has_worked else _SCRUB_IDLE_MS) / 1000)

    def _scrub(self) -> bool:
        try:
            with self._station.replica.transaction():
                return self._station.replica.scrub.step(self._clock.now_ms())
        except StoreError as error:
            log.error("leaves not read again", extra={"code": error.code})
            return False


def _fold(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        log.error("log not folded", extra={"code": translated(error).code})
