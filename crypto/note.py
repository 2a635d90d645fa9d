"""Tree heads as text that other programs can check.

Four C2SP formats, each a few lines: tlog-checkpoint (the tree head), signed-note (text and
signatures), tlog-cosignature v1 (another node saw this head grow out of the earlier one) and
tlog-proof v1 (leaf number, inclusion proof and signed tree head in one file).

Parsers accept exactly one spelling of each value: what they accept renders to the same bytes.
Extension lines of tlog-checkpoint are refused, because nothing here would check them.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.errors import ProofError, SignatureError
from crypto.identity import SIGNATURE_BYTES, NodeKey, verify
from crypto.merkle import HASH_BYTES

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
"""Signature types of C2SP signed-note."""

# The specification asks readers to bound the signatures and to accept at least 16 of them.
SIGNATURES_MAX = 64
# Room for 64 signatures of the post-quantum types, which reach 5 kB each.
NOTE_CHARS_MAX = 512 << 10
# An inclusion proof has one hash per level of the tree.
PROOF_HASHES_MAX = 64

_SIZE_MAX = (1 << 63) - 1
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeHead:
    """What a log looked like at one size.

    Attributes:
        origin: names the log, one line.
        size: number of leaves.
        root: 32 bytes, RFC 6962 root over these leaves.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text that is signed: three lines (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A node's word that it holds this head and saw it extend the earlier ones.

    Attributes:
        name: key name of the cosigner.
        timestamp_s: POSIX seconds by the cosigner's clock.
        signature: 64 bytes of Ed25519.
    """

    peer_id: bytes
    name: str
    timestamp_s: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line, of whatever type.

    Attributes:
        key_id: 4 bytes; with the name it says which key and which type of signature.
        signature: what follows the key id.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A tree head and the signature lines under it, not verified yet."""

    head: TreeHead
    signatures: tuple[NoteSignature, ...]

    def text(self) -> str:
        """Return the whole note (C2SP signed-note)."""
        lines = [f"{_DASH}{s.name} {_base64(s.key_id + s.signature)}\n" for s in self.signatures]
        return self.head.text() + "\n" + "".join(lines)

    def verify_head(self, name: str, peer_id: bytes) -> None:
        """Check that the node signed this head under that key name.

        Raises:
            SignatureError: no line names that key, or one does not verify.
        """
        for signature in self._lines_of(name, key_id(name, ED25519, peer_id)):
            verify_head(peer_id, self.head, signature)

    def cosignature(self, name: str, peer_id: bytes) -> Cosignature:
        """Return the verified cosignature of that node, the newest if it wrote several.

        Raises:
            SignatureError: no line names that key, or one does not verify.
        """
        found = []
        for signature in self._lines_of(name, key_id(name, COSIGNATURE_V1, peer_id)):
            if len(signature) != 8 + SIGNATURE_BYTES:
                raise SignatureError("signature_malformed", "a cosignature has 72 bytes")
            cosignature = Cosignature(
                peer_id=peer_id,
                name=name,
                timestamp_s=int.from_bytes(signature[:8], "big"),
                signature=signature[8:],
            )
            verify_cosignature(cosignature, self.head)
            found.append(cosignature)
        return max(found, key=lambda cosignature: cosignature.timestamp_s)

    def _lines_of(self, name: str, key: bytes) -> list[bytes]:
        found = [s.signature for s in self.signatures if (s.name, s.key_id) == (name, key)]
        if not found:
            raise SignatureError("signature_missing", f"the note has no signature by {name}")
        return found


def log_origin(code: str, log_id: bytes) -> str:
    """Return the origin line of a log that the office with that code keeps."""
    return f"tiepdan/{code}/{log_id.hex()}"


def key_name(code: str) -> str:
    """Return the name under which the office with that code signs."""
    return f"tiepdan/{code}"


def key_id(name: str, signature_type: int, peer_id: bytes) -> bytes:
    """Return the 4 bytes that mark a key's signatures (C2SP signed-note)."""
    data = name.encode() + b"\n" + bytes([signature_type]) + peer_id
    return hashlib.sha256(data).digest()[:4]


def verifier_key(name: str, signature_type: int, peer_id: bytes) -> str:
    """Return the text of a public key that other signed-note programs read."""
    mark = key_id(name, signature_type, peer_id).hex()
    return f"{name}+{mark}+{_base64(bytes([signature_type]) + peer_id)}"


def sign_head(key: NodeKey, head: TreeHead) -> bytes:
    """Return the 64-byte signature of the log's owner, type 0x01."""
    return key.sign(head.text().encode())


def verify_head(peer_id: bytes, head: TreeHead, signature: bytes) -> None:
    """Check the signature of the log's owner.

    Raises:
        SignatureError: that node did not sign this head.
    """
    verify(peer_id, head.text().encode(), signature)


def cosign(key: NodeKey, name: str, head: TreeHead, timestamp_s: int) -> Cosignature:
    """Return the cosignature of a head; the caller has checked that it extends the last one.

    Source: C2SP tlog-cosignature, type 0x04.
    """
    return Cosignature(
        peer_id=key.peer_id,
        name=name,
        timestamp_s=timestamp_s,
        signature=key.sign(_cosigned_message(head, timestamp_s)),
    )


def verify_cosignature(cosignature: Cosignature, head: TreeHead) -> None:
    """Check a cosignature of a head.

    Raises:
        SignatureError: that node did not cosign this head at that time.
    """
    if not 0 <= cosignature.timestamp_s <= _SIZE_MAX:
        raise SignatureError("signature_malformed", "the time of a cosignature is out of range")
    message = _cosigned_message(head, cosignature.timestamp_s)
    verify(cosignature.peer_id, message, cosignature.signature)


def render_note(
    head: TreeHead,
    name: str,
    peer_id: bytes,
    signature: bytes,
    cosignatures: Sequence[Cosignature] = (),
) -> str:
    """Return the signed note: the owner's signature first, then the cosignatures as given."""
    lines = [NoteSignature(name=name, key_id=key_id(name, ED25519, peer_id), signature=signature)]
    lines += [
        NoteSignature(
            name=c.name,
            key_id=key_id(c.name, COSIGNATURE_V1, c.peer_id),
            signature=c.timestamp_s.to_bytes(8, "big") + c.signature,
        )
        for c in cosignatures
    ]
    return SignedNote(head, tuple(lines)).text()


def parse_note(text: str) -> SignedNote:
    """Return the tree head and signature lines of a note; nothing is verified.

    Raises:
        ProofError: the text is not exactly a signed tree head.
    """
    _check_characters(text)
    lines = text.split("\n")
    if len(lines) < 6 or lines[-1] or lines[3]:
        raise ProofError(
            "note_malformed", "a note has three lines, an empty line and signature lines"
        )
    origin, size, root = lines[:3]
    if not origin:
        raise ProofError("note_malformed", "the origin of the tree head is missing")
    signatures = lines[4:-1]
    if len(signatures) > SIGNATURES_MAX:
        raise ProofError("note_too_long", f"{len(signatures)} signatures in a note")
    head = TreeHead(origin=origin, size=_parse_number(size), root=_parse_hash(root))
    return SignedNote(head, tuple(_parse_signature(line) for line in signatures))


def render_proof(index: int, proof: Sequence[bytes], note_text: str) -> str:
    """Return a tlog-proof: leaf number, inclusion proof and signed tree head in one text."""
    hashes = "".join(f"{_base64(digest)}\n" for digest in proof)
    return f"{_PROOF_HEADER}\nindex {index}\n{hashes}\n{note_text}"


def parse_proof(text: str) -> tuple[int, list[bytes], str]:
    """Return (leaf number, inclusion proof, note text) of a tlog-proof; nothing is verified.

    An `extra` line of another program is read over, as it is not authenticated.

    Raises:
        ProofError: the text is not a tlog-proof, or its note is not a signed tree head.
    """
    _check_characters(text)
    top, found, note_text = text.partition("\n\n")
    lines = top.split("\n")
    if not found or lines[0] != _PROOF_HEADER:
        raise ProofError("proof_malformed", f"a proof starts with the line {_PROOF_HEADER}")
    if len(lines) > 1 and lines[1].startswith("extra "):
        _parse_base64(lines.pop(1).removeprefix("extra "))
    if len(lines) < 2 or not lines[1].startswith("index "):
        raise ProofError("proof_malformed", "the line with the index is missing")
    if len(lines) - 2 > PROOF_HASHES_MAX:
        raise ProofError("proof_malformed", f"a proof of {len(lines) - 2} hashes")
    index = _parse_number(lines[1].removeprefix("index "))
    hashes = [_parse_hash(line) for line in lines[2:]]
    parse_note(note_text)
    return index, hashes, note_text


def _cosigned_message(head: TreeHead, timestamp_s: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp_s}\n{head.text()}".encode()


def _check_characters(text: str) -> None:
    if len(text) > NOTE_CHARS_MAX:
        raise ProofError("note_too_long", f"a note of {len(text)} characters")
    if any(character < " " and character != "\n" for character in text):
        raise ProofError("note_malformed", "a note holds no control characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProofError("note_malformed", "a note is valid UTF-8") from error


def _parse_signature(line: str) -> NoteSignature:
    name, _, value = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not name:
        raise ProofError("note_malformed", "a signature line is a dash, a name and a value")
    if "+" in name or any(character.isspace() for character in name):
        raise ProofError("note_malformed", "a key name holds no spaces and no plus")
    data = _parse_base64(value)
    if len(data) < 5:
        raise ProofError("note_malformed", "a signature is a key id and at least one byte")
    return NoteSignature(name=name, key_id=data[:4], signature=data[4:])


def _parse_number(text: str) -> int:
    # isdecimal() alone would take digits of other scripts; 19 digits reach 2^63.
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ProofError("note_malformed", f"not a number: {text!r:.40}")
    number = int(text)
    if str(number) != text or number > _SIZE_MAX:
        raise ProofError("note_malformed", f"not a number in its usual form: {text!r:.40}")
    return number


def _parse_hash(text: str) -> bytes:
    data = _parse_base64(text)
    if len(data) != HASH_BYTES:
        raise ProofError("note_malformed", f"a hash of {len(data)} bytes")
    return data


def _parse_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProofError("note_malformed", f"not base64: {text!r:.40}") from error
    if _base64(data) != text:
        raise ProofError("note_malformed", f"not canonical base64: {text!r:.40}")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
