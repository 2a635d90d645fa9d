"""Logs of which the peer takes no more."""

from sync.apart import in_turn
from sync.epochs import open_epoch
from sync.log import UP, Log
from sync.replica import Replica


def stop(replica: Replica, log: Log, code: str, detail: str, now_ms: int, other: str = "") -> None:
    """Stop a log that we send, and keep our head of it and what contradicts it as evidence.

    Args:
        replica: of this node, in a transaction.
        log: stopped already or not.
        code: of the alarm.
        detail: why, as a sentence.
        now_ms: wall clock.
        other: what contradicts it, with its signature; empty if nothing signed does.
    """
    if log.fault:
        # Each further sign of it says nothing new.
        return
    root, signature = log.frontier.root().hex(), log.head_signature.hex()
    evidence = f"{log.origin} {log.size} {root} {signature} {other}".rstrip()
    code = code or "problem"
    replica.store.raise_alarm(
        now_ms=now_ms, code=code, log_id=log.log_id, detail=detail, evidence=evidence
    )
    log.fault, log.dirty = code, True
    is_ours = log.source is None and log.purpose == UP
    if code == "log_forked" and is_ours and log.epoch < replica.epoch:
        # The backup that was put in place came from a copy that had been written in unnoticed.
        open_epoch(replica, replica.epoch + 1, now_ms, code, detail)


def go_on(replica: Replica, log: Log, detail: str, now_ms: int) -> None:
    """Open the next epoch if what is written here would never arrive in a stopped log.

    Not if another was opened a short while ago, as that does not help then; nor for a reader below:
    all our other links would end with it.
    """
    is_ours = log.source is None and log.purpose == UP and log.epoch == replica.epoch
    if log.fault and is_ours and not in_turn(replica.store, log.owner, now_ms):
        open_epoch(replica, replica.epoch + 1, now_ms, log.fault, detail)
