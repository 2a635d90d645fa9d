"""Programs of the LAN in the hands of people who only read: new records, fields and events."""

from typing import Final

from automerge.core import ROOT, Document, Message, ScalarType, SyncState

from node.clock import Clock
from node.permissions import ROLES
from schemas.codes import Role
from schemas.hlc import reading
from schemas.ids import DocumentId, event_id, parse_document_id
from scripts.attacks.report import Report
from scripts.attacks.world import World
from sync.change import parse_change
from sync.sync_message import without_flags
from tests.stock.raw import JOIN, Raw, changes_of, new_document, raw_client

_NEW: Final = DocumentId(bytes.fromhex("01a0c4506c007226b63c5ab791b7584d"))
_EVENT: Final = '{"type":"noted","text":"x"}'
_KINDS_TRIED: Final = ("person", "visit", "case", "petition", "directive", "nonsense")


async def attack(world: World, report: Report) -> None:
    """Write as each role that may connect, what it may not."""
    case = parse_document_id(world.ids["case"])
    for role in sorted(ROLES["repo.connect"]):
        if role not in ROLES["visit.register"]:
            for kind in _KINDS_TRIED:
                made = changes_of(new_document(role.encode().ljust(16)[:16], kind))
                await _try(world, report, role, f"a new {kind}", _NEW, made)
        else:
            made = changes_of(new_document(role.encode().ljust(16)[:16], "directive"))
            await _try(world, report, role, "a new directive", _NEW, made)
        held = await _fetched(world, role, case)
        if role not in ROLES["document.edit"]:
            await _try(world, report, role, "a title", case, [_with_title(held, role)])
        if role not in ROLES["case.act"]:
            await _try(world, report, role, "a note", case, held)


async def _try(
    world: World,
    report: Report,
    role: Role,
    what: str,
    document: DocumentId,
    said: list[bytes] | Document,
) -> None:
    """Send changes, or a note in a document, which needs the id of the device that one is at."""
    async with raw_client(await _address(world, role), joins=False) as raw:
        await raw.say(JOIN)
        told = await raw.hear()
        assert isinstance(told, dict)
        device = bytes.fromhex(told["peerMetadata"]["device"])
        changes = [_with_note(said, role, device)] if isinstance(said, Document) else said
        await raw.sync(document, changes)
        answer = "silence"
        while answer == "silence":
            came = await raw.hear()
            if not isinstance(came, dict):
                answer = f"closed with {came}"
            elif came["type"] == "error":
                answer = str(came["message"]).rpartition("[")[2].strip("]")
            elif came["type"] == "sync" and _says_taken(came["data"], changes[-1]):
                answer = "taken"
    report.tried(f"{role}: {what} by a program", answer, refused=answer not in ("taken", "silence"))


def _says_taken(data: bytes, change: bytes) -> bool:
    """Tell whether the node counts a change among the heads of its document."""
    # Behind the version and their number, below 128.
    heads = {data[2 + at : 34 + at] for at in range(0, 32 * data[1], 32)}
    return parse_change(change).hash in heads


async def _address(world: World, role: Role) -> str:
    async with world.signed_in(role) as caller:
        path = (await caller.ask("POST", "/api/v1/repo-tickets", {})).body["path"]
        # Without signing out: the ticket ends with its session.
        return world.commune.url.replace("http", "ws") + str(path)


async def _fetched(world: World, role: Role, document: DocumentId) -> Document:
    """Return a document as the node has it."""
    held, talk = Document(), SyncState()
    async with raw_client(await _address(world, role)) as raw:
        while not held.get_heads():
            await _say(raw, held, talk, document)
            came = await raw.hear()
            if isinstance(came, dict) and came["type"] == "sync":
                held.receive_sync_message(talk, Message.decode(came["data"]))
    return held


async def _say(raw: Raw, held: Document, talk: SyncState, document: DocumentId) -> None:
    message = held.generate_sync_message(talk)
    if message is not None:
        await raw.send(document, without_flags(bytes(message.encode())), "request")


def _with_title(held: Document, role: Role) -> bytes:
    return _edited(held, role, "fields", "title", "Sửa lén")


def _with_note(held: Document, role: Role, device: bytes) -> bytes:
    named = event_id(reading(Clock().now_ms()), device)
    return _edited(held, role, "events", named, _EVENT)


def _edited(held: Document, role: Role, where: str, key: str, value: str) -> bytes:
    copy = held.fork()
    copy.set_actor(role.encode().ljust(16)[:16])
    found = copy.get(ROOT, where)
    assert found is not None
    before = copy.get_heads()
    with copy.transaction() as change:
        change.put(found[1], key, ScalarType.Str, value)
    return bytes(copy.get_changes(before)[-1].raw_bytes)
