"""Goal: no office falls off the line because a certificate ended, unless somebody said so.

Method: enrolled folders with certificates of other days, nodes on loopback over real TLS.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from crypto.certificates import chain_to_der, make_request, request_to_pem
from node.asking import ask
from node.cli import main
from node.clock import Clock
from node.errors import NodeError
from node.folder import NodeFolder, expiry_ms, open_folder
from node.issuing import lifetime_days
from node.renewing import RENEW_PATH, RenewRequest, certificate_state, is_due, renew
from node.tls import plain_client_context
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

CODE = "40.17083"


class Pair:
    """A province of 200 days and a commune whose certificate was signed some days ago."""

    def __init__(self, folder: Path, *, signed_days_ago: int, days: int) -> None:
        now_ms = Clock().now_ms()
        self.centre, self.province, self.commune = (folder / name for name in "0pc")
        make_centre(self.centre, now_ms - 300 * DAY_MS)
        make_province(self.province, self.centre, now_ms - 200 * DAY_MS)
        make_below(
            self.commune,
            self.province,
            tier=Tier.COMMUNE,
            code=CODE,
            name="Mỹ Lý",
            signed_at_ms=now_ms - signed_days_ago * DAY_MS,
            days=days,
        )

    def days_left(self) -> float:
        """Return how long the commune's certificate is still good, as its folder says."""
        ends_ms = expiry_ms(open_folder(self.commune).chain[0])
        return (ends_ms - Clock().now_ms()) / DAY_MS

    def tell(self, story: Callable[[Running], Awaitable[None]]) -> None:
        async def run() -> None:
            async with running(self.province) as province:
                set_parent(self.commune, province.port)
                await story(province)

        asyncio.run(run())


async def why_not(pair: Pair) -> str:
    """Return why a renewal is refused; what was there stays."""
    before = (pair.commune / "chain.pem").read_bytes()
    with pytest.raises(NodeError) as caught:
        await asyncio.to_thread(renew, open_folder(pair.commune))
    assert (pair.commune / "chain.pem").read_bytes() == before
    assert caught.value.hint
    return caught.value.code


async def refusal_of(folder: NodeFolder, body: bytes) -> str:
    """Say something to the parent as the node of a folder, and return why it refuses."""
    context = plain_client_context(folder)
    with pytest.raises(NodeError) as caught:
        await asyncio.to_thread(
            ask, folder.config.parent, RENEW_PATH, lambda _: body, context=context
        )
    return caught.value.code


def test_a_certificate_is_renewed_long_before_its_end(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=70, days=lifetime_days(Tier.COMMUNE))
    assert 19 < pair.days_left() < 21

    async def story(province: Running) -> None:
        async with running(pair.commune, renews=True) as commune:
            await commune.wait_for(lambda at: not is_due(at.station.folder.chain[0], _now()))
            assert commune.node.renewal.status.error is None
            await commune.register("Đòi đất")
            await province.wait_for_rows("cases", 1)

    pair.tell(story)
    assert 89 < pair.days_left() < 91


def test_a_commune_whose_certificate_ended_comes_back_by_itself(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=100, days=10)
    assert pair.days_left() < -80

    async def story(province: Running) -> None:
        async with running(pair.commune) as commune:
            await commune.register("Trong mùa lũ")
            await commune.wait_for(lambda at: at.link_code() == "certificate_expired")
            assert await province.count("cases") == 0
            # Whatever the commune's own clock says, the province judges.
            assert commune.node.renewal._is_time()
            await commune.node.renewal.attempt()
            await province.wait_for_rows("cases", 1)

    pair.tell(story)
    assert 89 < pair.days_left() < 91


@pytest.mark.parametrize("year", [1970, 2050])
def test_the_clock_of_a_commune_does_not_matter_for_its_certificate(
    year: int, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, signed_days_ago=100, days=10)

    async def story(province: Running) -> None:
        async with running(pair.commune) as commune:
            clock = commune.node.clock
            clock.now_ms = lambda: int((year - 1970) * 365.25 * DAY_MS)  # type: ignore[method-assign]
            await commune.wait_for(lambda at: at.link_code() == "certificate_expired")
            assert commune.node.renewal._is_time()
            await commune.node.renewal.attempt()
            assert commune.node.renewal.status.error is None
            await commune.wait_for(lambda at: at.node.link.state == "up")

    pair.tell(story)
    assert 89 < pair.days_left() < 91


def test_a_certificate_that_a_clock_ahead_signed_is_replaced_once_that_is_right(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, signed_days_ago=-30, days=90)

    async def story(province: Running) -> None:
        async with running(pair.commune) as commune:
            await commune.register("Đòi đất")
            await commune.wait_for(lambda at: at.link_code() == "certificate_not_yet_valid")
            assert commune.node.renewal._is_time()
            await commune.node.renewal.attempt()
            await province.wait_for_rows("cases", 1)

    pair.tell(story)
    assert 89 < pair.days_left() < 91


@pytest.mark.parametrize(
    ("year", "code"), [(1970, "certificate_not_yet_valid"), (2090, "certificate_expired")]
)
def test_a_province_with_a_clock_beyond_its_own_certificate_issues_nothing(
    year: int, code: str, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, signed_days_ago=1, days=90)

    async def story(province: Running) -> None:
        clock = province.node.clock
        clock.now_ms = lambda: int((year - 1970) * 365.25 * DAY_MS)  # type: ignore[method-assign]
        assert await why_not(pair) == code

    pair.tell(story)


def test_a_revoked_node_is_not_renewed(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=100, days=10)

    async def story(province: Running) -> None:
        chain = f"{pair.commune / 'chain.pem'}"
        await province.node.write(
            lambda now_ms: province.node.revoke(
                chain, last_valid=None, reason="Máy bị mất trộm", now_ms=now_ms
            )
        )
        assert await why_not(pair) == "key_revoked"

    pair.tell(story)


def test_a_renewal_changes_neither_key_nor_name_nor_code(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=1, days=90)
    make_commune(tmp_path / "other", pair.province, "40.17084")

    async def story(province: Running) -> None:
        folder, other = open_folder(pair.commune), open_folder(tmp_path / "other")
        for key, code, name in (
            (other.key, CODE, "Mỹ Lý"),
            (folder.key, "40.17084", "Mỹ Lý"),
            (folder.key, CODE, "Tên khác"),
        ):
            request = request_to_pem(make_request(key, Tier.COMMUNE, code, name)).decode()
            body = RenewRequest(request=request).model_dump_json().encode()
            assert await refusal_of(folder, body) == "renewal_differs"

    pair.tell(story)


def test_a_certificate_is_not_asked_for_at_another_node(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=1, days=90)

    async def story() -> None:
        async with running(pair.centre) as centre:
            set_parent(pair.commune, centre.port)
            with pytest.raises(Exception, match="not the tier above"):
                await asyncio.to_thread(renew, open_folder(pair.commune))

    asyncio.run(story())


def test_a_province_without_the_root_key_above_it_is_told_what_to_do(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=1, days=90)
    (pair.centre / "root.key").unlink()

    async def story() -> None:
        async with running(pair.centre) as centre:
            set_parent(pair.province, centre.port)
            with pytest.raises(NodeError) as caught:
                await asyncio.to_thread(renew, open_folder(pair.province))
            assert caught.value.code == "root_elsewhere"
            assert "tiepdan root sign" in caught.value.hint

    asyncio.run(story())


def test_what_is_installed_from_a_stick_is_taken_into_use_while_the_node_runs(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, signed_days_ago=100, days=10)
    signed = tmp_path / "signed.pem"
    sign = ["enrol", "--data", f"{pair.province}", "--sign", f"{pair.commune / 'request.pem'}"]
    assert main([*sign, "--out", f"{signed}"]) == 0

    async def story(province: Running) -> None:
        async with running(pair.commune) as commune:
            await commune.register("Đòi đất")
            await commune.wait_for(lambda at: at.link_code() == "certificate_expired")
            data = f"{pair.commune}"
            install = ["enrol", "--data", data, "--install", f"{signed}"]
            assert await asyncio.to_thread(main, install) == 0
            commune.node.renewal._look()
            await province.wait_for_rows("cases", 1)

    pair.tell(story)


def test_a_province_that_was_renewed_shows_its_new_certificate_to_whoever_comes_next(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, signed_days_ago=1, days=90)
    signed = tmp_path / "signed.pem"
    sign = ["enrol", "--data", f"{pair.centre}", "--sign", f"{pair.province / 'request.pem'}"]
    assert main([*sign, "--out", f"{signed}"]) == 0
    before = (pair.province / "chain.pem").read_bytes()

    async def story(province: Running) -> None:
        install = ["enrol", "--data", f"{pair.province}", "--install", f"{signed}"]
        assert await asyncio.to_thread(main, install) == 0
        assert (pair.province / "chain.pem").read_bytes() != before
        province.node.renewal._look()
        new = open_folder(pair.province).chain[0]
        assert province.station.folder.chain[0] == new
        folder, shown = open_folder(pair.commune), list[bytes]()

        def say(listener: bytes) -> bytes:
            shown.append(listener)
            return b"{}"

        context, address = plain_client_context(folder), folder.config.parent
        with pytest.raises(NodeError):
            await asyncio.to_thread(ask, address, RENEW_PATH, say, context=context)
        assert shown == chain_to_der([new])
        async with running(pair.commune) as commune:
            await commune.register("Đòi đất")
            await province.wait_for_rows("cases", 1)

    pair.tell(story)


def test_the_nearer_the_end_the_louder(tmp_path: Path) -> None:
    pair = Pair(tmp_path, signed_days_ago=0, days=90)
    commune = open_folder(pair.commune).chain[0]
    province = open_folder(pair.province).chain[0]
    seen = [
        (days, certificate_state(commune, Tier.COMMUNE, _now() + days * DAY_MS))
        for days in (1, 58, 62, 77, 89, 91)
    ]
    assert [state for _, state in seen] == [
        "good",
        "good",
        "due",
        "ends_soon",
        "ends_soon",
        "ended",
    ]
    # The root's holders must come together for a province's.
    assert certificate_state(province, Tier.PROVINCE, _now() + 110 * DAY_MS) == "ends_soon"


def _now() -> int:
    return Clock().now_ms()
