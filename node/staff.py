"""Who works here: accounts made, changed and closed by those in charge.

Nobody changes the own account this way, and somebody who may manage accounts always remains, so
that an office never locks itself out. At the machine itself, the technician's command can.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from node.accounts import ONE_TIME_MS_MAX, Account, AccountError, check_user, find_account
from node.permissions import may, may_grant
from schemas.codes import Role, Tier

# No 0, 1, i, l, o: it is read from paper and typed.
_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_GROUPS: Final = 4
_GROUP_CHARS: Final = 4
ONE_TIME_BYTES: Final = 2 * _GROUPS * _GROUP_CHARS


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLine:
    """An account as the list shows it.

    Attributes:
        is_new: the password that was made for it has not been changed yet.
        seen_ms: last sign of life of a session that has not been swept away; 0 if there is none.
        passkeys: how many there are.
    """

    user: str
    name: str
    role: Role
    is_active: bool
    is_new: bool
    seen_ms: int
    passkeys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who changes accounts: somebody at the page, or the technician at the machine.

    Attributes:
        user: account name; empty at the machine.
        role: a Role value; empty at the machine, which may give every role.
    """

    user: str
    role: str
    tier: Tier

    def check(self, role: Role) -> None:
        """Refuse to give or take a role that is not theirs to give.

        Raises:
            AccountError: it is not.
        """
        if self.role and not may_grant(self.role, role, self.tier):
            raise AccountError(
                "role_not_yours",
                f"Your role may not give or take the role {role.value}.",
                "Ask the head of the office, or the technician at the machine.",
            )


def list_accounts(db: sqlite3.Connection) -> list[AccountLine]:
    """Return all accounts, closed ones last."""
    rows = db.execute(
        "SELECT a.user, a.name, a.role, a.is_active, a.once_until_ms,"
        " (SELECT coalesce(max(seen_ms), 0) FROM sign_in s WHERE s.user = a.user),"
        " (SELECT count(*) FROM passkey p WHERE p.user = a.user)"
        " FROM account a ORDER BY a.is_active DESC, a.user"
    ).fetchall()
    return [
        AccountLine(
            user=row[0],
            name=row[1],
            role=Role(row[2]),
            is_active=bool(row[3]),
            is_new=row[4] > 0,
            seen_ms=row[5],
            passkeys=row[6],
        )
        for row in rows
    ]


def one_time_password(entropy: bytes) -> str:
    """Return a password to be written on paper, of ONE_TIME_BYTES random bytes: 79 bits."""
    number = int.from_bytes(entropy, "big")
    letters = []
    for _ in range(_GROUPS * _GROUP_CHARS):
        number, at = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[at])
    text = "".join(letters)
    return "-".join(text[at : at + _GROUP_CHARS] for at in range(0, len(text), _GROUP_CHARS))


def add_account(
    db: sqlite3.Connection,
    manager: Manager,
    *,
    user: str,
    name: str,
    role: Role,
    phc: str,
    now_ms: int,
) -> None:
    """Make an account whose password must be changed at the first sign-in.

    Raises:
        AccountError: the name is taken or not usable, or the role not the manager's to give.
    """
    check_user(user)
    manager.check(role)
    if find_account(db, user) is not None:
        raise AccountError(
            "account_exists", "There is an account of that name already.", "Choose another name."
        )
    db.execute(
        "INSERT INTO account (user, name, role, password, once_until_ms) VALUES (?, ?, ?, ?, ?)",
        (user, name, role.value, phc, now_ms + ONE_TIME_MS_MAX),
    )


def change_account(
    db: sqlite3.Connection,
    manager: Manager,
    user: str,
    *,
    name: str | None = None,
    role: Role | None = None,
    is_active: bool | None = None,
) -> None:
    """Give an account another name or role, close or open it; a new role ends its sessions.

    Raises:
        AccountError: unknown, the own, not the manager's to change, or the last one in charge.
    """
    account = _theirs(db, manager, user)
    new_role = account.role if role is None else role
    manager.check(new_role)
    new_active = account.is_active if is_active is None else is_active
    if _is_in_charge(account.role, account.is_active) and not _is_in_charge(new_role, new_active):
        _check_not_last(db, user)
    db.execute(
        "UPDATE account SET name = ?, role = ?, is_active = ? WHERE user = ?",
        (account.name if name is None else name, new_role.value, new_active, user),
    )
    if new_role is not account.role or not new_active:
        db.execute("DELETE FROM sign_in WHERE user = ?", (user,))


def reset_password(
    db: sqlite3.Connection, manager: Manager, user: str, phc: str, now_ms: int
) -> None:
    """Give an account a password that must be changed; its sessions and passkeys end.

    Raises:
        AccountError: unknown, the own, or not the manager's to change.
    """
    _theirs(db, manager, user)
    db.execute(
        "UPDATE account SET password = ?, once_until_ms = ? WHERE user = ?",
        (phc, now_ms + ONE_TIME_MS_MAX, user),
    )
    # Whoever lost the password may have lost the device as well.
    for table in ("sign_in", "passkey", "known_browser"):
        db.execute(f"DELETE FROM {table} WHERE user = ?", (user,))


def _theirs(db: sqlite3.Connection, manager: Manager, user: str) -> Account:
    account = find_account(db, user)
    if account is None:
        raise AccountError("account_unknown", "There is no account of that name.")
    if user == manager.user:
        raise AccountError(
            "account_own",
            "Nobody changes the own account here.",
            "Ask a colleague who manages accounts; the own password is changed on the own page.",
        )
    manager.check(account.role)
    return account


def _is_in_charge(role: Role, is_active: bool) -> bool:
    return is_active and may(role, "account.manage")


def _check_not_last(db: sqlite3.Connection, user: str) -> None:
    rows = db.execute("SELECT role FROM account WHERE is_active = 1 AND user != ?", (user,))
    if not any(may(row[0], "account.manage") for row in rows.fetchall()):
        raise AccountError(
            "account_last",
            "Nobody would be left who may manage accounts.",
            "Give that right to somebody else first.",
        )
