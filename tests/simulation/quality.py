"""How a line between two nodes treats what is sent over it."""

import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How a contact treats messages.

    Attributes:
        latency_ms: shortest and longest time on the way.
        loss: share of messages that vanish while the link stays up.
        twice: share that arrives a second time.
        overtaken: share that later ones may overtake.
        rate_bytes_s: what the line carries each way; 0: anything.
        is_stream: what is lost comes again, as TCP sees to, and what follows waits for it.
        spoiled: share of packets that arrive cut short or with bits flipped.
        takes_tcp: a stream comes up on it; it may be too poor.
        takes_udp: packets pass; a firewall may drop them all.
    """

    latency_ms: tuple[int, int] = (20, 60)
    loss: float = 0.0
    twice: float = 0.0
    overtaken: float = 0.0
    rate_bytes_s: int = 0
    is_stream: bool = False
    spoiled: float = 0.0
    takes_tcp: bool = True
    takes_udp: bool = True


PERFECT: Final = Quality()


def draw_quality(rng: random.Random) -> Quality:
    """Return the quality of one contact: most links are streams, some are worse."""
    slow = rng.choice((80, 300, 900, 4_000))
    latency_ms = (slow // 4, slow)
    takes_udp = rng.random() < 0.8
    if rng.random() < 0.6:
        return Quality(latency_ms=latency_ms, takes_udp=takes_udp)
    return Quality(
        latency_ms=latency_ms,
        loss=rng.choice((0.0, 0.05, 0.3)),
        twice=rng.choice((0.0, 0.1)),
        overtaken=rng.choice((0.0, 0.1)),
        spoiled=rng.choice((0.0, 0.05)),
        takes_tcp=rng.random() < 0.5,
        takes_udp=takes_udp,
    )
