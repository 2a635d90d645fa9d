"""The documents say what the code does: what can be made from it is made and compared."""

import re
from pathlib import Path

import pytest

from crypto.certificates import OFFICE_KEY_OID
from node.cli import _parser
from node.config import Config
from schemas.limits import CHUNK_BYTES, FRAME_LEAVES_MAX, LEAF_BYTES_MAX, WANT_BYTES, WINDOW_BYTES
from schemas.wire import _KINDS
from sync.session import POLL_MS, RETRY_MS
from tests.docs.reference import ROOT, events_document, tables_document

PROTOCOL = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")


def test_the_events_document_is_up_to_date() -> None:
    text = (ROOT / "docs" / "EVENTS.md").read_text(encoding="utf-8")
    assert text == events_document(), "run: python -m tests.docs.reference"


def test_the_tables_document_is_up_to_date() -> None:
    text = (ROOT / "docs" / "TABLES.md").read_text(encoding="utf-8")
    assert text == tables_document(), "run: python -m tests.docs.reference"


def test_every_message_is_in_the_protocol() -> None:
    for number, kind in enumerate(_KINDS, start=1):
        assert f"| {number} | {kind.__name__.upper()} |" in PROTOCOL


def test_the_protocol_names_the_limits_in_force() -> None:
    assert f"at most {LEAF_BYTES_MAX >> 20} MiB" in PROTOCOL
    assert f"1 to {FRAME_LEAVES_MAX}" in PROTOCOL
    assert f"{WINDOW_BYTES >> 10} KiB" in PROTOCOL
    assert f"{WANT_BYTES >> 10} KiB" in PROTOCOL
    assert f"{CHUNK_BYTES >> 10} KiB" in PROTOCOL
    assert f"{RETRY_MS // 1000} s" in PROTOCOL
    assert f"{POLL_MS // 60_000} minutes" in PROTOCOL
    assert OFFICE_KEY_OID.dotted_string in PROTOCOL


def test_every_setting_is_in_the_operations_guide() -> None:
    for name in Config.__dataclass_fields__:
        assert f"`{name}`" in OPERATIONS, name


def test_every_command_is_in_the_operations_guide() -> None:
    commands = _parser()._subparsers
    assert commands is not None
    for action in commands._group_actions:
        assert action.choices is not None
        for name in action.choices:
            assert f"tiepdan {name}" in OPERATIONS, name


@pytest.mark.parametrize(
    "document",
    sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]),
)
def test_every_link_between_documents_leads_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:schemas|crypto|sync|media|node|tests|scripts)/[\w/.]*)`", text):
        assert Path(ROOT / name).exists(), name
