"""Goal: what somebody without the right to it asks of a node is refused, and the node lives on.

Method: the attacks as a person runs them, against nodes as processes; their report, which has to
tell what was taken; and schemathesis, which asks what the served OpenAPI document allows.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.web.operations import OPERATIONS, PREFIX
from schemas.codes import Role
from scripts.attacks.caller import Caller, Reply, calling
from scripts.attacks.report import Report
from scripts.attacks.strangers import OPEN
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import PASSWORD, ROOT, NodeProcess, add_account

# These end what the others need: the session, or the run itself.
_LEFT_OUT = ("sign_out", "change_password", "stream_news")
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)


@pytest.mark.serial
def test_every_attack_is_refused_and_no_record_changes() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.attacks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    *lines, last = done.stdout.splitlines()
    counted = re.fullmatch(r"([0-9]+) passed, 0 failed", last)
    assert counted, "\n".join(line for line in lines if line.startswith(("TAKEN", "BROKEN")))
    assert int(counted[1]) == len(lines)
    assert done.returncode == 0


def test_an_attack_that_is_not_refused_and_a_theme_that_breaks_off_have_failed() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    with report.theme("theme"):
        report.answered("asking", Reply(status=401, code="sign_in_needed"))
        report.answered("asking for another reason", Reply(status=401), {"csrf_failed"})
        report.answered("taking", Reply(status=200))
        report.answered("a fault", Reply(status=500))
        report.answered("away", Reply(status=303, location="/cases"))
        raise LookupError("it broke")
    report.holds("the record is kept", good=False)
    assert (report.passed, report.failed) == (1, 6)
    assert [line[:7] for line in lines] == ["refused", *["TAKEN  "] * 5, "BROKEN "]


def test_what_is_open_to_everybody_is_what_the_table_says() -> None:
    said = {
        (operation.method, PREFIX + operation.path)
        for operation in OPERATIONS
        if operation.permission is None
    }
    described = {(method, path) for method, path in OPEN if path.startswith(PREFIX)}
    assert described - {("GET", f"{PREFIX}/openapi.json")} == said


@pytest.mark.serial
def test_what_the_openapi_document_allows_is_answered_as_it_says(tmp_path: Path) -> None:
    async def story() -> None:
        async with _officer(tmp_path) as officer:
            done = await asyncio.to_thread(_explore, officer, tmp_path)
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]

    asyncio.run(story())


@asynccontextmanager
async def _officer(folder: Path) -> AsyncIterator[Caller]:
    """Run a commune and sign its reception officer in."""
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    add_account(folder / "commune", "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    node = NodeProcess(folder / "commune")
    node.start()
    try:
        await node.wait_until_up()
        async with calling(node.url) as caller:
            assert (await caller.sign_in("lan", PASSWORD)).status == 200
            yield caller
        assert node.is_running
    finally:
        node.kill()


def _explore(officer: Caller, folder: Path) -> subprocess.CompletedProcess[str]:
    cookie = "; ".join(f"{name}={value}" for name, value in officer.cookies().items())
    left_out = [part for name in _LEFT_OUT for part in ("--exclude-operation-id", name)]
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"{officer.url}/api/v1/openapi.json",
            *("-H", f"Cookie: {cookie}", "-H", f"X-CSRF-Token: {officer.csrf}"),
            *left_out,
            *("--checks", _CHECKS, "--phases", "coverage,fuzzing", "--max-examples", "3"),
            *("--seed", "1", "--no-shrink", "--no-color", "--warnings", "off"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
