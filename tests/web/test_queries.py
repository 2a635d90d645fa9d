"""Goal: lists show each case that the filter lets through exactly once, and say truly who holds it.

Method: rows are drawn by hypothesis and put into the real tables; the answer is compared with plain
Python over the same rows.
"""

import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.bulk import file_times, send_now
from node.config import Config
from node.folding import fold
from node.queries.cases import SOON_DAYS, CaseFilter, Place, list_cases
from node.queries.facts import Office
from node.queries.sync_state import sync_states, waiting, waiting_files
from node.queries.today import today, yesterday_ms
from node.station import MIGRATIONS
from schemas.codes import CaseState, CaseType, Tier
from sync.database import open_database
from sync.store import Store

TODAY = date(2026, 11, 24)
PLACE = Place(own=Office(code="40.17083", name="Mường Xén"), tier=Tier.COMMUNE, today=TODAY)
EMPTY = (
    *("summary", "topic", "location", "respondent_name", "respondent_code", "register_number"),
    *("envelope_number", "sealed_ref", "people", "group_id", "petition_id", "visit_id"),
    *("parent_id", "assigned_to", "channel", "accepted_on", "decided_on", "closed_reason"),
    *("due_rule", "officer", "last_by"),
)
# At the place.
NOON_MS = 1_795_000_000_000 // 86_400_000 * 86_400_000 + 5 * 3_600_000
DEFAULTS: dict[str, Any] = {"instance": 1, "rival_fields": 0, **dict.fromkeys(EMPTY, "")}


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


@pytest.fixture(scope="module")
def tables() -> Iterator[sqlite3.Connection]:
    db = open_database(":memory:", MIGRATIONS)
    db.row_factory = sqlite3.Row
    yield db
    db.close()


@pytest.fixture
def db(tables: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    tables.execute("BEGIN")
    yield tables
    tables.execute("ROLLBACK")


def refill(db: sqlite3.Connection, rows: list[dict[str, Any]]) -> None:
    for table in ("cases", "case_search"):
        db.execute(f"DELETE FROM {table}")
    for number, row in enumerate(rows, start=1):
        insert(db, "cases", {"number": number, "id": f"case-{number}", **DEFAULTS, **row})
        db.execute(
            "INSERT INTO case_search (rowid, text) VALUES (?, ?)", (number, fold(row["title"]))
        )


days = st.integers(-20, 20).map(lambda n: (TODAY + timedelta(days=n)).isoformat())
WORDS = ["đất", "rẫy", "cầu", "treo", "đường", "dân"]
cases = st.fixed_dictionaries(
    {
        "commune": st.sampled_from(["40.17083", "40.17101"]),
        "title": st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
        "case_type": st.sampled_from(sorted(CaseType)).map(str),
        "state": st.sampled_from(sorted(CaseState)).map(str),
        "is_open": st.integers(0, 1),
        "in_conflict": st.integers(0, 1),
        "rival_fields": st.integers(0, 2),
        "due_on": st.one_of(st.just(""), days),
        "received_on": days,
        "changed_ms": st.integers(0, 5).map(lambda n: 1_795_000_000_000 + n),
    }
)
filters = st.builds(
    CaseFilter,
    text=st.sampled_from(["", "dat", "DUONG da", "cau treo", "khong co"]),
    state=st.one_of(st.none(), st.sampled_from(list(CaseState))),
    case_type=st.one_of(st.none(), st.sampled_from(list(CaseType))),
    commune=st.sampled_from(["", "40.17101"]),
    only=st.sampled_from(["", "open", "closed", "overdue", "soon", "conflict", "new"]),
    order=st.sampled_from(["changed", "due", "number"]),
    size=st.integers(1, 4),
)


def lets_through(row: dict[str, Any], wanted: CaseFilter, since_ms: int) -> bool:
    is_due = row["is_open"] and row["due_on"]
    days_left = (date.fromisoformat(row["due_on"]) - TODAY).days if row["due_on"] else 0
    words = row["title"].split()
    tests = {
        "": True,
        "open": row["is_open"],
        "closed": not row["is_open"],
        "overdue": is_due and days_left < 0,
        "soon": is_due and 0 <= days_left <= SOON_DAYS,
        "conflict": row["in_conflict"] or row["rival_fields"],
        "new": row["changed_ms"] >= since_ms
        and row["received_on"] >= (TODAY - timedelta(days=1)).isoformat(),
    }
    return bool(
        tests[wanted.only]
        and all(any(fold(w).startswith(q) for w in words) for q in fold(wanted.text).split())
        and wanted.state in (None, row["state"])
        and wanted.case_type in (None, row["case_type"])
        and wanted.commune in ("", row["commune"])
        and (row["due_on"] or wanted.order != "due" or wanted.only in ("overdue", "soon"))
    )


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(cases, max_size=12), wanted=filters, since=st.integers(0, 5))
def test_pages_together_show_each_wanted_case_once_and_in_order(
    tables: sqlite3.Connection, rows: list[dict[str, Any]], wanted: CaseFilter, since: int
) -> None:
    since_ms = 1_795_000_000_000 + since
    refill(tables, rows)
    seen, after = [], ""
    for _ in range(20):
        query = wanted.model_copy(update={"after": after})
        page = list_cases(tables, PLACE, query, since_ms=since_ms)
        seen += page.cases
        after = page.next
        if not after:
            break
    expected = [
        f"case-{number}"
        for number, row in enumerate(rows, start=1)
        if lets_through(row, wanted, since_ms)
    ]
    assert sorted(line.id for line in seen) == sorted(expected)
    assert page.count == len(expected)
    if not wanted.text and (wanted.order == "due" or wanted.only in ("overdue", "soon")):
        assert [line.due_on for line in seen] == sorted(line.due_on for line in seen)
    elif not wanted.text and wanted.order == "changed":
        times = [line.changed_ms for line in seen]
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("after", ["x:1", ":5", "99:7", "2026-11-24:3"])
@pytest.mark.parametrize("order", ["changed", "due", "number"])
def test_a_cursor_of_another_order_is_harmless(
    db: sqlite3.Connection, after: str, order: Any
) -> None:
    refill(db, [])
    assert list_cases(db, PLACE, CaseFilter(after=after, order=order)).next == ""


def test_yesterday_begins_at_midnight_in_vietnam() -> None:
    assert yesterday_ms(PLACE) == 1_795_366_800_000


def test_today_counts_what_the_lists_show(db: sqlite3.Connection) -> None:
    base = {
        "commune": "40.17083",
        "case_type": "khieu_nai",
        "state": "accepted",
        "is_open": 1,
        "in_conflict": 0,
        "received_on": "2026-01-05",
        "changed_ms": 1,
    }
    refill(
        db,
        [
            {**base, "title": "quá hạn", "due_on": "2026-11-23"},
            {**base, "title": "hôm nay", "due_on": "2026-11-24"},
            {**base, "title": "tuần sau", "due_on": "2026-12-02"},
            {**base, "title": "xong", "due_on": "2026-11-01", "is_open": 0},
            {**base, "title": "hai giá trị", "due_on": "", "rival_fields": 1},
        ],
    )
    found = today(db, PLACE)
    assert (found.overdue_count, found.soon_count, found.conflict_count) == (1, 1, 1)
    assert [line.title for line in found.overdue] == ["quá hạn"]
    assert found.overdue[0].days_left == -1
    assert found.open_count == 4


# Who holds what


def log(db: sqlite3.Connection, number: int, tier: str, size: int, **cosigned: int) -> None:
    insert(
        db,
        "log",
        {
            "number": number,
            "log_id": bytes([number]) * 16,
            "owner": bytes([number]) * 32,
            "purpose": "up",
            "epoch": 0,
            "tier": tier,
            "size": size,
        },
    )
    for seq in range(size):
        insert(db, "leaf", {"log": number, "seq": seq, "data": bytes(100)})
    for peer, (by, at) in enumerate(cosigned.items()):
        row = {"log": number, "peer": bytes([peer]) * 32, "tier": by, "code": "40", "size": at}
        insert(db, "cosignature", {**row, "timestamp_s": 1_795_000_000, "signature": b""})


def stands(db: sqlite3.Connection, document: str, number: int, last_seq: int) -> None:
    insert(db, "record_logs", {"document_id": document, "log": number, "last_seq": last_seq})


@pytest.mark.parametrize(
    ("tier", "cosigned", "last_seq", "level"),
    [
        (Tier.COMMUNE, {}, 0, "here"),
        (Tier.COMMUNE, {"province": 5}, 5, "here"),
        (Tier.COMMUNE, {"province": 6}, 5, "province"),
        (Tier.COMMUNE, {"province": 6, "centre": 5}, 5, "province"),
        (Tier.COMMUNE, {"province": 6, "centre": 6}, 5, "centre"),
        (Tier.PROVINCE, {}, 5, "province"),
        (Tier.PROVINCE, {"province": 9, "centre": 9}, 5, "centre"),
        (Tier.CENTRE, {}, 5, "centre"),
    ],
)
def test_a_tier_has_a_record_once_it_countersigned_its_last_leaf(
    db: sqlite3.Connection, tier: Tier, cosigned: dict[str, int], last_seq: int, level: str
) -> None:
    log(db, 1, "commune", 9, **cosigned)
    stands(db, "a", 1, last_seq)
    assert sync_states(db, tier, ["a"])["a"].level == level


def test_a_record_in_two_logs_is_held_where_both_are(db: sqlite3.Connection) -> None:
    log(db, 1, "commune", 9, province=9, centre=9)
    log(db, 2, "province", 9)
    stands(db, "a", 1, 3)
    stands(db, "a", 2, 3)
    assert sync_states(db, Tier.PROVINCE, ["a"])["a"].level == "province"
    assert sync_states(db, Tier.COMMUNE, ["a"])["a"].level == "province"


def test_a_record_that_came_from_above_is_above(db: sqlite3.Connection) -> None:
    assert sync_states(db, Tier.COMMUNE, ["a"])["a"].level == "province"
    assert sync_states(db, Tier.PROVINCE, ["a"])["a"].level == "centre"


def test_what_waits_is_what_the_tier_above_has_not_countersigned(db: sqlite3.Connection) -> None:
    log(db, 1, "commune", 9, province=4)
    found = waiting(db, Tier.COMMUNE)
    assert (found.records, found.bytes) == (5, 500)
    assert found.cosigned_ms == 1_795_000_000_000


def test_at_a_province_the_logs_of_its_communes_wait_too(db: sqlite3.Connection) -> None:
    log(db, 1, "province", 3, centre=3)
    log(db, 2, "commune", 9, province=9, centre=7)
    assert waiting(db, Tier.PROVINCE).records == 2


def test_files_wait_until_they_went_up(db: sqlite3.Connection) -> None:
    config, noon_ms = Config(bulk_hours="20:00-06:00"), NOON_MS
    db.execute("INSERT INTO peer VALUES (x'0a', 'province', '40', 'Tỉnh', x'', x'', 0)")
    for name, complete, source in (("01", 1, None), ("02", 1, None), ("03", 0, None)):
        db.execute(
            "INSERT INTO blob VALUES (?, 700, ?, ?)", (bytes.fromhex(name), complete, source)
        )
    db.execute("INSERT INTO blob VALUES (x'04', 700, 1, x'0a')")
    db.execute("INSERT INTO blob_above VALUES (x'01', 700), (x'02', 100)")
    found = waiting_files(db, Tier.COMMUNE, config, noon_ms)
    assert (found.count, found.bytes) == (1, 600)
    assert found.opens_ms == noon_ms + 8 * 3_600_000
    assert waiting_files(db, Tier.COMMUNE, Config(), noon_ms).opens_ms is None
    assert waiting_files(db, Tier.CENTRE, config, noon_ms).count == 0


def test_files_go_at_once_if_somebody_says_so(db: sqlite3.Connection) -> None:
    config, store = Config(bulk_hours="20:00-06:00"), Store(db)
    noon_ms = NOON_MS
    send_now(store, config, noon_ms, now=True)
    assert file_times(db, config, noon_ms + 7 * 3_600_000).is_early
    morning_ms = noon_ms + 18 * 3_600_000
    assert file_times(db, config, morning_ms).opens_ms, "not on the next day"
    send_now(store, config, morning_ms, now=True)
    send_now(store, config, morning_ms, now=False)
    assert file_times(db, config, morning_ms).opens_ms is not None


def test_nothing_waits_at_the_centre(db: sqlite3.Connection) -> None:
    log(db, 1, "centre", 9)
    assert waiting(db, Tier.CENTRE).records == 0
