"""What must hold once the country is healed and quiet."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crypto.errors import CryptoError
from crypto.merkle import Frontier, leaf_hash
from crypto.note import TreeHead, verify_cosignature
from node.cases.fold import fold
from schemas.codes import DocumentKind
from schemas.ids import DocumentId
from schemas.record import LeafType, decode_leaf
from sync.change import parse_change
from sync.log import UP, Log
from tests.simulation.identities import CENTRE
from tests.simulation.ledger import Concerns, Deed, Ledger, nameless
from tests.simulation.nodes import SimulatedNode
from tests.simulation.promises import BrokenPromise
from tests.simulation.staff import facts_of

Nodes = Mapping[str, SimulatedNode]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One document as a node shows it."""

    kind: str
    origin: str
    heads: tuple[bytes, ...]
    changes: tuple[bytes, ...]
    fields: tuple[tuple[str, tuple[object, ...]], ...]
    texts: tuple[tuple[str, str], ...]
    events: tuple[tuple[str, str, str, bytes], ...]

    def said(self) -> set[str]:
        """Return what its events say, whatever their ids are."""
        return {nameless(event[2]) for event in self.events}


Pictures = Mapping[str, Mapping[DocumentId, Picture]]


def said(pictures: Mapping[DocumentId, Picture]) -> dict[DocumentId, set[str]]:
    """Return what the events of each document say."""
    return {document: picture.said() for document, picture in pictures.items()}


def check_all(nodes: Nodes, ledger: Ledger, rng: random.Random) -> None:
    """Check everything that holds at the end.

    Raises:
        BrokenPromise: something does not.
    """
    ledger.settle()
    for node in nodes.values():
        check_nothing_waits(node, ledger.alarms_allowed(), ledger.wire_counts["damaged"] > 0)
    check_logs(nodes, ledger)
    check_no_doubles(ledger)
    check_cosignatures(nodes, ledger)
    pictures = {code: draw_pictures(node) for code, node in nodes.items()}
    standing = {change for picture in pictures[CENTRE].values() for change in picture.changes}
    concerns = ledger.settled_concerns(standing, said(pictures[CENTRE]))
    check_documents(pictures, concerns)
    check_deeds(pictures, concerns, ledger)
    for deed in ledger.rewritten:
        for code, own in pictures.items():
            if concerns.concerns(deed.document, code):
                check_written_again(code, deed, own.get(deed.document))
    check_folds(nodes, rng)
    check_blobs(nodes)


def check_nothing_waits(
    node: SimulatedNode, alarms_allowed: Sequence[str], is_damaged: bool
) -> None:
    """Check that no leaf is set aside, waiting, pending, and no log stopped."""
    queries = (
        ("damage", "SELECT log, position FROM damage"),
        ("dead_letters", "SELECT log, seq, code, detail FROM dead_letter"),
        ("waiting_changes", "SELECT log, seq FROM waiting_change"),
        # A log without a place was never proved: nobody has it, its offer was damaged on the way.
        (
            "pending_leaves",
            "SELECT log, seq FROM pending_leaf JOIN log ON number = log WHERE code != ''",
        ),
        ("alarm", "SELECT code, detail FROM alarm"),
        ("log_stopped", "SELECT purpose, fault FROM log WHERE fault != ''"),
        ("head_awaited", "SELECT purpose, awaited_size FROM log WHERE awaited_size != 0"),
    )
    for code, query in queries:
        if code == "pending_leaves" and is_damaged:
            # A false number puts leaves where none are yet: they go when the true ones come.
            continue
        rows = node.guard.disk.execute(query).fetchmany(99)
        if code == "alarm":
            rows = [row for row in rows if row[0] not in alarms_allowed]
        if rows:
            raise BrokenPromise(code, f"{node.code}: {rows}")
    # A change that stands in a log but in no document was dropped without a word.
    changes = sum(
        decode_leaf(row[0]).type == LeafType.CHANGE
        for row in node.guard.disk.execute("SELECT data FROM leaf")
    )
    placed = node.guard.disk.execute("SELECT count(*) FROM change").fetchone()[0]
    if changes != placed:
        raise BrokenPromise(
            "change_dropped", f"{node.code} holds {changes} changes and placed {placed}"
        )


def check_logs(nodes: Nodes, ledger: Ledger) -> None:
    """Check that everybody who must hold a log holds it, leaf by leaf, under the same root."""
    for log_id, truth in ledger.logs.items():
        root = _root(truth.leaves)
        for holder in readers(truth.owner, truth.purpose, nodes):
            log = nodes[holder].replica.store.find_log(log_id)
            if log is None:
                raise BrokenPromise("log_missing", f"{holder} lacks {truth.owner} {truth.purpose}")
            stored = nodes[holder].replica.store.leaves(log, 0, len(truth.leaves) + 1)
            size, found = log.size, log.frontier.root()
            if (size, found) != (len(truth.leaves), root) or stored != truth.leaves:
                raise BrokenPromise(
                    "log_incomplete",
                    f"{holder} holds {size} ({len(stored)} stored) of {len(truth.leaves)} leaves"
                    f" of {truth.owner} {truth.purpose}",
                )


def readers(owner: str, purpose: str, nodes: Nodes) -> list[str]:
    """Return the codes of all nodes that hold a log in the end, the owner first."""
    if purpose != UP:
        reader = purpose.removeprefix("down/")
        return [owner, *(c for c, n in nodes.items() if n.peer_id.hex() == reader)]
    found = [owner]
    while parent := nodes[found[-1]].office.parent:
        found.append(parent)
    return found


def check_no_doubles(ledger: Ledger) -> None:
    """Check that no change stands in one log twice."""
    for truth in ledger.logs.values():
        bodies = Counter(
            leaf.body for leaf in map(decode_leaf, truth.leaves) if leaf.type == LeafType.CHANGE
        )
        if any(count > 1 for count in bodies.values()):
            raise BrokenPromise("change_doubled", f"in {truth.owner} {truth.purpose}")


def check_cosignatures(nodes: Nodes, ledger: Ledger) -> None:
    """Check that the owner of each log may say that the tiers above have all of it."""
    verified: set[bytes] = set()
    for log_id, truth in ledger.logs.items():
        for holder in readers(truth.owner, truth.purpose, nodes):
            node = nodes[holder]
            log = node.replica.store.find_log(log_id)
            assert log is not None
            _verify_cosignatures(node, log, ledger, verified)
        owner = nodes[truth.owner]
        log = owner.replica.store.find_log(log_id)
        assert log is not None
        for reader in readers(truth.owner, truth.purpose, nodes)[1:]:
            tier = nodes[reader].office.tier
            size = owner.replica.store.cosigned_size(log, tier)
            if size != log.size:
                raise BrokenPromise(
                    "cosignature_late",
                    f"{truth.owner} knows {size} of {log.size} leaves of {truth.purpose}"
                    f" cosigned by the {tier.value}",
                )


def _verify_cosignatures(
    node: SimulatedNode, log: Log, ledger: Ledger, verified: set[bytes]
) -> None:
    roots = ledger.logs[log.log_id].roots
    for size, _, cosignature in node.replica.store.cosignatures(log):
        if cosignature.signature in verified:
            continue
        try:
            verify_cosignature(
                cosignature, TreeHead(origin=log.origin, size=size, root=roots[size])
            )
        except CryptoError as error:
            raise BrokenPromise("cosignature_false", f"{node.code}: {error}") from error
        verified.add(cosignature.signature)


def draw_pictures(node: SimulatedNode) -> dict[DocumentId, Picture]:
    """Return every document that a node holds."""
    disk, intake = node.guard.disk, node.replica.intake
    changes: dict[bytes, list[bytes]] = {}
    for document, change in disk.execute(
        "SELECT DISTINCT document, hash FROM change ORDER BY document, hash"
    ):
        changes.setdefault(document, []).append(change)
    events: dict[bytes, list[tuple[str, str, str, bytes]]] = {}
    for row in disk.execute(
        "SELECT e.document, e.id, e.type, e.body, w.body FROM event e JOIN writer w"
        " ON w.log = e.log AND w.number = e.writer ORDER BY e.document, e.id"
    ):
        events.setdefault(row[0], []).append(row[1:])
    found = {}
    for key, kind, origin in disk.execute("SELECT id, kind, origin FROM document ORDER BY id"):
        document = DocumentId(key)
        registers = intake.registers(document)
        found[document] = Picture(
            kind=kind,
            origin=origin,
            heads=intake.documents.heads(document),
            changes=tuple(changes.get(key, ())),
            fields=tuple(
                (name, tuple((s.op, s.value) for s in row))
                for name, row in sorted(registers.fields.items())
            ),
            texts=tuple(
                (name, intake.documents.text(document, name)) for name in sorted(registers.texts)
            ),
            events=tuple(events.get(key, ())),
        )
    return found


def check_documents(pictures: Pictures, concerns: Concerns) -> None:
    """Check that every node holds exactly what concerns it, and all of them the same."""
    centre = pictures[CENTRE]
    for code, own in pictures.items():
        expected = {d for d in centre if concerns.concerns(d, code)}
        if own.keys() != expected:
            lacking = sorted(d.hex() for d in expected - own.keys())
            foreign = sorted(d.hex() for d in own.keys() - expected)
            raise BrokenPromise("scope", f"{code} lacks {lacking}, should not hold {foreign}")
        for document, picture in own.items():
            if picture != centre[document]:
                raise BrokenPromise(
                    "documents_differ",
                    f"{picture.kind} {document.hex()} at {code}: {picture}\n"
                    f"at the centre: {centre[document]}",
                )


def check_deeds(pictures: Pictures, concerns: Concerns, ledger: Ledger) -> None:
    """Check that what was acknowledged is everywhere it belongs, once, and nothing was invented."""
    for deed in ledger.deeds:
        if not deed.is_acknowledged:
            continue
        for code, own in pictures.items():
            if not concerns.concerns(deed.document, code):
                continue
            picture = own.get(deed.document)
            shown = Counter(event[0] for event in picture.events) if picture else Counter()
            if picture is None or picture.changes.count(deed.change) != 1:
                raise BrokenPromise(
                    "deed_lost", f"{code} lacks {deed.change.hex()[:8]} that {deed.code} wrote"
                )
            if any(shown[key] != 1 for key, _ in deed.events):
                raise BrokenPromise("deed_lost", f"{code} lacks an event that {deed.code} wrote")
    written = {deed.change for deed in ledger.deeds} | written_again(ledger)
    for code, own in pictures.items():
        for picture in own.values():
            if not set(picture.changes) <= written:
                raise BrokenPromise("deed_invented", f"{code} holds what nobody wrote")


def check_written_again(code: str, deed: Deed, picture: Picture | None) -> None:
    """Check that what was said on an old copy of a disk is said, if under another id."""
    if not deed.is_said_in(picture.said() if picture else set()):
        raise BrokenPromise("deed_lost", f"{code} lacks what {deed.code} wrote on a copy")


def written_again(ledger: Ledger) -> set[bytes]:
    """Return the changes of those logs whose owners wrote something again."""
    return {
        parse_change(leaf.body).hash
        for truth in ledger.logs.values()
        if truth.owner in ledger.unaware
        for leaf in map(decode_leaf, truth.leaves)
        if leaf.type == LeafType.CHANGE
    }


def check_folds(nodes: Nodes, rng: random.Random) -> None:
    """Check that a case stands the same everywhere, in whatever order its facts came."""
    folds: dict[DocumentId, object] = {}
    for node in nodes.values():
        cases = node.guard.disk.execute(
            "SELECT id FROM document WHERE kind = ? ORDER BY id", (DocumentKind.CASE.value,)
        ).fetchall()
        for (key,) in cases:
            document = DocumentId(key)
            facts = facts_of(node.guard.disk, document)
            rng.shuffle(facts)
            standing = fold(facts)
            if folds.setdefault(document, standing) != standing:
                raise BrokenPromise("folds_differ", f"case {key.hex()} at {node.code}")


def check_blobs(nodes: Nodes) -> None:
    """Check that everybody who holds a record holds the files that it names."""
    for node in nodes.values():
        rows = node.guard.disk.execute(
            "SELECT sha256, size_bytes, complete FROM blob ORDER BY sha256"
        ).fetchall()
        for sha256, size_bytes, complete in rows:
            size = node.files.path(sha256).stat().st_size if node.files.holds(sha256) else 0
            if not complete or size != size_bytes:
                raise BrokenPromise(
                    "blob_missing", f"{node.code} has {size} of {size_bytes} bytes of a file"
                )


def _root(leaves: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf))
    return frontier.root()
