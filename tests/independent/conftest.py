"""The world of these tests, made once."""

import pytest

from tests.independent.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("blobs"))
