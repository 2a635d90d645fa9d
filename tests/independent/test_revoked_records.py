"""A record of a revoked node counts as far as docs/PROTOCOL.md says, to any other program too.

Method: a commune goes on writing after its province revoked it; both checkers judge what each node
exports, before and after, by statements that hold and some that do not.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.identity import NodeKey
from crypto.revocation import sign_revocation
from schemas.codes import Tier
from schemas.ids import DocumentId, mint_document_id
from schemas.revocation import Mark, Revocation
from sync.errors import RecordFileError
from sync.record_file import verify_record
from sync.revoking import countersigned, logs_of, revoke
from tests.independent.change_reader import Refused
from tests.independent.revocation_checker import check_with
from tests.independent.world import NOW_MS, Node, World

HOLDS, REFUSED = ("holds", "holds"), ("refused", "refused")


def opinions(world: World, data: bytes, statements: bytes) -> tuple[str, str]:
    """Return what the checker and the product say; anything but a refusal propagates."""
    try:
        check_with(data, world.root_der, statements)
        ours = "holds"
    except Refused:
        ours = "refused"
    try:
        verify_record(data, world.root, statements)
        theirs = "holds"
    except RecordFileError:
        theirs = "refused"
    return ours, theirs


def statement(signer: Node, target: Node, size: int | None, root: bytes = b"") -> bytes:
    """Return a revocation after which so many leaves count; None: as the signer's command does."""
    key, subject = target.replica.key.peer_id, target.replica.subject
    if size is None:
        sizes = countersigned(signer.replica, key)
        with signer.replica.transaction():
            return revoke(signer.replica, key, subject.code, sizes, "mất trộm", NOW_MS).data
    (log,) = logs_of(target.replica, key)
    marks: tuple[Mark, ...] = ()
    if size:
        top = root or target.replica.store.root_at(log, size)
        marks = (Mark(log_id=log.log_id, last_valid_seq=size - 1, root=top),)
    said = Revocation(key=key, code=subject.code, marks=marks, reason="mất trộm", at_ms=NOW_MS)
    return sign_revocation(signer.key, signer.ders, said).encode()


@pytest.fixture
def late(tmp_path: Path) -> Iterator[tuple[World, DocumentId, int]]:
    """Yield a world whose commune wrote more than the others have, and how much they have."""
    world = World(tmp_path)
    (log,) = logs_of(world.commune.replica, world.commune.key.peer_id)
    size = log.size
    lan = world.commune.author("lan", "Nguyễn Thị Lan")
    world.commune.write(lan, world.case, 20_000, fields={"title": "sửa sau"})
    yield world, world.case, size
    world.close()


def test_what_counts_holds_and_what_came_late_does_not(
    late: tuple[World, DocumentId, int],
) -> None:
    world, case, size = late
    before = world.province.export(case, world.root)
    stolen = world.commune.export(case, world.root)
    assert opinions(world, stolen, b"") == HOLDS
    for said in (
        statement(world.province, world.commune, None),
        statement(world.province, world.commune, size),
        statement(world.centre, world.commune, size),
    ):
        assert opinions(world, before, said) == HOLDS
        assert opinions(world, world.province.export(case, world.root), said) == HOLDS
        assert opinions(world, stolen, said) == REFUSED
    assert opinions(world, before, statement(world.centre, world.commune, 0)) == REFUSED
    lower = statement(world.centre, world.commune, 3)
    higher = statement(world.centre, world.commune, size)
    assert opinions(world, before, lower + higher) == REFUSED
    assert opinions(world, before, higher + lower) == REFUSED


def test_a_revocation_by_who_may_not_or_that_is_damaged_is_refused(
    late: tuple[World, DocumentId, int],
) -> None:
    world, case, size = late
    before = world.province.export(case, world.root)
    good = statement(world.province, world.commune, size)
    for bad in (
        statement(world.other, world.commune, size),
        statement(world.commune, world.commune, size),
        good[:-1],
        good[:-1] + bytes([good[-1] ^ 1]),
        b"\x00" + good,
    ):
        assert opinions(world, before, bad) == REFUSED


def test_what_a_revoked_province_said_counts_no_more(
    late: tuple[World, DocumentId, int],
) -> None:
    world, case, _ = late
    before = world.centre.export(case, world.root)
    thief = statement(world.province, world.commune, 0)
    assert opinions(world, before, thief) == REFUSED
    (log,) = logs_of(world.province.replica, world.province.key.peer_id)
    ended = statement(world.centre, world.province, log.size)
    assert opinions(world, before, thief + ended) == HOLDS
    assert opinions(world, before, ended + thief) == HOLDS


def test_a_log_made_again_with_a_stolen_key_proves_nothing(
    late: tuple[World, DocumentId, int],
) -> None:
    world, case, _ = late
    stolen = world.commune.export(case, world.root)
    (log,) = logs_of(world.commune.replica, world.commune.key.peer_id)
    # All of it is said to count, but of a log with another content.
    assert opinions(world, stolen, statement(world.centre, world.commune, log.size)) == HOLDS
    another = statement(world.centre, world.commune, log.size, NodeKey.generate().peer_id)
    assert opinions(world, stolen, another) == REFUSED


def test_the_record_of_an_outpost_of_a_stolen_key_holds_if_somebody_above_saw_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    outpost = world.node(b"o", Tier.OUTPOST, "40.17083.1", "Máy lưu động 1", world.commune)
    lan, case = outpost.author("lan", "Nguyễn Thị Lan"), mint_document_id(NOW_MS, world.rng)
    outpost.write(lan, case, 0, kind="case", fields={"title": "Ở bản"}, texts={"summary": ""})
    world.link(outpost, world.commune)
    fresh = world.commune.export(case, world.root)
    assert opinions(world, fresh, b"") == HOLDS
    world.meet()
    seen = world.province.export(case, world.root)
    stolen = statement(world.province, world.commune, None)
    assert opinions(world, seen, stolen) == HOLDS
    # The commune's own word, which a thief could give too, is not enough.
    assert opinions(world, fresh, stolen) == REFUSED
    lost = statement(world.commune, outpost, None)
    assert opinions(world, seen, lost) == HOLDS
    assert opinions(world, seen, statement(world.commune, outpost, 1)) == REFUSED
    # What a commune says ends with its key.
    assert opinions(world, seen, stolen + statement(world.commune, outpost, 1)) == HOLDS
    assert opinions(world, seen, statement(world.other, outpost, 1)) == REFUSED
    world.close()
