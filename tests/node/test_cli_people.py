"""Goal: a password given at the machine is asked for, and stands on no screen.

Method: the real command, with a terminal as its standard input.
"""

import os
import pty
import random
import subprocess
import sys
from pathlib import Path

from crypto.password import verify_password
from node.station import opened_station
from tests.node.places import make_centre

PASSWORD = "mot-mat-khau-that-dai"
COMMAND = (sys.executable, "-P", "-m", "node.cli", "account", "--user", "mai", "--name", "Mai")


def test_a_password_typed_at_a_terminal_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "centre"
    make_centre(folder)
    terminal, end = pty.openpty()
    command = [*COMMAND, "--role", "auditor", "--data", str(folder), "--password-file", "-"]
    with subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, start_new_session=True
    ) as running:
        shown = b""
        while b"Password of mai: " not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, PASSWORD.encode() + b"\n")
        while b"ready" not in shown:
            shown += os.read(terminal, 1024)
        assert running.wait(30) == 0
    os.close(end)
    os.close(terminal)
    assert PASSWORD.encode() not in shown
    with opened_station(folder, random.Random(1)) as station:
        (phc,) = station.connection.execute("SELECT password FROM account").fetchone()
    verify_password(PASSWORD, phc)


def test_an_empty_password_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "centre"
    make_centre(folder)
    command = [*COMMAND, "--role", "auditor", "--data", str(folder), "--password-file", "-"]
    told = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert told.returncode != 0
    assert "password is empty" in told.stderr
    with opened_station(folder, random.Random(1)) as station:
        assert station.connection.execute("SELECT count(*) FROM account").fetchone() == (0,)
