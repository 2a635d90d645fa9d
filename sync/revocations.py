"""Keys that count no longer: what was said of them, and which changes are out of use for it.

What counts follows from the set of statements and leaves alone, in whatever order they came: of a
revoked key's log, what every statement in effect lets count. A statement of a province is in effect
unless the centre revoked that province's key; there is nobody above the centre.

A commune certifies its outposts, and whoever stole its key could make more of them. So an outpost
whose certificate a revoked key signed counts only if the commune vouched for it by a leaf that
counts.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import cbor2

from crypto.certificates import Subject, chain_from_der, subject_of
from crypto.errors import CryptoError
from crypto.identity import log_id
from crypto.revocation import verify_revocation
from crypto.tiers import ROOT_CODE, tier_of
from schemas.codes import Tier
from schemas.errors import RecordError
from schemas.ids import DocumentId
from schemas.limits import VOIDED_MAX
from schemas.record import Leaf, LeafType, Writer, decode_certificates, decode_leaf
from schemas.revocation import (
    Revocation,
    RevocationLeaf,
    decode_revocation_leaf,
    decode_statement,
)
from sync.database import Connection
from sync.errors import ChangeError, LinkError, LogError
from sync.history import read_leaf
from sync.log import UP, Log
from sync.scope import is_within
from sync.scrub import is_whole
from sync.store import Peer, Store

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A statement that was verified.

    Attributes:
        id: SHA-256 of the statement.
        signer: its peer id.
    """

    id: bytes
    data: bytes
    revocation: Revocation
    signer: bytes
    signer_code: str
    signer_name: str

    @property
    def is_from_above(self) -> bool:
        """Tell whether somebody above said it; else the key that took the place of the revoked."""
        return self.signer_code != self.revocation.code

    def sentence(self) -> str:
        """Return what was said, for people."""
        said = self.revocation
        at = datetime.fromtimestamp(said.at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        key = said.key[:4].hex()
        return (
            f"the key {key}… of {said.code} was revoked by {self.signer_name}"
            f" ({self.signer_code}) at {at}: {said.reason}"
        )


class Revocations:
    """All that is known of revoked keys, inside a transaction of the store.

    Attributes:
        is_news: something must be taken out of use, into use again, or told to children.
    """

    def __init__(self, store: Store, verify_chain: Callable[[list[bytes]], Subject]) -> None:
        """Work on a store; verify_chain raises CryptoError for a chain that is not ours."""
        self._store = store
        self._verify_chain = verify_chain
        self.is_news = False
        self._documents = set[DocumentId]()
        # None: not looked up yet. The second holds those in effect, by node.
        self._known: dict[bytes, Known] | None = None
        self._by_node: dict[tuple[bytes, str], list[Known]] = {}
        self._sizes: dict[tuple[bytes, bytes, bool], int] = {}
        # Who certified outposts, by log.
        self._issuers: dict[bytes, tuple[bytes, str]] = {}

    def forget(self) -> None:
        """Drop what memory holds of a transaction that was rolled back."""
        self.is_news, self._known = False, None
        self._documents.clear()
        self._sizes.clear()
        self._issuers.clear()

    # What was said

    def learn(self, data: bytes, now_ms: int) -> bytes:
        """Keep a statement; return its id.

        Raises:
            RecordError: it is malformed.
            CryptoError: its signer may not say this, or did not.
        """
        named = sha256(data).digest()
        if named in self.known():
            return named
        known = verified(data, self._verify_chain)
        said, before = known.revocation, {k.id for k in self.in_effect()}
        self._store.db.execute(
            "INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                named,
                said.key,
                said.code,
                known.signer,
                known.signer_code,
                known.signer_name,
                said.at_ms,
                said.reason,
                data,
            ),
        )
        self._known, self.is_news = None, True
        for log in self._store.logs():
            self.review(log)
        for other in before ^ {k.id for k in self.in_effect()}:
            rows = self._store.db.execute(
                "SELECT document FROM void_change WHERE statement = ?", (other,)
            )
            self._documents |= {DocumentId(bytes(row[0])) for row in rows}
        self._store.raise_alarm(
            now_ms=now_ms,
            code="key_revoked",
            log_id=log_id(said.key, UP, 0),
            detail=known.sentence()[:500],
            evidence="",
        )
        return named

    def hear(self, data: bytes, now_ms: int) -> None:
        """Keep a statement that a peer passes on ahead of the log it stands in.

        Raises:
            LinkError: the peer should not have believed it itself.
        """
        try:
            self.learn(data, now_ms)
        except (RecordError, CryptoError) as error:
            raise LinkError("revocation_forged", f"a revocation is refused: {error}") from error

    def take(self, log: Log, seq: int, leaf: Leaf, now_ms: int) -> None:
        """Take a leaf that holds a statement.

        Raises:
            RecordError: it is malformed.
            CryptoError: the statement's signer may not say this, or did not.
        """
        body = decode_revocation_leaf(leaf.body)
        if leaf.writer or leaf.document or (log.purpose == UP and body.voided):
            raise RecordError("revocation_malformed", "only a down log takes changes out of use")
        named = self.learn(body.statement, now_ms)
        self._store.db.execute(
            "INSERT OR IGNORE INTO revocation_leaf VALUES (?, ?, ?)", (log.number, seq, named)
        )
        if body.voided:
            self._store.db.executemany(
                "INSERT OR IGNORE INTO void_change VALUES (?, ?, ?, ?, ?)",
                [(digest, log.number, named, document, seq) for document, digest in body.voided],
            )
            self._documents |= {DocumentId(document) for document, _ in body.voided}
            self.is_news = True

    def known(self) -> dict[bytes, Known]:
        """Return all statements by their ids."""
        if self._known is None:
            self._known = {known.id: known for known in known_of(self._store.db)}
            self._by_node = by_node(list(self._known.values()))
        return self._known

    def in_effect(self) -> list[Known]:
        """Return the statements that count, by time and id."""
        self.known()
        found = [known for some in self._by_node.values() for known in some]
        return sorted(found, key=lambda known: (known.revocation.at_ms, known.id))

    def of(self, peer_id: bytes, code: str) -> list[Known]:
        """Return the statements in effect about a node; none if its key counts."""
        self.known()
        return self._by_node.get((peer_id, code), [])

    # What counts

    def review(self, log: Log) -> None:
        """Bring up to date how much of a log counts; its leaves may have become more."""
        sizes = []
        if log.source is not None:
            sizes = [self._size(log, known) for known in self.of(log.owner, log.code)]
            sizes += [0] if self._over_issuer(log) else []
        valid = min(sizes, default=None)
        if valid != log.valid:
            self._let_count(log, valid)
            if log.tier == Tier.COMMUNE.value and log.purpose == UP:
                self._review_outposts(log.code)

    def vouch(self, log: Log, seq: int, peer_id: bytes) -> None:
        """Note that a leaf of a commune's up log names an outpost of it."""
        self._store.db.execute(
            "INSERT OR IGNORE INTO vouching VALUES (?, ?, ?)", (peer_id, log.number, seq)
        )
        self._review_outposts(log.code)

    def _review_outposts(self, code: str) -> None:
        for log in self._store.logs():
            if log.tier == Tier.OUTPOST.value and is_within(log.code, code):
                self.review(log)

    def _over_issuer(self, log: Log) -> list[Known]:
        """Return the statements for which nothing of a log counts, as nobody vouches for its owner.

        They are about the key that certified an outpost, whose commune never said in leaves that
        count that it is its own.
        """
        if log.tier != Tier.OUTPOST.value or not self.known():
            return []
        rows = self._store.db.execute("SELECT log, seq FROM vouching WHERE peer = ?", (log.owner,))
        vouching = [(self._store.log_by_number(number), seq) for number, seq in rows.fetchall()]
        if any(by.valid is None or seq < by.valid for by, seq in vouching):
            return []
        if log.log_id not in self._issuers:
            # Should the disk have lost the leaf, whoever last told has the newest certificate.
            chain = cbor2.loads(peer.chain) if (peer := self._store.peer(log.owner)) else []
            with suppress(LogError):
                first = decode_leaf(self._store.leaf(log.number, 0))
                chain = decode_certificates(first.body)
            issuer = subject_of(chain_from_der(chain)[1])
            self._issuers[log.log_id] = issuer.peer_id, issuer.code
        return self.of(*self._issuers[log.log_id])

    def _let_count(self, log: Log, valid: int | None) -> None:
        start = min(size for size in (valid, log.valid) if size is not None)
        log.valid, log.dirty, self.is_news = valid, True, True
        for leaf in self._leaves(log, start):
            if leaf.type == LeafType.CHANGE and leaf.document:
                self._documents.add(DocumentId(leaf.document))
            elif leaf.type == LeafType.REVOCATION:
                self._documents |= _voided_by(leaf)
        # Of leaves that the disk lost or altered, what they said when they came.
        rows = self._store.db.execute(_TAKEN, (log.number, start)).fetchall()
        self._documents |= {DocumentId(bytes(row[0])) for row in rows if row[0]}

    def _leaves(self, log: Log, start: int) -> Iterator[Leaf]:
        for at in range(start, log.size, _AT_ONCE):
            rows = self._store.db.execute(
                "SELECT data FROM leaf WHERE log = ? AND seq >= ? AND seq < ? ORDER BY seq",
                (log.number, at, at + _AT_ONCE),
            )
            for (data,) in rows.fetchall():
                leaf = read_leaf(data)
                if leaf is not None:
                    yield leaf

    def _size(self, log: Log, known: Known) -> int:
        """Return how many leaves of a log a statement lets count.

        None of a log that is another one than the signer had; while it is shorter nothing tells.
        """
        mark = known.revocation.mark(log.log_id)
        if mark is None:
            return 0
        key = (log.log_id, known.id, log.size >= mark.size)
        if key not in self._sizes:
            is_same = not key[2] or self._root_at(log, mark.size) == mark.root
            if not is_same and not is_whole(self._store, log):
                # Our disk may be why: it is judged again when the leaves are back.
                self._store.damage.suspect(log.number, 0)
                return mark.size
            self._sizes[key] = mark.size if is_same else 0
        return self._sizes[key]

    def _root_at(self, log: Log, size: int) -> bytes:
        try:
            return self._store.root_at(log, size)
        except LogError:
            # A leaf is lost.
            return b""

    def check(
        self, log: Log, seq: int, document: DocumentId, change_hash: bytes, writer: Writer
    ) -> None:
        """Refuse a change that a revoked key wrote too late, and note where it stands.

        Raises:
            ChangeError: the change does not count.
        """
        code = ""
        if log.valid is not None and seq >= log.valid:
            code = log.code
        elif log.purpose != UP and (statements := self._over_writer(writer)):
            voided = self._voided(log, change_hash)
            code = writer.code if any(known.id in voided for known in statements) else ""
        if not code:
            return
        self._store.db.execute(
            "INSERT OR IGNORE INTO quarantined_change VALUES (?, ?, ?, ?)",
            (document, change_hash, log.number, seq),
        )
        raise ChangeError("key_revoked", f"the key of {code} is revoked, and this came too late")

    def _over_writer(self, writer: Writer) -> list[Known]:
        """Return the statements for which changes of a writer may be out of use."""
        found = self.of(writer.node, writer.code)
        if writer.tier == Tier.OUTPOST.value and self.known():
            commune = writer.code.rpartition(".")[0]
            found = [*found, *(k for k in self.in_effect() if k.revocation.code == commune)]
        return found

    def _voided(self, log: Log, change_hash: bytes) -> set[bytes]:
        """Return the statements under which the owner of a down log took a change out of use."""
        rows = self._store.db.execute(
            "SELECT v.log, v.seq, v.statement FROM void_change v JOIN log l ON l.number = v.log"
            " WHERE v.hash = ? AND l.owner = ?",
            (change_hash, log.owner),
        ).fetchall()
        found = set()
        for number, seq, statement in rows:
            valid = self._store.log_by_number(number).valid
            if valid is None or seq < valid:
                found.add(bytes(statement))
        return found

    def unsettled(self) -> set[DocumentId]:
        """Return the documents that must be made again, once."""
        found, self._documents = self._documents, set()
        return found

    # Telling others

    def bodies_for(self, child: Peer, log: Log) -> Iterator[bytes]:
        """Yield what a child's log lacks: statements that concern it, and changes it was sent.

        Args:
            child: who reads the log.
            log: own, downwards.
        """
        rows = self._store.db.execute(
            "SELECT statement FROM revocation_leaf WHERE log = ?", (log.number,)
        )
        told = {bytes(row[0]) for row in rows}
        for known in self.in_effect():
            code = known.revocation.code
            is_concerned = is_within(child.code, code) or is_within(code, child.code)
            voided = self._sent(log, known)
            if voided or (is_concerned and known.id not in told):
                for at in range(0, max(1, len(voided)), VOIDED_MAX):
                    part = tuple(voided[at : at + VOIDED_MAX])
                    yield RevocationLeaf(statement=known.data, voided=part).encode()

    def _sent(self, log: Log, known: Known) -> list[tuple[bytes, bytes]]:
        """Return changes that its reader was sent, do not count, and was not told of yet."""
        rows = self._store.db.execute(_SENT, (log.purpose, log.number, known.id)).fetchall()
        found = set()
        for document, change_hash, number, seq in rows:
            origin = self._store.log_by_number(number)
            is_late = (origin.owner, origin.code) == (known.revocation.key, known.revocation.code)
            is_late = is_late and seq >= self._size(origin, known)
            is_late = is_late or any(one.id == known.id for one in self._over_issuer(origin))
            if is_late or known.id in self._voided(origin, bytes(change_hash)):
                found.add((bytes(document), bytes(change_hash)))
        return sorted(found)

    def leaves(self) -> list[tuple[bytes, int, bytes]]:
        """Return (log id, seq, statement) of all leaves that hold one."""
        rows = self._store.db.execute(
            "SELECT l.log_id, f.seq, r.data FROM revocation_leaf f JOIN log l ON l.number = f.log"
            " JOIN revocation r ON r.statement = f.statement ORDER BY f.log, f.seq"
        )
        return [(bytes(row[0]), row[1], bytes(row[2])) for row in rows]


_TAKEN = """
SELECT document FROM change WHERE log = ?1 AND seq >= ?2
UNION SELECT document FROM waiting_change WHERE log = ?1 AND seq >= ?2
UNION SELECT document FROM dead_letter WHERE log = ?1 AND seq >= ?2
UNION SELECT document FROM void_change WHERE log = ?1 AND seq >= ?2
"""

# Of changes that stand elsewhere than in our copies, and do not count there: those that were copied
# for this reader, stand nowhere where they count, and are not named in this log yet.
_SENT = """
SELECT q.document, q.hash, q.log, q.seq FROM quarantined_change q JOIN log o ON o.number = q.log
WHERE o.source IS NOT NULL
AND EXISTS (
    SELECT 1 FROM change c JOIN log l ON l.number = c.log
    WHERE c.document = q.document AND c.hash = q.hash AND l.source IS NULL AND l.purpose = ?1
    UNION ALL
    SELECT 1 FROM quarantined_change c JOIN log l ON l.number = c.log
    WHERE c.document = q.document AND c.hash = q.hash AND l.source IS NULL AND l.purpose = ?1)
AND NOT EXISTS (
    SELECT 1 FROM change c JOIN log l ON l.number = c.log
    WHERE c.document = q.document AND c.hash = q.hash
    AND (l.source IS NOT NULL OR l.purpose = 'up'))
AND NOT EXISTS (
    SELECT 1 FROM void_change v WHERE v.hash = q.hash AND v.log = ?2 AND v.statement = ?3)
"""


def verified(data: bytes, verify_chain: Callable[[list[bytes]], Subject]) -> Known:
    """Return a statement after checking that its signer said it and may.

    Raises:
        RecordError: it is malformed.
        CryptoError: its signer may not say this, or did not.
    """
    statement = decode_statement(data)
    signer = verify_revocation(statement, verify_chain)
    return Known(
        id=sha256(data).digest(),
        data=data,
        revocation=statement.revocation,
        signer=signer.peer_id,
        signer_code=signer.code,
        signer_name=signer.name,
    )


def known_of(db: Connection) -> list[Known]:
    """Return the statements in a database; they were verified when they came."""
    rows = db.execute("SELECT statement, data, signer, signer_code, signer_name FROM revocation")
    return [
        Known(
            id=bytes(row[0]),
            data=bytes(row[1]),
            revocation=decode_statement(bytes(row[1])).revocation,
            signer=bytes(row[2]),
            signer_code=row[3],
            signer_name=row[4],
        )
        for row in rows
    ]


def by_node(known: list[Known]) -> dict[tuple[bytes, str], list[Known]]:
    """Return the statements in effect by the node that they are about: (peer id, code)."""
    by_centre = {_about(one) for one in known if one.signer_code == ROOT_CODE}
    above, of_communes = [], []
    for one in known:
        if tier_of(one.signer_code) is Tier.COMMUNE:
            of_communes.append(one)
        elif (one.signer, one.signer_code) not in by_centre:
            above.append(one)
    ended = {_about(one) for one in above}
    # Of its own office and outposts only a key that nobody above revoked may speak.
    own = [one for one in of_communes if (one.signer, one.signer_code) not in ended]
    found: dict[tuple[bytes, str], list[Known]] = {}
    for one in sorted([*above, *own], key=lambda k: k.id):
        found.setdefault(_about(one), []).append(one)
    return found


def _about(known: Known) -> tuple[bytes, str]:
    return known.revocation.key, known.revocation.code


def _voided_by(leaf: Leaf) -> set[DocumentId]:
    try:
        return {DocumentId(d) for d, _ in decode_revocation_leaf(leaf.body).voided}
    except RecordError:
        # A dead letter: it takes nothing out of use.
        return set()
