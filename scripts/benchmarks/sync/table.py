"""The figures of `bench sync` for people: beside each its aim, and whether it is met."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

# What the product wants to reach, and whether less is better.
AIMS: Final = {
    "lone_app_up_bytes": (140, True),
    "lone_wire_bytes": (500, True),
    "batch_bytes_per_edit": (60, True),
    "first_copy_bytes_per_case": (110, True),
    "idle_new_wire_bytes": (2_500, True),
    "idle_open_bytes": (60, True),
    "t500_s": (5, True),
    "t500_p95_s_loss20": (10, True),
    "t3500_p95_s_loss20": (45, True),
    "cut_resent_bytes_max": (6_000, True),
    "cut_lost": (0, True),
    "cut_doubled": (0, True),
    "overtake_s": (1.5, True),
    "overtake_p95_s_loss20": (4, True),
    "first_copy_26000_bytes": (4_000_000, True),
    "ingest_per_s": (3_000, False),
}
# The cost of the same changes may differ by so much, by how many cases there are: TCP acknowledges
# what came together now in one packet, now in two.
_SAME: Final = 0.1
_TITLES: Final = ("", "figure", "least", "median", "most", "times", "aim", "")
_NOT_FIGURES: Final = {"spread", "left_out", "failed", "rows", "size", "seed", "load_average"}


def is_met(name: str, value: Any) -> bool | None:
    """Tell whether a figure reaches its aim; None: it has none."""
    if name == "n_changes_bytes":
        taken = list(value.values())
        return max(taken) <= min(taken) * (1 + _SAME) if len(taken) > 1 else None
    if name not in AIMS:
        return None
    aim, is_less_better = AIMS[name]
    return bool(value <= aim if is_less_better else value >= aim)


def table(found: Mapping[str, Any]) -> str:
    """Return the figures for people: those with an aim first."""
    grids = {name: rows for name, rows in found.items() if _is_grid(name, rows)}
    names = [name for name in found if name not in _NOT_FIGURES | grids.keys()]
    names.sort(key=lambda name: is_met(name, found[name]) is None)
    lines = _aligned([_TITLES, *(_row(name, found) for name in names)]) if names else []
    for name, rows in grids.items():
        lines += _grid(name, rows)
    verdicts = [is_met(name, found[name]) for name in names]
    met, missed = verdicts.count(True), verdicts.count(False)
    before, after = found["load_average"]
    lines += [
        "",
        f"{met} aims met, {missed} missed. Size {found['size']}, seed {found['seed']},"
        f" load average {before:.1f} before and {after:.1f} after.",
        *(f"Left out: {text}." for text in found["left_out"]),
        *(f"FAILED: {row}: {reason}" for row, reason in found["failed"].items()),
    ]
    return "\n".join(lines)


def _is_grid(name: str, value: Any) -> bool:
    """Tell whether a figure is one of several ways, over several lines each."""
    is_dict = isinstance(value, dict) and name not in _NOT_FIGURES
    return is_dict and any(isinstance(one, dict) for one in value.values())


def _grid(name: str, rows: Mapping[str, Mapping[str, Mapping[str, float] | None]]) -> list[str]:
    """Return a table of its own: the median, and the most in brackets."""
    columns = list(dict.fromkeys(column for of in rows.values() for column in of))
    cells = [[name, *columns]]
    for way, of in rows.items():
        taken = [of.get(column) for column in columns]
        cells.append([way, *(f"{one['median']} ({one['max']})" if one else "-" for one in taken)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "",
        *(
            "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ),
    ]


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    value, between = found[name], found["spread"].get(name)
    spread = [f"{between[key]:,}" if between else "" for key in ("min", "median", "max", "n")]
    mark = {True: "met", False: "MISSED", None: ""}[is_met(name, value)]
    return name, _text(value), *spread, _aim(name), mark


def _aim(name: str) -> str:
    if name == "n_changes_bytes":
        return "the same"
    if name not in AIMS:
        return ""
    aim, is_less_better = AIMS[name]
    return f"{'<=' if is_less_better else '>='} {aim:,}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(one)}" for key, one in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines; a figure too wide for its column takes the room of the next ones."""
    width = [
        max(len(row[column]) for row in rows if column != 1 or not row[1].count(":"))
        for column in range(len(rows[0]))
    ]
    lines = []
    for name, figure, *spread, aim, mark in rows:
        middle = f"{figure:>{width[1]}}  " + "  ".join(
            f"{text:>{width[2 + column]}}" for column, text in enumerate(spread)
        )
        if ":" in figure:
            middle = f"{figure:<{len(middle)}}"
        lines.append(f"{name:<{width[0]}}  {middle}  {aim:<{width[-2]}}  {mark}".rstrip())
    return lines
