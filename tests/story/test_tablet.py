"""Goal: an officer with a tablet that lost the node registers visits, and each arrives once.

Method: Chromium with a profile that outlives it, a node as a process that is stopped and started.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from schemas.codes import Role
from tests.story.processes import PASSWORD, NodeProcess, add_account
from tests.story.tablet import (
    commune_node,
    everything_kept,
    opened_tablet,
    sign_in,
    start,
    unlock,
)

pytestmark = pytest.mark.serial


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Start what drives the browser."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Run a commune, which the tests stop and start."""
    officers = {"lan": "Nguyễn Thị Lan", "mai": "Lô Thị Mai"}
    with commune_node(tmp_path_factory.mktemp("tablet"), officers) as process:
        yield process
        assert process.stop() == 0


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return a file that begins like a photo."""
    path = tmp_path / "anh-chup.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 800)
    return path


def _fill(page: Page, person: str, title: str, photo: Path | None = None) -> None:
    page.locator("#visit[data-ready]").wait_for()
    page.locator("#people [name=full_name]").first.fill(person)
    page.locator("#people [name=identity_type]").first.select_option(index=1)
    page.locator("#people [name=identity_number]").first.fill("040190001234")
    row = page.locator("#petitions [data-row]").first
    row.get_by_text("Khiếu nại", exact=True).click()
    row.locator("[name=title]").fill(title)
    if photo is not None:
        row.locator("[data-files]").set_input_files(photo)


def _page(context: BrowserContext) -> Page:
    return context.pages[0] if context.pages else context.new_page()


def _titles(page: Page) -> list[str]:
    answer = page.evaluate("fetch('/api/v1/cases?size=100').then((answer) => answer.json())")
    return [case["title"] for case in answer["cases"]]


def test_what_a_tablet_took_without_the_node_arrives_once_under_the_right_person(
    node: NodeProcess, playwright: Playwright, photo: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile"
    with opened_tablet(playwright, profile) as tablet:
        sign_in(_page(tablet), node.url, "mai")
        sign_in(_fresh(tablet, node), node.url, "lan")
    assert node.stop() == 0
    with opened_tablet(playwright, profile) as tablet:
        page = _page(tablet)
        page.goto(f"{node.url}/")
        page.locator("[data-lock]").click()
        unlock(page, "lan", "không phải mật khẩu")
        expect(page.locator("#unlock .wrong")).to_be_visible()
        unlock(page, "lan")
        _fill(page, "Vừ Bá Chò", "Đòi đất rẫy bị thu hồi", photo)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#done")).to_contain_text("Đã giữ lượt tiếp trên thiết bị này")
        expect(page.locator("#outbox h2")).to_have_text("Chỉ có trên thiết bị này: 1")
        page.locator("[data-lock]").click()
        unlock(page, "mai")
        page.locator("#visit[data-ready]").wait_for()
        expect(page.locator("#outbox")).not_to_be_visible()
        kept = everything_kept(page)
        for word in ("Vừ Bá Chò", "Đòi đất rẫy", "040190001234", "anh-chup", "extractable=true"):
            assert word not in kept
            assert word.encode().decode("latin-1") not in kept
        assert bytes(range(256)).decode("latin-1") not in kept
    start(node)
    with opened_tablet(playwright, profile) as tablet:
        page = _fresh(tablet, node)
        sign_in(page, node.url, "mai")
        expect(page.locator("#outbox")).not_to_be_visible()
        page.wait_for_timeout(1_000)
        assert _titles(page) == []
        page = _fresh(tablet, node)
        sign_in(page, node.url, "lan")
        expect(page.locator("#outbox")).to_contain_text("Đã đến máy chủ")
        assert _titles(page) == ["Đòi đất rẫy bị thu hồi"]
        page.get_by_role("link", name="Mở vụ việc").click()
        expect(page.locator(".timeline")).to_contain_text("Nguyễn Thị Lan")
        expect(page.locator(".files")).to_contain_text("anh-chup.jpg")


def _fresh(tablet: BrowserContext, node: NodeProcess) -> Page:
    """Sign out whoever is signed in."""
    page = _page(tablet)
    page.goto(node.url)
    leave = page.locator("[data-sign-out]")
    if leave.count():
        leave.click()
        page.wait_for_url("**/sign-in")
    return page


def test_what_the_node_refuses_stays_with_its_reason_until_it_is_corrected(
    node: NodeProcess, playwright: Playwright, photo: Path, tmp_path: Path
) -> None:
    with opened_tablet(playwright, tmp_path / "profile") as tablet:
        page = _page(tablet)
        sign_in(page, node.url, "mai")
        assert node.stop() == 0
        page.goto(f"{node.url}/visits/new")
        _fill(page, "Hờ A Chua", "Số người ghi thiếu", photo)
        page.locator("[data-add=people]").click()
        page.locator("#people [name=full_name]").last.fill("Hờ Thị Dở")
        page.locator("[data-show]").first.click()
        page.locator("[name=people_count]").fill("1")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#done")).to_be_visible()
        page.goto(f"{node.url}/visits/new")
        _fill(page, "Không được lưu", "Không được lưu")
        page.locator("#petitions").get_by_text("Tố cáo", exact=True).first.click()
        page.locator("dialog button[value=yes]").click()
        page.locator("[name=envelope_number]").fill("12/2026")
        page.locator("[name=sealed_ref]").fill("TC-7Q")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#outbox h2")).to_have_text("Chỉ có trên thiết bị này: 2")
        start(node)
        outbox = page.locator("#outbox")
        expect(outbox.locator(".sync.refused")).to_have_count(1)
        expect(outbox.locator(".sync.arrived")).to_have_count(1)
        expect(outbox.locator("h2")).to_have_text("Chỉ có trên thiết bị này: 1")
        expect(outbox.locator(".wrong")).not_to_be_empty()
        outbox.get_by_role("link", name="Sửa").click()
        page.locator("#visit[data-ready]").wait_for()
        expect(page.locator(".chooser")).to_contain_text("Đã giữ: anh-chup.jpg")
        number = page.locator("[name=people_count]")
        expect(number).to_have_attribute("aria-invalid", "true")
        number.fill("2")
        page.keyboard.press("Control+Enter")
        expect(outbox.locator(".sync.arrived")).to_have_count(2)
        outbox.locator("li", has_text="Số người").get_by_role("link", name="Mở vụ việc").click()
        expect(page.locator(".files")).to_contain_text("anh-chup.jpg")
        everything = [
            (node.folder / name).read_bytes() for name in ("tiepdan.db", "tiepdan.db-wal")
        ]
        assert not any("Không được lưu".encode() in content for content in everything)


def test_after_a_reset_password_the_earlier_one_opens_what_it_sealed(
    node: NodeProcess, playwright: Playwright, tmp_path: Path
) -> None:
    with opened_tablet(playwright, tmp_path / "profile") as tablet:
        page = _page(tablet)
        sign_in(page, node.url, "lan")
        assert node.stop() == 0
        page.goto(f"{node.url}/visits/new")
        _fill(page, "Lầu Bá Tủa", "Trước khi đổi mật khẩu")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#done")).to_be_visible()
        page.locator("[data-lock]").click()
        add_account(node.folder, "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER, "mật khẩu khác")
        start(node)
        page = _fresh(tablet, node)
        page.context.clear_cookies()
        sign_in(page, node.url, "lan", "mật khẩu khác")
        outbox = page.locator("#outbox")
        expect(outbox).to_contain_text("1 lượt tiếp được khóa bằng mật khẩu trước đây")
        outbox.locator("[name=password]").fill("sai")
        page.keyboard.press("Enter")
        expect(outbox.locator(".wrong")).to_be_visible()
        outbox.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(outbox.locator(".sync.arrived")).to_have_count(1)
        assert "Trước khi đổi mật khẩu" in _titles(page)
