"""Devices come in by pairing alone, and stay out once they are revoked."""

from pathlib import Path

import pytest

from tests.web.lan_office import LanOffice, tell_on_the_lan


@pytest.mark.parametrize("way", ["qr", "code"])
def test_a_device_is_paired_once_the_technician_has_compared(tmp_path: Path, way: str) -> None:
    async def story(lan: LanOffice) -> None:
        offer = await lan.offer(way)
        assert await lan.paired_rows() == []
        device = await lan.pair(offer)
        assert await lan.paired_rows() == [("Máy bảng 1", "work", 0)]
        async with device.client() as client:
            told = await device.prove(client)
        assert (told["name"], told["scope"]) == ("Máy bảng 1", "work")

    tell_on_the_lan(tmp_path, story)
