"""Families of records that belong together, taken from a real database and copied under new ids.

A family is what one registration made, with all that happened to it later: visit, people, petition,
case, group. A copy gets new ids, another citizen's name and another register number, and its
changes and leaves are made anew around them, so that every hash, actor, dependency and row fits.
"""

import hashlib
import random
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crypto.identity import actor_id
from node.folding import fold
from node.samples.people import invent_name
from node.samples.texts import Place
from schemas.ids import document_text, mint_document_id, parse_document_id
from schemas.record import Leaf, decode_leaf
from sync.change import MAGIC, parse_change, uleb
from sync.registers import Registers, decode_registers

Token = bytes | str
_NAMES: Final = 20_000
_CHANGE, _DEFLATED = b"\x01", 2
# Tables with one row or more for a document: the column that names it.
_BY_BLOB: Final = {
    "document": "id",
    "change": "document",
    "event": "document",
    "long_text": "document",
    "audience": "document",
}
_BY_TEXT: Final = {
    "visits": "id",
    "visit_people": "visit_id",
    "visit_petitions": "visit_id",
    "people": "id",
    "petitions": "id",
    "groups": "id",
    "cases": "id",
    "case_people": "case_id",
    "case_deadlines": "case_id",
    "timeline": "document_id",
    "record_logs": "document_id",
}
_NUMBERED: Final = {"change": "seq", "event": "seq", "record_logs": "last_seq", "cases": "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A change of the original, opened."""

    leaf: Leaf
    body: bytes
    hash: bytes
    is_deflated: bool
    tokens: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of the original: which columns hold what is replaced, and which one a number."""

    table: str
    values: tuple[Any, ...]
    patches: tuple[tuple[int, tuple[Token, ...]], ...]
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The original.

    Attributes:
        changes: by their number in the log, in its order.
    """

    log: int
    documents: tuple[bytes, ...]
    actors: Mapping[bytes, bytes]
    names: tuple[str, ...]
    register_number: str
    changes: Mapping[int, _Change]
    rows: tuple[_Row, ...]
    registers: Mapping[bytes, Registers]
    search: str


@dataclass(slots=True)
class Copy:
    """One copy: leaves for the log in order, and rows by table."""

    leaves: list[bytes]
    rows: dict[str, list[tuple[Any, ...]]]
    search: str
    seqs: dict[int, int] = field(default_factory=dict)


class Names:
    """Other names for a citizen, letter for letter as long in UTF-8.

    A long text keeps the length of each of its letters, so only such a name can take its place.
    """

    def __init__(self, rng: random.Random, place: Place) -> None:
        """Invent many names of a place."""
        self._by_shape: dict[tuple[int, ...], list[str]] = {}
        for _ in range(_NAMES):
            name = invent_name(rng, place, is_woman=rng.random() < 0.5)
            self._by_shape.setdefault(_shape(name), []).append(name)

    def other(self, rng: random.Random, name: str) -> str:
        """Return a name of the same shape, perhaps the same."""
        return rng.choice(self._by_shape.get(_shape(name)) or [name])


def families(db: sqlite3.Connection, log: int, node: bytes, device: bytes) -> Iterator[Family]:
    """Yield the families of all visits whose records were written by one device into one log."""
    for (visit,) in db.execute("SELECT id FROM visits ORDER BY id").fetchall():
        family = _family(db, visit, log, node, device)
        if family is not None:
            yield family


def lone_cases(db: sqlite3.Connection, log: int, node: bytes, device: bytes) -> Iterator[Family]:
    """Yield a family of its own for each case that came without a visit, person or group."""
    found = db.execute(
        "SELECT id FROM cases WHERE group_id = ''"
        " AND id NOT IN (SELECT case_id FROM visit_petitions WHERE case_id IS NOT NULL)"
        " AND id NOT IN (SELECT case_id FROM case_people) ORDER BY number"
    )
    for (case,) in found.fetchall():
        family = _gather(db, [case], (), case, log, node, device)
        if family is not None:
            yield family


def _family(
    db: sqlite3.Connection, visit: str, log: int, node: bytes, device: bytes
) -> Family | None:
    links = db.execute(
        "SELECT petition_id, case_id FROM visit_petitions WHERE visit_id = ?", (visit,)
    ).fetchall()
    people = [
        row[0]
        for row in db.execute("SELECT person_id FROM visit_people WHERE visit_id = ?", (visit,))
    ]
    (group,) = db.execute("SELECT group_id FROM cases WHERE id = ?", (links[0][1],)).fetchone()
    names = tuple(
        db.execute("SELECT full_name FROM people WHERE id = ?", (person,)).fetchone()[0]
        for person in people
    )
    ids = [visit, *people, *links[0], *([group] if group else [])]
    return _gather(db, ids, names, links[0][1], log, node, device)


def _gather(
    db: sqlite3.Connection,
    ids: Sequence[str],
    names: tuple[str, ...],
    case: str,
    log: int,
    node: bytes,
    device: bytes,
) -> Family | None:
    """Return what belongs to these documents; None if others wrote on them, or elsewhere."""
    register_number, row = db.execute(
        "SELECT register_number, number FROM cases WHERE id = ?", (case,)
    ).fetchone()
    documents = tuple(bytes(parse_document_id(text)) for text in ids)
    actors = {actor_id(node, device, 0, document): document for document in documents}
    search = db.execute("SELECT text FROM case_search WHERE rowid = ?", (row,)).fetchone()[0]
    number = register_number.partition("/")[0]
    tokens: list[Token] = [*ids, *documents, *actors, *names, *_numbers(number)]
    changes = _changes(db, documents, log, tokens)
    hashes = [change.hash for change in changes.values()]
    rows = tuple(_rows(db, ids, documents, [*tokens, *hashes]))
    written = {change.leaf.document for change in changes.values()}
    if written != set(documents) or len(hashes) != sum(row.table == "change" for row in rows):
        return None
    return Family(
        log=log,
        documents=documents,
        actors=actors,
        names=names,
        register_number=number,
        changes=changes,
        rows=rows,
        registers={row.values[0]: decode_registers(row.values[-1]) for row in rows
                   if row.table == "document"},
        search=search,
    )  # fmt: skip


def _changes(
    db: sqlite3.Connection, documents: Sequence[bytes], log: int, tokens: Sequence[Token]
) -> dict[int, _Change]:
    marks = ", ".join("?" * len(documents))
    found = db.execute(
        "SELECT c.seq, l.data FROM change c JOIN leaf l ON l.log = c.log AND l.seq = c.seq"
        f" WHERE c.document IN ({marks}) AND c.log = ? ORDER BY c.seq",
        (*documents, log),
    ).fetchall()
    changes: dict[int, _Change] = {}
    for seq, data in found:
        leaf = decode_leaf(bytes(data))
        body, is_deflated = _open(leaf.body)
        change_hash = parse_change(leaf.body).hash
        hashes = [change.hash for change in changes.values()]
        raw = [token.encode() if isinstance(token, str) else token for token in tokens]
        changes[seq] = _Change(
            leaf=leaf,
            body=body,
            hash=change_hash,
            is_deflated=is_deflated,
            tokens=tuple(token for token in (*raw, *hashes) if token in body),
        )
    return changes


def _open(chunk: bytes) -> tuple[bytes, bool]:
    position = 9
    while chunk[position] & 0x80:
        position += 1
    body = chunk[position + 1 :]
    if chunk[8] == _DEFLATED:
        return zlib.decompress(body, wbits=-zlib.MAX_WBITS), True
    return body, False


def _close(body: bytes, is_deflated: bool) -> tuple[bytes, bytes]:
    """Return the chunk around the body of a change, and the hash of the change."""
    change_hash = hashlib.sha256(_CHANGE + uleb(len(body)) + body).digest()
    kind = 1
    if is_deflated:
        # Quickly: the size on the disk is close, and the hash is over the body in the open.
        packer = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
        body, kind = packer.compress(body) + packer.flush(), _DEFLATED
    return MAGIC + change_hash[:4] + bytes([kind]) + uleb(len(body)) + body, change_hash


def _rows(
    db: sqlite3.Connection, ids: Sequence[str], documents: Sequence[bytes], tokens: Sequence[Token]
) -> Iterator[_Row]:
    for table, column in (*_BY_BLOB.items(), *_BY_TEXT.items()):
        keys: Sequence[Token] = documents if table in _BY_BLOB else ids
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})").fetchall()]
        numbered = columns.index(_NUMBERED[table]) if table in _NUMBERED else None
        for key in keys:
            for values in db.execute(f"SELECT * FROM {table} WHERE {column} = ?", (key,)):
                patches = [
                    (index, tuple(t for t in tokens if type(t) is type(value) and t in value))  # type: ignore[operator]
                    for index, value in enumerate(values)
                    if columns[index] != "registers"
                ]
                yield _Row(
                    table=table,
                    values=values,
                    patches=tuple(patch for patch in patches if patch[1]),
                    number=numbered,
                )


def copy_of(
    family: Family,
    rng: random.Random,
    names: Names,
    *,
    at_ms: int,
    number: int,
    first_seq: int,
    node: bytes,
    device: bytes,
) -> Copy:
    """Return a copy of a family.

    Args:
        family: the original.
        rng: source of the new ids and names.
        names: to take other names from.
        at_ms: time in the new ids; rising from copy to copy, so that rows arrive in order.
        number: of the new case, and in its register number.
        first_seq: number of its first leaf.
        node: key of the node that vouches for the writer.
        device: of the writer.
    """
    new: dict[Token, Any] = {}
    for document in family.documents:
        fresh = bytes(mint_document_id(at_ms, rng))
        new[document] = fresh
        new[document_text(document)] = document_text(fresh)
    for actor, document in family.actors.items():
        new[actor] = actor_id(node, device, 0, new[document])
    people = {name: names.other(rng, name) for name in family.names}
    new.update(people)
    others = _numbers(str(number).zfill(len(family.register_number)))
    numbers = dict(zip(_numbers(family.register_number), others, strict=True))
    new.update(numbers)
    new |= {key.encode(): value.encode() for key, value in new.items() if isinstance(key, str)}
    leaves: list[bytes] = []
    seqs: dict[int, int] = {}
    for seq, change in family.changes.items():
        body = change.body
        for token in change.tokens:
            body = body.replace(token, new[token])
        raw, new[change.hash] = _close(body, change.is_deflated)
        leaf = change.leaf._replace(document=new[change.leaf.document], body=raw)
        seqs[seq] = first_seq + len(leaves)
        leaves.append(leaf.encode())
    search = family.search
    for name, other in people.items():
        search = search.replace(fold(name), fold(other))
    for old, other in numbers.items():
        search = search.replace(fold(old), fold(other))
    return Copy(leaves, _copied_rows(family, new, seqs, number), search)


def _copied_rows(
    family: Family, new: Mapping[Token, Any], seqs: Mapping[int, int], number: int
) -> dict[str, list[tuple[Any, ...]]]:
    copied: dict[str, list[tuple[Any, ...]]] = {}
    for row in family.rows:
        values = list(row.values)
        for index, tokens in row.patches:
            for token in tokens:
                values[index] = values[index].replace(token, new[token])
        if row.table == "cases":
            values[0] = number
        elif row.number is not None:
            values[row.number] = seqs[values[row.number]]
        if row.table == "document":
            values[-1] = _registers(family.registers[row.values[0]], new, seqs)
        copied.setdefault(row.table, []).append(tuple(values))
    return copied


def _registers(old: Registers, new: Mapping[Token, Any], seqs: Mapping[int, int]) -> bytes:
    """Return the registers of a copied document: other actors, other leaves, other words."""
    text = {key: value for key, value in new.items() if isinstance(key, str)}

    def words(value: Any) -> Any:
        if isinstance(value, str):
            for key, other in text.items():
                value = value.replace(key, other)
        return value

    copied = Registers(
        kind=old.kind,
        maps={name: (op[0], new[op[1]]) for name, op in old.maps.items()},
        texts={name: (op[0], new[op[1]]) for name, op in old.texts.items()},
        fields={
            name: [
                s._replace(op=(s.op[0], new[s.op[1]]), value=words(s.value), seq=seqs[s.seq])
                for s in row
            ]
            for name, row in old.fields.items()
        },
        last_ops={new[actor]: last for actor, last in old.last_ops.items()},
        seqs={new[actor]: last for actor, last in old.seqs.items()},
        heads=tuple(sorted(new[head] for head in old.heads)),
    )
    return copied.encode()


def _numbers(number: str) -> tuple[str, str]:
    """Return a register number with the sign that tells it from the digits of an id."""
    return f"{number}/", f"-{number}"


def _shape(name: str) -> tuple[int, ...]:
    return tuple(len(letter.encode()) for letter in name)
