"""Reads the operations inside an Automerge change, so that it can be judged before it is applied.

The binding can apply a change but cannot say what is in it. We must know: which map keys it sets,
what it overwrites, whether it touches an existing event, whether it holds a counter (which makes
the binding panic). Layout: Automerge binary format 1.0, change chunks, sections "Change chunks" and
"Operation columns".
"""

import hashlib
import itertools
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeVar

from schemas.limits import (
    CHANGE_ACTORS_MAX,
    CHANGE_DEPS_MAX,
    CHANGE_INFLATED_BYTES_MAX,
    LEAF_BYTES_MAX,
)
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
    Span,
    booleans,
    deltas,
    texts,
    uints,
)
from sync.errors import ChangeError

MAGIC: Final = b"\x85\x6f\x4a\x83"
_CHUNK_CHANGE: Final = 1
_CHUNK_COMPRESSED: Final = 2
# Of the first operation of a change.
START_OP_MAX: Final = 1 << 40

# (operation counter, actor): the identity of an operation and of the object it creates.
OpId = tuple[int, bytes]
Scalar = str | int | float | bool | bytes | None

T = TypeVar("T")

_COLUMNS_IGNORED = frozenset({0x94, 0xA5})  # expand and mark name: rich text, which we never show
_COLUMNS_READ = frozenset(
    {
        OBJECT_ACTOR,
        OBJECT_COUNTER,
        KEY_ACTOR,
        KEY_COUNTER,
        KEY_TEXT,
        INSERT,
        ACTION,
        VALUE_META,
        VALUE_RAW,
        PRED_COUNT,
        PRED_ACTOR,
        PRED_COUNTER,
    }
)


class Action(IntEnum):
    """What an operation does."""

    MAKE_MAP = 0
    SET = 1
    MAKE_LIST = 2
    DELETE = 3
    MAKE_TEXT = 4
    INCREMENT = 5
    MAKE_TABLE = 6
    MARK = 7


class MapOp(NamedTuple):
    """One operation on a key of a map; a tuple, because so many are made.

    Attributes:
        id: its own operation id; for MAKE_* also the id of the new object.
        object: the map it works on; None is the root.
        replaces: operations whose value this one overwrites.
    """

    id: OpId
    object: OpId | None
    key: str
    action: Action
    value: Scalar
    replaces: tuple[OpId, ...]


class Letters(NamedTuple):
    """Consecutive operations on sequences.

    Attributes:
        objects: the sequences.
        first: index of the first operation in the change.
        metas: of each value, its kind and its length in bytes.
        raw: the values, one after the other.
    """

    objects: frozenset[OpId]
    first: int
    metas: Sequence[int | None]
    raw: bytes


class Change(NamedTuple):
    """What a change says about itself, and its operations on maps.

    Attributes:
        raw: the chunk as it stands in the leaf.
        start_op: number of its first operation; the others follow without gaps.
        last_op: number of its last one, below start_op when it has none.
        actors: its own, then those whose operations it refers to.
        letters: operations on letters or items.
        columns: all operations as they are encoded; may be none where there are no letters and
            `typed` says so.
        is_regular: laid out as Automerge's own encoder does, with nothing that is not read here.
        typed: content of each text whose letters are typed one after the other, into nothing, by
            operations behind the one that makes it, where that is certain of all letters; None: the
            columns tell.
    """

    raw: bytes
    hash: bytes
    actor: bytes
    seq: int
    start_op: int
    last_op: int
    deps: tuple[bytes, ...]
    actors: tuple[bytes, ...]
    map_ops: tuple[MapOp, ...]
    letters: tuple[Letters, ...]
    columns: Mapping[int, bytes]
    is_regular: bool
    typed: Mapping[OpId, str] | None = None

    @property
    def sequence_objects(self) -> frozenset[OpId]:
        """Objects whose letters or items it edits."""
        return frozenset[OpId]().union(*(some.objects for some in self.letters))


def parse_change(raw: bytes) -> Change:
    """Return what is in the change.

    Raises:
        ChangeError: not exactly one well-formed change, or beyond a limit.
    """
    if len(raw) > LEAF_BYTES_MAX:
        raise ChangeError("change_too_long", f"a change of {len(raw)} bytes")
    try:
        return _parse(raw)
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ChangeError("change_malformed", "the change ends early or holds bad text") from error


def references(change: Change) -> frozenset[OpId]:
    """Return the last operation of each other actor that a change works on.

    Raises:
        ChangeError: the columns of letters are malformed.
    """
    last: dict[int, int] = {}
    try:
        for actors, numbers in ((KEY_ACTOR, KEY_COUNTER), (PRED_ACTOR, PRED_COUNTER)):
            owners = uints(change.columns.get(actors, b""))
            counters = deltas(change.columns.get(numbers, b""))
            for owner, counter in zip(owners, counters, strict=False):
                if owner and counter:
                    last[owner] = max(last.get(owner, 0), counter)
        return frozenset((counter, change.actors[owner]) for owner, counter in last.items())
    except IndexError as error:
        raise ChangeError("change_malformed", "the letters of the change end early") from error


def _parse(raw: bytes) -> Change:
    body, change_hash = _open_chunk(raw)
    reader = Reader(body)
    deps = tuple(reader.take(32) for _ in range(reader.count(CHANGE_DEPS_MAX)))
    actor = reader.blob()
    seq, start_op = reader.uint(), reader.uint()
    time_s = reader.sint()  # the binding cannot set it, the leaf's clock is ours
    message = reader.blob()
    actors = [actor, *(reader.blob() for _ in range(reader.count(CHANGE_ACTORS_MAX)))]
    columns = _columns(reader)
    if not actor or seq == 0 or start_op == 0 or start_op > START_OP_MAX:
        raise ChangeError("change_malformed", "a change has an actor, a sequence and a first op")
    map_ops, letters, count = _operations(columns, actors, start_op)
    return Change(
        raw=raw,
        hash=change_hash,
        actor=actor,
        seq=seq,
        start_op=start_op,
        last_op=start_op + count - 1,
        deps=deps,
        actors=tuple(actors),
        map_ops=map_ops,
        letters=letters,
        columns=columns,
        is_regular=reader.position == len(body)
        and not message
        and abs(time_s) < 1 << 53
        and is_rising(deps)
        and is_rising(actors[1:])
        and all(actors)
        and actor not in actors[1:]
        and [*columns] == sorted(columns)
        and all(columns.values())
        and not columns.keys() & _COLUMNS_IGNORED,
    )


def is_rising(items: Sequence[Any]) -> bool:
    """Tell whether each item is above the one before it."""
    return len(items) < 2 or all(one < other for one, other in itertools.pairwise(items))


def _open_chunk(raw: bytes) -> tuple[bytes, bytes]:
    """Return the body of the chunk and the hash of the change, after checking both."""
    if raw[:4] != MAGIC or len(raw) < 10:
        raise ChangeError("change_malformed", "the change does not start with Automerge's mark")
    reader = Reader(raw, 9)
    body = reader.take(reader.uint())
    if reader.position != len(raw):
        raise ChangeError("change_malformed", "bytes follow the end of the change")
    if raw[8] == _CHUNK_COMPRESSED:
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            body = inflater.decompress(body, CHANGE_INFLATED_BYTES_MAX)
        except zlib.error as error:
            raise ChangeError("change_malformed", "the change does not inflate") from error
        if not inflater.eof or inflater.unused_data:
            raise ChangeError("change_malformed", "the change inflates beyond its limit")
    elif raw[8] != _CHUNK_CHANGE:
        raise ChangeError("change_malformed", "the chunk is not a change")
    digest = hashlib.sha256(bytes([_CHUNK_CHANGE]) + uleb(len(body)) + body).digest()
    if digest[:4] != raw[4:8]:
        raise ChangeError("change_checksum", "the checksum of the change does not match")
    return body, digest


def _columns(reader: "Reader") -> dict[int, bytes]:
    count = reader.count(32)
    few = reader.data[reader.position : reader.position + 2 * count]
    if few.isascii() and len(few) == 2 * count:
        # Each number in one byte.
        specs = [*zip(few[::2], few[1::2], strict=True)]
        reader.position += 2 * count
    else:
        specs = [(reader.uint(), reader.uint()) for _ in range(count)]
    columns: dict[int, bytes] = {}
    for number, length in specs:
        if number not in _COLUMNS_READ and number not in _COLUMNS_IGNORED:
            raise ChangeError("change_malformed", f"unknown operation column {number:#x}")
        if number in columns:
            raise ChangeError("change_malformed", f"operation column {number:#x} stands twice")
        columns[number] = reader.take(length)
    return columns


def _operations(
    columns: dict[int, bytes], actors: list[bytes], start_op: int
) -> tuple[tuple[MapOp, ...], tuple[Letters, ...], int]:
    """Return the operations on maps, those on sequences, and the number of all operations."""
    actions = uints(columns.get(ACTION, b""))
    count = len(actions)
    kinds = {action: _action(action) for action in set(actions)}
    # Letters of long texts are most of the operations: they have no key, and are passed over in
    # whole spans; only which text they are in matters here.
    named, spans = texts(columns.get(KEY_TEXT, b""))
    keys = _of_length(named, count, KEY_TEXT)
    if count and not named:
        spans = [(0, count)]
    on_maps = _outside(spans, count)
    inserts = _of_length(booleans(columns.get(INSERT, b"")), count, INSERT)
    owners = _of_length(uints(columns.get(OBJECT_ACTOR, b"")), count, OBJECT_ACTOR)
    counters = _of_length(uints(columns.get(OBJECT_COUNTER, b"")), count, OBJECT_COUNTER)
    metas = _of_length(uints(columns.get(VALUE_META, b"")), count, VALUE_META)
    values, raws = _values(metas, columns.get(VALUE_RAW, b""), spans)
    preds = _preds(columns, actors, count, start_op)
    letters = tuple(
        Letters(
            _sequences(owners[start:end], counters[start:end], actors),
            start,
            metas[start:end],
            raw,
        )
        for (start, end), raw in zip(spans, raws, strict=True)
    )
    if any(inserts[index] for index in on_maps):
        raise ChangeError("change_malformed", "a map has no positions")
    map_ops = tuple(
        MapOp(
            (start_op + index, actors[0]),
            _object_id(owners[index], counters[index], actors),
            keys[index] or "",
            kinds[actions[index]],
            value,
            preds[index] if preds else (),
        )
        for index, value in zip(on_maps, values, strict=True)
    )
    return map_ops, letters, count


def _outside(spans: list[Span], count: int) -> list[int]:
    """Return the indices up to count that are in none of the spans, which are in order."""
    indices: list[int] = []
    position = 0
    for start, end in spans:
        indices += range(position, start)
        position = end
    return indices + list(range(position, count))


def _sequences(
    owners: Sequence[int | None], counters: Sequence[int | None], actors: list[bytes]
) -> frozenset[OpId]:
    """Return the different objects of operations without a key."""
    pairs: Iterable[tuple[int | None, int | None]] = [(owners[0], counters[0])]
    if owners.count(owners[0]) < len(owners) or counters.count(counters[0]) < len(counters):
        pairs = set(zip(owners, counters, strict=True))
    found = {_object_id(owner, counter, actors) for owner, counter in pairs}
    if None in found:
        raise ChangeError("change_malformed", "an operation without a key on the root")
    return frozenset(target for target in found if target is not None)


def _of_length(items: list[T], count: int, number: int) -> Sequence[T | None]:
    """Return the entries of a column; one that is absent is null for every operation."""
    if not items:
        return [None] * count
    if len(items) != count:
        raise ChangeError("change_malformed", f"column {number:#x} has {len(items)} entries")
    return items


def _action(number: int | None) -> Action:
    try:
        action = Action(-1 if number is None else number)
    except ValueError as error:
        raise ChangeError("change_malformed", f"unknown action {number!r}") from error
    if action in (Action.INCREMENT, Action.MAKE_TABLE):
        raise ChangeError("change_counter", "counters and tables cannot be stored here")
    return action


def _object_id(owner: int | None, counter: int | None, actors: list[bytes]) -> OpId | None:
    if owner is None and counter is None:
        return None
    if owner is None or counter is None or owner >= len(actors):
        raise ChangeError("change_malformed", "an object id is incomplete")
    return (counter, actors[owner])


def _values(
    metas: Sequence[int | None], raw: bytes, spans: list[Span]
) -> tuple[list[Scalar], list[bytes]]:
    """Return the values of operations on maps, and those in each span as they stand."""
    for kind in {(meta or 0) & 0x0F for meta in set(metas)}:
        if kind == _COUNTER:
            raise ChangeError("change_counter", "a counter cannot be stored here")
        if kind not in SCALARS:
            raise ChangeError("change_malformed", f"unknown kind of value {kind}")
    values: list[Scalar] = []
    raws: list[bytes] = []
    position = at = 0
    for start, end in [*spans, (len(metas), len(metas))]:
        for meta in metas[position:start]:
            size = (meta or 0) >> 4
            values.append(SCALARS[(meta or 0) & 0x0F](raw[at : at + size]))
            at += size
        size = _length(metas[start:end])
        raws.append(raw[at : at + size])
        position, at = end, at + size
    if at != len(raw):
        raise ChangeError("change_malformed", "the values do not fill their column")
    return values, raws[:-1]


def _length(metas: Sequence[int | None]) -> int:
    """Return how many bytes the values take together."""
    try:
        return sum(bytes(metas).translate(_LENGTHS))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        # Nulls among them, or a value of 16 bytes or more.
        return sum((meta or 0) >> 4 for meta in metas)


def _preds(
    columns: dict[int, bytes], actors: list[bytes], count: int, start_op: int
) -> list[tuple[OpId, ...]]:
    """Return what each operation replaces, always earlier ones; empty when none does."""
    groups = _of_length(uints(columns.get(PRED_COUNT, b"")), count, PRED_COUNT)
    owners = uints(columns.get(PRED_ACTOR, b""))
    counters = deltas(columns.get(PRED_COUNTER, b""))
    if not (owners or counters or any(groups)):
        return []
    total = sum(group or 0 for group in groups)
    if len(owners) != total or len(counters) != total:
        raise ChangeError("change_malformed", "the replaced operations are incomplete")
    if total == 0:
        return []
    ids: list[OpId] = []
    for owner, counter in zip(owners, counters, strict=True):
        if owner is None or counter is None or owner >= len(actors):
            raise ChangeError("change_malformed", "a replaced operation has no id")
        ids.append((counter, actors[owner]))
    found: list[tuple[OpId, ...]] = []
    start = 0
    for number, group in enumerate(groups, start_op):
        end = start + (group or 0)
        found.append(tuple(ids[start:end]))
        if any(counter >= number for counter, _ in ids[start:end]):
            raise ChangeError("change_malformed", "an operation replaces a later one, or itself")
        start = end
    return found


def uleb(number: int) -> bytes:
    """Return the number as unsigned LEB128."""
    if 0 <= number < 0x80:
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_COUNTER: Final = 8
_SHORT: Final = tuple(bytes([number]) for number in range(0x80))
# The length of a value by its meta byte, for bytes.translate.
_LENGTHS: Final = bytes(meta >> 4 for meta in range(256))


def _nothing(data: bytes) -> None:
    if data:
        raise ChangeError("change_malformed", "a value that should be empty is not")


def _number(data: bytes, read: Callable[[Reader], int]) -> int:
    reader = Reader(data)
    number = read(reader)
    if reader.position != len(data):
        raise ChangeError("change_malformed", "bytes follow a number")
    return number


# What a value is by its kind; of a kind that is missing here there can be none.
SCALARS: Final[Mapping[int, Callable[[bytes], Scalar]]] = {
    0: _nothing,
    1: lambda _: False,
    2: lambda _: True,
    3: lambda data: _number(data, Reader.uint),
    4: lambda data: _number(data, Reader.sint),
    5: lambda data: data,  # a float: no field may hold one, so its bytes will do
    6: bytes.decode,
    7: lambda data: data,
    9: lambda data: data,  # a time, likewise
}
