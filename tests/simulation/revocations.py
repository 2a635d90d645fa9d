"""A stolen machine: a commune is revoked at some moment, and goes on writing, dialling and sending.

What its key wrote up to the mark counts everywhere, what it wrote later nowhere, and the others go
on as if nothing were. What counts is worked out here from the logs as their owners wrote them and
from the statements that the centre holds, without the code that is tested.
"""

import random
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cbor2

from node.cases.fold import fold
from schemas.codes import DocumentKind, Tier
from schemas.events import Attached
from schemas.record import LeafType, decode_leaf
from sync.change import Change, parse_change
from sync.errors import StoreError
from sync.log import UP
from sync.revoking import countersigned, revoke
from tests.simulation.checks import Nodes, Pictures, draw_pictures, readers, said
from tests.simulation.identities import CENTRE
from tests.simulation.ledger import Ledger
from tests.simulation.nodes import SimulatedNode
from tests.simulation.promises import BrokenPromise
from tests.simulation.staff import facts_of
from tests.simulation.storage import Crash

if TYPE_CHECKING:
    from schemas.ids import DocumentId
    from tests.simulation.world import World

_BY_CENTRE: Final = 0.3
_ALL_COUNTS: Final = 0.5


def revoke_somebody(world: "World") -> None:
    """Let a province or the centre revoke a commune, perhaps one that is revoked already."""
    rng = world.rng
    target = rng.choice([n for n in world.nodes.values() if n.office.tier is Tier.COMMUNE])
    signer = world.nodes[CENTRE if rng.random() < _BY_CENTRE else target.office.parent]
    if not signer.is_up:
        return
    now_ms = signer.clock_ms(world.now_ms)

    def work() -> None:
        sizes = countersigned(signer.replica, target.peer_id)
        if rng.random() > _ALL_COUNTS:
            sizes = {log_id: rng.randint(0, size) for log_id, size in sizes.items()}
        revoke(signer.replica, target.peer_id, target.code, sizes, "Máy bị mất trộm", now_ms)

    try:
        signer.commit(work)
    except Crash:
        world.crash(signer, "crash over a revocation")
    except StoreError:
        return
    said = signer.guard.disk.execute(
        "SELECT count(*) FROM revocation WHERE peer = ?", (target.peer_id,)
    ).fetchone()[0]
    if said:
        # The one it just made, or an earlier one: a crash may have come before or after the disk.
        world.note(f"{target.code} is revoked by {signer.code}")
        world.counts["revocations"] += 1
        world.revoked.add(target.code)
    if signer.is_up:
        world.ledger.look(signer)
        world.wake(signer)


def revoked_places(nodes: Nodes) -> set[str]:
    """Return the codes of all nodes of whose revocation some node knows."""
    codes = {node.peer_id: code for code, node in nodes.items()}
    return {
        codes[bytes(row[0])]
        for node in nodes.values()
        for row in node.guard.disk.execute("SELECT peer FROM revocation")
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What counts in the end.

    Attributes:
        marks: how many leaves count, by revoked place and log.
        standing: changes that count, with all that they build on.
        blocked: changes that would, but build on some that do not.
        late: changes that a revoked key wrote too late.
    """

    marks: Mapping[str, Mapping[bytes, int]]
    standing: frozenset[bytes]
    blocked: frozenset[bytes]
    late: frozenset[bytes]


def judge(nodes: Nodes, ledger: Ledger, judging: str = CENTRE) -> Verdict:
    """Work out what counts at a node from logs and the statements it has, but for its own logs."""
    codes = {node.peer_id: code for code, node in nodes.items()}
    marks: dict[str, dict[bytes, int]] = {}
    logs = {log_id: truth for log_id, truth in ledger.logs.items() if truth.purpose == UP}
    for (data,) in nodes[judging].guard.disk.execute("SELECT data FROM revocation"):
        key, _, said, *_ = cbor2.loads(cbor2.loads(data)[0])
        named = {log_id: seq + 1 for log_id, seq, _ in said}
        code = codes[key]
        if code == judging:
            continue
        own = [log_id for log_id, truth in logs.items() if truth.owner == code]
        earlier = marks.get(code, {})
        marks[code] = {
            log_id: min(named.get(log_id, 0), earlier.get(log_id, named.get(log_id, 0)))
            for log_id in own
        }
    counted: dict[bytes, Change] = {}
    late: set[bytes] = set()
    for log_id, truth in logs.items():
        end = marks.get(truth.owner, {}).get(log_id, len(truth.leaves))
        for seq, leaf in enumerate(map(decode_leaf, truth.leaves)):
            if leaf.type == LeafType.CHANGE:
                change = parse_change(leaf.body)
                if seq < end:
                    counted[change.hash] = change
                else:
                    late.add(change.hash)
    counted |= _given_back(ledger)
    standing: set[bytes] = set()
    while more := {
        change.hash
        for change in counted.values()
        if change.hash not in standing and standing.issuperset(change.deps)
    }:
        standing |= more
    return Verdict(
        marks=marks,
        standing=frozenset(standing),
        blocked=frozenset(counted.keys() - standing),
        late=frozenset(late),
    )


def _given_back(ledger: Ledger) -> dict[bytes, Change]:
    """Return what nodes above wrote and lost with their disks: their children give it back."""
    written = {deed.change: deed.code for deed in ledger.deeds}
    found: dict[bytes, Change] = {}
    for truth in ledger.logs.values():
        if truth.purpose == UP or not truth.is_rolled:
            continue
        for leaf in map(decode_leaf, truth.leaves):
            change = parse_change(leaf.body) if leaf.type == LeafType.CHANGE else None
            if change is not None and written.get(change.hash) == truth.owner:
                found[change.hash] = change
    return found


def check_revoked(
    nodes: Nodes, ledger: Ledger, rng: random.Random, harmed: Set[tuple[bytes, int]]
) -> None:
    """Check everything that holds at the end of a story with revoked nodes.

    Leaves that a disk lost may be held by nobody but a revoked node.

    Raises:
        BrokenPromise: something does not.
    """
    ledger.settle()
    verdict = judge(nodes, ledger)
    others = {code: node for code, node in nodes.items() if code not in verdict.marks}
    for node in others.values():
        _check_leaves(node, verdict, harmed)
    _check_logs(nodes, ledger, verdict)
    pictures = {code: draw_pictures(node) for code, node in others.items()}
    _check_documents(pictures, ledger, verdict)
    _check_deeds(pictures, ledger, verdict, others)
    _check_folds(others, pictures, ledger, verdict, rng)
    _check_blobs(others, pictures, ledger, verdict)
    # What others hold of it, and its own disk does not any more, is not given back to it.
    for code in verdict.marks.keys() - ledger.unaware.keys():
        _check_own(nodes[code], nodes, ledger)


def _check_leaves(node: SimulatedNode, verdict: Verdict, harmed: Set[tuple[bytes, int]]) -> None:
    """Check what became of each leaf of a node that was not revoked."""
    disk = node.guard.disk
    codes = {row[0] for row in disk.execute("SELECT DISTINCT code FROM dead_letter")}
    if codes - {"key_revoked"}:
        raise BrokenPromise("dead_letters", f"{node.code}: {codes}")
    places: dict[str, set[bytes]] = {}
    for table in ("change", "waiting_change", "quarantined_change"):
        places[table] = {bytes(row[0]) for row in disk.execute(f"SELECT hash FROM {table}")}
    if not places["change"] <= verdict.standing:
        raise BrokenPromise("late_counts", f"at {node.code}")
    if not places["waiting_change"] <= verdict.blocked:
        raise BrokenPromise("waiting_changes", f"at {node.code}")
    if not places["quarantined_change"] <= verdict.late:
        raise BrokenPromise("revoked_wrongly", f"at {node.code}")
    leaves = {
        (bytes(log_id), seq)
        for log_id, seq, data in disk.execute(
            "SELECT log_id, seq, data FROM leaf JOIN log ON number = log"
        )
        if (log_id, seq) not in harmed and decode_leaf(data).type == LeafType.CHANGE
    }
    kept = {
        (bytes(log_id), seq)
        for table in ("change", "waiting_change", "dead_letter")
        for log_id, seq in disk.execute(f"SELECT log_id, seq FROM {table} JOIN log ON number = log")
    }
    if leaves != kept - harmed:
        raise BrokenPromise(
            "change_dropped", f"{node.code} holds {len(leaves)} changes, lists {len(kept)}"
        )


def _check_logs(nodes: Nodes, ledger: Ledger, verdict: Verdict) -> None:
    for log_id, truth in ledger.logs.items():
        marks = verdict.marks.get(truth.owner)
        holders = [
            nodes[code]
            for code in readers(truth.owner, truth.purpose, nodes)
            if code not in verdict.marks
        ]
        if truth.purpose != UP and not {*readers(truth.owner, truth.purpose, nodes)}.isdisjoint(
            verdict.marks
        ):
            # Nobody brings it to a revoked reader.
            continue
        found = [node.replica.store.find_log(log_id) for node in holders]
        sizes = [log.size if log is not None else 0 for log in found]
        least = len(truth.leaves) if marks is None else marks[log_id]
        # Of what does not count, nobody asks again for a head that was lost.
        if min(sizes) < least:
            raise BrokenPromise("log_incomplete", f"{truth.owner} {truth.purpose}: {sizes}")
        for log in found:
            if log is None or log.size == 0:
                continue
            if log.valid != (None if marks is None else marks[log_id]):
                raise BrokenPromise("mark_wrong", f"{truth.owner}: {log.valid}, not {marks}")


def _check_documents(pictures: Pictures, ledger: Ledger, verdict: Verdict) -> None:
    """Check that all show the same, of what concerns them by what counts."""
    centre = pictures[CENTRE]
    if {change for picture in centre.values() for change in picture.changes} != verdict.standing:
        raise BrokenPromise("deed_lost", "the centre lacks what counts")
    concerns = ledger.settled_concerns(
        verdict.standing, said(pictures[CENTRE]), verdict.marks.keys()
    )
    for code, own in pictures.items():
        for document, picture in centre.items():
            if concerns.concerns(document, code) and own.get(document) != picture:
                raise BrokenPromise(
                    "documents_differ",
                    f"{document.hex()} at {code}: {own.get(document)}\nat the centre: {picture}",
                )
        # What somebody was sent because of a change that does not count cannot be fetched back.
        if foreign := [d.hex() for d in own if not ledger.concerns.concerns(d, code)]:
            raise BrokenPromise("scope", f"{code} holds {foreign}")


def _check_deeds(pictures: Pictures, ledger: Ledger, verdict: Verdict, others: Nodes) -> None:
    """Check that the others lost nothing: what they wrote stands, or waits and is listed."""
    centre = {change for picture in pictures[CENTRE].values() for change in picture.changes}
    waiting = {
        bytes(row[0])
        for row in others[CENTRE].guard.disk.execute("SELECT hash FROM waiting_change")
    }
    for deed in ledger.deeds:
        if deed.code in others and deed.is_acknowledged and deed.change not in centre | waiting:
            raise BrokenPromise("deed_lost", f"the centre lacks a change that {deed.code} wrote")


def _check_folds(
    others: Nodes, pictures: Pictures, ledger: Ledger, verdict: Verdict, rng: random.Random
) -> None:
    concerns = ledger.settled_concerns(
        verdict.standing, said(pictures[CENTRE]), verdict.marks.keys()
    )
    folds: dict[DocumentId, object] = {}
    for code, node in others.items():
        for document, picture in pictures[code].items():
            if picture.kind != DocumentKind.CASE or not concerns.concerns(document, code):
                continue
            facts = facts_of(node.guard.disk, document)
            rng.shuffle(facts)
            standing = fold(facts)
            if folds.setdefault(document, standing) != standing:
                raise BrokenPromise("folds_differ", f"case {document.hex()} at {code}")


def _check_blobs(others: Nodes, pictures: Pictures, ledger: Ledger, verdict: Verdict) -> None:
    """Check that all files are where they concern somebody, but those that only the revoked had."""
    concerns = ledger.settled_concerns(
        verdict.standing, said(pictures[CENTRE]), verdict.marks.keys()
    )
    attached = {
        bytes.fromhex(event.sha256)
        for deed in ledger.deeds
        if deed.code not in others
        for _, event in deed.events
        if isinstance(event, Attached)
    }
    for code, node in others.items():
        rows = node.guard.disk.execute(
            "SELECT d.document, b.sha256 FROM blob b JOIN blob_document d ON d.sha256 = b.sha256"
            " WHERE complete = 0"
        )
        for document, sha256 in rows:
            if bytes(sha256) not in attached and concerns.concerns(document, code):
                raise BrokenPromise("blob_missing", f"{code} lacks a file of others")


def _check_own(node: SimulatedNode, nodes: Nodes, ledger: Ledger) -> None:
    """Check that a revoked node still has all that was written at it.

    Of that, what builds on something that another revoked node wrote too late waits there.
    """
    disk = node.guard.disk
    own, waiting = (
        {bytes(row[0]) for row in disk.execute(f"SELECT hash FROM {table}")}
        for table in ("change", "waiting_change")
    )
    own |= waiting & judge(nodes, ledger, node.code).blocked
    for deed in ledger.deeds:
        if deed.code == node.code and deed.is_acknowledged and deed.change not in own:
            raise BrokenPromise("deed_lost", f"{node.code} lost its own change")
