"""What a user installs is what the repository holds.

Method: build the wheel from a copy of the sources, offline, and compare its list of files with the
folders it was made of.
"""

import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("schemas", "crypto", "sync", "media", "node")
METADATA: Final = ("pyproject.toml", "README.md", "LICENSE")
BUILD: Final = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    sources = tmp_path_factory.mktemp("sources")
    target = tmp_path_factory.mktemp("wheel")
    for name in METADATA:
        shutil.copy(ROOT / name, sources)
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, sources / package, ignore=ignore)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(target)], cwd=sources, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    (path,) = target.glob("tiepdan-*.whl")
    return ZipFile(path)


def source_files() -> set[str]:
    paths = {path for package in PACKAGES for path in (ROOT / package).rglob("*")}
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_the_five_packages(wheel: ZipFile) -> None:
    assert not source_files() - set(wheel.namelist())


def test_the_wheel_holds_nothing_else(wheel: ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("suffix", [".html", ".css", ".toml"])
def test_the_wheel_carries_pages_and_law(wheel: ZipFile, suffix: str) -> None:
    assert [name for name in wheel.namelist() if name.endswith(suffix)]


def test_the_wheel_carries_the_licence(wheel: ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.endswith("/LICENSE")]


def test_the_console_script_points_to_a_function(wheel: ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    entries = ConfigParser()
    entries.read_string(wheel.read(path).decode())
    module, _, name = entries["console_scripts"]["tiepdan"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_lock_pins_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = set(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted |= set(extra)
    pinned = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    names = {requirement.partition("=")[0].rstrip("<>=~! ") for requirement in wanted}
    assert not {name.lower() for name in names} - {name.lower() for name in pinned}
