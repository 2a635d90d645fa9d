"""What a session knows about a log that it receives."""

from dataclasses import dataclass, field

from sync.history import LogHistory
from sync.log import Log
from sync.ranges import Ranges


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
