"""Section 7.1: messages of each kind as bytes, and what is none."""

from hashlib import sha256
from typing import Any

import cbor2

from crypto.identity import log_id
from schemas.errors import MessageError
from schemas.wire import (
    Ack,
    Chunk,
    Cosigned,
    Frame,
    Head,
    Hello,
    Message,
    Offer,
    Problem,
    Revoked,
    Want,
    decode_messages,
    encode_message,
)
from schemas.wire_audit import Reconcile, Repair
from tests.sync.builders import CENTRE, COMMUNE, NOW_MS, PROVINCE, place
from tests.vectoring.layout import Earlier
from tests.vectoring.world import PAPER

LOG = log_id(place(COMMUNE).key.peer_id, "up", 0)
OWNER, ABOVE = place(PROVINCE).key.peer_id, place(CENTRE).key.peer_id
DIGEST = sha256(PAPER).digest()
ROOT, SIGNATURE = bytes(range(32)), bytes(range(64))
OWN = Offer(owner=b"", purpose="up", epoch=0, from_seq=5, size=9, cosigned=5, cosigned_above=4)
PASSED_ON = Offer(owner=OWNER, purpose="up", epoch=2, from_seq=0, size=1 << 20)
DOWN = Offer(owner=b"", purpose="down", epoch=0, from_seq=0, size=300)
OURS = Cosigned(peer_id=b"", size=9, timestamp_s=NOW_MS // 1_000, signature=SIGNATURE)
THEIRS = Cosigned(peer_id=ABOVE, size=8, timestamp_s=0, signature=SIGNATURE[::-1])

GOOD: tuple[Message, ...] = (
    Hello(version=1, now_ms=NOW_MS, offers=()),
    Hello(
        version=1, now_ms=NOW_MS, first=300, offers=(OWN, PASSED_ON, DOWN), dictionaries=(ROOT[:8],)
    ),
    Frame(log=b"\0", priority=2, first_seq=0, leaves=(b"one", b"")),
    Frame(log=LOG, priority=0, first_seq=70_000, coding=1, data=b"packed", total=6),
    Frame(
        log=b"\1\0", priority=3, first_seq=7, coding=2, data=b"p" * 1_000, offset=500, total=2_000
    ),
    Frame(log=b"\1\0", priority=3, first_seq=7, coding=17, data=b"end", offset=1_997, total=2_000),
    Head(log=b"\0", size=9, root=ROOT, signature=SIGNATURE),
    Head(log=LOG, size=1 << 40, root=b"", signature=SIGNATURE),
    Ack(log=b"\0", have_seq=9, gaps=(), cosignatures=()),
    Ack(log=b"\0", have_seq=9, gaps=((9, 3), (20, 1), (40, 0)), cosignatures=(OURS, THEIRS)),
    Want(sha256=DIGEST, offset=0, length=4_608),
    Chunk(sha256=DIGEST[:8], offset=1_152, total=len(PAPER), data=PAPER[1_152:1_200]),
    Chunk(sha256=DIGEST[:8], offset=0, total=0, data=b""),
    Problem(code="head_forged", detail="the signature of a tree head is wrong"),
    Problem(code="log_forked", detail="hai lịch sử", log=b"\2"),
    Revoked(statement=b"said"),
    Reconcile(log=b"", step=0, data=b"\x61\0\0\0"),
    Reconcile(log=LOG, step=2, data=b"", lacks=((0, 1), (300, 40))),
    Repair(log=LOG, gaps=((7, 1), (9, 31))),
    Repair(log=LOG, seq=7, leaf=b"leaf", size=9, signature=SIGNATURE, proof=(ROOT, ROOT[::-1])),
    Repair(log=LOG, seq=8),
)

OFFER: list[Any] = [b"", "up", 0, 0, 1, 0, 0]
COSIGNED: list[Any] = [b"", 9, 0, SIGNATURE]


def items(*values: Any) -> bytes:
    """Return one CBOR array."""
    return cbor2.dumps(list(values))


BAD: dict[str, bytes] = {
    "nothing": b"",
    "no array": cbor2.dumps(7),
    "an empty array": items(),
    "an unknown kind": items(99),
    "a kind that is no number": items("1"),
    "a kind that is true": items(True),
    "cut short": encode_message(GOOD[0])[:-1],
    "a good one and half of another": encode_message(GOOD[0]) + encode_message(GOOD[1])[:9],
    "an array of indefinite length": b"\x9f" + items(5, DIGEST, 0, 1)[1:] + b"\xff",
    "a fraction": items(5, DIGEST, 0, 1.5),
    "a tag": items(5, DIGEST, cbor2.CBORTag(1, 0), 1),
    "a text that is not UTF-8": items(7, "", "", b"")[:2] + b"\x61\xff" + b"\x60\x40",
    "nested too deep": items(7, [[[[[[[[[]]]]]]]]], "", b""),
    "one item too few": items(5, DIGEST, 0),
    "one item too many": items(5, DIGEST, 0, 1, 1),
    "a negative number": items(5, DIGEST, -1, 1),
    "true for a number": items(5, DIGEST, True, 1),
    "HELLO with a number beyond 2^53": items(1, 1, (1 << 53) + 1, 0, [], []),
    "HELLO with an epoch beyond 2^32": items(
        1, 1, 0, 0, [[b"", "up", (1 << 32) + 1, *OFFER[3:]]], []
    ),
    "HELLO with an offer that starts behind its end": items(
        1, 1, 0, 0, [[b"", "up", 0, 2, 1, 0, 0]], []
    ),
    "HELLO with an owner of 31 bytes": items(1, 1, 0, 0, [[ROOT[1:], *OFFER[1:]]], []),
    "HELLO with 4,097 offers": items(1, 1, 0, 0, [OFFER] * 4_097, []),
    "HELLO with 17 dictionaries": items(1, 1, 0, 0, [], [ROOT[:8]] * 17),
    "HELLO with the name of a dictionary of 7 bytes": items(1, 1, 0, 0, [], [ROOT[:7]]),
    "FRAME with a reference of no bytes": items(2, b"", 2, 0, 0, [b"leaf"]),
    "FRAME with a reference of 5 bytes": items(2, ROOT[:5], 2, 0, 0, [b"leaf"]),
    "FRAME of priority 4": items(2, b"\0", 4, 0, 0, [b"leaf"]),
    "FRAME without leaves": items(2, b"\0", 2, 0, 0, []),
    "FRAME with 513 leaves": items(2, b"\0", 2, 0, 0, [b""] * 513),
    "FRAME of coding 18": items(2, b"\0", 2, 0, 18, b"data"),
    "FRAME with a part of plain leaves": items(2, b"\0", 2, 0, 0, [b"leaf"], 0, 4),
    "FRAME with an empty part": items(2, b"\0", 2, 0, 1, b"", 0, 2_000),
    "FRAME with a part beyond the end": items(2, b"\0", 2, 0, 1, ROOT, 1_969, 2_000),
    "FRAME with a part of 999 bytes": items(2, b"\0", 2, 0, 1, b"p" * 999, 0, 2_000),
    "HEAD with a root of 31 bytes": items(3, b"\0", 9, ROOT[1:], SIGNATURE),
    "HEAD with a signature of 63 bytes": items(3, b"\0", 9, ROOT, SIGNATURE[1:]),
    "ACK with 257 gaps": items(4, b"\0", 9, [[9, 1]] * 257, []),
    "ACK with 9 cosignatures": items(4, b"\0", 9, [], [COSIGNED] * 9),
    "WANT beyond 50 MiB": items(5, DIGEST, (50 << 20) + 1, 1),
    "CHUNK of 1,153 bytes": items(6, DIGEST[:8], 0, 2_000, bytes(1_153)),
    "CHUNK with the whole name": items(6, DIGEST, 0, 0, b""),
    "PROBLEM with a code of 61 letters": items(7, "c" * 61, "", b""),
    "PROBLEM with a sentence of 501 letters": items(7, "", "s" * 501, b""),
    "RECONCILE with a reference": items(9, b"\0", 0, b"a", []),
    "RECONCILE with a step beyond 65,536": items(9, LOG, 65_537, b"a", []),
    "RECONCILE with 4,097 bytes": items(9, LOG, 0, bytes(4_097), []),
    "RECONCILE with 257 gaps": items(9, LOG, 2, b"", [[2 * n, 1] for n in range(257)]),
    "RECONCILE with an empty gap": items(9, LOG, 2, b"", [[3, 0]]),
    "RECONCILE with gaps that are not in order": items(9, LOG, 2, b"", [[3, 2], [4, 1]]),
    "REPAIR with a reference": items(10, b"\0", [[3, 1]]),
    "REPAIR that asks for nothing": items(10, LOG, []),
    "REPAIR with an empty gap": items(10, LOG, [[3, 0]]),
    "REPAIR with a signature of 63 bytes": items(10, LOG, 7, b"leaf", 9, SIGNATURE[1:], []),
    "REPAIR with 54 hashes": items(10, LOG, 7, b"leaf", 9, SIGNATURE, [ROOT] * 54),
    "REPAIR with a hash of 31 bytes": items(10, LOG, 7, b"leaf", 9, SIGNATURE, [ROOT[1:]]),
}
# Larger ones are told by how they are made.
SHOWN_BYTES_MAX = 4_000


def messages(_: Earlier) -> Any:
    """Return messages as bytes with what is in them."""
    long_form = b"\x84\x18\x05" + encode_message(GOOD[10])[2:]
    assert decode_messages(long_form) == [GOOD[10]]
    return {
        "good": [
            {"bytes": encode_message(each), "items": cbor2.loads(encode_message(each))}
            for each in GOOD
        ],
        "other_forms": [{"bytes": long_form, "items": cbor2.loads(long_form)}],
        "refused": [
            {"bytes": data, "reason": reason(data), "what": what}
            for what, data in BAD.items()
            if len(data) <= SHOWN_BYTES_MAX
        ],
        "together": b"".join(map(encode_message, GOOD)),
    }


def reason(data: bytes) -> str:
    """Return why bytes are no messages.

    Raises:
        AssertionError: they are.
    """
    try:
        decode_messages(data)
    except MessageError as error:
        return error.code
    raise AssertionError("bytes that are no messages were read")
