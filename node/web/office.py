"""What the pages and the API need of the node; the running node of node/app.py is one."""

from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Protocol, TypeVar

from crypto.tiers import office_code
from node.accounts import Accounts
from node.clock import Clock
from node.config import Config
from node.connections import Connections
from node.desk import Desk
from node.enrolment import Enrolment
from node.lan import Lan
from node.link import LinkStatus
from node.office_keys import OfficeKeyState
from node.pack_jobs import PackJobs
from node.queries.cases import Place
from node.queries.facts import Office as OfficeName
from node.repo import RepoDesk
from node.revoking import RevokeReport
from node.writer import ChangeCounter
from schemas.codes import Tier
from sync.blobs import BlobFiles

T = TypeVar("T")


class Office(Protocol):
    """A running node.

    Attributes:
        code: place code of the node's certificate.
        name: name of the place.
        desk: used only inside a write.
        accounts: used only inside a write.
        incoming_folder: on the same disk as the blobs, for uploads that have not finished.
        changes: counts commits and changes of the link.
        packs: made and taken in one at a time.
        connections: what is open for each device just now.
        lan: what the LAN sees of this node; None where it serves this machine only.
        enrolment: this node's certificate, and tokens for those below.
    """

    tier: Tier
    code: str
    name: str
    config: Config
    clock: Clock
    desk: Desk
    accounts: Accounts
    blobs: BlobFiles
    incoming_folder: Path
    changes: ChangeCounter
    packs: PackJobs
    repo: RepoDesk
    connections: Connections
    lan: Lan | None
    enrolment: Enrolment

    @property
    def link(self) -> LinkStatus:
        """The link upwards, as it is now."""

    @property
    def office_key(self) -> OfficeKeyState:
        """How the key that opens sealed values is kept."""

    def unlock(self, passphrase: str, /) -> None:
        """Open that key; takes some tenths of a second.

        Raises:
            PasswordError: the passphrase is wrong.
            KeyfileError: the file of the key cannot be read.
        """

    def entropy(self, size_bytes: int, /) -> bytes:
        """Return bytes nobody can guess."""

    async def write(self, work: Callable[[int], T], /) -> T:
        """Return what work(now_ms) returned in the writer thread, once it is durable.

        Raises:
            StoreError: nothing was changed.
        """

    async def read(self, work: Callable[[Connection], T], /) -> T:
        """Return what work(connection) returned in a reader thread; rows are sqlite3.Row.

        Raises:
            StoreError: the database cannot be read.
        """

    async def fold_log(self) -> None:
        """Bring the database file up to date and empty its log, which keeps what was deleted."""

    async def set_link_cut(self, cut: bool, /) -> None:
        """Cut or restore the link upwards; only in the demo."""

    async def send_files_now(self, *, now: bool) -> None:
        """Let files travel out of their hours until these begin, or no longer."""

    def revoke(
        self, peer_id: str, /, *, last_valid: int | None, reason: str, now_ms: int
    ) -> RevokeReport:
        """Revoke the key of a node below, inside a write; see node/revoking.py."""

    async def export_record(self, document_id: str, /) -> bytes:
        """Return a document with its proofs as a signed file."""


def place_of(office: Office) -> Place:
    """Return where and when queries are asked now."""
    return Place(
        own=OfficeName(code=office_code(office.code), name=office.name),
        tier=office.tier,
        today=office.clock.today(),
    )
