"""Accounts of people, their sign-ins and the browsers they use; failed attempts are slowed down.

A browser is known for a user who signed in with it before, and counts the failures for that user by
itself, so nobody can lock an office out by guessing from elsewhere. All other browsers share one
count for a user, so many of them guess no faster than one. (The idea is that of OWASP's "device
cookies".)

AccountError   an account cannot be made or used as asked
"""

import base64
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crypto.errors import PasswordError
from crypto.password import hash_password
from node.devices import add_browser, find_device, secret_digest
from node.entropy import system_entropy
from node.errors import NodeError
from node.permissions import may, may_at
from schemas.codes import DeviceScope, Role

# A working day with its breaks; a shared tablet must not stay open overnight.
SIGN_IN_IDLE_MS_MAX: Final = 4 * 3_600_000
SIGN_IN_AGE_MS_MAX: Final = 16 * 3_600_000
# Every touch is a durable write, so not each page view makes one.
_TOUCH_MS: Final = 10 * 60_000
# A new password that somebody else made lies on a slip of paper until it is used.
ONE_TIME_MS_MAX: Final = 3 * 86_400_000
_FAILURES_FREE: Final = 5
_FAILURES_WINDOW_MS: Final = 15 * 60_000
_WAIT_MS_FIRST: Final = 2_000
_WAIT_MS_MAX: Final = 60_000
_USER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}")
_UNKNOWN_DEVICE: Final = b""


class AccountError(NodeError):
    """An account cannot be made or used as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may sign in.

    Attributes:
        password: the stored hash in PHC form.
        once_until_ms: until when the password is good for choosing another; 0 for one's own.
    """

    user: str
    name: str
    role: Role
    password: str
    is_active: bool
    language: str
    once_until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A person at a device, by the cookie of the request.

    Attributes:
        token: the session's secret, as in the cookie.
        csrf: what a changing request has to repeat in a header.
        needs_touch: the last sign of life is old enough to be written again.
        must_change: the password was made by somebody else; nothing but changing it is allowed.
        scope: what may be done at the device.
        is_paired: the device has a key that this node has confirmed.
    """

    user: str
    name: str
    role: Role
    device: bytes
    token: str
    csrf: str
    language: str
    needs_touch: bool
    must_change: bool
    scope: DeviceScope = DeviceScope.WORK
    is_paired: bool = False

    def may(self, operation: str) -> bool:
        """Tell whether this person may do an operation at this device."""
        return may(self.role, operation) and may_at(self.scope, operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignIn:
    """What a browser keeps after a sign-in: the secrets of its session and of its device."""

    token: str
    csrf: str
    device_secret: str


class Accounts:
    """Changes to accounts; each method runs inside a transaction."""

    def __init__(
        self, db: sqlite3.Connection, entropy: Callable[[int], bytes] = system_entropy
    ) -> None:
        """Use the writing connection; entropy makes the secrets of sessions and devices."""
        self.db = db
        self._entropy = entropy

    def put(self, *, user: str, name: str, role: Role, password: str, salt: bytes) -> None:
        """Make an account, or give an existing one this name, role and password.

        Args:
            user: account name, small letters.
            name: as shown in records.
            role: what the person may do.
            password: in plain; only its hash is stored.
            salt: 16 random bytes.

        Raises:
            AccountError: the account name is not usable.
            PasswordError: too short or too long.
        """
        check_user(user)
        phc = hash_password(password, salt)
        self.db.execute(
            "INSERT INTO account (user, name, role, password) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (user) DO UPDATE SET name=excluded.name, role=excluded.role,"
            " password=excluded.password, is_active=1, once_until_ms=0",
            (user, name, role.value, phc),
        )
        self.db.execute("DELETE FROM sign_in WHERE user = ?", (user,))

    def set_password(self, user: str, phc: str, keep_token: str = "") -> None:
        """Store the hash of a password of the user's own and end all other sign-ins."""
        self.db.execute(
            "UPDATE account SET password = ?, once_until_ms = 0 WHERE user = ?", (phc, user)
        )
        self.db.execute(
            "DELETE FROM sign_in WHERE user = ? AND token_hash != ?",
            (user, secret_digest(keep_token)),
        )

    def set_language(self, user: str, language: str) -> None:
        """Remember in which language a person reads."""
        self.db.execute("UPDATE account SET language = ? WHERE user = ?", (language, user))

    def sign_in(self, user: str, device_secret: str, browser: str, now_ms: int) -> NewSignIn:
        """Start a session after the password was checked; a new browser becomes a known device."""
        found = find_device(self.db, device_secret)
        known = found is not None and is_known(self.db, user, found.device)
        self.db.execute(
            "DELETE FROM failed_sign_in WHERE user = ? AND device = ?",
            (user, found.device if found is not None and known else _UNKNOWN_DEVICE),
        )
        if found is None:
            device, device_secret = self._entropy(16), self.new_secret()
            add_browser(self.db, device, device_secret, browser[:200], now_ms)
        else:
            device = found.device
        self.db.execute("INSERT OR IGNORE INTO known_browser VALUES (?, ?)", (user, device))
        token, csrf = _text(self._entropy(32)), _text(self._entropy(18))
        self.db.execute(
            "INSERT INTO sign_in VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (secret_digest(token), user, device, csrf, now_ms, now_ms),
        )
        return NewSignIn(token=token, csrf=csrf, device_secret=device_secret)

    def make_ticket(self, token: str) -> str:
        """Return a secret that connects programs until the session ends, or the next is made."""
        ticket = self.new_secret()
        self.db.execute(
            "UPDATE sign_in SET ticket_hash = ? WHERE token_hash = ?",
            (secret_digest(ticket), secret_digest(token)),
        )
        return ticket

    def new_secret(self) -> str:
        """Return a secret for a cookie."""
        return _text(self._entropy(32))

    def sign_out(self, token: str) -> None:
        """End a session."""
        self.db.execute("DELETE FROM sign_in WHERE token_hash = ?", (secret_digest(token),))

    def end_others(self, user: str, token: str) -> int:
        """End all sessions of a user but one, and return how many these were."""
        return self.db.execute(
            "DELETE FROM sign_in WHERE user = ? AND token_hash != ?", (user, secret_digest(token))
        ).rowcount

    def touch(self, token: str, now_ms: int) -> None:
        """Note that a session is in use, and its device."""
        self.db.execute(
            "UPDATE sign_in SET seen_ms = ? WHERE token_hash = ?",
            (now_ms, secret_digest(token)),
        )
        self.db.execute(
            "UPDATE device SET seen_ms = ?"
            " WHERE device = (SELECT device FROM sign_in WHERE token_hash = ?)",
            (now_ms, secret_digest(token)),
        )

    def note_failure(self, user: str, device: bytes | None, now_ms: int) -> None:
        """Count a failed attempt; names without an account are counted alike."""
        self.db.execute(
            "INSERT INTO failed_sign_in VALUES (?, ?, ?)",
            (user[:40], _UNKNOWN_DEVICE if device is None else device, now_ms),
        )

    def forget_failures(self, user: str, device: bytes | None = None) -> None:
        """Forget the failures of a user at a device, or at all browsers that are not known."""
        self.db.execute(
            "DELETE FROM failed_sign_in WHERE user = ? AND device = ?",
            (user, device or _UNKNOWN_DEVICE),
        )

    def sweep(self, now_ms: int) -> None:
        """Throw away what has expired; what a clock wrote that was ahead, happened now."""
        for statement in (
            "UPDATE sign_in SET seen_ms = min(seen_ms, :now), started_ms = min(started_ms, :now)"
            " WHERE seen_ms > :now OR started_ms > :now",
            "UPDATE failed_sign_in SET at_ms = :now WHERE at_ms > :now",
        ):
            self.db.execute(statement, {"now": now_ms})
        self.db.execute(
            "DELETE FROM sign_in WHERE seen_ms < ? OR started_ms < ?",
            (now_ms - SIGN_IN_IDLE_MS_MAX, now_ms - SIGN_IN_AGE_MS_MAX),
        )
        self.db.execute(
            "DELETE FROM failed_sign_in WHERE at_ms < ?", (now_ms - _FAILURES_WINDOW_MS,)
        )


def find_account(db: sqlite3.Connection, user: str) -> Account | None:
    """Return an account by its name."""
    row = db.execute(
        "SELECT user, name, role, password, is_active, language, once_until_ms"
        " FROM account WHERE user = ?",
        (user,),
    ).fetchone()
    if row is None:
        return None
    return Account(
        user=row[0],
        name=row[1],
        role=Role(row[2]),
        password=row[3],
        is_active=bool(row[4]),
        language=row[5],
        once_until_ms=row[6],
    )


def is_known(db: sqlite3.Connection, user: str, device: bytes) -> bool:
    """Tell whether a user signed in with a device before."""
    query = "SELECT 1 FROM known_browser WHERE user = ? AND device = ?"
    return db.execute(query, (user, device)).fetchone() is not None


def find_known(db: sqlite3.Connection, user: str, secret: str) -> bytes | None:
    """Return the id of the device that holds a secret, if the user signed in with it before."""
    found = find_device(db, secret)
    return found.device if found is not None and is_known(db, user, found.device) else None


def find_sign_in(db: sqlite3.Connection, token: str, now_ms: int) -> SignedIn | None:
    """Return who is signed in with a token; None when it has expired or never was."""
    return _signed_in(db, "token_hash", token, now_ms)


def find_ticket(db: sqlite3.Connection, ticket: str, now_ms: int) -> SignedIn | None:
    """Return who lets a program in with a ticket, without the token of that session."""
    return _signed_in(db, "ticket_hash", ticket, now_ms)


def _signed_in(db: sqlite3.Connection, column: str, secret: str, now_ms: int) -> SignedIn | None:
    row = db.execute(
        "SELECT a.user, a.name, a.role, s.device, s.csrf, a.language, s.started_ms, s.seen_ms,"
        " a.once_until_ms, d.scope, d.point IS NOT NULL"
        " FROM sign_in s JOIN account a ON a.user = s.user JOIN device d ON d.device = s.device"
        f" WHERE s.{column} = ? AND a.is_active = 1 AND d.revoked_ms IS NULL",
        (secret_digest(secret),),
    ).fetchone()
    if row is None:
        return None
    idle_ms, age_ms = now_ms - row[7], now_ms - row[6]
    if idle_ms > SIGN_IN_IDLE_MS_MAX or age_ms > SIGN_IN_AGE_MS_MAX:
        return None
    return SignedIn(
        user=row[0],
        name=row[1],
        role=Role(row[2]),
        device=bytes(row[3]),
        token=secret if column == "token_hash" else "",
        csrf=row[4],
        language=row[5],
        # A clock that was set back would otherwise keep a session alive for good.
        needs_touch=not 0 <= idle_ms < _TOUCH_MS,
        must_change=row[8] > 0,
        scope=DeviceScope(row[9]),
        is_paired=bool(row[10]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A session of a person, as its list shows it.

    Attributes:
        browser: what the browser called itself at its first sign-in.
        is_this: of the request that asks.
    """

    browser: str
    started_ms: int
    seen_ms: int
    is_this: bool


def open_sessions(db: sqlite3.Connection, user: str, token: str, now_ms: int) -> list[OpenSession]:
    """Return the sessions of a user that have not expired, the newest sign of life first."""
    rows = db.execute(
        "SELECT d.name, s.started_ms, s.seen_ms, s.token_hash FROM sign_in s"
        " JOIN device d ON d.device = s.device WHERE s.user = ? AND s.seen_ms >= ?"
        " AND s.started_ms >= ? ORDER BY s.seen_ms DESC, s.started_ms DESC",
        (user, now_ms - SIGN_IN_IDLE_MS_MAX, now_ms - SIGN_IN_AGE_MS_MAX),
    ).fetchall()
    return [
        OpenSession(
            browser=row[0],
            started_ms=row[1],
            seen_ms=row[2],
            is_this=row[3] == secret_digest(token),
        )
        for row in rows
    ]


def wait_ms(db: sqlite3.Connection, user: str, device: bytes | None, now_ms: int) -> int:
    """Return how long the next attempt of a user at a device has to wait; 0 if not at all."""
    count, last_ms = db.execute(
        "SELECT count(*), coalesce(max(at_ms), 0) FROM failed_sign_in"
        " WHERE user = ? AND device = ? AND at_ms > ? AND at_ms <= ?",
        (
            user[:40],
            _UNKNOWN_DEVICE if device is None else device,
            now_ms - _FAILURES_WINDOW_MS,
            now_ms,
        ),
    ).fetchone()
    if count < _FAILURES_FREE:
        return 0
    pause_ms = min(_WAIT_MS_MAX, _WAIT_MS_FIRST * 2 ** min(count - _FAILURES_FREE, 10))
    return int(max(0, last_ms + pause_ms - now_ms))


def check_user(user: str) -> None:
    """Refuse what cannot be an account name.

    Raises:
        AccountError: it cannot.
    """
    if not _USER.fullmatch(user):
        raise AccountError(
            "account_name_unfit",
            f"{user!r:.60} cannot be an account name.",
            "Use 2 to 40 small letters, digits, dots or dashes.",
        )


def check_new_password(password: str, user: str) -> None:
    """Refuse a password that contains the account's name.

    Raises:
        PasswordError: it does.
    """
    if user.lower() in password.lower():
        raise PasswordError(
            "password_too_easy",
            "the password contains the account name",
            "Choose one that does not contain your account name.",
        )


def _text(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")
