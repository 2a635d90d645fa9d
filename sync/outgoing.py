"""One log that goes out over a session."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from schemas.wire import Frame, Priority
from sync.history import LogHistory
from sync.pace import Departure

# A reliable link answers within this time; a lossy one is asked again after it.
RETRY_MS: Final = 20_000
# When to ask whether the tiers above have countersigned meanwhile, and after twice the time again:
# the peer tells it by itself, too, and there may be no tier above for months.
POLL_MS: Final = 300_000
POLL_MS_MAX: Final = 4 * 3_600_000
# From so many on, leaves are a backlog: urgent no more, and packed with the help of those before
# them; a lone one needs none.
LEAVES_MANY: Final = 8
# Leaves looked at for the first frame of a log; the next looks at twice what fitted.
LEAVES_FIRST: Final = 16


@dataclass(slots=True)
class Flight:
    """Leaves first to first + count on their way, in one frame or in parts of one."""

    first: int
    count: int
    size_bytes: int
    left: Departure
    priority: Priority


@dataclass(frozen=True, slots=True)
class Packed:
    """Leaves of a log from start on, count of them up to end looked at, in frames."""

    start: int
    end: int
    count: int
    frames: list[Frame]

    def is_for(self, start: int, end: int, coding: int, priority: Priority) -> bool:
        """Tell whether the same leaves would be packed in the same way now."""
        first = self.frames[0]
        known = (self.start, self.end, first.coding, first.priority)
        return known == (start, end, coding, priority)


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
        ready: what found no room on the line when it was packed.
        is_late: it was offered when the link was up, so that its offer may still be on its way.
        polls: how often it was asked in vain whether the tiers above have countersigned.
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
    is_late: bool = False
    polls: int = 0
    ready: Packed | None = None
    flights: list[Flight] = field(default_factory=list)

    def priority(self, size: int) -> Priority:
        """Tell how urgent the next leaves of the log are: a few are news, many a backlog.

        Within a log nothing overtakes, because it is the order of what was written.

        Args:
            size: of the log.
        """
        if self.flights and not self.acked:
            # The certificate must not be overtaken by a head that it is to judge.
            return self.flights[-1].priority
        is_known = self.confirmed or not self.is_late
        return (
            Priority.RECORDS if is_known and size - self.acked >= LEAVES_MANY else Priority.STATUS
        )

    def wait_ms(self, size: int) -> int:
        """Return how long the last head waits for an answer, or the answer for a cosignature.

        Args:
            size: of the log.
        """
        if self.acked < size:
            return RETRY_MS
        return min(POLL_MS << min(self.polls, 16), POLL_MS_MAX)

    def land(self, have_seq: int, gaps: Sequence[tuple[int, int]]) -> list[Flight]:
        """Learn from an acknowledgement what need not be sent; return the flights that arrived.

        A frame arrives whole; those in a gap stay on their way.

        Args:
            have_seq: the peer holds every leaf below.
            gaps: (first, count) of what it lacks before what it holds behind; ascending.
        """
        highest = max([have_seq, *(first + count for first, count in gaps)])
        landed, flying = list[Flight](), list[Flight]()
        for flight in self.flights:
            end = flight.first + flight.count
            is_missing = end > highest or any(
                first < end and flight.first < first + count for first, count in gaps
            )
            (flying if end > have_seq and is_missing else landed).append(flight)
        self.flights = flying
        here = [(first + count, behind) for (first, count), (behind, _) in pairwise(gaps)]
        self.away = sorted([*here, *((one.first, one.first + one.count) for one in flying)])
        return landed

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
