"""Who may do what: one table from operation to roles, for the pages, the API and the link alike.

An operation that is not in the table is forbidden. Machine roles see no case content, and give no
account either: with a one-time password of their making they could sign in as somebody who does.
What may be done at a device narrows it further. Which role may record which event on a case stands
in node/cases/rights.py.
Source of the roles: domain facts section 8.3.
"""

from typing import Final

from node.cases.rights import DECIDERS, HEADS, is_of_tier
from schemas.codes import DeviceScope, Role, Tier

_MACHINE: Final = frozenset({Role.NODE_ADMIN, Role.PROVINCE_ADMIN})
# At a session they do their part, and see no papers.
_ATTENDING: Final = frozenset({Role.SESSION_TECHNICIAN, Role.INTERPRETER, Role.SECURITY_OFFICER})
_LOOKING: Final = frozenset(
    {Role.AUDITOR, Role.SUPERVISOR_HDND, Role.CENTRAL_REVIEWER, Role.SESSION_SECRETARY}
)
_RECEPTION: Final = frozenset(
    {
        Role.RECEPTION_OFFICER,
        Role.RECEPTION_LEAD,
        Role.COMMUNE_CHAIR,
        Role.PROVINCIAL_RECEPTION_BOARD,
        Role.CENTRAL_RECEPTION_BOARD,
    }
)
_PROCESSING: Final = _RECEPTION | {
    Role.PETITION_OFFICER,
    Role.PROVINCIAL_INSPECTORATE,
    Role.DEPARTMENT,
}
_CLERKS: Final = _PROCESSING | {Role.RECORDS_CLERK}
_ISSUING: Final = frozenset(
    {
        Role.COMMUNE_CHAIR,
        Role.PROVINCIAL_RECEPTION_BOARD,
        Role.PROVINCIAL_CHAIR,
        Role.PROVINCIAL_INSPECTORATE,
        Role.CENTRAL_RECEPTION_BOARD,
    }
)
_READING: Final = frozenset(Role) - _MACHINE - _ATTENDING
_WRITING: Final = _READING - _LOOKING
# Those in charge, who answer for who works here; a head may give every role.
_HIRING: Final = HEADS | {Role.RECEPTION_LEAD, Role.PROVINCIAL_RECEPTION_BOARD}
_OPENING: Final = frozenset(
    {Role.RECEPTION_LEAD, Role.PROVINCIAL_RECEPTION_BOARD, Role.PROVINCIAL_INSPECTORATE}
)
EVERYONE: Final = frozenset(Role)
# Nobody can read what is in a pack but the office it is for.
_CARRYING: Final = _RECEPTION | {
    Role.RECORDS_CLERK,
    Role.PROVINCIAL_INSPECTORATE,
    *_MACHINE,
}

ROLES: Final[dict[str, frozenset[Role]]] = {
    "account.me": EVERYONE,
    "account.password": EVERYONE,
    "account.sign_out": EVERYONE,
    "account.sessions": EVERYONE,
    "account.passkeys": EVERYONE,
    "account.manage": _HIRING,
    "audit.read": DECIDERS | {Role.AUDITOR},
    "link.read": EVERYONE,
    "link.cut": EVERYONE,
    "link.files": _WRITING | _MACHINE,
    "technician.read": _MACHINE | {Role.AUDITOR},
    "node.enrol": _MACHINE,
    "node.revoke": _MACHINE,
    "device.list": _MACHINE | {Role.AUDITOR},
    "device.pair": _MACHINE,
    "device.revoke": _MACHINE,
    "office_key.unlock": _OPENING | _MACHINE,
    "pack.carry": _CARRYING,
    "repo.connect": _READING,
    "today.read": _READING,
    "case.list": _READING,
    "case.read": _READING,
    "case.act": _WRITING,
    "case.split": _PROCESSING,
    "case.record": _READING,
    "document.read": _READING,
    "document.edit": _CLERKS,
    "attachment.add": _CLERKS | {Role.VERIFIER},
    "attachment.read": _READING,
    "person.identity": _OPENING,
    "envelope.open": _OPENING,
    "data_request.list": _CLERKS | HEADS | {Role.AUDITOR},
    "data_request.act": _CLERKS | HEADS,
    "data_request.take": _CLERKS,
    "data_request.answer": HEADS | _OPENING,
    "visit.register": _RECEPTION,
    "visit.list": _READING,
    "draft.keep": _RECEPTION,
    "directive.list": _READING,
    "directive.issue": _ISSUING,
    "directive.act": _PROCESSING | _ISSUING,
    "directive.acknowledged": _PROCESSING,
    "directive.reported": _PROCESSING,
    "directive.done": _ISSUING,
    "directive.withdrawn": _ISSUING,
}

# At a device that is for looking things up, in a waiting room say, nothing is written.
_WHERE_NOTHING_IS_WRITTEN: Final = frozenset(
    {
        "account.me",
        "account.sign_out",
        "link.read",
        "technician.read",
        "device.list",
        "today.read",
        "case.list",
        "case.read",
        "case.record",
        "document.read",
        "attachment.read",
        "visit.list",
        "directive.list",
        "data_request.list",
        "audit.read",
    }
)
SCOPES: Final[dict[DeviceScope, frozenset[str]]] = {
    DeviceScope.WORK: frozenset(ROLES),
    DeviceScope.READ: _WHERE_NOTHING_IS_WRITTEN,
}


def may(role: str, operation: str) -> bool:
    """Tell whether a role may do an operation; an unknown one of either may not."""
    return role in ROLES.get(operation, frozenset())


def may_at(scope: DeviceScope, operation: str) -> bool:
    """Tell whether an operation may be done at a device of that scope, by a role that may."""
    return operation in SCOPES[scope]


def allowed_operations(role: str, scope: DeviceScope) -> tuple[str, ...]:
    """Return all operations of a role at a device, sorted."""
    return tuple(sorted(n for n, roles in ROLES.items() if role in roles and may_at(scope, n)))


def may_grant(role: str, given: Role, tier: Tier) -> bool:
    """Tell whether a role may give another to an account of a node of a tier, or take it.

    Who is no head makes neither heads nor deciders, nor those who check, nor machine roles: with a
    new password of theirs one could revoke nodes.
    """
    if not may(role, "account.manage") or not is_of_tier(given, tier):
        return False
    return role in HEADS or given not in HEADS | DECIDERS | _MACHINE | {Role.AUDITOR}
