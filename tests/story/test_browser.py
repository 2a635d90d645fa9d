"""Goal: the whole story in a real browser, from a cut link to the centre's signed record.

Method: three processes, Chromium, and `tiepdan verify` as a command. What people read on the screen
is what is asserted.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.browser import chromium, signed_in
from tests.story.processes import ROOT, NodeProcess, add_account
from tests.story.tablet import everything_kept

pytestmark = pytest.mark.serial


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, ...]]:
    """Run a centre, a province and a commune."""
    folder = tmp_path_factory.mktemp("story")
    centre, province, commune = folder / "centre", folder / "province", folder / "commune"
    make_centre(centre)
    make_province(province, centre)
    make_commune(commune, province)
    add_account(commune, "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    add_account(commune, "dung", "Lương Văn Dũng", Role.COMMUNE_CHAIR)
    add_account(province, "hung", "Trần Văn Hùng", Role.PROVINCIAL_RECEPTION_BOARD)
    above = NodeProcess(centre)
    middle = NodeProcess(province, parent_port=above.sync_port)
    below = NodeProcess(commune, parent_port=middle.sync_port)
    running = (above, middle, below)
    for node in running:
        node.start()
    for node in running:
        asyncio.run(node.wait_until_up())
    yield running
    for node in running:
        assert node.stop() == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium."""
    with chromium() as started:
        yield started


def _register(page: Page, node: NodeProcess, title: str, scan: Path | None = None) -> str:
    """Register a visit with two petitions and return the id of the first case."""
    page.goto(f"{node.url}/visits/new")
    person = page.locator("#people [data-row]").first
    person.locator("[name=full_name]").fill("Vừ Bá Chò")
    person.locator("[name=address]").fill("Bản Huồi Mới")
    first = page.locator("#petitions [data-row]").first
    first.get_by_text("Khiếu nại", exact=True).click()
    first.locator("[name=title]").fill(title)
    first.locator("[name=content]").fill("Gia đình tôi canh tác thửa đất này từ năm 1990.")
    if scan is not None:
        first.locator("[data-files]").set_input_files(scan)
    page.keyboard.press("Alt+p")
    second = page.locator("#petitions [data-row]").nth(1)
    second.get_by_text("Kiến nghị", exact=True).click()
    second.locator("[name=title]").fill("Đề nghị sửa cầu treo")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#done")).to_be_visible()
    links = page.locator("#made a[href*='/cases/']")
    expect(links).to_have_count(2)
    href = links.first.get_attribute("href")
    assert href is not None
    return href.rsplit("/", 1)[1]


def _measured_rate(page: Page) -> float:
    """Return what the line carries, once the meter, which looks each second, has seen it."""
    for _ in range(50):
        link = page.evaluate("fetch('/api/v1/link').then((answer) => answer.json())")
        if link["rate_bytes_s"] is not None:
            return float(link["rate_bytes_s"])
        page.wait_for_timeout(100)
    raise AssertionError("no rate was measured within five seconds")


def test_a_citizen_is_received_with_the_link_down_and_the_centre_holds_the_record(
    nodes: tuple[NodeProcess, ...], browser: Browser, tmp_path: Path
) -> None:
    _, province, commune = nodes
    scan = tmp_path / "don.pdf"
    scan.write_bytes(b"%PDF-1.4 " + bytes(range(256)) * 200)
    officer = signed_in(browser, commune, "lan")

    officer.locator("[data-cut=true]").click()
    expect(officer.locator("[data-link-state=cut]")).to_be_visible()
    case = _register(officer, commune, "Đòi đất rẫy bị thu hồi", scan)
    expect(officer.locator("#uploads")).to_contain_text("don.pdf")
    officer.goto(f"{commune.url}/cases/{case}")
    badge = officer.locator(".heading .sync")
    expect(badge).to_have_text("Chỉ có tại đây")

    officer.locator("[data-cut=false]").click()
    expect(badge).to_have_text(re.compile("Tỉnh đã có|Trung ương đã có"), timeout=20_000)
    expect(badge).to_have_text("Trung ương đã có", timeout=20_000)
    assert _measured_rate(officer) > 0

    board = signed_in(browser, province, "hung")
    board.goto(f"{province.url}/cases/{case}")
    expect(board.locator("h1")).to_have_text("Đòi đất rẫy bị thu hồi")
    board.locator("[data-open=directive-form]").click()
    board.locator("dialog [name=title]").fill("Xem xét và trả lời công dân")
    board.locator("dialog [name=due_on]").fill("2099-12-31")
    board.locator("dialog button[type=submit]").click()
    expect(board.locator("body")).to_contain_text("Xem xét và trả lời công dân")

    officer.goto(f"{commune.url}/directives")
    expect(officer.locator("main")).to_contain_text("Xem xét và trả lời công dân", timeout=20_000)
    expect(board.locator("[data-live=directives]")).to_contain_text("đã đến nơi")
    expect(board.locator("[data-live=head]")).to_contain_text("đã đến nơi")
    _export_and_verify(officer, commune, case, tmp_path)


def _export_and_verify(page: Page, node: NodeProcess, case: str, folder: Path) -> None:
    page.goto(f"{node.url}/cases/{case}")
    with page.expect_download() as download:
        page.locator("a[href$='/record']").click()
    file = folder / "record.json"
    download.value.save_as(file)
    root = node.folder / "root.pem"
    accepted = _verify(file, root)
    assert accepted.returncode == 0, accepted.stderr
    assert "VERIFIED" in accepted.stdout
    assert "countersigned by Nghệ An" in accepted.stdout
    assert "countersigned by Trung ương" in accepted.stdout
    whole = file.read_bytes()
    for at in (len(whole) // 5, len(whole) // 2, len(whole) - 40):
        altered = bytearray(whole)
        altered[at] ^= 0x01
        file.write_bytes(altered)
        refused = _verify(file, root)
        assert refused.returncode == 1, at
        assert re.match(r"tiepdan: .+ \[[a-z_]+\]", refused.stderr), refused.stderr


def _verify(file: Path, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", "verify", str(file), "--root", str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_devices_edit_one_case_apart_and_both_values_are_shown(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    first, second = signed_in(browser, commune, "lan"), signed_in(browser, commune, "dung")
    case = _register(first, commune, "Hai máy cùng sửa")
    for page in (first, second):
        page.goto(f"{commune.url}/cases/{case}")
        page.locator(f"[data-edit='{case}']").first.click()
        expect(page.locator("dialog [name=title]")).to_have_value("Hai máy cùng sửa")
    first.locator("dialog [name=title]").fill("Tiêu đề của chị Lan")
    first.locator("dialog [name=location]").fill("Bản Huồi Mới")
    first.locator("dialog button[type=submit]").click()
    expect(first.locator("h1")).to_have_text("Tiêu đề của chị Lan")
    second.locator("dialog [name=title]").fill("Tiêu đề của anh Dũng")
    second.locator("dialog button[type=submit]").click()
    rivals = second.locator("[data-live=rivals]")
    expect(rivals).to_contain_text("Tiêu đề của chị Lan")
    expect(rivals).to_contain_text("Tiêu đề của anh Dũng")
    expect(rivals).to_contain_text("Nguyễn Thị Lan")
    expect(rivals).to_contain_text("Lương Văn Dũng")
    expect(second.locator("dl.facts").first).to_contain_text("Bản Huồi Mới")
    second.locator("[data-choose=title]", has_text="Chọn").first.click()
    expect(rivals).not_to_contain_text("Tiêu đề của chị Lan")


def test_a_visit_is_registered_with_the_keyboard_alone(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    _tab_to(page, "full_name")
    page.keyboard.type("Lô Thị Mai")
    _tab_to(page, "case_type")
    page.keyboard.press("Space")
    _tab_to(page, "title")
    page.keyboard.type("Xin cấp lại giấy tờ đất")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#done")).to_be_visible()


def _tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const e = document.activeElement; return e.dataset.radio || e.name || '' }"
        )
        if name in focused:
            return
    raise AssertionError(f"the keyboard does not reach {name}")


def test_a_denunciation_takes_no_identity(nodes: tuple[NodeProcess, ...], browser: Browser) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    page.locator("#people [name=full_name]").first.fill("Không được lưu")
    page.locator("#petitions").get_by_text("Tố cáo", exact=True).first.click()
    page.locator("dialog button[value=yes]").click()
    expect(page.locator("#people")).not_to_be_visible()
    page.locator("[name=envelope_number]").fill("12/2026")
    page.locator("[name=sealed_ref]").fill("TC-7Q")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#done")).to_be_visible()
    for file in (commune.folder / "tiepdan.db", commune.folder / "tiepdan.db-wal"):
        if file.exists():
            assert "Không được lưu".encode() not in file.read_bytes()


def test_a_draft_survives_the_browser(nodes: tuple[NodeProcess, ...], browser: Browser) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    page.locator("#people [name=full_name]").first.fill("Hờ A Chua")
    expect(page.locator("#saved")).not_to_be_empty(timeout=15_000)
    page.context.close()
    again = signed_in(browser, commune, "lan")
    again.goto(f"{commune.url}/visits/new")
    again.locator(".drafts a").first.click()
    expect(again.locator("#people [name=full_name]").first).to_have_value("Hờ A Chua")


def test_what_is_wrong_is_said_beside_the_field_and_in_one_list(
    nodes: tuple[NodeProcess, ...], browser: Browser, tmp_path: Path
) -> None:
    _, _, commune = nodes
    large = tmp_path / "to.pdf"
    with large.open("wb") as stream:
        stream.truncate(50 * 1024 * 1024 + 1)
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    page.get_by_label("Ngày tiếp").fill("31/02/2026")
    page.locator("[data-files]").set_input_files(large)
    page.keyboard.press("Control+Enter")
    entries = page.locator("#problem li")
    expect(entries).to_have_count(5)
    expect(page.locator("#problem")).to_contain_text("Ngày tiếp: Ghi ngày/tháng/năm")
    expect(page.locator("#problem")).to_contain_text("to.pdf: Tệp lớn hơn 50 MB")
    entries.nth(1).get_by_role("button").click()
    name = page.locator("#people [name=full_name]")
    expect(name).to_be_focused()
    page.keyboard.type("Hờ A Chua")
    expect(name).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator(".fielderror")).to_have_count(4)
    page.get_by_label("Ngày tiếp").fill("1/3/26")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Ngày tiếp")).to_have_value("01/03/2026")
    expect(page.locator("[name=held_on]")).to_have_value("2026-03-01")


def test_a_date_that_is_none_stays_to_be_corrected_when_the_focus_is_taken_away(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    expect(page.locator("form[data-ready]")).to_be_visible()
    date = page.get_by_label("Ngày tiếp")
    date.fill("31/02/2026")
    page.evaluate("document.querySelector('[name=full_name]').focus()")
    expect(date).to_have_value("31/02/2026")


def test_a_tab_closed_in_the_middle_of_a_word_keeps_the_word(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    # So many on the node that their list is folded: what only this browser holds is seen even so.
    page.evaluate(
        """async () => {
            const { send } = await import("/static/api.js");
            const { mintId } = await import("/static/ids.js");
            for (let n = 0; n < 4; n++) await send("PUT", `/drafts/${mintId()}`, { body: {} });
        }"""
    )
    page.locator("#people [name=full_name]").fill("Lầu Bá Tủa")
    page.goto("about:blank")
    page.goto(f"{commune.url}/visits/new")
    page.locator(".drafts a", has_text="chỉ có trong trình duyệt này").first.click()
    expect(page.locator("#people [name=full_name]")).to_have_value("Lầu Bá Tủa")


def test_a_draft_that_nobody_can_keep_is_said_to_be_on_this_page_only(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    page.locator("#visit[data-ready]").wait_for()
    page.route("**/api/v1/drafts/**", lambda route: route.abort())
    page.evaluate(
        """() => {
            IDBObjectStore.prototype.put = () => {
                throw new DOMException("full", "QuotaExceededError");
            };
        }"""
    )
    page.locator("#people [name=full_name]").fill("Lầu Bá Tủa")
    expect(page.locator("#saved")).to_contain_text("không giữ được bản nháp")
    expect(page.locator("#people [name=full_name]")).to_have_value("Lầu Bá Tủa")


def test_a_chair_directs_the_own_commune_and_sees_it_done(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    chair, officer = signed_in(browser, commune, "dung"), signed_in(browser, commune, "lan")
    chair.goto(f"{commune.url}/directives")
    chair.locator("[data-open=directive-form]").click()
    chair.locator("dialog [name=title]").fill("Trả lời dân bản Huồi Mới")
    chair.get_by_label("Thời hạn").fill("31/12/2099")
    chair.locator("dialog button[type=submit]").click()
    chair.get_by_role("link", name="Trả lời dân bản Huồi Mới").click()
    officer.goto(f"{commune.url}/directives")
    officer.get_by_role("link", name="Trả lời dân bản Huồi Mới").click()
    officer.locator("[data-directive-event=directive_acknowledged]").click()
    officer.locator("[data-open=report-form]").click()
    officer.locator("dialog [name=text]").fill("Đã họp bản ngày hôm nay.")
    officer.locator("dialog button[type=submit]").click()
    expect(chair.locator("main")).to_contain_text("Đã họp bản ngày hôm nay.")
    chair.locator("[data-directive-event=directive_done]").click()
    expect(officer.locator(".badges .state")).to_have_text("Đã hoàn thành")


def test_nothing_runs_over_the_edge_of_a_cheap_tablet(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, province, commune = nodes
    lan, hung = signed_in(browser, commune, "lan"), signed_in(browser, province, "hung")
    case = _register(lan, commune, "Khiếu nại mức bồi thường khi thu hồi đất làm thủy điện")
    pages = ("", "visits/new", "cases", "directives", "visits", "account", f"cases/{case}")
    for page, node in ((lan, commune), (hung, province)):
        page.set_viewport_size({"width": 800, "height": 1280})
        for path in pages[:-1] if page is hung else pages:
            page.goto(f"{node.url}/{path}")
            wide = page.evaluate(
                "() => [document.documentElement, ...document.querySelectorAll('.scroll')]"
                ".filter((e) => e.scrollWidth > e.clientWidth).length"
            )
            assert wide == 0, (node.url, path)


def test_the_menu_stands_in_one_line_below_the_own_name_on_a_small_laptop(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "dung")
    for width in (1_100, 1_280, 1_366):
        page.set_viewport_size({"width": width, "height": 700})
        tops = page.evaluate(
            "() => [...document.querySelectorAll('.top nav a')]"
            ".map((entry) => entry.getBoundingClientRect().top)"
        )
        assert len(tops) == 9
        assert len(set(tops)) == 1, width
        office, who = page.locator(".brand").bounding_box(), page.locator(".who").bounding_box()
        assert office is not None
        assert who is not None
        assert office["y"] <= who["y"] < office["y"] + office["height"] <= tops[0]


def test_a_session_is_shown_by_the_browsers_name(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/account")
    own = page.locator("#sessions tr", has_text="phiên này")
    expect(own.locator("td").first).to_have_text(re.compile(r"^phiên này \w+ · Linux$"))


def test_a_tab_left_open_reads_and_keeps_nothing_once_another_locked_or_signed_out(
    nodes: tuple[NodeProcess, ...], browser: Browser
) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.goto(f"{commune.url}/visits/new")
    page.locator("#visit[data-ready]").wait_for()
    name = page.locator("#people [name=full_name]")
    name.fill("Và Bá Dình")
    expect(page.locator("#saved")).to_contain_text("Đã lưu nháp")
    assert _who_reads(page) == ["lan", "lan"]
    other = page.context.new_page()
    other.goto(f"{commune.url}/account")
    other.evaluate("import('/static/safe.js').then(({ lock }) => lock())")
    expect(page.locator("#outbox")).to_contain_text("đang khóa")
    name.fill("Và Bá Dình, bản Huồi Mới")
    assert _who_reads(page) == ["", ""]
    assert "drafts: id=" not in everything_kept(page)
    other.locator("[data-sign-out]").click()
    page.wait_for_url(lambda address: "sign-in" in address)
    for tab in (page, other):
        assert _who_reads(tab) == ["", ""]
        kept = everything_kept(tab)
        assert "key extractable" not in kept
        assert "Huồi Mới" not in kept
        assert "Huồi Mới".encode().decode("latin-1") not in kept


def _who_reads(page: Page) -> list[str]:
    """Return for whom this page reads what the browser keeps: at once, and when it asks."""
    found: list[str] = page.evaluate(
        """async () => {
            const { current, currentHere } = await import('/static/safe.js');
            return [currentHere()?.user || '', (await current())?.user || ''];
        }"""
    )
    return found


def test_english_is_one_click_away(nodes: tuple[NodeProcess, ...], browser: Browser) -> None:
    _, _, commune = nodes
    page = signed_in(browser, commune, "lan")
    page.get_by_text("English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("h1")).not_to_have_text("Hôm nay cần làm gì")


def test_the_openapi_document_is_served(nodes: tuple[NodeProcess, ...], browser: Browser) -> None:
    _, _, commune = nodes
    page = browser.new_page()
    answer = page.goto(f"{commune.url}/api/v1/openapi.json")
    assert answer is not None
    assert json.loads(answer.text())["openapi"].startswith("3.1")
