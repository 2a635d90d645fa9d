"""Sections 9 and 11: sealed values and packs. They have keys of their own, so they are kept."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import cbor2

from crypto.errors import CryptoError
from crypto.identity import NodeKey
from crypto.seal import office_key_id, open_sealed, seal, to_text
from crypto.sealed_stream import PREFIX_BYTES, StreamSealer, head_bytes, open_stream, read_head
from schemas.ids import document_text
from schemas.wire import encode_message
from sync.errors import PackError
from sync.pack_entries import About, End, Entry, EntryReader, Messages, Piece, encode_entry
from tests.sync.builders import COMMUNE, NEIGHBOUR, NOW_MS, PROVINCE, place
from tests.sync.packs import make
from tests.vectoring.layout import Earlier
from tests.vectoring.world import HOUR_MS, PERSON, new_country, write_case

NUMBER: Final = "012345678901"
CONTEXT: Final = b"tiepdan identity number " + PERSON
STREAM_KEY: Final = sha256(b"a key of vectors, never used for anything else").digest()


def opened(blob: bytes, key: NodeKey, context: bytes = CONTEXT) -> str:
    """Return what is sealed, or why it does not open."""
    try:
        return open_sealed(blob, key.office_private, context).decode()
    except CryptoError as error:
        return error.code


def sealed(earlier: Earlier) -> Any:
    """Return a sealed number, and others that do not open."""
    offices = (COMMUNE, PROVINCE)
    made = seal(NUMBER.encode(), [place(code).key.office_public for code in offices], CONTEXT)
    readers = [place(code).key for code in (*offices, NEIGHBOUR)]

    def read(blob: bytes) -> list[str]:
        return [opened(blob, key) for key in readers]

    blob = earlier.keep(("blob",), made, read)
    mine = office_key_id(readers[0].office_public)
    _, whole = cbor2.loads(blob)
    altered = whole[mine][:-1] + bytes([whole[mine][-1] ^ 1])
    bad = {
        "altered": cbor2.dumps([1, {**whole, mine: altered}], canonical=True),
        "cut short": blob[:-1],
        "a ciphertext cut short": cbor2.dumps([1, {**whole, mine: altered[:-1]}], canonical=True),
        "another version": cbor2.dumps([2, whole], canonical=True),
        "for nobody": cbor2.dumps([1, {}], canonical=True),
        "keys in another order": cbor2.dumps([1, dict(reversed(sorted(whole.items())))]),
    }
    return {
        "blob": blob,
        "document": document_text(PERSON),
        "field": to_text(blob),
        "info": b"tiepdan seal v1\n" + CONTEXT,
        "number": NUMBER,
        "opens": {code: opened(blob, place(code).key) for code in (*offices, NEIGHBOUR)},
        "other_document": opened(blob, readers[0], CONTEXT[:-1] + b"\0"),
        "refused": [
            {"blob": each, "reason": opened(each, readers[0]), "what": what}
            for what, each in bad.items()
        ],
    }


def pack_entries() -> list[Entry]:
    """Return what the commune would take to its province, its paper too."""
    nodes = new_country()
    write_case(nodes.commune)
    (entries,) = make(nodes.commune, nodes.province, made_ms=NOW_MS + 5 * HOUR_MS).parts
    return entries


def packs(earlier: Earlier) -> Any:
    """Return a pack of one part, what is in it, and others that are none."""
    commune, province = place(COMMUNE), place(PROVINCE)
    entries = pack_entries()
    about = About(pack_id=STREAM_KEY[:16], part=1, made_ms=NOW_MS + 5 * HOUR_MS, receiver=PROVINCE)
    sealer = StreamSealer(
        commune.key, commune.der, province.key.office_public, about.encode(), STREAM_KEY
    )
    plain = b"".join(map(encode_entry, entries))
    made = sealer.head + sealer.update(plain) + sealer.finish()

    def read(data: bytes) -> Any:
        return list(read_pack(data))

    kept = earlier.keep(("file",), made, read)
    size = head_bytes(kept[:PREFIX_BYTES])
    bad = {
        "the end is missing": kept[:-20],
        "a byte more": kept + b"\0",
        "altered in its body": kept[: size + 9] + bytes([kept[size + 9] ^ 1]) + kept[size + 10 :],
        "altered in its head": kept[:60] + bytes([kept[60] ^ 1]) + kept[61:],
        "altered signature": kept[: size - 1] + bytes([kept[size - 1] ^ 1]) + kept[size:],
        "another magic": b"tiepdan pack v2\n" + kept[16:],
        "its head is cut": kept[: size - 1],
    }
    return {
        "about": about,
        "entries": [shown(entry) for entry in read_pack(kept)],
        "file": kept,
        "head_bytes": size,
        "refused": [
            {"file": each, "reason": reason(each), "what": what} for what, each in bad.items()
        ],
        "stream_key": STREAM_KEY,
    }


def read_pack(data: bytes, reader: NodeKey | None = None) -> Iterator[Entry]:
    """Yield the entries of a pack of the commune, as the province reads it.

    Raises:
        CryptoError: it does not open.
        PackError: it holds no entries.
    """
    size = head_bytes(data[:PREFIX_BYTES])
    key = reader or place(PROVINCE).key
    stream = open_stream(read_head(data[:size]), place(COMMUNE).key.peer_id, key.office_private)
    entries = EntryReader()
    yield from entries.feed(stream.update(data[size:]) + stream.finish())
    entries.finish()


def reason(data: bytes) -> str:
    """Return why a file is no pack.

    Raises:
        AssertionError: it is one.
    """
    try:
        list(read_pack(data))
    except (CryptoError, PackError) as error:
        return error.code
    raise AssertionError("a pack that nobody may take in was taken")


def shown(entry: Entry) -> dict[str, Any]:
    """Return an entry with what is in it."""
    match entry:
        case Messages():
            return {"kind": 1, "messages": [encode_message(each) for each in entry.messages]}
        case Piece():
            return {"kind": 2, "piece": entry}
        case End():
            return {"is_last": entry.is_last, "kind": 3}
