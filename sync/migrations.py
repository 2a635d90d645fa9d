"""Tables of the replicated state, as named migrations; never edit one that was released.

The log tables (log, leaf, subtree, head) are the truth. Tables from `document` on are caches of it
and are rebuilt by `tiepdan rebuild`.
"""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("sync")


@migrations(name="0001_log")
def log_tables(db: Database) -> None:
    """Logs, their leaves, and what was agreed about them with other nodes."""
    for statement in _LOG_TABLES:
        db.execute(statement)


@migrations(name="0002_document")
def document_tables(db: Database) -> None:
    """What the leaves say, by document."""
    for statement in _DOCUMENT_TABLES:
        db.execute(statement)


@migrations(name="0003_epoch")
def epoch_tables(db: Database) -> None:
    """Leaves that were taken out of a log because it tells another story."""
    for statement in _EPOCH_TABLES:
        db.execute(statement)


@migrations(name="0004_revocation")
def revocation_tables(db: Database) -> None:
    """Keys that count no longer, and what of theirs is out of use."""
    for statement in _REVOCATION_TABLES:
        db.execute(statement)


@migrations(name="0005_blob_above")
def blob_above_table(db: Database) -> None:
    """What of each file went up; of files that were here before, all is taken to have gone."""
    db.execute(_BLOB_ABOVE)
    db.execute("INSERT INTO blob_above SELECT sha256, size_bytes FROM blob WHERE complete = 1")


@migrations(name="0006_audit")
def audit_tables(db: Database) -> None:
    """What the disk lost, and what comparing with other nodes showed."""
    for statement in _AUDIT_TABLES:
        db.execute(statement)


@migrations(name="0007_actor")
def actor_table(db: Database) -> None:
    """Actors that programs of devices chose, and whose they are."""
    db.execute(_WRITER_ACTOR)


@migrations(name="0008_outpost")
def outpost_table(db: Database) -> None:
    """Leaves by which communes say which outposts are theirs."""
    db.execute(_VOUCHING)


_LOG_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    # Always at a signed head: size, frontier and head_signature belong together.
    """CREATE TABLE log (
        number INTEGER PRIMARY KEY,
        log_id BLOB NOT NULL UNIQUE,
        owner BLOB NOT NULL,
        purpose TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        tier TEXT NOT NULL DEFAULT '',
        code TEXT NOT NULL DEFAULT '',
        source BLOB,
        size INTEGER NOT NULL DEFAULT 0,
        frontier BLOB NOT NULL DEFAULT x'',
        head_signature BLOB NOT NULL DEFAULT x'',
        awaited_size INTEGER NOT NULL DEFAULT 0,
        awaited_root BLOB NOT NULL DEFAULT x'',
        awaited_signature BLOB NOT NULL DEFAULT x'',
        fault TEXT NOT NULL DEFAULT '',
        doubts INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    # With row numbers: rows of a table without them spill onto a page of their own at 1 KB.
    """CREATE TABLE leaf (
        log INTEGER NOT NULL REFERENCES log(number),
        seq INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT""",
    # Leaves that arrived, but whose tree head has not, or does not fit.
    """CREATE TABLE pending_leaf (
        log INTEGER NOT NULL REFERENCES log(number),
        seq INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT""",
    # Frames that arrived but cannot be read yet, or parts of one; `count` leaves, 0 for a part.
    """CREATE TABLE early_frame (
        log INTEGER NOT NULL REFERENCES log(number),
        first_seq INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        total INTEGER NOT NULL,
        count INTEGER NOT NULL,
        dictionary BLOB NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (log, first_seq, offset)
    ) STRICT""",
    # Roots of perfect subtrees of 2^level leaves, level a multiple of 8; the rest is recomputed.
    """CREATE TABLE subtree (
        log INTEGER NOT NULL REFERENCES log(number),
        level INTEGER NOT NULL,
        position INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (log, level, position)
    ) STRICT, WITHOUT ROWID""",
    # Heads along the way, so that a long first copy can be checked and used piece by piece.
    """CREATE TABLE head (
        log INTEGER NOT NULL REFERENCES log(number),
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        signature BLOB NOT NULL,
        PRIMARY KEY (log, size)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE cosignature (
        log INTEGER NOT NULL REFERENCES log(number),
        peer BLOB NOT NULL,
        tier TEXT NOT NULL,
        code TEXT NOT NULL,
        size INTEGER NOT NULL,
        timestamp_s INTEGER NOT NULL,
        signature BLOB NOT NULL,
        PRIMARY KEY (log, peer)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE cursor (
        log INTEGER NOT NULL REFERENCES log(number),
        peer BLOB NOT NULL,
        acked INTEGER NOT NULL,
        PRIMARY KEY (log, peer)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE peer (
        peer BLOB PRIMARY KEY,
        tier TEXT NOT NULL,
        code TEXT NOT NULL,
        name TEXT NOT NULL,
        office_key BLOB NOT NULL,
        chain BLOB NOT NULL,
        is_child INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # Evidence that a log told two stories, or told one that does not add up.
    """CREATE TABLE alarm (
        number INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        code TEXT NOT NULL,
        log_id TEXT NOT NULL,
        detail TEXT NOT NULL,
        evidence TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE blob (
        sha256 BLOB PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        complete INTEGER NOT NULL,
        source BLOB
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX blob_missing ON blob (source) WHERE complete = 0",
)

_DOCUMENT_TABLES = (
    """CREATE TABLE writer (
        log INTEGER NOT NULL REFERENCES log(number),
        number INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (log, number)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE document (
        id BLOB PRIMARY KEY,
        kind TEXT NOT NULL,
        origin TEXT NOT NULL,
        changed_hlc INTEGER NOT NULL,
        registers BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # Where each applied change stands; a change sent on to a child stands in several logs.
    """CREATE TABLE change (
        document BLOB NOT NULL,
        hash BLOB NOT NULL,
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (document, hash, log)
    ) STRICT, WITHOUT ROWID""",
    # Changes whose dependencies have not arrived; `missing` is one of those.
    """CREATE TABLE waiting_change (
        document BLOB NOT NULL,
        hash BLOB NOT NULL,
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        missing BLOB NOT NULL,
        PRIMARY KEY (document, hash, log)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX waiting_for ON waiting_change (document, missing)",
    """CREATE TABLE event (
        document BLOB NOT NULL,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        body TEXT NOT NULL,
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        writer INTEGER NOT NULL,
        PRIMARY KEY (document, id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE blob_document (
        sha256 BLOB NOT NULL,
        document BLOB NOT NULL,
        PRIMARY KEY (sha256, document)
    ) STRICT, WITHOUT ROWID""",
    # Long texts as they read now, so that showing one does not open its document.
    """CREATE TABLE long_text (
        document BLOB NOT NULL,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (document, name)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE audience (document BLOB NOT NULL, code TEXT NOT NULL,"
    " PRIMARY KEY (document, code)) STRICT, WITHOUT ROWID",
    # Dead letters: stored, acknowledged, listed, and never in the way.
    """CREATE TABLE dead_letter (
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        document BLOB NOT NULL,
        code TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT, WITHOUT ROWID""",
)

_EPOCH_TABLES = (
    # Evidence, kept for good. `is_judged` is 0 while it is open whether the log says the same.
    """CREATE TABLE apart_leaf (
        number INTEGER PRIMARY KEY,
        log INTEGER NOT NULL REFERENCES log(number),
        seq INTEGER NOT NULL,
        data BLOB NOT NULL,
        is_judged INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX apart_leaf_open ON apart_leaf (log, seq) WHERE is_judged = 0",
)

_REVOCATION_TABLES = (
    # Each proves itself, so it stays wherever it came from; `statement` is its SHA-256.
    """CREATE TABLE revocation (
        statement BLOB PRIMARY KEY,
        peer BLOB NOT NULL,
        code TEXT NOT NULL,
        signer BLOB NOT NULL,
        signer_code TEXT NOT NULL,
        signer_name TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        reason TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # How many leaves of a revoked key's log count; NULL: all, for the key is not revoked.
    "ALTER TABLE log ADD COLUMN valid_size INTEGER",
    # What leaves of that type say, from here on.
    """CREATE TABLE revocation_leaf (
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        statement BLOB NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE void_change (
        hash BLOB NOT NULL,
        log INTEGER NOT NULL,
        statement BLOB NOT NULL,
        document BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (hash, log, statement)
    ) STRICT, WITHOUT ROWID""",
    # Where changes stand that do not count; each is a dead letter too.
    """CREATE TABLE quarantined_change (
        document BLOB NOT NULL,
        hash BLOB NOT NULL,
        log INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (document, hash, log)
    ) STRICT, WITHOUT ROWID""",
)

_VOUCHING = """CREATE TABLE vouching (
    peer BLOB NOT NULL,
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (peer, log, seq)
) STRICT, WITHOUT ROWID"""

_WRITER_ACTOR = """CREATE TABLE writer_actor (
    actor BLOB PRIMARY KEY,
    node BLOB NOT NULL,
    user TEXT NOT NULL
) STRICT, WITHOUT ROWID"""

# Lowered again when the tier above asks for bytes that it did not get.
_BLOB_ABOVE = """CREATE TABLE blob_above (
    sha256 BLOB PRIMARY KEY,
    sent_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID"""

_AUDIT_TABLES = (
    # Blocks of 2^8 leaves that do not add up to their log's head.
    """CREATE TABLE damage (
        log INTEGER NOT NULL REFERENCES log(number),
        position INTEGER NOT NULL,
        found_ms INTEGER NOT NULL,
        PRIMARY KEY (log, position)
    ) STRICT, WITHOUT ROWID""",
    # The last comparison with each peer, 0 before the first; the next is due a day after since_ms.
    """CREATE TABLE peer_audit (
        peer BLOB PRIMARY KEY,
        since_ms INTEGER NOT NULL,
        at_ms INTEGER NOT NULL DEFAULT 0,
        logs INTEGER NOT NULL DEFAULT 0,
        lacked INTEGER NOT NULL DEFAULT 0,
        came_back INTEGER NOT NULL DEFAULT 0,
        lacked_there INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID""",
)
