"""Goal: nodes exchange records by datagrams as they do by WebSocket, and refuse the same strangers.

Method: nodes in this process, on loopback, whose choice is made.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from node.choice import Choice, Losses, Reason, Way
from node.clock import Clock
from node.config import read_config, write_config
from schemas.codes import Tier
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


class OnlyDatagrams(Choice):
    """A choice that was made."""

    def __init__(self) -> None:
        super().__init__(may_datagrams=True)

    def only(self, now_s: float) -> Way | None:
        return "datagrams"

    def wants_other(self, losses: Losses, now_s: float) -> Reason | None:
        return None


@asynccontextmanager
async def by_datagrams(folder: Path) -> AsyncIterator[Running]:
    async with running(folder) as node:
        assert node.node.uplink is not None
        node.node.uplink._dialler.choice = OnlyDatagrams()
        yield node


def _places(folder: Path) -> tuple[Path, Path]:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    return folder / "province", folder / "commune"


def _is_cosigned(at: Running) -> bool:
    row = at.station.replica.store.db.execute(
        "SELECT l.size, (SELECT max(c.size) FROM cosignature c WHERE c.log = l.number)"
        " FROM log l WHERE l.source IS NULL AND l.purpose = 'up'"
    ).fetchone()
    return row is not None and row[0] == row[1]


def test_a_record_climbs_by_datagrams_and_the_commune_learns_of_it(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with by_datagrams(commune_at) as commune:
                for title in ("Đòi đất", "Sửa cầu"):
                    await commune.register(title)
                    await commune.wait_for(_is_cosigned)
                assert commune.node.link.way == "datagrams"
                assert await province.count("cases") == 2
                await commune.node.set_link_cut(True)
                await commune.register("Sửa đường")
                await commune.node.set_link_cut(False)
                await commune.wait_for(_is_cosigned)
                assert await province.count("cases") == 3

    asyncio.run(story())


def test_a_link_that_moves_from_one_way_to_the_other_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    province_at, commune_at = _places(tmp_path)

    class Restless(Choice):
        """Takes the other way at every second look."""

        looks = 0

        def only(self, now_s: float) -> Way | None:
            return None

        def wants_other(self, losses: Losses, now_s: float) -> Reason | None:
            self.looks += 1
            if self.looks % 2 or self.looks > 8:
                return None
            return "losses" if self.way == "websocket" else "calm"

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                assert commune.node.uplink is not None
                commune.node.uplink._dialler.choice = Restless(may_datagrams=True)
                ways = set()
                for number in range(30):
                    await commune.register(f"Việc {number}")
                    ways.add(commune.node.link.way)
                    await asyncio.sleep(0.1)
                await commune.wait_for(_is_cosigned)
                assert ways == {"websocket", "datagrams"}
                assert await province.count("cases") == 30
                seen = await province.node.read(
                    lambda db: db.execute(
                        "SELECT count(*), count(DISTINCT hash) FROM change"
                    ).fetchone()
                )
                assert seen[0] == seen[1]

    asyncio.run(story())


def test_a_commune_of_another_province_is_refused_with_its_reason(tmp_path: Path) -> None:
    province_at, _ = _places(tmp_path)
    foreign_at, stranger_at = tmp_path / "q", tmp_path / "a"
    make_below(foreign_at, tmp_path / "centre", tier=Tier.PROVINCE, code="42", name="Hà Tĩnh")
    make_below(stranger_at, foreign_at, tier=Tier.COMMUNE, code="42.18001", name="Xã lạ")

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(stranger_at, province.port)
            async with by_datagrams(stranger_at) as stranger:
                await stranger.register("Đòi đất")
                await stranger.wait_for(
                    lambda at: at.link_code() in ("certificate_wrong_tier", "datagrams_insecure")
                )
                assert stranger.node.link.last_error is not None
                assert await province.count("cases") == 0

    asyncio.run(story())


def test_a_neighbour_is_not_taken_for_the_province(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)
    neighbour_at = tmp_path / "n"
    make_below(neighbour_at, province_at, tier=Tier.COMMUNE, code="40.17084", name="Xã khác")
    # As for its outposts.
    write_config(neighbour_at, replace(read_config(neighbour_at), sync_host="127.0.0.1"))

    async def story() -> None:
        async with running(neighbour_at) as neighbour:
            set_parent(commune_at, neighbour.port)
            async with by_datagrams(commune_at) as commune:
                await commune.register("Đòi đất")
                await commune.wait_for(lambda at: at.link_code() == "certificate_wrong_tier")
                assert await neighbour.count("cases") == 0

    asyncio.run(story())


def test_an_expired_certificate_is_refused_with_its_reason(tmp_path: Path) -> None:
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
            async with by_datagrams(commune_at) as commune:
                await commune.register("Đòi đất")
                await commune.wait_for(lambda at: at.link_code() == "certificate_expired")
                assert await province.count("cases") == 0

    asyncio.run(story())


def test_a_province_that_takes_no_datagrams_is_reached_by_websocket(tmp_path: Path) -> None:
    province_at, commune_at = _places(tmp_path)
    write_config(province_at, replace(read_config(province_at), datagrams=False))

    class Doubtful(Choice):
        """Dials datagrams first."""

        def first(self) -> Way:
            return "datagrams"

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                assert commune.node.uplink is not None
                commune.node.uplink._dialler.choice = Doubtful(may_datagrams=True)
                await commune.register("Đòi đất")
                await commune.wait_for(_is_cosigned)
                assert commune.node.link.way == "websocket"
                assert not commune.node.uplink._dialler.choice.may_try_datagrams(
                    commune.node.clock.monotonic_s()
                )

    asyncio.run(story())
