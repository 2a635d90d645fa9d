"""Outlines of changes, from Automerge's columns and back to them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from schemas.limits import CHANGE_ACTORS_MAX, CHANGE_OPS_MAX
from sync import runs
from sync.change import Action, uleb
from sync.columns import (
    ACTION,
    INSERT,
    KEY_ACTOR,
    KEY_COUNTER,
    KEY_TEXT,
    OBJECT_ACTOR,
    OBJECT_COUNTER,
    PRED_ACTOR,
    PRED_COUNT,
    PRED_COUNTER,
    VALUE_META,
    VALUE_RAW,
    Reader,
    booleans,
    deltas,
    texts,
    uints,
)
from sync.errors import ChangeError, FrameError
from sync.outline import TEXT, Known, Outline, Put, Ref, Removed, Step, Typed, metas_of
from sync.runs import Run, Steps

_NONE: Final = (None, None)
# A number below is one byte long.
_ONE_BYTE: Final = 0x80
# How a column with one entry begins, and the column of one that is false.
_ONE: Final = runs.sleb(-1)
_ONE_FALSE: Final = uleb(1)


def known_of(actor: bytes, rest: bytes) -> Known | None:
    """Return the last operation and the actors of a change, its own first; None if malformed.

    Args:
        actor: its own.
        rest: its contents from the sequence number on.
    """
    try:
        reader = Reader(rest)
        _, start_op, actors, _ = _start(reader)
        at, sizes = 0, dict[int, tuple[int, int]]()
        for _ in range(reader.count(32)):
            number, size = reader.uint(), reader.uint()
            sizes[number] = at, size
            at += size
        at, size = sizes.get(ACTION, (0, 0))
        reader.take(at)
        count = len(uints(reader.take(size)))
    except (ChangeError, IndexError):
        return None
    return start_op + count - 1, (actor, *actors)


def _start(reader: Reader) -> tuple[int, int, tuple[bytes, ...], bool]:
    """Return sequence number, first operation, other actors, and whether nothing is odd."""
    seq, start_op = reader.uint(), reader.uint()
    time, message = reader.sint(), reader.blob()
    actors = tuple([reader.blob() for _ in range(reader.count(CHANGE_ACTORS_MAX))])
    return seq, start_op, actors, not time and not message


# From the columns


def outline_of(rest: bytes) -> Outline | None:
    """Return a change's outline, None if it has none.

    Args:
        rest: its contents from the sequence number on.
    """
    try:
        reader = Reader(rest)
        seq, start_op, actors, is_usual = _start(reader)
        if not is_usual:
            return None
        specs = [(reader.uint(), reader.uint()) for _ in range(reader.count(32))]
        columns = {number: reader.take(length) for number, length in specs}
        steps = tuple(_Reading(columns, start_op).steps())
        outline = Outline(seq=seq, before=start_op - 1, actors=actors, steps=steps)
        outline.check()
        return outline if contents_of(outline) == rest else None
    except (ChangeError, FrameError, IndexError, ValueError, TypeError):
        # TypeError, ValueError: a null, columns of different lengths, a text that is not UTF-8.
        return None


class _Reading:
    """The operations of a change, as far as they are of a usual kind.

    What is read here wrongly is noticed when the change is made again from it.
    """

    def __init__(self, columns: dict[int, bytes], start_op: int) -> None:
        column = columns.get
        self._start_op = start_op
        self._actions = uints(column(ACTION, b""))
        self._keys, self._spans = texts(column(KEY_TEXT, b""))
        count = len(self._actions)
        if not self._keys:
            self._keys, self._spans = [None] * count, [(0, count)]
        nulls = [None] * count
        self._object_actors = uints(column(OBJECT_ACTOR, b"")) or nulls
        self._object_counters = uints(column(OBJECT_COUNTER, b"")) or nulls
        self._key_actors = uints(column(KEY_ACTOR, b"")) or nulls
        self._key_counters = deltas(column(KEY_COUNTER, b"")) or nulls
        self._inserts = booleans(column(INSERT, b""))
        self._meta_column = column(VALUE_META, b"")
        # Letters at the end say themselves how long they are.
        self._metas = uints(self._meta_column, self._spans[-1][0] if self._spans else count)
        self._raw = Reader(column(VALUE_RAW, b""))
        self._pred_counts = uints(column(PRED_COUNT, b""))
        self._preds = zip(
            uints(column(PRED_ACTOR, b"")), deltas(column(PRED_COUNTER, b"")), strict=True
        )

    def steps(self) -> Iterator[Step]:
        position = 0
        for start, end in [*self._spans, (len(self._actions), len(self._actions))]:
            for index in range(position, start):
                yield self._put(index)
            position = start
            while position < end:
                step, position = self._letters(position, end)
                yield step

    def _put(self, index: int) -> Put:
        if index >= len(self._metas):
            self._metas = uints(self._meta_column)
        meta, key = self._metas[index] or 0, self._keys[index]
        value = self._raw.take(meta >> 4)
        if key is None:
            raise TypeError
        action = self._actions[index]
        if action is None:
            raise TypeError
        return Put(
            self._object(index),
            action,
            key.encode(),
            TEXT if meta & 15 == TEXT else meta,
            value,
            tuple(self._pred() for _ in range(self._pred_counts[index] or 0)),
        )

    def _letters(self, start: int, end: int) -> tuple[Step, int]:
        """Return what is done to letters from start on, in one step, and where it ends."""
        target = self._object(start)
        if target is None:
            raise TypeError
        actor, counter = self._key_actors[start], self._key_counters[start]
        ref = None if actor is None else (actor, counter or 0)
        if self._inserts[start]:
            stop = self._stop(start, end, 0, self._start_op + start)
            return Typed(target, ref, self._typed(start, stop)), stop
        if ref is None:
            raise TypeError
        stop = self._stop(start, end, ref[0], ref[1] + 1)
        for _ in range(start, stop):
            self._pred()
        return Removed(target, ref, stop - start), stop

    def _typed(self, start: int, stop: int) -> bytes:
        if stop == len(self._actions):
            return self._raw.rest()
        if stop > len(self._metas):
            self._metas = uints(self._meta_column)
        metas = bytes(self._metas[start:stop])  # type: ignore[arg-type]
        return self._raw.take(sum(metas) - TEXT * len(metas) >> 4)

    def _stop(self, start: int, end: int, actor: int, counter: int) -> int:
        """Return where keys of an actor stop that rise from counter behind the first one."""
        kind = self._inserts[start]
        first, last = start + 1, end
        if self._is_row(first, end, actor, counter, kind):
            return end
        last = first
        while last < end and (
            self._key_counters[last] == counter + last - first
            and self._key_actors[last] == actor
            and self._inserts[last] == kind
        ):
            last += 1
        return last

    def _is_row(self, first: int, end: int, actor: int, counter: int, kind: bool) -> bool:
        size = end - first
        return (
            self._key_counters[first:end] == [*range(counter, counter + size)]
            and self._key_actors[first:end] == [actor] * size
            and self._inserts[first:end] == [kind] * size
        )

    def _object(self, index: int) -> Ref | None:
        actor, counter = self._object_actors[index], self._object_counters[index]
        return None if actor is None or counter is None else (actor, counter)

    def _pred(self) -> Ref:
        actor, counter = next(self._preds, (None, None))
        if actor is None or counter is None:
            raise TypeError
        return actor, counter


# Back to the columns


def contents_of(outline: Outline) -> bytes:
    """Return the contents of a change from the sequence number on.

    Raises:
        FrameError: there can be no such change.
    """
    return write_contents(outline, columns_of(outline))


def write_contents(outline: Outline, columns: Mapping[int, bytes]) -> bytes:
    """Return the contents of a change with its columns, which columns_of gave.

    Raises:
        FrameError: there can be no such change.
    """
    parts = [uleb(outline.seq), uleb(outline.before + 1), b"\0\0", uleb(len(outline.actors))]
    for actor in outline.actors:
        if not isinstance(actor, bytes):
            raise FrameError("frame_malformed", "an actor that is none")
        parts += (uleb(len(actor)), actor)
    parts.append(uleb(len(columns)))
    sizes = [*map(len, columns.values())]
    if max(sizes, default=0) < _ONE_BYTE:
        parts.append(bytes(itertools.chain.from_iterable(zip(columns, sizes, strict=True))))
    else:
        parts += [uleb(number) + uleb(size) for number, size in zip(columns, sizes, strict=True)]
    parts += columns.values()
    return b"".join(parts)


def columns_of(outline: Outline) -> dict[int, bytes]:
    """Return the columns of a change by their numbers, in order; none is empty.

    Raises:
        FrameError: there can be no such change.
    """
    steps = outline.steps
    if len(steps) == 1 and isinstance(steps[0], Put) and len(steps[0].replaces) < 2:
        return _columns_of_one(steps[0])
    out = _Writing(outline.before + 1)
    for kind, some in itertools.groupby(steps, type):
        if kind is Put:
            out.put([step for step in some if isinstance(step, Put)])
            continue
        for step in some:
            if isinstance(step, Typed):
                out.type(step)
            elif isinstance(step, Removed):
                out.remove(step)
    return out.columns()


def _columns_of_one(step: Put) -> dict[int, bytes]:
    """Return the columns of a change that is one operation on a map, as most are."""
    target, action, key, meta, value, replaces = step
    columns: dict[int, bytes] = {}
    if target is not None:
        columns[OBJECT_ACTOR] = _ONE + uleb(target[0])
        columns[OBJECT_COUNTER] = _ONE + uleb(target[1])
    columns[KEY_TEXT] = _ONE + uleb(len(key)) + key
    columns[INSERT] = _ONE_FALSE
    columns[ACTION] = _ONE + uleb(action)
    columns[VALUE_META] = _ONE + uleb(_meta(meta, value))
    if value:
        columns[VALUE_RAW] = value
    columns[PRED_COUNT] = _ONE + uleb(len(replaces))
    for actor, counter in replaces:
        columns[PRED_ACTOR] = _ONE + uleb(actor)
        columns[PRED_COUNTER] = _ONE + runs.sleb(counter)
    return columns


def _meta(meta: int, value: bytes) -> int:
    return len(value) << 4 | TEXT if meta == TEXT else meta


class _Writing:
    """The columns of a change, step by step."""

    __slots__ = (
        *("_next_op", "_last_op", "_objects", "_key_actors", "_metas", "_key_counters", "_keys"),
        *("_inserts", "_actions", "_raw", "_pred_counts", "_pred_actors", "_pred_counters"),
    )

    def __init__(self, start_op: int) -> None:
        self._next_op, self._last_op = start_op, start_op + CHANGE_OPS_MAX
        self._objects: list[tuple[Ref | None, int]] = []
        self._key_actors: list[Run] = []
        self._key_counters = Steps()
        self._keys: list[Run] = []
        self._inserts: list[Run] = []
        self._actions: list[Run] = []
        self._metas: list[Run] = []
        self._raw: list[bytes] = []
        self._pred_counts: list[Run] = []
        self._pred_actors: list[Run] = []
        self._pred_counters = Steps()

    def _common(self, count: int) -> None:
        self._next_op += count
        if self._next_op > self._last_op:
            raise FrameError("frame_malformed", "a change with too many operations")

    def put(self, steps: Sequence[Put]) -> None:
        """Append operations on maps."""
        targets, actions, keys, metas, values, replaces = zip(*steps, strict=True)
        count = len(steps)
        self._common(count)
        self._objects += [(target, len([*same])) for target, same in itertools.groupby(targets)]
        self._actions += [(action, len([*same])) for action, same in itertools.groupby(actions)]
        self._key_actors.append((None, count))
        self._key_counters.runs.append((None, count))
        self._keys += runs.unlike(keys, runs.sized)
        self._inserts.append((0, count))
        self._metas += runs.unlike([*map(_meta, metas, values)], uleb)
        self._raw += values
        if not any(replaces):
            self._pred_counts.append((0, count))
            return
        self._pred_counts += [(len(some), 1) for some in replaces]
        for actor, counter in itertools.chain.from_iterable(replaces):
            self._pred_actors.append((actor, 1))
            self._pred_counters.put(counter)

    def type(self, step: Typed) -> None:
        """Append letters that are inserted."""
        metas = metas_of(step.letters)
        count = len(metas)
        if not count:
            raise FrameError("frame_malformed", "a step without letters")
        actor, counter = step.after or (None, 0)
        self._key_actors.append((actor, 1))
        self._key_counters.put(counter)
        if count > 1:
            self._key_actors.append((0, count - 1))
            self._key_counters.put(self._next_op)
            self._key_counters.climb(count - 2)
        self._common(count)
        self._objects.append((step.target, count))
        self._actions.append((Action.SET.value, count))
        self._keys.append((None, count))
        self._inserts.append((1, count))
        self._metas += runs.lengths(metas)
        self._raw.append(step.letters)
        self._pred_counts.append((0, count))

    def remove(self, step: Removed) -> None:
        """Append letters that are removed."""
        target, (actor, counter), count = step
        for actors, counters in (
            (self._key_actors, self._key_counters),
            (self._pred_actors, self._pred_counters),
        ):
            actors.append((actor, count))
            counters.put(counter)
            counters.climb(count - 1)
        self._common(count)
        self._objects.append((target, count))
        self._actions.append((Action.DELETE.value, count))
        self._keys.append((None, count))
        self._inserts.append((0, count))
        self._metas.append((0, count))
        self._pred_counts.append((1, count))

    def columns(self) -> dict[int, bytes]:
        """Return those that are not empty."""
        objects = [(target or _NONE, count) for target, count in self._objects]
        found = (
            (OBJECT_ACTOR, runs.numbers([(actor, count) for (actor, _), count in objects])),
            (OBJECT_COUNTER, runs.numbers([(counter, count) for (_, counter), count in objects])),
            (KEY_ACTOR, runs.numbers(self._key_actors)),
            (KEY_COUNTER, runs.differences(self._key_counters)),
            (KEY_TEXT, runs.texts(self._keys)),
            (INSERT, runs.booleans(self._inserts)),
            (ACTION, runs.numbers(self._actions)),
            (VALUE_META, runs.numbers(self._metas)),
            (VALUE_RAW, b"".join(self._raw)),
            (PRED_COUNT, runs.numbers(self._pred_counts)),
            (PRED_ACTOR, runs.numbers(self._pred_actors)),
            (PRED_COUNTER, runs.differences(self._pred_counters)),
        )
        return {number: data for number, data in found if data}
