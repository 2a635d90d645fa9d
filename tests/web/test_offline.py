"""Goal: a browser can keep all it needs to open the app without the node, and nothing about people.

Method: what the worker is told to keep is fetched by somebody who is not signed in.
"""

import asyncio
import json
import re
from pathlib import Path

from tests.web.offices import STAFF, Browser, open_office, register


async def _kept(browser: Browser) -> tuple[str, list[str]]:
    script = (await browser.get("/worker.js")).text
    found = re.match(r"self\.shell = (\{.*\});\n", script)
    assert found is not None
    shell = json.loads(found[1])
    return shell["hash"], shell["addresses"]


def test_what_the_app_keeps_is_there_for_everybody_and_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            nobody, lan = await office.browser(), await office.browser("lan")
            await register(lan, ["Đòi đất rẫy"])
            _, addresses = await _kept(nobody)
            assert {"/offline/vi", "/offline/en", "/static/register.js"} <= set(addresses)
            for address in addresses:
                reply = await nobody.get(address)
                assert reply.status == 200, address
                assert reply.content == (await lan.get(address)).content
                for user, (name, _) in STAFF.items():
                    assert name.encode() not in reply.content, (address, user)
                assert "Đòi đất rẫy".encode() not in reply.content

    asyncio.run(story())


def test_scripts_of_the_kept_page_are_kept_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            nobody = await office.browser()
            _, addresses = await _kept(nobody)
            for address in addresses:
                text = (await nobody.get(address)).content.decode("utf-8", "replace")
                used = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
                if address.endswith(".js"):
                    used += ["/static/" + name for name in re.findall(r'"\./([\w-]+\.js)"', text)]
                assert set(used) <= set(addresses), address

    asyncio.run(story())


def test_the_kept_form_is_the_form_of_the_node(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            lan = await office.browser("lan")
            online = (await lan.get("/visits/new")).text
            apart = (await lan.get("/offline/vi")).text
            fields = re.compile(r'name="(\w+)"')
            form = online[online.index('<form id="visit"') :]
            kept = apart[apart.index('<form id="visit"') :]
            assert fields.findall(form) == fields.findall(kept)

    asyncio.run(story())


def test_the_manifest_names_icons_that_are_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            nobody = await office.browser()
            reply = await nobody.get("/app.webmanifest")
            assert reply.headers["Content-Type"].startswith("application/manifest+json")
            assert "Tiếp công dân" in reply.body["name"]
            for icon in reply.body["icons"]:
                assert (await nobody.get(icon["src"])).status == 200

    asyncio.run(story())


def test_a_file_sent_again_is_not_doubled_even_when_its_key_is_forgotten(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_office(tmp_path) as office:
            lan = await office.browser("lan")
            case = (await register(lan))["case_ids"][0]
            first = await lan.upload(case, b"%PDF-1.4 trang 1")
            again = await lan.upload(case, b"%PDF-1.4 trang 1")
            assert again.body == first.body
            assert (await lan.upload(case, b"%PDF-1.4 trang 2")).body["event_id"] != first.body[
                "event_id"
            ]
            assert await office.rows("SELECT count(*) FROM attachments") == [(2,)]

    asyncio.run(story())
