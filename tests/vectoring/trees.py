"""Sections 4 and 6: Merkle trees over leaves, tree heads, notes, and the record file."""

import json
from collections.abc import Iterator
from typing import Any

from crypto.errors import CryptoError
from crypto.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash, parent_hash
from crypto.note import (
    COSIGNATURE_V1,
    ED25519,
    TreeHead,
    cosign,
    key_id,
    key_name,
    log_origin,
    parse_note,
    render_note,
    sign_head,
)
from sync.errors import RecordFileError
from sync.record_file import export_record, verify_record
from tests.sync.builders import CENTRE, COMMUNE, NOW_MS, PROVINCE, place, root
from tests.vectoring.layout import Earlier, lay_out
from tests.vectoring.world import CASE, country, log_of_the_commune


def trees(_: Earlier) -> Any:
    """Return roots of the first leaves of a log, and proofs between them."""
    hashes = [leaf_hash(leaf) for leaf in log_of_the_commune()]
    size = len(hashes)

    def subtree(level: int, position: int) -> bytes:
        if level == 0:
            return hashes[position]
        return parent_hash(subtree(level - 1, 2 * position), subtree(level - 1, 2 * position + 1))

    return {
        "consistency": [
            {"from": old, "proof": consistency_proof(old, new, subtree), "to": new}
            for new in (size - 1, size)
            for old in range(1, new)
        ],
        "inclusion": [
            {"proof": inclusion_proof(seq, of, subtree), "seq": seq, "size": of}
            for of in (1, size - 1, size)
            for seq in range(of)
        ],
        "leaf_hashes": hashes,
        "roots": [root_of(hashes[:count]) for count in range(size + 1)],
    }


def root_of(hashes: list[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    frontier = Frontier()
    for each in hashes:
        frontier.append(each)
    return frontier.root()


def heads(_: Earlier) -> Any:
    """Return a signed tree head with cosignatures, and notes that are none."""
    commune = country().commune
    log = commune.log(commune.place)
    head, seconds = log.head(), NOW_MS // 1_000
    signature = sign_head(commune.place.key, head)
    made = [
        cosign(place(c).key, key_name(c), head, seconds + n)
        for n, c in enumerate((PROVINCE, CENTRE))
    ]
    note = render_note(head, key_name(COMMUNE), commune.place.key.peer_id, signature, made)
    origin = log_origin(COMMUNE, log.log_id)
    return {
        "cosignatures": [
            {
                "key_id": key_id(each.name, COSIGNATURE_V1, each.peer_id),
                "key_name": each.name,
                "peer_id": each.peer_id,
                "seconds": each.timestamp_s,
                "signature": each.signature,
                "signed_text": f"cosignature/v1\ntime {each.timestamp_s}\n{head.text()}",
            }
            for each in made
        ],
        "head": head.text(),
        "origin": origin,
        "root": head.root,
        "empty_head": TreeHead(origin=origin, size=0, root=root_of([])).text(),
        "key_id": key_id(key_name(COMMUNE), ED25519, commune.place.key.peer_id),
        "log": log.log_id,
        "note": note,
        "refused": [{"note": bad, "what": what} for what, bad in bad_notes(note)],
        "signature": signature,
        "size": head.size,
    }


def bad_notes(note: str) -> Iterator[tuple[str, str]]:
    """Yield notes that nobody may read, with what is wrong."""
    origin, size, root_hash, empty, owner, *others = note.splitlines(keepends=True)
    tail = "".join(others)
    bad = {
        "a zero in front of the size": [origin, f"0{size}", root_hash, empty, owner, tail],
        "a sign before the size": [origin, f"+{size}", root_hash, empty, owner, tail],
        "digits of another script": [origin, "٣\n", root_hash, empty, owner, tail],
        "a size of 2^63": [origin, f"{1 << 63}\n", root_hash, empty, owner, tail],
        "a root without padding": [origin, size, root_hash.replace("=", ""), empty, owner, tail],
        "a fourth line": [origin, size, root_hash, "more\n", empty, owner, tail],
        "no empty line": [origin, size, root_hash, owner, tail],
        "no signature": [origin, size, root_hash, empty],
        "no newline at the end": [note[:-1]],
        "lines that end in CR LF": [note.replace("\n", "\r\n")],
        "a hyphen for the dash": [note.replace("— ", "- ")],
        "two spaces": [note.replace("— ", "—  ")],
    }
    for what, parts in bad.items():
        try:
            parse_note("".join(parts))
        except CryptoError:
            yield what, "".join(parts)
            continue
        raise AssertionError(f"a note with {what} was read")


def record(_: Earlier) -> Any:
    """Return one record file."""
    commune = country().commune
    return json.loads(export_record(commune.store, CASE, root()))


def record_edits(_: Earlier) -> Any:
    """Return edits of that file of which each makes it prove nothing."""
    commune = country().commune
    whole = json.loads(export_record(commune.store, CASE, root()))
    edits: list[tuple[str, list[Any], Any]] = [
        ("another format", ["format"], "tiepdan-record/2"),
        ("another document", ["document"], "01a0c450-6c00-7226-b63c-5ab791b7584a"),
        ("no cosigners", ["cosigners"], {}),
        ("another purpose", ["logs", 0, "purpose"], "down/" + "0" * 64),
        ("another epoch", ["logs", 0, "epoch"], 1),
        ("a number that is none", ["logs", 0, "epoch"], False),
        ("another place in the log", ["logs", 0, "leaves", 1, "seq"], 2),
        ("a proof cut short", ["logs", 0, "leaves", 1, "proof"], []),
        ("other words for people", ["logs", 0, "leaves", 0, "reads", "node"], "Xã khác"),
        ("one key more", ["logs", 0, "more"], 1),
        ("a log left out", ["logs"], whole["logs"][:1]),
        ("a log twice", ["logs"], [*whole["logs"], whole["logs"][0]]),
        ("the first change left out", ["logs", 0, "leaves"], without_first_change(whole)),
        ("a note without cosignatures", ["logs", 0, "note"], without_cosignatures(whole)),
    ]
    for _what, at, value in edits:
        assert not proves(lay_out(put(whole, at, value)).encode())
    return [{"at": at, "put": value, "what": what} for what, at, value in edits]


def without_cosignatures(whole: Any) -> str:
    """Return the first note with its first signature only."""
    return "".join(whole["logs"][0]["note"].splitlines(keepends=True)[:5])


def without_first_change(whole: Any) -> Any:
    """Return the leaves of the first log without the change that starts the document."""
    leaves = whole["logs"][0]["leaves"]
    (first, *_) = [each for each in leaves if "values" in each["reads"]]
    return [each for each in leaves if each is not first]


def proves(data: bytes) -> bool:
    """Tell whether a record file proves what it says."""
    try:
        verify_record(data, root())
    except RecordFileError:
        return False
    return True


def put(value: Any, at: list[Any], what: Any) -> Any:
    """Return a JSON value with another one at a place."""
    if not at:
        return what
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    inner = copy.get(at[0]) if isinstance(copy, dict) else copy[at[0]]
    copy[at[0]] = put(inner, at[1:], what)
    return copy
