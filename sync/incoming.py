"""One log that comes in over a session."""

from dataclasses import dataclass, field
from typing import Self

from schemas.limits import GAPS_MAX
from sync.history import LogHistory
from sync.log import Log
from sync.ranges import Ranges
from sync.store import Store


@dataclass(slots=True)
class Incoming:
    """What this session knows about one log it receives.

    Attributes:
        arrived: what is stored, in frames that cannot be read yet too.
        read: what is stored as leaves.
        told: what the last acknowledgement said.
        cosigned: size that was told of each cosigner.
        known: sizes that the peer knew of us and of those above us when the session began.
        is_compared: a head below what is here was compared with it.
        is_damaged: what came was forgotten; more of it is for the next link.
        returns: size at which an own log is back.
        offered: leaves that the peer has.
        seen: the log as this session left it; who else received meanwhile, left it otherwise.
    """

    log_id: bytes
    reference: bytes
    arrived: Ranges
    read: Ranges
    history: LogHistory
    seen: tuple[Log, int]
    told: tuple[object, ...] = ()
    cosigned: dict[bytes, int] = field(default_factory=dict)
    known: tuple[int, int] = (0, 0)
    is_news: bool = False
    is_compared: bool = False
    is_damaged: bool = False
    returns: int = 0
    offered: int = 0

    @classmethod
    def of(cls, store: Store, log: Log) -> Self:
        """Return what is known of a log when its offer comes."""
        read = Ranges(store.pending_numbers(log))
        read.add(0, log.size)
        history = LogHistory(store, log)
        here = came_of(store, log, read)
        return cls(log.log_id, b"", here, read, history, (log, log.arrivals))

    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Return what is missing, and where what is here ends: what came behind a gap counts."""
        gaps = self.arrived.gaps(0)
        if len(gaps) >= GAPS_MAX:
            return tuple(gaps[:GAPS_MAX])
        return (*gaps, (self.arrived.end, 0)) if gaps else ()

    def forget(self, store: Store, log: Log) -> None:
        """Know of nothing any more that no head covers."""
        self.history = LogHistory(store, log)
        self.arrived, self.read, self.is_news = Ranges(), Ranges(), False
        self.arrived.add(0, log.size)
        self.read.add(0, log.size)


def came_of(store: Store, log: Log, read: Ranges) -> Ranges:
    """Return what came of a log, frames that cannot be read yet among it."""
    found = read.copy()
    for first, count in store.early.ranges(log):
        found.add(first, first + count)
    return found
