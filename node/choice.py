"""Which way a link takes: the WebSocket where TCP does its work, datagrams where it drowns.

Pure: it is told what was seen and when, and says what to try. TCP waits twice as long each time a
packet is lost again; where one in ten is lost, that is most of its time.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

Way = Literal["websocket", "datagrams"]
# Why the present way was taken; words for it are in messages.toml.
Reason = Literal["usual", "losses", "unreachable", "remembered", "calm", "broken", "forbidden"]

# TCP drowns: of the last packets, such a share was lost, and not just one by chance.
_DROWNING: Final = 0.06
_LOST_MIN: Final = 2
_RECENT_S: Final = 60.0
# Or one packet was lost so often in a row.
_DOUBLINGS: Final = 2
# Datagrams are not needed any more: for so long hardly any was lost, of enough.
_CALM: Final = 0.015
_CALM_S: Final = 600.0
_CALM_PACKETS: Final = 40
# TCP drowned soon after it was taken again: it is given longer to recover, each time.
_CALM_S_MAX: Final = 4 * 3_600.0
# UDP that nobody answers is asked once more soon, then rarely: some hundred bytes an hour.
_BLOCKED_S: Final = 60.0
_BLOCKED_NEXT_S: Final = 2 * 3_600.0
_BLOCKED_S_MAX: Final = 24 * 3_600.0
# UDP that was answered and failed all the same, as it may on a line that loses a third.
_FAILED_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What one link lost so far.

    Attributes:
        packets: that left.
        lost: of these.
        doublings: how often the wait for an answer has doubled by now.
    """

    packets: int
    lost: int
    doublings: int = 0


class Choice:
    """The memory of one uplink; it outlives its links.

    Attributes:
        way: taken now or last.
        reason: why.
    """

    def __init__(self, *, may_datagrams: bool) -> None:
        """Know nothing: the usual way."""
        self.way: Way = "websocket"
        self.reason: Reason = "usual" if may_datagrams else "forbidden"
        self._may_datagrams = may_datagrams
        self._not_before_s = 0.0
        self._blocked_s = _BLOCKED_S
        self._calm_s = _CALM_S
        self._prefers: Way = "websocket"
        self._seen: deque[tuple[float, Losses]] = deque()

    def may_try_datagrams(self, now_s: float) -> bool:
        """Tell whether UDP is worth its bytes now."""
        return self._may_datagrams and now_s >= self._not_before_s

    def only(self, now_s: float) -> Way | None:
        """Return the one way to dial; None: both may be."""
        return None if self.may_try_datagrams(now_s) else "websocket"

    def first(self) -> Way:
        """Return the way to dial first, of both."""
        return self._prefers

    def prefer(self, way: Way) -> None:
        """Dial this way first: it was better in the network that we are in."""
        self._prefers = way

    def take(self, way: Way, reason: Reason) -> None:
        """A link of this way is up."""
        if way == "datagrams":
            self._blocked_s, self._not_before_s = _BLOCKED_S, 0.0
        if reason in ("losses", "unreachable"):
            self._prefers = "datagrams"
            if self.reason == "calm":
                # TCP was taken again too early.
                self._calm_s = min(2 * self._calm_s, _CALM_S_MAX)
        elif reason == "calm":
            self._prefers = "websocket"
        self.way, self.reason = way, reason if self._may_datagrams else "forbidden"
        self._seen.clear()

    def datagrams_failed(self, now_s: float, *, is_answered: bool) -> None:
        """Datagrams did not get through, though the other way does or did."""
        if is_answered:
            self._not_before_s = now_s + _FAILED_S
            return
        self._not_before_s = now_s + self._blocked_s
        self._blocked_s = min(max(2 * self._blocked_s, _BLOCKED_NEXT_S), _BLOCKED_S_MAX)

    def wants_other(self, losses: Losses, now_s: float) -> Reason | None:
        """Tell whether, and why, the other way should be tried beside the present one.

        Args:
            losses: of the present link so far.
            now_s: monotonic clock; called every second or so.
        """
        if self.way == "websocket":
            self._remember(losses, now_s, _RECENT_S)
            if self.may_try_datagrams(now_s) and self._drowns(losses, now_s):
                return "losses"
            return None
        self._remember(losses, now_s, self._calm_s)
        return "calm" if self._is_calm(losses, now_s) else None

    def _remember(self, losses: Losses, now_s: float, for_s: float) -> None:
        if not self._seen or now_s - self._seen[-1][0] >= for_s / _RECENT_S:
            self._seen.append((now_s, losses))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - for_s:
            self._seen.popleft()

    def _drowns(self, losses: Losses, now_s: float) -> bool:
        since_s, before = self._seen[0]
        if now_s - since_s < _RECENT_S / 2:
            # A young link: all since its beginning, the handshake included.
            before = Losses(packets=0, lost=0)
        packets, lost = losses.packets - before.packets, losses.lost - before.lost
        is_lossy = lost >= _LOST_MIN and lost >= _DROWNING * packets
        return is_lossy or losses.doublings >= _DOUBLINGS

    def _is_calm(self, losses: Losses, now_s: float) -> bool:
        since_s, before = self._seen[0]
        packets, lost = losses.packets - before.packets, losses.lost - before.lost
        is_long = now_s - since_s >= self._calm_s * 0.99
        return is_long and packets >= _CALM_PACKETS and lost <= _CALM * packets
