"""Plays the demo's past: every deed through the desk of its office, with links in between.

It is the real thing without a network: guards judge each event, sessions carry the records, and the
tiers above countersign. Nothing is waited for, so weeks take seconds.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from crypto.certificates import chain_to_der
from node.registration import register_visit
from node.requests import CaseAction, DirectiveAction, EditFields
from node.samples.agenda import (
    Deed,
    Dispute,
    Division,
    Entry,
    Filing,
    Happening,
    Order,
    OrderStep,
    Reception,
    Rivalry,
)
from node.samples.papers import draw
from node.samples.texts import Place
from node.station import Station
from schemas.codes import Role, Tier
from schemas.wire import Message
from sync.replica import Author
from sync.session import Kinship, Session
from sync.store import Peer

_DEVICE_BYTES: Final = 16
_SECOND_MS: Final = 1_000


class Past:
    """The offices of a demo while their past is played."""

    def __init__(
        self, stations: Mapping[str, Station], rng: random.Random, started_ms: int
    ) -> None:
        """Join the stations, given by folder, those above first."""
        self._stations = stations
        # One more device at each office, for what two devices do apart.
        self._tablets = {folder: rng.randbytes(_DEVICE_BYTES) for folder in stations}
        self._lines = list(_lines(list(stations.values()), started_ms))

    def play(self, entries: Sequence[Entry]) -> Iterator[int]:
        """Do everything in order, yielding now and then how many entries are done."""
        done = 0
        for _, group in groupby(entries, key=lambda entry: entry.place.tier):
            together = list(group)
            for entry in together:
                station = self._stations[entry.place.folder]
                with station.replica.transaction():
                    self._do(station, entry)
            # What one tier did next, it did knowing what the other had done before.
            self.synchronise(together[-1].at_ms)
            done += len(together)
            yield done

    def synchronise(self, now_ms: int) -> None:
        """Let the links carry everything everywhere."""
        # From below, so that each tier has the files that the one above it will ask for.
        while any([line.exchange(now_ms) for line in reversed(self._lines)]):
            continue

    def _do(self, station: Station, entry: Entry) -> None:
        author = self._author(station, entry.place, entry.role)
        deed: Deed = entry.deed
        desk, at_ms = station.desk, entry.at_ms
        match deed:
            case Reception():
                register_visit(desk, author, deed.form, at_ms)
            case Happening():
                desk.act(author, deed.case_id, CaseAction(event=dict(deed.event)), at_ms)
            case Division():
                desk.split(author, deed.case_id, deed.request, at_ms)
            case Filing():
                _attach(station, author, deed, at_ms)
            case Rivalry():
                self._edit_apart(station, entry, author, deed)
            case Dispute():
                self._act_apart(station, entry, author, deed)
            case Order():
                desk.issue_directive(author, deed.request, at_ms)
            case OrderStep():
                step = DirectiveAction(event=dict(deed.event))
                desk.directive_act(author, deed.directive_id, step, at_ms)

    def _author(
        self, station: Station, place: Place, role: Role, *, is_apart: bool = False
    ) -> Author:
        person = place.holder(role)
        device = self._tablets[place.folder] if is_apart else station.replica.device
        return Author(user=person.user, name=person.name, role=role.value, device=device)

    def _edit_apart(self, station: Station, entry: Entry, author: Author, deed: Rivalry) -> None:
        base = tuple(station.desk.heads(deed.case_id))
        other = self._author(station, entry.place, deed.other, is_apart=True)
        for who, value in zip((author, other), deed.values, strict=True):
            edit = EditFields(fields={deed.field: value}, base=base)
            station.desk.edit(who, deed.case_id, edit, entry.at_ms + _SECOND_MS)

    def _act_apart(self, station: Station, entry: Entry, author: Author, deed: Dispute) -> None:
        tips = station.desk.standing(deed.case_id).tips
        other = self._author(station, entry.place, deed.other, is_apart=True)
        for who, event in zip((author, other), deed.events, strict=True):
            action = CaseAction(event=dict(event), follows=tips, apart=True)
            station.desk.act(who, deed.case_id, action, entry.at_ms)


class _Line:
    """A link between two offices in one process."""

    def __init__(self, child: Station, parent: Station, now_ms: int) -> None:
        """Let the two greet each other."""
        self._ends = (_End(child, parent, "parent", now_ms), _End(parent, child, "child", now_ms))

    def exchange(self, now_ms: int) -> bool:
        """Carry messages until both sides are silent; tell whether there were any."""
        lower, upper = self._ends
        upwards = lower.step([], now_ms)
        was_busy = bool(upwards)
        while True:
            downwards = upper.step(upwards, now_ms)
            upwards = lower.step(downwards, now_ms)
            if not (upwards or downwards):
                return was_busy
            was_busy = True


class _End:
    """One side of a line."""

    def __init__(self, own: Station, other: Station, kinship: Kinship, now_ms: int) -> None:
        self._replica = own.replica
        with own.replica.transaction():
            own.replica.welcome(_peer(other, is_child=kinship == "child"))
        self._session = Session(own.replica, other.replica.subject, kinship, own.blobs)

    def step(self, messages: Iterable[Message], now_ms: int) -> list[Message]:
        """Handle messages in one transaction and return the answers."""
        answers: list[Message] = []
        with self._replica.transaction():
            for message in messages:
                answers += self._session.receive(message, now_ms)
            return answers + self._session.pump(now_ms)


def _lines(stations: Sequence[Station], now_ms: int) -> Iterator[_Line]:
    """Yield the links between directly neighbouring tiers, the highest first."""
    for child in stations:
        tier = child.replica.subject.tier
        above = Tier.PROVINCE if tier is Tier.COMMUNE else Tier.CENTRE
        for parent in stations:
            if tier is not Tier.CENTRE and parent.replica.subject.tier is above:
                yield _Line(child, parent, now_ms)


def _peer(station: Station, *, is_child: bool) -> Peer:
    chain = chain_to_der(station.folder.chain)
    return Peer.named(station.replica.subject, chain, is_child=is_child)


def _attach(station: Station, author: Author, deed: Filing, now_ms: int) -> None:
    drawing = draw(deed.paper, deed.seed)
    sha256 = hashlib.sha256(drawing.data).digest()
    incoming = station.folder.incoming / sha256.hex()
    incoming.write_bytes(drawing.data)
    station.blobs.adopt(incoming, sha256)
    station.desk.attach(
        author,
        deed.case_id,
        sha256,
        len(drawing.data),
        drawing.name,
        drawing.media_type,
        now_ms,
    )
