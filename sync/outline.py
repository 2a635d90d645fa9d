"""A change as an outline and its texts, which is how frames carry it.

Automerge's columns say the same several times over: how many letters there are in each of them, and
of every letter how long it is. An outline says once what a change does, step by step, and is much
the same for changes of one kind; what people wrote stands beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from schemas.limits import CHANGE_ACTORS_MAX, CHANGE_OPS_MAX
from sync.change import uleb
from sync.cursor import Cursor, unzigzag, zigzag
from sync.errors import FrameError

# Kind of a value that is a text.
TEXT: Final = 6
_TYPED: Final = 8
_REMOVED: Final = 9
_ACTOR_BYTES_MAX: Final = 1_000
_NUMBER_MAX: Final = 1 << 53
# No shorter text holds an id.
ID_DIGITS_MIN: Final = 24
# The end of a key whose value stands behind.
_TEXT_FOLLOWS: Final = bytes([0, TEXT])
# Bytes of UTF-8 that go on with a letter, and the meta byte of a letter by its first byte.
_GOING_ON: Final = bytes(range(0x80, 0xC0))
_METAS: Final = bytes(
    (1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4) << 4 | TEXT
    for first in range(256)
)

# An operation: number of its actor in the change, 0 for its own, and the operation's number.
Ref = tuple[int, int]
Known = tuple[int, tuple[bytes, ...]]
NOTHING: Final[Known] = (0, ())


class Put(NamedTuple):
    """An operation on a map.

    Attributes:
        target: the map; None is the root.
        meta: kind of the value and its length; of a text the kind alone.
    """

    target: Ref | None
    action: int
    key: bytes
    meta: int
    value: bytes
    replaces: tuple[Ref, ...]


class Typed(NamedTuple):
    """Letters that were inserted one behind the other; after None at the start of the text."""

    target: Ref
    after: Ref | None
    letters: bytes

    @property
    def size(self) -> int:
        """How many letters there are."""
        return len(self.letters.translate(None, _GOING_ON))


def metas_of(letters: bytes) -> bytes:
    """Return kind and length of each letter of a text as change columns have them, a byte each."""
    return letters.translate(_METAS, _GOING_ON)


class Removed(NamedTuple):
    """Letters with rising numbers of one actor that were removed."""

    target: Ref
    first: Ref
    size: int


Step = Put | Typed | Removed


class Outline(NamedTuple):
    """A change from its sequence number on; a tuple, because so many are made.

    Attributes:
        before: number of the operation before its first one, or what is added to that of the last
            change of the document.
        actors: other actors; a number is that of an actor of that change, from 1.
    """

    seq: int
    before: int
    actors: tuple[bytes | int, ...]
    steps: tuple[Step, ...]

    def related(self, known: Known) -> "Outline":
        """Return it as what is known of the document's last change makes it shorter."""
        last, actors = known
        if not self.actors:
            return Outline(seq=self.seq, before=self.before - last, actors=(), steps=self.steps)
        places = {actor: number for number, actor in reversed([*enumerate(actors, 1)])}
        named = tuple(places.get(a, a) if isinstance(a, bytes) else a for a in self.actors)
        return self._replace(before=self.before - last, actors=named)

    def resolved(self, known: Known) -> "Outline":
        """Return what was made shorter in full.

        Raises:
            FrameError: it names an actor that there is not.
        """
        last, actors = known
        named: list[bytes | int] = []
        for actor in self.actors:
            if isinstance(actor, int):
                if actor > len(actors):
                    raise _malformed("an actor that is not there")
                actor = actors[actor - 1]
            named.append(actor)
        before = self.before + last
        return Outline(seq=self.seq, before=before, actors=tuple(named), steps=self.steps)

    def check(self) -> None:
        """Refuse what no change has, and what could be said in fewer steps.

        Raises:
            FrameError: with what is wrong.
        """
        if not (0 < self.seq <= _NUMBER_MAX and 0 <= self.before <= _NUMBER_MAX):
            raise _malformed("a change that begins nowhere")
        if not self.steps:
            raise _malformed("a change that does nothing")
        if any(isinstance(actor, int) or len(actor) > _ACTOR_BYTES_MAX for actor in self.actors):
            raise _malformed("an actor that is none")
        next_op = self.before + 1
        # Where letters would belong to the step before.
        following: tuple[type, Ref | None] | None = None
        for step in self.steps:
            if isinstance(step, Put):
                _check_put(step)
                following = None
                next_op += 1
            elif isinstance(step, Typed):
                _check_typed(step)
                if following == (Typed, step.after):
                    raise _malformed("letters that go on with those before")
                next_op += step.size
                following = Typed, (0, next_op - 1)
            else:
                _, first, size = step
                _check_refs(step[:2])
                if following == (Removed, first):
                    raise _malformed("letters that go on with those before")
                next_op += size
                following = Removed, (first[0], first[1] + size)

    def filled(self, texts: Sequence[bytes], read: Callable[[bytes], bytes]) -> "Outline":
        """Return it with the texts that stand behind it, and every text as it is read."""
        rest = iter(texts)
        steps = tuple([_filled(step, rest, read) for step in self.steps])
        return Outline(seq=self.seq, before=self.before, actors=self.actors, steps=steps)

    @property
    def texts_behind(self) -> int:
        """How many texts stand behind it."""
        return sum(
            isinstance(s, Typed) or (isinstance(s, Put) and s.meta == TEXT) for s in self.steps
        )


def _filled(step: Step, texts: Iterator[bytes], read: Callable[[bytes], bytes]) -> Step:
    # Taken apart by hand, here and below: patterns of classes take three times as long.
    if isinstance(step, Put):
        target, action, key, meta, value, replaces = step
        value = read(next(texts)) if meta == TEXT else value
        return Put(target, action, read(key), meta, value, replaces)
    if isinstance(step, Typed):
        return Typed(step.target, step.after, read(next(texts)))
    return step


def _check_put(step: Put) -> None:
    target, action, key, meta, value, replaces = step
    if action >= _TYPED or not (meta == TEXT or (meta & 15 != TEXT and len(value) == meta >> 4)):
        raise _malformed("an operation that is none")
    if not _is_text(key) or (meta == TEXT and not _is_text(value)):
        raise _malformed("a text that is none")
    _check_refs((target, *replaces))


def _check_typed(step: Typed) -> None:
    if not _is_text(step.letters):
        raise _malformed("a text that is none")
    _check_refs(step[:2])


def _check_refs(refs: Sequence[Ref | None]) -> None:
    for ref in refs:
        if ref and not (0 <= ref[0] <= CHANGE_ACTORS_MAX and 0 <= ref[1] <= _NUMBER_MAX):
            raise _malformed("an id that is none")


def _is_text(data: bytes) -> bool:
    """Tell whether it is UTF-8 without what ends a text in a frame."""
    try:
        return b"\0" not in data and (data.isascii() or bool(data.decode()))
    except UnicodeDecodeError:
        return False


def _malformed(detail: str) -> FrameError:
    return FrameError("frame_malformed", detail)


# As bytes


def write_outline(outline: Outline, spell: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """Return an outline and the texts that stand behind it, every text spelled with tokens."""
    out = [uleb(outline.seq), uleb(zigzag(outline.before)), uleb(len(outline.actors))]
    for actor in outline.actors:
        out += [uleb(actor)] if isinstance(actor, int) else [b"\0", uleb(len(actor)), actor]
    out.append(uleb(len(outline.steps)))
    behind: list[bytes] = []
    for step in outline.steps:
        if isinstance(step, Put):
            target, action, key, meta, value, replaces = step
            out.append(_write_start(action, target))
            out.append(spell(key) if len(key) >= ID_DIGITS_MIN else key)
            if meta == TEXT:
                out.append(_TEXT_FOLLOWS)
                behind += (value, b"\0")
            else:
                out += (b"\0", uleb(meta), value)
            out.append(uleb(len(replaces)))
            for actor, counter in replaces:
                out += (uleb(actor), uleb(counter))
        elif isinstance(step, Typed):
            text, after, letters = step
            out += [uleb(_TYPED), _write_ref(text), _write_ref(after)]
            behind += [letters, b"\0"]
        else:
            text, first, size = step
            out += [uleb(_REMOVED), _write_ref(text), _write_ref(first), uleb(size)]
    return b"".join(out), spell(b"".join(behind))


@lru_cache(256)
def _write_start(action: int, target: Ref | None) -> bytes:
    return uleb(action) + _write_ref(target)


def _write_ref(ref: Ref | None) -> bytes:
    return b"\0" if ref is None else uleb(ref[0] + 1) + uleb(ref[1])


def read_outlines(cursor: Cursor, count: int) -> list[Outline]:
    """Return the next outlines, their texts spelled as in the frame; those behind them are empty.

    Raises:
        FrameError: there are none.
    """
    outlines: list[Outline] = []
    before = b""
    for _ in range(count):
        if before and cursor.skip(before):
            # Changes of one kind have the same, and nothing that it begins with goes on otherwise.
            outlines.append(outlines[-1])
            continue
        at = cursor.at
        outlines.append(_read_outline(cursor))
        before = cursor.since(at)
    return outlines


def _read_outline(cursor: Cursor) -> Outline:
    seq, before = cursor.number(_NUMBER_MAX), unzigzag(cursor.number(_NUMBER_MAX))
    actors: list[bytes | int] = []
    for _ in range(cursor.number(CHANGE_ACTORS_MAX)):
        place = cursor.number(CHANGE_ACTORS_MAX + 1)
        actors.append(place or cursor.take(cursor.number(_ACTOR_BYTES_MAX)))
    steps = tuple(_read_step(cursor) for _ in range(cursor.number(CHANGE_OPS_MAX)))
    return Outline(seq=seq, before=before, actors=tuple(actors), steps=steps)


def _read_step(cursor: Cursor) -> Step:
    action = cursor.number(_REMOVED)
    target = _read_ref(cursor)
    if action < _TYPED:
        key, meta = cursor.text(), cursor.number(1 << 30)
        value = b"" if meta == TEXT else cursor.take(meta >> 4)
        replaces = tuple(_read_id(cursor) for _ in range(cursor.number(CHANGE_OPS_MAX)))
        return Put(target, action, key, meta, value, replaces)
    ref = _read_ref(cursor)
    if target is None or (ref is None and action == _REMOVED):
        raise _malformed("letters of no text")
    if action == _TYPED:
        return Typed(target, ref, b"")
    count = cursor.number(CHANGE_OPS_MAX)
    if ref is None or not count:
        raise _malformed("a step without letters")
    return Removed(target, ref, count)


def _read_ref(cursor: Cursor) -> Ref | None:
    actor = cursor.number(CHANGE_ACTORS_MAX + 1)
    return (actor - 1, cursor.number(_NUMBER_MAX)) if actor else None


def _read_id(cursor: Cursor) -> Ref:
    return cursor.number(CHANGE_ACTORS_MAX), cursor.number(_NUMBER_MAX)
