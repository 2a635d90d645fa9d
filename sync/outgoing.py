"""One log that goes out over a session."""

from dataclasses import dataclass, field
from typing import Final

from schemas.wire import Frame
from sync.history import LogHistory
from sync.pace import Departure

# Leaves looked at for the first frame of a log; the next looks at twice what fitted.
LEAVES_FIRST: Final = 16


@dataclass(slots=True)
class Flight:
    """Leaves first to first + count on their way, in one frame or in parts of one."""

    first: int
    count: int
    size_bytes: int
    left: Departure


@dataclass(frozen=True, slots=True)
class Packed:
    """Leaves of a log from start on, count of them up to end looked at, in frames."""

    start: int
    end: int
    count: int
    frames: list[Frame]

    def is_for(self, start: int, end: int, coding: int) -> bool:
        """Tell whether the same leaves would be packed in the same way now."""
        return (self.start, self.end, self.frames[0].coding) == (start, end, coding)


@dataclass(slots=True)
class Outgoing:
    """What this session knows about one log it sends.

    Attributes:
        acked: the peer holds every leaf below.
        sent: the next leaf to send for the first time.
        confirmed: an acknowledgement came in this session.
        is_rooted: a head with its root was sent in this session.
        is_doubtful: the peer said of it what cannot be; nothing more of it goes out.
        evidence: what it said, with its signature; empty if it signed nothing.
        likely: leaves that the last frame held.
        ready: what found no room on the line when it was packed.
    """

    log_id: bytes
    reference: bytes
    history: LogHistory
    acked: int
    sent: int
    confirmed: bool = False
    is_rooted: bool = False
    is_doubtful: bool = False
    evidence: str = ""
    head_sent_at_ms: int = 0
    likely: int = LEAVES_FIRST // 2
    ready: Packed | None = None
    flights: list[Flight] = field(default_factory=list)
