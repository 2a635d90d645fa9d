"""Goal: every page renders for every role in both languages and runs nothing that people typed.

Method: a real commune with a case that tries to inject markup; pages are parsed with html.parser.
"""

import asyncio
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from node.permissions import may
from node.web.pages import PAGES
from tests.web.offices import STAFF, OpenOffice, denunciation_form, open_office, visit_form

NASTY = '<script>alert("1")</script><b onclick=x>&amp;{{7*7}}'


class Page(HTMLParser):
    """What the tests look at in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def addresses(self) -> Iterator[str]:
        for _, attributes in self.tags:
            for name in ("href", "src", "action"):
                if attributes.get(name):
                    yield str(attributes[name])


async def fill(office: OpenOffice) -> list[str]:
    lan = await office.browser("lan")
    form = visit_form((NASTY, "Cầu treo"), place=NASTY, register_number=NASTY)
    form["people"][0] |= {"full_name": NASTY, "address": NASTY}
    form["petitions"][0] |= {"content": NASTY, "request": NASTY, "respondent_name": NASTY}
    cases: list[str] = (await lan.post("/visits", form)).body["case_ids"]
    cases += (await lan.post("/visits", denunciation_form())).body["case_ids"]
    await lan.upload(cases[0], b"%PDF-", f"{NASTY}.pdf")
    await lan.post(f"/cases/{cases[0]}/events", {"event": {"type": "noted", "text": NASTY}})
    base = (await lan.get(f"/api/v1/documents/{cases[0]}")).body["heads"]
    for user in ("lan", "mai"):
        browser = await office.browser(user)
        body = {"base": base, "fields": {"location": f"{user} {NASTY}"}}
        await browser.post(f"/documents/{cases[0]}/fields", body)
    directive = {"to_codes": ["40.17083"], "title": NASTY, "body": NASTY, "due_on": "2027-01-04"}
    hung = await office.browser("hung")
    made = await hung.post("/directives", directive | {"case_id": cases[0]})
    return [*cases, made.body["id"]]


def addresses(cases: list[str]) -> list[str]:
    fixed = [
        "/",
        "/visits/new",
        "/visits",
        "/cases",
        "/directives",
        "/packs",
        "/devices",
        "/technician",
    ]
    searched = ["/cases?only=soon&text=cau&order=due", "/cases?state=closed", "/cases?only=overdue"]
    return [
        *fixed,
        "/account",
        *searched,
        *(f"/cases/{case}" for case in cases[:-1]),
        *(f"/documents/{case}/form" for case in cases),
        f"/directives/{cases[-1]}",
    ]


def needed(address: str) -> str:
    path = address.partition("?")[0]
    for page in PAGES:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", page.path), path):
            return page.permission
    raise AssertionError(address)


def test_every_page_renders_for_every_role_in_both_languages(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            cases = await fill(office)
            for user, (_, role) in STAFF.items():
                browser = await office.browser(user)
                for language in ("vi", "en"):
                    await browser.get(f"/language/{language}")
                    for address in addresses(cases):
                        reply = await browser.get(address)
                        wanted = 200 if may(role, needed(address)) else 403
                        if address == "/" and not may(role, "today.read"):
                            wanted = 303
                        assert reply.status == wanted, (user, address, reply.text[:400])
                        check(reply.text, language)

    asyncio.run(story())


def check(text: str, language: str) -> None:
    page = Page(text)
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), attributes
        assert "style" not in attributes
        assert tag != "style"
        if tag == "script":
            assert attributes.get("src") or attributes.get("type") == "application/json"
        if tag == "html":
            assert attributes["lang"] == language
    for address in page.addresses():
        assert address.startswith(("/", "#")), address
        assert not address.startswith("//")


def test_what_people_type_is_shown_and_never_run(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            cases = await fill(office)
            lan = await office.browser("lan")
            for address in (f"/cases/{cases[0]}", "/cases", f"/documents/{cases[0]}/form"):
                text = (await lan.get(address)).text
                assert "<script>alert" not in text
                assert "<b onclick" not in text
                assert "&lt;script&gt;alert" in text

    asyncio.run(story())


def test_the_case_page_shows_rivals_files_deadlines_and_who_wrote(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            cases = await fill(office)
            mai = await office.browser("mai")
            text = (await mai.get(f"/cases/{cases[0]}")).text
            for shown in (
                "Mục có nhiều giá trị",
                "chưa kiểm chứng",
                "Nguyễn Thị Lan",
                "SHA-256",
                "Chỉ có tại đây",
                "Mở số giấy tờ",
                'data-action="classified"',
            ):
                assert shown in text, shown

    asyncio.run(story())


def test_the_page_of_a_denunciation_offers_no_upload_and_no_person(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            cases = await fill(office)
            lan = await office.browser("lan")
            text = (await lan.get(f"/cases/{cases[2]}")).text
            assert "data-upload" not in text
            assert "Người tham gia" not in text
            assert "PB-07/2026" in text

    asyncio.run(story())


def test_somebody_who_is_not_signed_in_comes_back_after_signing_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            nobody = await office.browser()
            reply = await nobody.get("/cases?text=%C4%91%E1%BA%A5t&only=open")
            assert reply.status == 303
            page = (await nobody.get(reply.headers["Location"])).text
            assert 'data-next="/cases?text=%C4%91%E1%BA%A5t&amp;only=open"' in page
            evil = (await nobody.get("/sign-in?next=//evil.example")).text
            assert 'data-next="/"' in evil

    asyncio.run(story())


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_the_language_switch_leads_nowhere_else(tmp_path: Path, back: str) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            nobody = await office.browser()
            reply = await nobody.ask("GET", f"/language/en?back={back}")
            assert reply.headers["Location"] == "/"

    asyncio.run(story())


def test_the_language_is_remembered_with_the_account(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            lan = await office.browser("lan")
            await lan.get("/language/en?back=/cases")
            elsewhere = await office.browser("lan")
            assert '<html lang="en">' in (await elsewhere.get("/")).text

    asyncio.run(story())


def test_every_answer_carries_the_security_headers(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            lan = await office.browser("lan")
            for address in (
                "/",
                "/static/main.js",
                "/nothing",
                "/api/v1/me",
                "/api/v1/openapi.json",
            ):
                headers = (await lan.get(address)).headers
                policy = headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["X-Frame-Options"] == "DENY"

    asyncio.run(story())


def test_a_page_that_is_not_there_says_so_in_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            lan = await office.browser("lan")
            reply = await lan.get("/nothing")
            assert reply.status == 404
            assert "Không có trang này." in reply.text
            assert "page_unknown" in reply.text

    asyncio.run(story())


def test_the_state_of_the_link_stands_on_every_page(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            cases = await fill(office)
            lan, nobody = await office.browser("lan"), await office.browser()
            for address in (
                "/",
                f"/cases/{cases[0]}",
                "/nothing",
                "/cases?only=nonsense",
                "/account",
            ):
                text = (await lan.get(address)).text
                assert "data-link-state=" in text, address
                assert "bản ghi đang chờ" in text, address
                assert "/language/en" in text, address
            assert "data-link-state=" in (await nobody.get("/sign-in")).text

    asyncio.run(story())


def test_a_deadline_names_its_rule_its_source_and_what_nobody_checked(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            cases = await fill(office)
            lan = await office.browser("lan")
            text = (await lan.get(f"/cases/{cases[0]}")).text
            assert "Thụ lý khiếu nại lần đầu" in text
            assert "Luật Khiếu nại 2011, Điều 27" in text
            assert "10 ngày, tính từ" in text
            assert "Bộ luật Dân sự 2015" in text
            assert text.count("đã đối chiếu nguồn") == 2
            assert "KN-ACCEPT-1" not in text
            english = (await lan.get(f"/language/en?back=/cases/{cases[0]}")).headers["Location"]
            assert "checked against the source" in (await lan.get(english)).text

    asyncio.run(story())
