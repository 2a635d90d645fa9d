"""Goal: the document is enough to enrol and renew a node with a program that is not ours.

Method: a real province on loopback, a token as its technician reads it out, and a commune's
program that was written from docs/PROTOCOL.md alone.
"""

import asyncio
from pathlib import Path

import pytest

from node.cli import main
from tests.independent.enrolment import Office
from tests.independent.newcomer import enrol, read_line, renew
from tests.node.places import make_centre, make_province, running

CODE = "40.17099"


def test_a_stranger_s_program_enrols_with_a_token_and_renews(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    office = Office(tmp_path / "office", CODE, "Xã Tam Hợp")

    async def story() -> None:
        async with running(tmp_path / "province") as province:
            address = f"127.0.0.1:{province.port}"
            token = ["token", "--data", f"{tmp_path / 'province'}", "--code", CODE]
            assert main([*token, "--address", address]) == 0
            line = read_line(capsys.readouterr().out)
            assert (line.code, line.address) == (CODE, address)
            await asyncio.to_thread(enrol, office, line)
            assert office.me.code == CODE
            renewed = await asyncio.to_thread(renew, office, address)
            assert renewed.serial_number

    asyncio.run(story())
