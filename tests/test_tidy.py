"""The architecture and style rules, as tests: one function per rule, so that a failure names it.

Method: every module is parsed with ast; a rule yields the lines that break it. The tables at the
end feed each rule snippets that break it, so no rule can rot into one that finds nothing.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final, TypeAlias

import pytest

ROOT: Final = Path(__file__).parent.parent
RANKS: Final = {"schemas": 0, "crypto": 1, "sync": 2, "media": 2, "node": 3}
PLACES: Final = (*RANKS, "tests", "scripts", "docs", ".ci")
MAX_FUNCTION_LINES: Final = 70
MAX_MODULE_LINES: Final = 500

PICTURES: Final = (".ico", ".png", ".woff2")
# Where each thing is allowed; everywhere else it is not.
ENTRY_POINTS: Final = ("node/cli.py", "*/__init__.py")
CLOCK: Final = ("node/clock.py",)
ENTROPY: Final = ("node/entropy.py",)
KEY_MAKERS: Final = ("crypto/identity.py",)
PRINTERS: Final = ("node/cli*.py",)
BINDING: Final = ("sync/document.py",)
PURE: Final = ("node/cases/*",)
EDGE: Final = (
    "node/*",
    "sync/blobs.py",
    "sync/database.py",
    "sync/migrations.py",
    "sync/store*.py",
    "crypto/keyfile.py",
    "media/rtc.py",
)

# Dotted names as fnmatch patterns.
WORLD: Final = (
    *("aiohttp", "aiohttp_jinja2", "aiortc", "asyncio", "av", "concurrent", "fcntl", "glob"),
    *("http", "logging", "mmap", "multiprocessing", "os", "pathlib", "select", "selectors"),
    *("shutil", "signal", "socket", "sqlite3", "sqlite_utils", "ssl", "subprocess", "tempfile"),
    *("threading", "urllib", "zeroconf"),
)
TIME_READS: Final = (
    "time.*",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
)
RANDOM_DRAWS: Final = (
    *("os.getrandom", "os.urandom", "random.[!R]*", "secrets.*", "uuid.uuid1", "uuid.uuid4"),
)
KEY_DRAWS: Final = (
    "cryptography.*.generate",
    "cryptography.*.generate_key",
    "cryptography.*.generate_private_key",
)
LOOSE_TASKS: Final = (
    *("asyncio.create_task", "asyncio.ensure_future", "asyncio.gather"),
    "asyncio.run_coroutine_threadsafe",
)
SKIPS: Final = (
    *("pytest.importorskip", "pytest.mark.skip*", "pytest.mark.xfail", "pytest.skip"),
    *("pytest.xfail", "unittest.skip*"),
)
# The brackets keep this file to the rules it states.
UNFINISHED: Final = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|NotImplemented[E]rror)\b")
NOT_PORTABLE: Final = re.compile(
    r"/(ho[m]e|User[s]|roo[t])/\w"
    r"|py[p]i\.org|python[h]osted\.org|registry\.[n]pmjs|crates\.[i]o"
)


@dataclass(frozen=True, slots=True)
class File:
    """A text file; path is relative to the repository, with slashes."""

    path: str
    text: str

    @property
    def package(self) -> str:
        return self.path.split("/")[0]

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def is_in(self, places: Iterable[str]) -> bool:
        return any(fnmatchcase(self.path, place) for place in places)


Finding: TypeAlias = tuple[int, str]
Rule: TypeAlias = Callable[[File], Iterator[Finding]]


@cache
def project_text() -> tuple[File, ...]:
    """Return every file of the project, except what tools leave behind."""
    paths = [*ROOT.iterdir(), *(path for top in PLACES for path in (ROOT / top).rglob("*"))]
    return tuple(
        File(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(paths)
        if path.is_file() and "__pycache__" not in path.parts
        if path.name != ".git" and not path.name.startswith((".bootstrap", ".coverage"))
        # A picture is no text; as nonsense it might hold any word that we forbid.
        if path.suffix not in PICTURES
    )


def project_python() -> tuple[File, ...]:
    return tuple(file for file in project_text() if file.path.endswith(".py"))


def package_modules() -> tuple[File, ...]:
    return tuple(file for file in project_python() if file.package in RANKS)


@cache
def nodes(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(text)))


def imports(file: File) -> Iterator[Finding]:
    """Yield each imported dotted name; `from a import b` yields a.b."""
    for node in nodes(file.text):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def bindings(file: File) -> dict[str, str]:
    """Return what each imported name stands for, as a dotted name."""
    bound = {}
    for node in nodes(file.text):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                bound[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return bound


def dotted(node: ast.AST, bound: Mapping[str, str]) -> str:
    """Return the full name of `a.b.c` if `a` was imported, else nothing."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, bound)
        return f"{owner}.{node.attr}" if owner else ""
    return bound.get(node.id, "") if isinstance(node, ast.Name) else ""


def uses(file: File, patterns: Iterable[str]) -> Iterator[Finding]:
    """Yield imports of and references to names that match, called or not."""
    bound = bindings(file)
    found = set(imports(file))
    for node in nodes(file.text):
        if isinstance(node, ast.Name | ast.Attribute):
            found.add((node.lineno, dotted(node, bound)))
    for line, name in found:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield line, name


def imported_packages(file: File) -> Iterator[Finding]:
    for line, name in imports(file):
        if (package := name.split(".")[0]) in RANKS:
            yield line, package


# The rules.


def imports_upward(file: File) -> Iterator[Finding]:
    for line, package in imported_packages(file):
        if RANKS[package] > RANKS[file.package]:
            yield line, f"{file.package} imports {package}"


def imports_sideways(file: File) -> Iterator[Finding]:
    for line, package in imported_packages(file):
        if package != file.package and RANKS[package] == RANKS[file.package]:
            yield line, f"{file.package} imports {package}"


def relative_imports(file: File) -> Iterator[Finding]:
    for node in nodes(file.text):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"


def code_in_init(file: File) -> Iterator[Finding]:
    statements = ast.parse(file.text).body
    if file.path.endswith("__init__.py") and not (
        len(statements) == 1 and isinstance(statements[0], ast.Expr)
    ):
        yield 1, "not just one docstring"


def time_reads(file: File) -> Iterator[Finding]:
    if not file.is_in(CLOCK):
        yield from uses(file, TIME_READS)


def random_draws(file: File) -> Iterator[Finding]:
    if file.is_in(ENTROPY):
        return
    yield from uses(file, RANDOM_DRAWS)
    if not file.is_in(KEY_MAKERS):
        yield from uses(file, KEY_DRAWS)
    bound = bindings(file)
    for node in nodes(file.text):
        if isinstance(node, ast.Call) and dotted(node.func, bound) == "random.Random":
            yield from () if node.args else ((node.lineno, "random.Random without a seed"),)


def last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return getattr(node, "attr", getattr(node, "id", ""))


def loose_tasks(file: File) -> Iterator[Finding]:
    yield from uses(file, LOOSE_TASKS)
    for node in nodes(file.text):
        match node:
            case ast.Attribute(value=owner, attr="create_task") if "loop" in last_name(owner):
                yield node.lineno, "a task of the loop"


def world_touches(file: File) -> Iterator[Finding]:
    if file.is_in(EDGE) and not file.is_in(PURE):
        return
    for line, name in imports(file):
        if name.split(".")[0] in WORLD and not name.startswith(("pathlib.Pure", "http.HTTPStatus")):
            yield line, name
    for node in nodes(file.text):
        if isinstance(node, ast.Name) and node.id == "open":
            yield node.lineno, "open"


def binding_uses(file: File) -> Iterator[Finding]:
    if not file.is_in(BINDING):
        yield from uses(file, ("automerge", "automerge.*"))


def long_functions(file: File) -> Iterator[Finding]:
    for node in nodes(file.text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {lines} lines"


def long_modules(file: File) -> Iterator[Finding]:
    lines = len(file.text.splitlines())
    if lines > MAX_MODULE_LINES:
        yield lines, f"{lines} lines"


def swallowed_errors(file: File) -> Iterator[Finding]:
    bound = bindings(file)
    for node in nodes(file.text):
        match node:
            case ast.ExceptHandler(type=None):
                yield node.lineno, "bare except"
            case ast.ExceptHandler(
                type=ast.expr() as caught,
                body=[ast.Pass() | ast.Continue() | ast.Expr(value=ast.Constant())],
            ) if is_broad(caught):
                yield node.lineno, "a broad except that does nothing"
            case ast.Call(func=func, args=args) if dotted(func, bound) == "contextlib.suppress":
                yield from ((node.lineno, "a broad suppress") for arg in args if is_broad(arg))


def is_broad(caught: ast.expr) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(is_broad(part) for part in caught.elts)
    return isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}


def prints(file: File) -> Iterator[Finding]:
    if file.is_in(PRINTERS):
        return
    for node in nodes(file.text):
        if isinstance(node, ast.Name) and node.id == "print":
            yield node.lineno, "print"


def matching_lines(file: File, pattern: re.Pattern[str]) -> Iterator[Finding]:
    for number, line in enumerate(file.text.splitlines(), start=1):
        if found := pattern.search(line):
            yield number, found.group()


skips: Final = partial(uses, patterns=SKIPS)
unfinished: Final = partial(matching_lines, pattern=UNFINISHED)
machine_names: Final = partial(matching_lines, pattern=NOT_PORTABLE)


def unimported_modules(files: Iterable[File]) -> list[str]:
    files = tuple(files)
    imported = set()
    for file in files:
        for _, name in imports(file):
            imported |= {name, name.rpartition(".")[0]} - {file.module}
    return [
        file.path for file in files if file.module not in imported and not file.is_in(ENTRY_POINTS)
    ]


def folders_without_init(paths: Iterable[str]) -> set[str]:
    paths = set(paths)
    folders = {path.rpartition("/")[0] for path in paths}
    return {folder for folder in folders if f"{folder}/__init__.py" not in paths}


def foreign_owners(distributions: Mapping[str, list[str]]) -> dict[str, set[str]]:
    owners = {package: {*distributions.get(package, ())} - {"tiepdan"} for package in RANKS}
    return {package: names for package, names in owners.items() if names}


def assert_kept(rule: Rule, files: Iterable[File]) -> None:
    broken = [f"{file.path}:{line}: {what}" for file in files for line, what in sorted(rule(file))]
    assert not broken, "\n" + "\n".join(broken)


def test_imports_point_down() -> None:
    assert_kept(imports_upward, package_modules())


def test_sync_and_media_never_meet() -> None:
    assert_kept(imports_sideways, package_modules())


def test_imports_are_absolute() -> None:
    assert_kept(relative_imports, project_python())


def test_an_init_holds_one_docstring() -> None:
    assert_kept(code_in_init, package_modules())


def test_every_folder_with_modules_is_a_package() -> None:
    assert not folders_without_init(file.path for file in package_modules())


def test_time_is_read_in_the_clock_only() -> None:
    assert_kept(time_reads, package_modules())


def test_randomness_has_one_source() -> None:
    assert_kept(random_draws, package_modules())


def test_tasks_start_in_a_task_group() -> None:
    assert_kept(loose_tasks, project_python())


def test_only_the_edge_touches_the_world() -> None:
    assert_kept(world_touches, package_modules())


def test_automerge_is_behind_one_module() -> None:
    assert_kept(binding_uses, package_modules())


def test_functions_are_short() -> None:
    assert_kept(long_functions, project_python())


def test_modules_are_short() -> None:
    assert_kept(long_modules, project_python())


def test_no_error_is_swallowed() -> None:
    assert_kept(swallowed_errors, project_python())


def test_only_the_command_line_prints() -> None:
    assert_kept(prints, package_modules())


def test_nothing_is_left_unfinished() -> None:
    assert_kept(unfinished, project_text())


def test_no_test_is_skipped() -> None:
    assert_kept(skips, project_python())


def test_every_module_is_used() -> None:
    assert not unimported_modules(package_modules())


def test_the_five_names_are_ours() -> None:
    assert not foreign_owners(packages_distributions())


def test_no_file_names_a_machine_or_a_registry() -> None:
    assert_kept(machine_names, project_text())


# And can fail.

BROKEN: Final[tuple[tuple[Rule, str, str], ...]] = (
    (imports_upward, "schemas/a.py", "from node.web import pages"),
    (imports_upward, "crypto/a.py", "def f():\n    import sync.store"),
    (imports_sideways, "media/a.py", "from sync.session import Session"),
    (imports_sideways, "sync/a.py", "import media"),
    (relative_imports, "sync/a.py", "from .store import Store"),
    (relative_imports, "sync/a.py", "from . import store"),
    (code_in_init, "sync/__init__.py", '"""Doc."""\nfrom sync.store import Store'),
    (code_in_init, "sync/__init__.py", ""),
    (time_reads, "node/a.py", "import time\nnow = time.time()"),
    (time_reads, "node/a.py", "from time import monotonic as now"),
    (time_reads, "node/a.py", "import datetime as dt\nread = dt.datetime.now"),
    (time_reads, "node/a.py", "from datetime import date\nday = date.today()"),
    (random_draws, "node/a.py", "import os\nkey = os.urandom(32)"),
    (random_draws, "node/a.py", "from secrets import token_hex"),
    (random_draws, "node/a.py", "from uuid import uuid4"),
    (random_draws, "node/a.py", "import random\ndice = random.randint(1, 6)"),
    (random_draws, "node/a.py", "from random import Random\nrng = Random()"),
    (random_draws, "node/a.py", "from cryptography.fernet import Fernet\nFernet.generate_key()"),
    (loose_tasks, "node/a.py", "import asyncio\nasyncio.create_task(f())"),
    (loose_tasks, "node/a.py", "from asyncio import gather"),
    (loose_tasks, "node/a.py", "self._loop.create_task(f())"),
    (loose_tasks, "node/a.py", "import asyncio\nasyncio.get_running_loop().create_task(f())"),
    (world_touches, "sync/session.py", "import asyncio"),
    (world_touches, "sync/session.py", "from pathlib import Path"),
    (world_touches, "node/cases/a.py", "import socket"),
    (world_touches, "schemas/a.py", "open('law.toml')"),
    (binding_uses, "sync/session.py", "from automerge.core import Document"),
    (long_functions, "sync/a.py", "def f():\n" + "    g()\n" * MAX_FUNCTION_LINES),
    (long_modules, "sync/a.py", "g()\n" * (MAX_MODULE_LINES + 1)),
    (swallowed_errors, "sync/a.py", "try:\n    f()\nexcept:\n    raise"),
    (swallowed_errors, "sync/a.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (swallowed_errors, "sync/a.py", "try:\n    f()\nexcept (OSError, BaseException):\n    ..."),
    (swallowed_errors, "sync/a.py", "from contextlib import suppress\nsuppress(Exception)"),
    (prints, "node/web/a.py", "print('here')"),
    (unfinished, "docs/a.md", "Later: TO" + "DO"),
    (unfinished, "sync/a.py", "raise NotImplemented" + "Error"),
    (skips, "tests/a.py", "import pytest\n@pytest.mark.skipif(True)\ndef test_a(): g()"),
    (skips, "tests/a.py", "from pytest import xfail"),
    (machine_names, "docs/a.md", "see /ho" + "me/someone/notes"),
)
KEPT: Final[tuple[tuple[Rule, str, str], ...]] = (
    (imports_upward, "node/a.py", "from schemas.ids import CaseId"),
    (imports_sideways, "sync/a.py", "from sync.store import Store"),
    (code_in_init, "sync/__init__.py", '"""Doc."""'),
    (time_reads, "node/clock.py", "import time\nnow = time.time()"),
    (time_reads, "node/a.py", "from datetime import datetime\ndatetime.fromtimestamp(0, zone)"),
    (time_reads, "node/a.py", "now = clock.time()"),
    (random_draws, "node/a.py", "from random import Random\nrng = Random(7)"),
    (random_draws, "node/entropy.py", "import os\nkey = os.urandom(32)"),
    (loose_tasks, "node/a.py", "async def f(group): group.create_task(g(), name='g')"),
    (world_touches, "sync/store_blobs.py", "from pathlib import Path"),
    (world_touches, "sync/session.py", "from pathlib import PurePosixPath"),
    (binding_uses, "sync/document.py", "import automerge"),
    (swallowed_errors, "sync/a.py", "try:\n    f()\nexcept Exception as e:\n    raise A from e"),
    (swallowed_errors, "sync/a.py", "try:\n    f()\nexcept OSError:\n    pass"),
    (prints, "node/cli_verify.py", "print('valid')"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_a_rule_finds_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    assert list(rule(File(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), KEPT)
def test_a_rule_lets_pass_what_is_allowed(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(File(path, text)))


def test_a_module_only_tests_or_itself_import_is_unused() -> None:
    used = File("sync/used.py", "")
    user = File("node/cli.py", "from sync.used import thing")
    idle = File("sync/idle.py", "import sync.idle")
    assert unimported_modules((used, user, idle)) == ["sync/idle.py"]


def test_a_folder_without_init_is_found() -> None:
    assert folders_without_init(("node/__init__.py", "node/web/a.py")) == {"node/web"}


def test_a_package_of_somebody_else_is_found() -> None:
    assert foreign_owners({"node": ["tiepdan", "other"], "sync": ["tiepdan"]}) == {
        "node": {"other"}
    }
