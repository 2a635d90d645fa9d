"""A node on a file system that really fills up; run by test_bad_days in a mount namespace.

Registers visits until the disk is full, then looks whether all that were acknowledged are there,
that pages still answer, and that work goes on once there is room again.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import NodeProcess, Person, Refused, add_account


def _visit(number: int) -> dict[str, object]:
    return {
        "held_on": "2026-11-23",
        "people": [{"full_name": f"Lô Văn {number}"}],
        "petitions": [
            {"case_type": "khieu_nai", "title": f"Đơn số {number}", "content": "Nội dung. " * 3_000}
        ],
    }


async def _story(node: NodeProcess, make_room: Callable[[], None]) -> None:
    await node.wait_until_up()
    lan = Person(node, "lan")
    try:
        await lan.sign_in()
        acknowledged = 0
        refusal = None
        while refusal is None:
            try:
                await lan.ask("POST", "/visits", _visit(acknowledged))
                acknowledged += 1
            except Refused as refused:
                refusal = refused
        print(refusal.status, refusal.code, refusal.body["message"])
        assert (refusal.status, refusal.code) == (507, "disk_full")
        assert acknowledged > 0
        assert (await lan.ask("GET", "/cases"))["count"] == acknowledged
        make_room()
        await lan.ask("POST", "/visits", _visit(acknowledged))
        assert (await lan.ask("GET", "/cases"))["count"] == acknowledged + 1
    finally:
        await lan.close()


def main(folder: Path) -> None:
    """Fill the file system under folder."""
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    add_account(folder / "commune", "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    ballast = folder / "ballast"
    ballast.write_bytes(b"\0" * (4 << 20))
    node = NodeProcess(folder / "commune")
    node.start()
    try:
        asyncio.run(_story(node, ballast.unlink))
    finally:
        status = node.stop()
    log = (folder / "commune" / "node.log").read_text(encoding="utf-8")
    assert status == 0, f"the node ended with status {status}:\n{log}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
