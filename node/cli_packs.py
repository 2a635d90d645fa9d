"""The commands `tiepdan pack export` and `tiepdan pack import`, and what they say."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.cli_office_key import add_passphrase_options, given_passphrase
from node.clock import Clock
from node.entropy import system_entropy, system_rng
from node.office_keys import unlock
from node.pack_imports import Confirmed, Imported, Taken, alone, has_ended, import_packs
from node.packs import Choices, Exported, Step, export_pack, find_relative, is_known
from node.station import Station, opened_station
from schemas.limits import PACK_PART_BYTES_DEFAULT, PACK_PART_BYTES_MIN

_SIZE = re.compile(r"([0-9]{1,9})([KMG]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def add_pack_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `pack` to the command line."""
    pack = commands.add_parser("pack", help="take records along on a stick where no line exists")
    which = pack.add_subparsers(required=True, metavar="WHICH")

    export = which.add_parser("export", help="write what the other office lacks; the node may run")
    add_data(export)
    export.add_argument(
        "--to", default="parent", help="parent, a code such as 40.17083, or a chain file"
    )
    export.add_argument("--out", type=Path, required=True, help="folder, such as the stick")
    export.add_argument(
        "--max-size",
        type=_size,
        default=PACK_PART_BYTES_DEFAULT,
        metavar="SIZE",
        help="no part is longer: 500M, 2G (3900M)",
    )
    export.add_argument("--files", choices=["none", "missing", "all"], default="missing")
    export.add_argument(
        "--everything", action="store_true", help="also what the other office acknowledged"
    )
    export.set_defaults(run=_export)

    taken = which.add_parser("import", help="take packs in; the node must be stopped")
    add_data(taken)
    taken.add_argument("packs", type=Path, nargs="+", help="files, or folders of them")
    add_passphrase_options(taken)
    taken.set_defaults(run=_import)


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.upper())
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if size < PACK_PART_BYTES_MIN:
        least = PACK_PART_BYTES_MIN >> 20
        raise argparse.ArgumentTypeError(f"a size such as 500M, at least {least}M")
    return size


def _export(options: argparse.Namespace) -> int:
    progress = _Progress()
    choices = Choices(
        out=options.out,
        files=options.files,
        part_bytes=options.max_size,
        everything=options.everything,
    )

    def write(station: Station) -> Exported:
        relative = find_relative(station, options.to)
        print(f"For {relative.subject.name} ({relative.subject.code}):")
        return export_pack(
            station,
            relative,
            choices,
            now_ms=Clock().now_ms(),
            entropy=system_entropy,
            progress=progress.show,
        )

    _greet(options.data, options.to)
    try:
        with opened_station(options.data, system_rng(), alone=False) as station:
            exported = write(station)
    except KeyboardInterrupt:
        progress.end()
        print("Interrupted. Parts that stand under their names are whole.", file=sys.stderr)
        raise
    finally:
        progress.end()
    _tell_exported(exported)
    return 0


def _greet(data: Path, to: str) -> None:
    """Begin to keep what concerns a child that this node never met; that writes."""
    with opened_station(data, system_rng(), alone=False) as station:
        relative = find_relative(station, to)
        if is_known(station, relative):
            return
    with opened_station(data, system_rng()) as station, station.replica.transaction():
        station.replica.welcome(relative.as_peer())


def _tell_exported(exported: Exported) -> None:
    plan = exported.plan
    logs = sum(1 for part in plan.ranges if part.count)
    print(f"  {_count(plan.leaves, 'leaf', 'leaves')} of {_count(logs, 'log', 'logs')}")
    print(f"  {_count(exported.files, 'file', 'files')}, {_bytes(exported.files_bytes)}")
    print(f"  acknowledgements of {_count(len(plan.answers), 'log', 'logs')}")
    if exported.files_left_out:
        count = _count(len(exported.files_left_out), "file", "files")
        print(f"  {count} left out, too large for a part: choose a larger --max-size")
    for log in plan.stopped:
        print(f"  left out: a log of {log.code}, which is stopped ({log.fault})")
    for path, size in exported.parts:
        print(f"Wrote {path} ({_bytes(size)}).")
    print("It counts as arrived only when the other office's answer comes back.")


def _import(options: argparse.Namespace) -> int:
    progress, clock = _Progress(), Clock()
    try:
        with opened_station(options.data, system_rng()) as station:
            if passphrase := given_passphrase(options):
                unlock(station.folder, passphrase)
            imported = import_packs(
                station, options.packs, alone(station, clock.now_ms), progress.show
            )
    except KeyboardInterrupt:
        progress.end()
        print(
            "Interrupted. What was taken in is safe; take the same packs in again.",
            file=sys.stderr,
        )
        raise
    finally:
        progress.end()
    for taken in imported.taken:
        _tell_taken(taken, clock.now_ms())
    _tell_missing(imported)
    _tell_confirmed(imported.before, imported.after)
    if imported.others:
        print(f"{_count(len(imported.others), 'pack is', 'packs are')} for other offices.")
    is_fine = not any(taken.refusal or taken.outcome.problems for taken in imported.taken)
    return 0 if is_fine else 1


def _tell_taken(taken: Taken, now_ms: int) -> None:
    part, outcome = taken.part, taken.outcome
    print(f"{taken.path.name}:")
    if part is not None:
        sender = part.sender.subject
        content = f"{_count(sum(part.leaves.values()), 'leaf', 'leaves')} of "
        content += f"{_count(len(part.leaves), 'log', 'logs')}, "
        content += f"{_count(part.files, 'file', 'files')} ({_bytes(part.files_bytes)})"
        last = ", the last" if part.is_last else ""
        print(f"  from {sender.name} ({sender.code}), part {part.about.part}{last}: {content}")
        _tell_trust(taken, is_ended=has_ended(part, now_ms))
    if taken.refusal is not None:
        _tell_refusal(taken.refusal, is_begun=part is not None)
        if part is None:
            return
    if taken.was_known:
        print("  this part had been taken in before")
    total = sum(part.leaves.values()) if part is not None else 0
    print(f"  leaves: {taken.leaves_new} new, {max(0, total - taken.leaves_new)} known already")
    if taken.leaves_waiting:
        print(f"  {taken.leaves_waiting} leaves wait for others that have not come")
    if part is not None and part.files:
        print(f"  files: {len(outcome.files_new)} new, {len(outcome.files_known)} known already")
    for sha256, code in sorted(outcome.files_refused.items()):
        print(f"  file {sha256[:4].hex()} not taken: {_FILE_REASONS[code]} [{code}]")
    for log_id, code, detail in outcome.problems:
        print(f"  log {log_id[:4].hex()} refused: {detail} [{code}]")


def _tell_trust(taken: Taken, *, is_ended: bool) -> None:
    if is_ended:
        print("  its certificate is out of time: have it renewed")
    if taken.revoked:
        print(f"  {taken.revoked}; what it wrote too late is kept and does not count")


_FILE_REASONS = {
    "file_unwanted": "the disk is almost full, or this node takes no files",
    "file_incomplete": "its beginning is missing",
    "file_damaged": "its content does not fit its name; take the pack in again",
}


def _tell_refusal(error: Any, *, is_begun: bool) -> None:
    what = "stopped" if is_begun else "refused, nothing of it was taken"
    print(f"  {what}: {error} [{error.code}]")
    hint = getattr(error, "hint", "")
    if hint:
        print(f"  {hint}")


def _tell_missing(imported: Imported) -> None:
    for sender, taken in imported.newest:
        name = sender.name
        missing = ", ".join(str(part) for part in taken.missing)
        if missing:
            print(f"Of the newest pack of {name}, part {missing} is missing.")
        elif not taken.total:
            print(f"Of the newest pack of {name}, the last part is missing.")
        else:
            print(f"The newest pack of {name} is complete.")


def _tell_confirmed(before: Confirmed, after: Confirmed) -> None:
    for name, was, now in (
        ("province", before.by_province, after.by_province),
        ("centre", before.by_centre, after.by_centre),
    ):
        if now:
            news = f", {now - was} more than before" if now > was else ""
            print(f"The {name} holds {now} of {after.written} leaves of this node{news}.")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _bytes(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _line(step: Step) -> str:
    match step.phase:
        case "leaves":
            return f"{step.done} of {step.total} leaves"
        case "files":
            return f"{step.done >> 20} of {step.total >> 20} MiB of files"
        case "checking":
            return f"checking {step.name}: {100 * step.done // max(1, step.total)} %"
        case "taking":
            return f"{step.name}: {100 * step.done // max(1, step.total)} %"


class _Progress:
    """One line on standard error that is written over, where that is a terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._length = 0

    def show(self, step: Step) -> None:
        if self._is_shown:
            line = _line(step)
            print(f"\r{line:<{self._length}}", end="", file=sys.stderr, flush=True)
            self._length = max(self._length, len(line))

    def end(self) -> None:
        if self._length:
            print(file=sys.stderr)
            self._length = 0
