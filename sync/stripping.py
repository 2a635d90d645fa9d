"""A leaf without what the receiver can work out from the log before it, and back again.

Left out of a change: Automerge's mark, checksum and length; the actor, which the writer and the
document give; the dependencies, when they are the document's last change in this log; the id of the
document, when an earlier leaf says it. What is left is an outline where it can be. Inside, ids
written as hexadecimal text become short tokens. What comes out is the same leaf to the byte, or the
leaf is sent as it is.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from crypto.identity import actor_of
from schemas.errors import RecordError
from schemas.hlc import HLC_MAX
from schemas.record import Leaf, LeafType, decode_leaf
from sync.change import MAGIC, Change, uleb
from sync.cursor import read_uleb
from sync.errors import FrameError
from sync.outline import NOTHING, Known, Outline, write_outline
from sync.outlined import Chunk, change_of
from sync.outlining import columns_of, known_of, outline_of, write_contents
from sync.tokens import History, Tokens, squeeze_alone

_CHANGE_CHUNK: Final = 1


class Tag:
    """How one leaf is written; plain numbers, because so many are looked at."""

    RAW: Final = 0
    CHANGE: Final = 1
    NEW_DOCUMENT: Final = 2
    OWN_DEPS: Final = 4
    OWN_ACTOR: Final = 8
    OUTLINE: Final = 16
    # The id of the new document is none of version 7.
    OTHER_ID: Final = 32


class Stripped(NamedTuple):
    """What is sent of one leaf; a tuple, because so many are made.

    Attributes:
        body: the whole leaf when the tag is RAW, else the rest of the change if it has no outline.
        back: how many leaves before this one the document's last change stands; 0 if new.
        document: 16 bytes of a new document.
        deps: hashes that are not the document's last change here.
        actor: of somebody else than the writer, which makes it a dead letter that is kept.
        written: outline of the change and the texts behind it, as they are sent.
        outline: what was read of that, with tokens; the texts behind it apart.
    """

    tag: int
    body: bytes = b""
    writer: int = 0
    hlc: int = 0
    back: int = 0
    document: bytes = b""
    deps: tuple[bytes, ...] = ()
    actor: bytes = b""
    written: tuple[bytes, bytes] = b"", b""
    outline: Outline | None = None
    texts: tuple[bytes, ...] = ()


class Whole(NamedTuple):
    """A leaf as it is.

    Attributes:
        leaf: what is in it; None if it is none.
        outline: of its change, as far as that was looked at.
        change: what it holds, if that was seen on the way.
    """

    data: bytes
    leaf: Leaf | None
    outline: Outline | None = None
    change: Change | None = None

    def trace(self) -> bytes:
        """Return what later frames may look back at, which the leaf alone tells."""
        if self.leaf is None or self.outline is None:
            return self.data
        return b"".join(write_outline(self.outline, partial(squeeze_alone, self.leaf)))


def read_whole(data: bytes) -> Whole:
    """Return a leaf with the outline of its change, if that has one."""
    try:
        leaf = decode_leaf(data)
    except RecordError:
        return Whole(data, None)
    parts = _open(leaf)
    outline = outline_of(parts[2]) if parts else None
    return Whole(data, leaf, outline)


def strip(data: bytes, seq: int, history: History) -> tuple[Stripped, Whole]:
    """Return a leaf without what history tells; as it is, if it cannot be rebuilt to the byte."""
    whole = read_whole(data)
    leaf = whole.leaf
    parts = None if leaf is None or not leaf.document else _open(leaf)
    writer = None if leaf is None else history.writer(leaf.writer)
    if leaf is None or parts is None or writer is None or _chunk(*parts)[0] != leaf.body:
        return Stripped(tag=Tag.RAW, body=data), whole
    deps, actor, rest = parts
    earlier = history.previous(leaf.document, seq)
    before = None if earlier is None else history.leaf(earlier)
    tag: int = Tag.CHANGE
    if before is None or earlier is None:
        tag |= Tag.NEW_DOCUMENT
        if not is_timed(leaf.document):
            tag |= Tag.OTHER_ID
    last = None if earlier is None else history.change(earlier)
    if list(deps) != _usual_deps(before, last):
        tag |= Tag.OWN_DEPS
    if actor != actor_of(writer, leaf.document):
        tag |= Tag.OWN_ACTOR
    known = _known(before, last)
    tokens = Tokens(leaf.document, leaf.hlc, writer, seq, before, history)
    written = b"", b""
    if whole.outline is not None and known is not None:
        tag |= Tag.OUTLINE
        written = write_outline(whole.outline.related(known), tokens.squeeze)
    return Stripped(
        tag=tag,
        body=b"" if tag & Tag.OUTLINE else tokens.squeeze(rest),
        writer=leaf.writer,
        hlc=leaf.hlc,
        back=0 if earlier is None else seq - earlier,
        document=leaf.document if tag & Tag.NEW_DOCUMENT else b"",
        deps=deps if tag & Tag.OWN_DEPS else (),
        actor=actor if tag & Tag.OWN_ACTOR else b"",
        written=written,
    ), whole


def rebuild(stripped: Stripped, seq: int, history: History) -> Whole:
    """Return the leaf.

    Raises:
        FrameError: history lacks what it builds on (`frame_early`), or it is no leaf at all.
    """
    if stripped.tag == Tag.RAW:
        return read_whole(stripped.body)
    before = last = None
    document = stripped.document
    if not stripped.tag & Tag.NEW_DOCUMENT:
        before = history.leaf(seq - stripped.back) if stripped.back <= seq else None
        if before is None:
            raise FrameError("frame_early", "the leaf builds on one that has not arrived")
        document, last = before.document, history.change(seq - stripped.back)
    writer = history.writer(stripped.writer)
    if writer is None:
        raise FrameError("frame_early", "the leaf's writer has not arrived")
    if len(document) != 16 or not 0 <= stripped.hlc <= HLC_MAX:
        raise FrameError("frame_malformed", "the leaf's document or clock is none")
    own_deps = stripped.tag & Tag.OWN_DEPS
    deps = list(stripped.deps) if own_deps else _usual_deps(before, last)
    own_actor = stripped.tag & Tag.OWN_ACTOR
    actor = stripped.actor if own_actor else actor_of(writer, document)
    tokens = Tokens(document, stripped.hlc, writer, seq, before, history)
    outline = stripped.outline
    if outline is None:
        rest = tokens.expand(stripped.body)
    else:
        known = _known(before, last)
        if known is None:
            raise FrameError("frame_malformed", "an outline on what has none")
        outline = outline.filled(stripped.texts, tokens.expand).resolved(known)
        outline.check()
        columns = columns_of(outline)
        rest = write_contents(outline, columns)
    body, digest = _chunk(deps, actor, rest)
    leaf = Leaf(LeafType.CHANGE.value, stripped.writer, document, stripped.hlc, body)
    if outline is None:
        return read_whole(leaf.encode())
    change = change_of(outline, columns, Chunk(body, digest, tuple(deps), actor))
    return Whole(leaf.encode(), leaf, outline, change)


def _known(before: Leaf | None, last: Change | None) -> Known | None:
    """Return what an outline may build on; None if there can be no outline.

    Args:
        before: the document's last change.
        last: what it holds, if somebody has looked.
    """
    if last is not None:
        return last.last_op, last.actors
    if before is None:
        return NOTHING
    parts = _open(before)
    return None if parts is None else known_of(parts[1], parts[2])


def is_timed(document: bytes) -> bool:
    """Tell whether an id is a UUID of version 7, which begins with a time."""
    return document[6] >> 4 == 7 and document[8] >> 6 == 2


def _chunk(deps: Sequence[bytes], actor: bytes, rest: bytes) -> tuple[bytes, bytes]:
    """Return a change and its hash."""
    body = b"".join([uleb(len(deps)), *deps, uleb(len(actor)), actor, rest])
    framed = bytes([_CHANGE_CHUNK]) + uleb(len(body)) + body
    digest = hashlib.sha256(framed).digest()
    return MAGIC + digest[:4] + framed, digest


def _open(leaf: Leaf) -> tuple[tuple[bytes, ...], bytes, bytes] | None:
    """Return (deps, actor, the rest) of a change; None if its chunk has another layout."""
    chunk = leaf.body
    if (
        leaf.type != LeafType.CHANGE
        or chunk[:4] != MAGIC
        or len(chunk) < 12
        or chunk[8] != _CHANGE_CHUNK
    ):
        return None
    try:
        length, at = read_uleb(chunk, 9)
        if at + length != len(chunk):
            return None
        count, at = read_uleb(chunk, at)
        deps = tuple(chunk[at + 32 * index : at + 32 * index + 32] for index in range(count))
        size, at = read_uleb(chunk, at + 32 * count)
    except FrameError:
        return None
    return deps, chunk[at : at + size], chunk[at + size :]


def _usual_deps(before: Leaf | None, last: Change | None) -> list[bytes]:
    if last is not None:
        return [last.hash]
    if before is None or len(before.body) < 12 or before.body[8] != _CHANGE_CHUNK:
        return []
    return [hashlib.sha256(before.body[8:]).digest()]
