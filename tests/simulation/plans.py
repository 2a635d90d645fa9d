"""How long a story is, how large its country, and how much goes wrong in it."""

import random
from dataclasses import dataclass
from typing import Final

from sync import session
from tests.simulation.identities import CENTRE, PLACES
from tests.simulation.storage import Moment

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# Somebody has no line for a month; before and after there are days.
_MONTH: Final = 0.07
_OUTAGE_MS: Final = 30 * DAY_MS
_MONTH_MS: Final = _OUTAGE_MS + 4 * DAY_MS

_ALL_PLACES: Final = tuple(code for code, _ in PLACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long a story is and how much goes wrong in it.

    Attributes:
        places: codes of the offices that there are, those above first.
        restores: disks of communes that are put back to what they held earlier.
        revocations: communes whose key counts no longer from then on.
        rollbacks: disks of provinces and the centre that are put back, some with one below.
        harms: leaves that a disk loses or alters.
        blackouts: nodes that fall and, when they are back, are dialled by all at once.
        outage_ms: so long one commune or province has no line; 0: no such outage.
        link_up_ms, link_down_ms: mean length of a contact and of the time without one.
        packs: packs that somebody makes, to arrive late, twice, in parts or never.
        bad_sticks: share of the copies of a pack that are damaged when they arrive.
        damages: messages that arrive otherwise than they were sent, as from a peer whose memory
            fails: on a line, TLS would notice.
        message_ms: how long a node has to work for each message.
        tick_ms: how often a session looks at what it waits for, without any news.
        has_frequent_polls: late cosignatures are asked for every few minutes; else, as in the
            product, ever more rarely: what a message that vanished said may take hours.
        crash_kind, crash_moment: all crashes happen at this kind of statement, if given.
    """

    places: tuple[str, ...] = _ALL_PLACES
    length_ms: int = 3 * HOUR_MS
    actions: int = 45
    link_up_ms: int = 4 * MINUTE_MS
    link_down_ms: int = 20 * MINUTE_MS
    crashes: int = 6
    power_cuts: int = 2
    disk_faults: int = 3
    clock_jumps: int = 4
    packs: int = 0
    bad_sticks: float = 0.0
    restores: int = 0
    revocations: int = 0
    rollbacks: int = 0
    harms: int = 0
    blackouts: int = 0
    outage_ms: int = 0
    damages: int = 0
    is_clean: bool = False
    has_small_limits: bool = True
    has_frequent_polls: bool = False
    message_ms: int = 0
    tick_ms: int = session.RETRY_MS
    crash_kind: str = ""
    crash_moment: Moment | None = None

    @property
    def late_ms(self) -> int:
        """How late a pack may be; a copy of a disk is put back within half of the story."""
        return max(90 * MINUTE_MS, self.length_ms // 4)


QUIET: Final = Plan(
    crashes=0, power_cuts=0, disk_faults=0, clock_jumps=0, is_clean=True, has_small_limits=False
)


@dataclass(frozen=True, slots=True)
class _Scale:
    """A size of country.

    Attributes:
        weight: how many of a hundred stories.
        communes: of each province.
        faults: most of each kind.
    """

    weight: int
    communes: tuple[int, ...]
    length_ms: int
    actions: int
    faults: int


_SCALES: Final = (
    # Most promises break among few, if at all: a small story costs a fifth of a large one.
    _Scale(75, (2,), HOUR_MS, 16, 3),
    _Scale(18, (2, 1), 90 * MINUTE_MS, 24, 4),
    _Scale(7, (4, 4), 3 * HOUR_MS, 45, 6),
)
# A kind of fault that is in every story hides what happens without it.
_IN_A_STORY: Final = 0.6
_SELDOM: Final = 0.3
_RARE: Final = 0.1


def draw_plan(seed: int) -> Plan:
    """Return the plan of a seed: the size of its country, and faults from the menu."""
    # Text seeds Random in the same way everywhere, and apart from the story's own generator.
    rng = random.Random(f"plan {seed}")
    scale = rng.choices(_SCALES, [scale.weight for scale in _SCALES])[0]

    def some(share: float, most: int) -> int:
        return rng.randint(1, most) if rng.random() < share else 0

    is_month, has_small_limits = rng.random() < _MONTH, rng.random() < 0.8
    return Plan(
        places=_draw_places(rng, scale.communes),
        length_ms=_MONTH_MS if is_month else scale.length_ms,
        actions=scale.actions * (1 + is_month),
        link_up_ms=rng.choice((1, 4, 10)) * MINUTE_MS,
        link_down_ms=rng.choice((1, 2, 4)) * DAY_MS
        if is_month
        else rng.choice((4, 10, 20)) * MINUTE_MS,
        outage_ms=_OUTAGE_MS if is_month else 0,
        crashes=some(_IN_A_STORY, scale.faults),
        power_cuts=some(_SELDOM, 2),
        disk_faults=some(_IN_A_STORY, scale.faults),
        clock_jumps=some(_IN_A_STORY, scale.faults),
        packs=some(_SELDOM, 2 * scale.faults),
        bad_sticks=rng.choice((0.0, 0.3)),
        restores=some(_SELDOM, 3),
        revocations=some(_RARE, 2),
        rollbacks=some(_RARE / 2, 1),
        # What disks lost is found within a day, and days are short where limits are small.
        harms=some(_RARE, 3) if has_small_limits else 0,
        # Two in a row of one log stop it, rightly.
        damages=some(_SELDOM, 1),
        blackouts=some(_SELDOM, 2),
        message_ms=rng.choice((0, 0, 5, 100)),
        has_small_limits=has_small_limits,
        has_frequent_polls=rng.random() < 0.5,
    )


def _draw_places(rng: random.Random, communes: tuple[int, ...]) -> tuple[str, ...]:
    provinces = sorted(code for code in _ALL_PLACES if code != CENTRE and "." not in code)
    chosen = {CENTRE}
    for province, count in zip(rng.sample(provinces, len(communes)), communes, strict=True):
        below = [code for code in _ALL_PLACES if code.startswith(province + ".")]
        chosen.update((province, *rng.sample(below, count)))
    return tuple(code for code in _ALL_PLACES if code in chosen)
