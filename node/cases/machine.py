"""The states of a case and the events that lead from one to the next, as data.

A table maps a state to the moves that are possible there, and each move to the state it leads to; a
move that leads to the same state is a fact that leaves the state as it is. The tables follow the
canonical list of the domain facts (section 8.4). Where that list is silent, this is what we chose:

- A petition that came by post, box or forwarding is classified without the steps of a visit, as is
  the child of a split, for whose parent they were done. One that a visitor handed in on paper needs
  the identity check, but nothing is written down or read back. A denunciation never passes the
  identity check here: its author is known on paper only.
- Until a case is accepted it can be classified again. Afterwards only its traits may change.
- A copy that was registered twice is closed as a duplicate, up to its classification.
- A transferred case whose receiver works on this system is classified there and goes on.
- A reopened case starts again from its classification.
- A complaint can be withdrawn at any time before its decision, a denunciation once it is accepted.
- Not known: how a land dispute is settled. It may be answered like a recommendation or accepted and
  decided like a complaint; no deadline of its own is computed.
- Not known: whether a denunciation outside our authority may be guided instead of transferred.
"""

from collections.abc import Mapping

from node.cases.standing import Position
from schemas.codes import CaseState as S
from schemas.codes import CaseType, Channel, ClosingReason
from schemas.events import Archived, StateEvent, Withdrawn

Moves = Mapping[str, S]
Table = Mapping[S, Moves]

WITHDRAWN_FULL = "withdrawn:full"
WITHDRAWN_PARTIAL = "withdrawn:partial"
ARCHIVED_CURRENT = "archived:current"
ARCHIVED_HISTORICAL = "archived:historical"

RECEPTION_STATES = frozenset(
    {S.RECEIVED, S.REGISTERED, S.IDENTITY_CHECKED, S.RECORDED, S.READBACK_CONFIRMED}
)
# The states in which Classified may change the traits of an accepted case, but not its class.
SETTLEMENT_STATES = frozenset({S.ACCEPTED, S.VERIFYING, S.SUSPENDED, S.DRAFT_CONCLUSION})


def _merged(*tables: Table) -> dict[S, dict[str, S]]:
    """Return one table with the moves of all; a later table overrides an earlier one."""
    merged: dict[S, dict[str, S]] = {}
    for table in tables:
        for state, moves in table.items():
            merged.setdefault(state, {}).update(moves)
    return merged


_BEGIN: Table = {S.NEW: {"received": S.RECEIVED}}
_TWICE: Table = {state: {"closed": S.CLOSED} for state in (*RECEPTION_STATES, S.CLASSIFIED)}
_REFUSE: Moves = {"refused_reception": S.REFUSED_RECEPTION}
_CLASSIFY: Moves = {"classified": S.CLASSIFIED}

# A visitor who speaks: every step, in order.
_SPOKEN: Table = {
    S.RECEIVED: {"registered": S.REGISTERED},
    S.REGISTERED: {"identity_checked": S.IDENTITY_CHECKED, **_REFUSE},
    S.IDENTITY_CHECKED: {"recorded": S.RECORDED, **_REFUSE},
    S.RECORDED: {"readback_confirmed": S.READBACK_CONFIRMED, **_REFUSE},
    S.READBACK_CONFIRMED: _CLASSIFY,
}
_PAPER: Table = _merged(_SPOKEN, {S.IDENTITY_CHECKED: _CLASSIFY})
_SENT: Table = {
    S.RECEIVED: {"registered": S.REGISTERED, **_CLASSIFY},
    S.REGISTERED: _CLASSIFY,
}
_SPOKEN_SEALED: Table = {
    S.RECEIVED: {"registered": S.REGISTERED},
    S.REGISTERED: {"recorded": S.RECORDED, **_REFUSE},
    S.RECORDED: {"readback_confirmed": S.READBACK_CONFIRMED, **_REFUSE},
    S.READBACK_CONFIRMED: _CLASSIFY,
}
_PAPER_SEALED: Table = _merged(_SPOKEN_SEALED, {S.REGISTERED: _CLASSIFY})

_ENDING: Table = {
    S.REFUSED_RECEPTION: {"closed": S.CLOSED},
    S.CLOSED: {ARCHIVED_CURRENT: S.ARCHIVED_CURRENT, "reopened": S.CLASSIFIED},
    S.ARCHIVED_CURRENT: {ARCHIVED_HISTORICAL: S.ARCHIVED_HISTORICAL},
}
_AGAIN: Table = {S.CLASSIFIED: _CLASSIFY}
_INELIGIBLE: Table = {
    S.CLASSIFIED: {"declared_ineligible": S.INELIGIBLE},
    S.INELIGIBLE: {"filed": S.FILED},
    S.FILED: {"closed": S.CLOSED},
}
_SUPPLEMENT: Table = {
    S.CLASSIFIED: {"supplement_requested": S.AWAITING_SUPPLEMENT},
    S.AWAITING_SUPPLEMENT: {"lapsed": S.LAPSED, **_CLASSIFY},
    S.LAPSED: {"closed": S.CLOSED},
}
_GUIDE: Table = {
    S.CLASSIFIED: {"guided": S.GUIDED_ELSEWHERE},
    S.GUIDED_ELSEWHERE: {"closed": S.CLOSED},
}
_TRANSFER: Table = {
    S.CLASSIFIED: {"transferred": S.TRANSFERRED},
    S.TRANSFERRED: {
        "transfer_acknowledged": S.TRANSFER_ACKNOWLEDGED,
        "transfer_returned": S.TRANSFER_RETURNED,
    },
    S.TRANSFER_ACKNOWLEDGED: {
        "transfer_returned": S.TRANSFER_RETURNED,
        "closed": S.CLOSED,
        **_CLASSIFY,
    },
    S.TRANSFER_RETURNED: _CLASSIFY,
}
_SPLIT: Table = {S.CLASSIFIED: {"split": S.SPLIT}, S.SPLIT: {"closed": S.CLOSED}}
_ANSWER: Table = {
    S.CLASSIFIED: {"assigned": S.ASSIGNED, "answered": S.ANSWERED},
    S.ASSIGNED: {"assigned": S.ASSIGNED, "answered": S.ANSWERED},
    S.ANSWERED: {"closed": S.CLOSED},
}
_ANSWER_WITHDRAWN: Table = {
    S.CLASSIFIED: {WITHDRAWN_FULL: S.WITHDRAWN_FULL, WITHDRAWN_PARTIAL: S.CLASSIFIED},
    S.ASSIGNED: {WITHDRAWN_FULL: S.WITHDRAWN_FULL, WITHDRAWN_PARTIAL: S.ASSIGNED},
    S.WITHDRAWN_FULL: {"closed": S.CLOSED},
}
_ACCEPT: Table = {
    S.CLASSIFIED: {"acceptance_proposed": S.PROPOSED_ACCEPTANCE},
    S.PROPOSED_ACCEPTANCE: {
        "accepted": S.ACCEPTED,
        "not_accepted": S.NOT_ACCEPTED,
        **_CLASSIFY,
    },
    S.NOT_ACCEPTED: {"closed": S.CLOSED},
}
_SETTLE: Table = {
    S.ACCEPTED: {"verification_started": S.VERIFYING, "suspended": S.SUSPENDED},
    S.VERIFYING: {"conclusion_drafted": S.DRAFT_CONCLUSION, "suspended": S.SUSPENDED},
    S.SUSPENDED: {"verification_started": S.VERIFYING},
    S.DRAFT_CONCLUSION: {"decided": S.DECIDED},
    S.WITHDRAWN_FULL: {"terminated": S.TERMINATED},
    S.TERMINATED: {"closed": S.CLOSED},
    S.PUBLISHED: {"execution_started": S.EXECUTING, "closed": S.CLOSED},
    S.EXECUTING: {"closed": S.CLOSED},
}
_TRAITS: Table = {state: {"classified": state} for state in SETTLEMENT_STATES}
# The province gives a case into a commune's hands; its state stays as it is.
_HAND_OVER: Table = {
    state: {"assigned": state}
    for state in (S.CLASSIFIED, S.PROPOSED_ACCEPTANCE, *SETTLEMENT_STATES)
}
_COMPLAINT_STATES = (
    S.CLASSIFIED,
    S.AWAITING_SUPPLEMENT,
    S.PROPOSED_ACCEPTANCE,
    *sorted(SETTLEMENT_STATES),
)
_COMPLAINT_WITHDRAWN: Table = {
    state: {WITHDRAWN_FULL: S.WITHDRAWN_FULL, WITHDRAWN_PARTIAL: state}
    for state in _COMPLAINT_STATES
}
_DENUNCIATION_WITHDRAWN: Table = {
    state: {WITHDRAWN_FULL: S.WITHDRAWN_FULL, WITHDRAWN_PARTIAL: state}
    for state in (S.ACCEPTED, S.VERIFYING, S.SUSPENDED)
}
_DIALOGUE: Table = {S.VERIFYING: {"dialogue_held": S.VERIFYING}}
_AFTER_DECISION: Table = {
    S.DECIDED: {"published": S.PUBLISHED, "lawsuit_filed": S.LAWSUIT_FILED},
    S.PUBLISHED: {"lawsuit_filed": S.LAWSUIT_FILED},
    S.EXECUTING: {"lawsuit_filed": S.LAWSUIT_FILED},
    S.LAWSUIT_FILED: {"closed": S.CLOSED},
}
_SECOND: Table = {
    state: {"second_complaint_raised": state}
    for state in (S.DECIDED, S.PUBLISHED, S.EXECUTING, S.CLOSED)
}
_CONCLUSION: Table = {
    S.VERIFYING: {"extended": S.VERIFYING},
    S.DECIDED: {"handled": S.HANDLED},
    S.HANDLED: {"published": S.PUBLISHED},
}

_COMMON = _merged(_TWICE, _ENDING, _AGAIN)
_PETITION = _merged(_COMMON, _INELIGIBLE, _SUPPLEMENT, _TRANSFER)
_SETTLED = _merged(_PETITION, _ACCEPT, _SETTLE, _TRAITS, _HAND_OVER)
_RECOMMENDATION = _merged(_PETITION, _ANSWER, _ANSWER_WITHDRAWN)
_COMPLAINT = _merged(_SETTLED, _GUIDE, _DIALOGUE, _AFTER_DECISION, _COMPLAINT_WITHDRAWN)

TABLES: Mapping[CaseType, Table] = {
    CaseType.COMPLAINT: _merged(_COMPLAINT, _SECOND),
    CaseType.DENUNCIATION: _merged(_SETTLED, _CONCLUSION, _DENUNCIATION_WITHDRAWN),
    CaseType.RECOMMENDATION: _RECOMMENDATION,
    CaseType.REFLECTION: _RECOMMENDATION,
    CaseType.LAND_DISPUTE: _merged(_COMPLAINT, _ANSWER, _ANSWER_WITHDRAWN),
    CaseType.SEVERAL_CONTENTS: _merged(_COMMON, _SPLIT),
    CaseType.OUT_OF_SCOPE: _merged(_COMMON, _INELIGIBLE, _GUIDE, _TRANSFER),
}

# Why a case may end, by the state it ends from.
CLOSING_REASONS: Mapping[S, frozenset[ClosingReason]] = {
    **{state: frozenset({ClosingReason.DUPLICATE}) for state in (*RECEPTION_STATES, S.CLASSIFIED)},
    S.REFUSED_RECEPTION: frozenset({ClosingReason.REFUSED}),
    S.FILED: frozenset({ClosingReason.INELIGIBLE}),
    S.LAPSED: frozenset({ClosingReason.LAPSED}),
    S.GUIDED_ELSEWHERE: frozenset({ClosingReason.GUIDED}),
    S.TRANSFER_ACKNOWLEDGED: frozenset({ClosingReason.TRANSFERRED}),
    S.NOT_ACCEPTED: frozenset({ClosingReason.NOT_ACCEPTED}),
    S.SPLIT: frozenset({ClosingReason.SPLIT}),
    S.WITHDRAWN_FULL: frozenset({ClosingReason.WITHDRAWN}),
    S.TERMINATED: frozenset({ClosingReason.WITHDRAWN}),
    S.ANSWERED: frozenset({ClosingReason.ANSWERED}),
    S.PUBLISHED: frozenset({ClosingReason.SETTLED}),
    S.EXECUTING: frozenset({ClosingReason.SETTLED}),
    S.LAWSUIT_FILED: frozenset({ClosingReason.SETTLED}),
}

# (sealed, came by a visit, on paper) -> the steps before classification.
_RECEPTION: Mapping[tuple[bool, bool, bool], Table] = {
    (False, True, False): _merged(_BEGIN, _SPOKEN, _TWICE),
    (False, True, True): _merged(_BEGIN, _PAPER, _TWICE),
    (False, False, False): _merged(_BEGIN, _SENT, _TWICE),
    (False, False, True): _merged(_BEGIN, _SENT, _TWICE),
    (True, True, False): _merged(_BEGIN, _SPOKEN_SEALED, _TWICE),
    (True, True, True): _merged(_BEGIN, _PAPER_SEALED, _TWICE),
    (True, False, False): _merged(_BEGIN, _SENT, _TWICE),
    (True, False, True): _merged(_BEGIN, _SENT, _TWICE),
}
_NO_MOVES: Moves = {}


def moves(position: Position) -> Moves:
    """Return what is possible at a position: the state that each move leads to."""
    if position.state is S.NEW or position.state in RECEPTION_STATES:
        by_visit = position.channel in (None, Channel.VISIT) and position.parent is None
        table = _RECEPTION[position.is_sealed, by_visit, position.written]
    else:
        # Refused before it was classified: every table ends that the same way.
        table = TABLES[position.effective_type or CaseType.OUT_OF_SCOPE]
    return table.get(position.state, _NO_MOVES)


def move_name(event: StateEvent) -> str:
    """Return the name of an event in the tables: its type, with the variant where there is one."""
    match event:
        case Withdrawn():
            return WITHDRAWN_PARTIAL if event.scope == "partial" else WITHDRAWN_FULL
        case Archived():
            return ARCHIVED_CURRENT if event.to == "current" else ARCHIVED_HISTORICAL
    return event.type


def possible_types(position: Position) -> tuple[str, ...]:
    """Return the types of the events that the tables allow at a position, sorted."""
    return tuple(sorted({name.partition(":")[0] for name in moves(position)}))
