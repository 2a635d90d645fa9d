"""A tablet and a node on one LAN: found, trusted, paired, revoked; and whoever is not let in.

Two network namespaces, a real node process, two real browsers, Debian's avahi.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

from crypto import p256
from crypto.keyfile import read_certificate, read_p256, write_p256
from crypto.site import issue_page
from node.clock import Clock
from node.discovery import SIGHTINGS_MAX
from scripts.lab.lab import ROOT
from tests.crypto.forging import forged_page
from tests.lan.avahi import avahi
from tests.lan.world import NAME, PORT, URL, World, open_world, sign_in

pytestmark = pytest.mark.serial
_WAIT_MS = 30_000
OUTSIDE = "bank.example"
# Without any trust, as a browser whose warning is passed over.
_FETCH = (
    "import ssl, sys, urllib.request as web; context = ssl.create_default_context();"
    " context.check_hostname, context.verify_mode = False, ssl.CERT_NONE;"
    " open(sys.argv[2], 'wb').write(web.urlopen(sys.argv[1], context=context).read())"
)
MAP = f"--host-resolver-rules=MAP {NAME}"


expect.set_options(timeout=_WAIT_MS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("lan")
    with sync_playwright() as playwright, open_world(folder, playwright) as world:
        yield world


@pytest.fixture(scope="module")
def desk(world: World) -> Iterator[Page]:
    """The technician's page of devices, at the node."""
    browser = world.browser(world.node, "desk")
    yield world.technician(browser)
    browser.close()


@pytest.fixture(scope="module")
def certificate(world: World, desk: Page) -> Path:
    """The site's CA, fetched without trust and compared with the technician's screen."""
    path = world.folder / "site.crt"
    address = f"https://{world.node.address}:{PORT}/api/v1/site/certificate"
    fetched = world.outside.run([sys.executable, "-c", _FETCH, address, str(path)])
    assert fetched.returncode == 0
    told = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    )
    fingerprint = told.stdout.strip().partition("=")[2].replace(":", " ")
    expect(desk.locator("main")).to_contain_text(fingerprint)
    return path


@pytest.fixture(scope="module")
def tablet(world: World, certificate: Path) -> Iterator[Browser]:
    """A browser on the other host in which the site's CA was installed."""
    world.trust_site("tablet", certificate)
    rules = f"{MAP} {world.node.address}, MAP {OUTSIDE} {world.node.address}"
    browser = world.browser(world.outside, "tablet", rules)
    yield browser
    browser.close()


def show_code(desk: Page, way: str, name: str = "Máy bảng quầy 1", scope: str = "work") -> str:
    """Have the technician show a code; return what the screen says."""
    desk.reload()
    desk.click("[data-open=pair-form]")
    desk.fill("#p-name", name)
    desk.select_option("#p-scope", scope)
    desk.select_option("#p-way", way)
    desk.click("#dialog button[type=submit]")
    if way == "qr":
        shown = desk.locator("#dialog [data-link]")
        expect(shown).to_contain_text("/pair#")
        expect(desk.locator("#dialog img.qr")).to_be_visible()
    else:
        shown = desk.locator("#dialog [data-part=code] output")
        expect(shown).to_be_visible()
    return shown.inner_text()


def compare(desk: Page, digits: str) -> None:
    """Let the device in whose six digits are those on the technician's screen."""
    expect(desk.locator("#dialog [data-part=digits] output")).to_have_text(digits)
    desk.click("#dialog [data-confirm]")
    expect(desk.locator("#dialog [data-part=done]")).to_be_visible()


@contextmanager
def man_in_the_middle(world: World, certificate: Path) -> Iterator[str]:
    """Have somebody on the other host pass everything on to the node; yield his address."""
    host = world.outside
    process = host.start(
        [
            *(sys.executable, "-m", "tests.lan.middle"),
            *(host.address, world.node.address, str(PORT), str(certificate)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield host.address
    process.kill()
    process.wait()


def devices(world: World, desk: Page) -> int:
    desk.reload()
    return desk.locator("[data-live=devices] td:has-text('đã ghép lúc')").count()


def enter(page: Page, code: str) -> None:
    page.goto(f"{URL}/pair")
    page.fill("#code", code)
    page.click("#pair button[type=submit]")


def test_avahi_finds_the_node_and_the_node_finds_printers_and_cameras(
    world: World, desk: Page
) -> None:
    with avahi(world.outside, world.folder / "avahi") as browse:
        listed = browse("-rptk", "_tiepdan._tcp")
        assert f";{NAME};{world.node.address};{PORT};" in listed
        for told in ('"tier=commune"', '"code=40.17083"', '"id=', '"fp=', '"v='):
            assert told in listed
        found = desk.locator("[data-live=found]")
        with (
            browse.publishing("Máy in phòng một cửa", "_ipp._tcp", 631, "ty=Canon LBP6030"),
            browse.publishing("Camera sân", "_rtsp._tcp", 5540),
        ):
            expect(found).to_contain_text("Camera sân")
            row = found.locator("tr", has_text="Máy in phòng một cửa")
            expect(row).to_contain_text("Canon LBP6030")
            expect(row).to_contain_text(f"{world.outside.address}:631")
            # Nobody listens on that port: announced is not there.
            expect(row.locator("td").nth(3)).to_have_text("không")
        expect(found).not_to_contain_text("Camera sân")


def test_a_flood_of_hostile_announcements_leaves_a_short_clean_list(
    world: World, desk: Page
) -> None:
    flood = world.outside.run(
        [sys.executable, "-m", "tests.lan.flood", world.outside.address], cwd=ROOT
    )
    assert flood.returncode == 0
    rows = desk.locator("[data-live=found] tbody tr")
    expect(rows.first).to_be_visible()
    with avahi(world.outside, world.folder / "flooded") as browse:
        assert f";{NAME};{world.node.address};" in browse("-rptk", "_tiepdan._tcp")
        with browse.publishing("Máy in thật", "_ipp._tcp", 632):
            expect(rows.filter(has_text="Máy in thật")).to_be_visible()
    assert 10 < rows.count() <= SIGHTINGS_MAX
    shown = desk.locator("[data-live=found]").inner_text()
    assert "8.8.8.8" not in shown
    assert all(part.isprintable() for part in shown.replace("\t", "\n").split("\n"))


def test_the_browser_warns_before_the_site_is_trusted_and_not_afterwards(
    world: World, tablet: Browser
) -> None:
    stranger = world.browser(world.outside, "stranger", f"{MAP} {world.node.address}")
    with pytest.raises(BrowserError, match="ERR_CERT_AUTHORITY_INVALID"):
        world.page(stranger).goto(f"{URL}/pair")
    stranger.close()
    page = world.page(tablet)
    answer = page.goto(f"{URL}/pair")
    assert answer is not None
    security = answer.security_details()
    assert security is not None
    assert security["subjectName"] == NAME
    shown = world.outside.run(
        [
            *("openssl", "s_client", "-connect", f"{world.node.address}:{PORT}"),
            *(
                "-verify_return_error",
                "-verify_hostname",
                NAME,
                "-CAfile",
                str(world.data / "site.pem"),
            ),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "Verify return code: 0 (ok)" in shown.stdout


def test_a_stolen_site_key_opens_no_page_outside_the_lan(world: World, tablet: Browser) -> None:
    site, site_key = read_certificate(world.data / "site.pem"), read_p256(world.data / "site.key")
    key = p256.p256_key(bytes(range(p256.SECRET_BYTES)))
    inside = issue_page(site, site_key, key.public_key(), NAME, [], Clock().now_ms())
    outside = forged_page(site, site_key, key.public_key(), inside, x509.DNSName(OUTSIDE))
    page = world.page(tablet)
    with served(world, key, inside, 9443):
        assert answered(page, f"https://{NAME}:9443/")
    with (
        served(world, key, outside, 9444),
        pytest.raises(BrowserError, match="ERR_CERT"),
    ):
        answered(page, f"https://{OUTSIDE}:9444/")


@contextmanager
def served(
    world: World, key: ec.EllipticCurvePrivateKey, leaf: x509.Certificate, port: int
) -> Iterator[None]:
    """Have somebody serve a page under a certificate."""
    pem = world.folder / "page.pem"
    write_p256(pem, key)
    pem.write_bytes(pem.read_bytes() + leaf.public_bytes(Encoding.PEM))
    server = world.node.start(
        [
            *("openssl", "s_server", "-quiet", "-www", "-accept", str(port)),
            *("-cert", str(pem), "-key", str(pem)),
        ]
    )
    yield
    server.kill()
    server.wait()


def answered(page: Page, address: str) -> bool:
    """Open a page whose server has just been started."""
    for _ in range(50):
        try:
            return page.goto(address) is not None
        except BrowserError as error:
            # The page that tells of a failure may still be on its way when the next try begins.
            if not any(why in str(error) for why in ("ERR_CONNECTION_REFUSED", "interrupted by")):
                raise
        page.wait_for_timeout(100)
    return False


@pytest.mark.parametrize("way", ["qr", "code"])
def test_a_tablet_pairs_and_is_let_in_until_it_is_revoked(
    world: World, desk: Page, tablet: Browser, way: str
) -> None:
    page = world.page(tablet)
    page.goto(f"{URL}/sign-in")
    page.fill("input[name=user]", "lan")
    page.fill("input[name=password]", "whatever it is")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("chưa được ghép")
    shown = show_code(desk, way)
    if way == "qr":
        page.goto(shown)
        assert "#" not in page.url
    else:
        enter(page, shown)
    expect(page.locator("#digits")).to_be_visible()
    compare(desk, page.locator("#digits").inner_text())
    expect(page.locator("#paired-name")).to_have_text("Máy bảng quầy 1")
    page.goto(f"{URL}/sign-in")
    sign_in(page, "lan")
    expect(page.locator(".who")).to_contain_text("Nguyễn Thị Lan")
    desk.reload()
    line = desk.locator("[data-live=devices] tr", has_text="Nguyễn Thị Lan")
    expect(line).to_contain_text("đang mở")
    page.evaluate(
        "() => new EventSource('/api/v1/news').addEventListener('signed-out',"
        " () => sessionStorage.setItem('ended', Date.now()))"
    )
    page.wait_for_timeout(500)
    clicked_ms = time.time() * 1000
    line.locator("[data-revoke-device]").click()
    page.wait_for_url("**/sign-in**")
    # Both browsers read the same clock.
    assert float(page.evaluate("sessionStorage.getItem('ended')")) - clicked_ms < 1_000
    assert page.evaluate("async () => (await fetch('/api/v1/me')).status") == 401


def test_a_wrong_a_replayed_and_an_expired_code_are_refused_with_their_reasons(
    world: World, desk: Page, tablet: Browser
) -> None:
    before = devices(world, desk)
    page = world.page(tablet)
    problem = page.locator("#pair .wrong")

    code = show_code(desk, "code")
    enter(page, f"{(int(code.replace(' ', '')) + 1) % 10**8:08}")
    expect(problem).to_contain_text("Mã không đúng, hoặc có người đứng giữa")
    expect(desk.locator("#dialog [data-part=refused]")).to_contain_text("Mã không đúng")
    enter(page, code)
    expect(problem).to_contain_text("Mã này đã được dùng")

    link = show_code(desk, "qr")
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#digits")).to_be_visible()
    second = world.page(tablet)
    second.goto(link)
    expect(second.locator("#pair .wrong")).to_contain_text("Mã này đã được dùng")
    desk.click("#dialog [data-refuse]")
    expect(problem).to_contain_text("Kỹ thuật viên không cho thiết bị này vào")

    link = show_code(desk, "qr")
    world.pass_five_minutes()
    second.goto("about:blank")
    second.goto(link)
    expect(second.locator("#pair .wrong")).to_contain_text("Mã này đã hết hạn")
    expect(desk.locator("#dialog [data-part=refused]")).to_contain_text("Mã này đã hết hạn")
    assert devices(world, desk) == before


def test_a_man_in_the_middle_with_his_own_certificate_gets_nowhere(
    world: World, desk: Page, tablet: Browser, certificate: Path
) -> None:
    before = devices(world, desk)
    with man_in_the_middle(world, certificate) as address:
        lured = world.browser(world.outside, "tablet", f"{MAP} {address}")
        with pytest.raises(BrowserError, match="ERR_CERT_AUTHORITY_INVALID"):
            world.page(lured).goto(show_code(desk, "qr"))
        lured.close()
        program = world.program(
            *("device", "pair", "--folder", str(world.folder / "lured")),
            *("--address", address, "--qr", show_code(desk, "qr")),
        )
        _, told = program.communicate(timeout=30)
        assert program.returncode == 1
        assert "this is not the node that showed the code" in told
        assert "[pairing_site_foreign]" in told
    assert not (world.folder / "lured").exists()
    assert devices(world, desk) == before


def test_a_program_finds_the_node_pairs_and_is_revoked(world: World, desk: Page) -> None:
    folder = str(world.folder / "program")
    link = show_code(desk, "qr", "Máy tính xách tay", "read")
    program = world.program("device", "pair", "--folder", folder, "--qr", link)
    assert program.stdout is not None
    digits = program.stdout.readline().partition(": ")[2].strip()
    compare(desk, digits)
    told, trouble = program.communicate(timeout=30)
    assert program.returncode == 0, trouble
    assert told.startswith("Paired: device ")
    desk.reload()
    desk.locator("tr", has_text="Máy tính xách tay").locator("[data-revoke-device]").click()
    expect(desk.locator("tr", has_text="Máy tính xách tay")).to_contain_text("đã thu hồi")
    check = world.program("device", "check", "--folder", folder)
    assert "[device_proof_wrong]" in check.communicate(timeout=30)[1]
    assert check.returncode == 1
