"""The only module that knows the Automerge binding: writes changes, checks them, reads texts.

The binding may panic, which reaches Python as a BaseException; it becomes a ChangeError here.
Recently used documents stay open, because loading one again for each of its changes costs more than
the change.
"""

import difflib
import itertools
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from automerge.core import ROOT, Document, Message, ObjType, ScalarType, SyncState

from schemas.ids import DocumentId
from sync.change import uleb
from sync.errors import ChangeError

# Most changes need no open document, so only those that people are writing in stay open.
_OPEN_DOCUMENTS_MAX = 64
# What one side of a conversation about a document remembers; never stored.
Talk = SyncState
FIELDS, TEXTS, EVENTS, KIND = "fields", "texts", "events", "kind"
# A sentence with what ends it, or only such signs.
_SENTENCES = re.compile(r"[^.!?;\n]+[.!?;\n]*|[.!?;\n]+")
_WORDS = re.compile(r"\w+|\W")
# Pairs of equal words to look at, at most; a second's work.
_PAIRS_MAX = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What one writer does to one document in one change.

    Attributes:
        kind: set when this edit creates the document.
        fields: new values of descriptive fields; None removes a value.
        texts: new whole contents of long texts.
        events: JSON texts by event id.
        base: heads that the writer had seen; None means everything that is here.
    """

    kind: str | None = None
    fields: Mapping[str, str | int | None] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)
    base: tuple[bytes, ...] | None = None


class _Transaction(Protocol):
    """What is used of the binding's transaction; its own type stub lacks half of it."""

    def put(self, obj: bytes, prop: str, kind: ScalarType, value: Any, /) -> None: ...
    def put_object(self, obj: bytes, prop: str, kind: ObjType, /) -> bytes: ...
    def get(self, obj: bytes, prop: str, /) -> tuple[Any, bytes] | None: ...
    def delete(self, obj: bytes, prop: str, /) -> None: ...
    def text(self, obj: bytes, /) -> str: ...
    def splice_text(self, obj: bytes, at: int, deleted: int, text: str, /) -> None: ...


class Documents:
    """Automerge documents by id, opened from their changes when needed.

    Args:
        load_changes: returns all raw changes of a document, in any order that respects deps.
    """

    def __init__(self, load_changes: Callable[[DocumentId], Sequence[bytes]]) -> None:
        """Start with nothing open."""
        self._load_changes = load_changes
        self._open: OrderedDict[bytes, Document] = OrderedDict()

    def forget_all(self) -> None:
        """Close everything: what a rolled-back transaction applied is not true any more."""
        self._open.clear()

    def close(self, document_id: DocumentId) -> None:
        """Close a document, which is opened from its changes when it is needed again."""
        self._open.pop(document_id, None)

    def heads(self, document_id: DocumentId) -> tuple[bytes, ...]:
        """Return the heads of a document, sorted."""
        document = self._get(document_id)
        with self._translated(document_id):
            return tuple(sorted(document.get_heads()))

    def text(self, document_id: DocumentId, name: str) -> str:
        """Return a long text, empty when nobody wrote it."""
        document = self._get(document_id)
        with self._translated(document_id):
            texts = document.get(ROOT, TEXTS)
            found = document.get(texts[1], name) if texts else None
            return document.text(found[1]) if found else ""

    def changes(self, document_id: DocumentId) -> list[bytes]:
        """Return all raw changes in causal order."""
        document = self._get(document_id)
        with self._translated(document_id):
            return [bytes(change.raw_bytes) for change in document.get_changes([])]

    def write(self, document_id: DocumentId, actor: bytes, edit: Edit) -> bytes | None:
        """Return the change that makes the edit, without applying it here; None if it is empty.

        Raises:
            ChangeError: the binding refused.
        """
        source = None if edit.kind else self._get(document_id)
        with self._translated(document_id):
            target = Document(actor) if source is None else _branch(source, actor, edit.base)
            before = target.get_heads()
            with target.transaction() as transaction:
                _put(target, cast("_Transaction", transaction), edit)
            made = target.get_changes(before)
            return bytes(made[-1].raw_bytes) if made else None

    def apply(self, document_id: DocumentId, raw: bytes, change_hash: bytes, *, new: bool) -> None:
        """Apply one change whose dependencies are all applied.

        Args:
            document_id: where it belongs.
            raw: the change.
            change_hash: its hash, which must be among the heads afterwards.
            new: the document has no changes yet.

        Raises:
            ChangeError: the binding refused it, or took it without applying it.
        """
        document = Document() if new else self._get(document_id)
        with self._translated(document_id):
            _receive(document, [raw])
            if change_hash not in document.get_heads():
                raise ChangeError("change_not_applied", "the change does not fit its document")
        self._keep(document_id, document)

    def hear(self, document_id: DocumentId, talk: Talk, message: bytes) -> None:
        """Take note of what a peer says it has; the message must bring no changes.

        Raises:
            ChangeError: the binding refused.
        """
        document = self._get(document_id)
        with self._translated(document_id):
            document.receive_sync_message(talk, Message.decode(message))

    def say(self, document_id: DocumentId, talk: Talk) -> bytes | None:
        """Return what a peer lacks and what is asked of it; None when there is nothing to say.

        Raises:
            ChangeError: the binding refused.
        """
        document = self._get(document_id)
        with self._translated(document_id):
            message = cast("Message | None", document.generate_sync_message(talk))
            return None if message is None else bytes(message.encode())

    def _get(self, document_id: DocumentId) -> Document:
        document = self._open.get(document_id)
        if document is None:
            # Outside the translation: a disk that fails is not a change that is refused.
            changes = self._load_changes(document_id)
            with self._translated(document_id):
                document = Document()
                _receive(document, changes)
            self._keep(document_id, document)
        else:
            self._open.move_to_end(document_id)
        return document

    def _keep(self, document_id: DocumentId, document: Document) -> None:
        self._open[document_id] = document
        self._open.move_to_end(document_id)
        if len(self._open) > _OPEN_DOCUMENTS_MAX:
            self._open.popitem(last=False)

    @contextmanager
    def _translated(self, document_id: DocumentId) -> Iterator[None]:
        """Turn whatever the binding raises, panics included, into a ChangeError.

        The document is opened anew afterwards: a panic leaves it half changed and locked for good.
        """
        try:
            yield
        except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
            raise
        except BaseException as error:
            self._open.pop(document_id, None)
            if isinstance(error, ChangeError):
                raise
            raise ChangeError("automerge_refused", f"Automerge refused: {error!s:.200}") from error


def _branch(document: Document, actor: bytes, base: tuple[bytes, ...] | None) -> Document:
    """Return a copy at the base, with the actor's own changes, for an edit made apart.

    An actor numbers its changes without gaps, so it always continues from its own last one.
    """
    if base is not None and set(base) != set(document.get_heads()):
        copy = Document()
        _receive(copy, _past(document, base, actor))
    else:
        copy = document.fork()
    copy.set_actor(actor)
    return copy


def _past(document: Document, base: tuple[bytes, ...], actor: bytes) -> list[bytes]:
    """Return the raw changes of the base and of the actor, with all they build on.

    The binding's own fork_at panics where a change is reached by two ways.
    """
    changes = {bytes(change.hash): change for change in document.get_changes([])}
    if not set(base) <= changes.keys():
        raise ChangeError("base_unknown", "the version that was edited is not here")
    needed = {*base, *(key for key, made in changes.items() if bytes(made.actor_id) == actor)}
    # They come in causal order, so each is met before what it builds on.
    for key in reversed(changes):
        if key in needed:
            needed.update(bytes(dep) for dep in changes[key].deps)
    return [bytes(made.raw_bytes) for key, made in changes.items() if key in needed]


def _put(document: Document, transaction: "_Transaction", edit: Edit) -> None:
    if edit.kind:
        transaction.put(ROOT, KIND, ScalarType.Str, edit.kind)
        maps = {
            name: transaction.put_object(ROOT, name, ObjType.Map)
            for name in (FIELDS, TEXTS, EVENTS)
        }
    else:
        maps = {name: _map_id(document, name) for name in (FIELDS, TEXTS, EVENTS)}
    for name, value in edit.fields.items():
        _put_field(transaction, maps[FIELDS], name, value)
    for event, body in edit.events.items():
        transaction.put(maps[EVENTS], event, ScalarType.Str, body)
    for name, content in edit.texts.items():
        _put_text(transaction, maps[TEXTS], name, content)


def _map_id(document: Document, name: str) -> bytes:
    found = document.get(ROOT, name)
    if found is None:
        raise ChangeError("document_malformed", f"the document has no {name}")
    return found[1]


def _put_field(
    transaction: "_Transaction", fields: bytes, name: str, value: str | int | None
) -> None:
    if value is None:
        if transaction.get(fields, name) is not None:
            transaction.delete(fields, name)
    elif isinstance(value, int):
        transaction.put(fields, name, ScalarType.Int, value)
    else:
        transaction.put(fields, name, ScalarType.Str, value)


def _put_text(transaction: "_Transaction", texts: bytes, name: str, content: str) -> None:
    found = transaction.get(texts, name)
    if found is None:
        # Empty ones too: texts are made with their document and never again.
        made = transaction.put_object(texts, name, ObjType.Text)
        if content:
            transaction.splice_text(made, 0, 0, content)
        return
    target = found[1]
    # From the end to the start, so that earlier positions stay true.
    for start, end, words in reversed(list(_splices(transaction.text(target), content))):
        transaction.splice_text(target, start, end - start, words)


def _splices(old: str, new: str) -> Iterator[tuple[int, int, str]]:
    """Yield the (start, end, replacement) word by word that turn old into new.

    Concurrent edits of other sentences then merge instead of doubling the text. Whole sentences are
    compared first: the words of a long statement repeat, and pairing them alone takes minutes.
    """
    sentences = _differences(_SENTENCES.findall(old), _SENTENCES.findall(new))
    for start, _, before, after in sentences:
        for first, last, _, words in _differences(_WORDS.findall(before), _WORDS.findall(after)):
            yield start + first, start + last, words


def _differences(old: list[str], new: list[str]) -> Iterator[tuple[int, int, str, str]]:
    """Yield (start, end, old part, new part) where they differ, in letters of the old."""
    starts = [0, *itertools.accumulate(map(len, old))]
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[~i] != new[~i]), shorter - head)
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    counts = Counter(part for part in new if not part.isspace())
    if sum(counts[part] for part in old) > _PAIRS_MAX:
        spans = [(0, len(old), 0, len(new))]
    else:
        matcher = difflib.SequenceMatcher(str.isspace, old, new, autojunk=False)
        spans = [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    for first, last, new_first, new_last in spans:
        start, end = starts[head + first], starts[head + last]
        yield start, end, "".join(old[first:last]), "".join(new[new_first:new_last])


def _receive(document: Document, changes: Iterable[bytes]) -> None:
    """Apply raw changes in any order through a sync message, the binding's only door for them.

    Layout: automerge rust/automerge/src/sync.rs, message version 1 without heads, needs and haves.
    """
    chunks = list(changes)
    if chunks:
        body = b"".join(uleb(len(chunk)) + chunk for chunk in chunks)
        message = Message.decode(b"\x42\x00\x00\x00" + uleb(len(chunks)) + body)
        document.receive_sync_message(SyncState(), message)
