"""Goal: each role does what its line says and nothing else, on every route there is.

Method: the table below is written by hand, apart from the program's own. A commune with one account
for each role is asked every route as every role; a route without a line here fails.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crypto.password import hash_password
from node.permissions import ROLES, may_grant
from node.web.operations import OPERATIONS, PREFIX
from node.web.pages import PAGES
from schemas.codes import Role, Tier
from tests.web.offices import PASSWORD, Browser, OpenOffice, mint, tell

ALL: Final = frozenset(role.value for role in Role)
MACHINE: Final = frozenset({"node_admin", "province_admin"})
ATTENDING: Final = frozenset({"session_technician", "interpreter", "security_officer"})
READING: Final = ALL - MACHINE - ATTENDING
WRITING: Final = READING - {"auditor", "supervisor_hdnd", "central_reviewer", "session_secretary"}
RECEPTION: Final = frozenset(
    {
        *("reception_officer", "reception_lead", "commune_chair"),
        *("provincial_reception_board", "central_reception_board"),
    }
)
PROCESSING: Final = RECEPTION | {"petition_officer", "provincial_inspectorate", "department"}
CLERKS: Final = PROCESSING | {"records_clerk"}
HEADS: Final = frozenset({"commune_chair", "provincial_chair", "central_reception_board"})
ISSUING: Final = HEADS | {"provincial_reception_board", "provincial_inspectorate"}
OPENING: Final = frozenset(
    {"reception_lead", "provincial_reception_board", "provincial_inspectorate"}
)
HIRING: Final = HEADS | {"reception_lead", "provincial_reception_board"}
CHECKING: Final = frozenset(
    {"auditor", "commune_chair", "provincial_chair", "provincial_inspectorate"}
)
CARRYING: Final = RECEPTION | MACHINE | {"records_clerk", "provincial_inspectorate"}
NOBODY_SIGNED_IN: Final = frozenset({"(anybody)"})

OPERATION_ROLES: Final[Mapping[str, frozenset[str]]] = {
    "sign_in": NOBODY_SIGNED_IN,
    "health": NOBODY_SIGNED_IN,
    "sign_out": ALL,
    "me": ALL,
    "change_password": ALL,
    "list_sessions": ALL,
    "end_sessions": ALL,
    "list_passkeys": ALL,
    "begin_passkey": ALL,
    "add_passkey": ALL,
    "drop_passkey": ALL,
    "begin_passkey_sign_in": NOBODY_SIGNED_IN,
    "passkey_sign_in": NOBODY_SIGNED_IN,
    "list_accounts": HIRING,
    "add_account": HIRING,
    "change_account": HIRING,
    "reset_password": HIRING,
    "read_office_key": OPENING | MACHINE,
    "unlock_office_key": OPENING | MACHINE,
    "read_trail": CHECKING,
    "export_trail": CHECKING,
    "make_repo_ticket": READING,
    "read_today": READING,
    "list_cases": READING,
    "read_case": READING,
    "act_on_case": WRITING,
    "split_case": PROCESSING,
    "export_case": READING,
    "read_document": READING,
    "edit_document": CLERKS,
    "read_document_sync": READING,
    "attach_file": CLERKS | {"verifier"},
    "download_file": READING,
    "reveal_identity": OPENING,
    "open_reference": OPENING,
    "list_data_requests": CLERKS | HEADS | {"auditor"},
    "act_on_person": CLERKS | HEADS,
    "register_visit": RECEPTION,
    "list_visits": READING,
    "list_drafts": RECEPTION,
    "read_draft": RECEPTION,
    "save_draft": RECEPTION,
    "delete_draft": RECEPTION,
    "list_directives": READING,
    "issue_directive": ISSUING,
    "read_directive": READING,
    "act_on_directive": PROCESSING | ISSUING,
    "read_link": ALL,
    "cut_link": ALL,
    "send_files": WRITING | MACHINE,
    "read_packs": CARRYING,
    "make_pack": CARRYING,
    "take_packs": CARRYING,
    "fetch_pack": CARRYING,
    "stream_news": ALL,
    "read_technician": MACHINE | {"auditor"},
    "revoke_node": MACHINE,
    "make_token": MACHINE,
    "withdraw_token": MACHINE,
    "let_travel": MACHINE,
    "read_site": NOBODY_SIGNED_IN,
    "download_site": NOBODY_SIGNED_IN,
    "list_devices": MACHINE | {"auditor"},
    "revoke_device": MACHINE,
    "begin_pairing": MACHINE,
    "read_pairing": MACHINE,
    "confirm_pairing": MACHINE,
    "refuse_pairing": MACHINE,
    "greet_device": NOBODY_SIGNED_IN,
    "prove_pairing": NOBODY_SIGNED_IN,
    "read_outcome": NOBODY_SIGNED_IN,
    "make_challenge": NOBODY_SIGNED_IN,
    "admit_device": NOBODY_SIGNED_IN,
}
PAGE_ROLES: Final[Mapping[str, frozenset[str]]] = {
    "/": ALL,
    "/visits/new": RECEPTION,
    "/visits": READING,
    "/cases": READING,
    "/cases/{id}": READING,
    "/directives": READING,
    "/directives/{id}": READING,
    "/packs": CARRYING,
    "/data-requests": CLERKS | HEADS | {"auditor"},
    "/devices": MACHINE | {"auditor"},
    "/technician": MACHINE | {"auditor"},
    "/account": ALL,
    "/accounts": HIRING,
    "/audit": CHECKING,
    "/documents/{id}/form": CLERKS,
}
# Pages that anybody may open, and what is no page. The socket asks who it is by itself.
OPEN_PATHS: Final = frozenset(
    {
        *("/sign-in", "/language/{code}", "/static/", "/site", "/pair"),
        *("/offline/{code}", "/worker.js", "/app.webmanifest"),
        *(f"{PREFIX}/openapi.json", f"{PREFIX}/repo"),
    }
)
PARTS: Final = {
    "{id}": mint(9),
    "{sha256}": "0" * 64,
    "{user}": "nobody",
    "{name}": "x",
    "{code}": "vi",
}


def test_every_operation_and_every_page_has_a_line_here() -> None:
    assert {operation.id for operation in OPERATIONS} == set(OPERATION_ROLES)
    assert {page.path for page in PAGES} == set(PAGE_ROLES)


def test_the_server_has_no_route_beside_the_tables(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        known = {PREFIX + operation.path for operation in OPERATIONS} | set(PAGE_ROLES) | OPEN_PATHS
        app = office.app
        found = {resource.canonical for resource in app.router.resources()}
        assert {path if path != "/static" else "/static/" for path in found} == known

    tell(tmp_path, story)


def test_each_role_is_let_in_at_each_route_as_its_line_says(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        await hire_everybody(office)
        for role in Role:
            browser = await office.browser(role.value.replace("_", "-"))
            # Last, as it ends the session.
            for operation in sorted(OPERATIONS, key=lambda known: known.id == "sign_out"):
                allowed = OPERATION_ROLES[operation.id]
                if allowed == NOBODY_SIGNED_IN:
                    continue
                # What no query model knows keeps a stream from beginning.
                path = filled(PREFIX + operation.path) + ("?x=1" if operation.query else "")
                status, code = await ask(browser, operation.method, path)
                told = f"{role.value} {operation.id}: {status} {code}"
                assert status != 401, told
                assert (code == "not_permitted") == (role.value not in allowed), told

    tell(tmp_path, story)


def test_each_role_sees_each_page_as_its_line_says(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        await hire_everybody(office)
        for role in Role:
            browser = await office.browser(role.value.replace("_", "-"))
            for path, allowed in PAGE_ROLES.items():
                reply = await browser.get(filled(path))
                told = f"{role.value} {path}: {reply.status}"
                assert (reply.status == 403) == (role.value not in allowed), told
                assert reply.status in (200, 303, 403, 404), told

    tell(tmp_path, story)


def test_without_a_session_no_route_answers_but_the_open_ones(tmp_path: Path) -> None:
    async def story(office: OpenOffice) -> None:
        nobody = await office.browser()
        for operation in OPERATIONS:
            if OPERATION_ROLES[operation.id] == NOBODY_SIGNED_IN:
                continue
            status, code = await ask(nobody, operation.method, filled(PREFIX + operation.path))
            assert (status, code) == (401, "sign_in_needed"), operation.id
        for path in PAGE_ROLES:
            reply = await nobody.get(filled(path))
            assert reply.status == 303, path
            assert reply.headers["Location"].startswith("/sign-in"), path

    tell(tmp_path, story)


def test_machine_roles_and_helpers_at_a_session_see_no_case_content() -> None:
    content = {
        name
        for name in ROLES
        if name.partition(".")[0]
        in {
            "today",
            "case",
            "document",
            "attachment",
            "person",
            "visit",
            "draft",
            "directive",
            "envelope",
            "data_request",
        }
    }
    assert len(content) > 15
    for name in content:
        assert not ROLES[name] & {Role(value) for value in MACHINE | ATTENDING}, name


def test_nobody_who_sees_no_cases_makes_accounts_that_do() -> None:
    for role in ROLES["account.manage"]:
        assert role in ROLES["case.read"]
    assert not may_grant("node_admin", Role.RECEPTION_OFFICER, Tier.COMMUNE)


async def hire_everybody(office: OpenOffice) -> None:
    phc = hash_password(PASSWORD, bytes(16))

    def work(_: int) -> None:
        for role in Role:
            office.node.accounts.db.execute(
                "INSERT INTO account (user, name, role, password) VALUES (?, ?, ?, ?)",
                (role.value.replace("_", "-"), role.value, role.value, phc),
            )

    await office.node.write(work)


def filled(path: str) -> str:
    for part, value in PARTS.items():
        path = path.replace(part, value)
    assert "{" not in path, path
    return path


async def ask(browser: Browser, method: str, path: str) -> tuple[int, str]:
    reply = await browser.ask(method, path, {} if method in ("POST", "PUT") else None)
    is_json = reply.headers.get("Content-Type", "").startswith("application/json")
    return reply.status, str(reply.body.get("code", "")) if is_json and reply.status >= 400 else ""
