"""Applies the changes of a document by the rules of docs/PROTOCOL.md section 5 alone.

Part of record_checker.py, after change_reader.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from tests.independent.change_reader import (
    DELETE,
    MAKE_MAP,
    MAKE_TEXT,
    PLAIN,
    SET,
    TEXT,
    Change,
    Id,
    Operation,
    Value,
    need,
)


@dataclass(frozen=True)
class Entry:
    """A change with what its leaf says: the writer's device and the clock reading."""

    change: Change
    device: bytes
    hlc: int


class Past:
    """What a change builds on: all changes that lead to it."""

    def __init__(
        self, change: Change, changes: dict[bytes, Change], pasts: dict[bytes, set[bytes]]
    ):
        hashes = set(change.deps).union(*(pasts[dep] for dep in change.deps))
        pasts[change.hash] = hashes
        self.change = change
        self.last = max((changes[each].last for each in hashes), default=0)
        self.spans: dict[bytes, list[Change]] = {}
        for each in hashes:
            self.spans.setdefault(changes[each].actor, []).append(changes[each])

    def check_numbers(self) -> None:
        own = self.spans.get(self.change.actor, [])
        need(self.change.seq == len(own) + 1, "change does not build on its actor's last one")
        need(self.change.operations, "change without operations")
        need(self.change.start == self.last + 1, "operations are not numbered after their past")
        strangers = set(self.change.actors[1:]) - self.spans.keys() - {self.change.actor}
        need(not strangers, "change lists an actor that is not in its past")

    def check_known(self, operation: Id, by: Operation) -> None:
        """Refuse what is neither in the past nor earlier in the change itself."""
        counter, actor = operation
        is_past = any(counter <= each.last for each in self.spans.get(actor, []))
        is_own = actor == self.change.actor and self.change.start <= counter < by.id[0]
        need(counter >= 0 and (is_past or is_own), "operation works on what is not in its past")


def in_causal_order(entries: list[Entry]) -> Iterator[tuple[Entry, Past]]:
    """Yield each change after those that it builds on, with its past."""
    by_hash = {entry.change.hash: entry for entry in entries}
    need(len(by_hash) == len(entries), "change is in the file twice")
    changes = {key: entry.change for key, entry in by_hash.items()}
    pasts: dict[bytes, set[bytes]] = {}
    order = TopologicalSorter({key: change.deps for key, change in changes.items()})
    for key in order.static_order():
        need(key in by_hash, "change is missing")
        yield by_hash[key], Past(changes[key], changes, pasts)


def read_document(entries: list[Entry]) -> dict[str, Any]:
    """Apply all changes; return the kind, and for each field its values, the shown one first."""
    starts = [entry.change for entry in entries if not entry.change.deps]
    need(len(starts) == 1, "document has not one start")
    seqs = [(entry.change.actor, entry.change.seq) for entry in entries]
    need(len(set(seqs)) == len(seqs), "two changes of an actor have one number")
    kind, objects, made = read_start(starts[0])
    fields: dict[str, dict[Id, Value]] = {}
    replaced: set[Id] = set()
    events: dict[str, Entry] = {}
    letters: dict[Id | None, set[Id]] = {}
    for entry, past in in_causal_order(entries):
        past.check_numbers()
        for operation in entry.change.operations:
            if operation.id in made:
                continue
            check_operation(operation, objects, entry)
            for each in [*operation.replaces, *filter(None, [operation.place])]:
                past.check_known(each, operation)
            text = letters.setdefault(operation.target, set())
            need(operation.place is None or operation.place in text, "letter of another text")
            if operation.insert and operation.action != DELETE:
                text.add(operation.id)
            replaced.update(operation.replaces)
            if objects[operation.target] == "events":
                first = events.setdefault(str(operation.key), entry)
                need(first is entry, "event stands in two changes")
            if operation.action == SET and objects[operation.target] == "fields":
                fields.setdefault(str(operation.key), {})[operation.id] = operation.value
    shown = {
        key: [values[each] for each in sorted(values, reverse=True) if each not in replaced]
        for key, values in fields.items()
    }
    return {"kind": kind, "fields": {key: values for key, values in shown.items() if values}}


def read_start(change: Change) -> tuple[str, dict[Id | None, str], set[Id]]:
    """Return the kind, the name of each object, and the operations that made them."""
    kind: Value = None
    objects: dict[Id | None, str] = {}
    made: set[Id] = set()
    for operation in change.operations:
        path = (objects.get(operation.target, ""), operation.action)
        if operation.target is None and operation.key == "kind" and operation.action == SET:
            kind = operation.value
        elif operation.target is None:
            need(operation.action == MAKE_MAP, "root is misshapen")
            objects[operation.id] = str(operation.key)
        elif path == ("texts", MAKE_TEXT):
            objects[operation.id] = "text"
        else:
            continue
        need(not operation.replaces, "first change replaces something")
        made.add(operation.id)
    maps = sorted(name for name in objects.values() if name != "text")
    need(maps == ["events", "fields", "texts"], "root is misshapen")
    need(isinstance(kind, str) and kind, "kind is not a text")
    return str(kind), objects, made


def check_operation(operation: Operation, objects: dict[Id | None, str], entry: Entry) -> None:
    """Refuse what would be a dead letter."""
    place = objects.get(operation.target)
    need(place, "operation on the root or on an object that the document lacks")
    need((operation.key is None) == (place == "text"), "key of a map in a text, or none in a map")
    need(place != "texts", "texts are made with their document")
    if place == "fields":
        is_set = operation.action == SET and operation.kind in PLAIN
        need(operation.action == DELETE or is_set, "field is not a text or number")
    if place == "events":
        need(operation.action == SET and operation.kind == TEXT, "event is removed or no text")
        need(not operation.replaces, "event is changed")
        need(re.fullmatch(r"[0-9a-f]{24}", str(operation.key)), "event id")
        event_id = bytes.fromhex(str(operation.key))
        need(event_id[8:] == entry.device[:4], "event names another device")
        ahead = int.from_bytes(event_id[:8]) - entry.hlc
        need(0 <= ahead <= 255, "event is not of its leaf's time")
