"""A record taken out of the system: every leaf of one document with its proof, checkable offline.

The file is JSON in one fixed layout (sorted keys, one indentation, one final newline). The verifier
rebuilds the whole file from what it could verify and compares it byte by byte, so that not one
character in it is unproved. docs/PROTOCOL.md describes it for other programs.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from graphlib import TopologicalSorter
from typing import Any, Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from crypto.certificates import Subject, chain_from_der, subject_of, verify_chain
from crypto.errors import CryptoError
from crypto.identity import actor_of, log_id
from crypto.merkle import leaf_hash, verify_inclusion
from crypto.note import (
    COSIGNATURE_V1,
    Cosignature,
    TreeHead,
    key_id,
    key_name,
    log_origin,
    parse_note,
    render_note,
    verify_cosignature,
)
from schemas.codes import Tier
from schemas.errors import SchemaError
from schemas.hlc import reading_ms
from schemas.ids import DocumentId, document_text, parse_document_id
from schemas.record import Leaf, LeafType, Writer, decode_certificates, decode_leaf, decode_writer
from sync.change import Action, Change, parse_change
from sync.document import Documents
from sync.errors import LogError, RecordFileError, SyncError
from sync.log import UP, Log
from sync.record_revocations import Attestation, revoked_in
from sync.registers import Registers, Step, absorb, is_before, judge
from sync.store import Store

FORMAT: Final = "tiepdan-record/1"
FILE_BYTES_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRecord:
    """What a file proves.

    Attributes:
        kind: kind of the document.
        leaves: number of leaves of the document.
        fields: its field values.
        root: the certificate that all others lead to; trust it only if you know it.
        revoked: peer ids of those that vouch whose keys were revoked since.
    """

    document: DocumentId
    kind: str
    leaves: int
    fields: dict[str, Any]
    attestations: tuple[Attestation, ...]
    root: x509.Certificate
    revoked: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class _Taken:
    """One change taken from a file or store, with the writer that its log declares."""

    leaf: Leaf
    writer: Writer
    log: int
    seq: int


@dataclass(slots=True)
class _LogPart:
    """The leaves of one log that concern the document."""

    owner: Subject
    purpose: str
    epoch: int
    note: str
    cosigners: list[bytes]
    leaves: list[tuple[int, bytes, list[bytes]]] = field(default_factory=list)

    @property
    def log_id(self) -> bytes:
        return log_id(self.owner.peer_id, self.purpose, self.epoch)


# Writing


def export_record(store: Store, document: DocumentId, root: x509.Certificate) -> bytes:
    """Return the file that proves a document.

    Raises:
        LogError: the document is not here.
    """
    # From the writer's own log where it is here: a down log is only the word of who passed it on.
    rows = store.db.execute(
        "SELECT log, seq FROM (SELECT c.log, c.seq, row_number() OVER"
        " (PARTITION BY c.hash ORDER BY l.purpose != 'up', c.log) AS place"
        " FROM change c JOIN log l ON l.number = c.log WHERE c.document = ?)"
        " WHERE place = 1 ORDER BY log, seq",
        (document,),
    ).fetchall()
    if not rows:
        raise LogError("record_unknown", "there is no such record here")
    parts: list[_LogPart] = []
    for number in sorted({row[0] for row in rows}):
        log = store.log_by_number(number)
        parts.append(_export_log(store, log, [row[1] for row in rows if row[0] == number]))
    used = {key for part in parts for key in part.cosigners}
    cosigners = {
        peer.peer_id: list(cbor2.loads(peer.chain))
        for peer in store.peers()
        if peer.peer_id in used
    }
    return _render(document, parts, cosigners, root)


def _export_log(store: Store, log: Log, seqs: Sequence[int]) -> _LogPart:
    leaves = {seq: store.leaf(log.number, seq) for seq in [0, *seqs]}
    for seq in seqs:
        found = store.writer_seq(log, decode_leaf(leaves[seq]).writer)
        leaves[found] = store.leaf(log.number, found)
    size, root, signature = _best_head(store, log, max(leaves) + 1)
    head = TreeHead(origin=log.origin, size=size, root=root)
    # One whose certificates are not here would leave the reader with a signature of nobody.
    cosignatures = [
        c for at, _, c in store.cosignatures(log) if at == size and store.peer(c.peer_id)
    ]
    owner = verify_free_subject(leaves[0])
    part = _LogPart(
        owner=owner,
        purpose=log.purpose,
        epoch=log.epoch,
        note=render_note(head, key_name(log.code), log.owner, signature, cosignatures),
        cosigners=[c.peer_id for c in cosignatures],
    )
    for seq in sorted(leaves):
        part.leaves.append((seq, leaves[seq], store.inclusion_proof(log, seq, size)))
    return part


def _best_head(store: Store, log: Log, needed: int) -> tuple[int, bytes, bytes]:
    """Return the head with most cosignatures that covers the leaves; the newest among equals."""
    heads = [(log.size, log.frontier.root(), log.head_signature), *store.kept_heads(log, needed)]
    cosigned = [at for at, _, _ in store.cosignatures(log)]
    return max(heads, key=lambda head: (cosigned.count(head[0]), head[0]))


def verify_free_subject(certificates_leaf: bytes) -> Subject:
    """Return whom the first leaf of a log names, without checking the chain."""
    chain = decode_certificates(decode_leaf(certificates_leaf).body)
    return subject_of(chain_from_der(chain)[0])


def _render(
    document: DocumentId,
    parts: Sequence[_LogPart],
    cosigners: dict[bytes, list[bytes]],
    root: x509.Certificate,
) -> bytes:
    body = {
        "format": FORMAT,
        "document": document_text(document),
        "root": _b64(root.public_bytes(Encoding.DER)),
        "cosigners": {
            peer.hex(): [_b64(der) for der in chain] for peer, chain in cosigners.items()
        },
        "logs": [
            {
                "owner": part.owner.peer_id.hex(),
                "purpose": part.purpose,
                "epoch": part.epoch,
                "note": part.note,
                "leaves": [
                    {
                        "seq": seq,
                        "leaf": _b64(leaf),
                        "proof": [_b64(digest) for digest in proof],
                        "reads": _reading(leaf, part),
                    }
                    for seq, leaf, proof in part.leaves
                ],
            }
            for part in parts
        ],
    }
    return (json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _reading(data: bytes, part: _LogPart) -> dict[str, Any]:
    """Return what a leaf says, for people; it is derived, so the verifier derives it again."""
    leaf = decode_leaf(data)
    match leaf.type:
        case LeafType.CERTIFICATES:
            return {"node": part.owner.name, "tier": part.owner.tier.value, "code": part.owner.code}
        case LeafType.WRITER:
            writer = decode_writer(leaf.body)
            return {"writer": leaf.writer, "name": writer.name, "role": writer.role}
    change = parse_change(leaf.body)
    sets = [op for op in change.map_ops if op.object and op.action is Action.SET]
    values = {op.key: op.value for op in sets if _is_plain(op.value)}
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=reading_ms(leaf.hlc))
    return {"at": at.isoformat(), "writer": leaf.writer, "values": dict(sorted(values.items()))}


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int)


# Reading


def verify_record(
    data: bytes, root: x509.Certificate | None, statements: bytes = b""
) -> VerifiedRecord:
    """Return what the file proves.

    Args:
        data: the whole file.
        root: the certificate the reader trusts; None takes the one in the file, which proves only
            that the file is whole, not who stands behind it.
        statements: revocations that the reader knows of, one after the other.

    Raises:
        RecordFileError: it proves nothing; the message says what does not hold.
    """
    if len(data) > FILE_BYTES_MAX:
        raise RecordFileError("file_too_long", f"the file has {len(data)} bytes")
    try:
        record = _verify(data, root)
        revoked = revoked_in(record.attestations, statements, record.root)
        return replace(record, revoked=revoked)
    except (SchemaError, CryptoError, SyncError) as error:
        if isinstance(error, RecordFileError):
            raise
        raise RecordFileError(error.code, str(error), getattr(error, "hint", "")) from error
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise RecordFileError("file_malformed", "the file is not a tiepdan record") from error
    except RecursionError as error:
        raise RecordFileError("file_malformed", "the file is not a tiepdan record") from error


def _verify(data: bytes, trusted: x509.Certificate | None) -> VerifiedRecord:
    body = json.loads(data)
    if body["format"] != FORMAT:
        raise RecordFileError("file_malformed", "the file is of another format or version")
    root = chain_from_der([_unb64(body["root"])])[0]
    if trusted is not None and trusted != root:
        raise RecordFileError("root_foreign", "the file leads to another root certificate")
    document = parse_document_id(body["document"])
    chains = {bytes.fromhex(k): [_unb64(c) for c in v] for k, v in body["cosigners"].items()}
    signers = {peer: verify_chain(chain_from_der(der), root, None) for peer, der in chains.items()}
    if any(peer != subject.peer_id for peer, subject in signers.items()):
        raise RecordFileError("certificate_foreign", "a cosigner's certificate names another key")
    parts, attestations, taken = [], [], []
    for number, log in enumerate(body["logs"]):
        part, attestation, changes = _verify_log(log, number, document, root, signers)
        parts.append(part)
        attestations.append(attestation)
        taken += changes
    if set(signers) != {key for part in parts for key in part.cosigners}:
        raise RecordFileError("cosigner_unknown", "a node is named that cosigned nothing here")
    registers = _replay(document, taken)
    whole = _render(document, parts, chains, root)
    if whole != data:
        at = next((i for i, (a, b) in enumerate(zip(whole, data, strict=False)) if a != b), None)
        where = f"at byte {at}" if at is not None else "at its end"
        raise RecordFileError(
            "file_altered", f"the file differs {where} from what its signatures prove"
        )
    return VerifiedRecord(
        document=document,
        kind=registers.kind,
        leaves=len(taken),
        fields=dict(registers.values()),
        attestations=tuple(attestations),
        root=root,
    )


def _verify_log(
    log: dict[str, Any],
    number: int,
    document: DocumentId,
    root: x509.Certificate,
    signers: dict[bytes, Subject],
) -> tuple[_LogPart, Attestation, list[_Taken]]:
    note = parse_note(log["note"])
    leaves = [
        (_number(item["seq"], 1 << 53), _unb64(item["leaf"]), [_unb64(h) for h in item["proof"]])
        for item in log["leaves"]
    ]
    seqs = [seq for seq, _, _ in leaves]
    if seqs[:1] != [0] or seqs != sorted(set(seqs)):
        raise RecordFileError("log_unnamed", "the leaves of a log must rise from 0")
    first = decode_leaf(leaves[0][1])
    if (first.type, first.writer, first.document) != (LeafType.CERTIFICATES, 0, b""):
        raise RecordFileError("log_unnamed", "a log must start with its owner's certificate")
    chain = chain_from_der(decode_certificates(first.body))
    owner = verify_chain(chain, root, None)
    part = _LogPart(
        owner=owner,
        purpose=_purpose(log["purpose"], owner),
        epoch=_number(log["epoch"], 1 << 32),
        note=log["note"],
        cosigners=[],
        leaves=leaves,
    )
    if bytes.fromhex(log["owner"]) != owner.peer_id:
        raise RecordFileError("certificate_foreign", "the log's certificate names another key")
    if note.head.origin != log_origin(owner.code, part.log_id):
        raise RecordFileError("log_foreign", "the tree head belongs to another log")
    note.verify_head(key_name(owner.code), owner.peer_id)
    for seq, leaf, proof in leaves:
        verify_inclusion(
            entry_hash=leaf_hash(leaf),
            index=seq,
            size=note.head.size,
            proof=proof,
            root=note.head.root,
        )
    cosigners = tuple(_cosigners(log["note"], signers))
    part.cosigners = [cosignature.peer_id for _, cosignature in cosigners]
    rendered = render_note(
        note.head,
        key_name(owner.code),
        owner.peer_id,
        note.signatures[0].signature,
        [cosignature for _, cosignature in cosigners],
    )
    if rendered != log["note"] or len(set(part.cosigners)) != len(cosigners):
        raise RecordFileError("cosigner_unknown", "a signature of the tree head is not accounted")
    changes = _changes(part, number, document)
    attestation = Attestation(
        owner=owner,
        issuer=subject_of(chain[1]) if owner.tier is Tier.OUTPOST else None,
        log_id=part.log_id,
        head=note.head,
        newest=max(taken.seq for taken in changes),
        cosigners=tuple((subject, c.timestamp_s) for subject, c in cosigners),
    )
    return part, attestation, changes


def _purpose(purpose: str, owner: Subject) -> str:
    """Return what a log is for, if its owner may keep such a log."""
    is_down = re.fullmatch("down/[0-9a-f]{64}", purpose) and owner.tier is not Tier.OUTPOST
    if purpose != UP and not is_down:
        # The owner of a log for readers below vouches for writers elsewhere.
        raise RecordFileError("log_foreign", "the log is for a purpose that its owner cannot have")
    return purpose


def _cosigners(
    note_text: str, signers: dict[bytes, Subject]
) -> Iterator[tuple[Subject, Cosignature]]:
    note = parse_note(note_text)
    for line in note.signatures[1:]:
        for peer, subject in signers.items():
            name = key_name(subject.code)
            if line.name == name and line.key_id == key_id(name, COSIGNATURE_V1, peer):
                cosignature = note.cosignature(name, peer)
                verify_cosignature(cosignature, note.head)
                yield subject, cosignature


def _changes(part: _LogPart, number: int, document: DocumentId) -> list[_Taken]:
    """Return the changes of a log; all its leaves must belong to them."""
    writers: dict[int, Writer] = {}
    taken = []
    for seq, data, _ in part.leaves[1:]:
        leaf = decode_leaf(data)
        if leaf.type == LeafType.CHANGE and leaf.document == document and leaf.writer in writers:
            taken.append(_Taken(leaf=leaf, writer=writers[leaf.writer], log=number, seq=seq))
        elif (
            leaf.type == LeafType.WRITER and not leaf.document and leaf.writer not in {0, *writers}
        ):
            writers[leaf.writer] = _writer(leaf, part)
        else:
            raise RecordFileError("leaf_foreign", f"leaf {seq} does not belong to this record")
    if not taken or {item.leaf.writer for item in taken} != set(writers):
        raise RecordFileError("leaf_foreign", "a log or a writer has no change of this record")
    return taken


def _writer(leaf: Leaf, part: _LogPart) -> Writer:
    writer = decode_writer(leaf.body)
    owner = part.owner
    is_own = (writer.node, writer.tier, writer.code) == (owner.peer_id, owner.tier, owner.code)
    if part.purpose == UP and not is_own:
        raise RecordFileError("writer_foreign", "a node vouches for its own writers only")
    return writer


def _replay(document: DocumentId, taken: list[_Taken]) -> Registers:
    """Apply the changes as a node would; refuses a file whose changes do not make one document."""
    documents, registers = Documents(lambda _: []), Registers()
    events: set[str] = set()
    steps: dict[bytes, Step] = {}
    for change, item in _in_causal_order(taken):
        writer = item.writer
        if change.actor != actor_of(writer, document):
            raise RecordFileError("actor_foreign", "a change is under somebody else's actor")
        newest = max((steps[dep].last_op for dep in change.deps), default=0)
        knows = partial(is_before, deps=change.deps, step=steps.__getitem__)
        effect = judge(
            registers,
            change,
            newest=newest,
            hlc=item.leaf.hlc,
            device=writer.device,
            knows=knows,
        )
        steps[change.hash] = Step(change.actor, change.last_op, change.deps)
        if not events.isdisjoint(effect.events):
            raise RecordFileError("event_altered", "a change alters an event")
        events |= effect.events.keys()
        documents.apply(document, change.raw, change.hash, new=not registers.kind)
        absorb(registers, change, log=item.log, seq=item.seq)
    if not registers.kind:
        raise RecordFileError("record_incomplete", "the file holds no change of the record")
    return registers


def _in_causal_order(taken: Sequence[_Taken]) -> Iterator[tuple[Change, _Taken]]:
    """Yield the changes so that each comes after those it builds on."""
    changes = [parse_change(item.leaf.body) for item in taken]
    items = {change.hash: item for change, item in zip(changes, taken, strict=True)}
    sorter = TopologicalSorter({change.hash: change.deps for change in changes})
    by_hash = {change.hash: change for change in changes}
    if len(by_hash) != len(changes):
        raise RecordFileError("leaf_foreign", "a change stands in the file twice")
    for change_hash in sorter.static_order():
        if change_hash not in by_hash:
            raise RecordFileError("record_incomplete", "changes are missing from the file")
        yield by_hash[change_hash], items[change_hash]


def _number(value: object, maximum: int) -> int:
    # A truth value would pass for the number that it equals.
    if type(value) is not int or not 0 <= value <= maximum:
        raise RecordFileError("file_malformed", "a number is not a number")
    return value


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RecordFileError("file_malformed", "a value is not base64") from error
