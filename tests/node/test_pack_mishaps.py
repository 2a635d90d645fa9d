"""Parts get lost, sticks fill up, people press Ctrl-C and the power goes: nothing is lost by it.

Method: enrolled folders and the real command line; parts in any order, processes that kill
themselves in the middle, a medium that refuses.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from io import StringIO
from itertools import permutations
from pathlib import Path
from typing import Final

import pytest

from node import cli_packs, pack_imports
from node.cli import main
from node.clock import Clock
from node.entropy import system_entropy, system_rng
from node.packs import SUFFIX, Choices, export_pack, find_relative, medium_error
from node.station import opened_station
from schemas.limits import PACK_PART_BYTES_MIN
from sync.receiver import Receiver
from tests.node.sticks import (
    COMMUNE,
    Country,
    attach,
    count,
    held_above,
    parts,
    register,
    take,
    truth,
)

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def country(tmp_path: Path) -> Country:
    return Country(tmp_path)


# Parts


def split(country: Country) -> list[Path]:
    """Return the parts of a pack of three files of 3 MB, which do not fit into one part."""
    register(country.commune)
    attach(country.commune, *(random.Random(n).randbytes(3_000_000) for n in range(3)))
    found = parts(country.export(country.commune, "parent", "--max-size", "4M"))
    assert len(found) == 3
    assert all(part.stat().st_size <= PACK_PART_BYTES_MIN for part in found)
    return found


def test_parts_are_taken_in_alone_and_in_any_order(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    found = split(country)
    for number, order in enumerate([*permutations(found)][1::2]):
        province = country.folder / f"province{number}"
        shutil.copytree(country.province, province)
        for part in order:
            capsys.readouterr()
            assert take(province, part) == 0
        assert "is complete" in capsys.readouterr().out
        assert count(province, "visits") == 1
        assert count(province, "blob WHERE complete") == 3


def test_a_missing_part_is_named(country: Country, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = split(country)
    assert take(country.province, third, first) == 0
    assert "Of the newest pack of Xã 40.17083, part 2 is missing." in capsys.readouterr().out
    assert take(country.province, second) == 0
    assert "The newest pack of Xã 40.17083 is complete." in capsys.readouterr().out
    assert take(country.province, first) == 0
    register(country.commune)
    first, _, _ = parts(country.export(country.commune, "parent", "--max-size", "4M"))
    assert take(country.province, first) == 0
    assert "the last part is missing" in capsys.readouterr().out


def test_a_file_that_fits_no_part_is_left_out_and_told(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    attach(country.commune, bytes(5_000_000), b"small")
    country.export(country.commune, "parent", "--max-size", "4M")
    said = capsys.readouterr().out
    assert "1 file left out" in said
    assert "1 file, 5 bytes" in said


@pytest.mark.parametrize("size", ["3M", "x", "-1", "5T", ""])
def test_a_size_that_no_part_can_have_is_refused(size: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["pack", "export", "--data", ".", "--out", f"{tmp_path}", "--max-size", size])


# Interruptions


class _StopError(KeyboardInterrupt):
    """Somebody presses Ctrl-C."""


class Interrupt:
    """Interrupts when it was told of progress so often."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    def step(self, _step: object) -> None:
        self._calls -= 1
        if self._calls == 0:
            raise _StopError


def test_an_export_that_is_interrupted_leaves_no_half_file(country: Country) -> None:
    attach(country.commune, *(random.Random(n).randbytes(3_000_000) for n in range(2)))
    stick = country.stick()
    with opened_station(country.commune, system_rng(), alone=False) as station:
        relative = find_relative(station, "parent")
        with pytest.raises(_StopError):
            export_pack(
                station,
                relative,
                Choices(out=stick, part_bytes=PACK_PART_BYTES_MIN),
                now_ms=Clock().now_ms(),
                entropy=system_entropy,
                progress=Interrupt(60).step,
            )
    assert [path.suffix for path in stick.iterdir()] == [SUFFIX], "the part that was whole"
    assert take(country.province, stick) == 0


def test_an_import_that_is_interrupted_goes_on_when_it_is_done_again(country: Country) -> None:
    attach(country.commune, *(random.Random(n).randbytes(3_000_000) for n in range(2)))
    stick = country.export(country.commune)
    for calls in (1, 7, 9, 10):
        interrupt = Interrupt(calls)
        with opened_station(country.province, system_rng()) as station, pytest.raises(_StopError):
            pack_imports.import_packs(
                station, [stick], pack_imports.alone(station, Clock().now_ms), interrupt.step
            )
    assert take(country.province, stick) == 0
    assert count(country.province, "blob WHERE complete") == 2
    assert count(country.province, "alarm") == 0


_KILLED = """
import os, signal, sys
from pathlib import Path
from node.clock import Clock
from node.entropy import system_entropy, system_rng
from node.pack_imports import alone, import_packs
from node.packs import Choices, export_pack, find_relative
from node.station import opened_station

which, data, stick, calls = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

def step(_):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with opened_station(data, system_rng(), alone=which == "import") as station:
    if which == "import":
        import_packs(station, [stick], alone(station, Clock().now_ms), step)
    else:
        export_pack(station, find_relative(station, "parent"), Choices(out=stick),
                    now_ms=Clock().now_ms(), entropy=system_entropy, progress=step)
"""


def killed(which: str, data: Path, stick: Path, calls: int) -> None:
    """Run an export or import that is killed in its middle."""
    command = [sys.executable, "-c", _KILLED, which, f"{data}", f"{stick}", f"{calls}"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": f"{ROOT}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_export_leaves_nothing_that_looks_whole(country: Country) -> None:
    attach(country.commune, random.Random(1).randbytes(3_000_000))
    stick = country.stick()
    killed("export", country.commune, stick, 20)
    assert parts(stick) == []
    assert len(list(stick.iterdir())) == 1
    command = ["pack", "export", "--data", f"{country.commune}", "--out", f"{stick}"]
    assert main(command) == 0
    assert len(parts(stick)) == len(list(stick.iterdir())) == 1, "and the next sweeps it away"
    assert take(country.province, stick) == 0


def test_a_killed_import_loses_nothing(country: Country) -> None:
    register(country.commune, count=30)
    attach(country.commune, random.Random(1).randbytes(3_000_000))
    stick = country.export(country.commune)
    for calls in (1, 4, 5):
        killed("import", country.province, stick, calls)
        assert count(country.province, "alarm") == 0
    assert take(country.province, stick) == 0
    country.carry(country.province, country.commune, COMMUNE)
    size, province, _ = held_above(country.commune)
    assert size == province
    assert count(country.province, "blob WHERE complete") == 1


class _Terminal(StringIO):
    """Somebody watches."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_far_it_is(
    country: Country, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attach(country.commune, b"scan")
    stick = country.export(country.commune)
    assert take(country.province, stick) == 0
    assert "\r" not in capsys.readouterr().err, "into a file it would be noise"
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    stick = country.export(country.commune)
    assert "\r3 of 3 leaves" in terminal.getvalue()
    assert take(country.province, stick) == 0
    assert "part001.tdpack: 100 %" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


@pytest.mark.parametrize(("which", "name"), [("export", "export_pack"), ("import", "import_packs")])
def test_whoever_presses_ctrl_c_is_told_what_stands(
    country: Country,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    which: str,
    name: str,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise _StopError

    monkeypatch.setattr(cli_packs, name, stop)
    more = ["--out", f"{country.stick()}"] if which == "export" else [f"{country.stick()}"]
    assert main(["pack", which, "--data", f"{country.commune}", *more]) == 130
    assert "Interrupted." in capsys.readouterr().err


def test_a_fault_of_ours_costs_the_pack_and_no_other(
    country: Country, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    stick = country.export(country.commune)

    def trip(*_: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(Receiver, "on_head", trip)
        assert take(country.province, stick) == 1
    assert "[pack_fault]" in capsys.readouterr().out
    assert take(country.province, stick) == 0


def test_a_medium_that_refuses_is_told_in_words(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    blocked = country.folder / "file"
    blocked.write_bytes(b"")
    command = ["pack", "export", "--data", f"{country.commune}", "--out", f"{blocked}"]
    assert main(command) == 1
    assert "[medium_error]" in capsys.readouterr().err
    found = [medium_error(OSError(number, "x"), blocked).code for number in (28, 122, 27, 5)]
    assert found == ["medium_full", "medium_full", "medium_limited", "medium_error"]


def test_a_full_stick_is_told_and_keeps_what_was_whole(
    country: Country, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attach(country.commune, *(random.Random(n).randbytes(3_000_000) for n in range(2)))
    stick, opened = country.stick(), Path.open

    def full(path: Path, *args: object, **more: object) -> object:
        is_second = path.name.endswith(f"part002{SUFFIX}.tmp")
        return opened(Path("/dev/full") if is_second else path, *args, **more)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        command = ["pack", "export", "--data", f"{country.commune}", "--out", f"{stick}"]
        assert main([*command, "--max-size", "4M"]) == 1
    assert "[medium_full]" in capsys.readouterr().err
    assert len(parts(stick)) == len(list(stick.iterdir())) == 1
    assert take(country.province, stick) == 0


def test_an_almost_full_disk_takes_nothing_more(
    country: Country, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    stick = country.export(country.commune)
    before = truth(country.province)
    config = (country.province / "node.toml").read_text()
    (country.province / "node.toml").write_text(f"{config}disk_reserve_mib = 999999999\n")
    assert take(country.province, stick) == 1
    assert "[disk_full]" in capsys.readouterr().err
    assert truth(country.province) == before
