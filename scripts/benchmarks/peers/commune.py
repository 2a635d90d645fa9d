"""A commune at the near end: the node as it runs, told by lines on standard input what to do.

Run as a process of its own: `python -m scripts.benchmarks.peers.commune FOLDER CASES`. It writes
the cases before its link starts, answers `null` once it is ready, then obeys JSON lines, each
answered by one: `{"connect": null}`, `{"disconnect": null}`, `{"expect": [...]}` (nothing to note),
`{"edit": [...]}`, and `{"arrived": null}`, which is answered when the province has countersigned
all that was written. It is `tiepdan serve` without the pages, because a hundred edits in one
transaction are not a request that a page can make.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

from node.app import Node
from node.clock import Clock
from node.entropy import system_rng
from node.queries.sync_state import waiting
from node.requests import EditFields
from node.station import Station, open_station
from schemas.codes import CaseType, Channel, Role
from schemas.events import Received, Registered
from schemas.ids import parse_document_id
from scripts.benchmarks.offices import hastily
from scripts.benchmarks.peers.casebook import Case, read_cases
from sync.replica import Author

Order: TypeAlias = Callable[[Any], Awaitable[Any]]

_CASES_A_TRANSACTION = 500
# The fields that a case holds as fields; the others say how it was received.
_FIELDS = ("title", "topic", "location", "respondent_name", "respondent_code", "register_number")


class Commune:
    """The commune and its orders, by name.

    Attributes:
        node_type: what runs it.
    """

    node_type: type[Node] = Node

    def __init__(self, node: Node, station: Station) -> None:
        """Take the orders of a running node."""
        self.node = node
        self.station = station

    def orders(self) -> dict[str, Order]:
        """Return what can be ordered."""
        return {
            "connect": self._connect,
            "disconnect": self._disconnect,
            "expect": self._expect,
            "edit": self._edit,
            "arrived": self._arrived,
        }

    async def _connect(self, _: Any) -> None:
        await self.node.set_link_cut(False)

    async def _disconnect(self, _: Any) -> None:
        await self.node.set_link_cut(True)

    async def _expect(self, _: Any) -> None:
        """Note nothing: the countersignature tells."""

    async def _edit(self, edits: list[dict[str, Any]]) -> None:
        """Make all edits in one transaction."""
        author, desk = officer(self.station), self.station.desk

        def work(now_ms: int) -> None:
            for edit in edits:
                request = EditFields(fields={edit["field"]: edit["value"]})
                desk.edit(author, edit["id"], request, min(edit["at_ms"], now_ms))

        await self.node.write(work)

    async def _arrived(self, _: Any) -> None:
        await countersigned(self.node)


async def main(folder: Path, cases: Path, program: type[Commune] = Commune) -> None:
    """Run the commune until standard input ends."""
    rng = system_rng()
    station = open_station(folder, rng)
    with hastily(station):
        write_cases(station, read_cases(cases))
    node = program.node_type(station, Clock(), rng)
    assert node.uplink is not None
    await node.set_link_cut(True)
    try:
        async with asyncio.TaskGroup() as group:
            uplink = group.create_task(node.uplink.run(), name="uplink")
            await obey(program(node, station).orders())
            uplink.cancel()
    finally:
        await node.close()


async def countersigned(node: Node) -> None:
    """Wait until the tier above has countersigned all that was written."""
    seen = node.changes.number
    while (await node.read(lambda db: waiting(db, node.tier))).records:
        seen = await node.changes.wait(seen, 1.0)


def officer(station: Station, role: Role = Role.RECEPTION_OFFICER) -> Author:
    """Return who writes everything."""
    return Author(
        user="mai",
        name="Đinh Thị Mai",
        role=role.value,
        device=station.replica.device,
    )


def write_cases(station: Station, cases: Sequence[Case]) -> None:
    """Open each case at its own time."""
    for start in range(0, len(cases), _CASES_A_TRANSACTION):
        with station.replica.transaction():
            for case in cases[start : start + _CASES_A_TRANSACTION]:
                open_case(station, case)


def open_case(station: Station, case: Case) -> None:
    """Open one case, inside the caller's transaction."""
    received = Received(
        on=date.fromisoformat(case.fields["received_on"]),
        channel=Channel(case.fields["channel"]),
        stated_type=CaseType(case.fields["case_type"]),
    )
    station.desk.open_case(
        officer(station),
        parse_document_id(case.id),
        [received, Registered()],
        {name: case.fields[name] for name in _FIELDS},
        {"summary": case.fields["summary"]},
        case.at_ms,
    )


async def obey(orders: Mapping[str, Order]) -> None:
    """Do what standard input says, until it ends; one line of answer to each line of order."""
    print("null", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        [(name, argument)] = json.loads(line).items()
        print(json.dumps(await orders[name](argument)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
