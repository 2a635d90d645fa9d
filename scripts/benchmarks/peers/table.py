"""The comparison as figures and as a table."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from node.clock import Clock
from scripts.benchmarks.measure import Progress, median
from scripts.benchmarks.peers.processes import Own, Peer, System, install, versions
from scripts.benchmarks.peers.scenarios import QUICK, Outcome, Size, held_cases, measure

OWN: Final = "tiepdan"
# The program of each, and with how many cases it can start in reasonable time.
PEERS: Final = {"automerge_repo": ("automerge-repo.mjs", 2_000), "pouchdb": ("pouchdb.mjs", None)}
# What the product wants to reach: the better peer's number to ours.
AIMS: Final = {
    "ratio_lone_bytes": 3,
    "ratio_batch_bytes": 8,
    "ratio_first_copy_bytes": 8,
    "ratio_reconnect_bytes": 2,
    "ratio_first_copy_time": 2,
}
# What is better by how much, and what a number of it is.
_RATIOS: Final = {
    "lone_bytes": "one edit alone, bytes",
    "batch_bytes": "100 edits together, bytes an edit",
    "first_copy_bytes": "first copy, bytes a case",
    "reconnect_bytes": "reconnect, nothing changed, bytes",
    "first_copy_s": "first copy of 1,000 cases, seconds",
}


def measure_peers(size: Size, data: Path | None, progress: Progress) -> dict[str, Any]:
    """Measure all systems and return the figures.

    Args:
        size: FULL or QUICK.
        data: folder for the peers' packages, which is kept; None: one in the user's cache.
        progress: is told.

    Raises:
        RuntimeError: the packages cannot be had, or a system failed.
        LabError: there can be no lab here.
    """
    progress.show("preparing the peers' packages")
    packages = install(data)
    systems: list[System] = [Own()]
    systems += [Peer(name, script, packages, most) for name, (script, most) in PEERS.items()]
    now_ms = Clock().now_ms()
    outcomes = {system.name: measure(system, size, progress, now_ms) for system in systems}
    held = {f"{system.name}_reconnect_cases": held_cases(system, size) for system in systems}
    return figures(size, outcomes) | held


def figures(size: Size, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return ratios (the better peer's median to ours), medians, and what they lie between.

    The spread of a ratio is that of the ratios of single measurements, of the same values each.
    """
    found: dict[str, Any] = {}
    spread: dict[str, dict[str, float]] = {}
    for kind in _RATIOS:
        name = "first_copy_time" if kind == "first_copy_s" else kind
        own = getattr(outcomes[OWN], kind)
        best = min((getattr(outcomes[peer], kind) for peer in PEERS), key=median)
        found[f"ratio_{name}"] = round(median(best) / median(own), 2)
        ratios = [theirs / ours for theirs, ours in zip(best, own, strict=True)]
        spread[f"ratio_{name}"] = {
            "min": round(min(ratios), 2),
            "median": round(median(ratios), 2),
            "max": round(max(ratios), 2),
            "n": len(ratios),
        }
    for system in (*PEERS, OWN):
        for field in fields(Outcome):
            values = getattr(outcomes[system], field.name)
            key, digits = f"{system}_{field.name}", 3 if field.name.endswith("_s") else 1
            found[key] = round(median(values), digits)
            found[f"{key}_min"] = round(min(values), digits)
            found[f"{key}_max"] = round(max(values), digits)
    return found | {
        "spread": spread,
        "cases": size.cases,
        "batch_edits": size.batch_edits,
        "lone_edits": size.lone_edits * size.runs,
        "runs": size.runs,
        "versions": versions(),
        "quick": size is QUICK,
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the figures for people."""
    systems = (*PEERS, OWN)
    rows = [("", *systems, "ratio", "aim")]
    for kind, title in _RATIOS.items():
        cells = []
        for system in systems:
            middle, low, high = (found[f"{system}_{kind}{end}"] for end in ("", "_min", "_max"))
            cells.append(f"{middle:,} ({low:,}-{high:,})")
        name = "first_copy_time" if kind == "first_copy_s" else kind
        between = found["spread"][f"ratio_{name}"]
        ratio = f"{found[f'ratio_{name}']:,} ({between['min']:,}-{between['max']:,})"
        aim = AIMS[f"ratio_{name}"]
        mark = "met" if found[f"ratio_{name}"] >= aim else "MISSED"
        rows.append((title, *cells, ratio, f">= {aim} {mark}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    pinned = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    note = f"Medians (least-most) of {found['runs']} runs; ratio: the better peer to tiepdan."
    counts = ", ".join(f"{system} {found[f'{system}_reconnect_cases']:,}" for system in systems)
    held = f"Cases at the reconnect: {counts}. {pinned}."
    return "\n".join([*(line.rstrip() for line in lines), note, held])
