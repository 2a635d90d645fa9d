"""Changes that no Automerge program makes are refused, or taken, by product and checker alike.

Method: as in test_forged_records.py; chunk_writer.py writes the changes byte by byte.
"""

import pytest

from tests.independent.odd_changes import FORGED, ODD, Stage
from tests.independent.test_forged_records import BOTH_HOLD, BOTH_REFUSE
from tests.independent.world import World, opinions


@pytest.fixture(scope="module")
def stage(world: World) -> Stage:
    return Stage(world.commune.signer, world.root_der)


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_change_is_refused(world: World, stage: Stage, name: str) -> None:
    assert opinions(world, FORGED[name](stage)) == BOTH_REFUSE


@pytest.mark.parametrize("name", ODD)
def test_a_change_that_only_looks_odd_holds(world: World, stage: Stage, name: str) -> None:
    assert opinions(world, ODD[name](stage)) == BOTH_HOLD
