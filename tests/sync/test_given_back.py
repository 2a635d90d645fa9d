"""Goal: what a tier above gives back reaches whom it belongs to, as long as links stay open.

Method: as in test_epochs.py.
"""

from contextlib import suppress
from pathlib import Path

import pytest

from schemas.wire import Head
from sync.epochs import open_epoch
from sync.errors import LinkError
from tests.sync.builders import NOW_MS, Link, Node, new_node, sync
from tests.sync.test_epochs import changes, copy_of, meet, restored, same_documents


def test_what_the_centre_gives_back_to_a_province_reaches_the_commune_on_an_open_link(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    centre = new_node("0", tmp_path)
    case = commune.open_case(1)
    meet(commune, province)
    old_commune, old_province = copy_of(commune, tmp_path), copy_of(province, tmp_path)
    commune.write(case, fields={"title": "sau"})
    restored(commune)
    commune.write(case, fields={"topic": "kỳ sau"})
    meet(commune, province)
    meet(province, centre)
    for node in (old_commune, old_province):
        with node.transaction():
            open_epoch(node.replica, 2, NOW_MS, "restored", "copy", cuts=False)
    link = Link(old_commune, old_province).run()
    Link(old_province, centre).run()
    assert link.down.has_news()
    link.run()
    assert old_commune.values(case) == commune.values(case)
    same_documents(old_commune, old_province)
    same_documents(old_province, centre)
    # Told once.
    Link(old_commune, old_province).run()
    again = Link(old_commune, old_province).run()
    assert not any(isinstance(message, Head) for _, message in again.sent)


def test_a_copy_skips_at_once_all_epochs_that_the_tier_above_holds(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    first, second = copy_of(commune, tmp_path), copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "mất"})
    meet(commune, province)
    meet(first, province)
    with suppress(LinkError):
        Link(second, province).run()
    assert second.replica.epoch == 2


def test_a_copy_that_went_on_is_noticed_though_a_head_on_the_way_is_known(
    tmp_path: Path, commune: Node, province: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = commune.open_case(1)
    sync(commune, province)
    monkeypatch.setattr("sync.replica.HEAD_STEP", 1)
    monkeypatch.setattr("sync.receiver.HEAD_STEP", 1)
    commune.write(case, fields={"title": "hai"})
    copy = copy_of(commune, tmp_path)
    commune.write(case, fields={"title": "mất"})
    sync(commune, province)
    for title in ("bốn", "năm", "sáu"):
        copy.write(case, fields={"title": title})
    for _ in range(5):
        with suppress(LinkError):
            sync(copy, province)
    assert copy.replica.epoch == 1
    same_documents(copy, province)


def test_the_link_of_a_backup_made_of_a_copy_that_wrote_unnoticed_comes_to_rest(
    tmp_path: Path, commune: Node, province: Node
) -> None:
    case = commune.open_case(1)
    meet(commune, province)
    unnoticed = copy_of(commune, tmp_path)
    for title in ("một", "hai", "ba"):
        commune.write(case, fields={"title": title})
    meet(commune, province)
    unnoticed.open_case(2)
    backup = copy_of(unnoticed, tmp_path)
    meet(unnoticed, province)
    with backup.transaction():
        open_epoch(backup.replica, 2, NOW_MS, "restored", "copy", cuts=False)
    meet(backup, province)
    assert changes(backup) == changes(province)
    assert backup.values(case) == province.values(case)
    assert not any(log.fault for log in backup.replica.store.logs())
