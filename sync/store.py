"""The store: logs, leaves, peers and blobs in SQLite, one transaction at a time.

A Log in memory mirrors its row; whatever a transaction changed is written when it commits, and a
rollback throws every Log away, so memory is never ahead of the disk.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from crypto.merkle import inclusion_proof, leaf_hash, parent_hash, root_at
from crypto.note import Cosignature, key_name
from schemas.codes import Tier
from sync.damage import Damage
from sync.database import Connection, translated
from sync.early import EarlyFrames
from sync.errors import LogError, StoreError
from sync.log import SELECT_LOG, SUBTREE_LEVEL, UPDATE_LOG, Log, log_of, row_of
from sync.peers import SELECT_PEER, peer_of
from sync.peers import Peer as Peer


class Store:
    """Tables of the log; see sync/migrations.py for what each holds."""

    def __init__(self, connection: Connection) -> None:
        """Work on a connection that open_database returned."""
        self.db = connection
        self.early = EarlyFrames(connection)
        self.damage = Damage(connection)
        # Peer id of the node itself, said by whoever writes in its name.
        self.own_key = b""
        self._logs: dict[bytes, Log] = {}
        self._log_ids: list[bytes] | None = None
        self._children: list[Peer] | None = None
        # Leaves below were handed to a link, by peer and number of the log. No rollback takes them
        # back: what of it never left, the peer lacks and says so.
        self.handed_out: dict[bytes, dict[int, int]] = {}
        # Logs of others that the tier above gave back, with their size then: their owners may be on
        # an open link, and lack them too.
        self.given_back: dict[bytes, int] = {}
        # Counts news about cosignatures, so that sessions look only when there is some.
        self.cosignature_news = 0
        # Counts what may concern sessions, or more: by purpose, logs that grew or were stopped; by
        # peer, what there is to tell it about its own logs, or to ask it for.
        self.news: Counter[str | bytes | None] = Counter()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one unit of work; all of it becomes durable, or none.

        Raises:
            StoreError: SQLite failed; nothing was changed.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self._flush()
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise translated(error) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        self._logs.clear()
        self._log_ids = self._children = None
        self.damage.forget()
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    def _flush(self) -> None:
        for log in self._logs.values():
            if not log.dirty:
                continue
            if log.unsigned:
                raise StoreError("head_unsigned", "a log was extended without a signed head")
            self.news[log.purpose] += 1
            self.db.execute(UPDATE_LOG, row_of(log))
            if log.subtrees:
                # Who looked at the log in this transaction may have put one of them right.
                self.db.executemany(
                    "INSERT OR REPLACE INTO subtree (log, level, position, hash)"
                    " VALUES (?, ?, ?, ?)",
                    [(log.number, *subtree) for subtree in log.subtrees],
                )
                log.subtrees = []
            log.dirty = False

    # Facts about the node itself

    def meta(self, key: str) -> bytes | None:
        """Return a stored fact, or None."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_meta(self, key: str, value: bytes) -> None:
        """Store a fact."""
        self.db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    # Logs

    def find_log(self, log_id: bytes) -> Log | None:
        """Return a log by its id."""
        log = self._logs.get(log_id)
        if log is None:
            row = self.db.execute(f"{SELECT_LOG} WHERE log_id = ?", (log_id,)).fetchone()
            if row is not None:
                log = self._logs[log_id] = log_of(row)
        return log

    def is_own(self, node: bytes) -> bool:
        """Tell whether logs of a key are written here, or will be."""
        if node == self.own_key:
            return True
        row = self.db.execute("SELECT 1 FROM log WHERE owner = ? AND source IS NULL", (node,))
        return row.fetchone() is not None

    def claim_actor(self, actor: bytes, node: bytes, user: str) -> bool:
        """Give a writer the actor that its program chose; False if another has it."""
        row = self.db.execute(
            "INSERT INTO writer_actor VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET node = node RETURNING node, user",
            (actor, node, user),
        ).fetchone()
        return tuple(row) == (node, user)

    def log_by_number(self, number: int) -> Log:
        """Return a log by its row number.

        Raises:
            LogError: there is no such log.
        """
        row = self.db.execute("SELECT log_id FROM log WHERE number = ?", (number,)).fetchone()
        log = self.find_log(bytes(row[0])) if row else None
        if log is None:
            raise LogError("log_unknown", f"there is no log number {number}")
        return log

    def logs(self) -> list[Log]:
        """Return all logs, oldest first."""
        if self._log_ids is None:
            rows = self.db.execute("SELECT log_id FROM log ORDER BY number").fetchall()
            self._log_ids = [bytes(row[0]) for row in rows]
        return [log for log_id in self._log_ids if (log := self.find_log(log_id))]

    def logs_unsigned(self) -> list[Log]:
        """Return the own logs that grew in this transaction and need a signed head."""
        return [log for log in self._logs.values() if log.unsigned]

    def create_log(
        self,
        *,
        log_id: bytes,
        owner: bytes,
        purpose: str,
        epoch: int,
        tier: str = "",
        code: str = "",
        source: bytes | None = None,
    ) -> Log:
        """Insert an empty log and return it."""
        cursor = self.db.execute(
            "INSERT INTO log (log_id, owner, purpose, epoch, tier, code, source)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (log_id, owner, purpose, epoch, tier, code, source),
        )
        assert cursor.lastrowid is not None
        log = Log(
            number=cursor.lastrowid,
            log_id=log_id,
            owner=owner,
            purpose=purpose,
            epoch=epoch,
            tier=tier,
            code=code,
            source=source,
        )
        self._logs[log_id] = log
        self._log_ids = None
        return log

    # Leaves

    def put_leaf(self, log: Log, seq: int, leaf: bytes) -> None:
        """Store one leaf at its number."""
        self.db.execute("INSERT INTO leaf VALUES (?, ?, ?)", (log.number, seq, leaf))

    def leaf(self, log_number: int, seq: int) -> bytes:
        """Return one leaf.

        Raises:
            LogError: the log does not hold it.
        """
        row = self.db.execute(
            "SELECT data FROM leaf WHERE log = ? AND seq = ?", (log_number, seq)
        ).fetchone()
        if row is None:
            raise self._missing(log_number, seq)
        return bytes(row[0])

    def _missing(self, log_number: int, seq: int) -> LogError:
        self.damage.suspect(log_number, seq)
        return LogError("leaf_missing", f"leaf {seq} is not in log {log_number}")

    def leaves(self, log: Log, start: int, count: int) -> list[bytes]:
        """Return up to count leaves from start on.

        Raises:
            LogError: the log lacks one of those that its head covers.
        """
        rows = self.db.execute(
            "SELECT data FROM leaf WHERE log = ? AND seq >= ? AND seq < ? ORDER BY seq",
            (log.number, start, start + count),
        )
        found = [row[0] for row in rows]
        if len(found) < min(log.size - start, count):
            raise self._missing(log.number, start)
        return found

    def put_pending(self, log: Log, first_seq: int, leaves: Sequence[bytes]) -> None:
        """Keep leaves whose tree head has not come; the first copy of a number stays."""
        log.arrivals += 1
        self.db.executemany(
            "INSERT OR IGNORE INTO pending_leaf VALUES (?, ?, ?)",
            [(log.number, first_seq + offset, leaf) for offset, leaf in enumerate(leaves)],
        )

    def pending_numbers(self, log: Log) -> list[int]:
        """Return the numbers of all pending leaves, ascending."""
        rows = self.db.execute(
            "SELECT seq FROM pending_leaf WHERE log = ? ORDER BY seq", (log.number,)
        )
        return [row[0] for row in rows]

    def pending(self, log: Log, start: int, end: int) -> list[bytes]:
        """Return the pending leaves from start up to, not including, end."""
        rows = self.db.execute(
            "SELECT data FROM pending_leaf WHERE log = ? AND seq >= ? AND seq < ? ORDER BY seq",
            (log.number, start, end),
        )
        return [row[0] for row in rows]

    def drop_pending(self, log: Log) -> None:
        """Forget what came of a log and no tree head covers; its sender has it."""
        log.arrivals += 1
        self.db.execute("DELETE FROM pending_leaf WHERE log = ?", (log.number,))
        self.early.drop_all(log)

    def promote(self, log: Log, start: int, end: int) -> None:
        """Move pending leaves, now covered by a tree head, to the log."""
        log.arrivals += 1
        bounds = (log.number, start, end)
        self.db.execute(
            "INSERT INTO leaf SELECT log, seq, data FROM pending_leaf"
            " WHERE log = ? AND seq >= ? AND seq < ?",
            bounds,
        )
        self.db.execute("DELETE FROM pending_leaf WHERE log = ? AND seq >= ? AND seq < ?", bounds)

    def writer_seq(self, log: Log, number: int) -> int:
        """Return the number of the leaf that declares a writer.

        Raises:
            LogError: the log declares no such writer.
        """
        row = self.db.execute(
            "SELECT seq FROM writer WHERE log = ? AND number = ?", (log.number, number)
        ).fetchone()
        if row is None:
            raise LogError("writer_unknown", f"the log declares no writer {number}")
        return int(row[0])

    # Tree

    def subtree_hash(self, log: Log, level: int, position: int) -> bytes:
        """Return the root of the perfect subtree of 2^level leaves at position."""
        if level == 0:
            return leaf_hash(self.leaf(log.number, position))
        if level % SUBTREE_LEVEL == 0:
            row = self.db.execute(
                "SELECT hash FROM subtree WHERE log = ? AND level = ? AND position = ?",
                (log.number, level, position),
            ).fetchone()
            if row is not None:
                return bytes(row[0])
        left = self.subtree_hash(log, level - 1, 2 * position)
        return parent_hash(left, self.subtree_hash(log, level - 1, 2 * position + 1))

    def root_at(self, log: Log, size: int) -> bytes:
        """Return the root over the first size leaves."""
        if size == log.size:
            return log.frontier.root()
        return root_at(size, lambda level, position: self.subtree_hash(log, level, position))

    def inclusion_proof(self, log: Log, seq: int, size: int) -> list[bytes]:
        """Return the hashes from leaf seq to the root over size leaves."""
        return inclusion_proof(
            seq, size, lambda level, position: self.subtree_hash(log, level, position)
        )

    def put_head(self, log: Log, size: int, root: bytes, signature: bytes) -> None:
        """Keep a head on the way."""
        self.db.execute(
            "INSERT OR IGNORE INTO head VALUES (?, ?, ?, ?)", (log.number, size, root, signature)
        )

    def next_head(self, log: Log, above: int) -> tuple[int, bytes, bytes]:
        """Return (size, root, signature) of the first head that covers more than above leaves."""
        row = self.db.execute(
            "SELECT size, root, signature FROM head WHERE log = ? AND size > ? ORDER BY size",
            (log.number, above),
        ).fetchone()
        if row is not None:
            return row[0], bytes(row[1]), bytes(row[2])
        return log.size, log.frontier.root(), log.head_signature

    def kept_heads(self, log: Log, needed: int) -> list[tuple[int, bytes, bytes]]:
        """Return (size, root, signature) of kept heads that cover at least so many leaves."""
        rows = self.db.execute(
            "SELECT size, root, signature FROM head WHERE log = ? AND size >= ? ORDER BY size",
            (log.number, needed),
        )
        return [(row[0], bytes(row[1]), bytes(row[2])) for row in rows]

    # Agreements with peers

    def put_cosignature(self, log: Log, size: int, tier: str, code: str, c: Cosignature) -> bool:
        """Keep a cosignature unless a newer one is here; return whether it was kept.

        A cosigner's size never goes back.
        """
        cursor = self.db.execute(
            "INSERT INTO cosignature VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (log, peer) DO UPDATE"
            " SET size=excluded.size, timestamp_s=excluded.timestamp_s,"
            " signature=excluded.signature, tier=excluded.tier, code=excluded.code"
            " WHERE excluded.size > cosignature.size",
            (log.number, c.peer_id, tier, code, size, c.timestamp_s, c.signature),
        )
        self.cosignature_news += cursor.rowcount
        self.news[log.source] += cursor.rowcount
        return cursor.rowcount > 0

    def cosignatures(self, log: Log) -> list[tuple[int, str, Cosignature]]:
        """Return (size, tier, cosignature) of each cosigner, highest tier last."""
        rows = self.db.execute(
            "SELECT size, tier, peer, code, timestamp_s, signature FROM cosignature WHERE log = ?",
            (log.number,),
        ).fetchall()
        found = [
            (
                size,
                tier,
                Cosignature(
                    peer_id=bytes(peer),
                    name=key_name(code),
                    timestamp_s=timestamp_s,
                    signature=bytes(signature),
                ),
            )
            for size, tier, peer, code, timestamp_s, signature in rows
        ]
        return sorted(found, key=lambda row: (-_RANK[row[1]], row[2].peer_id))

    def drop_cosignature(self, log: Log, peer_id: bytes, above: int) -> None:
        """Forget that a node countersigned more leaves than so many."""
        self.db.execute(
            "DELETE FROM cosignature WHERE log = ? AND peer = ? AND size > ?",
            (log.number, peer_id, above),
        )

    def cosigned_by(self, log: Log, peer_id: bytes) -> int:
        """Return how many leaves that node has countersigned."""
        row = self.db.execute(
            "SELECT size FROM cosignature WHERE log = ? AND peer = ?", (log.number, peer_id)
        ).fetchone()
        return row[0] if row else 0

    def cosigned_size(self, log: Log, tier: Tier) -> int:
        """Return how many leaves a node of that tier has countersigned."""
        row = self.db.execute(
            "SELECT max(size) FROM cosignature WHERE log = ? AND tier = ?", (log.number, tier.value)
        ).fetchone()
        return row[0] or 0

    def cursor(self, log: Log, peer_id: bytes) -> int:
        """Return how many leaves the peer last said it holds."""
        row = self.db.execute(
            "SELECT acked FROM cursor WHERE log = ? AND peer = ?", (log.number, peer_id)
        ).fetchone()
        return row[0] if row else 0

    def set_cursor(self, log: Log, peer_id: bytes, acked: int) -> None:
        """Remember how many leaves the peer holds."""
        self.db.execute(
            "INSERT INTO cursor VALUES (?, ?, ?)"
            " ON CONFLICT (log, peer) DO UPDATE SET acked = excluded.acked",
            (log.number, peer_id, acked),
        )

    def put_peer(self, peer: Peer) -> bool:
        """Remember a peer; return whether it was not known with these facts before."""
        cursor = self.db.execute(
            "INSERT INTO peer VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (peer) DO UPDATE SET"
            " tier=excluded.tier, code=excluded.code, name=excluded.name,"
            " office_key=excluded.office_key, chain=excluded.chain,"
            " is_child=max(is_child, excluded.is_child) WHERE (tier, code, chain, is_child)"
            " IS NOT (excluded.tier, excluded.code, excluded.chain, excluded.is_child)",
            (
                peer.peer_id,
                peer.tier,
                peer.code,
                peer.name,
                peer.office_key,
                peer.chain,
                int(peer.is_child),
            ),
        )
        self._children = None
        return cursor.rowcount > 0

    def peer(self, peer_id: bytes) -> Peer | None:
        """Return a known peer."""
        row = self.db.execute(f"{SELECT_PEER} WHERE peer = ?", (peer_id,)).fetchone()
        return peer_of(row) if row else None

    def peers(self) -> list[Peer]:
        """Return all known peers, by code and key."""
        return [peer_of(row) for row in self.db.execute(f"{SELECT_PEER} ORDER BY code, peer")]

    def children(self) -> Sequence[Peer]:
        """Return the peers below, by code and key."""
        if self._children is None:
            self._children = [peer for peer in self.peers() if peer.is_child]
        return self._children

    # Blobs: which files exist; their bytes are in files

    def want_blob(
        self, sha256: bytes, document: bytes, size_bytes: int, source: bytes | None
    ) -> None:
        """Note that a document refers to a blob; it is fetched from source unless it is here."""
        self.news[source] += 1
        self.db.execute("INSERT OR IGNORE INTO blob_document VALUES (?, ?)", (sha256, document))
        self.db.execute(
            "INSERT OR IGNORE INTO blob VALUES (?, ?, 0, ?)", (sha256, size_bytes, source)
        )

    def seek_blobs(self, source: bytes) -> None:
        """Fetch from a peer what we once had ourselves and do not have any more."""
        self.news[source] += 1
        orphaned = "source IS NULL AND complete = 0"
        self.db.execute(f"UPDATE blob SET source = ? WHERE {orphaned}", (source,))

    def blob_arrived(self, sha256: bytes, size_bytes: int) -> None:
        """Note that the blob's bytes are in their file."""
        self.db.execute(
            "INSERT INTO blob VALUES (?, ?, 1, NULL)"
            " ON CONFLICT (sha256) DO UPDATE SET complete = 1, size_bytes = excluded.size_bytes",
            (sha256, size_bytes),
        )

    def blob_concerns(self, sha256: bytes, child: bytes) -> bool:
        """Tell whether a child may see a document that refers to the blob."""
        row = self.db.execute(
            "SELECT 1 FROM blob_document b JOIN audience a ON a.document = b.document JOIN peer p"
            " ON a.code = p.code OR a.code LIKE p.code || '.%' WHERE b.sha256 = ? AND p.peer = ?",
            (sha256, child),
        ).fetchone()
        return row is not None

    def missing_blobs(self, source: bytes, count: int) -> list[tuple[bytes, int]]:
        """Return (sha256, size) of blobs to fetch from source, smallest first."""
        rows = self.db.execute(
            "SELECT sha256, size_bytes FROM blob WHERE source = ? AND complete = 0"
            " ORDER BY size_bytes, sha256 LIMIT ?",
            (source, count),
        )
        return [(bytes(row[0]), row[1]) for row in rows]

    def raise_alarm(
        self, *, now_ms: int, code: str, log_id: bytes, detail: str, evidence: str
    ) -> None:
        """Record what a person must look at."""
        self.db.execute(
            "INSERT INTO alarm (at_ms, code, log_id, detail, evidence) VALUES (?, ?, ?, ?, ?)",
            (now_ms, code, log_id.hex(), detail, evidence),
        )


_RANK = {
    tier.value: rank
    for rank, tier in enumerate((Tier.CENTRE, Tier.PROVINCE, Tier.COMMUNE, Tier.OUTPOST))
}
