"""Which role may record which event.

Known from the sources: the head decides and issues the notice of refusal, a supervisor settles a
conflict, machine roles see no case content. The finer division is ours; it is data, so that an
office can be given another one.
"""

from collections.abc import Mapping

from schemas.codes import Role, Tier

_PROVINCE = frozenset(
    {Role.PROVINCIAL_RECEPTION_BOARD, Role.PROVINCIAL_CHAIR, Role.PROVINCIAL_INSPECTORATE}
)
# Heads who receive citizens in person and sign the notice of refusal.
HEADS = frozenset({Role.COMMUNE_CHAIR, Role.PROVINCIAL_CHAIR, Role.CENTRAL_RECEPTION_BOARD})
# A chair decides, and the chief inspector what is in the inspectorate's own authority.
DECIDERS = frozenset({Role.COMMUNE_CHAIR, Role.PROVINCIAL_CHAIR, Role.PROVINCIAL_INSPECTORATE})
SUPERVISORS = _PROVINCE | {
    Role.COMMUNE_CHAIR,
    Role.RECEPTION_LEAD,
    Role.CENTRAL_RECEPTION_BOARD,
}
OFFICERS = SUPERVISORS | {Role.RECEPTION_OFFICER, Role.PETITION_OFFICER, Role.DEPARTMENT}
VERIFIERS = OFFICERS | {Role.VERIFIER}
CLERKS = OFFICERS | {Role.RECORDS_CLERK}
ARCHIVISTS = CLERKS | {Role.ARCHIVIST}
# Everybody who works on cases; oversight only looks, and machine roles not even that.
CASEWORKERS = VERIFIERS | ARCHIVISTS | {Role.CENTRAL_REVIEWER}

RIGHTS: Mapping[str, frozenset[Role]] = {
    "received": CLERKS,
    "registered": CLERKS,
    "identity_checked": OFFICERS,
    "recorded": OFFICERS,
    "readback_confirmed": OFFICERS,
    "refused_reception": OFFICERS,
    "classified": OFFICERS,
    "split": OFFICERS,
    "declared_ineligible": OFFICERS,
    "filed": CLERKS,
    "supplement_requested": OFFICERS,
    "lapsed": OFFICERS,
    "guided": OFFICERS,
    "transferred": OFFICERS,
    "transfer_acknowledged": CLERKS,
    "transfer_returned": OFFICERS,
    "acceptance_proposed": OFFICERS,
    "accepted": DECIDERS,
    "not_accepted": DECIDERS,
    "verification_started": VERIFIERS,
    "dialogue_held": VERIFIERS,
    "suspended": DECIDERS,
    "extended": DECIDERS,
    "conclusion_drafted": VERIFIERS,
    "decided": DECIDERS,
    "handled": DECIDERS,
    "published": CLERKS,
    "execution_started": OFFICERS,
    "withdrawn": OFFICERS,
    "terminated": DECIDERS,
    "second_complaint_raised": OFFICERS,
    "lawsuit_filed": OFFICERS,
    "assigned": SUPERVISORS,
    "answered": OFFICERS,
    "closed": OFFICERS,
    "archived": ARCHIVISTS,
    "reopened": SUPERVISORS,
    "settled": SUPERVISORS,
    "person_joined": CLERKS,
    "group_linked": CLERKS,
    "attached": CASEWORKERS,
    "noted": CASEWORKERS,
    "petition_linked": CLERKS,
    "directive_linked": SUPERVISORS | CLERKS,
    "taken_along": OFFICERS,
}
# A role that belongs to one tier has no say from a node of another.
_TIERS: Mapping[Role, Tier] = {
    Role.COMMUNE_CHAIR: Tier.COMMUNE,
    Role.PROVINCIAL_RECEPTION_BOARD: Tier.PROVINCE,
    Role.PROVINCIAL_CHAIR: Tier.PROVINCE,
    Role.PROVINCIAL_INSPECTORATE: Tier.PROVINCE,
    Role.DEPARTMENT: Tier.PROVINCE,
    Role.PROVINCE_ADMIN: Tier.PROVINCE,
    Role.CENTRAL_RECEPTION_BOARD: Tier.CENTRE,
    Role.CENTRAL_REVIEWER: Tier.CENTRE,
}


def may_record(event_type: str, role: Role | None, tier: Tier | None) -> bool:
    """Tell whether a role at a node of a tier may record events of a type in a case."""
    if role is None or role not in RIGHTS.get(event_type, frozenset()):
        return False
    return is_of_tier(role, tier)


def is_of_tier(role: Role, tier: Tier | None) -> bool:
    """Tell whether there is such a role at nodes of a tier; an outpost has those of its commune."""
    place = Tier.COMMUNE if tier is Tier.OUTPOST else tier
    return _TIERS.get(role, place) is place
