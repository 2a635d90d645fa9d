"""Goal: `scripts/bench sync` never rots, and says of each figure what it is worth.

Method: the rows of bytes at a size that takes seconds, with real nodes in the lab; the table and
the spread on figures made here.
"""

from pathlib import Path
from typing import Any

import pytest

from node.clock import Clock
from node.samples.texts import communes
from scripts.benchmarks.measure import Progress
from scripts.benchmarks.offices import PROVINCE
from scripts.benchmarks.sync.figures import Plan, about_s, measure_sync
from scripts.benchmarks.sync.held import make_held
from scripts.benchmarks.sync.results import Results
from scripts.benchmarks.sync.sizes import FULL, QUICK, TINY
from scripts.benchmarks.sync.table import AIMS, is_met, table
from sync.database import open_reader

ROWS = ("lone_app", "idle_open", "copy_messages", "wire", "first_copy_26000", "n_changes")
FIGURES = {
    *("lone_app_up_bytes", "lone_wire_bytes", "batch_bytes_per_edit", "first_copy_bytes_per_case"),
    *("idle_new_wire_bytes", "idle_open_bytes", "first_copy_26000_bytes"),
}


def test_rows_of_bytes_are_measured_in_the_lab(capsys: pytest.CaptureFixture[str]) -> None:
    found = measure_sync(Plan(size=TINY, only=ROWS), Progress())
    assert found["failed"] == {}
    assert set(found["n_changes_bytes"]) == {"20"}
    for name in FIGURES:
        assert found["spread"][name]["n"] >= 1, name
        assert found[name] == found["spread"][name]["median"], name
    assert found["lone_wire_bytes"] > found["lone_app_up_bytes"] > 0
    assert found["first_copy_26000_bytes"] > 20 * found["first_copy_bytes_per_case"] / 2
    assert any("n_changes_bytes with 1,000,000" in text for text in found["left_out"])
    # Each was told as it came, so that an interruption loses little.
    told = capsys.readouterr().err
    assert all(f"\n{name} {found[name]}" in told for name in FIGURES)
    assert f"{found['lone_wire_bytes']:,}" in table(found)


def test_both_ends_are_filled_with_the_same_log(tmp_path: Path) -> None:
    held = make_held(tmp_path, 1_020, Clock().now_ms(), Progress())
    assert len(held.originals) == 1_000
    logs = []
    for name in (communes()[0].folder, PROVINCE.folder):
        database = open_reader(tmp_path / name / "tiepdan.db")
        assert database.execute("SELECT count(*) FROM cases").fetchone() == (1_020,)
        logs.append(sorted(database.execute("SELECT seq, data FROM leaf").fetchall()))
        database.close()
    assert logs[0] == logs[1]


def results(**measured: list[float]) -> Results:
    """Return results with so many measurements."""
    found = Results(Progress())
    for name, values in measured.items():
        found.put(name, values, 2, "p95" if "_p95_" in name else "median")
    return found


def as_found(found: Results) -> dict[str, Any]:
    """Return results as the command has them in the end."""
    return found.as_object() | {
        "rows": [],
        "size": "quick",
        "seed": 1,
        "load_average": [0.5, 2.25],
    }


def test_a_late_figure_is_that_of_the_slowest_but_one_of_twenty() -> None:
    found = results(t500_p95_s_loss20=[float(number) for number in range(1, 21)])
    assert found.figures["t500_p95_s_loss20"] == 19
    assert found.spread["t500_p95_s_loss20"] == {"min": 1, "median": 10, "max": 20, "n": 20}


def test_the_table_marks_what_is_met_and_missed_and_names_what_failed() -> None:
    found = results(t500_s=[4.0, 4.5, 6.0], ingest_per_s=[2_000.0], lone_app_both_bytes=[300.0])
    found.note("n_changes_bytes", {"1000": 2_500, "26000": 2_520})
    found.left_out.append("n_changes_bytes with 1,000,000 cases")
    found.fail("cut", "the program tiepdan-near ended: no memory")
    lines = table(as_found(found)).splitlines()
    assert lines[0].split() == ["figure", "least", "median", "most", "times", "aim"]
    by_name = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert by_name["t500_s"] == ["4.5", "4.0", "4.5", "6.0", "3", "<=", "5", "met"]
    assert by_name["ingest_per_s"][-3:] == [">=", "3,000", "MISSED"]
    assert by_name["n_changes_bytes"][-3:] == ["the", "same", "met"]
    # Figures with aims stand first, in columns of one width.
    assert lines[-5].startswith("lone_app_both_bytes")
    assert "2 aims met, 1 missed" in lines[-3]
    assert lines[-2] == "Left out: n_changes_bytes with 1,000,000 cases."
    assert lines[-1] == "FAILED: cut: the program tiepdan-near ended: no memory"


def test_a_few_edits_that_cost_more_among_more_cases_are_a_miss() -> None:
    assert is_met("n_changes_bytes", {"1000": 2_500, "26000": 2_600})
    assert not is_met("n_changes_bytes", {"1000": 2_500, "26000": 2_800})
    assert is_met("n_changes_bytes", {"1000": 2_500}) is None


@pytest.mark.parametrize("name", AIMS)
def test_every_aim_is_met_at_its_bound_and_missed_beyond(name: str) -> None:
    aim, is_less_better = AIMS[name]
    assert is_met(name, aim)
    assert not is_met(name, aim + (1 if is_less_better else -1))


def test_the_time_told_at_the_start_grows_with_the_size() -> None:
    assert about_s(QUICK, ["cut"]) < about_s(FULL, ["cut"])
    assert about_s(FULL, ["cut"]) < about_s(FULL, ["cut", "t3500"])


def test_a_row_that_is_not_there_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no such rows: t501; there are"):
        measure_sync(Plan(size=TINY, only=["t501"]), Progress())


def test_ways_over_several_lines_are_told_in_a_table_of_their_own() -> None:
    figures = {"0%": {"median": 4.2, "max": 4.9}, "20%": {"median": 6.1, "max": 7.2}}
    found = {
        "congestion_500_s": {"bbr": figures, "datagrams": figures | {"0%": None}},
        "spread": {},
        "left_out": [],
        "failed": {},
        "size": "quick",
        "seed": 1,
        "load_average": [0.5, 0.5],
    }
    assert table(found).splitlines()[:4] == [
        "",
        "congestion_500_s  0%         20%",
        "bbr               4.2 (4.9)  6.1 (7.2)",
        "datagrams         -          6.1 (7.2)",
    ]
