"""Who may do what: one table from operation to roles, for the pages, the API and the link alike.

An operation that is not in the table is forbidden. The node's administrator sees no case content.
What may be done at a device narrows it further. Which role may record which event on a case stands
in node/cases/rights.py.
Source of the roles: domain facts section 8.3.
"""

from typing import Final

from schemas.codes import DeviceScope, Role

_RECEPTION: Final = frozenset(
    {
        Role.RECEPTION_OFFICER,
        Role.RECEPTION_LEAD,
        Role.COMMUNE_CHAIR,
        Role.PROVINCIAL_RECEPTION_BOARD,
        Role.CENTRAL_RECEPTION_BOARD,
    }
)
_PROCESSING: Final = _RECEPTION | {Role.PETITION_OFFICER, Role.PROVINCIAL_INSPECTORATE}
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
_READING: Final = frozenset(Role) - {Role.NODE_ADMIN}
_WRITING: Final = _READING - {Role.AUDITOR, Role.CENTRAL_REVIEWER}
EVERYONE: Final = frozenset(Role)
# Nobody can read what is in a pack but the office it is for.
_CARRYING: Final = _RECEPTION | {
    Role.RECORDS_CLERK,
    Role.PROVINCIAL_INSPECTORATE,
    Role.NODE_ADMIN,
}

ROLES: Final[dict[str, frozenset[Role]]] = {
    "account.me": EVERYONE,
    "account.password": EVERYONE,
    "account.sign_out": EVERYONE,
    "link.read": EVERYONE,
    "link.cut": EVERYONE,
    "link.files": _WRITING | {Role.NODE_ADMIN},
    "technician.read": frozenset({Role.NODE_ADMIN, Role.AUDITOR}),
    "node.enrol": frozenset({Role.NODE_ADMIN}),
    "node.revoke": frozenset({Role.NODE_ADMIN}),
    "device.list": frozenset({Role.NODE_ADMIN, Role.AUDITOR}),
    "device.pair": frozenset({Role.NODE_ADMIN}),
    "device.revoke": frozenset({Role.NODE_ADMIN}),
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
    "person.identity": frozenset(
        {Role.RECEPTION_LEAD, Role.PROVINCIAL_RECEPTION_BOARD, Role.PROVINCIAL_INSPECTORATE}
    ),
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
