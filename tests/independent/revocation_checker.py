"""Judges a record file by revocations, with nothing of tiepdan: section 12 of docs/PROTOCOL.md.

Beside record_checker.py, which must find the file good first.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature

from tests.independent.change_reader import Reader, Refused, need
from tests.independent.record_checker import (
    Head,
    Place,
    cbor,
    cbor_item,
    check,
    read_chain,
    read_leaf,
    read_note,
    read_place,
    unbase64,
)

Node = tuple[bytes, str]


@dataclass(frozen=True)
class Word:
    """What a signer says of a node; marks are (last valid seq, root) by log id."""

    id: str
    signer: Place
    node: Node
    marks: dict[bytes, tuple[int, bytes]]


def check_with(data: bytes, root_der: bytes, statements: bytes) -> dict[str, Any]:
    """Return what the file proves to somebody who knows of these revocations.

    Raises:
        Refused: it proves nothing.
    """
    found = check(data, root_der)
    root = read_place(root_der)
    try:
        words = read_words(statements, root)
    except (ValueError, TypeError, LookupError, InvalidSignature) as error:
        raise Refused(f"revocation: {error}") from error
    file = json.loads(data)
    places = {
        peer: read_chain([unbase64(der) for der in chain], root)
        for peer, chain in file["cosigners"].items()
    }
    for log in file["logs"]:
        judge_log(log, root, places, counting(words))
    return found


def read_words(statements: bytes, root: Place) -> list[Word]:
    reader, words = Reader(statements), []
    while reader.left:
        start = reader.at
        said, chain, signature = cbor_item(reader)
        signer = read_chain(chain, root)
        signer.verify(signature, b"tiepdan revocation v1\n" + said)
        key, code, marks, _, _ = cbor(said)
        is_above = code != "0" and (signer.code == "0" or code.startswith(signer.code + "."))
        is_successor = signer.code == code and signer.succeeds == key
        need(is_above or is_successor, "the signer of a revocation does not stand above")
        logs = [log for log, _, _ in marks]
        need(logs == sorted(set(logs)), "logs are not named once, in order")
        words.append(
            Word(
                sha256(statements[start : reader.at]).hexdigest(),
                signer,
                (key, code),
                {log: (seq, top) for log, seq, top in marks},
            )
        )
    return words


def counting(words: list[Word]) -> list[Word]:
    """Return the words in effect."""
    by_centre = {word.node for word in words if word.signer.code == "0"}
    above = [
        word
        for word in words
        if "." not in word.signer.code
        and (word.signer.code == "0" or (word.signer.key, word.signer.code) not in by_centre)
    ]
    ended = {word.node for word in above}
    own = [word for word in words if "." in word.signer.code]
    return above + [w for w in own if (w.signer.key, w.signer.code) not in ended]


def judge_log(log: Any, root: Place, places: dict[str, Place], words: list[Word]) -> None:
    leaves = [(row["seq"], read_leaf(unbase64(row["leaf"]))) for row in log["leaves"]]
    chain = cbor(leaves[0][1][4])
    owner = read_chain(chain, root)
    issuer = read_chain(chain[1:], root) if owner.tier == "outpost" else None
    start = b"tiepdan log v1\n" + owner.key + log["purpose"].encode() + b"\x00"
    log_id = sha256(start + log["epoch"].to_bytes(8)).digest()[:16]
    head = read_note(log["note"], f"tiepdan/{owner.code}/{log_id.hex()}", owner, places)
    newest = max(seq for seq, leaf in leaves if leaf[0] == 0)
    revoked = {word.node for word in words}
    for word in words:
        if word.node == (owner.key, owner.code):
            judge_word(word, log_id, newest, head, owner, places, revoked)
        if issuer and word.node == (issuer.key, issuer.code):
            need_witness(head, issuer, places, revoked)


def judge_word(
    word: Word,
    log_id: bytes,
    newest: int,
    head: Head,
    owner: Place,
    places: dict[str, Place],
    revoked: set[Node],
) -> None:
    need(log_id in word.marks, "no leaf of this log counts")
    last, top = word.marks[log_id]
    need(newest <= last, "a change came after the last leaf that counts")
    if head.size == last + 1:
        need(head.root == top, "the log is another one than the signer knew")
        return
    need_witness(head, owner, places, revoked)


def need_witness(head: Head, below: Place, places: dict[str, Place], revoked: set[Node]) -> None:
    witnesses = [places[peer] for peer in head.cosigned]
    need(
        any(
            (each.key, each.code) not in revoked
            and (each.code == "0" or below.code.startswith(each.code + "."))
            for each in witnesses
        ),
        "nobody above saw which log it was",
    )
