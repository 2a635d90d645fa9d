"""Goal: links over real TLS come and go, carry records, and refuse strangers in words.

Method: two or three nodes in this process, on loopback.
"""

import asyncio
from pathlib import Path

from node.clock import Clock
from node.requests import IssueDirective
from schemas.codes import Tier
from sync.replica import Author
from tests.node.places import (
    DAY_MS,
    Running,
    make_below,
    make_centre,
    make_commune,
    make_province,
    running,
    set_parent,
)


def _three(folder: Path) -> tuple[Path, Path, Path]:
    centre, province, commune = folder / "centre", folder / "province", folder / "commune"
    make_centre(centre)
    make_province(province, centre)
    make_commune(commune, province)
    return centre, province, commune


def _cosigned(tier: Tier) -> "_Condition":
    return _Condition(tier)


class _Condition:
    """Holds once a tier has countersigned everything written at a node."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def __call__(self, at: Running) -> bool:
        store = at.station.replica.store
        row = store.db.execute(
            "SELECT l.size, (SELECT max(c.size) FROM cosignature c WHERE c.log = l.number"
            " AND c.tier = ?) FROM log l WHERE l.source IS NULL AND l.purpose = 'up'",
            (self._tier.value,),
        ).fetchone()
        return row is not None and row[0] == row[1]


def test_a_record_climbs_to_the_centre_and_the_commune_learns_of_it(tmp_path: Path) -> None:
    centre_at, province_at, commune_at = _three(tmp_path)

    async def story() -> None:
        async with running(centre_at) as centre:
            set_parent(province_at, centre.port)
            async with running(province_at) as province:
                set_parent(commune_at, province.port)
                async with running(commune_at) as commune:
                    await commune.register("Đòi đất")
                    await commune.wait_for(_cosigned(Tier.PROVINCE))
                    await commune.wait_for(_cosigned(Tier.CENTRE))
                    assert await province.count("cases") == 1
                    assert await centre.count("cases") == 1

    asyncio.run(story())


def test_a_directive_reaches_the_commune_it_names_and_no_other(tmp_path: Path) -> None:
    _, province_at, commune_at = _three(tmp_path)
    other_at = tmp_path / "other"
    make_commune(other_at, province_at, "40.17084")

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            set_parent(other_at, province.port)
            async with running(commune_at) as commune, running(other_at) as other:
                visit = await commune.register("Đòi đất")
                await other.register("Sửa cầu")
                await province.wait_for_rows("cases", 2)
                request = IssueDirective(
                    case_id=visit.case_ids[0],
                    to_codes=("40.17083",),
                    title="Xem xét, báo cáo",
                    due_on=Clock().today(),
                )
                author = Author(
                    user="hung",
                    name="Trần Hùng",
                    role="provincial_reception_board",
                    device=province.station.replica.device,
                )
                await province.node.write(
                    lambda now_ms: province.station.desk.issue_directive(author, request, now_ms)
                )
                await commune.wait_for_rows("directives", 1)
                # What would have reached the other commune is there once its next record is acked.
                await other.register("Sửa đường")
                await other.wait_for(_cosigned(Tier.PROVINCE))
                assert await other.count("directives") == 0
                assert await other.count("cases") == 2

    asyncio.run(story())


def test_a_link_that_was_cut_comes_back_and_goes_on_from_the_cursor(tmp_path: Path) -> None:
    _, province_at, commune_at = _three(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                await commune.register("Một")
                await commune.wait_for(_cosigned(Tier.PROVINCE))
                await commune.node.set_link_cut(True)
                await commune.register("Hai")
                assert not _cosigned(Tier.PROVINCE)(commune)
                assert commune.node.link.state == "cut"
                await commune.node.set_link_cut(False)
                await commune.wait_for(_cosigned(Tier.PROVINCE))
                assert await province.count("cases") == 2

    asyncio.run(story())


def test_a_province_that_comes_up_later_gets_everything(tmp_path: Path) -> None:
    _, province_at, commune_at = _three(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            port = province.port
        set_parent(commune_at, port)
        async with running(commune_at) as commune:
            await commune.register("Khi mất mạng")
            await commune.wait_for(lambda at: at.link_code() == "link_unreachable")

    asyncio.run(story())


def test_an_expired_certificate_is_refused_with_its_reason_at_both_ends(tmp_path: Path) -> None:
    centre_at, province_at, commune_at = tmp_path / "c", tmp_path / "p", tmp_path / "a"
    make_centre(centre_at, Clock().now_ms() - 300 * DAY_MS)
    make_province(province_at, centre_at, Clock().now_ms() - 200 * DAY_MS)
    make_below(
        commune_at,
        province_at,
        tier=Tier.COMMUNE,
        code="40.17083",
        name="Mỹ Lý",
        signed_at_ms=Clock().now_ms() - 100 * DAY_MS,
        days=10,
    )

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                await commune.register("Đòi đất")
                await commune.wait_for(lambda at: at.link_code() == "certificate_expired")
                assert await province.count("cases") == 0
                assert await commune.count("cases") == 1

    asyncio.run(story())


def test_a_commune_of_another_province_is_refused_with_its_reason(tmp_path: Path) -> None:
    centre_at, province_at, foreign_at = tmp_path / "c", tmp_path / "p", tmp_path / "q"
    make_centre(centre_at)
    make_province(province_at, centre_at)
    make_below(foreign_at, centre_at, tier=Tier.PROVINCE, code="42", name="Hà Tĩnh")
    make_below(tmp_path / "a", foreign_at, tier=Tier.COMMUNE, code="42.18001", name="Xã lạ")

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(tmp_path / "a", province.port)
            async with running(tmp_path / "a") as stranger:
                await stranger.register("Đòi đất")
                await stranger.wait_for(lambda at: at.link_code().startswith("certificate_wrong"))
                assert await province.count("cases") == 0

    asyncio.run(story())


def test_a_commune_that_dials_the_centre_is_refused_with_its_reason(tmp_path: Path) -> None:
    centre_at, _, commune_at = _three(tmp_path)

    async def story() -> None:
        async with running(centre_at) as centre:
            set_parent(commune_at, centre.port)
            async with running(commune_at) as commune:
                await commune.wait_for(lambda at: at.link_code().startswith("certificate_wrong"))
                assert await centre.count("cases") == 0

    asyncio.run(story())


def test_a_node_under_another_root_cannot_connect(tmp_path: Path) -> None:
    _, province_at, _ = _three(tmp_path / "ours")
    (tmp_path / "theirs").mkdir()
    _, _, stranger_at = _three(tmp_path / "theirs")

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(stranger_at, province.port)
            async with running(stranger_at) as stranger:
                await stranger.register("Đòi đất")
                await stranger.wait_for(lambda at: at.link_code() != "")
                assert stranger.node.link.state == "down"
                assert await province.count("cases") == 0

    asyncio.run(story())
