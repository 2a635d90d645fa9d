"""Goal: whatever happens to links, processes, disks and clocks, no promise of the protocol breaks.

Method: seeded stories of one centre, two provinces and eight communes on the real replica; the
ledger checks every step, and at the end all nodes of a scope must hold the same records.
`scripts/simulate` runs more of them, and one again by its seed.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.plans import DAY_MS, HOUR_MS, MINUTE_MS, QUIET, Plan, draw_plan
from tests.simulation.storage import Moment
from tests.simulation.world import World

_SEEDS: Final = 2_000
_SEEDS_PER_TEST: Final = 10
_SEEDS_DRAWN_PER_TEST: Final = 40
_FEW: Final = ("0", "40", "40.17083", "40.17084", "44", "44.18901")
# What is in every forty stories.
_ALWAYS: Final = (
    "lost",
    "twice",
    "overtaken",
    "damaged",
    "packs taken",
    "restores",
    "by datagrams",
    "apart taken over",
    "packets lost",
    "packets twice",
    "packets overtaken",
    "packets spoiled",
    "blackouts",
)
_SHORT: Final = Plan(
    places=_FEW,
    actions=25,
    crashes=12,
    power_cuts=0,
    disk_faults=0,
    clock_jumps=1,
)
_PARTS: Final = 4
_PACK_SEEDS: Final = 20
# Lines are short and rare; most goes by boat.
_BOATS: Final = Plan(packs=40, bad_sticks=0.2, link_up_ms=MINUTE_MS, link_down_ms=HOUR_MS)

_REVOKED_SEEDS: Final = 40
# Some go by stick, too: that way a revoked node still reaches somebody.
_STOLEN: Final = Plan(revocations=3, packs=12)
# Now and then there is a line, but for one place, which has none for thirty days.
_MONTH: Final = Plan(
    places=_FEW,
    length_ms=34 * DAY_MS,
    outage_ms=30 * DAY_MS,
    actions=60,
    link_down_ms=2 * DAY_MS,
    packs=8,
    restores=1,
    revocations=1,
)
_TOGETHER: Final = Plan(
    places=_FEW, restores=2, revocations=1, rollbacks=1, damages=1, packs=8, blackouts=3
)


def tell(seed: int, folder: Path, plan: Plan) -> World:
    """Run one story to its end; a failure names its seed."""
    world = World(seed, folder / str(seed), plan)
    try:
        world.run()
    except BaseException as error:
        is_drawn = plan == draw_plan(seed)
        error.add_note(
            f"to see it again: scripts/simulate --show {seed}"
            if is_drawn
            else f"seed {seed}, {plan}"
        )
        raise
    finally:
        world.close()
    return world


@pytest.mark.parametrize("first", range(0, _SEEDS, _SEEDS_DRAWN_PER_TEST))
def test_no_promise_breaks_in_any_story(first: int, tmp_path: Path) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + _SEEDS_DRAWN_PER_TEST):
        world = tell(seed, tmp_path, draw_plan(seed))
        happened += world.counts + world.wire.counts
    # A story in which nothing happens would prove nothing.
    assert happened["deeds"] > 10 * _SEEDS_DRAWN_PER_TEST
    assert happened["crashes"] > _SEEDS_DRAWN_PER_TEST // 2
    assert happened["apart cut"] > 2 * _SEEDS_DRAWN_PER_TEST
    for fault in _ALWAYS:
        assert happened[fault], fault


@pytest.mark.parametrize("first", range(0, _PACK_SEEDS, _SEEDS_PER_TEST))
def test_packs_late_twice_or_never_between_contacts_break_no_promise(
    first: int, tmp_path: Path
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + _SEEDS_PER_TEST):
        happened += tell(seed, tmp_path, _BOATS).counts
    assert happened["packs taken"] > 10 * _SEEDS_PER_TEST
    assert happened["bad sticks"] > _SEEDS_PER_TEST
    assert happened["crashes"] > _SEEDS_PER_TEST


@pytest.mark.parametrize("first", range(30_000, 30_000 + _REVOKED_SEEDS, _SEEDS_PER_TEST))
def test_a_revoked_node_that_keeps_sending_changes_nothing_for_the_others(
    first: int, tmp_path: Path
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + _SEEDS_PER_TEST):
        happened += tell(seed, tmp_path, _STOLEN).counts
    assert happened["revocations"] > _SEEDS_PER_TEST
    assert happened["apart key_revoked"] > _SEEDS_PER_TEST


def test_after_a_month_without_a_line_everything_arrives_once(tmp_path: Path) -> None:
    happened: Counter[str] = Counter()
    for seed in range(50_000, 50_000 + _SEEDS_PER_TEST):
        happened += tell(seed, tmp_path, _MONTH).counts
    assert happened["outages"] == _SEEDS_PER_TEST
    assert happened["restores"] > _SEEDS_PER_TEST // 2
    assert happened["revocations"] > _SEEDS_PER_TEST // 2


def test_disks_put_back_at_every_tier_and_a_theft_in_one_story_break_no_promise(
    tmp_path: Path,
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(60_000, 60_000 + _SEEDS_PER_TEST):
        happened += tell(seed, tmp_path, _TOGETHER).counts
    assert happened["restores"] > 2 * _SEEDS_PER_TEST
    assert happened["revocations"] > _SEEDS_PER_TEST // 2
    assert happened["told to wait"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("part", range(_PARTS))
def test_a_crash_at_any_statement_breaks_no_promise(
    part: int, moment: Moment, tmp_path: Path
) -> None:
    writes = written_kinds(tmp_path / "seen")[part::_PARTS]
    sprung: Counter[str] = Counter()
    for number, kind in enumerate(writes):
        plan = replace(_SHORT, crash_kind=kind, crash_moment=moment)
        world = tell(number, tmp_path / kind.replace(" ", "_"), plan)
        for node in world.nodes.values():
            for (where, when, is_crash), count in node.guard.sprung.items():
                assert (where, when, is_crash) == (kind, moment, True)
                sprung[where] += count
    # Some statements are rare; that most of them were hit shows that the traps work.
    assert len(sprung) > len(writes) // 2


def written_kinds(folder: Path) -> list[str]:
    """Return the kinds of statements that write, as seen in a few stories, the frequent first."""
    worlds = [tell(seed, folder, Plan()) for seed in range(3)]
    kinds: Counter[str] = Counter()
    for world in worlds:
        for node in world.nodes.values():
            kinds.update(node.guard.counts)
    writes = sorted(
        (kind for kind in kinds if not kind.startswith("SELECT")),
        key=lambda kind: (-kinds[kind], kind),
    )
    assert len(writes) > 20, writes
    return writes


@pytest.mark.parametrize("first", range(20_001, 20_081, 2 * _SEEDS_PER_TEST))
def test_a_disk_put_back_to_an_earlier_state_loses_nothing_that_was_passed_on(
    first: int, tmp_path: Path
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + 2 * _SEEDS_PER_TEST, 2):
        happened += tell(seed, tmp_path, Plan(restores=3)).counts
    assert happened["restores"] > _SEEDS_PER_TEST


@pytest.mark.parametrize("first", range(30_001, 30_041, 2 * _SEEDS_PER_TEST))
def test_leaves_that_disks_lose_or_alter_are_back_within_days(first: int, tmp_path: Path) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + 2 * _SEEDS_PER_TEST, 2):
        happened += tell(seed, tmp_path, Plan(harms=6)).counts
    assert happened["harms"] > 3 * _SEEDS_PER_TEST


@pytest.mark.parametrize("first", range(40_001, 40_041, 2 * _SEEDS_PER_TEST))
def test_a_province_or_the_centre_put_back_loses_nothing_that_was_passed_on(
    first: int, tmp_path: Path
) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + 2 * _SEEDS_PER_TEST, 2):
        happened += tell(seed, tmp_path, Plan(rollbacks=1)).counts
    assert happened["restores"] > _SEEDS_PER_TEST // 2


@pytest.mark.parametrize("seed", [11_113, 11_119])
def test_a_log_that_grows_during_a_session_is_not_given_back_to_its_owner(
    seed: int, tmp_path: Path
) -> None:
    tell(seed, tmp_path, Plan(restores=3))


def test_the_cosignature_of_each_tier_above_is_asked_for_until_it_comes(tmp_path: Path) -> None:
    tell(11_062, tmp_path, Plan())


def test_what_was_written_on_an_old_copy_reaches_those_whom_it_concerns(tmp_path: Path) -> None:
    tell(10_027, tmp_path, Plan(restores=3))


def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    first, second = tell(7, tmp_path / "a", Plan()), tell(7, tmp_path / "b", Plan())
    assert first.trace == second.trace
    assert first.counts == second.counts
    assert tell(8, tmp_path / "c", Plan()).trace != first.trace


def test_without_faults_nothing_is_refused_and_no_link_ends(tmp_path: Path) -> None:
    counts = tell(3, tmp_path, QUIET).counts
    assert counts["crashes"] == 0
    assert {name for name in counts if name.startswith("apart")} <= {"apart cut"}
