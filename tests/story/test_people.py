"""Goal: in a real browser accounts are handed over, seals opened, data requests taken and answered.

Method: Debian's Chromium at a commune's node whose office key is under a passphrase.
"""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from node.folder import open_folder
from node.office_keys import keep
from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.browser import chromium, signed_in
from tests.story.processes import NodeProcess, Person, add_account
from tests.web.offices import denunciation_form, visit_form

PASSPHRASE = "mưa đầu mùa trên nương"
NEW = "mật khẩu của riêng Xuân"


@pytest.mark.serial
def test_people_are_hired_seals_opened_and_requests_answered(tmp_path: Path) -> None:
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(tmp_path / "commune", tmp_path / "province")
    folder = open_folder(tmp_path / "commune")
    keep(folder, folder.key.office, passphrase=PASSPHRASE, place=None)
    for user, name, role in (
        ("hung", "Trần Văn Hùng", Role.COMMUNE_CHAIR),
        ("mai", "Lê Thị Mai", Role.RECEPTION_LEAD),
        ("lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER),
    ):
        add_account(folder.path, user, name, role)
    node = NodeProcess(folder.path)
    node.start()
    try:
        cases = asyncio.run(_register(node))
        with chromium() as browser:
            _hire(browser, node)
            mai = signed_in(browser, node, "mai")
            _unlock_and_open(mai, node, cases)
            _ask_and_answer(mai, node, cases[0])
    finally:
        node.kill()


async def _register(node: NodeProcess) -> list[str]:
    await node.wait_until_up()
    lan = Person(node, "lan")
    try:
        await lan.sign_in()
        made = [await lan.ask("POST", "/visits", f) for f in (visit_form(), denunciation_form())]
    finally:
        await lan.close()
    return [answer["case_ids"][0] for answer in made]


def _hire(browser: Browser, node: NodeProcess) -> None:
    chair = signed_in(browser, node, "hung")
    chair.goto(f"{node.url}/accounts")
    chair.click("[data-open=add-form]")
    chair.fill("dialog [name=name]", "Lò Thị Xuân")
    chair.fill("dialog [name=user]", "xuan")
    chair.select_option("dialog [name=role]", "verifier")
    chair.click("dialog button.main")
    told = chair.locator("dialog [data-password]")
    expect(told).to_have_text(re.compile(r"(\w{4}-){3}\w{4}"))
    password = told.inner_text()
    chair.click("dialog [data-close]")
    expect(chair.locator("tr[data-user=xuan]")).to_contain_text("chờ đổi mật khẩu lần đầu")
    xuan = browser.new_context(locale="vi").new_page()
    xuan.goto(f"{node.url}/sign-in")
    xuan.fill("[name=user]", "xuan")
    xuan.fill("[name=password]", password)
    xuan.keyboard.press("Enter")
    xuan.wait_for_url(f"{node.url}/account")
    xuan.fill("[name=old]", password)
    xuan.fill("[name=new]", NEW)
    xuan.click("#password button.main")
    xuan.wait_for_url(f"{node.url}/")
    chair.click("tr[data-user=xuan] [data-active=no]")
    chair.click("dialog button.main")
    expect(chair.locator("tr[data-user=xuan]")).to_contain_text("đã đóng")
    xuan.goto(f"{node.url}/cases")
    assert "/sign-in" in xuan.url


def _unlock_and_open(mai: Page, node: NodeProcess, cases: list[str]) -> None:
    mai.goto(f"{node.url}/cases/{cases[0]}")
    mai.click("[data-reveal]")
    expect(mai.locator("#messages")).to_contain_text("đang khóa")
    mai.goto(f"{node.url}/account")
    mai.fill("[name=passphrase]", PASSPHRASE)
    mai.click("#office-key button.main")
    expect(mai.locator("#office-key")).to_contain_text("Đang mở")
    mai.goto(f"{node.url}/cases/{cases[0]}")
    mai.click("[data-reveal]")
    expect(mai.get_by_text("040162001234")).to_be_visible()
    mai.goto(f"{node.url}/cases/{cases[1]}")
    mai.click("[data-open-reference]")
    expect(mai.get_by_text("TC-7F3K")).to_be_visible()


def _ask_and_answer(mai: Page, node: NodeProcess, case: str) -> None:
    mai.goto(f"{node.url}/cases/{case}")
    mai.click("[data-asks]")
    mai.select_option("dialog [name=right]", "deletion")
    mai.click("dialog button.main")
    expect(mai.locator("#messages")).to_contain_text("Đã ghi")
    mai.goto(f"{node.url}/data-requests")
    mai.click("button[data-answer]")
    mai.select_option("dialog [name=answer]", "refused")
    mai.fill("dialog [name=reason]", "Hồ sơ phải lưu trữ.")
    mai.click("dialog button.main")
    expect(mai.locator("main")).to_contain_text("Không thực hiện")
