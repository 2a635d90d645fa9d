"""Tells of which changes it is certain that Automerge applies them, so that it need not be asked.

Applying takes a microsecond for each letter and an open document that nobody looks at. Most changes
are plain: laid out as Automerge's own encoder does, next after their actor's last one, overwriting
what stands, typing texts from nothing. What such a change does to the maps the registers tell; what
it does to the texts stands in it. All others are applied. Tests hold this to the binding.
"""

import itertools
import operator
from collections.abc import Iterable, Mapping
from typing import Final

from schemas.ids import DocumentId
from sync.change import Action, Change, Letters, MapOp, OpId, uleb
from sync.columns import ACTION, INSERT, KEY_ACTOR, KEY_COUNTER, booleans, deltas, uints
from sync.document import FIELDS, Documents
from sync.errors import ChangeError
from sync.registers import Registers

_TEXT_KIND: Final = 6
_NUMBER_MAX: Final = 1 << 53


def texts_after(
    documents: Documents, document: DocumentId, registers: Registers, change: Change
) -> Mapping[str, str]:
    """Return the long texts of a document as they read after a change.

    Raises:
        ChangeError: Automerge does not take the change.
    """
    texts = plain_texts(registers, change)
    if texts is not None:
        # What is open does not have it.
        documents.close(document)
        return texts
    documents.apply(document, change.raw, change.hash, new=not registers.kind)
    names = {op.key for op in change.map_ops if op.action is Action.MAKE_TEXT}
    names |= registers.texts.keys() if change.letters else frozenset()
    return {name: documents.text(document, name) for name in names}


def plain_texts(registers: Registers, change: Change) -> dict[str, str] | None:
    """Return the texts that a plain change makes, by name; None if it is not plain.

    Args:
        registers: of the document before the change.
        change: that judge let pass, with all that it builds on applied.
    """
    is_next = change.seq == registers.seqs.get(change.actor, 0) + 1
    if not (change.is_regular and is_next and change.map_ops):
        return None
    if len({(op.object, op.key) for op in change.map_ops}) < len(change.map_ops):
        return None
    if not all(_is_plain(op, registers) for op in change.map_ops):
        return None
    made = {op.id: op.key for op in change.map_ops if op.action is Action.MAKE_TEXT}
    if change.typed is not None:
        typed = change.typed if change.typed.keys() <= made.keys() else None
    else:
        typed = _typed(change, made) if change.letters else _nothing_typed(change)
    if typed is None:
        return None
    return {name: typed.get(text, "") for text, name in made.items()}


def _is_plain(op: MapOp, registers: Registers) -> bool:
    """Tell whether an operation sets or removes a value, over nothing or over one that stands."""
    if op.object is not None and op.object[0] >= op.id[0]:
        return False
    if op.replaces and not (
        len(op.replaces) == 1
        and op.object == registers.maps.get(FIELDS)
        and op.replaces[0] in [value.op for value in registers.fields.get(op.key, ())]
    ):
        return False
    match op.action:
        case Action.SET:
            is_number = type(op.value) is int and abs(op.value) < _NUMBER_MAX
            return is_number or type(op.value) is str
        case Action.DELETE:
            return bool(op.replaces) and op.value is None
        case Action.MAKE_MAP | Action.MAKE_TEXT:
            return op.value is None
        case _:
            return False


def _nothing_typed(change: Change) -> Mapping[OpId, str] | None:
    """Return no texts if the change has the columns of one that works on maps alone."""
    columns = change.columns
    is_plain = KEY_ACTOR not in columns and KEY_COUNTER not in columns
    # One run: no operation inserts.
    is_plain = is_plain and columns.get(INSERT) == uleb(change.last_op - change.start_op + 1)
    return {} if is_plain else None


def _typed(change: Change, made: Mapping[OpId, str]) -> dict[OpId, str] | None:
    """Return the content of each text that the change types, letter after letter, into nothing.

    Args:
        change: with operations on letters.
        made: texts that it makes.
    """
    columns = change.columns
    try:
        places = deltas(columns.get(KEY_COUNTER, b""))
        actors = uints(columns.get(KEY_ACTOR, b""))
        actions = uints(columns.get(ACTION, b""))
        inserts = booleans(columns.get(INSERT, b""))
    except (IndexError, ChangeError):
        # Where a letter stands is read nowhere else.
        return None
    count = change.last_op - change.start_op + 1
    if not len(places) == len(actors) == len(inserts) == len(actions) == count:
        return None
    typed: dict[OpId, str] = {}
    placed = sum(len(some.metas) for some in change.letters)
    heads = len(change.letters)
    if (places.count(None), actors.count(None)) != (count - placed, count - placed + heads):
        # An operation on a map has no place.
        return None
    if inserts.count(True) != placed:
        return None
    for some in change.letters:
        span = slice(some.first, some.first + len(some.metas))
        target, *others = some.objects
        # The first letter stands at the head, each other one after the letter before it.
        first = change.start_op + some.first
        stands = places[span] == [0, *range(first, first + len(some.metas) - 1)]
        if others or target not in made or target in typed or target[0] >= first or not stands:
            return None
        if actors[span] != [None] + [0] * (len(some.metas) - 1):
            return None
        if not all(inserts[span]) or {*actions[span]} != {Action.SET}:
            return None
        words = _words(some)
        if words is None:
            return None
        typed[target] = words
    return typed


def _words(letters: Letters) -> str | None:
    """Return the letters as one text, if each is a text of its own and not empty."""
    metas = [meta or 0 for meta in letters.metas]
    if {meta & 0x0F for meta in {*metas}} != {_TEXT_KIND} or min(metas) < 16:
        return None
    starts = [0, *itertools.accumulate(meta >> 4 for meta in metas[:-1])]
    if any(byte & 0xC0 == 0x80 for byte in {*_at(letters.raw, starts)}):
        # A letter that starts within another one.
        return None
    try:
        return letters.raw.decode()
    except UnicodeDecodeError:
        return None


def _at(data: bytes, positions: list[int]) -> Iterable[int]:
    if len(positions) == 1:
        return data[:1]
    found: tuple[int, ...] = operator.itemgetter(*positions)(data)
    return found
