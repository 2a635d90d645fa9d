"""The programs at the two ends of the line: tiepdan's own, automerge-repo's and PouchDB's."""

import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from node.clock import Clock
from node.config import Config, read_config, write_config
from node.samples.texts import communes
from scripts.benchmarks.offices import CENTRE, PROVINCE, enrol_all
from scripts.lab.lab import FAR_ADDRESS, ROOT, Host, Lab

_HERE: Final = Path(__file__).parent
_INSTALL_S: Final = 600
_ANSWER_S: Final = 600
_START_S: Final = 60
_LOOK_S: Final = 1.0
# A program whose output ended is on its way out.
_END_S: Final = 2
# The hosts of the lab are new, so every port is free.
_PORT: Final = 8443
_CENTRE_PORT: Final = 8444
_PYTHON: Final = (sys.executable, "-P", "-m")
_FIELDS: Final = (
    *("title", "topic", "location", "respondent_name", "respondent_code", "register_number"),
    *("summary", "received_on", "channel", "case_type"),
)


class Driver:
    """A program that obeys JSON lines; its last words are in a log beside its data.

    Attributes:
        pid: of the program itself.
        others: without which it would wait in vain.
    """

    def __init__(self, host: Host, command: Sequence[str], log: Path, cwd: Path = ROOT) -> None:
        """Start it; ready says when it listens."""
        self._name = log.stem
        self._log = log
        with log.open("wb") as stream, uninterrupted():
            self._process = host.start(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, cwd=cwd
            )
        self.pid = self._process.pid
        self.others: tuple[Driver, ...] = ()

    def fileno(self) -> int:
        """Return the descriptor that can be read once an answer is there."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def stop(self) -> None:
        """End the program and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ready(self) -> None:
        """Wait until the program has loaded what it starts with."""
        self.hear()

    def wait_for(self, path: Path) -> None:
        """Wait until the program has made a file."""
        until_s = time.monotonic() + _START_S
        while not path.exists():
            if self._process.poll() is not None:
                raise self._failure("ended")
            if time.monotonic() > until_s:
                raise self._failure(f"was not ready after {_START_S} s")
            time.sleep(0.02)

    def ask(self, name: str, argument: Any = None) -> Any:
        """Give an order and return the answer.

        Raises:
            RuntimeError: the program ended or does not answer.
        """
        self.tell(name, argument)
        return self.hear()

    def tell(self, name: str, argument: Any = None) -> None:
        """Give an order.

        Raises:
            RuntimeError: the program ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({name: argument}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("ended") from None

    def hear(self) -> Any:
        """Return the answer to the oldest order that has none.

        Raises:
            RuntimeError: the program ended or does not answer.
        """
        assert self._process.stdout is not None
        until_s = time.monotonic() + _ANSWER_S
        while not select.select([self._process.stdout], [], [], _LOOK_S)[0]:
            self.check_others()
            if time.monotonic() > until_s:
                raise self._failure(f"said nothing for {_ANSWER_S} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._failure("ended")
        return json.loads(line)

    def check_others(self) -> None:
        """Look whether the others still run.

        Raises:
            RuntimeError: one of them ended.
        """
        for other in self.others:
            if other._process.poll() is not None:
                raise other._failure("ended")

    def _failure(self, what: str) -> RuntimeError:
        said = self._log.read_text(encoding="utf-8", errors="replace").strip()
        reason = said[-500:] or "no reason given"
        return RuntimeError(f"the program {self._name} {what}{self._how()}: {reason}")

    def _how(self) -> str:
        """Say with which status or by which signal it ended; empty while it runs."""
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return ""
        # The program that enters the host for it passes a signal on as 128 and its number.
        number = -status if status < 0 else status - 128
        if number in {*signal.Signals}:
            return f" by {signal.Signals(number).name}"
        return f" with status {status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """One system at work at both ends, its link down at first.

    Attributes:
        near: writes, connects and disconnects.
        witness: knows when something arrived: the far end itself, or a near end that is told so.
        pids: of all programs.
        contents: returns all cases at the far end by id.
        centre: of tiepdan, if one runs.
    """

    near: Driver
    witness: Driver
    pids: tuple[int, ...]
    contents: Callable[[], Mapping[str, Mapping[str, str]]]
    centre: Driver | None = None


class System(Protocol):
    """One of the systems compared."""

    @property
    def name(self) -> str:
        """Return its name as the keys of the figures have it."""

    @property
    def held_max(self) -> int | None:
        """Return how many cases it can start with in reasonable time; None: any number."""

    def start(self, lab: Lab, folder: Path, cases: Path, *, is_shared: bool) -> Ends:
        """Start both ends in a folder.

        Args:
            lab: where.
            folder: empty, for what they keep.
            cases: that the near end starts with.
            is_shared: the far end has them too; a system that cannot start so gets them over the
                line once it is connected.
        """


@dataclass(frozen=True, slots=True)
class Peer:
    """A system in JavaScript.

    Attributes:
        packages: folder that install made.
    """

    name: str
    script: str
    packages: Path
    held_max: int | None = None

    def start(self, lab: Lab, folder: Path, cases: Path, *, is_shared: bool) -> Ends:
        """Start node processes at both ends."""
        address = f"{FAR_ADDRESS}:{_PORT}"
        known = {"near": [str(cases)], "far": [str(cases)] if is_shared else []}
        drivers = {}
        for end, host in (("far", lab.far), ("near", lab.near)):
            place = folder / end
            place.mkdir()
            command = ["node", str(self.packages / self.script), end, address, *known[end]]
            drivers[end] = Driver(host, command, folder / f"{self.name}-{end}.log", place)
        near, far = drivers["near"], drivers["far"]
        far.ready()
        near.ready()
        return Ends(
            near=near,
            witness=far,
            pids=(near.pid, far.pid),
            contents=lambda: dict(far.ask("contents")),
        )


@dataclass(frozen=True, slots=True)
class Own:
    """tiepdan: a commune near, its province far, TLS with certificates of both.

    Attributes:
        program: module that runs the commune.
        has_centre: the province's centre runs beside it, so that nobody lacks a cosignature.
    """

    name: str = "tiepdan"
    held_max: int | None = None
    program: str = "scripts.benchmarks.peers.commune"
    has_centre: bool = False

    def start(self, lab: Lab, folder: Path, cases: Path, *, is_shared: bool) -> Ends:
        """Start a province that serves, and a commune; whatever is_shared, it has no case yet."""
        commune, province = folder / communes()[0].folder, folder / PROVINCE.folder
        if not commune.exists():
            self.enrol(folder)
        places = [PROVINCE, CENTRE] if self.has_centre else [PROVINCE]
        above_all = {place.folder: serve(lab.far, folder, place.folder) for place in places}
        near = Driver(
            lab.near,
            [*_PYTHON, self.program, str(commune), str(cases)],
            folder / "tiepdan-near.log",
        )
        near.others = tuple(above_all.values())
        near.ready()
        for name, far in above_all.items():
            far.wait_for(folder / f"{name}.ready")
        return Ends(
            near=near,
            witness=near,
            pids=(near.pid, *(far.pid for far in above_all.values())),
            contents=lambda: _contents(province / "tiepdan.db"),
            centre=above_all.get(CENTRE.folder),
        )

    def enrol(self, folder: Path) -> None:
        """Make the folders of all, with the addresses that they have in a lab."""
        place = communes()[0]
        enrol_all(folder, [place], Clock().now_ms(), Config())
        _configure(folder / place.folder, Config(parent=f"{FAR_ADDRESS}:{_PORT}"))
        above = f"{FAR_ADDRESS}:{_CENTRE_PORT}" if self.has_centre else ""
        province = Config(sync_host=FAR_ADDRESS, sync_port=_PORT, parent=above)
        _configure(folder / PROVINCE.folder, province)
        centre = Config(web_port=0, sync_host=FAR_ADDRESS, sync_port=_CENTRE_PORT)
        _configure(folder / CENTRE.folder, centre)


def serve(host: Host, folder: Path, name: str) -> Driver:
    """Start the node of folder/name; it makes `<name>.ready` beside that once it listens."""
    ready = folder / f"{name}.ready"
    ready.unlink(missing_ok=True)
    options = [f"--data={folder / name}", "--stop-with-stdin", f"--ready-file={ready}"]
    return Driver(host, [*_PYTHON, "node.cli", "serve", *options], folder / f"tiepdan-{name}.log")


def _configure(folder: Path, changed: Config) -> None:
    assert read_config(folder) == Config()
    write_config(folder, changed)


def _contents(database: Path) -> dict[str, dict[str, str]]:
    db = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        rows = db.execute(f"SELECT id, {', '.join(_FIELDS)} FROM cases")
        return {row[0]: dict(zip(_FIELDS, row[1:], strict=True)) for row in rows}
    finally:
        db.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Start programs in this block that Ctrl-C does not reach: we end them, in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def install(folder: Path | None) -> Path:
    """Return a folder with the peers' packages and our programs; fetch what is not there yet.

    Args:
        folder: to keep them in; None: one in the user's cache.

    Raises:
        RuntimeError: there is no node or npm, or a package cannot be had.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is missing; on Debian: apt-get install nodejs npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (folder or cache / "tiepdan-bench").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (_HERE / "package.json").read_text(encoding="utf-8")
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        stamp.unlink(missing_ok=True)
        (folder / "package.json").write_text(wanted, encoding="utf-8")
        _npm_install(folder)
        stamp.write_text(wanted, encoding="utf-8")
    for script in _HERE.glob("*.mjs"):
        # Beside the packages, because node looks for them above the program.
        shutil.copy(script, folder)
    return folder


def _npm_install(folder: Path) -> None:
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    try:
        done = subprocess.run(
            ["npm", "install", *options],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm did not end within {_INSTALL_S} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise RuntimeError(f"npm could not install the packages: {said[-1]}")


def versions() -> dict[str, str]:
    """Return the packages compared with, as they are pinned."""
    pinned = json.loads((_HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return {str(name): str(version) for name, version in pinned.items()}
