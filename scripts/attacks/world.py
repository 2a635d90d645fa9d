"""Real nodes to attack, as processes on loopback, with invented records and all kinds of people.

A province with two communes, all serving; beside them the folders of another province of the same
country, and of a country of its own, whose certificates are good there and nowhere here.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import aiohttp

from node.accounts import Accounts
from node.clock import Clock
from node.config import read_config, write_config
from node.entropy import system_entropy, system_rng
from node.folder import sign_request
from node.station import opened_station
from schemas.codes import Role, Tier
from scripts.attacks.caller import Caller, calling
from tests.independent.enrolment import Office
from tests.node.places import make_below, make_centre, make_commune, make_province
from tests.story.processes import NodeProcess, free_port

PASSWORD: Final = "mật khẩu để thử"
COMMUNE, NEIGHBOUR = "40.17083", "40.17086"
KEY: Final = "visit-of-the-morning"
PAPER: Final = b"%PDF-1.7 " + sha256(b"a scanned petition").digest() * 200
OFFICER, LEAD = Role.RECEPTION_OFFICER, Role.RECEPTION_LEAD
_LOOK_S: Final = 0.2
_SETTLES_MAX: Final = 300
_NODES: Final = ("province", "commune", "neighbour")


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def user_of(role: Role) -> str:
    """Return the account of a role; each node has one for each."""
    return role.value.replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a node holds.

    Attributes:
        changes: of all documents.
        leaves: of all logs; a node adds its own about whom it met.
        files: that records refer to.
    """

    changes: frozenset[bytes]
    leaves: frozenset[tuple[int, int, bytes]]
    files: frozenset[tuple[str, bytes]]

    def is_kept_in(self, now: "Records") -> bool:
        """Tell whether nothing was altered, lost or added but leaves of nodes about each other."""
        is_same = (self.changes, self.files) == (now.changes, now.files)
        return is_same and self.leaves <= now.leaves


@dataclass(kw_only=True)
class World:
    """What can be attacked, and what is known of it.

    Attributes:
        nodes: the running ones, by folder.
        lan_port: of the commune's pages over HTTPS.
        ids: of the commune's records: case, person, petition, visit, draft, file (SHA-256).
        form: that registered the visit, with the idempotency key KEY.
        office: a commune of the province whose program is the attacker's.
        foreign: the same of another province, and of another country.
        slow_bodies: requests to the commune whose bodies do not come, since a monotonic time.
    """

    folder: Path
    nodes: dict[str, NodeProcess]
    lan_port: int
    office: Office
    foreign: dict[str, Office]
    ids: dict[str, str] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)
    slow_bodies: list[Line] = field(default_factory=list)
    slow_since_s: float = 0.0

    @property
    def commune(self) -> NodeProcess:
        """The commune with the records."""
        return self.nodes["commune"]

    @property
    def province(self) -> NodeProcess:
        """The province above it."""
        return self.nodes["province"]

    def path(self, pattern: str) -> str:
        """Return the path of a route with ids of real records in it."""
        for part, value in {
            "{sha256}": self.ids["file"],
            "/people/{id}": f"/people/{self.ids['person']}",
            "/drafts/{id}": f"/drafts/{self.ids['draft']}",
            "{id}": self.ids["case"],
            "{user}": user_of(OFFICER),
            "{code}": NEIGHBOUR,
            "{name}": "part.tiepdanpack",
            "{filename}": "node.css",
        }.items():
            pattern = pattern.replace(part, value)
        return pattern

    @asynccontextmanager
    async def signed_in(self, role: Role, node: str = "commune") -> AsyncIterator[Caller]:
        """Sign somebody in at a node for the length of a block."""
        async with calling(self.nodes[node].url) as caller:
            reply = await caller.sign_in(user_of(role), PASSWORD)
            if reply.status != 200:
                raise RuntimeError(f"nobody can sign in: {reply.status} {reply.code}")
            yield caller

    def rows(self, node: str, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of a node's database, read beside it."""
        path = self.nodes[node].folder / "tiepdan.db"
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def records(self) -> dict[str, "Records"]:
        """Return what each node holds."""
        return {name: _records(self, name) for name in self.nodes}

    def memory_mib(self) -> dict[str, float]:
        """Return the largest resident size of each node so far."""
        return {name: _peak_mib(node.pid) for name, node in self.nodes.items()}


def _records(world: World, node: str) -> Records:
    blobs = world.nodes[node].folder / "blobs"
    leaves = world.rows(node, "SELECT log, seq, data FROM leaf")
    changes = world.rows(node, "SELECT document, hash FROM change")
    return Records(
        changes=frozenset(document + digest for document, digest in changes),
        leaves=frozenset((log, seq, sha256(data).digest()) for log, seq, data in leaves),
        files=frozenset(
            (path.name, sha256(path.read_bytes()).digest())
            for path in blobs.rglob("*")
            if path.is_file()
        ),
    )


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@asynccontextmanager
async def open_world(folder: Path) -> AsyncIterator[World]:
    """Make the nodes, run them for the length of a block, and end them."""
    world = await asyncio.to_thread(_make, folder)
    started: list[NodeProcess] = []
    try:
        for node in world.nodes.values():
            node.start()
            started.append(node)
        for node in started:
            await node.wait_until_up()
        await _fill(world)
        yield world
    finally:
        for node in started:
            node.kill()


def _make(folder: Path) -> World:
    centre, province = folder / "centre", folder / "province"
    make_centre(centre)
    make_province(province, centre)
    make_commune(folder / "commune", province, COMMUNE)
    make_commune(folder / "neighbour", province, NEIGHBOUR)
    # Another province under the same root, and one under a root of its own.
    make_below(folder / "thanh-hoa", centre, tier=Tier.PROVINCE, code="38", name="Thanh Hóa")
    make_centre(folder / "other-centre")
    make_province(folder / "other-province", folder / "other-centre")
    for name in _NODES:
        _hire(folder / name)
    above = NodeProcess(province)
    lan_port = free_port()
    world = World(
        folder=folder,
        nodes={"province": above, "commune": _below(folder / "commune", above.sync_port)},
        lan_port=lan_port,
        office=enrolled(folder, "attacker", "40.17099", "province"),
        foreign={
            "another province": enrolled(folder, "next-door", "38.14845", "thanh-hoa"),
            "another country": enrolled(folder, "abroad", "40.17083", "other-province"),
        },
    )
    world.nodes["neighbour"] = _below(folder / "neighbour", above.sync_port)
    _change_config(folder / "commune", lan_host="127.0.0.1", lan_port=lan_port)
    _change_config(province, sync_address=f"127.0.0.1:{above.sync_port}")
    return world


def _below(folder: Path, parent_port: int) -> NodeProcess:
    node = NodeProcess(folder, parent_port=parent_port)
    _change_config(folder, sync_host="")
    return node


def _change_config(folder: Path, **changes: Any) -> None:
    write_config(folder, replace(read_config(folder), lan_discovery=False, **changes))


def enrolled(folder: Path, name: str, code: str, parent: str) -> Office:
    """Return a commune of the attacker, signed by the province in a folder of that name."""
    office = Office(folder / name, code, f"Xã {code}")
    office.enrol(sign_request(folder / parent, office.request(), Clock().now_ms(), 365))
    return office


def _hire(folder: Path) -> None:
    with opened_station(folder, system_rng()) as station:
        accounts = Accounts(station.connection)
        with station.replica.transaction():
            for role in Role:
                accounts.put(
                    user=user_of(role),
                    name=f"Người thử {role.value}",
                    role=role,
                    password=PASSWORD,
                    salt=system_entropy(16),
                )


async def _fill(world: World) -> None:
    """Register a visit with a file and a draft, and wait until the province has it all."""
    world.form = {
        "held_on": Clock().today().isoformat(),
        "people": [
            {
                "full_name": "Vi Thị Mơ",
                "identity_type": "cccd",
                "identity_number": "040162001234",
                "identity_checked": True,
            }
        ],
        "petitions": [{"case_type": "khieu_nai", "title": "Đất rẫy", "content": "Nội dung."}],
        "statement_recorded": True,
        "readback": "signature",
    }
    async with world.signed_in(OFFICER) as officer:
        made = await officer.ask("POST", "/api/v1/visits", world.form, {"Idempotency-Key": KEY})
        case = made.body["case_ids"][0]
        form = aiohttp.FormData()
        form.add_field("file", PAPER, filename="don.pdf", content_type="application/pdf")
        attached = await officer.ask("POST", f"/api/v1/documents/{case}/attachments", form)
        draft = "01a0c450-6c00-7226-b63c-5ab791b7584a"
        await officer.ask("PUT", f"/api/v1/drafts/{draft}", {"body": {"statement": "Ghi dở"}})
        world.ids = {
            "case": case,
            "person": made.body["people_ids"][0],
            "visit": made.body["visit_id"],
            "petition": made.body["petition_ids"][0],
            "file": attached.body["sha256"],
            "draft": draft,
        }
    for _ in range(_SETTLES_MAX):
        if _is_settled(world):
            return
        await asyncio.sleep(_LOOK_S)
    raise RuntimeError("the commune's records did not arrive at the province")


def _is_settled(world: World) -> bool:
    """Tell whether the commune's log and file are at the province, signed, and both are silent."""
    sizes = {
        node: world.rows(node, "SELECT count(DISTINCT hash) FROM change")
        for node in ("commune", "province")
    }
    name = world.ids["file"]
    has_file = (world.province.folder / "blobs" / name[:2] / name).is_file()
    has_links = len(world.rows("province", "SELECT 1 FROM peer WHERE is_child")) == 2
    return sizes["commune"] == sizes["province"] and has_file and has_links
