"""Disks that lose leaves, and days that go by, for tests."""

from itertools import cycle
from typing import Final

from schemas.wire import Message
from schemas.wire_audit import Reconcile, Repair
from sync.audit import QUIET_MS
from sync.errors import LinkError
from sync.log import Log
from tests.sync.builders import NOW_MS, Link, Node

DAY_MS: Final = 24 * 60 * 60 * 1000


def scrub(node: Node, now_ms: int) -> None:
    """Let a node read all of its leaves."""
    for _ in range(10_000):
        with node.transaction():
            if not node.replica.scrub.step(now_ms):
                return
    raise AssertionError("the scrub never rests")


def live(child: Node, parent: Node, days: float = 1.1, since_ms: int = NOW_MS) -> list[Message]:
    """Let two nodes with an open link live for some days; return what they said of audits."""
    said: list[Message] = []
    link = Link(child, parent, since_ms)
    end_ms = since_ms + int(days * DAY_MS)
    now_ms = since_ms
    # Two looks close together: who said something just now does not audit.
    steps = cycle((DAY_MS // 4 - 2 * QUIET_MS, 2 * QUIET_MS))
    while now_ms < end_ms:
        for node in (child, parent):
            scrub(node, now_ms)
        link.now_ms = now_ms
        try:
            link.run()
        except LinkError:
            said += audit_messages(link)
            link = Link(child, parent, now_ms)
            continue
        now_ms += QUIET_MS // 2 if now_ms < since_ms + 3 * QUIET_MS else next(steps)
    return said + audit_messages(link)


def audit_messages(link: Link) -> list[Message]:
    return [message for _, message in link.sent if isinstance(message, Reconcile | Repair)]


def lose(node: Node, log: Log, seq: int) -> None:
    node.store.db.execute("DELETE FROM leaf WHERE log = ? AND seq = ?", (log.number, seq))


def alter(node: Node, log: Log, seq: int) -> None:
    data = bytearray(node.store.leaf(log.number, seq))
    data[-1] ^= 1
    node.store.db.execute(
        "UPDATE leaf SET data = ? WHERE log = ? AND seq = ?", (bytes(data), log.number, seq)
    )


def stored(node: Node, log: Log) -> list[bytes]:
    return [
        row[0] for row in node.rows("SELECT data FROM leaf WHERE log = ? ORDER BY seq", log.number)
    ]


def whole(node: Node) -> None:
    """Check that nothing is damaged, refused or stopped."""
    assert node.rows("SELECT * FROM damage") == []
    assert node.dead_letters() == []
    assert node.rows("SELECT code FROM log WHERE fault != ''") == []
