"""One log that goes out over a session."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

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


@dataclass(slots=True)
class Outgoing:
    """What this session knows about one log it sends.

    Attributes:
        acked: the peer holds every leaf below.
        sent: the next leaf to send.
        away: (first, end) of leaves that are on their way, or arrived behind a gap; ascending.
        confirmed: an acknowledgement came in this session.
        is_rooted: a head with its root was sent in this session.
        is_doubtful: the peer said of it what cannot be; nothing more of it goes out.
        evidence: what it said, with its signature; empty if it signed nothing.
        likely: leaves that the last frame held.
    """

    log_id: bytes
    reference: bytes
    history: LogHistory
    acked: int
    sent: int
    away: list[tuple[int, int]] = field(default_factory=list)
    confirmed: bool = False
    is_rooted: bool = False
    is_doubtful: bool = False
    evidence: str = ""
    head_sent_at_ms: int = 0
    likely: int = LEAVES_FIRST // 2
    flights: list[Flight] = field(default_factory=list)

    def leave_out(self, gaps: Sequence[tuple[int, int]]) -> None:
        """Learn from the gaps of an acknowledgement which leaves need not be sent."""
        here = [(first + count, behind) for (first, count), (behind, _) in pairwise(gaps)]
        flying = [(flight.first, flight.first + flight.count) for flight in self.flights]
        self.away = sorted(here + flying)

    def pass_over(self, size: int) -> None:
        """Go on behind what need not be sent of a log of so many leaves."""
        while self.away and self.away[0][0] <= self.sent:
            end = min(self.away.pop(0)[1], size)
            if end > self.sent:
                self.sent = end
                if end == size:
                    # The head must be said by itself.
                    self.head_sent_at_ms = 0

    def lacks_until(self, end: int) -> int:
        """Return up to where, at most `end`, all is to be sent from `sent` on."""
        return min(end, self.away[0][0]) if self.away else end
