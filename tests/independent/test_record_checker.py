"""The record file is what docs/PROTOCOL.md says it is, to somebody else's program too.

Method: nodes write and exchange real records; record_checker.py, which knows only the protocol,
must read them as the product does. Then a byte is changed or a part is moved, and both must refuse.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from crypto.certificates import make_root
from crypto.identity import NodeKey
from sync.errors import RecordFileError
from sync.record_file import verify_record
from tests.independent.change_reader import Refused
from tests.independent.forger import lay_out
from tests.independent.record_checker import check
from tests.independent.world import NOW_MS, World, opinions

Edit = Callable[[Any], object]

BOTH_HOLD, BOTH_REFUSE = ("holds", "holds"), ("refused", "refused")
BYTE_CHANGES: tuple[Callable[[int], bytes], ...] = (
    lambda byte: bytes([byte ^ 1]),
    lambda byte: b"",
    lambda byte: bytes([byte ^ 0x20]),
    lambda byte: bytes([byte, byte]),
    lambda byte: b"0" if byte != ord("0") else b"1",
)


def edited(data: bytes, edit: Edit) -> bytes:
    file = json.loads(data)
    edit(file)
    return lay_out(file)


def put(value: Any, *path: Any) -> Edit:
    def replace(file: Any) -> None:
        for step in path[:-1]:
            file = file[step]
        file[path[-1]] = value

    return replace


def swap(first: tuple[Any, ...], second: tuple[Any, ...]) -> Edit:
    """Exchange the values at two paths."""

    def exchange(file: Any) -> None:
        values = []
        for path in (first, second):
            value = file
            for step in path:
                value = value[step]
            values.append(value)
        put(values[1], *first)(file)
        put(values[0], *second)(file)

    return exchange


def lines(change: Callable[[list[str]], object], log: int = 0) -> Edit:
    """Change the lines of a note: 0 to 2 are the head, 4 the owner's, from 5 cosignatures."""

    def replace(file: Any) -> None:
        note = file["logs"][log]["note"].split("\n")
        change(note)
        file["logs"][log]["note"] = "\n".join(note)

    return replace


def without(at: int) -> Edit:
    return lambda file: file["logs"][0]["leaves"].pop(at)


def leaf(at: int, *path: Any) -> tuple[Any, ...]:
    return ("logs", 0, "leaves", at, *path)


TAMPERED: dict[str, Edit] = {
    "proofs swapped": swap(leaf(2, "proof"), leaf(4, "proof")),
    "proof longer": lambda file: file["logs"][0]["leaves"][0]["proof"].append("A" * 43 + "="),
    "proof shorter": lambda file: file["logs"][0]["leaves"][0]["proof"].pop(),
    "leaves swapped": swap(leaf(2), leaf(4)),
    "leaf twice": lambda file: file["logs"][0]["leaves"].append(file["logs"][0]["leaves"][-1]),
    "seq of another leaf": put(2, *leaf(1, "seq")),
    "seq true": put(True, *leaf(1, "seq")),
    "seq 1.0": put(1.0, *leaf(1, "seq")),
    "leaf of the other log": swap(leaf(1), ("logs", 1, "leaves", 1)),
    "notes swapped": swap(("logs", 0, "note"), ("logs", 1, "note")),
    "owners swapped": swap(("logs", 0, "owner"), ("logs", 1, "owner")),
    "purposes swapped": swap(("logs", 0, "purpose"), ("logs", 1, "purpose")),
    "epoch 1": put(1, "logs", 0, "epoch"),
    "epoch false": put(False, "logs", 0, "epoch"),
    "epoch -1": put(-1, "logs", 0, "epoch"),
    "epoch 0.0": put(0.0, "logs", 0, "epoch"),
    "a line more in the head": lines(lambda note: note.insert(3, "more")),
    "size with a zero in front": lines(lambda note: note.__setitem__(1, "0" + note[1])),
    "size one more": lines(lambda note: note.__setitem__(1, str(int(note[1]) + 1))),
    "the owner's signature left out": lines(lambda note: note.pop(4)),
    "the owner's signature not first": lines(lambda note: note.insert(5, note.pop(4))),
    "the owner's signature twice": lines(lambda note: note.insert(5, note[4])),
    "a signature of nobody": lines(lambda note: note.insert(5, "— nobody AAAAAAAA")),
    "an empty line at the end": lines(lambda note: note.append("")),
    "no cosigners": put({}, "cosigners"),
    "cosigners without chains": lambda file: [each.clear() for each in file["cosigners"].values()],
    "log left out": lambda file: file["logs"].pop(0),
    "log twice": lambda file: file["logs"].append(file["logs"][0]),
    "no logs": put([], "logs"),
    "logs as an object": put({}, "logs"),
    "another document": put("01a0c450-6c00-7226-b63c-5ab791b7584b", "document"),
    "document in capitals": lambda file: put(file["document"].upper(), "document")(file),
    "another format": put("tiepdan-record/2", "format"),
    "a key more": put(1, "more"),
    "a key more in a log": put(1, "logs", 0, "more"),
    "a key more in a leaf": put(1, *leaf(1, "more")),
    "reads another name": put("Nguyễn Thị Lam", *leaf(1, "reads", "name")),
    "reads a value more": put("x", *leaf(2, "reads", "values", "more")),
    "reads a number as a truth value": put(True, *leaf(1, "reads", "writer")),
    "reads nothing": put({}, *leaf(1, "reads")),
}

LAID_OUT_OTHERWISE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "no newline at the end": lambda data: data[:-1],
    "two newlines at the end": lambda data: data + b"\n",
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "one line": lambda data: json.dumps(json.loads(data)).encode(),
    "letters escaped": lambda data: json.dumps(json.loads(data), indent=1).encode() + b"\n",
    "a key twice": lambda data: data.replace(b' "document"', b' "document": 1,\n "document"', 1),
    "not a number": lambda data: data.replace(b'"epoch": 0', b'"epoch": NaN'),
    "half a letter": lambda data: data.replace(b'"up"', b'"\\ud800"'),
    "not an object": lambda data: b"[]\n",
    "nested too deep": lambda data: b"[" * 100_000,
}


def test_the_record_of_a_case_holds_and_says_the_same_to_both(world: World) -> None:
    ours, theirs = check(world.file, world.root_der), verify_record(world.file, world.root)
    assert ours["kind"] == theirs.kind == "case"
    assert {key: values[0] for key, values in ours["fields"].items()} == theirs.fields
    assert sorted(ours["fields"]["title"]) == ["Tranh chấp ranh giới", "Tranh chấp đất rừng"]
    assert "topic" not in ours["fields"]
    heads = [(log["code"], log["size"], log["cosigned"]) for log in ours["logs"]]
    assert heads == [
        (each.owner.code, each.head.size, [(by.code, at) for by, at in each.cosigners])
        for each in theirs.attestations
    ]
    cosigners = {log["purpose"]: [code for code, _ in log["cosigned"]] for log in ours["logs"]}
    assert cosigners == {"up": ["40", "0"], "down": ["40.17083"]}


@pytest.mark.parametrize("place", ["commune", "province", "centre"])
@pytest.mark.parametrize("document", ["case", "directive"])
def test_every_tier_that_holds_a_record_can_prove_it(
    world: World, place: str, document: str
) -> None:
    data = getattr(world, place).export(getattr(world, document), world.root)
    ours, theirs = check(data, world.root_der), verify_record(data, world.root)
    assert ours["kind"] == theirs.kind == document
    assert {key: values[0] for key, values in ours["fields"].items()} == theirs.fields


def test_a_node_that_wrote_nothing_yet_can_prove_what_it_received(world: World) -> None:
    data = world.other.export(world.directive, world.root)
    assert opinions(world, data) == BOTH_HOLD


@pytest.mark.parametrize(("document", "stride"), [("case", 17), ("directive", 29)])
def test_one_changed_byte_anywhere_is_refused(world: World, document: str, stride: int) -> None:
    data = world.commune.export(getattr(world, document), world.root)
    for number, position in enumerate(range(0, len(data), stride)):
        new = BYTE_CHANGES[number % len(BYTE_CHANGES)](data[position])
        changed = data[:position] + new + data[position + 1 :]
        assert changed == data or opinions(world, changed) == BOTH_REFUSE, (position, new)


@pytest.mark.parametrize("name", TAMPERED)
def test_a_file_that_was_tampered_with_is_refused(world: World, name: str) -> None:
    assert opinions(world, edited(world.file, TAMPERED[name])) == BOTH_REFUSE


@pytest.mark.parametrize("name", LAID_OUT_OTHERWISE)
def test_a_file_that_is_laid_out_otherwise_is_refused(world: World, name: str) -> None:
    assert opinions(world, LAID_OUT_OTHERWISE[name](world.file)) == BOTH_REFUSE


def test_a_record_is_refused_under_another_root(world: World) -> None:
    other = make_root(NodeKey.from_seed(b"x" * 32), "Gốc", NOW_MS, 3650)
    with pytest.raises(Refused):
        check(world.file, other.public_bytes(Encoding.DER))
    with pytest.raises(RecordFileError):
        verify_record(world.file, other)


def test_a_cosignature_over_another_head_is_refused(world: World) -> None:
    older = json.loads(world.early)["logs"][0]["note"].split("\n")
    current = json.loads(world.file)["logs"][0]["note"].split("\n")
    assert older[0] == current[0]
    assert older[1] != current[1]
    for line in (5, 6):
        assert older[line].split(" ")[1] == current[line].split(" ")[1]
        moved = edited(world.file, put_line(line, older[line]))
        assert opinions(world, moved) == BOTH_REFUSE


def put_line(number: int, text: str) -> Edit:
    return lines(lambda note: note.__setitem__(number, text))


def test_the_chain_of_a_cosigner_belongs_to_it(world: World) -> None:
    first, second, *_ = sorted(json.loads(world.file)["cosigners"])
    changed = edited(world.file, swap(("cosigners", first), ("cosigners", second)))
    assert opinions(world, changed) == BOTH_REFUSE


def test_a_leaf_that_others_need_is_missed(world: World) -> None:
    needed = json.loads(world.file)["logs"][0]["leaves"][:-1]
    for at in range(len(needed)):
        assert opinions(world, edited(world.file, without(at))) == BOTH_REFUSE, at


def test_a_file_does_not_prove_that_nothing_newer_exists(world: World) -> None:
    assert len(check(world.file, world.root_der)["fields"]["title"]) == 2
    shorter = edited(world.file, without(-1))
    assert opinions(world, shorter) == BOTH_HOLD
    assert check(shorter, world.root_der)["fields"]["title"] == ["Tranh chấp đất rừng"]


def test_the_order_of_logs_and_of_cosignatures_proves_nothing(world: World) -> None:
    for edit in (swap(("logs", 0), ("logs", 1)), lines(lambda note: note.insert(5, note.pop(6)))):
        assert opinions(world, edited(world.file, edit)) == BOTH_HOLD
