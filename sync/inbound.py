"""Logs that other nodes send us: leaves are kept at once, used once a tree head covers them."""

from collections.abc import Callable, Sequence
from typing import Final

from crypto.certificates import Subject
from crypto.errors import CryptoError
from crypto.identity import NodeKey, log_id
from crypto.merkle import leaf_hash
from crypto.note import (
    Cosignature,
    TreeHead,
    cosign,
    key_name,
    log_origin,
    verify_cosignature,
    verify_head,
)
from schemas.codes import Tier
from schemas.errors import SchemaError
from schemas.limits import OFFERS_MAX, PENDING_LEAVES_MAX
from schemas.record import LeafType, decode_certificates, decode_leaf
from schemas.wire import Head
from sync.apart import IN_TURN, in_turn, keep_apart
from sync.errors import LinkError, LogError
from sync.intake import Intake
from sync.log import HEAD_STEP, SUBTREE_LEVEL, UP, Log, grown
from sync.scope import is_within
from sync.scrub import has_damage
from sync.store import Store

# What contradicts a log, and may be damage, must come twice before the log is stopped.
DOUBTS_MAX: Final = 2


class Inbound:
    """Receives logs inside a transaction of the store."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        *,
        key: NodeKey,
        subject: Subject,
        verify_chain: Callable[[list[bytes]], Subject],
    ) -> None:
        """Receive for the node that key and subject name."""
        self._store = store
        self._intake = intake
        self._key = key
        self._subject = subject
        self._verify_chain = verify_chain

    def accept_offer(
        self, owner: bytes, purpose: str, epoch: int, peer: Subject, now_ms: int
    ) -> Log:
        """Return the log that a peer may send us, new or known.

        Args:
            owner: peer id of its owner.
            purpose: in full.
            epoch: of its owner.
            peer: who offers it.
            now_ms: wall clock.

        Raises:
            LinkError: the peer may not send this log.
        """
        named = log_id(owner, purpose, epoch)
        log = self._store.find_log(named)
        if owner == self._subject.peer_id:
            return log or self._lost_log(named, purpose, epoch)
        is_return = self._may_return(peer, owner, purpose)
        may = is_return or self._may_send(peer, owner, purpose)
        if not may or (log is not None and log.source is None):
            raise LinkError("offer_foreign", "the peer may not send this log")
        if log is None:
            if self._unproved_logs(peer.peer_id) >= OFFERS_MAX:
                raise LinkError("offers_too_many", "too many logs were offered and none proved")
            log = self._store.create_log(
                log_id=named,
                owner=owner,
                purpose=purpose,
                epoch=epoch,
                source=peer.peer_id,
            )
            if epoch and owner == peer.peer_id:
                self._close_earlier(log, now_ms)
        elif log.source != peer.peer_id and not is_return:
            self._change_source(log, peer)
        return log

    def check_returner(self, purpose: str, peer: Subject) -> None:
        """Refuse a log of our own, except from those who read it: the tier above, or the child.

        Raises:
            LinkError: the peer may not give it back.
        """
        here, there = self._subject.code, peer.code
        is_reader = is_within(here, there) if purpose == UP else is_within(there, here)
        if here == there or purpose not in (UP, "down") or not is_reader:
            raise LinkError("offer_foreign", "the peer may not give this log back")

    def _change_source(self, log: Log, peer: Subject) -> None:
        """Let a log come from another peer than before.

        A place has a new node, or somebody offered the log before its owner came. What that sender
        left unproved must not stand in the way; the tier above may have given it back.
        """
        before = self._store.peer(log.source) if log.source else None
        if before is None or not is_within(self._subject.code, before.code):
            self._store.drop_pending(log)
            log.awaited = None
        log.source, log.dirty = peer.peer_id, True

    def comes_from(self, log: Log, peer: Subject) -> bool:
        """Tell whether a peer sends a log, or gives back an own one or one that went through us."""
        if log.source in (None, peer.peer_id):
            return True
        return self._may_return(peer, log.owner, log.purpose)

    def _may_return(self, peer: Subject, owner_id: bytes, purpose: str) -> bool:
        """Tell whether a log is of a place below us, and the peer the tier above that read it."""
        here = self._subject.code
        is_above = is_within(here, peer.code) and here != peer.code
        if not is_above or purpose != UP or owner_id == peer.peer_id:
            return False
        if any(not one.is_from_above for one in self._intake.revocations.of(owner_id, here)):
            # A key that ours succeeded; what came to it behind that is evidence here, too.
            return True
        owner = self._store.peer(owner_id)
        is_below = owner is None or (is_within(owner.code, here) and owner.code != here)
        return is_below and self._subject.tier is not Tier.OUTPOST

    def _lost_log(self, named: bytes, purpose: str, epoch: int) -> Log:
        log = self._store.create_log(
            log_id=named,
            owner=self._subject.peer_id,
            purpose=purpose,
            epoch=epoch,
            tier=self._subject.tier.value,
            code=self._subject.code,
        )
        log.fault, log.dirty = "log_behind", True
        return log

    def _close_earlier(self, log: Log, now_ms: int) -> None:
        """Close the earlier logs of an owner that was restored or cloned, and say so."""
        code, detail = (
            "epoch_opened",
            f"its owner opened epoch {log.epoch}: it was restored or cloned",
        )
        if in_turn(self._store, log.owner, now_ms):
            code, detail = "epochs_in_turn", f"its owner opened epoch {log.epoch}. {IN_TURN}"
        self._store.raise_alarm(
            now_ms=now_ms, code=code, log_id=log.log_id, detail=detail, evidence=""
        )
        for earlier in self._store.logs():
            is_same = (earlier.owner, earlier.purpose) == (log.owner, log.purpose)
            if is_same and earlier.epoch < log.epoch:
                keep_apart(self._store, earlier)

    def proves(self, epoch: int, purpose: str, head: Head, now_ms: int) -> bool:
        """Tell whether a head that we once signed, of a log that we write now, is not in it.

        Then our database is an older copy of another that went on.

        Raises:
            LinkError: we did not sign it.
        """
        named = log_id(self._subject.peer_id, purpose, epoch)
        stated = TreeHead(
            origin=log_origin(self._subject.code, named), size=head.size, root=head.root
        )
        try:
            verify_head(self._subject.peer_id, stated, head.signature)
        except CryptoError as error:
            raise LinkError("head_forged", "we never signed this tree head") from error
        log = self._store.find_log(named)
        if log is None or head.size > log.size:
            return True
        if self._store.root_at(log, head.size) == head.root:
            return False
        return not has_damage(self._store, log, now_ms)

    def _may_send(self, peer: Subject, owner_id: bytes, purpose: str) -> bool:
        """Tell whether the log comes from where it must.

        The tier above sends only what it wrote for us; from below, such a log could put words into
        anybody's mouth. Those below us send logs of their own places.
        """
        here, there = self._subject.code, peer.code
        if here == there:
            return False
        if is_within(here, there):
            ours = f"down/{self._subject.peer_id.hex()}"
            return owner_id == peer.peer_id and purpose == ours
        owner = self._store.peer(owner_id)
        is_theirs = owner is None or owner.peer_id == peer.peer_id or is_within(owner.code, there)
        return purpose == UP and is_within(there, here) and is_theirs

    def _unproved_logs(self, source: bytes) -> int:
        """Return how many logs of a sender have no owner by certificate yet."""
        row = self._store.db.execute(
            "SELECT count(*) FROM log WHERE source = ? AND code = ''", (source,)
        ).fetchone()
        return int(row[0])

    def keep(self, log: Log, first_seq: int, leaves: Sequence[bytes]) -> None:
        """Keep leaves that arrived; those under a tree head already are skipped.

        Raises:
            LinkError: too many leaves without a tree head, or the first is not the certificate of
                the log's owner: kept, it would keep the true one out.
        """
        self.check_room(log, first_seq + len(leaves))
        if first_seq == 0 and not log.code:
            self._owner_by(log, leaves[0])
        skip = max(0, log.size - first_seq)
        if skip < len(leaves):
            self._store.put_pending(log, first_seq + skip, leaves[skip:])

    def check_room(self, log: Log, end: int) -> None:
        """Refuse leaves too far beyond the last tree head.

        Raises:
            LinkError: too many leaves without a tree head.
        """
        if end > log.size + PENDING_LEAVES_MAX:
            raise LinkError("head_overdue", "too many leaves came without a tree head")

    def root_of(self, log: Log, size: int, have_seq: int) -> bytes | None:
        """Return the root over the first leaves, those no head covers too; None if some lack.

        Args:
            log: received log.
            size: how many leaves.
            have_seq: every leaf below is stored.
        """
        if size <= log.size:
            return self._store.root_at(log, size)
        if size > have_seq:
            return None
        leaves = self._store.pending(log, log.size, size)
        return grown(log.frontier, map(leaf_hash, leaves)).frontier.root()

    def await_head(self, log: Log, head: Head) -> None:
        """Remember a head until its leaves are here; an older one must be a prefix of ours.

        A head that comes before the owner's certificate is forgotten: it cannot be checked, and one
        that is forged would keep the true ones out. The sender repeats it.

        Raises:
            LogError: the head contradicts what is stored.
            LinkError: the log's certificate or the head's signature is not acceptable.
        """
        if head.size <= log.size:
            if head.size and self._store.root_at(log, head.size) != head.root:
                self._check_signature(log, head.size, head.root, head.signature)
                raise LogError("log_forked", "the tree head does not match the leaves stored")
            return
        if not log.code:
            first = self._store.pending(log, 0, 1)
            if not first:
                return
            self._admit_owner(log, first[0])
        self._check_signature(log, head.size, head.root, head.signature)
        if log.awaited is None or head.size > log.awaited[0]:
            log.awaited = (head.size, head.root, head.signature)
            log.dirty = True

    def settle(self, log: Log, have_seq: int, now_ms: int) -> bool:
        """Check the awaited head if its leaves are all here, and take the leaves into use.

        Args:
            log: received log.
            have_seq: every leaf below is stored, pending ones included.
            now_ms: wall clock, for the cosignature.

        Returns:
            Whether the log grew.

        Raises:
            LogError: the leaves do not add up to the head: `leaves_damaged` the first time, when
                they are forgotten so that they can be sent again, then `log_forked`.
        """
        if log.awaited is None or have_seq < log.awaited[0]:
            return False
        size, root, signature = log.awaited
        leaves = self._store.pending(log, log.size, size)
        hashes = [leaf_hash(leaf) for leaf in leaves]
        growth = grown(log.frontier, hashes)
        if growth.frontier.root() != root:
            self._doubt(log)
        start = log.size
        if start and log.valid is not None and start <= log.valid < size:
            # The last head under which all counts; an exported record needs it.
            self._store.put_head(log, start, log.frontier.root(), log.head_signature)
        self._store.promote(log, start, size)
        self._store.early.drop_below(log, size)
        log.grow(growth)
        log.head_signature, log.awaited, log.doubts = signature, None, 0
        if size // HEAD_STEP > start // HEAD_STEP:
            self._store.put_head(log, size, root, signature)
        self._intake.revocations.review(log)
        for seq, (leaf, digest) in enumerate(zip(leaves, hashes, strict=True), start):
            self._intake.take(log, seq, leaf, now_ms, self._intake.readings.take(digest))
        if log.source is not None:
            self._cosign(log, now_ms)
        return True

    def add_cosignature(
        self, log: Log, size: int, tier: Tier, code: str, cosignature: Cosignature
    ) -> bool:
        """Keep somebody's cosignature over one of our heads, after checking it.

        Returns:
            Whether it was news.

        Raises:
            CryptoError: it does not verify.
        """
        if size > log.size or size <= self._store.cosigned_by(log, cosignature.peer_id):
            # Not ours to judge yet, or told before: every acknowledgement repeats the newest.
            return False
        if self._intake.revocations.of(cosignature.peer_id, code):
            # Nothing tells whether it was made before.
            return False
        head = TreeHead(origin=log.origin, size=size, root=self._store.root_at(log, size))
        verify_cosignature(cosignature, head)
        return self._store.put_cosignature(log, size, tier.value, code, cosignature)

    def _admit_owner(self, log: Log, first_leaf: bytes) -> None:
        owner = self._owner_by(log, first_leaf)
        log.tier, log.code, log.dirty = owner.tier.value, owner.code, True

    def _owner_by(self, log: Log, first_leaf: bytes) -> Subject:
        """Return who owns a log by the certificate that it starts with.

        Raises:
            LinkError: it is none, another's, or the peer may not send logs of that place.
        """
        try:
            leaf = decode_leaf(first_leaf)
            if (leaf.type, leaf.writer, leaf.document) != (LeafType.CERTIFICATES, 0, b""):
                raise LinkError("log_unnamed", "a log starts with its owner's certificates")
            owner = self._verify_chain(decode_certificates(leaf.body))
        except (SchemaError, CryptoError) as error:
            raise LinkError("log_unnamed", f"the log's certificate is refused: {error}") from error
        if owner.peer_id != log.owner:
            raise LinkError("log_unnamed", "the log's certificate belongs to somebody else")
        source = self._store.peer(log.source) if log.source else None
        places = [self._subject.code, *([source.code] if source else [])]
        if log.purpose == UP and not all(is_within(owner.code, place) for place in places):
            raise LinkError("offer_foreign", "the peer may not send logs of that place")
        return owner

    def _doubt(self, log: Log) -> None:
        """Refuse leaves that do not add up to a head.

        Raises:
            LogError: always.
        """
        log.doubts, log.dirty = log.doubts + 1, True
        if log.doubts < DOUBTS_MAX and not self._store.damage.blocks(log):
            # No leaf is signed by itself: damage on the way looks like a log with two stories.
            self._store.drop_pending(log)
            log.awaited = None
            raise LogError("leaves_damaged", "the leaves that came do not add up to the tree head")
        raise LogError("log_forked", "the leaves do not add up to the tree head")

    def _check_signature(self, log: Log, size: int, root: bytes, signature: bytes) -> None:
        head = TreeHead(origin=log_origin(log.code, log.log_id), size=size, root=root)
        try:
            verify_head(log.owner, head, signature)
        except CryptoError as error:
            raise LinkError("head_forged", "the signature of a tree head is wrong") from error

    def _cosign(self, log: Log, now_ms: int) -> None:
        size = log.counted
        if size == 0:
            return
        first = size >> SUBTREE_LEVEL << SUBTREE_LEVEL
        if size < log.size and has_damage(self._store, log, now_ms, first):
            # Its root cannot be told.
            return
        # Of a revoked key's log, what counts: who passes it on must learn that it is here.
        head = TreeHead(origin=log.origin, size=size, root=self._store.root_at(log, size))
        made = cosign(self._key, key_name(self._subject.code), head, now_ms // 1000)
        self._store.put_cosignature(log, size, self._subject.tier.value, self._subject.code, made)
