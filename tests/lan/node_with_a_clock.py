"""Serves a node whose clock jumps five minutes ahead at SIGUSR1: codes expire when a test wants.

Only durations jump, as the node measures them; wall time stays, so certificates fit.
"""

import asyncio
import signal
import sys
from pathlib import Path

from crypto.pairing import LIFETIME_MS
from node import app
from node.clock import Clock


class JumpingClock(Clock):
    """The machine's clock, ahead by what was signalled."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


def main(folder: Path) -> None:
    def jump(*_: object) -> None:
        JumpingClock.ahead_s += LIFETIME_MS / 1000

    signal.signal(signal.SIGUSR1, jump)
    vars(app)["Clock"] = JumpingClock
    asyncio.run(app.serve(folder, lambda addresses: print(addresses.lan_url, flush=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
