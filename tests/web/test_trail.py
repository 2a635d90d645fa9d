"""Goal: whoever reads or changes personal data leaves a line that nobody takes away.

Method: a real commune holds planted words. Every operation of the table is carried out; one whose
request or answer holds a planted word must have left a line. Lines are then attacked in SQL.
"""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from node.trail import START, append, check_lines, lines, parse_exported
from node.views import migrations
from node.web.operations import OPERATIONS
from sync.database import open_database
from tests.web.offices import (
    Browser,
    OpenOffice,
    Reply,
    denunciation_form,
    mint,
    register,
    tell,
    visit_form,
)

WORD: Final = "Pá Lăng Khưm"
NUMBER: Final = "040162009876"
PLANTED: Final = (WORD, NUMBER)
NOW_MS: Final = 1_795_000_000_000


@dataclass(frozen=True, slots=True)
class World:
    """What operations are tried on."""

    office: OpenOffice
    case: str
    several: str
    denounced: str
    person: str
    sha256: str
    directive: str


Step = Callable[[Browser, World], Awaitable[Reply]]


def get(path: str) -> tuple[str, Step]:
    async def step(browser: Browser, world: World) -> Reply:
        return await browser.get("/api/v1" + filled(path, world))

    return path, step


def post(path: str, body: Mapping[str, object] | None = None) -> tuple[str, Step]:
    async def step(browser: Browser, world: World) -> Reply:
        return await browser.post(filled(path, world), body)

    return json.dumps(body, ensure_ascii=False), step


def planted_form() -> dict[str, object]:
    form = visit_form((f"Đất của {WORD}",))
    form["people"][0] |= {"full_name": WORD, "identity_number": NUMBER}
    return form


async def upload(browser: Browser, world: World) -> Reply:
    return await browser.upload(world.case, b"%PDF-1.7 x", f"{WORD}.pdf")


async def save_draft(browser: Browser, _: World) -> Reply:
    return await browser.ask("PUT", f"/api/v1/drafts/{mint(1)}", {"body": planted_form()})


async def delete_draft(browser: Browser, _: World) -> Reply:
    return await browser.ask("DELETE", f"/api/v1/drafts/{mint(1)}")


# Who does it, what goes out, and how. What is left out below shows and changes nobody's data.
STEPS: Final[Mapping[str, tuple[str, tuple[str, Step]]]] = {
    "register_visit": ("lan", post("/visits", planted_form())),
    "read_today": ("lan", get("/today")),
    "list_cases": ("lan", get("/cases")),
    "read_case": ("lan", get("/cases/{case}")),
    "act_on_case": (
        "lan",
        post("/cases/{case}/events", {"event": {"type": "noted", "text": WORD}}),
    ),
    "split_case": (
        "lan",
        post(
            "/cases/{several}/split",
            {"children": [{"case_type": "khieu_nai", "title": WORD}, {"case_type": "kien_nghi"}]},
        ),
    ),
    "export_case": ("lan", get("/cases/{case}/record")),
    "read_document": ("lan", get("/documents/{person}")),
    "edit_document": ("lan", post("/documents/{person}/fields", {"fields": {"address": WORD}})),
    "attach_file": ("lan", (WORD, upload)),
    "download_file": ("lan", get("/documents/{case}/attachments/{sha256}")),
    "reveal_identity": ("mai", post("/people/{person}/identity")),
    "open_reference": ("mai", post("/cases/{denounced}/reference")),
    "act_on_person": (
        "lan",
        post(
            "/people/{person}/events",
            {
                "event": {
                    "type": "data_requested",
                    "right": "access",
                    "on": "2026-11-24",
                    "text": WORD,
                }
            },
        ),
    ),
    "list_data_requests": ("lan", get("/data-requests")),
    "list_visits": ("lan", get("/visits")),
    "save_draft": ("lan", (WORD, save_draft)),
    "list_drafts": ("lan", get("/drafts")),
    "read_draft": ("lan", get(f"/drafts/{mint(1)}")),
    "delete_draft": ("lan", ("", delete_draft)),
    "issue_directive": (
        "hung",
        post(
            "/directives",
            {"to_codes": ["40.17083"], "title": WORD, "body": WORD, "due_on": "2027-01-04"},
        ),
    ),
    "list_directives": ("lan", get("/directives")),
    "read_directive": ("lan", get("/directives/{directive}")),
    "act_on_directive": (
        "lan",
        post(
            "/directives/{directive}/events",
            {"event": {"type": "directive_reported", "text": WORD}},
        ),
    ),
    "add_account": ("mai", post("/accounts", {"user": "pa", "name": WORD, "role": "verifier"})),
    "list_accounts": ("mai", get("/accounts")),
    "change_account": ("mai", post("/accounts/pa", {"name": f"{WORD} B"})),
    "reset_password": ("mai", post("/accounts/pa/password")),
    "read_trail": ("tam", get("/audit")),
    "export_trail": ("tam", get("/audit/export")),
}
# Of these the answer is known to hold nobody's data but one's own, or sealed packs.
WITHOUT: Final = frozenset(
    {
        *("sign_in", "sign_out", "me", "change_password", "list_sessions", "end_sessions"),
        "make_repo_ticket",
        *("list_passkeys", "begin_passkey", "add_passkey", "drop_passkey"),
        *("begin_passkey_sign_in", "passkey_sign_in"),
        *("read_document_sync", "read_link", "cut_link", "send_files", "stream_news"),
        *("read_packs", "make_pack", "take_packs", "fetch_pack", "read_technician"),
        *("revoke_node", "health", "read_office_key", "unlock_office_key"),
        *("make_token", "withdraw_token", "let_travel", "read_site", "download_site"),
        *("list_devices", "revoke_device", "make_challenge", "admit_device"),
        *("begin_pairing", "read_pairing", "confirm_pairing", "refuse_pairing"),
        *("greet_device", "prove_pairing", "read_outcome"),
    }
)
# Names of colleagues on the list of accounts are no case data; nobody's looks at it are kept.
NO_LINE: Final = frozenset({"list_accounts", "list_drafts"})


def filled(path: str, world: World) -> str:
    for name in ("case", "several", "denounced", "person", "sha256", "directive"):
        path = path.replace("{" + name + "}", getattr(world, name))
    return path


def test_every_operation_is_tried_here_or_shows_nobody() -> None:
    assert {operation.id for operation in OPERATIONS} == STEPS.keys() | WITHOUT
    assert not STEPS.keys() & WITHOUT


def test_whoever_sees_or_changes_personal_data_leaves_a_line(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        world = await planted(office)
        browsers = {user: await office.browser(user) for user in ("lan", "mai", "hung", "tam")}
        with_words = set()
        for operation, (user, (sent, step)) in STEPS.items():
            before = await newest(office)
            reply = await step(browsers[user], world)
            assert reply.status == 200, (operation, reply.text)
            after = await newest(office)
            if any(word in sent + reply.content.decode("utf-8", "replace") for word in PLANTED):
                with_words.add(operation)
            assert (after > before) == (operation not in NO_LINE), operation
            rows = await office.rows("SELECT user FROM audit WHERE number > ?", before)
            assert {row[0] for row in rows} <= {user}, operation
        # Were the words not found, the test would say nothing.
        assert {"read_today", "list_cases", "read_case", "reveal_identity"} <= with_words
        trail = repr(await office.rows("SELECT * FROM audit"))
        assert not any(word in trail for word in PLANTED)

    tell(tmp_path, story)


def test_a_list_is_one_look_however_often_it_refreshes(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan = await office.browser("lan")
        await register(lan, ("Một", "Hai", "Ba"))
        for _ in range(3):
            await lan.get("/cases")
            await lan.get("/")
            await lan.get("/api/v1/cases?text=mot")
        await lan.get("/api/v1/cases?text=hai")
        rows = await office.rows(
            "SELECT action FROM audit WHERE action LIKE '%.list' OR action IN"
            " ('today.read', 'case.search') ORDER BY number"
        )
        assert [row[0] for row in rows] == ["case.list", "today.read", "case.search", "case.search"]

    tell(tmp_path, story)


def test_the_auditor_reads_what_was_searched_for_and_the_database_does_not_tell(
    tmp_path: Path,
) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tam = await office.browser("lan"), await office.browser("tam")
        await lan.get(f"/api/v1/cases?text={WORD}")
        assert WORD not in repr(await office.rows("SELECT detail FROM audit"))
        found = (await tam.get("/api/v1/audit?action=case.search")).body["lines"]
        assert [(line["user"], line["detail"], line["is_sealed"]) for line in found] == [
            ("lan", WORD, True)
        ]
        assert WORD in (await tam.get("/audit")).text

    tell(tmp_path, story)


def test_the_page_filters_and_turns_over(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tam = await office.browser("lan"), await office.browser("tam")
        case = (await register(lan))["case_ids"][0]
        for text in ("a", "b", "c"):
            await lan.post(f"/cases/{case}/events", {"event": {"type": "noted", "text": text}})
        first = (await tam.get("/api/v1/audit?user=lan&action=case.act&size=2")).body
        assert (len(first["lines"]), first["next"]) == (2, first["lines"][-1]["number"])
        rest = (await tam.get(f"/api/v1/audit?action=case.act&before={first['next']}")).body
        assert [line["user"] for line in rest["lines"]] == ["lan"]
        about = (await tam.get(f"/api/v1/audit?document={case}")).body["lines"]
        assert {line["document_id"] for line in about} == {case}
        assert (await tam.get("/api/v1/audit?until=2001-01-01")).body["lines"] == []
        assert (await tam.get("/api/v1/audit?since=gestern")).code == "request_invalid"

    tell(tmp_path, story)


def test_the_exported_trail_checks_by_itself_and_a_changed_line_shows(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        lan, tam = await office.browser("lan"), await office.browser("tam")
        await register(lan)
        head, *rest = (await tam.get("/api/v1/audit/export")).text.splitlines()
        found = [parse_exported(line) for line in rest]
        check = check_lines(iter(found))
        assert json.loads(head)["link"] == check.link.hex()
        assert (check.lines, check.broken_at) == (len(rest), None)
        changed = [parse_exported(line.replace("visit.register", "visit.list")) for line in rest]
        assert check_lines(iter(changed)).broken_at is not None
        assert check_lines(iter(found[1:])).broken_at == 1

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM audit WHERE number = 2",
        "UPDATE audit SET user = 'mai' WHERE number = 2",
        "INSERT OR REPLACE INTO audit SELECT number, at_ms, 'mai', role, action, document_id,"
        " detail, link FROM audit WHERE number = 2",
    ],
)
def test_no_statement_takes_a_line_away_or_alters_it_unseen(tmp_path: Path, attack: str) -> None:
    db = open_database(tmp_path / "trail.db", (migrations,))
    try:
        for action in ("case.read", "case.act", "case.read"):
            append(db, "lan", "reception_officer", NOW_MS, action)
        intact = check_lines(lines(db))
        try:
            db.execute(attack)
        except sqlite3.IntegrityError:
            assert check_lines(lines(db)) == intact
        else:
            assert check_lines(lines(db)).broken_at == 2
    finally:
        db.close()


def test_an_empty_trail_is_intact(tmp_path: Path) -> None:
    db = open_database(tmp_path / "trail.db", (migrations,))
    check = check_lines(lines(db))
    db.close()
    assert (check.lines, check.link, check.broken_at) == (0, START, None)


async def planted(office: OpenOffice) -> World:
    lan, hung = await office.browser("lan"), await office.browser("hung")
    made = (await lan.post("/visits", planted_form())).body
    case = made["case_ids"][0]
    sha256 = (await lan.upload(case, b"%PDF-1.7 of the case")).body["sha256"]
    form = {"to_codes": ["40.17083"], "title": WORD, "body": WORD, "due_on": "2027-01-04"}
    directive = (await hung.post("/directives", form)).body["id"]
    denounced = (await lan.post("/visits", denunciation_form())).body["case_ids"][0]
    mixed = planted_form()
    mixed["petitions"] = [{"case_type": "nhieu_noi_dung", "title": WORD}]
    several = (await lan.post("/visits", mixed)).body["case_ids"][0]
    event = {"type": "classified", "case_type": "nhieu_noi_dung"}
    await lan.post(f"/cases/{several}/events", {"event": event})
    return World(office, case, several, denounced, made["people_ids"][0], sha256, directive)


async def newest(office: OpenOffice) -> int:
    return int((await office.rows("SELECT coalesce(max(number), 0) FROM audit"))[0][0])
