"""Processes that end, disks that refuse, clocks that jump, lines that are down for a month."""

from functools import partial
from typing import TYPE_CHECKING, Final

from schemas.codes import Tier
from tests.simulation.dialling import dial
from tests.simulation.identities import START_MS
from tests.simulation.plans import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from tests.simulation.storage import Moment, Trap

if TYPE_CHECKING:
    from tests.simulation.world import World

# After a crash a process is down for so long at most.
RESTART_MS_MAX: Final = 5 * MINUTE_MS


def set_trap(world: "World", code: str, *, is_crash: bool) -> None:
    """Set a trap: at the next statement of one kind, or after so many of any kind."""
    rng, plan, guard = world.rng, world.plan, world.nodes[code].guard
    kind = rng.choice(sorted(guard.counts)) if guard.counts and rng.random() < 0.6 else ""
    kind = plan.crash_kind or kind
    moments: list[Moment] = ["before", "after"]
    moment = rng.choice([plan.crash_moment] if plan.crash_moment else moments)
    countdown = rng.randint(1, 2) if kind else rng.randint(1, 150)
    guard.arm(Trap(kind, countdown, moment, is_crash))


def set_clock(world: "World") -> None:
    """Let a clock jump, by as much as weeks or to 1970, or somebody set it right."""
    rng, now_ms = world.rng, world.now_ms
    node = rng.choice(list(world.nodes.values()))
    if rng.random() < 0.15:
        node.set_clock(0, now_ms)
    elif rng.random() < 0.2:
        node.set_clock(START_MS + now_ms, now_ms)
    else:
        unit = rng.choice((MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS))
        jump_ms = rng.choice((-1, 1)) * rng.randint(1, 6) * unit
        node.set_clock(node.clock_ms(now_ms) + jump_ms, now_ms)
    world.note(f"{node.code} clock is off by {node.offset_ms} ms")


def black_out(world: "World") -> None:
    """Let a node that others dial fall; when it is back, all of them dial at once."""
    parent = world.rng.choice([n for n in world.nodes.values() if n.office.tier != Tier.COMMUNE])
    world.crash(parent, "blackout")
    world.counts["blackouts"] += 1
    for code, node in world.nodes.items():
        if node.office.parent == parent.code:
            world.after(RESTART_MS_MAX + SECOND_MS, partial(dial, world, code))


def cut_off(world: "World") -> None:
    """Take the line of a commune or a province away for long."""
    code = world.rng.choice([c for c, node in world.nodes.items() if node.office.parent])
    world.note(f"{code} is cut off")
    world.counts["outages"] += 1
    world.cut_off_until_ms[code] = world.now_ms + world.plan.outage_ms
    if code in world.contacts:
        world.close_contact(world.contacts[code], "cut off")
