"""Changes that no Automerge program makes: some must be refused, some only look odd.

In each, the first device starts a document with operations 1 to 8, and others go on from there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.independent import forger
from tests.independent.change_reader import (
    ACTION,
    DELETE,
    EXPAND,
    INSERT,
    KEY_ACTOR,
    MAKE_MAP,
    MAKE_TEXT,
    MARK_NAME,
    OBJECT_COUNTER,
    PRED_COUNT,
    PRED_COUNTER,
    SIGNED,
    TRUE,
    UNSIGNED,
    VALUE_META,
    VALUE_RAW,
    Id,
    uleb_bytes,
)
from tests.independent.chunk_writer import (
    Parts,
    Row,
    Writing,
    sleb_bytes,
    take_apart,
)
from tests.independent.forger import Signer, certificates, change, lay_out, record, writer

OTHER_DEVICE, THIRD_DEVICE = b"E" * 16, b"F" * 16
Make = Callable[["Stage"], bytes]


class Stage:
    """A log of a commune in which three devices write, as a record file."""

    def __init__(self, commune: Signer, root: bytes) -> None:
        self.commune, self.root = commune, root
        self.a, self.b = forger.actor(commune), forger.actor(commune, OTHER_DEVICE)
        self.c = forger.actor(commune, THIRD_DEVICE)
        self.fields, self.events, self.text = (2, self.a), (4, self.a), (5, self.a)
        self.title = Row(target=self.fields, key="title", value=b"new")

    def file(self, *chunks: tuple[bytes, bytes]) -> bytes:
        """Return a file of chunks, each with its actor."""
        actors = [self.a, self.b, self.c]
        used = sorted({actors.index(actor) for _, actor in chunks})
        devices = (forger.DEVICE, OTHER_DEVICE, THIRD_DEVICE)
        writers = [writer(self.commune, at + 1, device=devices[at]) for at in used]
        changes = [change(chunk, actors.index(actor) + 1) for chunk, actor in chunks]
        log = forger.log(self.commune, [certificates(self.commune.chain), *writers, *changes])
        return lay_out(record(self.root, [log]))

    def start(self, *more: Row) -> bytes:
        return self.file((Writing(self.a, more).chunks[0], self.a))

    def edit(self, *rows: Row, edit: Callable[[Parts], bytes] = Parts.chunk, **head: Any) -> bytes:
        """Return a file where the second device goes on, its change rewritten."""
        writing = Writing(self.a)
        head = {"actor": self.b, "seq": 1, "start": 9, **head}
        second = edit(take_apart(writing.add(rows or [self.title], **head)))
        return self.file((writing.chunks[0], self.a), (second, head["actor"]))

    def column(self, spec: int, data: bytes, *rows: Row) -> bytes:
        """Return a file where bytes follow in a column of the second change."""
        return self.edit(*rows, edit=lambda parts: parts.with_column(spec, lambda old: old + data))

    def value(self, kind: int, value: bytes) -> bytes:
        return self.edit(replace(self.title, kind=kind, value=value))

    def letter(self, **row: Any) -> Row:
        said: dict[str, Any] = {"target": self.text, "insert": True, "value": b"q"}
        return Row(**(said | row))

    def remove(self, **row: Any) -> Row:
        return self.letter(**{"insert": False, "action": DELETE, "kind": 0, "value": b""} | row)

    def third(
        self,
        *rows: Row,
        after: Sequence[int],
        start: int,
        seq: int = 1,
        by: str = "c",
        first: Row | None = None,
        edit: Callable[[Parts], bytes] = Parts.chunk,
    ) -> bytes:
        """Return a file where a third change follows the first (0), the second (1) or both."""
        writing, actor = Writing(self.a), getattr(self, by)
        second = writing.add([first or self.title], actor=self.b, seq=1, start=9)
        mine = rows or [self.title]
        third = edit(take_apart(writing.add(mine, after=after, actor=actor, seq=seq, start=start)))
        return self.file((writing.chunks[0], self.a), (second, self.b), (third, actor))

    def event(self) -> Row:
        key = forger.event_id(OTHER_DEVICE)
        return Row(target=self.events, key=key, value=b'{"type":"registered"}')


def overwrite(stage: Stage, *replaced: Id) -> Row:
    return replace(stage.title, replaces=replaced)


def with_others(*more: bytes) -> Callable[[Parts], bytes]:
    return lambda parts: replace(parts, others=[*parts.others, *more]).chunk()


def without_operations(parts: Parts) -> bytes:
    return replace(parts, others=[], columns={}).chunk()


def backwards(parts: Parts) -> bytes:
    return replace(parts, columns=dict(reversed(parts.columns.items()))).chunk()


FORGED: dict[str, Make] = {
    # numbers of operations and changes
    "operations beyond their past": lambda s: s.edit(start=10),
    "operations within their past": lambda s: s.edit(start=8),
    "operations numbered from 0": lambda s: s.edit(start=0),
    "operations after what is not their past": lambda s: s.third(after=[0], start=10),
    "a second change that does not build on the first": lambda s: s.third(
        after=[0], start=9, seq=2, by="b"
    ),
    "a second change numbered after the first, not on it": lambda s: s.third(
        after=[0], start=10, seq=2, by="b"
    ),
    "a sequence number twice": lambda s: s.third(after=[1], start=10, seq=1, by="b"),
    "a sequence number left out": lambda s: s.third(after=[1], start=10, seq=3, by="b"),
    "a sequence that starts with 2": lambda s: s.edit(seq=2),
    "a sequence that starts with 0": lambda s: s.edit(seq=0),
    # what is not in the past
    "a value overwritten that is not in the past": lambda s: s.third(
        overwrite(s, (8, s.a)), overwrite(s, (9, s.b)), after=[0], start=9
    ),
    "a value overwritten that is nowhere": lambda s: s.edit(overwrite(s, (9, s.a)), start=9),
    "a value overwritten by itself": lambda s: s.edit(overwrite(s, (9, s.b))),
    "a value overwritten before it is set": lambda s: s.edit(overwrite(s, (10, s.b)), s.title),
    "a value below all numbers overwritten": lambda s: s.edit(overwrite(s, (-1, s.a))),
    "a letter after one that is not in the past": lambda s: s.third(
        s.letter(), s.letter(place=(9, s.b)), after=[0], start=9, first=s.letter()
    ),
    "a letter removed that is not in the past": lambda s: s.third(
        s.letter(),
        s.remove(place=(9, s.b), replaces=[(9, s.b)]),
        after=[0],
        start=9,
        first=s.letter(),
    ),
    "a letter after one that is nowhere": lambda s: s.edit(s.letter(place=(9, s.a))),
    "a letter after itself": lambda s: s.edit(s.letter(place=(9, s.b))),
    "a letter after a later one": lambda s: s.edit(s.letter(place=(10, s.b)), s.letter()),
    "a letter after a field": lambda s: s.edit(s.letter(place=(8, s.a))),
    "a letter after its text": lambda s: s.edit(s.letter(place=s.text)),
    "an actor whom nobody knows": lambda s: s.edit(edit=with_others(b"z" * 16)),
    "an actor who is not in the past": lambda s: s.third(after=[0], start=9, edit=with_others(s.b)),
    "a change without operations": lambda s: s.edit(edit=without_operations),
    "an actor without a name": lambda s: s.edit(edit=with_others(b"")),
    # objects and keys
    "an object that nobody made": lambda s: s.edit(replace(s.title, target=(7, s.a))),
    "an object of nobody": lambda s: s.edit(replace(s.title, target=(2, b"z" * 16))),
    "a key in a text": lambda s: s.edit(s.letter(insert=False, key="x")),
    "a letter in a map": lambda s: s.edit(s.letter(target=s.fields)),
    "a letter on the root": lambda s: s.edit(s.letter(target=None)),
    "a position in a map": lambda s: s.edit(replace(s.title, insert=True)),
    "a map in a text used": lambda s: s.edit(
        s.letter(action=MAKE_MAP, kind=0, value=b""), Row(target=(9, s.b), key="x")
    ),
    "an event that stands in two changes": lambda s: s.third(
        s.event(), after=[1], start=10, seq=2, by="b", first=s.event()
    ),
    # numbers
    "a number of a field in a longer form": lambda s: s.value(UNSIGNED, b"\x85\0"),
    "a negative number in a longer form": lambda s: s.value(SIGNED, b"\xff\x7f"),
    "a number beyond 64 bits": lambda s: s.value(UNSIGNED, uleb_bytes(1 << 64)),
    "a negative number beyond 64 bits": lambda s: s.value(SIGNED, sleb_bytes((-1 << 63) - 1)),
    "a number without bytes": lambda s: s.value(UNSIGNED, b""),
    "two numbers in a value": lambda s: s.value(UNSIGNED, b"\1\1"),
    "a letter not in UTF-8": lambda s: s.edit(s.letter(value=b"\xff")),
    "a number in a text in a longer form": lambda s: s.edit(s.letter(kind=SIGNED, value=b"\x85\0")),
    "a fraction of four bytes in a text": lambda s: s.edit(s.letter(kind=5, value=bytes(4))),
    "a counter in a text": lambda s: s.edit(s.letter(kind=8, value=b"\1")),
    "a value of an unknown kind in a text": lambda s: s.edit(s.letter(kind=10, value=b"\1")),
    "a time in a longer form": lambda s: s.edit(time=b"\x80\0"),
    "a message not in UTF-8": lambda s: s.edit(message=b"\xff"),
    # columns
    "an action in a longer form": lambda s: s.edit(
        edit=lambda parts: parts.with_column(ACTION, lambda _: b"\x7f\x81\0")
    ),
    "a run in a longer form": lambda s: s.edit(
        edit=lambda parts: parts.with_column(ACTION, lambda _: b"\xff\x7f\1")
    ),
    "a run of booleans in a longer form": lambda s: s.edit(
        edit=lambda parts: parts.with_column(INSERT, lambda _: b"\x81\0")
    ),
    "a step in a longer form": lambda s: s.edit(
        overwrite(s, (8, s.a)),
        edit=lambda parts: parts.with_column(PRED_COUNTER, lambda _: b"\x7f\x88\0"),
    ),
    "half a run at the end of a column": lambda s: s.column(OBJECT_COUNTER, b"\2"),
    "an entry more in a column": lambda s: s.column(PRED_COUNT, b"\x7f\0"),
    "a null more in a column": lambda s: s.column(ACTION, b"\0\1"),
    "a run of no nulls": lambda s: s.column(ACTION, b"\0\0"),
    "a byte after the values": lambda s: s.column(VALUE_RAW, b"x"),
    "a value that is not there": lambda s: s.edit(
        edit=lambda parts: parts.with_column(VALUE_META, lambda _: b"\x7f\x46")
    ),
    "an empty run of booleans at the end": lambda s: s.column(INSERT, b"\0"),
    "empty runs of booleans at the beginning": lambda s: s.edit(
        edit=lambda parts: parts.with_column(INSERT, lambda _: b"\0\0\1")
    ),
    "a column of booleans of nothing": lambda s: s.edit(
        edit=lambda parts: parts.with_column(INSERT, lambda _: b"\0")
    ),
    "no column of insertions": lambda s: s.edit(
        edit=lambda parts: parts.with_column(INSERT, lambda _: b"")
    ),
    "a position without an actor": lambda s: s.edit(
        s.letter(place=(6, s.a)), edit=lambda parts: parts.with_column(KEY_ACTOR, lambda _: b"")
    ),
    "an actor without a position": lambda s: s.column(KEY_ACTOR, b"\x7f\0"),
    "an unknown column": lambda s: s.column(0x104, b"\1\1"),
    "a compressed column": lambda s: s.column(0x5E, b"\1\1"),
    "columns backwards": lambda s: s.edit(edit=backwards),
    "names of marks that end early": lambda s: s.column(MARK_NAME, b"\x7f"),
    "half a number in the column of marks": lambda s: s.column(EXPAND, b"\x80"),
}

ODD: dict[str, Make] = {
    "an honest edit": lambda s: s.edit(overwrite(s, (8, s.a))),
    "an honest second edit": lambda s: s.third(after=[1], start=10, seq=2, by="b"),
    "an honest edit at the same time": lambda s: s.third(after=[0], start=9),
    "an honest edit after another": lambda s: s.third(
        overwrite(s, (8, s.a), (9, s.b)), after=[1], start=10
    ),
    "a change that builds on its past twice": lambda s: s.third(after=[0, 1], start=10),
    "rivals by one change": lambda s: s.edit(s.title, s.title),
    "a value overwritten by the same change": lambda s: s.edit(s.title, overwrite(s, (9, s.b))),
    "a value of another field overwritten": lambda s: s.edit(
        replace(s.title, key="x", replaces=[(8, s.a)])
    ),
    "a field removed that is not there": lambda s: s.edit(
        replace(s.title, action=DELETE, kind=0, value=b"")
    ),
    "a removal with a value": lambda s: s.edit(replace(s.title, action=DELETE)),
    "a text made with a value": lambda s: s.start(
        Row(target=(3, s.a), key="body", action=MAKE_TEXT, value=b"x")
    ),
    "a field without a name": lambda s: s.edit(replace(s.title, key="")),
    "letters after one another": lambda s: s.edit(
        s.letter(place=(7, s.a)), s.letter(place=(9, s.b)), s.letter()
    ),
    "a letter removed": lambda s: s.edit(s.remove(place=(6, s.a), replaces=[(6, s.a)])),
    "a letter removed by the other's word": lambda s: s.edit(s.remove(place=(6, s.a))),
    "a letter overwritten": lambda s: s.edit(
        s.letter(insert=False, place=(6, s.a), replaces=[(6, s.a)])
    ),
    "letters of another's concurrent change left alone": lambda s: s.third(
        s.letter(place=(7, s.a)), after=[0], start=9, first=s.letter(place=(7, s.a))
    ),
    "a number in a text": lambda s: s.edit(s.letter(kind=SIGNED, value=b"\5")),
    "a truth value with a byte in a text": lambda s: s.edit(s.letter(kind=TRUE, value=b"\5")),
    "a map in a text": lambda s: s.edit(s.letter(action=MAKE_MAP, kind=0, value=b"")),
    "an event twice in a change": lambda s: s.edit(s.event(), s.event()),
    "the largest number": lambda s: s.value(UNSIGNED, uleb_bytes((1 << 64) - 1)),
    "the smallest number": lambda s: s.value(SIGNED, sleb_bytes(-1 << 63)),
    "a message": lambda s: s.edit(message="thư".encode()),
    "a time": lambda s: s.edit(time=sleb_bytes(1 << 40)),
    "bytes after the columns": lambda s: s.edit(tail=b"x"),
    "its own actor among the others": lambda s: s.edit(edit=with_others(s.b)),
    "an actor twice": lambda s: s.edit(edit=with_others(s.a)),
    "names of marks": lambda s: s.column(MARK_NAME, b"\x7f\1x"),
}
