"""One log that goes out over a session."""

from dataclasses import dataclass, field
from typing import Final

from schemas.wire import Priority
from sync.history import LogHistory
from sync.pace import Departure

# A reliable link answers within this time; a lossy one is asked again after it.
RETRY_MS: Final = 20_000
# When to ask whether the tiers above have countersigned meanwhile, and after twice the time again:
# the peer tells it by itself, too, and there may be no tier above for months.
POLL_MS: Final = 300_000
_POLL_MS_MAX: Final = 4 * 3_600_000
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
        is_late: it was offered when the link was up, so that its offer may still be on its way.
        polls: how often it was asked in vain whether the tiers above have countersigned.
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
    is_late: bool = False
    polls: int = 0
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
        return min(POLL_MS << min(self.polls, 16), _POLL_MS_MAX)
