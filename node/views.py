"""The view tables: plain tables that people, sqlite-utils and Datasette read.

They are made from the records and hold nothing of their own: `tiepdan rebuild` makes them again
with the same content. Column by column they are described in docs/TABLES.md.
"""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("node")

# In which column each says from which document its rows are made.
DOCUMENT_COLUMNS = {
    "visits": "id",
    "visit_people": "visit_id",
    "visit_petitions": "visit_id",
    "people": "id",
    "petitions": "id",
    "groups": "id",
    "cases": "id",
    "case_people": "case_id",
    "case_deadlines": "case_id",
    "directives": "id",
    "directive_offices": "directive_id",
    "attachments": "document_id",
    "timeline": "document_id",
    "rivals": "document_id",
    "record_logs": "document_id",
}
VIEW_TABLES = tuple(DOCUMENT_COLUMNS)


@migrations(name="0001_views")
def view_tables(db: Database) -> None:
    """Tables made from records."""
    for statement in _VIEWS:
        db.execute(statement)


@migrations(name="0002_office")
def office_tables(db: Database) -> None:
    """Tables of this node alone: accounts, sign-ins, drafts, the audit trail."""
    for statement in _OFFICE:
        db.execute(statement)


@migrations(name="0003_lists")
def list_indexes(db: Database) -> None:
    """Indexes for lists of cases, so that a rare filter need not read all of them."""
    for statement in _LISTS:
        db.execute(statement)


@migrations(name="0004_ticket")
def ticket_column(db: Database) -> None:
    """The secret by which a program connects in the name of who is signed in."""
    db.execute("ALTER TABLE sign_in ADD COLUMN ticket_hash BLOB")
    db.execute("CREATE UNIQUE INDEX sign_in_ticket ON sign_in (ticket_hash)")


@migrations(name="0005_paired_devices")
def paired_devices(db: Database) -> None:
    """Devices with keys of their own beside browsers known by a cookie, and their revocation."""
    for statement in _PAIRED_DEVICES:
        db.execute(statement)


_PAIRED_DEVICES = (
    # A paired device has no cookie before it proves its key, a revoked one none any more.
    """CREATE TABLE device_with_key (
        device BLOB PRIMARY KEY,
        secret_hash BLOB UNIQUE,
        name TEXT NOT NULL,
        first_seen_ms INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL,
        scope TEXT NOT NULL,
        point BLOB,
        certificate BLOB,
        paired_by TEXT NOT NULL DEFAULT '',
        revoked_ms INTEGER,
        revoked_by TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    "INSERT INTO device_with_key (device, secret_hash, name, first_seen_ms, seen_ms, scope)"
    " SELECT device, secret_hash, name, first_seen_ms, first_seen_ms, 'work' FROM device",
    "DROP TABLE device",
    "ALTER TABLE device_with_key RENAME TO device",
)


@migrations(name="0006_people")
def people_tables(db: Database) -> None:
    """One-time passwords, known browsers, passkeys; a chained trail; who has the same paper."""
    for statement in _PEOPLE:
        db.execute(statement)


@migrations(name="0007_outposts")
def outpost_tables(db: Database) -> None:
    """Accounts that came from the commune, and when nodes below were heard of."""
    for statement in _OUTPOSTS:
        db.execute(statement)


_LISTS = (
    # The index would merge its parts within commits, in pieces of 30 ms; the node does it beside.
    "INSERT INTO case_search (case_search, rank) VALUES ('automerge', 0)",
    # A search looks up what it filters by in these narrow rows instead of in the wide table.
    "CREATE INDEX cases_narrow ON cases (number, state, case_type, commune, is_open, in_conflict,"
    " rival_fields, due_on, received_on, changed_ms)",
    "CREATE INDEX cases_conflict ON cases (changed_ms) WHERE in_conflict = 1 OR rival_fields > 0",
    "CREATE INDEX cases_open_changed ON cases (is_open, changed_ms)",
    "CREATE INDEX cases_due ON cases (due_on) WHERE due_on != ''",
    "CREATE INDEX cases_type ON cases (case_type, changed_ms)",
    "CREATE INDEX cases_state_changed ON cases (state, changed_ms)",
    "DROP INDEX cases_state",
)

_VIEWS = (
    """CREATE TABLE visits (
        id TEXT PRIMARY KEY,
        commune TEXT NOT NULL,
        held_on TEXT NOT NULL,
        kind TEXT NOT NULL,
        place TEXT NOT NULL,
        register_number TEXT NOT NULL,
        result TEXT NOT NULL,
        statement TEXT NOT NULL,
        officer TEXT NOT NULL,
        changed_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX visits_held ON visits (held_on)",
    """CREATE TABLE visit_people (
        visit_id TEXT NOT NULL, person_id TEXT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (visit_id, person_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE visit_petitions (
        visit_id TEXT NOT NULL, petition_id TEXT NOT NULL, case_id TEXT NOT NULL,
        PRIMARY KEY (visit_id, petition_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX visit_petitions_case ON visit_petitions (case_id)",
    """CREATE TABLE people (
        id TEXT PRIMARY KEY,
        commune TEXT NOT NULL,
        full_name TEXT NOT NULL,
        birth_year INTEGER,
        address TEXT NOT NULL,
        phone TEXT NOT NULL,
        identity_type TEXT NOT NULL,
        identity_sealed TEXT NOT NULL,
        changed_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE petitions (
        id TEXT PRIMARY KEY,
        commune TEXT NOT NULL,
        lodged_on TEXT NOT NULL,
        channel TEXT NOT NULL,
        stated_type TEXT NOT NULL,
        identity_mode TEXT NOT NULL,
        title TEXT NOT NULL,
        content TEXT NOT NULL,
        request TEXT NOT NULL,
        respondent_name TEXT NOT NULL,
        respondent_code TEXT NOT NULL,
        petition_date TEXT NOT NULL,
        decision_number TEXT NOT NULL,
        decision_date TEXT NOT NULL,
        settled_by TEXT NOT NULL,
        envelope_number TEXT NOT NULL,
        sealed_ref TEXT NOT NULL,
        changed_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE groups (
        id TEXT PRIMARY KEY,
        commune TEXT NOT NULL,
        name TEXT NOT NULL,
        people_count INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE cases (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        commune TEXT NOT NULL,
        title TEXT NOT NULL,
        summary TEXT NOT NULL,
        case_type TEXT NOT NULL,
        instance INTEGER NOT NULL,
        state TEXT NOT NULL,
        is_open INTEGER NOT NULL,
        in_conflict INTEGER NOT NULL,
        rival_fields INTEGER NOT NULL,
        topic TEXT NOT NULL,
        location TEXT NOT NULL,
        respondent_name TEXT NOT NULL,
        respondent_code TEXT NOT NULL,
        register_number TEXT NOT NULL,
        envelope_number TEXT NOT NULL,
        sealed_ref TEXT NOT NULL,
        people TEXT NOT NULL,
        group_id TEXT NOT NULL,
        petition_id TEXT NOT NULL,
        visit_id TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        assigned_to TEXT NOT NULL,
        channel TEXT NOT NULL,
        received_on TEXT NOT NULL,
        accepted_on TEXT NOT NULL,
        decided_on TEXT NOT NULL,
        closed_reason TEXT NOT NULL,
        due_on TEXT NOT NULL,
        due_rule TEXT NOT NULL,
        officer TEXT NOT NULL,
        last_by TEXT NOT NULL,
        changed_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX cases_open ON cases (is_open, due_on)",
    "CREATE INDEX cases_changed ON cases (changed_ms)",
    "CREATE INDEX cases_state ON cases (state)",
    "CREATE INDEX cases_commune ON cases (commune, changed_ms)",
    # A query must say `!= ''` too, or SQLite does not use an index of some rows.
    "CREATE INDEX cases_petition ON cases (petition_id) WHERE petition_id != ''",
    "CREATE INDEX cases_parent ON cases (parent_id) WHERE parent_id != ''",
    """CREATE TABLE case_people (
        case_id TEXT NOT NULL, person_id TEXT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (case_id, person_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX case_people_person ON case_people (person_id)",
    """CREATE TABLE case_deadlines (
        case_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        kind TEXT NOT NULL,
        trigger_on TEXT NOT NULL,
        due_on TEXT NOT NULL,
        met_on TEXT NOT NULL,
        source TEXT NOT NULL,
        verified INTEGER NOT NULL,
        note TEXT NOT NULL,
        notices TEXT NOT NULL,
        PRIMARY KEY (case_id, rule, trigger_on)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE directives (
        id TEXT PRIMARY KEY,
        origin TEXT NOT NULL,
        case_id TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        letter_number TEXT NOT NULL,
        issued_ms INTEGER NOT NULL,
        due_on TEXT NOT NULL,
        state TEXT NOT NULL,
        report TEXT NOT NULL,
        issued_by TEXT NOT NULL,
        changed_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX directives_case ON directives (case_id)",
    """CREATE TABLE directive_offices (
        directive_id TEXT NOT NULL, code TEXT NOT NULL,
        PRIMARY KEY (directive_id, code)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE attachments (
        document_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        name TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        PRIMARY KEY (document_id, event_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE timeline (
        document_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        body TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        tier TEXT NOT NULL,
        office TEXT NOT NULL,
        refusal TEXT NOT NULL,
        PRIMARY KEY (document_id, event_id)
    ) STRICT, WITHOUT ROWID""",
    # Fields with more than one standing value; position 0 is the one shown.
    """CREATE TABLE rivals (
        document_id TEXT NOT NULL,
        field TEXT NOT NULL,
        position INTEGER NOT NULL,
        value TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        office TEXT NOT NULL,
        PRIMARY KEY (document_id, field, position)
    ) STRICT, WITHOUT ROWID""",
    # The newest leaf of each document in each up log; cosigned sizes then say who has it.
    """CREATE TABLE record_logs (
        document_id TEXT NOT NULL,
        log INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        PRIMARY KEY (document_id, log)
    ) STRICT, WITHOUT ROWID""",
    # Folded text (no diacritics, d for đ); rowid is cases.number.
    "CREATE VIRTUAL TABLE case_search USING fts5 (text, prefix='2 3', tokenize='unicode61')",
)

_OFFICE = (
    """CREATE TABLE account (
        user TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        password TEXT NOT NULL,
        is_active INTEGER NOT NULL DEFAULT 1,
        language TEXT NOT NULL DEFAULT 'vi'
    ) STRICT""",
    """CREATE TABLE sign_in (
        token_hash BLOB PRIMARY KEY,
        user TEXT NOT NULL REFERENCES account(user),
        device BLOB NOT NULL,
        csrf TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE device (
        device BLOB PRIMARY KEY,
        secret_hash BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        first_seen_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE failed_sign_in (
        user TEXT NOT NULL, device BLOB NOT NULL, at_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX failed_sign_in_user ON failed_sign_in (user, at_ms)",
    """CREATE TABLE draft (
        user TEXT NOT NULL, id TEXT NOT NULL, saved_ms INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (user, id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        user TEXT NOT NULL,
        role TEXT NOT NULL,
        action TEXT NOT NULL,
        document_id TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX audit_document ON audit (document_id)",
    # Answers by request id, so that a repeated request is answered and not done twice.
    """CREATE TABLE done_request (
        id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, answer TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

_PEOPLE = (
    "ALTER TABLE account ADD COLUMN once_until_ms INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE known_browser (
        user TEXT NOT NULL, device BLOB NOT NULL, PRIMARY KEY (user, device)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE passkey (
        credential BLOB PRIMARY KEY,
        user TEXT NOT NULL REFERENCES account(user),
        site TEXT NOT NULL,
        data BLOB NOT NULL,
        uses INTEGER NOT NULL,
        name TEXT NOT NULL,
        made_ms INTEGER NOT NULL,
        used_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX passkey_user ON passkey (user)",
    "ALTER TABLE audit ADD COLUMN link BLOB NOT NULL DEFAULT x''",
    "CREATE INDEX audit_user ON audit (user, number)",
    """CREATE TRIGGER audit_kept BEFORE DELETE ON audit
        BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END""",
    """CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit
        BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END""",
    # The newest lines whose hash went into the signed log.
    """CREATE TABLE trail_mark (
        lines INTEGER PRIMARY KEY, link BLOB NOT NULL, at_ms INTEGER NOT NULL
    ) STRICT""",
    # Marks made with a secret that is not in the database; equal marks are equal numbers of papers.
    """CREATE TABLE paper_mark (
        person_id TEXT PRIMARY KEY,
        changed_ms INTEGER NOT NULL,
        office_key BLOB NOT NULL,
        mark BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX paper_mark_mark ON paper_mark (mark) WHERE mark != x''",
)

_OUTPOSTS = (
    # The hash of the password as it came last; the account may have another by now.
    """CREATE TABLE travelled (
        user TEXT PRIMARY KEY REFERENCES account(user), password TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE contact (
        peer BLOB PRIMARY KEY, at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
