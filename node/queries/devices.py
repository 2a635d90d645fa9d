"""The devices of this site, for the technician."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from schemas.codes import DeviceScope

_SHOWN_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """A device with who is signed in there."""

    device: bytes
    name: str
    scope: DeviceScope
    is_paired: bool
    people: list[str]
    paired_by: str
    first_seen_ms: int
    seen_ms: int
    revoked_ms: int | None
    revoked_by: str


def device_rows(db: sqlite3.Connection) -> list[DeviceRow]:
    """Return devices: those in use first, then paired ones, the latest seen first."""
    people: dict[bytes, set[str]] = {}
    for row in db.execute(
        "SELECT s.device, a.name FROM sign_in s JOIN account a ON a.user = s.user"
    ):
        people.setdefault(bytes(row[0]), set()).add(row[1])
    rows = db.execute(
        "SELECT device, name, scope, point IS NOT NULL, paired_by, first_seen_ms, seen_ms,"
        " revoked_ms, revoked_by FROM device"
        " ORDER BY revoked_ms IS NOT NULL, point IS NULL, seen_ms DESC LIMIT ?",
        (_SHOWN_MAX,),
    )
    return [
        DeviceRow(
            device=bytes(row[0]),
            name=row[1],
            scope=DeviceScope(row[2]),
            is_paired=bool(row[3]),
            people=sorted(people.get(bytes(row[0]), ())),
            paired_by=row[4],
            first_seen_ms=row[5],
            seen_ms=row[6],
            revoked_ms=row[7],
            revoked_by=row[8],
        )
        for row in rows
    ]


def devices_digest(db: sqlite3.Connection) -> str:
    """Return a text that differs whenever devices, or who is signed in there, are not as before."""
    devices = db.execute("SELECT count(*), count(revoked_ms) FROM device").fetchone()
    signed_in = db.execute("SELECT count(*), coalesce(max(started_ms), 0) FROM sign_in").fetchone()
    return f"{devices[0]}.{devices[1]}.{signed_in[0]}.{signed_in[1]}"


def known_nodes(db: sqlite3.Connection) -> frozenset[str]:
    """Return the keys, in hex, of the nodes that this one has talked to."""
    return frozenset(bytes(row[0]).hex() for row in db.execute("SELECT peer FROM peer"))
