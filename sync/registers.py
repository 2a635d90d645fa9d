"""What the map operations of a document amount to: field values, their rivals, and new events.

This is Automerge's own rule for maps, applied one change at a time: an operation replaces those it
names; whatever no operation has replaced still stands. More than one standing value means that two
writers edited apart. Changes must come in causal order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cbor2

from schemas.ids import event_hlc, event_id
from sync.change import Action, Change, MapOp, OpId, Scalar, references
from sync.document import EVENTS, FIELDS, KIND, TEXTS
from sync.errors import ChangeError

_MAPS = (FIELDS, TEXTS, EVENTS)
# One leaf may bring this many events; each takes the next reading of its clock.
_EVENTS_PER_CHANGE_MAX = 256


class Standing(NamedTuple):
    """One value of a field that nobody has replaced; a tuple, because so many are made.

    Attributes:
        op: the operation that set it; the highest is the value Automerge shows.
        log: number of the log whose leaf set it.
        seq: number of that leaf.
    """

    op: OpId
    value: Scalar
    log: int
    seq: int


@dataclass(slots=True)
class Registers:
    """The maps of one document.

    Attributes:
        kind: the document's kind, empty before its first change.
        maps: object ids of the three maps.
        texts: object id of each long text.
        fields: standing values by field, highest operation first.
        last_ops: number of each actor's last operation.
        seqs: number of each actor's last change.
        heads: hashes of the changes that no other builds on, sorted.
    """

    kind: str = ""
    maps: dict[str, OpId] = field(default_factory=dict)
    texts: dict[str, OpId] = field(default_factory=dict)
    fields: dict[str, list[Standing]] = field(default_factory=dict)
    last_ops: dict[bytes, int] = field(default_factory=dict)
    seqs: dict[bytes, int] = field(default_factory=dict)
    heads: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes kept in the document table."""
        fields = {
            name: [[*standing.op, standing.value, standing.log, standing.seq] for standing in row]
            for name, row in sorted(self.fields.items())
        }
        maps = [list(self.maps[name]) for name in _MAPS]
        texts = {name: list(op) for name, op in sorted(self.texts.items())}
        actors = {actor: [last, self.seqs[actor]] for actor, last in sorted(self.last_ops.items())}
        return cbor2.dumps([self.kind, maps, texts, fields, actors, list(self.heads)])

    def values(self) -> dict[str, Scalar]:
        """Return the value of each field that Automerge shows."""
        return {name: row[0].value for name, row in self.fields.items() if row}


def decode_registers(data: bytes) -> Registers:
    """Return the registers that encode made."""
    kind, maps, texts, fields, actors, heads = cbor2.loads(data)
    return Registers(
        kind=kind,
        maps={name: (op[0], op[1]) for name, op in zip(_MAPS, maps, strict=True)},
        texts={name: (op[0], op[1]) for name, op in texts.items()},
        fields={
            name: [Standing((item[0], item[1]), *item[2:]) for item in row]
            for name, row in fields.items()
        },
        last_ops={actor: numbers[0] for actor, numbers in actors.items()},
        seqs={actor: numbers[1] for actor, numbers in actors.items()},
        heads=tuple(heads),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one change does to a document.

    Attributes:
        fields: new values, None where a value is removed.
        events: JSON text by event id.
        texts: names of the long texts that were written in.
    """

    fields: dict[str, Scalar]
    events: dict[str, str]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What a change is to those that build on it."""

    actor: bytes
    last_op: int
    deps: tuple[bytes, ...]


def is_before(op: OpId, deps: Sequence[bytes], step: Callable[[bytes], Step]) -> bool:
    """Tell whether an operation is in the past of a change that builds on deps.

    An actor's changes follow one another, so its operation is in the past if a later one of its is.
    """
    pending, seen = list(deps), set[bytes]()
    while pending:
        change_hash = pending.pop()
        if change_hash in seen:
            continue
        seen.add(change_hash)
        known = step(change_hash)
        if known.last_op < op[0]:
            # So are all before it: each change starts right after its own past.
            continue
        if known.actor == op[1]:
            return True
        pending += known.deps
    return False


def judge(
    registers: Registers,
    change: Change,
    *,
    newest: int,
    hlc: int,
    device: bytes,
    knows: Callable[[OpId], bool] | None = None,
) -> Effect:
    """Return what the change does, if it may.

    Args:
        registers: of the document as it stands; not changed here.
        change: whose dependencies are all applied.
        newest: number of the last operation in its past, 0 when it builds on nothing.
        hlc: clock reading of its leaf, which its event ids must continue.
        device: id of the device that wrote it, which its event ids must carry.
        knows: tells whether an operation is in its past; None if all that is here is.

    Raises:
        ChangeError: it alters an event, a map or a text's identity, or has a shape of its own.
    """
    _check_past(registers, change, newest, knows)
    maps = maps_of(change) if not registers.kind else registers.maps
    if registers.kind and not change.deps:
        raise ChangeError("document_twice", "the change would start the document a second time")
    by_id = {op: name for name, op in maps.items()}
    fields: dict[str, Scalar] = {}
    events: dict[str, str] = {}
    texts = {op: name for name, op in registers.texts.items()}
    for op in change.map_ops:
        if op.object is None:
            if registers.kind:
                raise ChangeError("root_changed", f"the change replaces {op.key!r:.40}")
            continue
        match by_id.get(op.object):
            case "fields":
                _check_replaced(registers, change, op, knows)
                fields[op.key] = _field_value(op)
            case "events":
                events[op.key] = _event_body(op, hlc, device)
            case "texts":
                if registers.kind or op.action is not Action.MAKE_TEXT:
                    raise ChangeError("text_replaced", "texts are made with their document")
                texts[op.id] = op.key
            case _:
                raise ChangeError("object_foreign", "the change works on an unknown object")
    if not texts.keys() >= change.sequence_objects:
        raise ChangeError("object_foreign", "the change works on an unknown text")
    touched = tuple(sorted(texts[op] for op in change.sequence_objects))
    return Effect(fields=fields, events=events, texts=touched)


def absorb(registers: Registers, change: Change, *, log: int, seq: int) -> None:
    """Take the operations of a change that judge let pass into the registers."""
    if not registers.kind:
        registers.maps = maps_of(change)
        registers.kind = kind_of(change)
    registers.last_ops[change.actor] = max(registers.last_ops.get(change.actor, 0), change.last_op)
    registers.seqs[change.actor] = max(registers.seqs.get(change.actor, 0), change.seq)
    followed = {*registers.heads} - {*change.deps}
    registers.heads = tuple(sorted({*followed, change.hash}))
    fields, texts = registers.maps[FIELDS], registers.maps[TEXTS]
    for op in change.map_ops:
        if op.object == texts:
            registers.texts[op.key] = op.id
        elif op.object == fields:
            row = [s for s in registers.fields.get(op.key, []) if s.op not in op.replaces]
            if op.action is Action.SET:
                row.append(Standing(op.id, op.value, log, seq))
            row.sort(key=lambda standing: standing.op, reverse=True)
            if row:
                registers.fields[op.key] = row
            else:
                registers.fields.pop(op.key, None)


def kind_of(change: Change) -> str:
    """Return the kind that the first change of a document gives it."""
    return next(str(op.value) for op in change.map_ops if op.object is None and op.key == KIND)


def _check_past(
    registers: Registers, change: Change, newest: int, knows: Callable[[OpId], bool] | None
) -> None:
    """Refuse operations that do not come right after those that their writer knew, or on others.

    Two under one number make texts read differently from node to node; a number far ahead leaves
    none for those who write after it. What arrived from others meanwhile does not count, or nodes
    would judge by the order of arrival.
    """
    if change.seq != registers.seqs.get(change.actor, 0) + 1:
        # Automerge would panic.
        raise ChangeError("change_misnumbered", "an actor's changes are numbered without gaps")
    if registers.kind and change.last_op < change.start_op:
        # Its place among its actor's changes would show in no operation.
        raise ChangeError("change_empty", "a change without an operation")
    own = registers.last_ops.get(change.actor, 0)
    if change.start_op != newest + 1 or own > newest:
        raise ChangeError("change_misnumbered", "the operations are numbered wrongly")
    if own and knows is not None and not knows((own, change.actor)):
        raise ChangeError("change_misnumbered", "the change does not build on its actor's last one")
    if not all(
        actor == change.actor or (actor in registers.seqs and (knows is None or knows((0, actor))))
        for actor in change.actors[1:]
    ):
        # Automerge would panic, or not, by the order of arrival.
        raise ChangeError("actor_unknown", "the change names an actor that it does not build on")
    if knows is not None and change.letters and not all(map(knows, references(change))):
        raise ChangeError("replaced_unknown", "the change works on unseen letters of a text")


def _check_replaced(
    registers: Registers, change: Change, op: MapOp, knows: Callable[[OpId], bool] | None
) -> None:
    """Refuse to overwrite what the writer cannot have seen.

    Else the value would stand where it comes later, and be gone where it came before.
    """
    for replaced in op.replaces:
        counter, actor = replaced
        if actor == change.actor and counter >= change.start_op:
            continue
        is_here = counter <= registers.last_ops.get(actor, 0)
        if not is_here or (knows is not None and not knows(replaced)):
            raise ChangeError("replaced_unknown", f"the change overwrites an unseen {op.key!r:.40}")


def maps_of(change: Change) -> dict[str, OpId]:
    """Return the object ids of the three maps that a document's first change makes."""
    root = [op for op in change.map_ops if op.object is None]
    shape = {op.key: op for op in root}
    if set(shape) != {KIND, *_MAPS} or len(root) != len(shape) or change.deps:
        raise ChangeError("document_malformed", "the first change must make the document's maps")
    kind = shape[KIND]
    if kind.action is not Action.SET or not isinstance(kind.value, str) or not kind.value:
        raise ChangeError("document_malformed", "the document does not say its kind")
    if any(shape[name].action is not Action.MAKE_MAP for name in _MAPS):
        raise ChangeError("document_malformed", "fields, texts and events must be maps")
    return {name: shape[name].id for name in _MAPS}


def _field_value(op: MapOp) -> Scalar:
    if op.action is Action.DELETE:
        return None
    if op.action is not Action.SET or type(op.value) not in (str, int):
        raise ChangeError("field_malformed", f"field {op.key!r:.40} is neither text nor number")
    return op.value


def _event_body(op: MapOp, hlc: int, device: bytes) -> str:
    if op.replaces or op.action is not Action.SET:
        raise ChangeError("event_altered", f"the change alters the event {op.key!r:.40}")
    if not isinstance(op.value, str):
        raise ChangeError("event_malformed", "an event is a text")
    try:
        offset = event_hlc(op.key) - hlc
    except ValueError as error:
        raise ChangeError("event_malformed", f"not an event id: {op.key!r:.40}") from error
    if not 0 <= offset < _EVENTS_PER_CHANGE_MAX:
        raise ChangeError("event_foreign", "the event id does not continue its leaf's clock")
    if op.key != event_id(hlc + offset, device):
        raise ChangeError("event_foreign", "the event id names another device, or is not in hex")
    return op.value
