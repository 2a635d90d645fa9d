"""Enrolled nodes that never had a line, and what they hand each other on sticks."""

import hashlib
import random
from datetime import date
from pathlib import Path
from typing import Final

from crypto.identity import log_id
from node.cli import main
from node.clock import Clock
from node.entropy import system_rng
from node.packs import SUFFIX
from node.registration import register_visit
from node.station import Station, opened_station
from schemas.codes import Tier
from schemas.events import Attached, DirectiveIssued
from schemas.ids import mint_document_id
from sync.replica import Author
from tests.node.places import make_centre, make_commune, make_province, visit

COMMUNE, NEIGHBOUR = "40.17083", "40.17084"
TRUTH: Final = (
    "log",
    "leaf",
    "pending_leaf",
    "cursor",
    "cosignature",
    "peer",
    "meta",
    "blob",
    "alarm",
)


class Country:
    """A centre, a province and two communes that never had a line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.centre, self.province = folder / "centre", folder / "province"
        self.commune, self.neighbour = folder / "commune", folder / "neighbour"
        make_centre(self.centre)
        make_province(self.province, self.centre)
        make_commune(self.commune, self.province, COMMUNE)
        make_commune(self.neighbour, self.province, NEIGHBOUR)
        self._sticks = 0

    def stick(self) -> Path:
        """Return an empty folder."""
        self._sticks += 1
        stick = self.folder / f"stick{self._sticks}"
        stick.mkdir()
        return stick

    def export(self, data: Path, to: str = "parent", *more: str) -> Path:
        stick = self.stick()
        assert (
            main(["pack", "export", "--data", f"{data}", "--to", to, "--out", f"{stick}", *more])
            == 0
        )
        return stick

    def carry(self, sender: Path, receiver: Path, to: str = "parent", *more: str) -> None:
        assert take(receiver, self.export(sender, to, *more)) == 0


def take(data: Path, *packs: Path) -> int:
    return main(["pack", "import", "--data", f"{data}", *(f"{pack}" for pack in packs)])


def parts(stick: Path) -> list[Path]:
    return sorted(stick.glob(f"*{SUFFIX}"))


def officer(station: Station) -> Author:
    own = station.replica.device
    return Author(user="lan", name="Nguyễn Thị Lan", role="reception_officer", device=own)


def register(data: Path, title: str = "Đơn", count: int = 1) -> None:
    with opened_station(data, system_rng()) as station:
        for _ in range(count):
            with station.replica.transaction():
                register_visit(station.desk, officer(station), visit(title), Clock().now_ms())


def attach(data: Path, *contents: bytes) -> None:
    """Attach files to a new case."""
    with opened_station(data, system_rng()) as station:
        events = []
        for content in contents:
            sha256 = hashlib.sha256(content).digest()
            station.blobs.append(sha256, content)
            assert station.blobs.finish(sha256)
            size = len(content)
            media = "application/pdf"
            attached = Attached(sha256=sha256.hex(), size_bytes=size, name="a", media_type=media)
            events.append(attached)
        with station.replica.transaction():
            document = mint_document_id(Clock().now_ms(), random.Random(1))
            station.replica.write(
                officer(station),
                document,
                now_ms=Clock().now_ms(),
                kind="case",
                texts={"summary": ""},
                events=events,
            )
            for content in contents:
                station.replica.store.blob_arrived(hashlib.sha256(content).digest(), len(content))


def truth(data: Path) -> dict[str, object]:
    """Return everything that a pack could change in a folder."""
    with opened_station(data, system_rng(), alone=False) as station:
        db = station.connection
        found: dict[str, object] = {
            table: sorted(map(repr, db.execute(f"SELECT * FROM {table}"))) for table in TRUTH
        }
    found["files"] = sorted(path.name for path in (data / "blobs").rglob("*"))
    return found


def count(data: Path, table: str) -> int:
    with opened_station(data, system_rng(), alone=False) as station:
        return int(station.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def held_above(data: Path) -> tuple[int, int, int]:
    """Return the size of a node's log, and how much of it the province and the centre cosigned."""
    with opened_station(data, system_rng(), alone=False) as station:
        store, own = station.replica.store, station.replica.key.peer_id
        log = store.find_log(log_id(own, "up", 0))
        assert log is not None
        above = (Tier.PROVINCE, Tier.CENTRE)
        return log.size, store.cosigned_size(log, above[0]), store.cosigned_size(log, above[1])


def direct(data: Path, code: str) -> None:
    with opened_station(data, system_rng()) as station, station.replica.transaction():
        station.replica.write(
            officer(station),
            mint_document_id(Clock().now_ms(), random.Random(2)),
            now_ms=Clock().now_ms(),
            kind="directive",
            texts={"body": ""},
            events=[DirectiveIssued(to_codes=(code,), due_on=date(2026, 12, 24))],
        )
