"""Goal: whatever is killed while a tablet takes and sends visits, what it told arrives, once.

Method: tests/story/tablet_kills.py with few points; as a command it runs a hundred.
"""

from pathlib import Path

import pytest

from tests.story.tablet_kills import run


@pytest.mark.serial
def test_what_a_killed_tablet_told_arrives_once_under_the_right_person(tmp_path: Path) -> None:
    print(run(tmp_path, points=6, seed=13, say=print))
