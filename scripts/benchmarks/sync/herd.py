"""Many communes at once with their backlogs against one province.

The province is a process of its own; the communes are nodes that run together in another one, over
loopback with TLS. Changes a second are those of the province's processor time, so that what the
communes take of the machine does not count; waits are real, so there it does.
"""

import random
import select
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.clock import Clock
from node.config import Config, write_config
from node.samples.texts import Place, communes
from scripts.benchmarks.deeds import clone_of
from scripts.benchmarks.measure import Progress
from scripts.benchmarks.memory import resident_mb
from scripts.benchmarks.offices import PROVINCE, at_work, enrol_all, hastily
from scripts.benchmarks.peers.processes import Driver, serve, uninterrupted
from scripts.benchmarks.peers.scenarios import cpu_s, temporary_folder
from scripts.benchmarks.sync import work
from scripts.lab.lab import Lab, open_lab

_HOST: Final = "127.0.0.1"
_PORT: Final = 8443
# Numbers of communes below the province, which no commune of the samples has.
_FIRST_CODE: Final = 50_000
# One in so many has a single change to tell: an officer who waits, not a backlog.
_LONE_EVERY: Final = 10
_SAMPLE_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Herd:
    """What the province took in.

    Attributes:
        changes: of all communes.
        cpu_s: processor time of the province, handshakes included.
        wall_s: until the last commune had the countersignature.
        waits_s: of each commune, from dialling until all that it held was countersigned.
        lone_waits_s: of those among them that held a single change.
        rss_mb: memory of the province, again and again: before, while it took in, and afterwards.
    """

    changes: int
    cpu_s: float
    wall_s: float
    waits_s: list[float]
    lone_waits_s: list[float]
    rss_mb: list[float]


def measure_herd(progress: Progress, *, count: int, backlog: int) -> Herd:
    """Return what so many communes with so many changes each take.

    Raises:
        RuntimeError: a program failed.
        LabError: there can be no lab here.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder()))
        with uninterrupted():
            # Only for its namespace, whose ports are all free.
            lab = stack.enter_context(open_lab())
        places = [_place(number) for number in range(count)]
        enrol_all(folder, places, Clock().now_ms(), Config())
        write_config(folder / PROVINCE.folder, Config(sync_host=_HOST, sync_port=_PORT))
        held = [1 if number % _LONE_EVERY == 0 else backlog for number in range(count)]
        for number, place in enumerate(places):
            progress.show("filling communes", number, count)
            write_config(folder / place.folder, Config(parent=f"{_HOST}:{_PORT}"))
            _write(folder / place.folder, number, held[number])
        progress.show(f"taking in {count} communes at once")
        return _deliver(lab, folder, places, held)


def _place(number: int) -> Place:
    return clone_of(communes()[0], f"herd-{number}", f"{PROVINCE.code}.{_FIRST_CODE + number}")


def _write(folder: Path, seed: int, backlog: int) -> None:
    now_ms = Clock().now_ms()
    with (
        at_work(folder, random.Random(seed)) as station,
        hastily(station),
        station.replica.transaction(),
    ):
        for _ in work.changes(station, seed, backlog, now_ms):
            continue


def _deliver(lab: Lab, folder: Path, places: list[Place], held: list[int]) -> Herd:
    province = serve(lab.far, folder, PROVINCE.folder)
    names = [str(folder / place.folder) for place in places]
    module = "scripts.benchmarks.sync.communes"
    herd = Driver(lab.far, [sys.executable, "-P", "-m", module, *names], folder / "herd.log")
    herd.ready()
    province.wait_for(folder / f"{PROVINCE.folder}.ready")
    before_s = cpu_s(province.pid)
    rss_mb = [resident_mb(province.pid, "VmRSS")]
    herd.tell("deliver")
    while not select.select([herd], [], [], _SAMPLE_S)[0]:
        rss_mb.append(resident_mb(province.pid, "VmRSS"))
    waits_s = herd.hear()
    rss_mb.append(resident_mb(province.pid, "VmRSS"))
    return Herd(
        changes=sum(held),
        cpu_s=cpu_s(province.pid) - before_s,
        wall_s=max(waits_s),
        waits_s=waits_s,
        lone_waits_s=[wait_s for wait_s, many in zip(waits_s, held, strict=True) if many == 1],
        rss_mb=rss_mb,
    )
