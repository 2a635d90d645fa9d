"""Listens to both sides of a link and says which logs each must hold, from docs/PROTOCOL.md alone.

It reads every frame and checks every head and cosignature on the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.independent import messages
from tests.independent.change_reader import Refused, need
from tests.independent.frame_reader import read_frame
from tests.independent.messages import ACK, FRAME, HEAD, HELLO
from tests.independent.peer import cosigned_text, head_text, log_id, root_of
from tests.independent.record_checker import Place


@dataclass
class Side:
    """One end of the link.

    Attributes:
        logs: leaves that it is known to hold.
        offered: log ids in the order of their offers, with their owners.
        cosigned: by log, how many leaves it has cosigned.
    """

    place: Place
    logs: dict[bytes, list[bytes]] = field(default_factory=dict)
    offered: list[tuple[bytes, Place]] = field(default_factory=list)
    dictionaries: list[bytes] = field(default_factory=list)
    cosigned: dict[bytes, int] = field(default_factory=dict)


class Listener:
    """Links between two sides; known are dictionaries by their names."""

    def __init__(self, sides: Sequence[Side], known: dict[bytes, bytes]) -> None:
        self.sides, self.known = sides, known

    def begin(self) -> None:
        """Begin another link: offers count anew."""
        for side in self.sides:
            side.offered, side.cosigned = [], {}

    def hear(self, side: int, data: bytes) -> None:
        """Take a message in that a side says."""
        mine, other = self.sides[side], self.sides[1 - side]
        for kind, items in messages.read(data):
            if kind == HELLO:
                self._hello(mine, other, *items)
            elif kind == FRAME:
                self._frame(mine, other, *items)
            elif kind == HEAD:
                self._head(mine, *items)
            elif kind == ACK:
                self._ack(mine, other, *items)

    def _hello(
        self, mine: Side, other: Side, _: int, __: int, first: int, offers: Any, names: Any
    ) -> None:
        need(first == len(mine.offered), "offers are not counted on")
        mine.dictionaries = names
        places = {each.place.key: each.place for each in self.sides}
        for owner, purpose, epoch, *_more in offers:
            whole = f"down/{other.place.key.hex()}" if purpose == "down" else purpose
            log = log_id(owner or mine.place.key, whole, epoch)
            mine.offered.append((log, places[owner or mine.place.key]))

    def _named(self, side: Side, reference: bytes) -> tuple[bytes, Place]:
        number = int.from_bytes(reference)
        need(len(reference) < 16 and number < len(side.offered), "log was not offered")
        return side.offered[number]

    def _frame(
        self, mine: Side, other: Side, reference: bytes, _: int, first: int, coding: int, data: Any
    ) -> None:
        log, _owner = self._named(mine, reference)
        sent, got = mine.logs.setdefault(log, []), other.logs.setdefault(log, [])
        need(first <= min(len(sent), len(got)), "frame came early")
        dictionary = self.known[mine.dictionaries[coding - 2]] if coding >= 2 else b""
        read = list(data) if coding == 0 else read_frame(data, dictionary, sent[:first])
        sent[first : first + len(read)] = read
        # What is here already stays.
        got += read[len(got) - first :]

    def _head(self, mine: Side, reference: bytes, size: int, root: bytes, signature: bytes) -> None:
        log, owner = self._named(mine, reference)
        leaves = mine.logs.get(log, [])[:size]
        need(len(leaves) == size, "head over leaves that were not said")
        need(root in (b"", root_of(leaves)), "leaves do not add up to the root")
        owner.verify(signature, head_text(owner.code, log, leaves))

    def _ack(
        self, mine: Side, other: Side, reference: bytes, have: int, gaps: Any, cosignatures: Any
    ) -> None:
        log, owner = self._named(other, reference)
        need(have <= len(mine.logs.get(log, [])) and not gaps, "more is acknowledged than was said")
        for peer, size, seconds, signature in cosignatures:
            places = {each.place.key: each.place for each in self.sides} | {b"": mine.place}
            if peer not in places:
                raise Refused("cosignature of a stranger")
            text = head_text(owner.code, log, mine.logs[log][:size])
            places[peer].verify(signature, cosigned_text(text, seconds))
            if places[peer] is mine.place:
                mine.cosigned[log] = size
