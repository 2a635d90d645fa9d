"""The change that an outline stands for, without a look at the columns that were made of it.

A receiver makes the columns of a change only because its hash is over them. What they say it knows:
that is what it made them of. Whatever is not certain is left to `sync.change`, which reads
columns; tests hold the two to each other.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.limits import CHANGE_DEPS_MAX, LEAF_BYTES_MAX
from sync.change import (
    SCALARS,
    START_OP_MAX,
    Action,
    Change,
    Letters,
    MapOp,
    OpId,
    Scalar,
    is_rising,
)
from sync.errors import ChangeError
from sync.outline import TEXT, Outline, Put, Ref, Removed, Typed, metas_of

# By their numbers; what none may have is left out.
_ACTIONS: Final[Mapping[int, Action]] = {
    action.value: action for action in Action if action not in (Action.INCREMENT, Action.MAKE_TABLE)
}

_NONE: Final[Mapping[int, bytes]] = MappingProxyType({})


class Chunk(NamedTuple):
    """What a change is besides its contents.

    Attributes:
        raw: as it stands in the leaf.
        hash: of the change.
    """

    raw: bytes
    hash: bytes
    deps: tuple[bytes, ...]
    actor: bytes


def change_of(outline: Outline, columns: Mapping[int, bytes], chunk: Chunk) -> Change | None:
    """Return what parse_change returns of a change; None: it may refuse it.

    Args:
        outline: checked, of which the change was made.
        columns: likewise.
        chunk: the rest of it.
    """
    raw, digest, deps, actor = chunk
    start_op = outline.before + 1
    others = tuple([each for each in outline.actors if isinstance(each, bytes)])
    is_small = len(raw) <= LEAF_BYTES_MAX and len(deps) <= CHANGE_DEPS_MAX
    if not actor or start_op > START_OP_MAX or not is_small:
        return None
    reading = _Reading((actor, *others), start_op)
    try:
        for step in outline.steps:
            if isinstance(step, Put):
                reading.put(step)
            else:
                reading.letters(step)
    except (IndexError, KeyError, ChangeError, UnicodeDecodeError):
        return None
    return Change(
        raw=raw,
        hash=digest,
        actor=actor,
        seq=outline.seq,
        start_op=start_op,
        last_op=reading.next_op - 1,
        deps=deps,
        actors=(actor, *others),
        map_ops=tuple(reading.map_ops),
        letters=tuple(map(_Span.letters, reading.spans)),
        columns=columns if reading.spans else _NONE,
        is_regular=is_rising(deps)
        and (not others or (is_rising(others) and all(others) and actor not in others)),
        typed=reading.typed,
    )


class _Span:
    """Letters behind each other, of one text or several."""

    __slots__ = ("first", "metas", "objects", "raw")

    def __init__(self, first: int) -> None:
        self.first = first
        self.objects: set[OpId] = set()
        # A byte each, where a list would take eight: changes wait in memory for their heads.
        self.metas = bytearray()
        self.raw = b""

    def letters(self) -> Letters:
        """Return them as a change has them."""
        return Letters(frozenset(self.objects), self.first, bytes(self.metas), self.raw)


class _Reading:
    """The operations of a change, step by step."""

    __slots__ = ("_actors", "_is_open", "_start_op", "map_ops", "next_op", "spans", "typed")

    def __init__(self, actors: Sequence[bytes], start_op: int) -> None:
        self._actors = actors
        self._start_op = self.next_op = start_op
        self.map_ops: list[MapOp] = []
        self.spans: list[_Span] = []
        self.typed: dict[OpId, str] | None = {}
        # Whether the last step was letters.
        self._is_open = False

    def put(self, step: Put) -> None:
        """Add an operation on a map.

        Raises:
            IndexError, KeyError, ChangeError: it may be one that no change may have.
        """
        target, action, key, meta, value, replaces = step
        number, actors = self.next_op, self._actors
        replaced: tuple[OpId, ...] = ()
        if replaces:
            replaced = tuple([self._earlier(ref, number) for ref in replaces])
        self.map_ops.append(
            MapOp(
                (number, actors[0]),
                None if target is None else (target[1], actors[target[0]]),
                key.decode(),
                _ACTIONS[action],
                value.decode() if meta == TEXT else _scalar(meta, value),
                replaced,
            )
        )
        self.next_op = number + 1
        self._is_open = False

    def _earlier(self, ref: Ref, number: int) -> OpId:
        owner, counter = ref
        if counter >= number:
            raise IndexError
        return counter, self._actors[owner]

    def letters(self, step: Typed | Removed) -> None:
        """Add letters.

        Raises:
            IndexError: as above.
        """
        owner, counter = step.target
        target = (counter, self._actors[owner])
        self._type(target, step)
        if not self._is_open:
            self.spans.append(_Span(self.next_op - self._start_op))
            self._is_open = True
        span = self.spans[-1]
        span.objects.add(target)
        if isinstance(step, Typed):
            metas = metas_of(step.letters)
            span.metas += metas
            span.raw += step.letters
            self.next_op += len(metas)
        else:
            self._earlier(step.first, self.next_op)
            span.metas += bytes(step.size)
            self.next_op += step.size

    def _type(self, target: OpId, step: Typed | Removed) -> None:
        if self.typed is None:
            return
        is_first = not self._is_open and target not in self.typed and target[0] < self.next_op
        if is_first and isinstance(step, Typed) and step.after is None:
            self.typed[target] = step.letters.decode()
        else:
            self.typed = None


def _scalar(meta: int, value: bytes) -> Scalar:
    return SCALARS[meta & 0x0F](value)
