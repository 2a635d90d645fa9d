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
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

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

_CASES_A_TRANSACTION = 500
# The fields that a case holds as fields; the others say how it was received.
_FIELDS = ("title", "topic", "location", "respondent_name", "respondent_code", "register_number")


async def main(folder: Path, cases: Path) -> None:
    """Run the commune until standard input ends."""
    rng = system_rng()
    station = open_station(folder, rng)
    with hastily(station):
        write_cases(station, read_cases(cases))
    node = Node(station, Clock(), rng)
    assert node.uplink is not None
    await node.set_link_cut(True)
    try:
        async with asyncio.TaskGroup() as group:
            uplink = group.create_task(node.uplink.run(), name="uplink")
            await _obey(node, station)
            uplink.cancel()
    finally:
        await node.close()


def officer(station: Station) -> Author:
    """Return who writes everything."""
    return Author(
        user="mai",
        name="Đinh Thị Mai",
        role=Role.RECEPTION_OFFICER.value,
        device=station.replica.device,
    )


def write_cases(station: Station, cases: Sequence[Case]) -> None:
    """Open each case at its own time."""
    for start in range(0, len(cases), _CASES_A_TRANSACTION):
        with station.replica.transaction():
            for case in cases[start : start + _CASES_A_TRANSACTION]:
                _open_case(station, case)


def _open_case(station: Station, case: Case) -> None:
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


async def _obey(node: Node, station: Station) -> None:
    print("null", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        [(name, argument)] = json.loads(line).items()
        match name:
            case "connect" | "disconnect":
                await node.set_link_cut(name == "disconnect")
            case "edit":
                await _edit(node, station, argument)
            case "arrived":
                await _arrived(node)
        print("null", flush=True)


async def _edit(node: Node, station: Station, edits: list[dict[str, Any]]) -> None:
    """Make all edits in one transaction."""
    author = officer(station)

    def work(now_ms: int) -> None:
        for edit in edits:
            request = EditFields(fields={edit["field"]: edit["value"]})
            station.desk.edit(author, edit["id"], request, min(edit["at_ms"], now_ms))

    await node.write(work)


async def _arrived(node: Node) -> None:
    seen = node.changes.number
    while (await node.read(lambda db: waiting(db, node.tier))).records:
        seen = await node.changes.wait(seen, 1.0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
