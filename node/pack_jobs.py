"""Packs at a running node: one at a time is made or taken in, beside the work at the counter."""

import asyncio
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from crypto.errors import CryptoError
from node.clock import Clock
from node.entropy import system_entropy, system_rng
from node.errors import NodeError
from node.pack_imports import Imported, Transact, import_packs
from node.packs import (
    SUFFIX,
    Choices,
    Exported,
    FilesChoice,
    Step,
    export_pack,
    find_relative,
    is_known,
)
from node.station import Station, opened_station
from sync.errors import PackError, StoreError, SyncError

log = logging.getLogger(__name__)

Failure = CryptoError | NodeError | SyncError
# Parts made here wait so long to be fetched onto a stick.
KEPT_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A file that somebody handed over, under a name of ours; it is deleted after its job."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A pack that somebody asked for.

    Attributes:
        to: `parent`, or the code of a node that is known here.
    """

    to: str
    files: FilesChoice
    everything: bool


@dataclass(slots=True, kw_only=True)
class PackJob:
    """A pack that is being made, or packs that are being taken in.

    Attributes:
        step: how far it has come; None before the first.
        ended_ms: None while it runs.
        exported, imported: what came of it.
        failure: why nothing, or not all, came of it.
    """

    task: Wanted | Sequence[Arrived]
    began_ms: int
    step: Step | None = None
    ended_ms: int | None = None
    exported: Exported | None = None
    imported: Imported | None = None
    failure: Failure | None = None

    @property
    def kind(self) -> Literal["export", "import"]:
        """Which of the two."""
        return "export" if isinstance(self.task, Wanted) else "import"

    def name_of(self, name: str) -> str:
        """Return the name that a file of ours came with."""
        arrived = () if isinstance(self.task, Wanted) else self.task
        return next((file.name for file in arrived if file.path.name == name), name)


class PackJobs:
    """Makes packs and takes packs in, in a thread of its own; the writer does the writing.

    Attributes:
        last: the job that runs, or that ran last.
        outgoing: folder of the parts that were made.
    """

    def __init__(
        self,
        station: Station,
        clock: Clock,
        transact: Transact,
        announce: Callable[[], Awaitable[None]],
    ) -> None:
        """Work for a running node; `run` does the jobs."""
        self._station, self._clock = station, clock
        self._transact, self._announce = transact, announce
        self._jobs: asyncio.Queue[PackJob] = asyncio.Queue(1)
        self._is_ending = threading.Event()
        self.last: PackJob | None = None
        self.outgoing = station.folder.path / "outgoing"

    def check_free(self) -> None:
        """Refuse to begin while another job runs.

        Raises:
            NodeError: it does.
        """
        if self.last is not None and self.last.ended_ms is None:
            raise NodeError(
                "pack_busy",
                "A pack is being made or taken in just now.",
                "Wait until it is done.",
            )

    def begin(self, task: Wanted | Sequence[Arrived]) -> PackJob:
        """Begin a job.

        Raises:
            NodeError: another one runs.
        """
        self.check_free()
        self.last = PackJob(task=task, began_ms=self._clock.now_ms())
        self._jobs.put_nowait(self.last)
        return self.last

    def parts(self) -> list[tuple[str, int]]:
        """Return names and sizes of the parts that can be fetched."""
        return [(path.name, path.stat().st_size) for path in self._made()]

    def _made(self) -> list[Path]:
        return sorted(self.outgoing.glob(f"*{SUFFIX}"))

    async def run(self) -> None:
        """Do jobs until cancelled; one that runs then stops where nothing is half done."""
        loop = asyncio.get_running_loop()
        self._sweep()
        while True:
            job = await self._jobs.get()
            work = loop.run_in_executor(None, self._do, job)
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                self._is_ending.set()
                await asyncio.wait([work])
                raise
            await self._announce()

    def _sweep(self) -> None:
        """Forget parts that nobody fetched."""
        for path in self._made():
            if path.stat().st_mtime * 1_000 < self._clock.now_ms() - KEPT_MS:
                path.unlink()

    def _do(self, job: PackJob) -> None:
        def progress(step: Step) -> None:
            if self._is_ending.is_set():
                # As at the command: nothing that looks after single parts may swallow it.
                raise KeyboardInterrupt
            job.step = step

        try:
            if isinstance(job.task, Wanted):
                job.exported = self._export(job.task, progress)
            else:
                files = [file.path for file in job.task]
                job.imported = import_packs(self._station, files, self._transact, progress)
        except KeyboardInterrupt:
            job.failure = PackError("pack_interrupted", "the node was stopped")
        except (CryptoError, NodeError, SyncError) as error:
            job.failure = error
        except Exception:
            log.exception("pack fault")
            job.failure = PackError("pack_fault", "this program met a fault of its own")
        finally:
            if not isinstance(job.task, Wanted):
                for file in job.task:
                    file.path.unlink(missing_ok=True)
            job.ended_ms = self._clock.now_ms()

    def _export(self, wanted: Wanted, progress: Callable[[Step], None]) -> Exported:
        folder = self._station.folder
        for path in self._made():
            path.unlink()
        # Beside the node, as the command does it: reading takes long and must hold nobody up.
        with opened_station(folder.path, system_rng(), alone=False) as station:
            relative = find_relative(station, wanted.to)
            if not is_known(station, relative):
                peer = relative.as_peer()
                self._transact(lambda _: self._station.replica.welcome(peer))

            def checked(step: Step) -> None:
                progress(step)
                if shutil.disk_usage(folder.path).free < folder.config.disk_reserve_mib << 20:
                    raise StoreError(
                        "disk_full",
                        "The disk is almost full; the pack was not made.",
                        "Free some space, or make it onto the stick: tiepdan pack export",
                    )

            return export_pack(
                station,
                relative,
                Choices(out=self.outgoing, files=wanted.files, everything=wanted.everything),
                now_ms=self._clock.now_ms(),
                entropy=system_entropy,
                progress=checked,
            )
