"""The next life of a node whose database is an older copy of itself.

Such a node must never extend its old log: the tier above may hold another continuation. It opens
the next epoch, in which it writes new logs, and cuts the old one back to what the tier above has
countersigned, which is the same for both for certain. The tier above gives the rest back as it
stands there. Leaves that were cut off and do not come back were written after the copy was put in
place: they stay as evidence, and what they say is written again in the new epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.codes import Tier
from schemas.errors import RecordError, SchemaError
from schemas.ids import DocumentId, event_hlc, event_id
from schemas.record import Leaf, LeafType, Writer, decode_leaf, decode_writer
from sync.apart import IN_TURN, cut, in_turn
from sync.change import Change, parse_change
from sync.document import Documents, Edit
from sync.errors import ChangeError, LogError
from sync.history import is_certificates
from sync.log import SUBTREE_LEVEL, UP, Log
from sync.registers import Effect, Registers, absorb, judge, kind_of
from sync.replica import Author, Replica
from sync.scrub import look

_ABOVE: Final = {
    Tier.OUTPOST: Tier.COMMUNE,
    Tier.COMMUNE: Tier.PROVINCE,
    Tier.PROVINCE: Tier.CENTRE,
}


def open_epoch(
    replica: Replica, epoch: int, now_ms: int, code: str, detail: str, *, cuts: bool = True
) -> None:
    """Go on in a later epoch, and cut the logs of what was written here to what is certain.

    Args:
        replica: of this node, in a transaction.
        epoch: above the present one.
        now_ms: wall clock.
        code: of the alarm that says why.
        detail: why, as a sentence.
        cuts: something may have been written since the copy was put in place.
    """
    store = replica.store
    for log in store.logs():
        is_open = log.epoch == replica.epoch or log.fault
        if log.owner != replica.subject.peer_id or not (cuts and is_open):
            continue
        certain = _certain_size(replica, log)
        if certain is None:
            continue
        documents = cut(store, log, min(log.size, certain))
        log.fault, log.dirty = code, True
        replica.intake.redo(documents, now_ms)
    replica.begin_epoch(epoch)
    advice = ""
    if cuts and in_turn(store, replica.subject.peer_id, now_ms):
        code, advice = "epochs_in_turn", f". {IN_TURN}"
    store.raise_alarm(
        now_ms=now_ms,
        code=code,
        log_id=replica.up_log().log_id,
        detail=f"{detail}; this node goes on in epoch {epoch}{advice}",
        evidence="",
    )


def _certain_size(replica: Replica, log: Log) -> int | None:
    """Return how many leaves of an own log its reader countersigned; None if it has no reader."""
    if log.purpose != UP:
        return replica.store.cosigned_by(log, bytes.fromhex(log.purpose.removeprefix("down/")))
    above = _ABOVE.get(replica.subject.tier)
    # Nobody could give back what the centre wrote.
    return None if above is None else replica.store.cosigned_size(log, above)


def give_up(replica: Replica, log: Log, now_ms: int) -> None:
    """Go on in a new epoch after the disk lost leaves of the up log that nobody else holds.

    What was written behind them and is whole is written again there.
    """
    store, detail = replica.store, "the disk lost leaves that nobody else holds"
    open_epoch(replica, replica.epoch + 1, now_ms, "log_damaged", detail)
    take_back(replica, log, now_ms)
    for position in store.damage.blocks(log):
        if position << SUBTREE_LEVEL >= log.size:
            store.damage.remove(log, position)
        else:
            look(store, log, position, now_ms)


def take_back(replica: Replica, log: Log, now_ms: int) -> None:
    """Judge what was cut off an own log, once all that its reader holds of it is back.

    What was written here is written again. A log downwards holds copies, and the new epoch's log
    has them already.
    """
    store = replica.store
    lost: list[tuple[int, Leaf]] = []
    unreadable = 0
    for number, seq, data in store.db.execute(
        "SELECT number, seq, data FROM apart_leaf WHERE log = ? AND is_judged = 0 ORDER BY seq",
        (log.number,),
    ).fetchall():
        if seq < log.size and store.leaf(log.number, seq) == data:
            # It is in its place again.
            store.db.execute("DELETE FROM apart_leaf WHERE number = ?", (number,))
        else:
            store.db.execute("UPDATE apart_leaf SET is_judged = 1 WHERE number = ?", (number,))
            try:
                lost.append((seq, decode_leaf(data)))
            except RecordError:
                unreadable += 1
    log.fault, log.dirty = "", True
    if not lost and not unreadable:
        return
    detail = f"{len(lost) + unreadable} leaves differ from what its reader holds"
    if log.purpose == UP:
        writing = _Rewriting(replica, log, [leaf for _, leaf in lost], now_ms)
        for leaf in writing.leaves:
            writing.write(leaf)
        refused = writing.refused + unreadable
        detail += f"; {len(writing.made)} changes were written again, {refused} could not be"
    store.raise_alarm(
        now_ms=now_ms, code="log_forked", log_id=log.log_id, detail=detail, evidence=""
    )


def write_again(replica: Replica, log: Log, now_ms: int) -> tuple[int, int]:
    """Write what was cut off a log of ours again in the present one, whoever may hold it.

    Returns:
        How many changes were written, and how many leaves could not be.
    """
    leaves: list[Leaf] = []
    unreadable = 0
    for number, data in replica.store.db.execute(
        "SELECT number, data FROM apart_leaf WHERE log = ? AND is_judged = 0 ORDER BY seq",
        (log.number,),
    ).fetchall():
        replica.store.db.execute("UPDATE apart_leaf SET is_judged = 1 WHERE number = ?", (number,))
        try:
            leaves.append(decode_leaf(data))
        except RecordError:
            unreadable += 1
    writing = _Rewriting(replica, log, leaves, now_ms)
    for leaf in leaves:
        writing.write(leaf)
    return len(writing.made), writing.refused + unreadable


def pass_up(replica: Replica, log: Log, start: int) -> None:
    """Send on upwards what was written here and came back in a log downwards alone.

    Args:
        replica: of this node, in a transaction.
        log: own, given back by its reader.
        start: first leaf that came back now.
    """
    if replica.subject.tier not in _ABOVE:
        return
    db = replica.store.db
    for seq, data in enumerate(replica.store.leaves(log, start, log.size - start), start):
        row = db.execute(
            "SELECT document, hash FROM change WHERE log = ?1 AND seq = ?2 UNION"
            " SELECT document, hash FROM waiting_change WHERE log = ?1 AND seq = ?2",
            (log.number, seq),
        ).fetchone()
        if row is None:
            if seq and is_certificates(data):
                # Whom it names may be news here, and to the other readers.
                replica.announce_superiors()
            continue
        leaf = decode_leaf(data)
        writer = replica.intake.writer(log.number, leaf.writer)
        known = db.execute(
            "SELECT 1 FROM change c JOIN log l ON l.number = c.log"
            " WHERE document = ?1 AND hash = ?2 AND l.purpose = ?3 UNION"
            " SELECT 1 FROM waiting_change c JOIN log l ON l.number = c.log"
            " WHERE document = ?1 AND hash = ?2 AND l.purpose = ?3",
            (*row, UP),
        ).fetchone()
        if writer.node == replica.subject.peer_id and known is None:
            replica.repeat(leaf, writer)


@dataclass(slots=True)
class _Rewriting:
    """Writes changes of leaves that are in no log any more into the present log.

    Attributes:
        leaves: all of them, in order.
        made: the new changes by the hash of the old ones, empty where nothing was to be written.
        refused: how many the documents do not take.
    """

    replica: Replica
    log: Log
    leaves: list[Leaf]
    now_ms: int
    made: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    refused: int = 0
    _changes: dict[bytes, Change] = field(default_factory=dict)
    _writers: dict[int, Writer] = field(default_factory=dict)
    _renamed: dict[str, str] = field(default_factory=dict)

    def write(self, leaf: Leaf) -> None:
        """Write one again, if it is a change."""
        document = DocumentId(leaf.document)
        try:
            if leaf.type == LeafType.WRITER:
                self._writers[leaf.writer] = decode_writer(leaf.body)
            if leaf.type != LeafType.CHANGE:
                return
            old = parse_change(leaf.body)
            self._changes[old.hash] = old
            edit, writer = self._edit(document, old, leaf), self._writer(leaf.writer)
            author = Author(
                user=writer.user, name=writer.name, role=writer.role, device=writer.device
            )
            made = self.replica.commit(author, document, edit, leaf.hlc, self.now_ms)
        except (ChangeError, LogError, SchemaError):
            self.replica.intake.documents.close(document)
            self.refused += 1
            return
        # What was built on an edit that turns out empty now builds on what that had built on.
        self.made[old.hash] = (parse_change(made[1]).hash,) if made else edit.base or ()

    def _writer(self, number: int) -> Writer:
        return self._writers.get(number) or self.replica.intake.writer(self.log.number, number)

    def _edit(self, document: DocumentId, old: Change, leaf: Leaf) -> Edit:
        """Return what a change did, as an edit of what it was written on."""
        past = self._past(document, old)
        registers = Registers()
        for change in past:
            absorb(registers, change, log=0, seq=0)
        newest = max(registers.last_ops.values(), default=0)
        device = self._writer(leaf.writer).device
        effect = judge(registers, old, newest=newest, hlc=leaf.hlc, device=device)
        is_new = not registers.kind
        absorb(registers, old, log=0, seq=0)
        base = {new for dep in old.deps for new in self.made.get(dep, (dep,))}
        return Edit(
            kind=kind_of(old) if is_new else None,
            fields=_fields(effect),
            texts=_texts([*past, old], registers.texts if is_new else effect.texts),
            events=self._events(effect, device),
            base=None if is_new else tuple(sorted(base)),
        )

    def _events(self, effect: Effect, device: bytes) -> dict[str, str]:
        """Return events under ids of the present epoch, in which they name each other too."""
        now = self.replica.device_now(device)
        for key in effect.events:
            self._renamed[key] = event_id(event_hlc(key), now)
        found = {}
        for key, body in effect.events.items():
            for old, new in self._renamed.items():
                body = body.replace(old, new)
            found[self._renamed[key]] = body
        return found

    def _past(self, document: DocumentId, old: Change) -> list[Change]:
        """Return all that a change builds on, causes first."""
        found: dict[bytes, Change] = {}
        pending = [*old.deps]
        while pending:
            dep = pending[-1]
            change = found.get(dep) or self._changes.get(dep) or self._stored(document, dep)
            missing = [other for other in change.deps if other not in found]
            if missing and dep not in found:
                pending += missing
            else:
                found.setdefault(dep, change)
                pending.pop()
        return list(found.values())

    def _stored(self, document: DocumentId, change_hash: bytes) -> Change:
        row = self.replica.store.db.execute(
            "SELECT leaf.data FROM change JOIN leaf ON leaf.log = change.log"
            " AND leaf.seq = change.seq WHERE document = ? AND hash = ?",
            (document, change_hash),
        ).fetchone()
        if row is None:
            raise ChangeError("base_unknown", "the version that was edited is not here")
        return parse_change(decode_leaf(bytes(row[0])).body)


def _fields(effect: Effect) -> dict[str, str | int | None]:
    return {
        name: value
        for name, value in effect.fields.items()
        if value is None or isinstance(value, str | int)
    }


def _texts(changes: list[Change], names: Iterable[str]) -> dict[str, str]:
    scratch = Documents(lambda _: [change.raw for change in changes])
    return {name: scratch.text(DocumentId(bytes(16)), name) for name in names}
