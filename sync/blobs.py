"""Attachments: files named by their SHA-256, and the exchange that fetches missing ones.

The receiver asks for a window of bytes at a time and keeps what came; after a cut it asks from
where its partial file ends. A file counts only when its whole content has the hash asked for.
"""

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal

from schemas.hlc import has_passed
from schemas.limits import CHUNK_BYTES, CHUNK_NAME_BYTES, WANT_BYTES_MAX, WANT_BYTES_MIN
from schemas.wire import Chunk, Message, Want
from sync.errors import StoreError
from sync.pace import Departure, Pace
from sync.store import Store

_READ_BYTES: Final = 1 << 20
# An answer that does not come within this time is asked for again; after twice the time the next
# time, and so on: the peer may keep to its hours.
_ANSWER_MS: Final = 60_000
_ANSWER_MAX_MS: Final = 3_600_000
# A file that the peer does not hold yet may reach it meanwhile.
_RETRY_MS: Final = 60_000
_RETRY_MS_MAX: Final = 15 * 60_000
_MISSING_ASKED: Final = 64
# A peer that names files without end and has none of them makes only its own wait.
_LISTED_MAX: Final = 1_000


class BlobFiles:
    """A folder of files: `ab/abcdef...` whole, `abcdef....part` while it arrives."""

    def __init__(self, folder: Path, *, reserve_bytes: int = 0, fetches: bool = True) -> None:
        """Use a folder, made when the first file comes.

        Args:
            folder: of the files.
            reserve_bytes: what fetched files leave free on the disk, for records.
            fetches: files of other nodes are wanted at all.
        """
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._fetches = fetches

    def may_fetch(self, size_bytes: int) -> bool:
        """Tell whether a file of another node is wanted and leaves room for records."""
        if not (self._fetches and self._reserve_bytes):
            return self._fetches
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return False
        return free - size_bytes >= self._reserve_bytes

    def path(self, sha256: bytes) -> Path:
        """Return where a whole file stands, or would stand."""
        return self._folder / sha256.hex()[:2] / sha256.hex()

    def holds(self, sha256: bytes) -> bool:
        """Tell whether the whole file is here."""
        return self.path(sha256).is_file()

    def part_size(self, sha256: bytes) -> int:
        """Return how many bytes of an arriving file are here."""
        try:
            return self._part(sha256).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, sha256: bytes, data: bytes) -> None:
        """Add bytes to an arriving file.

        Raises:
            StoreError: the disk refused.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._part(sha256).open("ab") as part:
                part.write(data)
        except OSError as error:
            raise disk_error(error) from error

    def finish(self, sha256: bytes) -> bool:
        """Make an arriving file whole if its content has the hash; else throw it away.

        Raises:
            StoreError: the disk refused.
        """
        part = self._part(sha256)
        try:
            with part.open("rb") as stream:
                if hash_stream(stream) != sha256:
                    part.unlink()
                    return False
            self.adopt(part, sha256)
        except OSError as error:
            raise disk_error(error) from error
        return True

    def adopt(self, file: Path, sha256: bytes) -> None:
        """Move a complete file of this folder's disk into its place, durably."""
        target = self.path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
        file.replace(target)
        for folder in (target.parent, self._folder):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, sha256: bytes, offset: int, length: int) -> tuple[int, bytes]:
        """Return the file's size and some of its bytes; size 0 if it is not here."""
        try:
            with self.path(sha256).open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(offset)
                return size, stream.read(length)
        except FileNotFoundError:
            return 0, b""

    def _part(self, sha256: bytes) -> Path:
        return self._folder / f"{sha256.hex()}.part"


def hash_stream(stream: BinaryIO) -> bytes:
    """Return the SHA-256 of what is left in a stream."""
    digest = hashlib.sha256()
    while block := stream.read(_READ_BYTES):
        digest.update(block)
    return digest.digest()


def disk_error(error: OSError) -> StoreError:
    """Return a failed file operation as an error that a person can act upon."""
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return StoreError(
            "disk_full",
            "The disk is full; the file could not be stored.",
            "Free some space and try again; nothing accepted was lost.",
        )
    return StoreError("file_error", f"The disk refused: {error.strerror}")


@dataclass(slots=True)
class _Fetch:
    """The blob that is being fetched.

    Attributes:
        until: everything below was asked for.
        patience_ms: how long to wait for an answer.
        wants: ends of the requests on their way, with when they left and their bytes.
    """

    sha256: bytes
    total: int
    until: int
    heard_at_ms: int
    patience_ms: int = _ANSWER_MS
    wants: deque[tuple[int, Departure, int]] = field(default_factory=deque)


class BlobExchange:
    """Both directions of blobs on one link."""

    def __init__(
        self,
        store: Store,
        files: BlobFiles,
        peer_id: bytes,
        kinship: Literal["parent", "child"],
        is_time: Callable[[int], bool] = lambda _now_ms: True,
    ) -> None:
        """Exchange with a peer that is our parent or child, whenever it is time for files."""
        self._is_time = is_time
        self._store = store
        self._files = files
        self._peer_id = peer_id
        self._kinship = kinship
        self._fetch: _Fetch | None = None
        self._pace = Pace(WANT_BYTES_MIN, WANT_BYTES_MAX)
        # Files that the peer did not have: when it said so, and how long to wait before asking.
        self._unavailable: dict[bytes, tuple[int, int]] = {}
        self._serving: deque[Want] = deque()

    def on_want(self, want: Want) -> None:
        """Note that the peer wants bytes."""
        if self._kinship == "parent" and self._files.holds(want.sha256):
            self._note_sent(want.sha256, want.offset)
        # Asked again because nothing came: once is enough.
        again = [
            one for one in self._serving if (one.sha256, one.offset) == (want.sha256, want.offset)
        ]
        for one in again:
            self._serving.remove(one)
        if len(self._serving) < _MISSING_ASKED:
            self._serving.append(replace(want, length=min(want.length, WANT_BYTES_MAX)))

    def _note_sent(self, sha256: bytes, sent_bytes: int) -> None:
        """Note for the pages how much of a file the tier above has, or is about to have."""
        self._store.db.execute(
            "INSERT INTO blob_above VALUES (?, ?)"
            " ON CONFLICT (sha256) DO UPDATE SET sent_bytes = excluded.sent_bytes",
            (sha256, sent_bytes),
        )

    def on_chunk(self, chunk: Chunk, now_ms: int) -> None:
        """Keep bytes that were asked for."""
        fetch = self._fetch
        if fetch is None or chunk.sha256 != fetch.sha256[:CHUNK_NAME_BYTES]:
            return
        if chunk.total != fetch.total:
            self._put_off(fetch.sha256, now_ms)
            self._fetch = None
            return
        if chunk.offset != self._files.part_size(fetch.sha256) or (fetch.total and not chunk.data):
            return
        self._files.append(fetch.sha256, chunk.data)
        fetch.heard_at_ms, fetch.patience_ms = now_ms, _ANSWER_MS
        end = chunk.offset + len(chunk.data)
        while fetch.wants and fetch.wants[0][0] <= end:
            _, left, size_bytes = fetch.wants.popleft()
            self._pace.arrive(left, size_bytes, now_ms)
        if end >= fetch.total:
            if self._files.finish(fetch.sha256):
                self._store.blob_arrived(fetch.sha256, fetch.total)
            else:
                # The peer's copy is damaged: asking again at once would fill the line with it.
                self._put_off(fetch.sha256, now_ms)
            self._fetch = None

    def pump(self, now_ms: int, room_bytes: int) -> list[Message]:
        """Return bytes to send, about so many, and the next request; nothing out of hours."""
        messages: list[Message] = []
        if not self._is_time(now_ms):
            return messages
        while self._serving and room_bytes > 0:
            chunk = self._next_chunk()
            room_bytes -= len(chunk.data)
            messages.append(chunk)
        fetch = self._fetch = self._fetch or self._next_fetch(now_ms)
        if fetch is not None:
            messages += self._wants(fetch, now_ms)
        return messages

    def _wants(self, fetch: _Fetch, now_ms: int) -> list[Message]:
        """Ask for more while less than a window is on its way, half a window at a time."""
        here = self._files.part_size(fetch.sha256)
        if has_passed(fetch.patience_ms, fetch.heard_at_ms, now_ms):
            fetch.until, fetch.heard_at_ms = here, now_ms
            fetch.patience_ms = min(2 * fetch.patience_ms, _ANSWER_MAX_MS)
            fetch.wants.clear()
        fetch.until = max(fetch.until, here)
        # In whole chunks, because a packet costs the same when it is not full; rounded up, because
        # the window would not grow otherwise.
        step = -(-self._pace.window_bytes // (2 * CHUNK_BYTES)) * CHUNK_BYTES
        is_all = fetch.until >= fetch.total and (fetch.total or fetch.wants)
        if is_all or fetch.until - here > step:
            return []
        length = min(step, fetch.total - fetch.until)
        want = Want(sha256=fetch.sha256, offset=fetch.until, length=length)
        fetch.until += length
        fetch.wants.append((fetch.until, self._pace.depart(now_ms), length))
        return [want]

    def _next_fetch(self, now_ms: int) -> _Fetch | None:
        count = min(_MISSING_ASKED + len(self._unavailable), _LISTED_MAX)
        for sha256, total in self._store.missing_blobs(self._peer_id, count):
            if self._files.holds(sha256) or self._finished_earlier(sha256, total):
                self._store.blob_arrived(sha256, total)
            elif self._may_ask(sha256, now_ms) and self._files.may_fetch(total):
                return _Fetch(sha256=sha256, total=total, until=0, heard_at_ms=now_ms)
        return None

    def _may_ask(self, sha256: bytes, now_ms: int) -> bool:
        refused_at_ms, wait_ms = self._unavailable.get(sha256, (0, 0))
        return not wait_ms or has_passed(wait_ms, refused_at_ms, now_ms)

    def _put_off(self, sha256: bytes, now_ms: int) -> None:
        """Ask for a file again after a while; it may be on its way to the peer, or be lost."""
        _, wait_ms = self._unavailable.get(sha256, (0, _RETRY_MS // 2))
        self._unavailable[sha256] = (now_ms, min(2 * wait_ms, _RETRY_MS_MAX))

    def _finished_earlier(self, sha256: bytes, total: int) -> bool:
        """Finish a file whose last byte came, but whose check a crash prevented."""
        return 0 < total <= self._files.part_size(sha256) and self._files.finish(sha256)

    def _next_chunk(self) -> Chunk:
        """Return the next bytes of the oldest request; it is done with when all have been read."""
        want = self._serving.popleft()
        name = want.sha256[:CHUNK_NAME_BYTES]
        if self._kinship == "child" and not self._store.blob_concerns(want.sha256, self._peer_id):
            # Perhaps it did once: a revocation can end that a record concerns somebody.
            return Chunk(sha256=name, offset=want.offset, total=0, data=b"")
        size = min(CHUNK_BYTES, want.length)
        total, data = self._files.read(want.sha256, want.offset, size)
        left = min(want.length, total - want.offset) - len(data)
        if data and left > 0:
            rest = replace(want, offset=want.offset + len(data), length=left)
            self._serving.appendleft(rest)
        if self._kinship == "parent" and data and want.offset + len(data) == total:
            self._note_sent(want.sha256, total)
        return Chunk(sha256=name, offset=want.offset, total=total, data=data)
