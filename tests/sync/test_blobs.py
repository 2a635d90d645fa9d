"""Files arrive whole or not at all, from where a cut left them, and only for those they concern.

Method: real files in a temporary folder; two exchanges, or two nodes, with a line that loses and
damages chunks on command. Time is an argument.
"""

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.events import Attached, Transferred
from schemas.ids import DocumentId
from schemas.limits import CHUNK_BYTES, CHUNK_NAME_BYTES, WANT_BYTES_MAX, WANT_BYTES_MIN
from schemas.wire import Chunk, Message, Want, encode_message
from sync.blobs import BlobExchange, BlobFiles, disk_error
from sync.errors import StoreError
from sync.hours import Hours
from sync.store import Store
from tests.sync.builders import (
    COMMUNE,
    NEIGHBOUR,
    NOW_MS,
    PROVINCE,
    Link,
    Node,
    memory,
    new_node,
    place,
    sync,
)

MINUTE_MS = 60_000
ROOM_BYTES = 1 << 20
SENDER, RECEIVER = b"s" * 32, b"r" * 32


def scan(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def put(files: BlobFiles, data: bytes) -> bytes:
    files.append(sha(data), data)
    assert files.finish(sha(data))
    return sha(data)


def named(data: bytes) -> bytes:
    return sha(data)[:CHUNK_NAME_BYTES]


def as_it_is(chunk: Chunk) -> Chunk | None:
    return chunk


class Pair:
    """One who holds files and one who wants them.

    Attributes:
        spoil: changes a chunk on the way, or loses it by returning None.
    """

    def __init__(self, folder: Path) -> None:
        self.theirs, self.ours = BlobFiles(folder / "theirs"), BlobFiles(folder / "ours")
        self.store = Store(memory())
        self.now_ms = NOW_MS
        self.spoil = as_it_is
        self.is_time = True
        self.above = Store(memory())
        self.wants: list[Want] = []
        self.chunks: list[Chunk] = []
        self.meet()

    def meet(self) -> None:
        """Begin a new link."""
        self.sender = BlobExchange(
            self.above, self.theirs, RECEIVER, "parent", lambda _now_ms: self.is_time
        )
        self.receiver = BlobExchange(self.store, self.ours, SENDER, "parent")

    def want(self, sha256: bytes, size: int) -> None:
        with self.store.transaction():
            self.store.want_blob(sha256, bytes(16), size, SENDER)

    def run(self, rounds: int = 200) -> None:
        """Exchange until nobody says anything, with no time passing."""
        for _ in range(rounds):
            with self.store.transaction():
                asked = self.receiver.pump(self.now_ms, ROOM_BYTES)
            for message in asked:
                assert isinstance(message, Want)
                encode_message(message)
                self.wants.append(message)
                self.sender.on_want(message)
            answers = self.sender.pump(self.now_ms, ROOM_BYTES)
            if not answers:
                return
            for answer in answers:
                self._hear(answer)
        raise AssertionError("still talking")

    def _hear(self, answer: Message) -> None:
        assert isinstance(answer, Chunk)
        self.chunks.append(answer)
        heard = self.spoil(answer)
        if heard is not None:
            with self.store.transaction():
                self.receiver.on_chunk(heard, self.now_ms)

    def is_complete(self, sha256: bytes) -> bool:
        row = self.store.db.execute("SELECT complete FROM blob WHERE sha256 = ?", (sha256,))
        return bool(row.fetchone()[0])


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.mark.parametrize(
    "size",
    [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, WANT_BYTES_MIN, WANT_BYTES_MAX + 1, 400_000],
)
def test_a_file_arrives_as_it_is(pair: Pair, size: int) -> None:
    data = scan(size)
    pair.want(put(pair.theirs, data), size)
    pair.run()
    assert pair.ours.read(sha(data), 0, size + 1) == (size, data)
    assert pair.is_complete(sha(data))
    assert pair.ours.part_size(sha(data)) == 0
    ends = [want.offset + want.length for want in pair.wants]
    assert [want.offset for want in pair.wants] == [0, *ends[:-1]]
    assert ends[-1] == size
    assert all(want.length <= WANT_BYTES_MAX // 2 + CHUNK_BYTES for want in pair.wants)
    assert len(pair.wants) <= 1 + size // (WANT_BYTES_MIN // 2)
    assert all(len(chunk.data) <= CHUNK_BYTES for chunk in pair.chunks)
    assert sum(len(chunk.data) for chunk in pair.chunks) == size


def test_an_empty_file_arrives_too(pair: Pair) -> None:
    pair.want(put(pair.theirs, b""), 0)
    pair.run()
    assert pair.ours.holds(sha(b""))
    assert pair.is_complete(sha(b""))


def test_a_file_of_no_bytes_that_should_have_some_is_asked_for_once_a_minute(pair: Pair) -> None:
    pair.want(sha(b"something"), 0)
    for _ in range(3):
        pair.run()
    assert len(pair.wants) == 1
    assert not pair.is_complete(sha(b"something"))


def sent_bytes(pair: Pair, sha256: bytes) -> int | None:
    rows = pair.above.db.execute("SELECT sent_bytes FROM blob_above WHERE sha256 = ?", (sha256,))
    row = rows.fetchone()
    return None if row is None else int(row[0])


def test_out_of_hours_no_file_is_sent_and_the_asking_grows_rare(pair: Pair) -> None:
    data = scan(9_000)
    pair.want(put(pair.theirs, data), 9_000)
    pair.is_time = False
    for _ in range(12 * 60):
        pair.run()
        pair.now_ms += 60_000
    assert not pair.chunks
    assert len(pair.wants) <= 36, "seldom, once nothing comes"
    pair.is_time = True
    pair.run()
    assert pair.is_complete(sha(data))
    assert sum(len(chunk.data) for chunk in pair.chunks) == 9_000, "no byte twice"


def test_out_of_hours_no_file_is_asked_for(pair: Pair) -> None:
    data = scan(900)
    pair.want(put(pair.theirs, data), 900)
    hours = Hours(20 * 60, 6 * 60)
    receiver = BlobExchange(
        pair.store, pair.ours, SENDER, "parent", lambda now_ms: hours.opens_ms(now_ms) == now_ms
    )
    day_ms = NOW_MS - NOW_MS % 86_400_000
    assert receiver.pump(day_ms + 12 * 3_600_000, ROOM_BYTES) == []
    assert receiver.pump(day_ms + 20 * 3_600_000, ROOM_BYTES) != []


def test_what_went_up_of_a_file_is_known_and_taken_back_when_it_is_asked_for(pair: Pair) -> None:
    data = scan(9_000)
    pair.want(put(pair.theirs, data), 9_000)
    pair.is_time = False
    pair.run()
    assert sent_bytes(pair, sha(data)) == 0
    pair.is_time = True
    pair.run()
    assert sent_bytes(pair, sha(data)) == 9_000
    pair.sender.on_want(Want(sha256=sha(data), offset=2_000, length=500))
    assert sent_bytes(pair, sha(data)) == 2_000


def test_small_files_come_first(pair: Pair) -> None:
    for size in (30_000, 10, 20_000):
        data = scan(size, size)
        pair.want(put(pair.theirs, data), size)
    pair.run()
    assert [chunk.total for chunk in pair.chunks if chunk.offset == 0] == [10, 20_000, 30_000]


@pytest.mark.parametrize("lost", [*range(8), 50, 100, 172, 173])
def test_after_a_cut_the_file_goes_on_at_its_byte(pair: Pair, lost: int) -> None:
    data = scan(200_000)
    pair.want(put(pair.theirs, data), len(data))
    pair.spoil = lambda chunk: chunk if len(pair.chunks) <= lost else None
    pair.run()
    here = pair.ours.part_size(sha(data))
    assert here == lost * CHUNK_BYTES
    pair.meet()
    pair.spoil = as_it_is
    pair.chunks.clear()
    pair.wants.clear()
    pair.run()
    assert pair.wants[0].offset == here
    assert sum(len(chunk.data) for chunk in pair.chunks) == len(data) - here
    assert pair.ours.read(sha(data), 0, len(data)) == (len(data), data)


def test_a_lost_chunk_is_asked_for_again_on_the_same_link_after_a_minute(pair: Pair) -> None:
    data = scan(50_000)
    pair.want(put(pair.theirs, data), len(data))
    pair.spoil = lambda chunk: chunk if len(pair.chunks) != 2 else None
    pair.run()
    assert not pair.is_complete(sha(data))
    asked = len(pair.wants)
    pair.now_ms += MINUTE_MS - 1
    pair.run()
    assert len(pair.wants) == asked
    pair.now_ms += 1
    pair.run()
    assert pair.wants[asked].offset == CHUNK_BYTES
    assert pair.is_complete(sha(data))


def test_wrong_content_is_thrown_away_and_asked_for_again_later(pair: Pair) -> None:
    data, other = scan(40_000), scan(10, 2)
    pair.want(put(pair.theirs, data), len(data))
    pair.spoil = lambda chunk: Chunk(sha256=chunk.sha256, offset=chunk.offset, total=chunk.total,
                                 data=bytes(len(chunk.data)))  # fmt: skip
    pair.run()
    assert not pair.ours.holds(sha(data))
    assert pair.ours.part_size(sha(data)) == 0
    assert not pair.is_complete(sha(data))
    # It does not stand in the way of others meanwhile.
    pair.spoil = as_it_is
    pair.want(put(pair.theirs, other), len(other))
    pair.run()
    assert pair.is_complete(sha(other))
    assert not pair.is_complete(sha(data))
    pair.now_ms += MINUTE_MS
    pair.run()
    assert pair.ours.read(sha(data), 0, len(data)) == (len(data), data)


def test_a_file_that_the_peer_lacks_is_asked_for_later_and_others_come(pair: Pair) -> None:
    data, other = scan(10), scan(20_000, 2)
    pair.want(sha(data), len(data))
    pair.want(put(pair.theirs, other), len(other))
    pair.run()
    assert pair.is_complete(sha(other))
    asked = len(pair.wants)
    pair.now_ms += MINUTE_MS - 1
    pair.run()
    assert len(pair.wants) == asked
    put(pair.theirs, data)
    pair.now_ms += 1
    pair.run()
    assert pair.is_complete(sha(data))


def test_a_file_of_another_size_than_said_is_not_taken(pair: Pair) -> None:
    data = scan(100)
    pair.want(put(pair.theirs, data), 99)
    pair.run()
    assert not pair.ours.holds(sha(data))
    assert pair.ours.part_size(sha(data)) == 0


def test_chunks_that_nobody_asked_for_are_left_alone(pair: Pair) -> None:
    data = scan(30_000)
    honest = Chunk(sha256=named(data), offset=0, total=30_000, data=data[:100])
    pair.receiver.on_chunk(honest, NOW_MS)
    pair.want(put(pair.theirs, data), len(data))
    wrong = [
        Chunk(sha256=named(b"other"), offset=0, total=30_000, data=b"x"),
        Chunk(sha256=named(data), offset=7, total=30_000, data=b"x"),
        Chunk(sha256=named(data), offset=29_999, total=30_000, data=b"x"),
    ]

    def spoil(chunk: Chunk) -> Chunk | None:
        for each in wrong:
            pair.receiver.on_chunk(each, NOW_MS)
        return chunk

    pair.spoil = spoil
    pair.run()
    assert pair.ours.read(sha(data), 0, 30_000) == (30_000, data)


def test_more_bytes_than_there_are_do_not_pass(pair: Pair) -> None:
    data = scan(1_000)
    pair.want(put(pair.theirs, data), len(data))
    pair.spoil = lambda chunk: Chunk(
        sha256=chunk.sha256, offset=0, total=chunk.total, data=chunk.data + b"more"
    )
    pair.run()
    assert not pair.ours.holds(sha(data))


def test_a_finish_that_was_interrupted_is_made_up_for(pair: Pair) -> None:
    data, bad = scan(500), scan(400, 2)
    # The last byte came, then the power went.
    pair.ours.append(sha(data), data)
    pair.ours.append(sha(bad), bytes(400))
    pair.want(sha(data), len(data))
    pair.want(put(pair.theirs, bad), len(bad))
    pair.run()
    assert pair.is_complete(sha(data))
    assert pair.ours.read(sha(data), 0, 500) == (500, data)
    assert pair.ours.read(sha(bad), 0, 400) == (400, bad)
    assert [want.sha256 for want in pair.wants] == [sha(bad)]


def test_a_file_that_is_here_whole_is_not_asked_for(pair: Pair) -> None:
    data = scan(500)
    pair.want(put(pair.ours, data), len(data))
    pair.run()
    assert pair.wants == []
    assert pair.is_complete(sha(data))


def test_a_clock_that_was_set_back_does_not_stop_the_asking(pair: Pair) -> None:
    data = scan(500)
    pair.want(sha(data), len(data))
    pair.run()
    put(pair.theirs, data)
    pair.now_ms -= 10 * MINUTE_MS
    pair.run()
    assert pair.is_complete(sha(data))


def test_no_more_is_asked_for_than_the_line_was_seen_to_carry(pair: Pair) -> None:
    data = scan(400_000)
    pair.want(put(pair.theirs, data), len(data))
    with pair.store.transaction():
        first = pair.receiver.pump(pair.now_ms, ROOM_BYTES)
        second = pair.receiver.pump(pair.now_ms, ROOM_BYTES)
        third = pair.receiver.pump(pair.now_ms, ROOM_BYTES)
    asked = [message for message in (*first, *second, *third) if isinstance(message, Want)]
    assert sum(want.length for want in asked) <= WANT_BYTES_MIN
    assert third == []


def test_chunks_leave_room_for_what_becomes_urgent(pair: Pair) -> None:
    data = put(pair.theirs, scan(40_000))
    pair.sender.on_want(Want(sha256=data, offset=0, length=40_000))
    sent = 0
    while sent < 40_000:
        chunks = pair.sender.pump(NOW_MS, 2 * CHUNK_BYTES)
        assert 1 <= len(chunks) <= 2
        sent += sum(len(chunk.data) for chunk in chunks if isinstance(chunk, Chunk))
    assert pair.sender.pump(NOW_MS, 0) == []


def test_reading_past_the_end_gives_nothing(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    data = put(files, b"0123456789")
    assert files.read(data, 4, 3) == (10, b"456")
    assert files.read(data, 8, 99) == (10, b"89")
    assert files.read(data, 10, 5) == (10, b"")
    assert files.read(data, 10_000, 5) == (10, b"")
    assert files.read(sha(b"none"), 0, 5) == (0, b"")


def test_wants_of_nonsense_are_answered_briefly(pair: Pair) -> None:
    data = put(pair.theirs, scan(40_000))
    for offset, length in ((0, 0), (50_000, 10), (39_999, 1 << 25), (0, 1 << 25)):
        pair.sender.on_want(Want(sha256=data, offset=offset, length=length))
    chunks = pair.sender.pump(NOW_MS, ROOM_BYTES)
    assert sum(len(chunk.data) for chunk in chunks if isinstance(chunk, Chunk)) == 1 + 40_000
    assert len(chunks) <= 8 + 40_001 // CHUNK_BYTES
    for _ in range(1_000):
        pair.sender.on_want(Want(sha256=sha(b"?"), offset=0, length=1))
    assert len(pair.sender.pump(NOW_MS, ROOM_BYTES)) <= 64


def test_a_failing_disk_is_told_in_words(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    files = BlobFiles(blocked)
    with pytest.raises(StoreError) as caught:
        files.append(sha(b"x"), b"x")
    assert caught.value.code == "file_error"
    with pytest.raises(StoreError):
        BlobFiles(tmp_path).finish(sha(b"never came"))
    for number in (28, 122):
        assert disk_error(OSError(number, "full")).code == "disk_full"


# Between nodes


def attach(node: Node, data: bytes, case: DocumentId | None = None) -> DocumentId:
    """Attach a file to a new case, or to one that is there, as the program does."""
    put(node.files, data)
    event = Attached(
        sha256=sha(data).hex(), size_bytes=len(data), name="a.pdf", media_type="application/pdf"
    )
    if case is None:
        case = node.open_case(0, event)
    else:
        node.write(case, events=[event])
    with node.transaction():
        node.store.blob_arrived(sha(data), len(data))
    return case


def test_a_file_follows_its_case_up_and_down(tmp_path: Path) -> None:
    commune, neighbour = new_node(COMMUNE, tmp_path), new_node(NEIGHBOUR, tmp_path)
    province = new_node(PROVINCE, tmp_path)
    data = scan(100_000)
    case = attach(commune, data)
    sync(commune, province)
    assert province.files.read(sha(data), 0, 100_000) == (100_000, data)
    sync(neighbour, province)
    assert not neighbour.files.holds(sha(data))
    commune.write(case, events=[Transferred(to_office="UBND", to_code=NEIGHBOUR)])
    sync(commune, province)
    sync(neighbour, province)
    assert neighbour.files.read(sha(data), 0, 100_000) == (100_000, data)


def test_records_go_before_files(tmp_path: Path) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    data = scan(300_000)
    case = attach(commune, data)
    link = Link(commune, province)
    while not any(isinstance(message, Chunk) for _, message in link.sent):
        assert link.step()
    commune.write(case, fields={"title": "mới"})
    for _ in range(4):
        link.step()
    assert province.values(case)["title"] == "mới"
    assert not province.files.holds(sha(data))
    link.run()
    assert province.files.holds(sha(data))


def test_a_child_gets_files_of_what_concerns_it_only(tmp_path: Path) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    data = scan(100)
    attach(commune, data)
    sync(commune, province)
    want = Want(sha256=sha(data), offset=0, length=100)
    with province.transaction():
        province.replica.welcome(place(NEIGHBOUR).as_peer(is_child=True))
    own = BlobExchange(province.store, province.files, commune.peer_id, "child")
    own.on_want(want)
    (chunk,) = own.pump(NOW_MS, ROOM_BYTES)
    assert isinstance(chunk, Chunk)
    assert chunk.data == data
    neighbour = place(NEIGHBOUR).key.peer_id
    for stranger in (neighbour, bytes(32)):
        other = BlobExchange(province.store, province.files, stranger, "child")
        other.on_want(want)
        assert other.pump(NOW_MS, ROOM_BYTES) == [replace(chunk, total=0, data=b"")]
    # To the tier above everything goes.
    above = BlobExchange(province.store, province.files, bytes(32), "parent")
    above.on_want(want)
    assert len(above.pump(NOW_MS, ROOM_BYTES)) == 1
