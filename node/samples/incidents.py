"""What happened at the demo's offices beside the usual courses, and the whole past in order.

A mixed petition is split, two devices work apart, directives come from above. Pure, like agenda.py.
"""

import random
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from node.clock import date_of
from node.requests import IssueDirective, SplitCase, SplitChild
from node.samples.agenda import (
    Dispute,
    Division,
    Entry,
    Happening,
    Order,
    OrderStep,
    PastVisit,
    Rivalry,
    fill_event,
    past_visits,
)
from node.samples.moments import later_moment, past_moment
from node.samples.texts import DirectiveRow, directive_rows, find_place
from schemas.codes import CaseType, Role
from schemas.ids import document_text, mint_document_id

_PROVINCE: Final = "nghe-an"
# The events of a child of the split petition, each some days after the split.
_CHILD_COURSES: Final[Mapping[CaseType, tuple[tuple[int, dict[str, Any]], ...]]] = {
    CaseType.COMPLAINT: (
        (1, {"type": "classified"}),
        (3, {"type": "acceptance_proposed"}),
    ),
    CaseType.RECOMMENDATION: (
        (1, {"type": "classified", "within_authority": False}),
        (
            2,
            {
                "type": "transferred",
                "to_office": "Ban Tiếp công dân tỉnh Nghệ An",
                "to_code": "40",
                "letter_number": "{number}/PC-TCD",
            },
        ),
    ),
    CaseType.REFLECTION: (
        (1, {"type": "classified"}),
        (
            3,
            {
                "type": "answered",
                "letter_number": "{number}/UBND-VP",
                "summary": "Đã bố trí thêm người hướng dẫn và nhận hồ sơ giấy khi mất mạng.",
            },
        ),
    ),
}
_DISPUTED: Final = (
    {"type": "acceptance_proposed"},
    {"type": "supplement_requested", "missing": "Ảnh hoặc biên bản thiệt hại có xác nhận của bản."},
)


def past_of(rng: random.Random, now_ms: int) -> list[Entry]:
    """Return everything that happened before the demo starts, in order.

    Args:
        rng: seeded; the same one gives the same past.
        now_ms: when the demo starts; nothing happens later.
    """
    entries, marked = past_visits(rng, now_ms)
    entries += _split(rng, marked["my-ly/mixed"])
    entries += _apart(rng, marked["my-ly/rival"], marked["muong-xen/conflict"])
    entries += _second(rng, marked["muong-xen/second"], marked["nghe-an/second_instance"])
    for row in directive_rows():
        entries += _directive(rng, row, marked, now_ms)
    happened = [entry for entry in entries if entry.at_ms <= now_ms]
    return sorted(happened, key=lambda entry: entry.at_ms)


def _split(rng: random.Random, past: PastVisit) -> Iterator[Entry]:
    """Yield the split of a mixed petition and what became of its parts."""
    visit, place = past.visit, past.place
    at_ms = later_moment(rng, past.last_ms, 1, past.last_ms)
    children = tuple(
        SplitChild(
            id=document_text(mint_document_id(at_ms, rng)),
            case_type=part.case_type,
            title=visit.gaps.fill(part.title),
            summary=visit.gaps.fill(part.summary),
        )
        for part in visit.story.parts
    )
    role = Role.PETITION_OFFICER
    deed = Division(past.case_id, SplitCase(children=children))
    yield Entry(at_ms=at_ms, place=place, role=role, deed=deed)
    closing = {"type": "closed", "reason": "split", "document_number": "{number}/PL-TCD"}
    steps = [(past.case_id, CaseType.SEVERAL_CONTENTS, 1, closing)]
    for child in children:
        assert child.id is not None
        for after_days, event in _CHILD_COURSES[child.case_type]:
            steps.append((child.id, child.case_type, after_days, event))
    last_ms = at_ms
    for case_id, case_type, after_days, event in steps:
        last_ms = later_moment(rng, at_ms, after_days, last_ms)
        filled = fill_event(event, visit, date_of(last_ms))
        if event["type"] == "classified":
            filled["case_type"] = case_type
        yield Entry(at_ms=last_ms, place=place, role=role, deed=Happening(case_id, filled))


def _apart(rng: random.Random, rival: PastVisit, conflict: PastVisit) -> Iterator[Entry]:
    """Yield what two devices of a commune did while they could not see each other."""
    village = rival.visit.gaps["village"]
    yield Entry(
        at_ms=later_moment(rng, rival.last_ms, 2, rival.last_ms),
        place=rival.place,
        role=Role.RECEPTION_OFFICER,
        deed=Rivalry(
            case_id=rival.case_id,
            field="location",
            values=(f"thửa 112, tờ bản đồ 9, {village}", f"thửa 121, tờ bản đồ 9, {village}"),
            other=Role.PETITION_OFFICER,
        ),
    )
    yield Entry(
        at_ms=later_moment(rng, conflict.last_ms, 3, conflict.last_ms),
        place=conflict.place,
        role=Role.PETITION_OFFICER,
        deed=Dispute(case_id=conflict.case_id, events=_DISPUTED, other=Role.RECEPTION_OFFICER),
    )


def _second(rng: random.Random, first: PastVisit, second: PastVisit) -> Iterator[Entry]:
    event = {"type": "second_complaint_raised", "case": second.case_id}
    yield Entry(
        at_ms=later_moment(rng, second.at_ms, 1, second.at_ms),
        place=second.place,
        role=Role.PROVINCIAL_RECEPTION_BOARD,
        deed=Happening(first.case_id, event),
    )


def _directive(
    rng: random.Random, row: DirectiveRow, marked: Mapping[str, PastVisit], now_ms: int
) -> Iterator[Entry]:
    """Yield a directive of the province and what was answered."""
    at_ms = past_moment(rng, now_ms, row.age)
    directive_id = document_text(mint_document_id(at_ms, rng))
    request = IssueDirective(
        id=directive_id,
        case_id=marked[row.case].case_id if row.case else None,
        to_codes=tuple(find_place(folder).code for folder in row.to),
        title=row.title,
        body=row.body.strip(),
        letter_number=f"{rng.randint(100, 990)}/UBND-TCD",
        due_on=date_of(now_ms) + timedelta(row.due_in),
    )
    yield Entry(at_ms=at_ms, place=find_place(_PROVINCE), role=row.role, deed=Order(request))
    last_ms = at_ms
    for answer in row.answers:
        last_ms = later_moment(rng, at_ms, answer.after_days, last_ms)
        yield Entry(
            at_ms=last_ms,
            place=find_place(answer.folder),
            role=answer.role,
            deed=OrderStep(directive_id, answer.event),
        )
