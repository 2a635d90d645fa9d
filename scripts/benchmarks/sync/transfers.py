"""Seconds over a slow line: changes, status changes beside a file, lines that are cut.

The line carries 64 kbit/s each way and takes 300 ms each way. Every job begins with a new
connection, whose TCP knows nothing of the line yet.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from node.samples.texts import communes
from scripts.benchmarks.offices import PROVINCE
from scripts.benchmarks.sync.stage import FREE, Job, Stage, Steps
from scripts.lab.line import Shape

# So long may one transfer take; a longer one counts as this long.
WITHIN_S: Final = 180.0
# What the greeting and the centre's cosignature left behind has arrived by then.
_REST_S: Final = 1.5
# A file has filled whatever it can fill by then.
_UPLOADING_S: Final = 6.0
_CUT_S: Final = 1.0
_FILE_BYTES: Final = 5_000_000
# What 500 changes take on the line upwards, about.
_CUT_BYTES: Final = 24_000
# A cut is noticed after so long.
_NOTICED_S: Final = 0.05


def slow(loss: float = 0.0, burst: float = 1.0) -> Shape:
    """Return a line of 64 kbit/s and 300 ms each way."""
    return Shape(rate_bps=64_000, delay_ms=300, loss=loss, burst=burst)


def connected(stage: Stage, shape: Shape, way: str = "") -> Steps[bool]:
    """Connect anew over a line of this shape; return whether there is such a way.

    Args:
        stage: where.
        shape: of the line.
        way: `datagrams`, an algorithm of TCP, or empty: what the node chooses.
    """
    yield "disconnect", None
    algorithm = "" if way == "datagrams" else way
    yield "force", "websocket" if algorithm else way
    stage.lab.shape(shape)
    yield "connect", None
    if not (yield "up", WITHIN_S):
        raise RuntimeError(f"no connection within {WITHIN_S:.0f} s")
    is_set = not algorithm or (yield "algorithm", algorithm)
    yield "rest", _REST_S
    return bool(is_set)


def _left(stage: Stage) -> Steps[None]:
    """Let what a lossy line has held up arrive over a free one."""
    stage.lab.shape(FREE)
    yield "known", {"within_s": WITHIN_S}


def sending(shape: Shape, count: int, seed: int, way: str = "") -> Job[float | None]:
    """Return a job: seconds from the commit of changes until they are known to be countersigned.

    It returns None without such a way.
    """

    def job(stage: Stage) -> Steps[float | None]:
        if not (yield from connected(stage, shape, way)):
            return None
        begun_s = yield "change", {"seed": seed, "count": count}
        known_s = yield "known", {"within_s": WITHIN_S}
        yield from _left(stage)
        return WITHIN_S if known_s is None else float(known_s - begun_s)

    return job


def catching_up(shape: Shape, count: int, seed: int) -> Job[float]:
    """Return a job: seconds from dialling, with changes of many days, until all are signed for."""

    def job(stage: Stage) -> Steps[float]:
        yield "disconnect", None
        yield "change", {"seed": seed, "count": count}
        stage.lab.shape(shape)
        begun_s = yield "dial", None
        known_s = yield "known", {"within_s": WITHIN_S}
        yield from _left(stage)
        return WITHIN_S if known_s is None else float(known_s - begun_s)

    return job


def overtaking(shape: Shape, samples: int) -> Job[list[float]]:
    """Return a job: seconds of status changes, one after the other, while a file goes up.

    The rest of the file is left to go up: for the last jobs on a stage.
    """

    def job(stage: Stage) -> Steps[list[float]]:
        yield "disconnect", None
        stage.lab.shape(FREE)
        yield "connect", None
        yield "open", samples + 1
        yield "known", {"within_s": WITHIN_S}
        yield from connected(stage, shape)
        yield "attach", _FILE_BYTES
        took: list[float] = []
        for _ in range(samples):
            yield "rest", _UPLOADING_S if not took else _REST_S
            begun_s = yield "act", None
            known_s = yield "known", {"within_s": WITHIN_S}
            took.append(WITHIN_S if known_s is None else float(known_s - begun_s))
        return took

    return job


@dataclass(frozen=True, slots=True)
class Cut:
    """What one cut did.

    Attributes:
        again_bytes: of frames that were handed to the link a second time.
        lost: leaves of the commune that the province lacks, or holds otherwise.
        doubled: changes that the province holds twice.
    """

    again_bytes: int
    lost: int
    doubled: int


def cutting(count: int, seed: int) -> Job[Cut]:
    """Return a job: changes over a line that is cut once, at a random byte, for a second."""

    def job(stage: Stage) -> Steps[Cut]:
        yield from connected(stage, slow())
        before = yield "sent", None
        stage.lab.cut_after(random.Random(seed).randrange(_CUT_BYTES))
        yield "change", {"seed": seed, "count": count}
        known_s = None
        while known_s is None and not stage.lab.is_cut():
            known_s = yield "known", {"within_s": _NOTICED_S}
        yield from _mended(stage)
        yield "known", {"within_s": WITHIN_S}
        yield from _left(stage)
        after = yield "sent", None
        return Cut(after[1] - before[1], *compare(stage))

    return job


def _mended(stage: Stage) -> Steps[None]:
    """Cut the line, if it is not yet; mend it after a while and connect again."""
    stage.lab.cut(is_cut=True)
    yield "break", None
    yield "rest", _CUT_S
    stage.lab.cut(is_cut=False)
    yield "connect", None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """A first copy in many short contacts.

    Attributes:
        bytes: of IP packets, both ways, of all contacts.
        contacts: how many it took.
        again_bytes: of frames that were handed to the link a second time.
        took_s: from the first dialling, pauses included.
    """

    bytes: int
    contacts: int
    again_bytes: int
    took_s: float


def copying(cases: int, contact_s: float, within_s: float) -> Job[Contacts]:
    """Return a job: a first copy over a line that is cut again and again; for a new stage.

    It raises RuntimeError if that is not done in time.
    """

    def job(stage: Stage) -> Steps[Contacts]:
        yield "open", cases
        stage.lab.shape(slow())
        before, contacts = stage.lab.traffic().bytes, 0
        begun_s = yield "dial", None
        while True:
            contacts += 1
            known_s = yield "known", {"within_s": contact_s}
            if known_s is not None:
                break
            if contacts * contact_s > within_s:
                raise RuntimeError(f"{cases:,} cases were not copied within {within_s:.0f} s")
            yield from _mended(stage)
        yield "rest", _REST_S
        return Contacts(
            bytes=stage.lab.traffic().bytes - before,
            contacts=contacts,
            again_bytes=(yield "sent", None)[1],
            took_s=known_s - begun_s,
        )

    return job


def compare(stage: Stage) -> tuple[int, int]:
    """Return how many leaves the province lacks, and how many changes it holds twice."""
    with _opened(stage, communes()[0].folder) as near, _opened(stage, PROVINCE.folder) as far:
        log_id = near.execute("SELECT log_id FROM log WHERE purpose = 'up'").fetchone()[0]
        written, held = (
            dict(
                db.execute(
                    "SELECT seq, data FROM leaf WHERE log ="
                    " (SELECT number FROM log WHERE log_id = ?)",
                    (log_id,),
                )
            )
            for db in (near, far)
        )
        rows = far.execute("SELECT count(*), count(DISTINCT hash) FROM change")
        changes, different = rows.fetchone()
    return sum(held.get(seq) != data for seq, data in written.items()), changes - different


@contextmanager
def _opened(stage: Stage, name: str) -> Iterator[sqlite3.Connection]:
    uri = f"{(stage.folder / name / 'tiepdan.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        yield db
