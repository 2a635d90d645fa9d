"""The demo's nodes as processes: started, watched, started again when they are killed, stopped.

A node gets a pipe as its standard input and stops when that ends, so it never outlives the demo,
however the demo ends.
"""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, Literal

import aiohttp

from node.clock import Clock
from node.config import read_config, write_config
from node.demo_folders import unusable
from node.errors import StartError
from node.samples.texts import Place

HOST: Final = "127.0.0.1"
LOG_NAME: Final = "node.log"
_READY_NAME: Final = "ready"
_START_S_MAX: Final = 60.0
_LOOK_S: Final = 0.05
_STOP_S_MAX: Final = 8.0
_RESTART_S: Final = 1.0
# A tester may kill a node every other second; a node that cannot live dies faster than that.
RESTARTS_MAX: Final = 30
RESTARTS_WINDOW_S: Final = 60.0
# What the command line says last: `tiepdan: sentence [code]`, then perhaps a hint.
_REFUSAL: Final = re.compile(r"^tiepdan: (?P<sentence>.+) \[(?P<code>[a-z_]+)\]$", re.MULTILINE)
_LOG_TAIL_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a node of the demo lives.

    Attributes:
        sync_port: 0 on a node without children.
        parent_port: sync port of the node above; 0 at the centre.
    """

    place: Place
    folder: Path
    web_port: int
    sync_port: int
    parent_port: int

    @property
    def url(self) -> str:
        """Address of its pages."""
        return f"http://{HOST}:{self.web_port}"

    def configure(self) -> None:
        """Write the ports into the node's settings; what else stands there is kept.

        Raises:
            ConfigError: the settings cannot be read or written.
        """
        config = replace(
            read_config(self.folder),
            web_host=HOST,
            web_port=self.web_port,
            sync_host=HOST if self.sync_port else "",
            sync_port=self.sync_port,
            sync_address=f"{HOST}:{self.sync_port}" if self.sync_port else "",
            parent=f"{HOST}:{self.parent_port}" if self.parent_port else "",
            is_demo=True,
        )
        try:
            write_config(self.folder, config)
        except OSError as error:
            raise unusable(self.folder, error) from error


class RestartLimit:
    """Counts restarts within the last minute."""

    def __init__(self) -> None:
        """Start with none."""
        self._at_s: deque[float] = deque(maxlen=RESTARTS_MAX)

    def allows(self, now_s: float) -> bool:
        """Count a restart, and tell whether there were not too many."""
        is_full = len(self._at_s) == RESTARTS_MAX
        allowed = not is_full or now_s - self._at_s[0] >= RESTARTS_WINDOW_S
        self._at_s.append(now_s)
        return allowed


class NodeProcess:
    """One node of the demo.

    Attributes:
        up: set once the node answered for the first time.
        pid: of the newest process.
    """

    def __init__(
        self, spot: Spot, *, clock: Clock, lock_descriptor: int, say: Callable[[str], None]
    ) -> None:
        """Prepare to run the node of a folder.

        Args:
            spot: where it lives; configured.
            clock: for restarts.
            lock_descriptor: of the demo's lock, which is held as long as any node lives.
            say: shows a line to the person.
        """
        self.spot = spot
        self.up = asyncio.Event()
        self.pid = 0
        self._clock = clock
        self._lock_descriptor = lock_descriptor
        self._say = say
        self._limit = RestartLimit()

    async def keep(self, parent: "NodeProcess | None", came_up: Callable[[], None]) -> None:
        """Run the node until cancelled.

        Args:
            parent: is awaited first, so that the link is up at once.
            came_up: called whenever the node answers after a start.

        Raises:
            StartError: it stopped by itself, or died too often.
        """
        if parent is not None:
            await parent.up.wait()
        mode: Literal["wb", "ab"] = "wb"
        while True:
            process = await self._start(mode)
            mode = "ab"
            try:
                if await self._answers(process):
                    was_up = self.up.is_set()
                    self.up.set()
                    came_up()
                    if was_up:
                        self._say(f"{self.spot.place.name}: đã chạy lại · runs again")
                status = await process.wait()
            finally:
                await _stop(process)
            self._judge(status)
            await self._clock.sleep(_RESTART_S)

    async def _start(self, mode: Literal["wb", "ab"]) -> Process:
        folder = self.spot.folder
        with _fresh_log(folder, mode) as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node.cli", "serve", "--stop-with-stdin"),
                *("--data", str(folder), "--ready-file", str(folder / _READY_NAME)),
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=log,
                pass_fds=(self._lock_descriptor,),
                # Ctrl-C is for the demo, which then stops its nodes.
                start_new_session=True,
            )
        self.pid = process.pid
        return process

    async def _answers(self, process: Process) -> bool:
        """Wait until the node serves pages; False if it ended before."""
        try:
            async with asyncio.timeout(_START_S_MAX):
                while not _says_ready(self.spot.folder / _READY_NAME):
                    if process.returncode is not None:
                        return False
                    await self._clock.sleep(_LOOK_S)
                async with (
                    aiohttp.ClientSession() as client,
                    client.get(self.spot.url, allow_redirects=False),
                ):
                    return True
        except TimeoutError as error:
            raise StartError(
                "node_silent",
                f"{self.spot.place.name}: the node did not answer within {_START_S_MAX:.0f} s.",
                f"See {self.spot.folder / LOG_NAME}.",
            ) from error
        except (OSError, aiohttp.ClientError) as error:
            if await _ends_soon(process):
                return False
            raise StartError(
                "node_silent", f"{self.spot.place.name}: {self.spot.url} does not answer: {error}."
            ) from error

    def _judge(self, status: int) -> None:
        """Let a node that was stopped from outside start again, and no other."""
        name = self.spot.place.name
        if status > 0:
            raise _failure(name, self.spot.folder / LOG_NAME)
        how = signal.Signals(-status).name if status else "exit 0"
        if not self._limit.allows(self._clock.monotonic_s()):
            raise StartError(
                "node_dies_often",
                f"{name}: the node was stopped {RESTARTS_MAX} times within a minute ({how}).",
                f"See {self.spot.folder / LOG_NAME}.",
            )
        self._say(f"{name}: bị dừng đột ngột, khởi động lại · was stopped, starting again ({how})")


@contextmanager
def _fresh_log(folder: Path, mode: Literal["wb", "ab"]) -> Iterator[IO[bytes]]:
    """Open the log of a node that is about to start, and forget its last addresses."""
    try:
        (folder / _READY_NAME).unlink(missing_ok=True)
        log = (folder / LOG_NAME).open(mode)
    except OSError as error:
        raise unusable(folder, error) from error
    with log:
        yield log


async def _ends_soon(process: Process) -> bool:
    """Tell whether a node that did not answer is about to end: its death may be told a bit late."""
    try:
        async with asyncio.timeout(1.0):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _says_ready(path: Path) -> bool:
    """Tell whether the node wrote its whole line of addresses."""
    return path.exists() and path.read_text(encoding="utf-8").endswith("\n")


def _failure(name: str, log: Path) -> StartError:
    """Return why a node stopped by itself, as its log says."""
    with log.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - _LOG_TAIL_BYTES))
        tail = stream.read().decode("utf-8", "replace").strip()
    refusals = list(_REFUSAL.finditer(tail))
    if refusals:
        return StartError(
            refusals[-1]["code"], f"{name}: {refusals[-1]['sentence']}", f"See {log}."
        )
    last_line = tail.rpartition("\n")[2] or "it said nothing"
    return StartError("node_failed", f"{name}: the node stopped: {last_line:.500}", f"See {log}.")
