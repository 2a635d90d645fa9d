"""Documents as any program with the Automerge binding could make them, for the readers to read.

A history is a list of steps drawn by hypothesis; the binding itself carries them out, so whatever
it writes for them is what a stock client would send.
"""

import datetime
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from automerge.core import ROOT, Document, ExpandMark, ObjType, ScalarType
from hypothesis import strategies as st

from sync.change import Change, MapOp, OpId, Scalar, uleb

ACTORS: Final = tuple(bytes([number]) * 16 for number in (7, 3, 200))
KEYS: Final = ("a", "tên", "c")
_AT: Final = datetime.datetime(2026, 9, 21, tzinfo=datetime.UTC)
_MIXED: Final[tuple[tuple[ScalarType, Any], ...]] = (
    (ScalarType.Boolean, True),
    (ScalarType.Boolean, False),
    (ScalarType.Null, None),
    (ScalarType.Bytes, b"\x00\xff"),
    (ScalarType.F64, 1.5),
    (ScalarType.Timestamp, _AT),
    (ScalarType.Uint, (1 << 64) - 1),
    (ScalarType.Int, -(1 << 63)),
)

# (which copy works, what it does, and two numbers that say where and what)
Step = tuple[int, str, int, int]


def steps(*kinds: str, max_size: int = 12) -> st.SearchStrategy[list[Step]]:
    """Return histories made of these kinds of steps; merges are always among them."""
    small = st.integers(0, 40)
    step = st.tuples(
        st.integers(0, 2), st.sampled_from(("put", "put", "merge", *kinds)), small, small
    )
    return st.lists(step, max_size=max_size)


ALL_KINDS: Final = ("put", "mixed", "delete", "splice", "mark", "list", "nest")


class Copies:
    """Three copies of one document that are edited apart and merged now and then."""

    def __init__(self, *, ours: bool = False) -> None:
        """Start with a case of our shape, and a list that ours would not have unless told so."""
        first = Document(ACTORS[0])
        with first.transaction() as transaction:
            put: Any = transaction
            put.put(ROOT, "kind", ScalarType.Str, "case")
            self.fields: bytes = put.put_object(ROOT, "fields", ObjType.Map)
            texts: bytes = put.put_object(ROOT, "texts", ObjType.Map)
            put.put_object(ROOT, "events", ObjType.Map)
            self.text: bytes = put.put_object(texts, "summary", ObjType.Text)
            self.list: bytes = b"" if ours else put.put_object(ROOT, "list", ObjType.List)
        self.copies = [first, first.fork(), first.fork()]
        for copy, actor in zip(self.copies[1:], ACTORS[1:], strict=True):
            copy.set_actor(actor)

    def play(self, history: Sequence[Step]) -> "Copies":
        for step in history:
            self.step(*step)
        return self

    def step(self, who: int, what: str, where: int, number: int) -> None:
        document = self.copies[who]
        if what == "merge":
            if where % 3 != who:
                document.merge(self.copies[where % 3])
            return
        with document.transaction() as transaction:
            at: Any = transaction
            if what in ("splice", "mark", "list"):
                self._edit_sequence(at, document, what, where, number)
            else:
                self._edit_map(at, what, KEYS[where % len(KEYS)], number)

    def _edit_map(self, at: Any, what: str, key: str, number: int) -> None:
        match what:
            case "put" if number % 2:
                at.put(self.fields, key, ScalarType.Int, number - 20)
            case "put":
                at.put(self.fields, key, ScalarType.Str, f"số {number}")
            case "mixed":
                at.put(self.fields, key, *_MIXED[number % len(_MIXED)])
            case "delete" if at.get(self.fields, key) is not None:
                at.delete(self.fields, key)
            case "nest":
                inner = at.put_object(self.fields, key, ObjType.Map)
                at.put(inner, "in", ScalarType.Str, f"{number}")

    def _edit_sequence(
        self, at: Any, document: Document, what: str, where: int, number: int
    ) -> None:
        length = document.length(self.text)
        match what:
            case "splice":
                start = where % (length + 1)
                at.splice_text(self.text, start, min(number % 3, length - start), "đơn"[:number])
            case "mark" if length:
                at.mark(self.text, 0, length, "bold", ScalarType.Boolean, True, ExpandMark.Both)
            case "list":
                items = document.length(self.list)
                at.insert(self.list, where % (items + 1), ScalarType.Int, number)
                if items:
                    at.put(self.list, where % items, ScalarType.Str, "x")

    def merged(self) -> Document:
        """Return a copy with everything."""
        whole = self.copies[0].fork()
        for copy in self.copies[1:]:
            whole.merge(copy)
        return whole


def written(document: Document) -> list[Any]:
    """Return the changes as the binding reports them, in causal order."""
    return list(document.get_changes([]))


def object_name(target: OpId | None) -> bytes:
    """Return the binding's name of an object."""
    if target is None:
        return ROOT
    counter, actor = target
    # Format: 0x10, actor, a hint where the binding finds the actor, counter.
    return b"\x10" + uleb(len(actor)) + actor + b"\x00" + uleb(counter)


def op_of(name: bytes) -> OpId:
    """Return the operation that a name of the binding stands for."""
    at = 2 + name[1]
    actor = name[2:at]
    numbers: list[int] = []
    number = shift = 0
    for byte in name[at:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers[1], actor


def shown(value: Any) -> Scalar:
    """Return a value of the binding as the reader of changes gives it."""
    if not isinstance(value, tuple):
        return None
    kind, content = value
    if kind == ScalarType.F64:
        return struct.pack("<d", content)
    if kind == ScalarType.Timestamp:
        return signed(round(content.replace(tzinfo=datetime.UTC).timestamp() * 1000))
    found: Scalar = content
    return found


def signed(number: int) -> bytes:
    """Return signed LEB128."""
    return number.to_bytes(8, "little", signed=True) if number < 0 else _sleb(number)


def _sleb(number: int) -> bytes:
    out = bytearray()
    while number > 63:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def standing(changes: Iterable[Change]) -> dict[tuple[OpId | None, str], list[MapOp]]:
    """Return what no operation replaced, by map and key, as plainly as the format says it."""
    ops = [op for change in changes for op in change.map_ops]
    replaced = {op for each in ops for op in each.replaces}
    found: dict[tuple[OpId | None, str], list[MapOp]] = {}
    for op in ops:
        if op.id not in replaced and op.action.name != "DELETE":
            found.setdefault((op.object, op.key), []).append(op)
    return found
