"""What the person who looks after the node is told; no case content."""

from node.queries.facts import Fact


class Alarm(Fact):
    """What a person must look at."""

    number: int
    at_ms: int
    code: str
    log_id: str
    detail: str


class DeadLetter(Fact):
    """A leaf that was stored, acknowledged, and has no effect."""

    log: str
    seq: int
    document_id: str
    code: str
    detail: str


class WaitingLine(Fact):
    """A change that waits for what it builds on.

    Attributes:
        builds_on_revoked: on one that a revoked key wrote too late, so that it waits for good.
    """

    log: str
    seq: int
    document_id: str
    builds_on_revoked: bool


class RevocationLine(Fact):
    """What was said of a revoked key.

    Attributes:
        counts: the word is in effect; the signer's own key counts.
        is_ours: it is the key of this node.
        set_aside: changes here that do not count.
        last_valid: of each log with leaves that count, the last one: (log id, number).
    """

    peer_id: str
    code: str
    signer_code: str
    signer_name: str
    at_ms: int
    reason: str
    counts: bool
    is_ours: bool
    set_aside: int
    last_valid: list[tuple[str, int]]


class LogLine(Fact):
    """A signed log and who has countersigned how much of it."""

    log_id: str
    purpose: str
    epoch: int
    tier: str
    code: str
    size: int
    province_size: int
    centre_size: int
    fault: str
    valid_size: int | None


class AuditLine(Fact):
    """The last comparison with a peer of what both hold.

    Attributes:
        at_ms: when it was; None before the first.
        logs: how many logs were compared.
        lacked: leaves that this node had lost, of which came_back are back.
        lacked_there: leaves that the peer had lost, and asks for.
    """

    at_ms: int | None
    logs: int
    lacked: int
    came_back: int
    lacked_there: int


class Storage(Fact):
    """What reading all stored leaves again showed.

    Attributes:
        read_ms: when all had been read last; None before the first time.
        damaged: blocks of at most 256 leaves in which some are lost or altered, and not back yet.
    """

    read_ms: int | None
    damaged: int


class OutpostLine(Fact):
    """A machine of this commune that works away from it.

    Attributes:
        accounts: user names that travel to it.
        records: leaves of its logs that are here.
        cases: that it holds copies of; what began there is not counted.
        contact_ms: when it was last heard of; None: never.
    """

    peer_id: str
    code: str
    name: str
    is_revoked: bool
    accounts: list[str]
    records: int
    cases: int
    contact_ms: int | None


class PeerLine(Fact):
    """A node that this one exchanges with.

    Attributes:
        is_below: this node may revoke its key.
        is_revoked: its key was revoked.
    """

    peer_id: str
    tier: str
    code: str
    name: str
    is_child: bool
    acked: int
    audit: AuditLine | None
    is_below: bool
    is_revoked: bool


class Technician(Fact):
    """What the person who looks after the node sees; no case content."""

    logs: list[LogLine]
    peers: list[PeerLine]
    alarms: list[Alarm]
    dead_letters: list[DeadLetter]
    storage: Storage
    waiting: list[WaitingLine]
    revocations: list[RevocationLine]
    missing_blobs: int
    missing_blob_bytes: int
    counts: dict[str, int]
