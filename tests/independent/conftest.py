"""The world of these tests, made once."""

from collections.abc import Iterator

import pytest

from tests.independent.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("blobs"))
    yield made
    made.close()
