"""A commune without a line: what its officer hands the boat, and what comes back with it.

Method: real nodes without a link between them, and Chromium at the page of each.
"""

import asyncio
from pathlib import Path

import pytest
from playwright.sync_api import Page

from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.node.sticks import register
from tests.story.browser import chromium, signed_in
from tests.story.processes import NodeProcess, add_account

pytestmark = pytest.mark.serial


def load(page: Page, node: NodeProcess, to: str, stick: Path) -> Path:
    """Make a pack for an office and download it onto the stick."""
    page.goto(f"{node.url}/packs")
    page.get_by_label("Gửi cho").select_option(to)
    page.get_by_role("button", name="Tạo gói").click()
    link = page.locator("a[download]")
    link.wait_for(timeout=20_000)
    with page.expect_download() as download:
        link.click()
    file = stick / download.value.suggested_filename
    download.value.save_as(file)
    return file


def unload(page: Page, node: NodeProcess, file: Path) -> None:
    """Take a pack in from the stick and wait until it is done."""
    page.goto(f"{node.url}/packs")
    page.locator("#files").set_input_files(file)
    page.get_by_role("button", name="Nhận vào").click()
    page.get_by_text("đã đủ").wait_for(timeout=20_000)


def test_an_officer_sends_records_with_a_boat_and_learns_that_they_arrived(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    register(tmp_path / "commune", "Đất rẫy của bản")
    add_account(tmp_path / "commune", "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    add_account(tmp_path / "province", "hung", "Trần Văn Hùng", Role.PROVINCIAL_RECEPTION_BOARD)
    commune, province = NodeProcess(tmp_path / "commune"), NodeProcess(tmp_path / "province")
    for node in (commune, province):
        node.start()
        asyncio.run(node.wait_until_up())
    with chromium() as browser:
        lan, hung = signed_in(browser, commune, "lan"), signed_in(browser, province, "hung")
        unload(hung, province, load(lan, commune, "parent", tmp_path))
        hung.goto(f"{province.url}/cases")
        hung.get_by_role("link", name="Đất rẫy của bản").wait_for()
        unload(lan, commune, load(hung, province, "40.17083", tmp_path))
        assert "Tỉnh xác nhận thêm" in lan.locator("#packs").inner_text()
    for node in (commune, province):
        assert node.stop() == 0
