"""Devices come in by pairing alone: each way in that is not that is refused, and leaves nothing."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import CryptoError
from crypto.pairing import LIFETIME_MS
from crypto.site import certificate_der
from node.errors import NodeError
from node.paired_device import PairedDevice
from node.pairings import WRONG_CODES_MAX
from tests.lan.middle import between
from tests.web.lan_office import HOST, LanOffice, pass_time, tell_on_the_lan

# Stands for a disk that takes no more.
REFUSE_DEVICES = (
    "CREATE TRIGGER refuse BEFORE INSERT ON device BEGIN SELECT RAISE(ABORT, 'full'); END"
)


async def refusal(lan: LanOffice, offer: Any, **how: Any) -> str:
    """Return the code with which a pairing is refused."""
    try:
        await lan.pair(offer, **how)
    except ExceptionGroup as group:
        (error,) = group.exceptions
        assert isinstance(error, CryptoError | NodeError)
        return error.code
    raise AssertionError("it was paired")


@pytest.mark.parametrize("way", ["qr", "code"])
def test_a_device_is_paired_once_the_technician_has_compared(tmp_path: Path, way: str) -> None:
    async def story(lan: LanOffice) -> None:
        offer = await lan.offer(way)
        device = await lan.pair(offer)
        assert await lan.paired_rows() == [("Máy bảng 1", "work", 0)]
        # What it wrote down is all it needs.
        device.write(tmp_path / "device")
        device = PairedDevice.read(tmp_path / "device")
        assert (tmp_path / "device" / "device.key").stat().st_mode & 0o077 == 0
        async with device.client() as client:
            told = await device.prove(client)
        assert (told["name"], told["scope"]) == ("Máy bảng 1", "work")
        assert await refusal(lan, offer) == "pairing_used"
        assert await lan.paired_rows() == [("Máy bảng 1", "work", 0)]

    tell_on_the_lan(tmp_path, story)


def test_a_code_that_is_wrong_used_or_old_is_refused_and_leaves_no_device(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        for way in ("qr", "code"):
            offer = await lan.offer(way)
            reply = await lan.technician.ask("DELETE", f"/api/v1/pairings/{offer['id']}")
            assert reply.status == 200
            assert await refusal(lan, offer) == "pairing_replaced"
            offer = await lan.offer(way)
            pass_time(lan.lan, LIFETIME_MS)
            assert await refusal(lan, offer) == "pairing_expired"
        offer = await lan.offer("qr")
        stranger = {**offer, "link": offer["link"][:-2] + "00"}
        assert await refusal(lan, stranger) == "pairing_unknown"
        for number in range(WRONG_CODES_MAX):
            offer = await lan.offer("code")
            wrong = f"{(int(offer['code']) + 1) % 10**8:08}"
            assert await refusal(lan, offer, code=wrong) == "pairing_proof_wrong", number
            assert (await lan.pairing(offer))["reason_code"] == "pairing_proof_wrong"
            assert await refusal(lan, offer, code=wrong) in ("pairing_used", "pairing_too_many")
        reply = await lan.technician.post(
            "/pairings", {"way": "code", "name": "Máy bảng", "scope": "work"}
        )
        assert reply.code == "pairing_too_many"
        await lan.pair(await lan.offer("qr"))
        pass_time(lan.lan, 3_600_000)
        await lan.pair(await lan.offer("code"), seed=8)
        assert len(await lan.paired_rows()) == 2

    tell_on_the_lan(tmp_path, story)


def test_who_stands_between_with_his_own_certificate_is_found(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        async with in_the_middle(lan, shows_own=True) as port:
            assert await refusal(lan, await lan.offer("qr"), port=port) == "pairing_site_foreign"
            offer = await lan.offer("code")
            assert await refusal(lan, offer, port=port) == "pairing_site_foreign"
            assert (await lan.pairing(offer))["state"] == "greeted"
        # He hands out the site's true certificate, which everybody can fetch, but lacks its key.
        async with in_the_middle(lan, shows_own=False) as port:
            for way in ("qr", "code"):
                offer = await lan.offer(way)
                assert await refusal(lan, offer, port=port) == "site_certificate_wrong"
                assert (await lan.pairing(offer))["state"] == "open"
        assert await lan.paired_rows() == []

    tell_on_the_lan(tmp_path, story)


def test_a_device_that_the_technician_refuses_is_told_so(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        offer = await lan.offer("qr")
        assert await refusal(lan, offer, confirms=False) == "pairing_refused"
        again = await lan.technician.post(f"/pairings/{offer['id']}/confirmed")
        assert again.code == "pairing_not_proven"
        assert await lan.paired_rows() == []

    tell_on_the_lan(tmp_path, story)


def test_a_node_that_restarts_after_the_confirmation_has_let_the_device_in(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        offer = await lan.offer("qr")
        confirm = lan.confirm

        async def confirm_and_restart(offer: Any, digits: str) -> None:
            await confirm(offer, digits)
            # What is in memory alone is what a restart takes.
            lan.lan.pairings._offers.clear()

        lan.confirm = confirm_and_restart  # type: ignore[method-assign]
        device = await lan.pair(offer)
        async with device.client() as client:
            await device.prove(client)
        # Before it, nothing is left, and the device is told.
        offer = await lan.offer("qr")

        async def restart(offer: Any, digits: str) -> None:
            lan.lan.pairings._offers.clear()

        lan.confirm = restart  # type: ignore[method-assign]
        assert await refusal(lan, offer, seed=8) == "device_proof_wrong"
        assert len(await lan.paired_rows()) == 1

    tell_on_the_lan(tmp_path, story)


def test_what_cannot_be_stored_was_not_confirmed(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        offer = await lan.offer("qr")
        db = lan.office.node.accounts.db
        await lan.office.node.write(lambda _: db.execute(REFUSE_DEVICES))
        assert await refusal(lan, offer) == "pairing_failed"
        assert (await lan.pairing(offer))["state"] == "refused"
        assert not await lan.paired_rows()

    tell_on_the_lan(tmp_path, story)


def test_a_device_hears_that_its_key_was_paired_before(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        device = await lan.pair(await lan.offer("qr"))
        offer = await lan.offer("qr")
        assert await refusal(lan, offer) == "device_known"
        assert (await lan.pairing(offer))["state"] == "refused"
        assert len(await lan.paired_rows()) == 1
        async with device.client() as client:
            await device.prove(client)

    tell_on_the_lan(tmp_path, story)


def test_only_the_technician_pairs_and_revokes(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        wanted = {"way": "qr", "name": "Máy bảng", "scope": "work"}
        offer = await lan.offer("qr")
        strangers = await lan.office.browser()
        for user, status in (("lan", 403), ("hung", 403), ("tam", 403), ("", 401)):
            browser = await lan.office.browser(user) if user else strangers
            assert (await browser.post("/pairings", wanted)).status == status
            assert (await browser.get(f"/api/v1/pairings/{offer['id']}")).status == status
            assert (await browser.post(f"/pairings/{offer['id']}/confirmed")).status == status
            assert (await browser.post(f"/devices/{'00' * 16}/revoked")).status == status

    tell_on_the_lan(tmp_path, story)


def test_nonsense_from_strangers_is_answered_with_a_sentence(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        stranger = await lan.office.browser()
        for path, body in (
            ("/pairings/hello", {"way": "code", "commitment": "00" * 32, "spake": "42" * 385}),
            ("/pairings/hello", {"way": "qr", "offer": "00" * 8, "commitment": "00"}),
            ("/pairings/hello", {"way": "qr", "offer": "00" * 8, "commitment": "zz" * 32}),
            ("/pairings/proof", {"id": "00" * 16}),
            ("/device/proof", {"device": "00" * 16, "challenge": "00" * 40, "signature": "0"}),
            (
                "/device/proof",
                {"device": "00" * 16, "challenge": "00" * 40, "signature": "00" * 64},
            ),
        ):
            reply = await stranger.post(path, body)
            assert reply.status == 422, (path, reply.text)
            assert reply.body["message"]
        assert (await stranger.get("/api/v1/pairings/00/outcome")).code == "pairing_unknown"

    tell_on_the_lan(tmp_path, story)


def in_the_middle(lan: LanOffice, *, shows_own: bool) -> AbstractAsyncContextManager[int]:
    """Stand between devices and the node; yields the port."""
    true = certificate_der(lan.lan.site.certificate)
    return between(HOST, 0, (HOST, lan.lan.port), true, shows_own=shows_own)
