"""Those who called and have not begun: how many may be at it at once, and who goes for whom.

Pure. Whoever opens handshakes and leaves them lying makes room itself: with too many at once, the
oldest of the place goes from which most are open. So nobody keeps callers of other places out, and
many communes behind one address may use all there is.
"""

from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Generic, TypeVar

# All communes of a province at once, and more; each holds some ten kilobytes until it has begun.
CALLERS_MAX: Final = 256

K = TypeVar("K")


class Callers(Generic[K]):
    """Callers by whatever tells them apart."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._places: dict[K, str] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)

    def admit(self, caller: K, address: tuple[Any, ...]) -> K | None:
        """Count a new caller; return who has to go for it, perhaps itself, if anybody has to.

        Args:
            caller: not counted yet.
            address: of its socket, the host first.
        """
        self._places[caller] = _place(str(address[0]))
        if len(self._places) <= CALLERS_MAX:
            return None
        counts = Counter(self._places.values())
        most = max(counts.values())
        leaving = next(each for each, place in self._places.items() if counts[place] == most)
        self.end(leaving)
        return leaving

    def end(self, caller: K) -> None:
        """Forget a caller that has begun or gone."""
        self._places.pop(caller, None)


def _place(host: str) -> str:
    """Return what one caller cannot change at will: in IPv6, it has a whole network."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or int(address) >> 64)
