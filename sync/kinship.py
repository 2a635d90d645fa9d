"""Which logs go over a link: it follows from who stands above whom."""

from typing import Literal

from crypto.certificates import Subject
from sync.log import UP, Log
from sync.replica import Replica

# What the peer is to us.
Kinship = Literal["parent", "child"]


def logs_for(replica: Replica, peer: Subject, kinship: Kinship) -> list[Log]:
    """Return the logs that a peer reads: what is below goes up, what concerns a child goes down."""
    mine, reads = replica.subject.peer_id, f"down/{peer.peer_id.hex()}"
    if kinship == "child":
        return [log for log in replica.store.logs() if log.owner == mine and log.purpose == reads]
    return [log for log in replica.store.logs() if log.purpose == UP]


def is_theirs(replica: Replica, peer: Subject, kinship: Kinship, log: Log) -> bool:
    """Tell whether a log comes from the peer: its own, and what goes through a child."""
    if kinship == "child":
        return log.purpose == UP and peer.peer_id in (log.owner, log.source)
    mine = f"down/{replica.subject.peer_id.hex()}"
    return (log.owner, log.purpose) == (peer.peer_id, mine)
