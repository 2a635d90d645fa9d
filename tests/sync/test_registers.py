"""Registers show what Automerge shows, whatever the order, and judge what may enter.

Method: the binding carries out drawn histories of three copies; the registers absorb the changes in
a drawn causal order and are compared with what the binding shows, at every head. Then changes that
no honest program writes are judged one by one.
"""

import random
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.ids import event_id
from sync.change import Action, Change, OpId, parse_change
from sync.document import Edit
from sync.errors import ChangeError
from sync.registers import Registers, absorb, decode_registers, judge, kind_of
from tests.sync.builders import NOW, Pen
from tests.sync.chunks import Op, chunk
from tests.sync.stock import Copies, Step, op_of, shown, steps, written

ACTOR, OTHER = b"a" * 16, b"b" * 16
DEVICE = b"d" * 16
EVENT = event_id(NOW, DEVICE)


def in_causal_order(changes: Sequence[Change], rng: random.Random) -> list[Change]:
    """Return the changes in one of the orders in which each comes after those it builds on."""
    waiting, done = list(changes), set[bytes]()
    ordered = []
    while waiting:
        ready = [change for change in waiting if done.issuperset(change.deps)]
        chosen = rng.choice(ready)
        waiting.remove(chosen)
        done.add(chosen.hash)
        ordered.append(chosen)
    return ordered


def absorbed(changes: Sequence[Change]) -> Registers:
    registers = Registers()
    last_ops: dict[bytes, int] = {}
    for number, change in enumerate(changes):
        newest = max((last_ops[dep] for dep in change.deps), default=0)
        judge(registers, change, newest=newest, hlc=NOW, device=DEVICE)
        last_ops[change.hash] = change.last_op
        absorb(registers, change, log=1, seq=number)
        registers = decode_registers(registers.encode())
    return registers


@settings(max_examples=150, deadline=None)
@example(
    [(0, "put", 1, 0), (1, "put", 1, 0), (1, "merge", 0, 0), (0, "delete", 1, 0), (1, "put", 0, 0)],
    0,
)
@given(steps("delete", "splice"), st.integers(0, 1 << 16))
def test_values_and_rivals_are_those_of_automerge(history: list[Step], seed: int) -> None:
    copies = Copies(ours=True).play(history)
    document = copies.merged()
    changes = [parse_change(bytes(made.raw_bytes)) for made in written(document)]
    registers = absorbed(in_causal_order(changes, random.Random(seed)))
    assert registers.values() == {
        key: shown(document.get(copies.fields, key)[0])  # type: ignore[index]
        for key in document.keys(copies.fields)
    }
    for name, row in registers.fields.items():
        assert row == sorted(row, key=lambda each: each.op, reverse=True)
        seen = [document.get(copies.fields, name, [head]) for head in document.get_heads()]
        at_heads = {op_of(found[1]) for found in seen if found}
        # A head shows one of the values in its past; it stands unless another head replaced it,
        # and then hides one below it that stands.
        assert row[0].op in at_heads or at_heads & superseded(changes)
        assert at_heads & {each.op for each in row} == at_heads - superseded(changes)
        for each in row:
            made = next(c for c in changes if each.op in {op.id for op in c.map_ops})
            found = document.get(copies.fields, name, [made.hash])
            assert found is not None
            assert (op_of(found[1]), shown(found[0])) == (each.op, each.value)


def superseded(changes: Sequence[Change]) -> set[OpId]:
    return {op for change in changes for each in change.map_ops for op in each.replaces}


@settings(max_examples=60, deadline=None)
@given(steps("delete"), st.integers(0, 1 << 16), st.integers(0, 1 << 16))
def test_the_order_of_arrival_does_not_count(history: list[Step], one: int, two: int) -> None:
    made = written(Copies(ours=True).play(history).merged())
    changes = [parse_change(bytes(each.raw_bytes)) for each in made]
    numbers = {change.hash: number for number, change in enumerate(changes)}

    def after(seed: int) -> bytes:
        registers = Registers()
        for change in in_causal_order(changes, random.Random(seed)):
            absorb(registers, change, log=1, seq=numbers[change.hash])
        return registers.encode()

    assert after(one) == after(two)


def test_three_who_edit_apart_leave_three_values_and_one_who_saw_all_settles_them() -> None:
    pen = Pen()
    pen.write(ACTOR, Edit(kind="case", fields={"title": "một"}))
    base = pen.heads()
    for number in range(3):
        pen.write(bytes([number]) * 16, Edit(fields={"title": f"số {number}"}, base=base))
    registers = absorbed(pen.changes)
    assert [each.value for each in registers.fields["title"]] == ["số 2", "số 1", "số 0"]
    assert [each.seq for each in registers.fields["title"]] == [3, 2, 1]
    pen.write(ACTOR, Edit(fields={"title": "xong"}))
    settled = absorbed(pen.changes)
    assert [each.value for each in settled.fields["title"]] == ["xong"]


def test_a_value_set_apart_from_its_removal_stands() -> None:
    pen = Pen()
    pen.write(ACTOR, Edit(kind="case", fields={"title": "một"}))
    base = pen.heads()
    pen.write(ACTOR, Edit(fields={"title": None}, base=base))
    assert absorbed(pen.changes).values() == {}
    pen.write(OTHER, Edit(fields={"title": "hai"}, base=base))
    assert absorbed(pen.changes).values() == {"title": "hai"}


def test_an_effect_says_what_is_new() -> None:
    pen = Pen()
    first = pen.write(ACTOR, Edit(kind="case", fields={"title": "một", "year": 7}, texts={"s": ""}))
    effect = judge(Registers(), first, newest=0, hlc=NOW, device=DEVICE)
    assert effect.fields == {"title": "một", "year": 7}
    assert (effect.events, effect.texts) == ({}, ())
    assert kind_of(first) == "case"
    edit = Edit(fields={"title": None}, texts={"s": "lời"}, events={EVENT: '{"type":"x"}'})
    second = pen.write(ACTOR, edit)
    effect = judge(absorbed([first]), second, newest=first.last_op, hlc=NOW, device=DEVICE)
    assert effect.fields == {"title": None}
    assert (effect.events, effect.texts) == ({EVENT: '{"type":"x"}'}, ("s",))


# What may not enter


def genesis() -> tuple[Registers, Change]:
    """Return the registers of a case with a title and an event, and the change that made it."""
    pen = Pen()
    edit = Edit(kind="case", fields={"title": "một"}, texts={"summary": ""}, events={EVENT: "{}"})
    change = pen.write(ACTOR, edit)
    return absorbed([change]), change


def follow(
    *ops: Op, start_op: int | None = None, seq: int = 1, actor: bytes = OTHER
) -> tuple[Registers, Change]:
    """Return registers and a change of somebody else that builds on them."""
    registers, first = genesis()
    at = first.last_op + 1 if start_op is None else start_op
    raw = chunk(ops, actor=actor, seq=seq, start_op=at, deps=[first.hash])
    return registers, parse_change(raw)


def newest_in(registers: Registers) -> int:
    return max(registers.last_ops.values(), default=0)


def code_of(registers: Registers, change: Change, hlc: int = NOW) -> str:
    before = registers.encode() if registers.kind else b""
    with pytest.raises(ChangeError) as caught:
        judge(registers, change, newest=newest_in(registers), hlc=hlc, device=DEVICE)
    assert (registers.encode() if registers.kind else b"") == before, "a judge changes nothing"
    return caught.value.code


FIELDS, TEXTS, EVENTS, TITLE, STANDS, SUMMARY = ((number, ACTOR) for number in range(2, 8))


def test_the_names_above_are_those_of_the_document() -> None:
    registers, change = genesis()
    assert registers.maps == {"fields": FIELDS, "texts": TEXTS, "events": EVENTS}
    assert registers.texts == {"summary": SUMMARY}
    assert {op.key: op.id for op in change.map_ops if op.object} == {
        "title": TITLE,
        EVENT: STANDS,
        "summary": SUMMARY,
    }


def later(offset: int) -> str:
    return event_id(NOW + offset, DEVICE)


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (Op(key="kind", value="visit"), "root_changed"),
        (Op(key="fields", action=Action.MAKE_MAP), "root_changed"),
        (Op(key="events", action=Action.DELETE, replaces=[EVENTS]), "root_changed"),
        (Op(key="more", value="x"), "root_changed"),
        (Op(key="summary", target=TEXTS, action=Action.MAKE_TEXT), "text_replaced"),
        (Op(key="new", target=TEXTS, action=Action.MAKE_TEXT), "text_replaced"),
        (Op(key="summary", target=TEXTS, action=Action.DELETE), "text_replaced"),
        (Op(key="summary", target=TEXTS, value="x"), "text_replaced"),
        (Op(key=EVENT, target=EVENTS, value="{ }", replaces=[STANDS]), "event_altered"),
        (Op(key=EVENT, target=EVENTS, action=Action.DELETE, replaces=[STANDS]), "event_altered"),
        (Op(key=later(1), target=EVENTS, action=Action.DELETE), "event_altered"),
        (Op(key=later(1), target=EVENTS, action=Action.MAKE_MAP), "event_altered"),
        (Op(key=later(1), target=EVENTS, value=7), "event_malformed"),
        (Op(key=later(1), target=EVENTS, value=b"{}"), "event_malformed"),
        (Op(key="not an event id", target=EVENTS, value="{}"), "event_malformed"),
        (Op(key="", target=EVENTS, value="{}"), "event_malformed"),
        (Op(key=later(-1), target=EVENTS, value="{}"), "event_foreign"),
        (Op(key=later(256), target=EVENTS, value="{}"), "event_foreign"),
        (Op(key=event_id(NOW, b"e" * 16), target=EVENTS, value="{}"), "event_foreign"),
        (Op(key=later(1).upper(), target=EVENTS, value="{}"), "event_foreign"),
        (Op(key=later(1) + "00", target=EVENTS, value="{}"), "event_foreign"),
        (Op(key=f"0x{later(1)[2:]}", target=EVENTS, value="{}"), "event_foreign"),
        (Op(key="title", target=FIELDS, value="x", replaces=[(3, OTHER)]), "replaced_unknown"),
        (Op(key="title", target=FIELDS, value=None), "field_malformed"),
        (Op(key="title", target=FIELDS, value=True), "field_malformed"),
        (Op(key="title", target=FIELDS, value=b"x"), "field_malformed"),
        (Op(key="title", target=FIELDS, value=b"12345678", kind=5), "field_malformed"),
        (Op(key="title", target=FIELDS, value=b"\x01", kind=9), "field_malformed"),
        (Op(key="title", target=FIELDS, action=Action.MAKE_MAP), "field_malformed"),
        (Op(key="title", target=FIELDS, action=Action.MARK, value="x"), "field_malformed"),
        (Op(key="x", target=(99, ACTOR), value="x"), "object_foreign"),
        (Op(key="x", target=SUMMARY, value="x"), "object_foreign"),
        (Op(key="x", target=(2, OTHER), value="x"), "object_foreign"),
        (Op(target=(99, ACTOR), insert=True, value="x"), "object_foreign"),
        (Op(target=FIELDS, insert=True, value="x"), "object_foreign"),
    ],
)  # fmt: skip
def test_what_may_not_be_done_is_refused(op: Op, code: str) -> None:
    registers, change = follow(op)
    assert code_of(registers, change) == code


def test_what_may_be_done_is_let_pass() -> None:
    ops = [
        Op(key="title", target=FIELDS, value="hai", replaces=[TITLE]),
        Op(key="unknown to us", target=FIELDS, value=-5),
        Op(key="unknown to us", target=FIELDS, action=Action.DELETE),
        Op(key=later(0)[:16] + DEVICE[:4].hex(), target=EVENTS, value="{}"),
        Op(key=later(255), target=EVENTS, value="{}"),
        Op(target=SUMMARY, insert=True, value="x"),
    ]
    registers, change = follow(*ops)
    effect = judge(registers, change, newest=newest_in(registers), hlc=NOW, device=DEVICE)
    assert effect.fields == {"title": "hai", "unknown to us": None}
    assert effect.texts == ("summary",)


def test_a_clock_at_its_end_breaks_nothing() -> None:
    registers, change = follow(Op(key="f" * 24, target=EVENTS, value="{}"))
    assert code_of(registers, change, hlc=(1 << 63) - 1) == "event_foreign"


def test_operations_come_right_after_those_that_their_writer_knew() -> None:
    last = genesis()[1].last_op
    put = Op(key="title", target=FIELDS, value="hai")
    for start_op in (last + 2, last + 1_000, 1 << 40):
        assert code_of(*follow(put, start_op=start_op)) == "change_misnumbered"
    for seq in (2, 9):
        assert code_of(*follow(put, seq=seq)) == "change_misnumbered"
    for start_op in (1, last):
        registers, change = follow(put, start_op=start_op, actor=ACTOR, seq=2)
        assert code_of(registers, change) == "change_misnumbered"


def test_a_document_starts_once() -> None:
    registers, first = genesis()
    second = parse_change(
        chunk([Op(key="kind", value="case")], actor=OTHER, start_op=first.last_op + 1)
    )
    assert code_of(registers, second) == "document_twice"
    empty = parse_change(chunk([], actor=OTHER, start_op=first.last_op + 1))
    assert code_of(registers, empty) == "change_empty"


def makes(*names: str) -> list[Op]:
    return [Op(key=name, action=Action.MAKE_MAP) for name in names]


KIND = Op(key="kind", value="case")
MAPS = makes("fields", "texts", "events")


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([], "document_malformed"),
        (MAPS, "document_malformed"),
        ([KIND, *MAPS[:2]], "document_malformed"),
        ([KIND, *MAPS, *makes("more")], "document_malformed"),
        ([KIND, KIND, *MAPS], "document_malformed"),
        ([Op(key="kind", value=""), *MAPS], "document_malformed"),
        ([Op(key="kind", value=7), *MAPS], "document_malformed"),
        ([Op(key="kind", action=Action.MAKE_MAP), *MAPS], "document_malformed"),
        ([Op(key="kind", action=Action.DELETE), *MAPS], "document_malformed"),
        ([KIND, *MAPS[:2], Op(key="events", action=Action.MAKE_LIST)], "document_malformed"),
        ([KIND, *MAPS[:2], Op(key="events", value="x")], "document_malformed"),
        ([KIND, *MAPS, Op(key="t", target=(3, ACTOR), action=Action.MAKE_MAP)], "text_replaced"),
        ([KIND, *MAPS, Op(key="t", target=(3, ACTOR), action=Action.MAKE_LIST)], "text_replaced"),
        ([KIND, *MAPS, Op(key="t", target=(3, ACTOR), value="x")], "text_replaced"),
        ([KIND, *MAPS, Op(key="t", target=(9, ACTOR), value="x")], "object_foreign"),
        ([KIND, *MAPS, Op(target=(2, ACTOR), insert=True, value="x")], "object_foreign"),
    ],
)
def test_a_first_change_of_another_shape_is_refused(ops: list[Op], code: str) -> None:
    change = parse_change(chunk(ops, actor=ACTOR))
    assert code_of(Registers(), change) == code


def test_a_first_change_that_builds_on_something_is_refused() -> None:
    change = parse_change(chunk([KIND, *MAPS], actor=ACTOR, deps=[bytes(32)]))
    assert code_of(Registers(), change) == "document_malformed"


def test_a_first_change_numbered_from_afar_is_refused() -> None:
    change = parse_change(chunk([KIND, *MAPS], actor=ACTOR, start_op=2))
    assert code_of(Registers(), change) == "change_misnumbered"
