"""Offices for benchmarks: real folders with keys and certificates, opened as stations."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crypto.certificates import chain_from_pem, chain_to_der
from node.config import Config
from node.folder import init_folder, install_chain, sign_request
from node.samples.texts import Place, find_place
from node.station import Station, open_station
from schemas.codes import Role, Tier
from schemas.wire import decode_messages, encode_message
from sync.replica import Author
from sync.session import Kinship, Session
from sync.store import Peer

CENTRE: Final = find_place("centre")
PROVINCE: Final = find_place("nghe-an")
_ENROLLED_BEFORE_MS: Final = 300 * 86_400_000
_LIFETIME_DAYS: Final = 365


def enrol(folder: Path, place: Place, parent: Path | None, now_ms: int, config: Config) -> None:
    """Make an office's folder and have it signed by its parent, as `tiepdan enrol` does."""
    enrolled_ms = now_ms - _ENROLLED_BEFORE_MS
    request = init_folder(
        folder,
        tier=place.tier,
        code=place.code,
        name=place.name,
        config=config,
        now_ms=enrolled_ms,
    )
    if request is not None and parent is not None:
        signed = sign_request(parent, request.read_bytes(), enrolled_ms, _LIFETIME_DAYS)
        *chain, root = chain_from_pem(signed)
        install_chain(folder, chain, root)


def enrol_all(data: Path, communes: list[Place], now_ms: int, config: Config) -> None:
    """Make a centre, a province and communes below it, each in a folder of its name."""
    enrol(data / CENTRE.folder, CENTRE, None, now_ms, config)
    enrol(data / PROVINCE.folder, PROVINCE, data / CENTRE.folder, now_ms, config)
    for place in communes:
        enrol(data / place.folder, place, data / PROVINCE.folder, now_ms, config)


@contextmanager
def at_work(folder: Path, rng: random.Random) -> Iterator[Station]:
    """Open an office for the length of a block."""
    station = open_station(folder, rng)
    try:
        yield station
    finally:
        station.close()


@contextmanager
def hastily(station: Station) -> Iterator[None]:
    """Do not wait for the disk: for what is only set up, and was not promised to anybody."""
    station.connection.execute("PRAGMA synchronous = OFF")
    try:
        yield
    finally:
        station.connection.execute("PRAGMA synchronous = FULL")


def author(station: Station, place: Place, role: Role) -> Author:
    """Return who has a role at an office, at the node itself."""
    person = place.holder(role)
    return Author(
        user=person.user, name=person.name, role=role.value, device=station.replica.device
    )


def as_peer(station: Station, *, is_child: bool) -> Peer:
    """Return an office as another one knows it."""
    chain = chain_to_der(station.folder.chain)
    return Peer.named(station.replica.subject, chain, is_child=is_child)


class End:
    """One end of a link without a network: bytes in, bytes out, one transaction at a time."""

    def __init__(self, own: Station, other: Station) -> None:
        """Greet the other office."""
        is_child = own.replica.subject.tier is not Tier.COMMUNE and (
            other.replica.subject.tier is not Tier.CENTRE
        )
        kinship: Kinship = "child" if is_child else "parent"
        self._replica = own.replica
        with own.replica.transaction():
            own.replica.welcome(as_peer(other, is_child=is_child))
        self._session = Session(own.replica, other.replica.subject, kinship, own.blobs)

    def step(self, inbox: list[bytes], now_ms: int) -> list[bytes]:
        """Handle messages in one transaction and return the answers, as the running node does."""
        messages = [message for data in inbox for message in decode_messages(data)]
        with self._replica.transaction():
            answers = [a for message in messages for a in self._session.receive(message, now_ms)]
            answers += self._session.pump(now_ms)
        return [encode_message(answer) for answer in answers]


def synchronise(child: Station, parent: Station, now_ms: int) -> None:
    """Let two offices exchange until both are silent."""
    lower, upper = End(child, parent), End(parent, child)
    upwards = lower.step([], now_ms)
    downwards = upper.step(upwards, now_ms)
    while upwards or downwards:
        upwards = lower.step(downwards, now_ms)
        downwards = upper.step(upwards, now_ms)
