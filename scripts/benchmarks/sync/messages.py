"""Bytes of the messages themselves: sessions in one process, without TLS, TCP and IP."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config import Config
from node.requests import EditFields
from node.samples.texts import communes
from node.station import Station
from scripts.benchmarks.offices import (
    CENTRE,
    PROVINCE,
    End,
    at_work,
    enrol_all,
    hastily,
)
from scripts.benchmarks.peers.casebook import Case, make_cases, make_edits
from scripts.benchmarks.peers.commune import officer, write_cases
from scripts.benchmarks.peers.scenarios import temporary_folder
from scripts.benchmarks.sync import work
from scripts.benchmarks.sync.wire import edits_of

_HOUR_MS: Final = 3_600_000
# As often as a link wakes up when there is nothing to do.
_TICK_MS: Final = 5_000


@dataclass(slots=True)
class Exchanged:
    """Bytes of messages, by direction."""

    up: int = 0
    down: int = 0

    @property
    def both(self) -> int:
        """Bytes in both directions."""
        return self.up + self.down


def talk(lower: End, upper: End, now_ms: int) -> Exchanged:
    """Let two ends exchange until both are silent."""
    taken, upwards, downwards = Exchanged(), lower.step([], now_ms), upper.step([], now_ms)
    while upwards or downwards:
        taken.up += sum(map(len, upwards))
        taken.down += sum(map(len, downwards))
        answers = upper.step(upwards, now_ms)
        upwards = lower.step(downwards, now_ms)
        downwards = answers
    return taken


class Tiers:
    """A commune with its open link to a province that is linked to the centre."""

    def __init__(self, commune: Station, province: Station, centre: Station, now_ms: int) -> None:
        """Open both links; let them fall silent."""
        self.commune = commune
        self._links = [
            (End(commune, province), End(province, commune)),
            (End(province, centre), End(centre, province)),
        ]
        self.exchange(now_ms)

    def exchange(self, now_ms: int) -> Exchanged:
        """Let all exchange until they are silent; return what crossed the commune's link."""
        counted = [Exchanged() for _ in self._links]
        is_news = True
        while is_news:
            is_news = False
            for link, count in zip(self._links, counted, strict=True):
                taken = talk(*link, now_ms)
                count.up += taken.up
                count.down += taken.down
                is_news = is_news or taken.both > 0
        return counted[0]


@contextmanager
def _stations(cases: Sequence[Case], now_ms: int) -> Iterator[tuple[Station, Station, Station]]:
    """Open a commune that holds these cases, its province and the centre."""
    place, rng = communes()[0], random.Random(1)
    with temporary_folder() as name:
        folder = Path(name)
        enrol_all(folder, [place], now_ms, Config())
        with (
            at_work(folder / place.folder, rng) as commune,
            at_work(folder / PROVINCE.folder, rng) as province,
            at_work(folder / CENTRE.folder, rng) as centre,
            hastily(commune),
            hastily(province),
            hastily(centre),
        ):
            write_cases(commune, cases)
            yield commune, province, centre


def lone_changes(seed: int, count: int, now_ms: int) -> list[Exchanged]:
    """Return what each of so many status changes takes on an open, idle link."""
    cases = make_cases(seed, count, now_ms - _HOUR_MS)
    taken = []
    with _stations(cases, now_ms) as stations:
        tiers = Tiers(*stations, now_ms)
        for number, case in enumerate(cases):
            at_ms = now_ms + number * _TICK_MS
            with tiers.commune.replica.transaction():
                work.act(tiers.commune, case.id, work.status_changes(case)[0], at_ms)
            taken.append(tiers.exchange(at_ms))
    return taken


def idle_hour(now_ms: int) -> Exchanged:
    """Return what an open link takes in an hour without changes, of the sessions' clock."""
    taken = Exchanged()
    with _stations(make_cases(1, 100, now_ms - _HOUR_MS), now_ms) as stations:
        tiers = Tiers(*stations, now_ms)
        for at_ms in range(now_ms, now_ms + _HOUR_MS, _TICK_MS):
            one = tiers.exchange(at_ms)
            taken.up += one.up
            taken.down += one.down
    return taken


def copy_and_batch(seed: int, count: int, now_ms: int) -> tuple[float, float]:
    """Return bytes, both ways, that a province's first copy of so many cases takes, a case.

    And those that a batch of edits takes, an edit, on the open link; both tiers above sign.
    """
    cases = make_cases(seed, count, now_ms - _HOUR_MS)
    with _stations(cases, now_ms) as (commune, province, centre):
        copied = talk(End(commune, province), End(province, commune), now_ms)
        tiers = Tiers(commune, province, centre, now_ms)
        edits = make_edits(seed, cases, [now_ms] * edits_of(cases))
        author = officer(commune)
        with commune.replica.transaction():
            for edit in edits:
                change = EditFields(fields={edit.field: edit.value})
                commune.desk.edit(author, edit.id, change, edit.at_ms)
        return copied.both / count, tiers.exchange(now_ms).both / len(edits)
