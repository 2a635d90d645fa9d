"""The nodes that most tests of this folder start with, each with an empty database."""

from pathlib import Path

import pytest

from tests.sync.builders import CENTRE, COMMUNE, PROVINCE, Node, new_node


@pytest.fixture
def commune(tmp_path: Path) -> Node:
    return new_node(COMMUNE, tmp_path)


@pytest.fixture
def province(tmp_path: Path) -> Node:
    return new_node(PROVINCE, tmp_path)


@pytest.fixture
def centre(tmp_path: Path) -> Node:
    return new_node(CENTRE, tmp_path)
