"""What is remembered of the way to the parent when the node starts again: one small file.

It is only a hint of what to dial first, so a file that cannot be read counts as none.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node.choice import Way

log = logging.getLogger(__name__)

WAYS_NAME: Final = "ways.json"
# A line that was bad so long ago may be good by now.
_KEPT_MS: Final = 7 * 86_400_000
# What stays the same is not written more often: flash wears out.
_WRITTEN_MS: Final = 86_400_000
# Networks that a machine is carried to and fro between.
_NETWORKS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class _Known:
    """Where datagrams were the better way.

    Attributes:
        parent: `host:port`.
        own: our address on the way there, which tells networks apart.
        at_ms: wall clock.
    """

    parent: str
    own: str
    at_ms: int


class Ways:
    """Networks in which the parent was reached better by datagrams."""

    def __init__(self, folder: Path) -> None:
        """Read what a node's folder remembers."""
        self._path = folder / WAYS_NAME
        self._known = read_ways(self._path)

    def better(self, parent: str, own: str, now_ms: int) -> Way:
        """Return the way to dial first in a network."""
        return "datagrams" if self._find(parent, own, now_ms) is not None else "websocket"

    def keep(self, parent: str, own: str, way: Way, now_ms: int) -> None:
        """Remember the better way in a network; a disk that refuses only makes us forget."""
        known = self._find(parent, own, now_ms)
        if way == "websocket" and known is None:
            return
        if way == "datagrams" and known is not None and now_ms - known.at_ms < _WRITTEN_MS:
            return
        others = [one for one in self._known if (one.parent, one.own) != (parent, own)]
        fresh = [_Known(parent, own, now_ms)] if way == "datagrams" else []
        self._known = [*others, *fresh][-_NETWORKS_MAX:]
        draft = self._path.with_suffix(".new")
        try:
            draft.write_text(json.dumps([asdict(one) for one in self._known]), encoding="utf-8")
            draft.replace(self._path)
        except OSError as error:
            log.warning("ways not kept", extra={"reason": error.strerror})

    def _find(self, parent: str, own: str, now_ms: int) -> _Known | None:
        for one in self._known:
            if (one.parent, one.own) == (parent, own) and 0 <= now_ms - one.at_ms < _KEPT_MS:
                return one
        return None


def read_ways(path: Path) -> list[_Known]:
    """Return what stands in a file; of one that is damaged nothing."""
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
        known = [_Known(item["parent"], item["own"], int(item["at_ms"])) for item in items]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        log.warning("ways not read", extra={"reason": type(error).__name__})
        return []
    return known[-_NETWORKS_MAX:]
