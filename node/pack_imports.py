"""Taking packs in: each file is read and authenticated to its end before anything of it counts."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol, TypeVar

from crypto.certificates import Subject, chain_from_der, verify_chain
from crypto.errors import CryptoError, SealError
from crypto.identity import log_id
from crypto.sealed_stream import (
    PREFIX_BYTES,
    StreamHead,
    StreamOpener,
    head_bytes,
    open_stream,
    read_head,
)
from node.errors import NodeError
from node.folder import NodeFolder, expiry_ms
from node.packs import SUFFIX, Progress, Relative, Step, relative_of
from node.station import Station
from schemas.codes import Tier
from schemas.wire import Frame
from sync.errors import LinkError, PackError, StoreError
from sync.log import UP
from sync.pack import Outcome, PartsTaken, Unpacker, parts_taken
from sync.pack_entries import About, Entry, EntryReader, Messages, Piece, decode_about
from sync.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T")

_READ_BYTES: Final = 1 << 20
# So much is taken in in one transaction: each waits for the disk once.
_BATCH_BYTES: Final = 1 << 20

Refusal = CryptoError | PackError | NodeError | LinkError


class Transact(Protocol):
    """Runs work(now_ms) in a transaction of the station, where that may be used."""

    def __call__(self, work: Callable[[int], T], /) -> T:
        """Return what it returned, once that is durable."""


def alone(station: Station, clock_ms: Callable[[], int]) -> Transact:
    """Return how to work with a station that nobody else uses."""

    def transact(work: Callable[[int], T], /) -> T:
        with station.replica.transaction():
            return work(clock_ms())

    return transact


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file that is a part of a pack for us, authenticated to its end.

    Attributes:
        leaves: how many of each log are in it, by log id.
        files: how many files, and their bytes.
        is_last: no other part follows.
    """

    path: Path
    sender: Relative
    about: About
    size_bytes: int
    leaves: dict[bytes, int]
    files: int
    files_bytes: int
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """How much of what was written here is held above."""

    written: int = 0
    by_province: int = 0
    by_centre: int = 0


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of one part.

    Attributes:
        refusal: why it was not taken in, or only to some point.
        leaves_new: of those in it that were not here before.
        leaves_waiting: of its logs, stored but not in use, because leaves before them are missing.
        was_known: this part had been taken in before.
        revoked: what was said of its sender's key, if it was revoked.
    """

    path: Path
    part: Part | None = None
    refusal: Refusal | None = None
    leaves_new: int = 0
    leaves_waiting: int = 0
    was_known: bool = False
    revoked: str = ""
    outcome: Outcome = field(default_factory=Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of all files.

    Attributes:
        newest: which parts of each sender's newest pack were taken in by now.
        others: packs in the folders given that are for other offices.
        before, after: what the tiers above had confirmed.
    """

    taken: list[Taken]
    newest: list[tuple[Subject, PartsTaken]]
    others: list[Path]
    before: Confirmed
    after: Confirmed


def import_packs(
    station: Station, paths: Sequence[Path], transact: Transact, progress: Progress
) -> Imported:
    """Take packs in; of one that is refused nothing is kept.

    Args:
        station: ours.
        paths: files, or folders of them.
        transact: all that touches the database is done by it, a little at a time.
        progress: told what is going on now and then.

    Raises:
        NodeError: there is no pack.
        StoreError: the disk refused; what was taken in before is safe.
    """
    files, others = _files(paths, station.folder)
    before = transact(lambda _: confirmed(station))
    taken = [_check(station.folder, path, progress) for path in files]
    ready = sorted((t for t in taken if t.part is not None), key=_order)
    for _ in range(2):
        for found in ready:
            _take_in(station, found, transact, progress)
        # Leaves that came some other way did not add up, and were thrown away: now they come anew.
        if not any(found.outcome.is_in_doubt for found in ready):
            break
    return Imported(
        taken=taken,
        newest=transact(lambda _: list(_newest(station, ready))),
        others=others,
        before=before,
        after=transact(lambda _: confirmed(station)),
    )


def _newest(station: Station, ready: Iterable[Taken]) -> Iterator[tuple[Subject, PartsTaken]]:
    parts = [taken.part for taken in ready if taken.part is not None]
    for subject in {part.sender.subject.peer_id: part.sender.subject for part in parts}.values():
        found = parts_taken(station.replica, subject)
        if found is not None:
            yield subject, found


def _order(taken: Taken) -> tuple[bytes, int, int]:
    assert taken.part is not None
    about = taken.part.about
    return taken.part.sender.subject.peer_id, about.made_ms, about.part


def confirmed(station: Station) -> Confirmed:
    """Return how much of what was written here is held above."""
    replica = station.replica
    own = replica.store.find_log(log_id(replica.key.peer_id, UP, replica.epoch))
    if own is None:
        return Confirmed()
    return Confirmed(
        written=own.size,
        by_province=replica.store.cosigned_size(own, Tier.PROVINCE),
        by_centre=replica.store.cosigned_size(own, Tier.CENTRE),
    )


def _files(paths: Sequence[Path], folder: NodeFolder) -> tuple[list[Path], list[Path]]:
    """Return the files to look at; of folders those that may be for us, and the others."""
    files: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        for file in sorted(path.glob(f"*{SUFFIX}")):
            (others if _is_for_another(file, folder) else files).append(file)
    if not files and not others:
        names = ", ".join(str(path) for path in paths)
        raise NodeError("pack_missing", f"There is no pack (*{SUFFIX}) in {names}.")
    return files, others


def _is_for_another(path: Path, folder: NodeFolder) -> bool:
    try:
        with path.open("rb") as file:
            head = _read_head(file)
    except (OSError, CryptoError):
        return False
    return not folder.keyring.has(head.receiver)


# Reading


def _check(folder: NodeFolder, path: Path, progress: Progress) -> Taken:
    """Read a file to its end, and say what it is."""
    try:
        return Taken(path=path, part=_read_part(folder, path, progress))
    except (CryptoError, PackError, NodeError) as error:
        return Taken(path=path, refusal=error)


def _read_part(folder: NodeFolder, path: Path, progress: Progress) -> Part:
    leaves: dict[bytes, int] = {}
    files: dict[bytes, int] = {}
    is_last = False
    with _OpenPart(folder, path) as opened:
        for entry in opened.entries(_stepped("checking", path, progress)):
            match entry:
                case Messages():
                    for message in entry.messages:
                        if isinstance(message, Frame):
                            count = leaves.get(message.log, 0) + len(message.leaves)
                            leaves[message.log] = count
                case Piece():
                    files[entry.sha256] = entry.total
                case _:
                    is_last = entry.is_last
        return Part(
            path=path,
            sender=opened.sender,
            about=opened.about,
            size_bytes=opened.size_bytes,
            leaves=leaves,
            files=len(files),
            files_bytes=sum(files.values()),
            is_last=is_last,
        )


def _stepped(
    phase: Literal["checking", "taking"], path: Path, progress: Progress
) -> Callable[[int, int], None]:
    return lambda done, total: progress(Step(phase=phase, done=done, total=total, name=path.name))


class _OpenPart:
    """A file whose head is acceptable.

    Attributes:
        sender: who made it.
        about: which part of which pack it is.
        size_bytes: of the file.
    """

    sender: Relative
    about: About
    size_bytes: int

    def __init__(self, folder: NodeFolder, path: Path) -> None:
        self._folder, self._path = folder, path

    def __enter__(self) -> "_OpenPart":
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise _unreadable(self._path, error) from error
        try:
            self._open()
        except OSError as error:
            self._file.close()
            raise _unreadable(self._path, error) from error
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def _open(self) -> None:
        self.size_bytes = self._path.stat().st_size
        head = _read_head(self._file)
        self.about = decode_about(head.about)
        keyring = self._folder.keyring
        if not keyring.has(head.receiver):
            raise SealError(
                "not_a_recipient",
                f"this pack is for another office ({self.about.receiver}), or for an earlier key"
                " of this one",
                "Carry it there; nobody else can open it.",
            )
        chain = list(head.chain)
        # Without times: what was signed while a certificate was valid stays valid.
        subject = verify_chain(chain_from_der(chain), self._folder.root, None)
        self.sender = relative_of(self._folder, chain, subject)
        self._opener = open_stream(head, subject.peer_id, keyring.opening([head.receiver]))

    def entries(self, progress: Callable[[int, int], None]) -> Iterator[Entry]:
        """Yield what is in the part; tell how many bytes of how many were read.

        Raises:
            SealError: it is damaged or cut off.
            PackError: its content is malformed.
            NodeError: the medium cannot be read.
        """
        reader = EntryReader()
        for plain in _plaintext(self._file, self._path, self._opener, progress):
            yield from reader.feed(plain)
        reader.finish()


def _read_head(file: BinaryIO) -> StreamHead:
    prefix = file.read(PREFIX_BYTES)
    return read_head(prefix + file.read(head_bytes(prefix) - PREFIX_BYTES))


def _plaintext(
    file: BinaryIO, path: Path, opener: StreamOpener, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    size, done = path.stat().st_size, file.tell()
    while True:
        try:
            data = file.read(_READ_BYTES)
        except OSError as error:
            raise _unreadable(path, error) from error
        if not data:
            break
        done += len(data)
        yield opener.update(data)
        progress(done, max(done, size))
    yield opener.finish()


def _unreadable(path: Path, error: OSError) -> NodeError:
    return NodeError(
        "file_unreadable",
        f"{path} cannot be read: {error.strerror or error}.",
        "Is the stick still in, and the file copied whole?",
    )


# Taking in


def _take_in(station: Station, taken: Taken, transact: Transact, progress: Progress) -> None:
    taking = _Taking(station, taken)
    step = _stepped("taking", taking.part.path, progress)
    held = transact(lambda _: taking.begin())
    try:
        with _OpenPart(station.folder, taking.part.path) as opened:
            for batch in _batches(opened.entries(step)):
                _check_room(station)
                transact(partial(taking.take, batch))
    except (LinkError, PackError, CryptoError, NodeError) as error:
        # The sender breaks the protocol, or the stick went away in between.
        taken.refusal = error
    except StoreError:
        raise
    except Exception as error:
        # What trips over a fault of ours was rolled back, and must not keep other packs out.
        log.exception("pack fault")
        taken.refusal = LinkError("pack_fault", f"its content could not be handled: {error}")
    transact(lambda _: taking.end(held))


class _Taking:
    """One part on its way into the store."""

    def __init__(self, station: Station, taken: Taken) -> None:
        assert taken.part is not None
        self._station, self._taken, self.part = station, taken, taken.part
        self._store = station.replica.store
        self._unpacker: Unpacker | None = None

    def begin(self) -> int:
        """Return how many of its leaves are here."""
        about = self.part.about
        known = parts_taken(self._station.replica, self.part.sender.subject)
        if known is not None and known.pack_id == about.pack_id:
            self._taken.was_known = self._taken.was_known or about.part in known.parts
        return self._held()

    def take(self, batch: Sequence[Entry], now_ms: int) -> None:
        """Take some of its entries in."""
        if self._unpacker is None:
            replica, sender = self._station.replica, self.part.sender
            replica.welcome(sender.as_peer())
            self._unpacker = Unpacker(
                replica, sender.subject, sender.kinship, self._station.blobs, self.part.about
            )
        for entry in batch:
            self._unpacker.take(entry, now_ms)

    def end(self, held: int) -> None:
        """Note what became of it, where so many of its leaves had been here before."""
        if self._unpacker is not None:
            self._taken.outcome = self._unpacker.outcome
        sender = self.part.sender.subject
        for said in self._station.replica.intake.revocations.of(sender.peer_id, sender.code):
            self._taken.revoked = said.sentence()
        self._taken.leaves_new += self._held() - held
        self._taken.leaves_waiting = sum(_waiting(self._store, named) for named in self.part.leaves)

    def _held(self) -> int:
        return sum(_held(self._store, named) for named in self.part.leaves)


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += _weight(entry)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _weight(entry: Entry) -> int:
    """Return about how many bytes an entry brings."""
    match entry:
        case Messages():
            frames = (m for m in entry.messages if isinstance(m, Frame))
            return sum(len(leaf) for frame in frames for leaf in frame.leaves)
        case Piece():
            return len(entry.data)
    return 0


def _check_room(station: Station) -> None:
    """Keep the last of the disk for what people write here."""
    reserve_bytes = station.folder.config.disk_reserve_mib << 20
    if shutil.disk_usage(station.folder.path).free < reserve_bytes:
        raise StoreError(
            "disk_full",
            "The disk is almost full; nothing more is taken from packs.",
            "Free some space and take the same packs in again; what was taken in is safe.",
        )


def _held(store: Store, named: bytes) -> int:
    found = store.find_log(named)
    return 0 if found is None else found.size + len(store.pending_numbers(found))


def _waiting(store: Store, named: bytes) -> int:
    found = store.find_log(named)
    return 0 if found is None else len(store.pending_numbers(found))


def has_ended(part: Part, now_ms: int) -> bool:
    """Tell whether the sender's certificate is out of time."""
    return expiry_ms(chain_from_der([part.sender.chain[0]])[0]) < now_ms
