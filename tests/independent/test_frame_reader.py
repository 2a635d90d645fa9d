"""Packed frames are what docs/PROTOCOL.md says they are, to somebody else's program too.

Method: nodes exchange real records; frame_reader.py, which knows only the protocol, reads every
frame of the link and must find the very leaves that the sender's log holds.
"""

from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from schemas.events import Accepted, Noted
from schemas.ids import EventId
from schemas.wire import PACKED, WITH_DICTIONARY, Frame, Head
from tests.independent.frame_reader import read_frame
from tests.sync.builders import COMMUNE, PROVINCE, Link, Node, new_node, noise


def told_by_the_commune(commune: Node) -> None:
    """Write what uses every column and token: events that follow, groups, texts, two devices."""
    group = commune.open_case(90)
    for number in range(30):
        case = commune.open_case(number, Noted(text=f"ghi {number}"))
        (event,) = commune.rows(
            "SELECT id FROM event WHERE document = ? ORDER BY id LIMIT 1", case
        )[0]
        accepted = Accepted(on=date(2026, 12, 1), follows=(EventId(event),))
        commune.write(case, events=[accepted], author=commune.author(device=b"d" * 16))
        commune.write(case, fields={"title": f"{'ab' * 32} \xff {noise(40, number)} {'0' * 24}"})
        commune.write(group, texts={"summary": f"{case.hex()} {noise(50, number)}"})


@pytest.mark.parametrize("is_known", [False, True])
def test_the_protocol_is_enough_to_read_every_frame(tmp_path: Path, *, is_known: bool) -> None:
    commune, province = new_node(COMMUNE, tmp_path), new_node(PROVINCE, tmp_path)
    told_by_the_commune(commune)
    folder = files("sync") / "dictionaries"
    (dictionary,) = [item.read_bytes() for item in folder.iterdir() if item.name.endswith("zdict")]
    if is_known:
        digest = next(iter(folder.iterdir())).name.partition(".")[0]
        name = bytes.fromhex(digest)[:8]
        with commune.transaction():
            commune.store.set_meta(f"dictionaries {province.peer_id.hex()}", name)
    link = Link(commune, province).run()
    log = commune.log(commune.place)
    frames = [m for sender, m in link.sent if isinstance(m, Frame) and not sender]
    assert frames[0].coding == (WITH_DICTIONARY if is_known else PACKED)
    leaves: list[bytes] = []
    for frame in frames:
        assert (frame.first_seq, frame.total) == (len(leaves), len(frame.data))
        used = dictionary if frame.coding == WITH_DICTIONARY else b""
        leaves += read_frame(frame.data, used, leaves)
    assert any(frame.data[0] for frame in frames), "some are packed with a past"
    assert leaves == commune.store.leaves(log, 0, log.size + 1)
    assert any(isinstance(message, Head) for _, message in link.sent)
