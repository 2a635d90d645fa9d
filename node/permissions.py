"""Who may do what: one table from operation to roles, for the pages, the API and the link alike.

An operation that is not in the table is forbidden. The node's administrator sees no case content.
Which role may record which event on a case stands in node/cases/rights.py.
Source of the roles: domain facts section 8.3.
"""

from typing import Final

from schemas.codes import Role

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
    "pack.carry": _CARRYING,
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


def may(role: str, operation: str) -> bool:
    """Tell whether a role may do an operation; an unknown one of either may not."""
    return role in ROLES.get(operation, frozenset())


def allowed_operations(role: str) -> tuple[str, ...]:
    """Return all operations of a role, sorted."""
    return tuple(sorted(name for name, roles in ROLES.items() if role in roles))
