"""Goal: stories put back every disk but those of which the protocol says that it cannot heal them.

Method: the centre and its province are put back to the same hour, once after what the centre wrote
since has come down to a commune, once before.
"""

from datetime import date
from pathlib import Path
from typing import Final

import pytest

from schemas import events as ev
from schemas.codes import DocumentKind
from schemas.ids import mint_document_id
from tests.simulation import restores
from tests.simulation.checks import check_all
from tests.simulation.plans import MINUTE_MS, QUIET
from tests.simulation.promises import BrokenPromise
from tests.simulation.quality import PERFECT
from tests.simulation.restores import restore
from tests.simulation.world import World

_CENTRE, _PROVINCE, _COMMUNE = "0", "40", "40.17083"
_PLACES: Final = (_CENTRE, _PROVINCE, _COMMUNE)


def centre_and_province_put_back(folder: Path, *, has_come_down: bool) -> World:
    """Return a healed country whose two upper disks were to be put back, the upper one first."""
    world = World(1, folder, QUIET)
    centre, province, commune = (world.nodes[code] for code in _PLACES)
    world.start()
    world.connect(province, centre, PERFECT)
    world.connect(commune, province, PERFECT)
    world.pass_time(MINUTE_MS)
    disks = [(node, node.snapshot()) for node in (centre, province)]
    if not has_come_down:
        world.hang_up(commune)
    world.act(
        centre,
        lambda pen, rng: pen.write(
            mint_document_id(pen.clock_ms, rng),
            kind=DocumentKind.DIRECTIVE,
            events=[ev.DirectiveIssued(to_codes=(_COMMUNE,), due_on=date(2026, 10, 30))],
        ),
    )
    world.pass_time(MINUTE_MS)
    for node, disk in disks:
        restore(world, node, disk, is_known=True)
    world.heal()
    return world


def test_the_last_disk_that_can_prove_what_a_commune_was_shown_is_not_taken_away(
    tmp_path: Path,
) -> None:
    world = centre_and_province_put_back(tmp_path, has_come_down=True)
    assert world.counts["restores"] == 1
    check_all(world.nodes, world.ledger, world.rng)
    # The centre has back from the province what it wrote.
    assert world.nodes[_CENTRE].guard.disk.execute("SELECT kind FROM document").fetchall()
    world.close()


def test_what_was_shown_to_nobody_below_is_lost_with_both_disks(tmp_path: Path) -> None:
    world = centre_and_province_put_back(tmp_path, has_come_down=False)
    assert world.counts["restores"] == 2
    check_all(world.nodes, world.ledger, world.rng)
    assert not world.nodes[_CENTRE].guard.disk.execute("SELECT kind FROM document").fetchall()
    world.close()


def test_the_centre_does_not_get_back_what_only_a_log_of_the_province_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "_is_last_word", lambda world, node, disk: False)
    world = centre_and_province_put_back(tmp_path, has_come_down=True)
    assert world.counts["restores"] == 2
    for code, is_there in ((_CENTRE, False), (_PROVINCE, True), (_COMMUNE, True)):
        kinds = world.nodes[code].guard.disk.execute("SELECT kind FROM document").fetchall()
        assert bool(kinds) is is_there
    with pytest.raises(BrokenPromise):
        check_all(world.nodes, world.ledger, world.rng)
    world.close()
