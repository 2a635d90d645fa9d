"""One simulated node: the real replica over a disk that survives it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from crypto.certificates import subject_of
from crypto.identity import device_id
from node.cases.admission import admit_change
from schemas.codes import Role, Tier
from schemas.ids import DocumentId
from sync.blobs import BlobFiles
from sync.replica import Author, Replica
from sync.store import Store
from tests.simulation.dialling import Dialler, Door
from tests.simulation.identities import START_MS, Office, offices, root_certificate
from tests.simulation.storage import Guard, give_back, new_disk
from tests.simulation.writer import SimulatedWriter

T = TypeVar("T")

_ROLES = {
    Tier.COMMUNE: (Role.RECEPTION_OFFICER, Role.COMMUNE_CHAIR),
    Tier.PROVINCE: (Role.PROVINCIAL_RECEPTION_BOARD, Role.PROVINCIAL_CHAIR),
    Tier.CENTRE: (Role.CENTRAL_RECEPTION_BOARD, Role.CENTRAL_REVIEWER),
}


class SimulatedNode:
    """A node that can crash and start again.

    Attributes:
        offset_ms: how wrong its clock is.
        starts: how often it was started.
        touched: documents that the transaction just committed changed.
        dialler: dials the node above, since the process started.
        door: lets in those below, since the process started.
        writer: works for one link at a time, since the process started.
    """

    def __init__(
        self, office: Office, blob_folder: Path, new_writer: Callable[[], SimulatedWriter]
    ) -> None:
        """Make an empty disk; nothing runs yet."""
        self.office = office
        self._new_writer = new_writer
        self.subject = subject_of(office.chain[0])
        self.guard = Guard(new_disk())
        self.files = BlobFiles(blob_folder)
        self.offset_ms = 0
        self.starts = 0
        self.touched = set[DocumentId]()
        self.dialler, self.door, self.writer = Dialler(), Door(), new_writer()
        self._replica: Replica | None = None

    @property
    def code(self) -> str:
        """Code of its office."""
        return self.office.code

    @property
    def peer_id(self) -> bytes:
        """Public key of its office."""
        return self.office.key.peer_id

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._replica is not None

    @property
    def replica(self) -> Replica:
        """The running replica."""
        assert self._replica is not None, f"{self.code} is down"
        return self._replica

    def start(self) -> None:
        """Start the process on what the disk holds."""
        self.guard.restart()
        self.touched.clear()
        self.starts += 1
        self.dialler, self.door, self.writer = Dialler(), Door(), self._new_writer()
        self._replica = Replica(
            Store(self.guard),
            key=self.office.key,
            chain=self.office.chain,
            root=root_certificate(),
            admit=admit_change,
            project=self.touched.update,
        )

    def crash(self) -> None:
        """Lose everything but the disk."""
        self._replica = None
        self.guard.restart()

    def snapshot(self) -> bytes:
        """Return what the disk holds."""
        return self.guard.disk.serialize()

    def put_back(self, disk: bytes) -> None:
        """Let the disk hold what it held earlier; the process must be down."""
        assert not self.is_up
        self.guard.disk.deserialize(disk)
        self.guard.disk.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """Throw the disk away."""
        self._replica = None
        give_back(self.guard.disk)

    def clock_ms(self, now_ms: int) -> int:
        """Return what this node takes for the time."""
        return START_MS + now_ms + self.offset_ms

    def set_clock(self, clock_ms: int, now_ms: int) -> None:
        """Make the node's clock jump; none shows a time before 1970."""
        self.offset_ms = max(0, clock_ms) - START_MS - now_ms

    def commit(self, work: Callable[[], T]) -> T:
        """Run one unit of work in a transaction.

        Raises:
            Crash: the process ended; the transaction may have become durable all the same.
        """
        self.touched.clear()
        with self.replica.transaction():
            return work()

    def author(self, device: int, role: int) -> Author:
        """Return somebody of this office at its first (the node itself) or second device."""
        return authors(self.code)[device][role]


@cache
def authors(code: str) -> tuple[tuple[Author, ...], ...]:
    """Return the people of an office by device and role."""
    office = offices()[code]
    own = device_id(office.key.peer_id)
    other = device_id(bytes(reversed(office.key.peer_id)))
    return tuple(
        tuple(
            Author(
                user=f"{role.value}{number}",
                name=f"Cán bộ {role.value} {number}",
                role=role.value,
                device=device,
            )
            for role in _ROLES[office.tier]
        )
        for number, device in enumerate((own, other), start=1)
    )
