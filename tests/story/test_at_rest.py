"""Goal: whoever takes the data folder, its backups and its logs reads no number, password or name.

Method: a commune as a process whose office key is under a passphrase. People with recognisable
numbers are registered and edited, forms are begun and thrown away, a denouncer's name is tried at
every door, packs are made, passwords are reset; the process is killed again and again in between.
Then every byte of the folder, of a copy made while it ran, and of its log is searched.
"""

import asyncio
import random
import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from node.folder import open_folder
from node.office_keys import keep
from node.station import opened_station
from schemas.codes import Role
from tests.node.places import make_centre, make_commune, make_province
from tests.story.processes import PASSWORD, NodeProcess, Person, Refused, add_account

ROUNDS: Final = 8
REFERENCES: Final = [f"TC-9041-{number}" for number in range(ROUNDS)]
NUMBERS: Final = [f"0401620{number:05}" for number in range(91_000, 91_000 + ROUNDS)]
PASSPHRASE: Final = "con suối sau bản cũ"
DENOUNCER: Final = "Khoàng Thị Lửa"
HAND_OVER: Final = "mật khẩu riêng của Xuân"


@pytest.mark.serial
def test_a_stolen_folder_gives_no_number_no_password_and_no_denouncer(tmp_path: Path) -> None:
    commune = tmp_path / "commune"
    make_centre(tmp_path / "centre")
    make_province(tmp_path / "province", tmp_path / "centre")
    make_commune(commune, tmp_path / "province")
    folder = open_folder(commune)
    secret_key = folder.key.office_private.private_bytes_raw()
    keep(folder, folder.key.office, passphrase=PASSPHRASE, place=None)
    add_account(commune, "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    add_account(commune, "mai", "Lê Thị Mai", Role.RECEPTION_LEAD)
    node = NodeProcess(commune)
    node.start()
    try:
        made = asyncio.run(_story(node, tmp_path))
    finally:
        node.kill()
    words = [*NUMBERS, *REFERENCES, PASSWORD, PASSPHRASE, DENOUNCER, HAND_OVER, *made]
    needles = [*_spellings(words), secret_key, secret_key.hex().encode()]
    places = [commune, tmp_path / "copy"]
    # A search that finds nothing anywhere would prove nothing.
    assert _found(places, ["Vi Thị Mơ".encode()])
    assert _found(places, needles) == []
    with opened_station(commune, random.Random(1)) as station:
        # What was acknowledged is there all the same.
        count = "SELECT count(*) FROM people WHERE identity_sealed != ''"
        assert station.connection.execute(count).fetchone()[0] == ROUNDS
    assert _found(places, needles) == []


def _spellings(words: list[str]) -> Iterator[bytes]:
    """Yield each word as it may stand in a file: composed, decomposed, escaped."""
    for word in words:
        for text in {unicodedata.normalize(form, word) for form in ("NFC", "NFD")}:
            yield text.encode()
            yield text.encode("utf-16-le")
            yield text.encode("unicode_escape")


def _found(places: list[Path], needles: list[bytes]) -> list[tuple[str, bytes]]:
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert files
    contents = {str(file): file.read_bytes() for file in files}
    return [
        (name, needle)
        for name, content in contents.items()
        for needle in needles
        if needle in content
    ]


async def _story(node: NodeProcess, tmp_path: Path) -> list[str]:
    rng = random.Random(7)
    await node.wait_until_up()
    lan, mai = Person(node, "lan"), Person(node, "mai")
    made: list[str] = []
    try:
        await lan.sign_in()
        await mai.sign_in()
        for number, paper in enumerate(NUMBERS):
            async with asyncio.TaskGroup() as group:
                group.create_task(_round(lan, mai, number, paper))
                group.create_task(_kill_soon(node, rng, number))
            await node.wait_until_up()
            if number == ROUNDS // 2:
                shutil.copytree(node.folder, tmp_path / "copy")
        made += await _passwords(mai)
    finally:
        await lan.close()
        await mai.close()
    return made


async def _kill_soon(node: NodeProcess, rng: random.Random, number: int) -> None:
    if number % 2:
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        node.kill()
        node.start()


async def _round(lan: Person, mai: Person, number: int, paper: str) -> None:
    person = {
        "full_name": "Vi Thị Mơ",
        "identity_type": "cccd",
        "identity_number": paper,
        "identity_checked": True,
    }
    petition = {"case_type": "khieu_nai", "title": "Đất rẫy", "content": "Như trong đơn."}
    form = {"held_on": "2026-11-23", "people": [person], "petitions": [petition]}
    await lan.insist("PUT", f"/drafts/d{number}", {"body": form}, "")
    visit = await lan.insist("POST", "/visits", form, f"visit-{number}")
    await lan.insist("POST", "/visits", form, f"visit-{number}")
    await lan.insist("DELETE", f"/drafts/d{number}", None, "")
    path = f"/documents/{visit['people_ids'][0]}/fields"
    await lan.insist("POST", path, {"fields": {"address": f"bản {number}"}}, f"edit-{number}")
    for words in (paper, DENOUNCER):
        await lan.insist("GET", f"/cases?text={words}", None, "")
    await _refused(lan, path, {"fields": {"identity_number": paper}})
    await _denounce(lan, number)
    await _refused(mai, f"/people/{visit['people_ids'][0]}/identity", {})
    await _refused(mai, "/office-key", {"passphrase": f"{PASSPHRASE} {number}"})


async def _denounce(lan: Person, number: int) -> None:
    """Try the name at every door, then denounce as it should be."""
    petition = {
        "case_type": "to_cao",
        "written": True,
        "identity_mode": "named",
        "envelope_number": f"PB-{number}/2026",
        "sealed_ref": REFERENCES[number],
    }
    form = {"held_on": "2026-11-23", "petitions": [petition]}
    named = {"full_name": DENOUNCER}
    # Who came to complain, and then denounced.
    begun = {"people": [named], "petitions": [petition | {"case_type": "khieu_nai"}]}
    await lan.insist("PUT", f"/drafts/t{number}", {"body": form | begun}, "")
    for wrong in (
        form | {"people": [named]},
        form | {"statement": f"Tôi là {DENOUNCER}"},
        form | {"petitions": [petition | {"content": DENOUNCER}]},
        form | {"petitions": [petition | {"sealed_ref": DENOUNCER}]},
    ):
        await _refused(lan, "/visits", wrong, f"wrong-{number}")
        await lan.insist("PUT", f"/drafts/t{number}", {"body": wrong}, "")
    made = await lan.insist("POST", "/visits", form, f"denounced-{number}")
    case = made["case_ids"][0]
    await _refused(lan, f"/documents/{case}/fields", {"fields": {"title": DENOUNCER}})
    noted = {"event": {"type": "noted", "text": DENOUNCER}}
    await _refused(lan, f"/cases/{case}/events", noted, f"noted-{number}")


async def _refused(person: Person, path: str, body: Mapping[str, object], key: str = "") -> None:
    try:
        await person.insist("POST", path, body, key)
    except Refused:
        return
    raise AssertionError(f"{path} took {body}")


async def _passwords(mai: Person) -> list[str]:
    body = {"user": "xuan", "name": "Lò Thị Xuân", "role": "verifier"}
    first = (await mai.insist("POST", "/accounts", body, "new"))["password"]
    second = (await mai.insist("POST", "/accounts/xuan/password", {}, "again"))["password"]
    body = {"user": "xuan", "password": second}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        url = f"{mai._node.url}/api/v1"
        async with browser.post(f"{url}/sign-in", json=body) as answer:
            csrf = (await answer.json())["csrf"]
        new = {"old": second, "new": HAND_OVER}
        headers = {"X-CSRF-Token": csrf}
        async with browser.post(f"{url}/me/password", json=new, headers=headers) as answer:
            assert answer.status == 200
    return [first, second]
