"""The demo: a centre, a province and three communes on this machine, each a process of its own.

The first start makes folders, accounts and a past of invented cases; later ones keep the data. What
is shown to the person goes through `say`, in Vietnamese and English.
"""

import asyncio
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from node.clock import Clock
from node.demo_folders import PASSWORD, parent_of, prepare, unusable
from node.demo_nodes import HOST, LOG_NAME, NodeProcess, Spot
from node.entropy import system_rng
from node.errors import ConfigError, NodeError, StartError
from node.samples.texts import Place, places
from node.web.languages import languages
from schemas.codes import Tier

Say = Callable[[str], None]

_LOCK_NAME: Final = ".lock"
# The nodes of a demo that was killed need a moment to fold their databases.
_LOCK_S_MAX: Final = 10.0
_LOOK_S: Final = 0.1
_SYNC_OFFSET: Final = 10
_PORT_MAX: Final = 65_535
# Below the ports that systems give to outgoing connections: one of those could take the port of a
# node while it is being started again.
_FREE_PORTS: Final = range(20_000, 30_000, 20)
_FREE_PORT_TRIES: Final = 200
_PORT_RACES_MAX: Final = 3


async def run_demo(data: Path, base_port: int, ready_file: Path | None, say: Say) -> int:
    """Run the demo until SIGINT or SIGTERM, and return the exit status.

    Args:
        data: folder of the demo, made if it is not there.
        base_port: the centre's pages; the province's are one above, the communes' follow, and links
            use the ports ten above. 0 takes any free ones.
        ready_file: gets addresses and accounts as JSON once all nodes answer, and again whenever
            one was started again.
        say: shows a line to the person.

    Raises:
        ConfigError: the folder cannot be used.
        StartError: a port is in use, a node stopped by itself, or another demo uses the folder.
        StoreError: a database cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    clock = Clock()
    with _lock_file(data) as lock:
        data = _resolved(data)
        await _acquire(lock, data, clock, say)
        if base_port:
            _check_ports(_spots(data, base_port))
        if ready_file is not None:
            _write_atomically(ready_file, None)
        if not await _prepared(data, clock, stop, say):
            return 0
        for races_left in reversed(range(_PORT_RACES_MAX)):
            spots = _spots(data, base_port or free_base_port(data, system_rng()))
            demo = Demo(spots, clock=clock, lock_descriptor=lock, ready_file=ready_file, say=say)
            try:
                await demo.run(stop)
                break
            except StartError as error:
                # Somebody else took a port between our look at it and our use of it.
                if error.code != "port_in_use" or base_port or demo.is_ready or not races_left:
                    raise
    say("Đã dừng tất cả máy chủ · all nodes are stopped")
    return 0


class Demo:
    """All nodes of one start.

    Attributes:
        is_ready: all nodes answered.
    """

    def __init__(
        self,
        spots: Sequence[Spot],
        *,
        clock: Clock,
        lock_descriptor: int,
        ready_file: Path | None,
        say: Say,
    ) -> None:
        """Prepare the nodes of these spots, those above first."""
        self.is_ready = False
        self._ready_file = ready_file
        self._say = say
        self._nodes = [
            NodeProcess(spot, clock=clock, lock_descriptor=lock_descriptor, say=say)
            for spot in spots
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Start the nodes, tell their addresses, and stop them once asked to.

        Raises:
            NodeError: a node could not go on; all others are stopped.
        """
        for node in self._nodes:
            node.spot.configure()
        by_place = {node.spot.place.folder: node for node in self._nodes}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for node in self._nodes:
                    above = parent_of(node.spot.place)
                    parent = by_place[above.folder] if above else None
                    run = node.keep(parent, self._on_up)
                    tasks.append(group.create_task(run, name=node.spot.place.folder))
                await stop.wait()
                self._say("Đang dừng các máy chủ … · stopping the nodes …")
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:
            raise _telling(errors) from errors

    def _on_up(self) -> None:
        if not all(node.up.is_set() for node in self._nodes):
            return
        if self._ready_file is not None:
            _write_atomically(self._ready_file, {"nodes": [_described(n) for n in self._nodes]})
        if not self.is_ready:
            self.is_ready = True
            for line in _table([node.spot for node in self._nodes]):
                self._say(line)


async def _prepared(data: Path, clock: Clock, stop: asyncio.Event, say: Say) -> bool:
    """Make the demo's data if needed; False when a signal came meanwhile."""
    last = ""
    for line in prepare(data, clock.now_ms()):
        if line != last:
            say(line)
            last = line
        # Lets a signal be seen.
        await clock.sleep(0)
        if stop.is_set():
            say("Đã dừng, lần sau sẽ làm lại · stopped, the next start begins again")
            return False
    if not last:
        say(f"Dùng dữ liệu đã có · using the data in {data}")
    return not stop.is_set()


@contextmanager
def _lock_file(data: Path) -> Iterator[int]:
    """Make the folder if needed, and give the descriptor of its lock file."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(data, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _acquire(lock: int, data: Path, clock: Clock, say: Say) -> None:
    """Wait for the lock; the nodes of an earlier demo hold it as long as one of them lives."""
    if _try_lock(lock):
        return
    say(f"Thư mục đang được dùng, chờ một chút · {data} is in use, waiting a moment")
    try:
        async with asyncio.timeout(_LOCK_S_MAX):
            while not _try_lock(lock):
                await clock.sleep(_LOOK_S)
    except TimeoutError as error:
        raise StartError(
            "demo_running",
            f"Another demo is running on {data}.",
            "Stop it first, or choose another folder with --data DIR.",
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _resolved(path: Path) -> Path:
    return path.resolve()


def _spots(data: Path, base_port: int) -> list[Spot]:
    """Return where the nodes live when their ports start at a number.

    Raises:
        StartError: the ports would not be ports.
    """
    if not 0 < base_port <= _PORT_MAX - _SYNC_OFFSET - len(places()):
        raise StartError(
            "port_unfit",
            f"{base_port} cannot be the first port.",
            "Choose a number from 1024 to 65000 with --base-port, or 0 for any free ports.",
        )
    sync_ports = {
        place.folder: base_port + _SYNC_OFFSET + number
        for number, place in enumerate(p for p in places() if p.tier is not Tier.COMMUNE)
    }
    spots = []
    for number, place in enumerate(places()):
        above = parent_of(place)
        spots.append(
            Spot(
                place=place,
                folder=data / place.folder,
                web_port=base_port + number,
                sync_port=sync_ports.get(place.folder, 0),
                parent_port=sync_ports[above.folder] if above else 0,
            )
        )
    return spots


def _check_ports(spots: Sequence[Spot]) -> None:
    for spot in spots:
        for port in (spot.web_port, spot.sync_port):
            problem = _port_problem(port) if port else ""
            if problem:
                raise StartError(
                    "port_in_use",
                    f"Port {port} on {HOST} cannot be used for {spot.place.name}: {problem}.",
                    "Stop the program that uses it, or choose others with --base-port N (0: any).",
                )


def _port_problem(port: int) -> str:
    """Return why a port cannot be listened on; empty if it can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            return error.strerror or str(error)
    return ""


def free_base_port(data: Path, rng: Random) -> int:
    """Return a first port from which on all ports are free.

    Raises:
        StartError: none was found.
    """
    for _ in range(_FREE_PORT_TRIES):
        base_port = rng.choice(_FREE_PORTS)
        spots = _spots(data, base_port)
        ports = [port for spot in spots for port in (spot.web_port, spot.sync_port) if port]
        if not any(map(_port_problem, ports)):
            return base_port
    raise StartError("port_in_use", f"No free ports were found on {HOST}.")


def _telling(errors: ExceptionGroup[Exception]) -> Exception:
    """Return the error that a person can act upon, or all of them if there is none."""
    return next((error for error in errors.exceptions if isinstance(error, NodeError)), errors)


def _described(node: NodeProcess) -> dict[str, Any]:
    spot, place = node.spot, node.spot.place
    return {
        "name": place.name,
        "tier": place.tier.value,
        "code": place.code,
        "url": spot.url,
        "sync_port": spot.sync_port,
        "data": str(spot.folder),
        "pid": node.pid,
        "accounts": [
            {
                "user": person.user,
                "password": PASSWORD,
                "role": person.role.value,
                "name": person.name,
            }
            for person in place.staff
        ],
    }


def _write_atomically(path: Path, content: object) -> None:
    """Replace a JSON file as a whole; None removes it.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        if content is None:
            path.unlink(missing_ok=True)
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigError(
            "file_not_writable", f"{path} cannot be written: {error.strerror}."
        ) from error


def _table(spots: Sequence[Spot]) -> Iterator[str]:
    """Yield the lines that tell addresses and accounts."""
    yield ""
    yield "BẢN CHẠY THỬ: người và việc đều hư cấu · DEMO: all people and matters are invented"
    yield f"Mật khẩu của mọi tài khoản · password of every account:  {PASSWORD}"
    for spot in spots:
        yield ""
        yield f"{spot.place.name} ({spot.place.code})  {spot.url}"
        yield from _accounts(spot.place)
    yield ""
    yield f"Nhật ký · logs: {spots[0].folder.parent}/*/{LOG_NAME}"
    yield "Dừng bằng Ctrl-C · Ctrl-C stops everything"
    yield ""


def _accounts(place: Place) -> Iterator[str]:
    vi, en = languages()["vi"], languages()["en"]
    for person in place.staff:
        role = person.role.value
        shown = f"{vi.label('role', role)} · {en.label('role', role)}"
        yield f"    {person.user:<10}  {person.name:<22}  {shown}"
