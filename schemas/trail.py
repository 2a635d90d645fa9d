"""The mark that an audit trail leaves in the signed log."""

from dataclasses import dataclass

import cbor2

from schemas.errors import RecordError
from schemas.record import decode_cbor

LINES_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailMark:
    """How far an audit trail had come: body of a TRAIL leaf.

    Attributes:
        lines: how many lines it had.
        link: hash over all of them, 32 bytes.
    """

    lines: int
    link: bytes

    def encode(self) -> bytes:
        """Return the body of a TRAIL leaf."""
        return cbor2.dumps([self.lines, self.link], canonical=True)


def decode_trail(body: bytes) -> TrailMark:
    """Return the mark in the body of a TRAIL leaf.

    Raises:
        RecordError: the body does not have that shape.
    """
    items = decode_cbor(body, "trail")
    match items:
        case [int() as lines, bytes() as link] if _is_lines(lines) and len(link) == 32:
            mark = TrailMark(lines=lines, link=link)
            if mark.encode() == body:
                return mark
    raise RecordError("trail_malformed", "a mark of a trail is a number of lines and a hash")


def _is_lines(lines: int) -> bool:
    # To Python true is a number.
    return type(lines) is int and 0 <= lines <= LINES_MAX
