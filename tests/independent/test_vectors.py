"""Another program reads the vectors in tests/vectors/ as they state; it knows the protocol only.

Method: the independent readers of this folder, and nothing of the product, go through each file.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.independent import messages
from tests.independent.change_reader import Refused, read_change
from tests.independent.document_reader import Entry, read_document
from tests.independent.forger import lay_out, tree_root
from tests.independent.frame_reader import inflate, read_frame
from tests.independent.frame_writer import strip, write_frame
from tests.independent.listener import Listener, Side
from tests.independent.newcomer import digest, mac, pin, read_line
from tests.independent.outline_reader import Cursor, trace
from tests.independent.peer import Incoming, log_id
from tests.independent.record_checker import (
    Place,
    Writer,
    cbor,
    check,
    key_id,
    read_chain,
    read_leaf,
    read_note,
    read_place,
    root_of,
)
from tests.independent.revocation_checker import Word, counting, read_words
from tests.independent.sealing import open_pack, open_value

FOLDER = Path(__file__).parent.parent / "vectors"
REFUSALS = (Refused, ValueError, LookupError, TypeError, InvalidSignature, x509.ExtensionNotFound)


def vectors(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def raw(value: Any) -> Any:
    """Return a value with its hexadecimal texts as bytes."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    return [raw(each) for each in value]


ROOT = read_place(raw(vectors("certificates")["root"]))
KEYS = vectors("keys")


def place(code: str) -> Place:
    chains = {each["code"]: raw(each["chain"]) for each in vectors("certificates")["good"]}
    return read_chain(chains[code], ROOT)


# 1: ids


def test_ids_are_made_of_what_they_say() -> None:
    ids = vectors("ids")
    for each in ids["logs"]:
        assert log_id(raw(each["owner"]), each["purpose"], each["epoch"]) == raw(each["log"])
    for each in ids["actors"]:
        writer = Writer(raw(each["peer_id"]), raw(each["device"]), each["epoch"])
        assert writer.actor(raw(each["document"])) == raw(each["actor"])
    own, *later = ids["devices"]
    assert sha256(b"tiepdan device v1\n" + raw(own["key"])).digest()[:16] == raw(own["device"])
    for each in later:
        whole = raw(each["device"]) + each["epoch"].to_bytes(8)
        made = sha256(b"tiepdan device v1\n" + whole).digest()[:16]
        assert made == raw(each["device_in_epoch"])
    for each in ids["events"]:
        assert each["event"] == (each["hlc"].to_bytes(8) + raw(each["device"])[:4]).hex()


def test_the_clock_goes_on_as_they_say() -> None:
    ids = vectors("ids")
    for each in ids["clock_next"]:
        assert each["next"] == max(each["last"] + 1, each["now_ms"] << 16)
    for each in ids["clock_seen"]:
        is_followed = each["seen"] >> 16 <= each["now_ms"] + 24 * 3_600_000
        assert each["then"] == (max(each["last"], each["seen"]) if is_followed else each["last"])
    for each in ids["codes_within"]:
        code, other = each["code"], each["other"]
        is_within = other == "0" or code == other or code.startswith(f"{other}.")
        assert each["is_within"] == is_within


# 2, 3, 5: certificates, leaves, documents


@pytest.mark.parametrize("each", vectors("certificates")["good"], ids=lambda each: each["code"])
def test_a_good_chain_names_its_node(each: Any) -> None:
    found = read_chain(raw(each["chain"]), ROOT)
    assert (found.tier, found.code, found.name) == (each["tier"], each["code"], each["name"])
    assert (found.key, found.succeeds) == (raw(each["peer_id"]), raw(each["succeeds"]))


@pytest.mark.parametrize("each", vectors("certificates")["refused"], ids=lambda each: each["what"])
def test_a_bad_chain_is_refused(each: Any) -> None:
    with pytest.raises(REFUSALS):
        read_chain(raw(each["chain"]), ROOT)


def test_leaves_hold_what_they_say() -> None:
    for each in vectors("leaves")["log"]:
        kind, writer, document, hlc, body = read_leaf(raw(each["leaf"]))
        assert (kind, hlc) == (each["type"], each["hlc"])
        if kind == 0:
            assert (writer, document, body) == (
                each["writer"],
                raw(each["document"]),
                raw(each["change"]),
            )
        elif kind == 1:
            node, device, epoch, *texts = cbor(body)
            said = each["declares"]
            assert (node, device, epoch) == (raw(said["node"]), raw(said["device"]), said["epoch"])
            names = ("tier", "code", "user", "name", "role")
            assert texts == [said[name] for name in names]
        else:
            assert cbor(body) == raw(each["chain"])


def test_a_mark_follows_from_the_lines_of_its_trail() -> None:
    told = vectors("leaves")["trail"]
    link, links = bytes(32), []
    for line in told["lines"]:
        link = sha256(b"tiepdan audit v1\n" + link + line.encode()).digest()
        links.append(link.hex())
    assert links == told["links"]
    kind, writer, document, _, body = cbor(raw(told["leaf"]))
    assert (kind, writer, document, cbor(body)) == (4, 0, b"", [len(links), link])


def entries(leaves: list[bytes]) -> Iterator[tuple[bytes, Entry]]:
    """Yield the changes of a log with their documents; each must have its writer's actor."""
    writers: dict[int, Writer] = {}
    for leaf in leaves:
        kind, writer, document, hlc, body = read_leaf(leaf)
        if kind == 1:
            node, device, epoch, *_ = cbor(body)
            writers[writer] = Writer(node, device, epoch)
        elif kind == 0:
            change = read_change(body)
            assert change.actor == writers[writer].actor(document)
            yield document, Entry(change, writers[writer].device, hlc)


def test_documents_come_of_their_leaves() -> None:
    told = vectors("documents")
    found: dict[str, dict[bytes, Entry]] = {}
    for log in told["logs"]:
        for document, entry in entries(raw(log["leaves"])):
            text = "-".join(
                document.hex()[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
            )
            found.setdefault(text, {}).setdefault(entry.change.hash, entry)
    assert found.keys() == told["documents"].keys()
    for text, stated in told["documents"].items():
        read = read_document(list(found[text].values()))
        assert read == {"fields": stated["fields"], "kind": stated["kind"]}


def test_a_change_waits_for_what_it_builds_on() -> None:
    told = vectors("documents")["waiting"]
    log = raw(told["log"])
    for step in told["steps"]:
        found = {entry.change.hash: entry for _, entry in entries(log[: step["leaves"]])}
        # Those that build on something missing wait, and what builds on them.
        while late := [e for e in found.values() if not found.keys() >= {*e.change.deps}]:
            for entry in late:
                del found[entry.change.hash]
        assert read_document(list(found.values()))["fields"] == step["fields"]


@pytest.mark.parametrize("each", vectors("changes_taken")["logs"], ids=lambda each: each["what"])
def test_a_change_that_only_looks_odd_has_its_effect(each: Any) -> None:
    read_document([entry for _, entry in entries(raw(each["leaves"]))])


@pytest.mark.parametrize("each", vectors("changes_refused")["logs"], ids=lambda each: each["what"])
def test_a_change_that_is_a_dead_letter_is_refused(each: Any) -> None:
    *before, last = raw(each["leaves"])
    read_document([entry for _, entry in entries(before)])
    with pytest.raises(REFUSALS):
        read_document([entry for _, entry in entries([*before, last])])


# 4, 6: trees, heads, the record file


def test_trees_have_these_roots_and_proofs() -> None:
    told = vectors("trees")
    leaves = [raw(each["leaf"]) for each in vectors("leaves")["log"]]
    hashes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    assert hashes == raw(told["leaf_hashes"])
    roots = [tree_root(hashes[:size]) for size in range(len(hashes) + 1)]
    assert roots == raw(told["roots"])
    for each in told["inclusion"]:
        proof = raw(each["proof"])
        assert root_of(leaves[each["seq"]], each["seq"], each["size"], proof) == roots[each["size"]]
    for each in told["consistency"]:
        assert consistent(each["from"], each["to"], raw(each["proof"])) == (
            roots[each["from"]],
            roots[each["to"]],
        )


def consistent(old: int, new: int, proof: list[bytes]) -> tuple[bytes, bytes]:
    """Return the two roots that a proof leads to (RFC 9162 section 2.1.4.2)."""
    if old & (old - 1) == 0:
        proof = [raw(vectors("trees")["roots"])[old], *proof]
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    one = other = proof[0]
    for step in proof[1:]:
        if index & 1 or index == last:
            one, other = (sha256(b"\1" + step + each).digest() for each in (one, other))
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            other = sha256(b"\1" + other + step).digest()
        index, last = index >> 1, last >> 1
    return one, other


def test_heads_are_signed_and_cosigned() -> None:
    told = vectors("heads")
    owner = place("40.17083")
    owner.verify(raw(told["signature"]), told["head"].encode())
    assert key_id(owner, 1) == ("tiepdan/40.17083", raw(told["key_id"]))
    cosigners = {each["peer_id"]: place(each["key_name"][8:]) for each in told["cosignatures"]}
    for each in told["cosignatures"]:
        cosigners[each["peer_id"]].verify(raw(each["signature"]), each["signed_text"].encode())
        assert key_id(cosigners[each["peer_id"]], 4) == (each["key_name"], raw(each["key_id"]))
    head = read_note(told["note"], told["origin"], owner, cosigners)
    assert (head.size, head.root) == (told["size"], raw(told["root"]))
    assert head.cosigned == {each["peer_id"]: each["seconds"] for each in told["cosignatures"]}
    for each in told["refused"]:
        with pytest.raises(REFUSALS):
            read_note(each["note"], told["origin"], owner, cosigners)


def test_the_record_file_holds_and_no_edit_of_it_does() -> None:
    root = raw(vectors("certificates")["root"])
    whole = (FOLDER / "record.json").read_bytes()
    assert check(whole, root)["kind"] == "case"
    for each in vectors("record_edits"):
        file = json.loads(whole)
        inner = file
        *path, last = each["at"]
        for step in path:
            inner = inner[step]
        inner[last] = each["put"]
        with pytest.raises(Refused):
            check(lay_out(file), root)


# 7: the link


def test_messages_hold_what_they_say() -> None:
    told = vectors("messages")
    whole = []
    for each in [*told["good"], *told["other_forms"]]:
        ((kind, items),) = messages.read(raw(each["bytes"]))
        assert json.loads(json.dumps([kind, *items], default=bytes.hex)) == each["items"]
        whole.append((kind, items))
    assert messages.read(raw(told["together"])) == whole[: len(told["good"])]


@pytest.mark.parametrize("each", vectors("messages")["refused"], ids=lambda each: each["what"])
def test_what_is_no_message_is_refused(each: Any) -> None:
    with pytest.raises(REFUSALS):
        messages.read(raw(each["bytes"]))


def dictionaries() -> dict[bytes, bytes]:
    found = [item.read_bytes() for item in (files("sync") / "dictionaries").iterdir()]
    return {sha256(data).digest(): data for data in found}


def test_frames_give_back_their_leaves() -> None:
    told = vectors("frames")
    log = raw(told["log"])
    for each in told["frames"]:
        first, frame = each["first"], raw(each["frame"])
        dictionary = dictionaries().get(raw(each["dictionary"]), b"")
        leaves = read_frame(frame, dictionary, log[:first])
        assert leaves == log[first : first + each["count"]], each["what"]
        past = raw(told["traces"])[first - each["past"] : first]
        head = Cursor(frame)
        assert head.number() == len(past)
        assert not past or head.number() == each["count"]
        head.take(10 * head.number())
        assert inflate(head.rest(), dictionary, past) == raw(each["columns"])
    assert [trace(leaf) for leaf in log] == raw(told["traces"])
    parts, whole = told["parts"], Incoming(b"")
    done = [
        whole.join(2, 1, raw(part["data"]), part["offset"], part["total"])
        for part in reversed(parts["parts"])
    ]
    assert done[-1] == raw(parts["frame"])
    assert not any(done[:-1])
    assert read_frame(done[-1], b"", raw(parts["before"])) == [raw(parts["leaf"])]


@pytest.mark.parametrize("each", vectors("frames")["refused"], ids=lambda each: each["what"])
def test_what_is_no_frame_is_refused(each: Any) -> None:
    with pytest.raises(REFUSALS):
        read_frame(raw(each["frame"]), b"", raw(vectors("frames")["log"])[:2])


def test_leaves_are_stripped_so() -> None:
    told = vectors("stripping")
    log = raw(told["log"])
    for each in told["stripped"]:
        found = strip(log[each["seq"]], log[: each["seq"]])
        # frame_writer.py, which is for peers that need not be thrifty, makes no outlines.
        assert found.tag == each["tag"] & ~16, each["what"]
        assert each["tag"] & 16 or found.body == raw(each["body"]), each["what"]
    assert read_frame(write_frame(log, []), b"", []) == log


def test_sessions_leave_these_logs() -> None:
    told = vectors("sessions")
    sides = [Side(place(told["child"])), Side(place(told["parent"]))]
    listener = Listener(sides, {digest[:8]: data for digest, data in dictionaries().items()})
    seen: set[tuple[str, int]] = set()
    for contact in told["contacts"]:
        listener.begin()
        for each in contact["rounds"]:
            for number, side in enumerate(("child", "parent")):
                for data in each[side]:
                    listener.hear(number, raw(data))
        for mine, side in zip(sides, ("child", "parent"), strict=True):
            for log in contact["after"][side]:
                if leaves := mine.logs.get(raw(log["log"])):
                    # What a copy wrote in its old log does not stand there any more.
                    del leaves[log["size"] :]
                    hashes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
                    assert tree_root(hashes) == raw(log["root"]), contact["what"]
                    seen.add((log["log"], log["size"]))
                if cosigned := mine.cosigned.get(raw(log["log"])):
                    assert log["cosigned"][mine.place.code] >= cosigned
    assert len(seen) == 4, "two logs of the commune, one as it grew, and the one that goes down"


# 9, 11: what is sealed


def test_a_sealed_number_opens_for_its_offices_only() -> None:
    told = vectors("sealed")
    document = bytes.fromhex(told["document"].replace("-", ""))
    blob = raw(told["blob"])
    for code, reads in told["opens"].items():
        secret = raw(KEYS[code]["office_key_secret"])
        if reads == told["number"]:
            assert open_value(blob, secret, document) == reads
            continue
        with pytest.raises(REFUSALS):
            open_value(blob, secret, document)
    secret = raw(KEYS["40.17083"]["office_key_secret"])
    with pytest.raises(REFUSALS):
        open_value(blob, secret, document[:-1] + b"\0")
    for each in told["refused"]:
        with pytest.raises(REFUSALS):
            open_value(raw(each["blob"]), secret, document)


def test_a_pack_opens_for_its_receiver_and_holds_these_entries() -> None:
    told = vectors("packs")
    secret = raw(KEYS["40"]["office_key_secret"])
    found = open_pack(raw(told["file"]), secret, ROOT)
    assert found.sender.code == "40.17083"
    about = told["about"]
    said = [raw(about["pack_id"]), about["part"], about["made_ms"], about["receiver"]]
    assert found.about == said
    stated = [data for each in told["entries"] for data in each.get("messages", ())]
    assert found.messages == [each for data in stated for each in messages.read(raw(data))]
    pieces = [each["piece"] for each in told["entries"] if each["kind"] == 2]
    assert [(name.hex(), data.hex()) for name, _, _, data in found.pieces] == [
        (each["sha256"], each["data"]) for each in pieces
    ]
    assert found.is_last
    for each in told["refused"]:
        with pytest.raises(REFUSALS):
            open_pack(raw(each["file"]), secret, ROOT)
    with pytest.raises(REFUSALS):
        open_pack(raw(told["file"]), raw(KEYS["40.17083"]["office_key_secret"]), ROOT)


def test_statements_hold_or_are_refused() -> None:
    told = vectors("revocations")
    root = read_place(bytes.fromhex(told["root"]))
    words: list[Word] = []
    for stated in told["good"]:
        (word,) = read_words(bytes.fromhex(stated["statement"]), root)
        assert word.node == (bytes.fromhex(stated["says"]["key"]), stated["says"]["code"])
        assert {log.hex(): (seq, top.hex()) for log, (seq, top) in word.marks.items()} == {
            mark["log_id"]: (mark["last_valid_seq"], mark["root"])
            for mark in stated["says"]["marks"]
        }
        words.append(word)
    assert sorted(word.id for word in counting(words)) == told["in_effect_together"]
    for stated in told["refused"]:
        with pytest.raises(REFUSALS):
            read_words(bytes.fromhex(stated["statement"]), root)


def test_a_token_says_this_and_lets_one_place_in() -> None:
    told = vectors("enrolment")
    token, said = told["token"], told["enrolment"]
    for text in token["lines"]:
        line = read_line(text)
        assert (line.code, line.pin.hex(), line.secret.hex()) == (
            token["code"],
            token["pin"],
            token["secret"],
        )
        assert (line.name.hex(), line.key.hex()) == (token["name"], token["key"])
    for each in told["refused"]:
        with pytest.raises((AssertionError, ValueError)):
            read_line(each["line"])
    shown, request = raw(said["shown"]), raw(said["request"]["request"])
    assert pin(shown) == line.pin
    asked = mac(line.key, b"tiepdan enrol request v1\n", sha256(shown).digest(), digest(request))
    assert asked.hex() == said["request"]["proof"]
    certificates = raw(said["answer"]["certificates"])
    proof = mac(line.key, b"tiepdan enrol answer v1\n", asked, *map(digest, certificates))
    assert proof.hex() == said["answer"]["proof"]
    own = read_chain(certificates[:-1], read_place(certificates[-1]))
    assert own.code == line.code
    key = x509.load_der_x509_csr(request).public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert key.public_bytes_raw() == own.key


def test_packets_hold_what_they_say_and_streams_are_cut_so() -> None:
    told = vectors("datagrams")
    for each in told["good"]:
        assert read_packet(raw(each["packet"])) == {
            name: each[name] for name in ("acknowledges", "asks", "ends", "number", "piece")
        }
    for each in told["refused"]:
        with pytest.raises(REFUSALS):
            read_packet(raw(each["packet"]))
    for each in told["streams"]:
        stream = b"".join(len(data).to_bytes(3) + data for data in raw(each["messages"]))
        whole = [stream[at : at + 1_136].hex() for at in range(0, len(stream), 1_136)]
        assert each["pieces"] == whole


def read_packet(data: bytes) -> dict[str, Any]:
    """Return what a packet says, as section 7.8 has it.

    Raises:
        ValueError: it is none.
    """
    if len(data) < 5 or data[0] >> 4 > (2 if data[0] & 2 else 0):
        raise ValueError("no packet")
    flags, at = data[0], 5
    found: dict[str, Any] = {"asks": bool(flags & 4), "ends": bool(flags & 8)}
    found |= {"number": int.from_bytes(data[1:5]), "acknowledges": None, "piece": None}
    if flags & 1:
        top, bits = int.from_bytes(data[5:9]), int.from_bytes(data[9:17])
        came = [top, *(top - 1 - back for back in range(64) if bits >> back & 1)]
        taken = [int.from_bytes(data[here : here + 4]) for here in (17, 21, 25)]
        found["acknowledges"], at = {"came": came, "taken": taken}, 29
    if flags & 2:
        number, piece = int.from_bytes(data[at : at + 4]), data[at + 4 :]
        if not 1 <= len(piece) <= 1_136:
            raise ValueError("no piece")
        found["piece"], at = (
            {"data": piece.hex(), "number": number, "stream": flags >> 4},
            len(data),
        )
    if at != len(data):
        raise ValueError("not as long as it says")
    return found
