"""The documents say what the code does: what can be made from it is made and compared."""

import re
from pathlib import Path

import pytest

from crypto.extensions import OFFICE_KEY_OID, SUCCEEDS_OID
from node.asking import ANSWER_BYTES_MAX
from node.cli import _parser
from node.config import Config
from node.dialling import _TURN_S_MAX
from node.enrolling import ENROL_PATH
from node.gate import _AT_ONCE, _EVERY_S, BODY_BYTES_MAX
from node.issuing import lifetime_days
from node.renewing import RENEW_PATH
from node.slots import DIAL_EVERY_S, DIALS_AT_ONCE, START_S, STARTING_MAX
from node.tokens import FAILURES_MAX
from schemas.codes import Tier
from schemas.limits import (
    CHUNK_BYTES,
    CHUNK_NAME_BYTES,
    COSIGNATURES_MAX,
    EARLY_FRAMES_MAX,
    FRAME_BYTES_MAX,
    FRAME_LEAVES_MAX,
    GAPS_MAX,
    LEAF_BYTES_MAX,
    OFFERS_MAX,
    PART_BYTES_MIN,
    PENDING_LEAVES_MAX,
    WANT_BYTES_MAX,
    WANT_BYTES_MIN,
    WINDOW_BYTES_MAX,
    WINDOW_BYTES_MIN,
)
from schemas.wire import _KINDS, DICTIONARY_NAME_BYTES
from schemas.wire_items import REFERENCE_BYTES_MAX
from sync.framing import _WINDOW_BYTES_MAX
from sync.log import HEAD_STEP
from sync.receiver import _REFERENCES_MAX
from sync.session import POLL_MS, RETRY_MS
from sync.tokens import _NEAR, Token
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
    for kind, number in _KINDS.items():
        assert f"| {number} | {kind.__name__.upper()} |" in PROTOCOL


def test_the_protocol_names_the_limits_in_force() -> None:
    assert f"at most {LEAF_BYTES_MAX >> 20} MiB" in PROTOCOL
    assert f"1 to {FRAME_LEAVES_MAX}" in PROTOCOL
    assert f"packed frames of at most {FRAME_BYTES_MAX:,} bytes" in PROTOCOL
    assert f"at least {PART_BYTES_MIN:,} bytes" in PROTOCOL
    assert f"keeps {EARLY_FRAMES_MAX:,} frames" in PROTOCOL
    assert f"{PENDING_LEAVES_MAX:,} leaves" in PROTOCOL
    assert f"at most {OFFERS_MAX:,} offers; one link, {_REFERENCES_MAX:,}." in PROTOCOL
    assert f"`[first seq, count]`, at most {GAPS_MAX} of them" in PROTOCOL
    assert f"at most {COSIGNATURES_MAX}, its peer id" in PROTOCOL
    assert f"**reference** of 1 to {REFERENCE_BYTES_MAX} bytes" in PROTOCOL
    assert f"at most 16 names, {DICTIONARY_NAME_BYTES} bytes each" in PROTOCOL
    assert f"its window is at most {_WINDOW_BYTES_MAX >> 20} MiB" in PROTOCOL
    assert f"{WINDOW_BYTES_MIN:,} bytes at first" in PROTOCOL
    assert f"in one round trip, at most {WINDOW_BYTES_MAX >> 10} KiB" in PROTOCOL
    assert f"at most {WANT_BYTES_MIN:,} bytes at first" in PROTOCOL
    assert f"at most {WANT_BYTES_MAX >> 10} KiB for one WANT" in PROTOCOL
    assert f"CHUNKs of at most {CHUNK_BYTES:,} bytes" in PROTOCOL
    assert f"first {CHUNK_NAME_BYTES} bytes of the SHA-256" in PROTOCOL
    assert f"{RETRY_MS // 1000} s" in PROTOCOL
    assert f"{POLL_MS // 60_000} minutes" in PROTOCOL
    assert f"multiples of {HEAD_STEP:,} leaves" in PROTOCOL
    assert OFFICE_KEY_OID.dotted_string in PROTOCOL
    assert SUCCEEDS_OID.dotted_string in PROTOCOL


def test_the_protocol_names_what_enrolment_goes_by() -> None:
    text = " ".join(PROTOCOL.split())
    assert f"of at most {BODY_BYTES_MAX >> 10} KiB, answered" in text
    assert f"JSON of at most {ANSWER_BYTES_MAX >> 10} KiB" in text
    assert f"takes {_AT_ONCE} requests of each kind at once from an address" in text
    assert f"then one in {_EVERY_S:g} s" in text
    assert FAILURES_MAX == 5
    assert "after five wrong proofs" in text
    assert f"POST `{ENROL_PATH}`" in text
    assert f"POST `{RENEW_PATH}`" in text
    days = lifetime_days(Tier.COMMUNE), lifetime_days(Tier.PROVINCE)
    assert f"communes and outposts {days[0]} days and others {days[1]}" in text


def test_the_protocol_names_the_start_slots_in_force() -> None:
    text = " ".join(PROTOCOL.split())
    assert f"no more than {_TURN_S_MAX} s for an answer" in text
    assert f"lets {STARTING_MAX} children begin at once" in text
    assert f"in use, for {START_S:g} s at most" in text
    assert f"dial {DIALS_AT_ONCE} times in a row, then once in {DIAL_EVERY_S:g} s" in text
    assert f"lets {STARTING_MAX} in at a time" in " ".join(OPERATIONS.split())


def test_every_token_of_packed_frames_is_in_the_protocol() -> None:
    for token in Token:
        assert f"| `FF {token.value:02X}` |" in PROTOCOL
    assert f"1 byte k < {_NEAR} |" in PROTOCOL


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
