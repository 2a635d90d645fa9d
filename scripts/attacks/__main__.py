"""The command line of the attacks."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from scripts.attacks import (
    bombs,
    devices,
    enrolments,
    forgeries,
    identities,
    packs,
    pages_of_others,
    parents,
    paths,
    places,
    programs,
    replays,
    slowness,
    strangers,
)
from scripts.attacks.caller import calling
from scripts.attacks.report import Report
from scripts.attacks.world import World, open_world

Theme = Callable[[World, Report], Awaitable[None]]

THEMES: Final[dict[str, Theme]] = {
    "strangers": strangers.attack,
    "identities": identities.attack,
    "programs": programs.attack,
    "places": places.attack,
    "pages-of-others": pages_of_others.attack,
    "paths": paths.attack,
    "replays": replays.attack,
    "devices": devices.attack,
    "bombs": bombs.attack,
    "forgeries": forgeries.attack,
    "parents": parents.attack,
    "packs": packs.attack,
    "enrolments": enrolments.attack,
    "slowness": slowness.attack,
}
# What honest work with pictures and a backlog takes, and no bomb may go beyond.
_MEMORY_MIB_MAX: Final = 192
# On a busy machine; a theme that takes longer hangs.
_THEME_S_MAX: Final = 180.0
_ANSWER_S_MAX: Final = 5.0


def main() -> int:
    """Run the attacks and return the exit status: 1 if any was not refused."""
    options = _parser().parse_args()
    chosen = [name for name in options.only.split(",") if name] or [*THEMES]
    if unknown := set(chosen) - set(THEMES):
        print(f"attack: unknown themes: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    # Clients that are hung up on say so to the log.
    logging.disable(logging.CRITICAL)
    report = Report(lambda line: print(line, flush=True))
    with tempfile.TemporaryDirectory(prefix="tiepdan-attack-") as folder:
        asyncio.run(_attack(Path(folder), chosen, report))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/attack", description="Attack real nodes on loopback; a refusal passes."
    )
    parser.add_argument(
        "--only", default="", metavar="THEME[,THEME]", help=f"of {', '.join(THEMES)}"
    )
    return parser


async def _attack(folder: Path, chosen: list[str], report: Report) -> None:
    async with open_world(folder) as world, slowness.slow_bodies(world):
        records, memory = world.records(), world.memory_mib()
        for name in chosen:
            with report.theme(name):
                async with asyncio.timeout(_THEME_S_MAX):
                    await THEMES[name](world, report)
        await _check_alive(world, report)
        now = world.records()
        for node in world.nodes:
            report.holds(f"{node}: no record changed", good=records[node].is_kept_in(now[node]))
        for node, peak in world.memory_mib().items():
            grown = peak - memory[node]
            report.holds(
                f"{node}: memory stayed below {_MEMORY_MIB_MAX} MiB more",
                good=grown < _MEMORY_MIB_MAX,
                seen=f"{grown:.0f} MiB",
            )


async def _check_alive(world: World, report: Report) -> None:
    for name, node in world.nodes.items():
        began = time.monotonic()
        async with calling(node.url) as caller:
            reply = await caller.ask("GET", "/api/v1/health")
        took_s = time.monotonic() - began
        is_well = reply.status == 200 and node.is_running
        report.holds(f"{name}: the node is alive", good=is_well, seen=f"{reply.status}")
        report.holds(
            f"{name}: it answers at once", good=took_s < _ANSWER_S_MAX, seen=f"{took_s:.1f} s"
        )
        # The log says so where an error of ours arose; refusals are no errors.
        lines = (node.folder / "node.log").read_text(encoding="utf-8").splitlines()
        faults = [line for line in lines if '"error": "' in line]
        seen = f"{len(faults)}, the first {faults[0][-300:]}" if faults else "none"
        report.holds(f"{name}: no fault stands in its log", good=not faults, seen=seen)


if __name__ == "__main__":
    sys.exit(main())
