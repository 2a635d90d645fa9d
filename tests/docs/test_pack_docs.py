"""What the documents say of packs is what the code does."""

from crypto.certificates import CHAIN_LENGTH_MAX
from crypto.sealed_stream import ABOUT_BYTES_MAX, CLEAR_BYTES_MAX, MAGIC, PIECE_BYTES
from schemas.limits import (
    ATTACHMENT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    OFFERS_MAX,
    PACK_ENTRY_BYTES_MAX,
    PACK_PARTS_MAX,
    PACK_PIECE_BYTES,
    PACK_WANTED_MAX,
    PENDING_LEAVES_MAX,
)
from tests.docs.reference import ROOT

PACKS = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8").partition("## 11. Packs")[2]
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")


def test_the_protocol_names_the_limits_of_packs() -> None:
    words = " ".join(PACKS.split())
    assert MAGIC.decode().strip() in words
    assert f"at most {CLEAR_BYTES_MAX >> 10} KiB" in words
    assert f"at most {ABOUT_BYTES_MAX >> 10} KiB" in words
    assert f"in pieces of {PIECE_BYTES >> 10} KiB" in words
    assert f"1 byte to {PACK_PIECE_BYTES >> 10} KiB" in words
    assert f"at most 1 MiB + {(PACK_ENTRY_BYTES_MAX - (1 << 20)) >> 10} KiB" in words
    assert f"at most 1 MiB + {(MESSAGE_BYTES_MAX - (1 << 20)) >> 10} KiB" in words
    assert f"at most {ATTACHMENT_BYTES_MAX >> 20} MiB" in words
    assert f"from 1 to {PACK_PARTS_MAX}" in words
    assert f"with {OFFERS_MAX:,} offers" in words
    assert f"{PACK_WANTED_MAX:,} at most" in words


def test_the_guide_knows_when_parts_must_come_in_order() -> None:
    assert f"more than {PENDING_LEAVES_MAX:,} leaves" in " ".join(OPERATIONS.split())


def test_a_longest_chain_fits_into_the_head_of_a_pack() -> None:
    assert (CHAIN_LENGTH_MAX - 1) * 4_096 < CLEAR_BYTES_MAX
