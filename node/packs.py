"""Packs as files: who they are for, writing them part by part, and what a file is before it counts.

A part is written beside its place under a hidden name, flushed to the disk and renamed: what stands
under a pack's name is whole.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import cbor2

from crypto.certificates import Subject, chain_from_pem, chain_to_der, verify_chain
from crypto.sealed_stream import StreamSealer, sealed_bytes
from node.clock import PLACE
from node.errors import NodeError
from node.folder import NodeFolder, is_directly_below
from node.station import Station
from schemas.limits import PACK_PART_BYTES_DEFAULT, PACK_PARTS_MAX
from sync.errors import PackError
from sync.pack import (
    PackPlan,
    closing,
    file_entries,
    files_to_take,
    leaf_entries,
    opening,
    plan_pack,
)
from sync.pack_entries import END_BYTES, PACK_ID_BYTES, About, End, encode_entry
from sync.session import Kinship
from sync.store import Peer

SUFFIX: Final = ".tdpack"
# A piece of a file carries so many bytes of its own, in so few of the file.
_PIECE_SHARE: Final = 1_000

FilesChoice = Literal["none", "missing", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the making or taking in of a pack has come.

    Attributes:
        done, total: bytes of the file `name` that is checked or taken in; leaves, or bytes of
            files, that are written.
    """

    phase: Literal["checking", "taking", "leaves", "files"]
    done: int
    total: int
    name: str = ""


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A node directly above or below ours, by its certificate.

    Attributes:
        chain: its certificates as DER, its own first, without the root.
    """

    subject: Subject
    chain: tuple[bytes, ...]
    kinship: Kinship

    def as_peer(self) -> Peer:
        """Return it as the store remembers it."""
        return Peer.named(self.subject, self.chain, is_child=self.kinship == "child")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a person chose for a pack.

    Attributes:
        part_bytes: no part is longer.
        everything: also what the receiver acknowledged.
    """

    out: Path
    files: FilesChoice = "missing"
    part_bytes: int = PACK_PART_BYTES_DEFAULT
    everything: bool = False


@dataclass(slots=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        parts: the files, with their sizes.
        files_left_out: files of records that are too large for a part.
    """

    plan: PackPlan
    parts: list[tuple[Path, int]] = field(default_factory=list)
    files: int = 0
    files_bytes: int = 0
    files_left_out: list[bytes] = field(default_factory=list)


# Who it is for, or from


def relative_of(folder: NodeFolder, chain: list[bytes], subject: Subject) -> Relative:
    """Return how a node stands to ours.

    Raises:
        PackError: it stands neither directly above nor directly below.
    """
    own = folder.subject
    if is_directly_below(own, subject):
        return Relative(subject=subject, chain=tuple(chain), kinship="parent")
    if is_directly_below(subject, own):
        return Relative(subject=subject, chain=tuple(chain), kinship="child")
    raise PackError(
        "pack_not_a_neighbour",
        f"{subject.name} ({subject.tier.value} {subject.code}) stands neither directly above nor"
        f" directly below {own.name} ({own.tier.value} {own.code})",
        "Packs go from an outpost to its commune, from there to the province and to the centre, and"
        " back.",
    )


def find_relative(station: Station, to: str) -> Relative:
    """Return the node that a pack is for.

    Args:
        station: ours.
        to: `parent`, the code of a node that is known here, or the path of its chain file.

    Raises:
        NodeError: the file cannot be read, or the node is not known.
        CryptoError: its certificate is not acceptable.
        PackError: it is no neighbour.
    """
    folder = station.folder
    if to != "parent" and not to.replace(".", "").isdigit():
        return _read_relative(folder, Path(to))
    code = (folder.subject.code.rpartition(".")[0] or "0") if to == "parent" else to
    chains = [chain_to_der(folder.chain[at:]) for at in range(1, len(folder.chain))]
    chains += [list(cbor2.loads(peer.chain)) for peer in station.replica.store.peers()]
    found: dict[bytes, Relative] = {}
    for chain in chains:
        subject = station.replica.verify_chain(chain)
        if subject.code == code and subject.peer_id != folder.subject.peer_id:
            found[subject.peer_id] = relative_of(folder, chain, subject)
    revocations = station.replica.intake.revocations
    # A place that has a new key is meant by it.
    counting = {key: one for key, one in found.items() if not revocations.of(key, code)}
    found = counting or found
    if len(found) == 1:
        return next(iter(found.values()))
    what = "more than one node" if found else "no node"
    raise NodeError(
        "receiver_unknown",
        f"This node knows {what} with the code {code}.",
        "Give the chain file with which the receiver was enrolled: --to chain.pem",
    )


def _read_relative(folder: NodeFolder, path: Path) -> Relative:
    try:
        chain = chain_from_pem(path.read_bytes())
    except OSError as error:
        raise NodeError("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if chain[-1] == folder.root:
        chain.pop()
    if chain and chain[-1].issuer != folder.root.subject:
        # A child's certificate alone; ours completes it.
        chain += folder.chain
    subject = verify_chain(chain, folder.root, None)
    return relative_of(folder, chain_to_der(chain), subject)


def is_known(station: Station, relative: Relative) -> bool:
    """Tell whether what concerns a child is being kept for it already; a parent needs nothing."""
    peer = station.replica.store.peer(relative.subject.peer_id)
    return relative.kinship == "parent" or (peer is not None and peer.is_child)


# Writing


def export_pack(
    station: Station,
    relative: Relative,
    choices: Choices,
    *,
    now_ms: int,
    entropy: Callable[[int], bytes],
    progress: Progress,
) -> Exported:
    """Write a pack beside a node that may be running; nothing of the node changes.

    Raises:
        NodeError: the medium cannot be written.
        PackError: there is nothing to tell, or it would have too many parts.
        StoreError: the database failed.
    """
    replica = station.replica
    for known in replica.intake.revocations.of(relative.subject.peer_id, relative.subject.code):
        raise PackError(
            "key_revoked",
            f"nothing is written for a revoked node: {known.sentence()}",
            "Its office needs a node with a new key.",
        )
    # One moment; what it found under heads does not change afterwards.
    replica.store.db.execute("BEGIN")
    try:
        plan = plan_pack(replica, relative.subject, relative.kinship, everything=choices.everything)
        chosen: list[tuple[bytes, int]] = []
        if choices.files != "none":
            chosen = files_to_take(
                replica,
                relative.subject,
                relative.kinship,
                plan,
                everything=choices.files == "all",
            )
    finally:
        replica.store.db.execute("COMMIT")
    if plan.is_empty and not chosen:
        raise PackError("pack_empty", f"there is nothing to take along to {relative.subject.name}")
    with _Writer(station, relative, choices, plan, now_ms=now_ms, entropy=entropy) as writer:
        _write_leaves(station, writer, plan, progress)
        _write_files(station, writer, chosen, progress)
        writer.close_part(is_last=True)
    return writer.exported


def _write_leaves(station: Station, writer: "_Writer", plan: PackPlan, progress: Progress) -> None:
    done = 0
    for part in plan.ranges:
        for entry, count in leaf_entries(station.replica, part):
            data = encode_entry(entry)
            writer.make_room(len(data))
            writer.write(data)
            done += count
            progress(Step(phase="leaves", done=done, total=plan.leaves))


def _write_files(
    station: Station, writer: "_Writer", chosen: list[tuple[bytes, int]], progress: Progress
) -> None:
    exported, total = writer.exported, sum(size for _, size in chosen)
    for sha256, size in chosen:
        if not station.blobs.holds(sha256):
            continue
        # A file is in one part whole, so that each part can be taken in alone.
        if not writer.make_room(size + size // _PIECE_SHARE + 64):
            exported.files_left_out.append(sha256)
            continue
        for piece in file_entries(station.blobs, sha256):
            writer.write(encode_entry(piece))
            written = exported.files_bytes + piece.offset
            progress(Step(phase="files", done=written, total=total))
        exported.files += 1
        exported.files_bytes += size


class _Writer:
    """Writes entries into parts.

    Attributes:
        exported: what was written so far.
    """

    def __init__(
        self,
        station: Station,
        relative: Relative,
        choices: Choices,
        plan: PackPlan,
        *,
        now_ms: int,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._station, self._relative, self._choices = station, relative, choices
        self._now_ms, self._entropy = now_ms, entropy
        self._pack_id = entropy(PACK_ID_BYTES)
        self._opening = b"".join(encode_entry(entry) for entry in opening(plan, now_ms))
        self._closing = b"".join(encode_entry(entry) for entry in closing(plan))
        self._part: _Part | None = None
        self.exported = Exported(plan=plan)

    def __enter__(self) -> "_Writer":
        """Prepare the folder."""
        sweep(self._choices.out)
        self._open_part()
        return self

    def __exit__(self, *_error: object) -> None:
        """Throw away a part that was not finished."""
        if self._part is not None:
            self._part.file.discard()

    def make_room(self, size: int) -> bool:
        """Begin another part if so many bytes more would be too many for this one.

        Returns:
            Whether there is room; in a part that is empty there is for what is not a file.
        """
        if self._fits(size):
            return True
        if self._current.plain_bytes > len(self._opening):
            self.close_part(is_last=False)
            self._open_part()
        return self._fits(size)

    def write(self, data: bytes) -> None:
        """Put an entry, or a part of one, into the part."""
        part = self._current
        part.plain_bytes += len(data)
        part.file.write(part.sealer.update(data))

    def close_part(self, *, is_last: bool) -> None:
        """End the part and give it its name."""
        part = self._current
        self.write(self._closing + encode_entry(End(is_last)))
        part.file.write(part.sealer.finish())
        self.exported.parts.append(part.file.keep())
        self._part = None

    @property
    def _current(self) -> "_Part":
        assert self._part is not None
        return self._part

    def _fits(self, size: int) -> bool:
        part = self._current
        plain = part.plain_bytes + size + len(self._closing) + END_BYTES
        return len(part.sealer.head) + sealed_bytes(plain) <= self._choices.part_bytes

    def _open_part(self) -> None:
        part = len(self.exported.parts) + 1
        if part > PACK_PARTS_MAX:
            raise PackError("pack_too_long", "the pack has too many parts", "Make larger ones.")
        own, peer = self._station.folder, self._relative.subject
        about = About(pack_id=self._pack_id, part=part, made_ms=self._now_ms, receiver=peer.code)
        sealer = StreamSealer(
            own.key,
            chain_to_der(own.chain),
            peer.office_public,
            about.encode(),
            self._entropy(32),
        )
        made = datetime.fromtimestamp(self._now_ms / 1000, PLACE)
        name = (
            f"tiepdan-{own.subject.code}-to-{peer.code}-{made:%Y%m%d-%H%M%S}"
            f"-{self._pack_id[:3].hex()}-part{part:03}{SUFFIX}"
        )
        self._part = _Part(_PartFile(self._choices.out, name), sealer)
        self._part.file.write(sealer.head)
        self.write(self._opening)


class _PartFile:
    """A file that gets its name when it is whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._hidden = folder / f".{name}.tmp"
        self._size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._hidden.open("wb")
            # Held as long as it is being written; the next export sweeps away what nobody holds.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise medium_error(error, folder) from error

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise medium_error(error, self._path.parent) from error
        self._size += len(data)

    def keep(self) -> tuple[Path, int]:
        """Make the file durable under its name; return it with its size."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._hidden.replace(self._path)
            self._file.close()
            descriptor = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise medium_error(error, self._path.parent) from error
        return self._path, self._size

    def discard(self) -> None:
        try:
            self._hidden.unlink(missing_ok=True)
            self._file.close()
        except OSError as error:
            # What waits in memory cannot be written to a medium that is full or gone.
            raise medium_error(error, self._path.parent) from error


@dataclass(slots=True)
class _Part:
    """The part that is being written."""

    file: _PartFile
    sealer: StreamSealer
    plain_bytes: int = 0


def sweep(folder: Path) -> None:
    """Delete what an export that was killed left half written."""
    for left in folder.glob(f".tiepdan-*{SUFFIX}.tmp"):
        try:
            with left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
        except OSError:
            # Somebody writes it, or it is not ours to delete.
            continue


def medium_error(error: OSError, folder: Path) -> NodeError:
    """Return a failed operation on a stick as an error that a person can act upon."""
    hint = "Parts that stand under their names are whole and can be taken in."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NodeError("medium_full", f"There is no room left in {folder}. {hint}")
    if error.errno == errno.EFBIG:
        return NodeError(
            "medium_limited",
            f"{folder} takes no file that long.",
            "Make smaller parts: --max-size 3900M",
        )
    return NodeError("medium_error", f"{folder} cannot be used: {error.strerror or error}.", hint)
