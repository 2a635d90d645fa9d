"""Memory of a province's node: a real process with its links up, while people work at it."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp

from node.accounts import Accounts
from node.config import Config, read_config, write_config
from node.entropy import system_entropy
from node.samples.texts import Place, communes
from schemas.codes import Role
from scripts.benchmarks.bulk import fill
from scripts.benchmarks.deeds import deeds, do_all
from scripts.benchmarks.ingest import FIRST_VISIT, seed_cases
from scripts.benchmarks.measure import Progress
from scripts.benchmarks.offices import (
    CENTRE,
    PROVINCE,
    at_work,
    enrol_all,
    hastily,
    synchronise,
)
from sync.database import open_reader

_ROOT: Final = Path(__file__).parents[2]
_HOST: Final = "127.0.0.1"
_PASSWORD: Final = "benchmark of the province"
_PEOPLE: Final = 4
_START_S_MAX: Final = 60.0
_SAMPLE_S: Final = 0.1
# Registration and what was classified: families that are quickly copied a million times.
_LEAVES_MAX: Final = 6
_DAYS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Megabytes that were resident.

    Attributes:
        rss_mb: most while it worked.
        idle_mb: after the start, before anybody came.
        peak_mb: most of all, as the kernel counted it; checking a password takes memory of its own.
        requests: pages and searches answered meanwhile.
        received: changes taken in from the commune meanwhile.
    """

    rss_mb: float
    idle_mb: float
    peak_mb: float
    requests: int
    received: int


def fill_province(
    data: Path, rng: random.Random, progress: Progress, *, cases: int, now_ms: int
) -> None:
    """Make a centre, a province with so many cases, and a commune that has news for it."""
    place, other, *_ = communes()
    enrol_all(data, [place, other], now_ms, Config(web_port=0, sync_host=_HOST, sync_port=0))
    with (
        at_work(data / PROVINCE.folder, rng) as province,
        at_work(data / other.folder, rng) as before,
        hastily(province),
        hastily(before),
    ):
        seed_cases(before, other, rng, now_ms)
        synchronise(before, province, now_ms)
        filled = fill(
            province,
            before,
            other,
            cases=cases,
            rng=rng,
            now_ms=now_ms,
            leaves_max=_LEAVES_MAX,
        )
        for done in filled:
            progress.show("filling the large province", done, cases)
        accounts = Accounts(province.connection)
        with province.replica.transaction():
            for person in PROVINCE.staff:
                accounts.put(
                    user=person.user,
                    name=person.name,
                    role=person.role,
                    password=_PASSWORD,
                    salt=system_entropy(16),
                )


def measure_memory(
    data: Path, rng: random.Random, progress: Progress, *, visits: int, work_s: float, now_ms: int
) -> Memory:
    """Return the memory of the province's node under work.

    Args:
        data: as fill_province left it, or a former measurement.
        rng: source of everything.
        progress: is told.
        visits: that the commune delivers meanwhile.
        work_s: how long people work.
        now_ms: wall clock.
    """
    place = communes()[0]
    _write_visits(data / place.folder, place, rng, visits, now_ms)
    with ExitStack() as stack:
        _, sync_port, _ = stack.enter_context(_node(data / CENTRE.folder, 0))
        web_port, below_port, pid = stack.enter_context(_node(data / PROVINCE.folder, sync_port))
        time.sleep(1.0)
        idle_mb = resident_mb(pid, "VmRSS")
        started = _received(data)
        stack.enter_context(_node(data / place.folder, below_port))
        progress.show("working at the large province")
        requests, rss_mb = asyncio.run(_work(web_port, pid, rng, work_s))
        received = _received(data) - started
        if received == 0:
            raise RuntimeError("the commune's records did not reach the province")
        return Memory(
            rss_mb=rss_mb,
            idle_mb=idle_mb,
            peak_mb=resident_mb(pid, "VmHWM"),
            requests=requests,
            received=received,
        )


def _write_visits(folder: Path, place: Place, rng: random.Random, visits: int, now_ms: int) -> None:
    with at_work(folder, rng) as commune, hastily(commune):
        first = FIRST_VISIT + rng.randrange(FIRST_VISIT)
        todo = deeds(rng, place, visits, days=_DAYS, first=first, now_ms=now_ms)
        for _ in do_all(commune, place, todo):
            continue


@contextmanager
def _node(folder: Path, parent_port: int) -> Iterator[tuple[int, int, int]]:
    """Run a node as `tiepdan serve` does; yield its two ports and its process id."""
    parent = f"{_HOST}:{parent_port}" if parent_port else ""
    write_config(folder, replace(read_config(folder), parent=parent))
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    serve = [sys.executable, "-m", "node.cli", "serve", "--stop-with-stdin"]
    with (folder / "node.log").open("ab") as log:
        # It stops when its standard input ends, so it never outlives the benchmark.
        process = subprocess.Popen(
            [*serve, "--data", str(folder), "--ready-file", str(ready)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    assert process.stdin is not None
    try:
        deadline_s = time.monotonic() + _START_S_MAX
        while not (ready.exists() and ready.read_text().endswith("\n")):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the node did not start; see {log.name}")
            time.sleep(0.05)
        _, web_port, sync_port = ready.read_text().split()
        yield int(web_port), int(sync_port), process.pid
    finally:
        process.stdin.close()
        process.wait()


async def _work(port: int, pid: int, rng: random.Random, work_s: float) -> tuple[int, float]:
    """Let people work for some seconds; return the number of answers and the most memory."""
    ends_s = time.monotonic() + work_s
    async with asyncio.TaskGroup() as group:
        people = [
            group.create_task(_person(port, random.Random(rng.random()), ends_s))
            for _ in range(_PEOPLE)
        ]
        rss_mb = 0.0
        while time.monotonic() < ends_s:
            rss_mb = max(rss_mb, resident_mb(pid, "VmRSS"))
            await asyncio.sleep(_SAMPLE_S)
    return sum(person.result() for person in people), rss_mb


async def _person(port: int, rng: random.Random, ends_s: float) -> int:
    """Look at lists, search and open cases until the time is over; return how many answers."""
    base = f"http://{_HOST}:{port}"
    officer = PROVINCE.holder(Role.PROVINCIAL_RECEPTION_BOARD)
    answers = 0
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        sign_in = {"user": officer.user, "password": _PASSWORD}
        async with client.post(f"{base}/api/v1/sign-in", json=sign_in) as answer:
            answer.raise_for_status()
        while time.monotonic() < ends_s:
            text = rng.choice(_SEARCHED)
            async with client.get(f"{base}/api/v1/cases", params={"text": text}) as answer:
                answer.raise_for_status()
                found = (await answer.json())["cases"]
            paths = ["/", "/cases", f"/cases?text={text}", *_opened(rng, found)]
            for path in paths:
                async with client.get(base + path) as answer:
                    answer.raise_for_status()
                    await answer.read()
            answers += 1 + len(paths)
    return answers


_SEARCHED: Final = ("dat rung", "nguyen van", "khieu nai", "1000", "cau treo", "vu", "le thi hoa")


def _opened(rng: random.Random, found: Sequence[dict[str, Any]]) -> list[str]:
    return [f"/cases/{case['id']}" for case in rng.sample(list(found), min(5, len(found)))]


def _received(data: Path) -> int:
    """Return how many leaves the province holds of the commune's log."""
    database = open_reader(data / PROVINCE.folder / "tiepdan.db")
    try:
        code = communes()[0].code
        row = database.execute("SELECT sum(size) FROM log WHERE code = ?", (code,)).fetchone()
        return int(row[0] or 0)
    finally:
        database.close()


def resident_mb(pid: int, name: str) -> float:
    """Return a figure of a process's memory as the kernel keeps it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1_024 / 1e6
    raise RuntimeError(f"the kernel tells no {name}")
