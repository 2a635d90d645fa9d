"""Goal: whatever counts as plain, Automerge applies, and its texts read as we say.

Method: honest histories end in a change whose bytes or operations are drawn at random; those that
still count as plain are handed to the binding, which also has to go on writing after them.
"""

import random
from collections.abc import Callable, Sequence

import pytest

from sync.change import Action, Change, OpId, parse_change
from sync.document import FIELDS, TEXTS, Documents, Edit
from sync.errors import ChangeError
from sync.plain import plain_texts
from sync.registers import Registers, absorb, judge
from tests.independent.change_reader import INSERT, KEY_ACTOR, KEY_COUNTER, uleb_bytes
from tests.independent.chunk_writer import Row, Writing, runs, take_apart, write_rows
from tests.sync.builders import DOCUMENT, Pen
from tests.sync.chunks import Op, body_of, chunk, sealed

DEVICE = b"d" * 16
ROUNDS = 600
WORDS = (
    "đất",
    "rừng",
    "a",
    "xã",
    "ộ",
    "khiếu nại về việc ",
    "thu hồi",
    "",
    "x" * 20,
    "😀",
    "e\u0301",
)
ACTORS = tuple(bytes([number]) * 16 for number in range(1, 4))


def history(rng: random.Random) -> list[Change]:
    """Return what some honest writers did to one document."""
    pen = Pen()
    fields: dict[str, str | int | None] = dict.fromkeys(rng.sample("abcdef", 3), rng.choice(WORDS))
    texts = {
        name: "".join(rng.choices(WORDS, k=rng.randrange(6)))
        for name in rng.sample(["content", "summary"], rng.randrange(3))
    }
    edit = Edit(kind="case", fields=fields | {"n": rng.choice([1, -3, 300, 2**40])}, texts=texts)
    pen.write(rng.choice(ACTORS), edit)
    for number in range(rng.randrange(3)):
        again = {name: rng.choice([f"{number}", None, 7]) for name in rng.sample("abcdef", 2)}
        again[f"g{number}"] = "sure to be a change"
        pen.write(rng.choice(ACTORS), Edit(fields=again))
    return pen.changes


def registers_after(changes: Sequence[Change]) -> Registers:
    registers = Registers()
    for change in changes:
        absorb(registers, change, log=1, seq=1)
    return registers


def counts_as_plain(before: Sequence[Change], raw: bytes) -> bool:
    """Tell whether a change is plain; if it is, hold that to the binding."""
    registers = registers_after(before)
    known = {change.hash: change for change in before}
    try:
        change = parse_change(raw)
        if not set(change.deps) <= known.keys():
            return False
        newest = max((known[dep].last_op for dep in change.deps), default=0)
        judge(registers, change, newest=newest, hlc=0, device=DEVICE)
    except ChangeError:
        return False
    texts = plain_texts(registers, change)
    if texts is None:
        return False
    documents = Documents(lambda _: [*(known.raw for known in before), raw])
    for name, text in texts.items():
        assert documents.text(DOCUMENT, name) == text
    assert change.hash in documents.heads(DOCUMENT)
    absorb(registers, change, log=1, seq=2)
    assert documents.heads(DOCUMENT) == registers.heads
    more = documents.write(DOCUMENT, b"Q" * 16, Edit(fields={"z": "1"}, texts=dict(texts)))
    assert more is not None
    one_by_one = Documents(lambda _: [])
    for number, applied in enumerate([*before, change, parse_change(more)]):
        one_by_one.apply(DOCUMENT, applied.raw, applied.hash, new=number == 0)
    return True


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """Return the change with some bytes of its body altered, and a checksum that fits."""
    body = bytearray(body_of(raw))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(body))
        match rng.randrange(4):
            case 0:
                body[at] = rng.randrange(256)
            case 1:
                body[at] = body[at] + rng.choice([1, -1, 0x40, 0x80]) & 0xFF
            case 2:
                del body[at]
            case _:
                body.insert(at, rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF]))
    return sealed(bytes(body))


def invented(rng: random.Random, before: Sequence[Change]) -> bytes:
    """Return a further change whose operations no honest program might write."""
    registers = registers_after(before)
    actor = rng.choice(ACTORS)
    standing = [value.op for row in registers.fields.values() for value in row]
    past = [op.id for change in before for op in change.map_ops]
    targets = [registers.maps[FIELDS]] * 4 + [registers.maps[TEXTS], *registers.texts.values()]

    def replaced(key: str) -> Sequence[OpId]:
        mine = [value.op for value in registers.fields.get(key, ())]
        choices: list[Sequence[OpId]] = [mine, mine, mine[:1], [], rng.sample(past, 1)]
        return rng.choice([*choices, rng.sample(standing, min(2, len(standing)))])

    def operation() -> Op:
        key = rng.choice("abcdefg")
        return Op(
            key=key,
            target=rng.choice(targets),
            action=rng.choice(
                [Action.SET, Action.SET, Action.SET, Action.DELETE, Action.MAKE_TEXT]
            ),
            value=rng.choice(["chữ", "", 5, -1, None, True, b"bytes"]),
            replaces=sorted(replaced(key)),
        )

    return chunk(
        [operation() for _ in range(rng.randrange(1, 4))],
        actor=actor,
        seq=registers.seqs.get(actor, 0) + rng.choice([1, 1, 1, 1, 2]),
        start_op=max(registers.last_ops.values()) + 1,
        deps=registers.heads,
    )


def genesis_typed(rng: random.Random) -> bytes:
    """Return the first change of a document with letters typed in order, or not quite."""
    actor = ACTORS[0]
    ops = [
        Op(key="kind", value="case"),
        Op(key="fields", action=Action.MAKE_MAP),
        Op(key="texts", action=Action.MAKE_MAP),
        Op(key="events", action=Action.MAKE_MAP),
        Op(key="content", target=(3, actor), action=Action.MAKE_TEXT),
    ]
    last: OpId | None = None
    for _ in range(rng.randrange(1, 8)):
        own = (len(ops) + 1, actor)
        ops.append(
            Op(
                target=(5, actor),
                insert=rng.random() < 0.95,
                after=last if rng.random() < 0.95 else rng.choice([None, (6, actor), own]),
                value=rng.choice(["đ", "ất", "a", "😀"]) if rng.random() < 0.95 else 1,
                action=Action.SET if rng.random() < 0.97 else Action.DELETE,
            )
        )
        last = own
    return chunk(ops, actor=actor)


def honest(rng: random.Random) -> bool:
    changes = history(rng)
    return counts_as_plain(changes[:-1], changes[-1].raw)


def damage(rng: random.Random) -> bool:
    changes = history(rng)
    return counts_as_plain(changes[:-1], damaged(rng, changes[-1].raw))


def invention(rng: random.Random) -> bool:
    changes = history(rng)
    return counts_as_plain(changes, invented(rng, changes))


def typing(rng: random.Random) -> bool:
    return counts_as_plain([], genesis_typed(rng))


@pytest.mark.parametrize(
    ("draw", "least"), [(honest, 0.9), (damage, 0.04), (invention, 0.02), (typing, 0.2)]
)
def test_what_is_plain_is_applied(draw: Callable[[random.Random], bool], least: float) -> None:
    rng = random.Random(draw.__name__)
    plain = sum(draw(rng) for _ in range(ROUNDS))
    assert plain >= least * ROUNDS, "too few were plain for this to say something"


def test_a_letter_that_starts_within_another_is_not_plain() -> None:
    actor = ACTORS[0]
    ops = [
        Op(key="kind", value="case"),
        Op(key="fields", action=Action.MAKE_MAP),
        Op(key="texts", action=Action.MAKE_MAP),
        Op(key="events", action=Action.MAKE_MAP),
        Op(key="content", target=(3, actor), action=Action.MAKE_TEXT),
        Op(target=(5, actor), insert=True, value="đ".encode()[:1], kind=6),
        Op(target=(5, actor), insert=True, value="đ".encode()[1:], kind=6, after=(6, actor)),
    ]
    assert plain_texts(Registers(), parse_change(chunk(ops, actor=actor))) is None


def _always(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def test_an_operation_on_a_map_that_names_a_letter_is_not_plain() -> None:
    actor = ACTORS[0]
    typed = Writing(actor).chunks[0]
    assert counts_as_plain([], typed)
    # Of the eight operations the seventh types a letter behind another one.
    named = runs([0, *[None] * 5, 0, None], uleb_bytes)
    assert not counts_as_plain([], take_apart(typed).with_column(KEY_ACTOR, lambda _: named))
    before = [parse_change(typed)]
    row = Row(target=(2, actor), key="title", value=b"new")
    parts = write_rows([row], actor=ACTORS[1], start=9, deps=[before[0].hash])
    assert counts_as_plain(before, parts.chunk())
    for column, data in ((KEY_ACTOR, b"\x7f\0"), (KEY_COUNTER, b"\x7f\1"), (INSERT, b"")):
        assert not counts_as_plain(before, parts.with_column(column, _always(data)))
