"""When this node's links carry files: in the hours of node.toml, or at once if somebody says so."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from node.clock import PLACE_OFFSET_MIN
from node.config import Config
from sync.hours import parse_hours
from sync.store import Store

_KEY: Final = "files until"


@dataclass(frozen=True, slots=True)
class FileTimes:
    """When files travel.

    Attributes:
        opens_ms: the next time; None: now.
        is_early: now, because somebody said so.
    """

    opens_ms: int | None
    is_early: bool = False


def file_times(db: sqlite3.Connection, config: Config, now_ms: int) -> FileTimes:
    """Return when files travel, by the hours of node.toml and what somebody said."""
    opens_ms = parse_hours(config.bulk_hours, PLACE_OFFSET_MIN).opens_ms(now_ms)
    if opens_ms == now_ms:
        return FileTimes(None)
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    if row is not None and now_ms < int.from_bytes(row[0], "big"):
        return FileTimes(None, is_early=True)
    return FileTimes(opens_ms)


def send_now(store: Store, config: Config, now_ms: int, *, now: bool) -> None:
    """Let files travel from now until the hours begin; or in the hours alone again."""
    until = parse_hours(config.bulk_hours, PLACE_OFFSET_MIN).opens_ms(now_ms) if now else 0
    store.set_meta(_KEY, until.to_bytes(8, "big"))
