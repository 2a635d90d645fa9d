"""What must hold before an event is recorded, and which of it the fold can judge again later.

`judge` needs only the facts, so every node comes to the same verdict about an event that arrived
from elsewhere. `check` adds what is judged once, where the event is written: the fields of the case
and the sealed rules.
"""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from node.cases.denunciation import IDENTITY_EVENTS, check_sealed
from node.cases.errors import GuardError
from node.cases.machine import (
    CLOSING_REASONS,
    SETTLEMENT_STATES,
    move_name,
    moves,
    possible_types,
)
from node.cases.rights import HEADS, RIGHTS, may_record
from node.cases.standing import CaseStanding, Position
from schemas import events as ev
from schemas.codes import CaseState, CaseType, RefusalGround, Role, Tier
from schemas.event_text import KnownEvent
from schemas.events import StateEvent

_FACTS = (
    "attached",
    "directive_linked",
    "group_linked",
    "noted",
    "person_joined",
    "petition_linked",
    "taken_along",
)
_NEEDS_AUTHORITY = frozenset({"acceptance_proposed", "accepted"})
_NEEDS_NO_AUTHORITY = frozenset({"guided", "transferred"})


def check(
    standing: CaseStanding,
    event: KnownEvent,
    *,
    fields: Mapping[str, object],
    writer_role: Role,
    writer_tier: Tier,
) -> None:
    """Refuse an event that the case, its fields or the writer's role do not allow.

    Args:
        standing: of the case before the event.
        event: about to be recorded in the case's document.
        fields: values of the case's fields as they will stand with the event.
        writer_role: role in which the writer is signed in.
        writer_tier: tier of this node.

    Raises:
        GuardError: with a stable code, and a hint where the person can do something else.
    """
    if event.type not in RIGHTS:
        raise GuardError("event_not_for_case", f"a case holds no {event.type}")
    if isinstance(event, ev.Settled):
        check_role(event.type, writer_role, writer_tier)
        _check_settled(standing, event)
        return
    if isinstance(event, StateEvent):
        if standing.in_conflict:
            raise _in_conflict()
        judge(standing, event, role=writer_role, tier=writer_tier)
        _check_respondent(event, fields)
        _check_envelope(standing, event, fields)
    else:
        check_role(event.type, writer_role, writer_tier)
    check_sealed(standing, event, fields)


def judge(
    position: Position, event: StateEvent, *, role: Role | None, tier: Tier | None
) -> CaseState:
    """Return the state that a state event leads to, by the facts alone.

    Raises:
        GuardError: the facts show it to be out of place; with a stable code.
    """
    state = moves(position).get(move_name(event))
    if state is None:
        raise _no_move(position, event)
    check_role(event.type, role, tier)
    _check_authority(position, event.type)
    rule = _RULES.get(event.type)
    if rule is not None:
        rule(position, event, role)
    return state


def allowed_events(standing: CaseStanding, role: Role, tier: Tier) -> list[str]:
    """Return the types of the events that this role may record now, sorted.

    An event may still be refused for what it says, or for the fields of the case.
    """
    if standing.in_conflict:
        return ["settled"] if may_record("settled", role, tier) else []
    found = [
        name
        for name in possible_types(standing)
        if may_record(name, role, tier) and _has_authority(standing, name)
    ]
    if standing.received_on is not None:
        found += [
            name
            for name in _FACTS
            if may_record(name, role, tier) and not (standing.is_sealed and name in IDENTITY_EVENTS)
        ]
    return sorted(found)


def _no_move(position: Position, event: StateEvent) -> GuardError:
    if (
        position.case_type is CaseType.SEVERAL_CONTENTS
        and event.type not in ("closed", "split")
        and position.is_open
    ):
        return GuardError(
            "only_split",
            "a petition with several contents can only be split",
            "split it, one case for each content, or classify it again",
            possible_types(position),
        )
    possible = possible_types(position)
    listed = ", ".join(possible) if possible else "nothing"
    return GuardError(
        "transition_illegal",
        f"{event.type} is not possible while the case is {position.state.value};"
        f" possible now: {listed}",
        "",
        possible,
    )


def _in_conflict() -> GuardError:
    return GuardError(
        "case_in_conflict",
        "this case holds events that cannot both stand",
        "a supervisor chooses between them first",
        ("settled",),
    )


def check_role(event_type: str, role: Role | None, tier: Tier | None) -> None:
    """Refuse a writer whose role has no right to this type of event.

    Raises:
        GuardError: role_not_allowed.
    """
    if not may_record(event_type, role, tier):
        shown = role.value if role else "an unknown role"
        raise GuardError(
            "role_not_allowed",
            f"{shown} at this tier does not record {event_type}",
            "ask a colleague whose role may record it",
        )


def _check_settled(standing: CaseStanding, event: ev.Settled) -> None:
    if not standing.in_conflict:
        raise GuardError("nothing_to_settle", "this case holds no conflict")
    if event.chosen not in {branch.tip for branch in standing.in_conflict}:
        raise GuardError(
            "settled_unknown",
            "the chosen event is not one of those in conflict",
            "choose one of the branches that the page shows",
        )


def _has_authority(position: Position, event_type: str) -> bool:
    if event_type in _NEEDS_AUTHORITY:
        return position.within_authority
    if event_type in _NEEDS_NO_AUTHORITY and position.within_authority:
        return False
    return not (
        event_type == "transferred" and position.is_sealed and position.transferred_count > 0
    )


def _check_authority(position: Position, event_type: str) -> None:
    if _has_authority(position, event_type):
        return
    if event_type in _NEEDS_AUTHORITY:
        raise GuardError(
            "out_of_authority",
            "a case outside our authority is not accepted here",
            "guide or transfer it, or classify it again",
        )
    if position.within_authority:
        raise GuardError(
            "within_authority",
            "a case within our own authority is not sent away",
            "classify it as outside our authority first, with the reason",
        )
    raise GuardError(
        "transferred_already",
        "a denunciation is transferred once only for the same content",
        "tell the body that has it, or classify it again if it is within our authority",
    )


def _check_refused(_: Position, event: ev.RefusedReception, role: Role | None) -> None:
    if event.ground is not RefusalGround.SETTLED_PERSISTS:
        return
    if role not in HEADS:
        raise GuardError(
            "refusal_needs_head",
            "only the head refuses somebody whose case was settled",
            "report to the head, who issues the written notice",
        )
    if event.notice is None:
        raise GuardError(
            "refusal_needs_notice",
            "this ground needs the head's written notice of refusal",
            "attach the signed notice and name it",
        )


def _check_classified(position: Position, event: ev.Classified, _: Role | None) -> None:
    if position.state not in SETTLEMENT_STATES:
        return
    kept = (position.case_type, position.instance, position.within_authority)
    if (event.case_type, event.instance, event.within_authority) != kept:
        raise GuardError(
            "class_fixed",
            "an accepted case keeps its class, instance and authority",
            "only the traits (complex, remote, several places) may still change",
        )


def _check_split(_: Position, event: ev.Split, __: Role | None) -> None:
    if len(set(event.children)) < 2:
        raise GuardError(
            "split_needs_children",
            "splitting needs at least two different cases",
            "record one case for each content first",
        )


def _check_closed(position: Position, event: ev.Closed, _: Role | None) -> None:
    if event.document is None and not event.document_number:
        raise GuardError(
            "closing_needs_document",
            "a case is closed with the document that tells the citizen",
            "attach the document, or enter its number",
        )
    fitting = CLOSING_REASONS.get(position.state, frozenset())
    if event.reason not in fitting:
        listed = ", ".join(sorted(reason.value for reason in fitting))
        raise GuardError(
            "closing_reason_unfit",
            f"a case that is {position.state.value} is not closed as {event.reason.value}",
            f"reasons that fit now: {listed}",
        )


def _check_reopened(position: Position, event: ev.Reopened, _: Role | None) -> None:
    if event.ground == "coerced_withdrawal" and not position.withdrawn_full:
        raise GuardError(
            "reopen_ground_unfit",
            "this case was not withdrawn, so no withdrawal can have been coerced",
            "reopen it on new evidence",
        )


# Each function takes the one event class of its key; the table is what pairs them.
_RULES: Mapping[str, Callable[[Position, Any, Role | None], None]] = {
    "refused_reception": _check_refused,
    "classified": _check_classified,
    "split": _check_split,
    "closed": _check_closed,
    "reopened": _check_reopened,
}


def _check_respondent(event: StateEvent, fields: Mapping[str, object]) -> None:
    if not isinstance(event, ev.Transferred | ev.Assigned | ev.Guided):
        return
    code = "" if isinstance(event, ev.Guided) else event.to_code
    same_code = bool(code) and code == fields.get("respondent_code")
    name = fields.get("respondent_name")
    same_name = isinstance(name, str) and _folded(name) == _folded(event.to_office) != ""
    if same_code or same_name:
        raise GuardError(
            "to_respondent",
            "a case never goes to the body or person that it is about",
            "choose the superior body",
        )


def _check_envelope(
    standing: CaseStanding, event: StateEvent, fields: Mapping[str, object]
) -> None:
    if not (isinstance(event, ev.Accepted) and standing.is_sealed):
        return
    missing = [name for name in ("sealed_ref", "envelope_number") if not fields.get(name)]
    if missing:
        raise GuardError(
            "denunciation_needs_envelope",
            f"a denunciation is accepted with its {' and '.join(missing)}",
            "seal the author's identity in the envelope, then enter its number and the reference",
        )


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
