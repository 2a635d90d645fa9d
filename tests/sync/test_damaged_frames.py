"""Goal: leaves that were damaged on the way cost one link; only a log that insists is stopped.

Method: two real replicas; frames are altered between them, below what a session can see.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.wire import Frame, Message, encode_message
from sync.errors import LinkError
from tests.sync.builders import COMMUNE, PROVINCE, Link, Node, handle, new_node, sync


@pytest.fixture
def commune(tmp_path: Path) -> Node:
    return new_node(COMMUNE, tmp_path)


@pytest.fixture
def province(tmp_path: Path) -> Node:
    return new_node(PROVINCE, tmp_path)


def spoilt(message: Message) -> Message:
    """Return a frame with one bit of its last leaf flipped, and everything else as it is."""
    if not isinstance(message, Frame):
        return message
    last = bytearray(message.leaves[-1])
    last[-1] ^= 1
    return replace(message, leaves=(*message.leaves[:-1], bytes(last)))


def talk_over_a_bad_line(commune: Node, province: Node) -> None:
    """Let the commune send everything damaged until one side ends the link."""
    link = Link(commune, province)
    heard: list[Message] = []
    for _ in range(5):
        said = [spoilt(message) for message in handle(commune, link.up, map_bytes(heard))]
        heard = handle(province, link.down, map_bytes(said))


def map_bytes(messages: list[Message]) -> list[bytes]:
    return [encode_message(message) for message in messages]


def test_leaves_damaged_once_come_again_and_nothing_is_lost(commune: Node, province: Node) -> None:
    case = commune.open_case()
    with pytest.raises(LinkError, match="do not add up") as ended:
        talk_over_a_bad_line(commune, province)
    assert ended.value.code == "leaves_damaged"
    assert province.alarms() == []
    assert province.rows("SELECT * FROM pending_leaf") == []
    sync(commune, province)
    assert province.values(case) == commune.values(case)
    assert province.alarms() == []
    assert commune.alarms() == []


def test_a_log_that_never_adds_up_is_stopped_with_its_evidence(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    with pytest.raises(LinkError):
        talk_over_a_bad_line(commune, province)
    talk_over_a_bad_line(commune, province)
    assert province.alarms() == ["log_forked"]
    assert commune.alarms() == ["log_forked"]
    assert province.rows("SELECT count(*) FROM pending_leaf") != [(0,)]
    assert province.log(commune.place).fault == "log_forked"


def test_damage_long_ago_is_forgotten_once_the_log_added_up(commune: Node, province: Node) -> None:
    for number in range(3):
        commune.open_case(number)
        with pytest.raises(LinkError):
            talk_over_a_bad_line(commune, province)
        sync(commune, province)
    assert province.alarms() == []
    assert province.log(commune.place).size == commune.log(commune.place).size
