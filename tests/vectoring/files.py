"""Which files of vectors there are: a new part of the protocol adds its line here."""

from collections.abc import Callable
from typing import Any, Final

from tests.vectoring.certificates import certificates
from tests.vectoring.datagrams import datagrams
from tests.vectoring.enrolment import enrolment
from tests.vectoring.frames import frames, stripping
from tests.vectoring.ids import ids, keys
from tests.vectoring.layout import Earlier, lay_out
from tests.vectoring.leaves import changes_refused, changes_taken, documents, leaves
from tests.vectoring.messages import messages
from tests.vectoring.pairing import pairing
from tests.vectoring.revocations import revocations
from tests.vectoring.sealing import packs, sealed
from tests.vectoring.sessions import sessions
from tests.vectoring.trees import heads, record, record_edits, trees

FILES: Final[dict[str, Callable[[Earlier], Any]]] = {
    "keys.json": keys,
    "ids.json": ids,
    "certificates.json": certificates,
    "leaves.json": leaves,
    "documents.json": documents,
    "changes_taken.json": changes_taken,
    "changes_refused.json": changes_refused,
    "trees.json": trees,
    "heads.json": heads,
    "record.json": record,
    "record_edits.json": record_edits,
    "messages.json": messages,
    "frames.json": frames,
    "stripping.json": stripping,
    "sealed.json": sealed,
    "packs.json": packs,
    "sessions.json": sessions,
    "datagrams.json": datagrams,
    "revocations.json": revocations,
    "pairing.json": pairing,
    "enrolment.json": enrolment,
}


def made(name: str) -> str:
    """Return the text of a file as the product makes it now."""
    return lay_out(FILES[name](Earlier(name)))
