"""What a commune does: cases are opened, their status changes, fields are corrected.

Cases are those of the comparison with other systems, whose words are not those that the dictionary
of the frames was trained with.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from node.requests import CaseAction, EditFields
from node.station import Station
from schemas.codes import CaseType, Channel, Role
from scripts.benchmarks.peers.casebook import Case, make_cases, make_edits
from scripts.benchmarks.peers.commune import officer, open_case

# A case with its status changes and its corrections.
CHANGES_A_CASE: Final = 5
_EDITS_A_CASE: Final = 2
_TEAM: Final = "Tổ liên ngành"
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000


def status_changes(case: Case) -> list[dict[str, Any]]:
    """Return the events that come next in a case that was just opened."""
    if case.fields["channel"] == Channel.VISIT:
        return [{"type": "identity_checked", "identity_type": "cccd"}, {"type": "recorded"}]
    first = {"type": "classified", "case_type": case.fields["case_type"]}
    if case.fields["case_type"] == CaseType.COMPLAINT:
        return [first, {"type": "acceptance_proposed"}]
    return [first, {"type": "assigned", "to_office": _TEAM}]


def act(station: Station, case_id: str, event: dict[str, Any], at_ms: int) -> None:
    """Change the status of a case, inside the caller's transaction."""
    role = Role.RECEPTION_LEAD if event["type"] == "assigned" else Role.RECEPTION_OFFICER
    station.desk.act(officer(station, role), case_id, CaseAction(event=event), at_ms)


def changes(station: Station, seed: int, count: int, now_ms: int) -> Iterator[None]:
    """Make so many changes, one a step, inside the caller's transactions."""
    cases = make_cases(seed, -(-count // CHANGES_A_CASE), now_ms - _HOUR_MS)
    made = _case_changes(station, seed, cases)
    for _ in range(count):
        yield next(made)


def _case_changes(station: Station, seed: int, cases: Sequence[Case]) -> Iterator[None]:
    author = officer(station)
    for number, case in enumerate(cases):
        open_case(station, case)
        yield
        at_ms = case.at_ms
        for event in status_changes(case):
            at_ms += _MINUTE_MS
            act(station, case.id, event, at_ms)
            yield
        for index in range(_EDITS_A_CASE):
            at_ms += _MINUTE_MS
            [edit] = make_edits(seed + number * _EDITS_A_CASE + index, [case], [at_ms])
            station.desk.edit(
                author, case.id, EditFields(fields={edit.field: edit.value}), edit.at_ms
            )
            yield
