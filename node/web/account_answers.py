"""What the API takes and answers about accounts, sessions, passkeys and the audit trail."""

from typing import Any

from pydantic import ConfigDict, Field

from node.web.answers import Answer
from schemas.codes import Role


class SessionLine(Answer):
    """A session of one's own.

    Attributes:
        browser: what the browser called itself at its first sign-in.
    """

    browser: str
    started_ms: int
    seen_ms: int
    is_this: bool


class SessionList(Answer):
    """The own sessions, the newest sign of life first."""

    sessions: list[SessionLine]


class EndedSessions(Answer):
    """How many other sessions ended."""

    ended: int


class AccountAnswer(Answer):
    """An account.

    Attributes:
        is_new: the password that was made for it has not been changed yet.
        can_change: whoever asks may change it.
    """

    user: str
    name: str
    role: str
    is_active: bool
    is_new: bool
    seen_ms: int
    passkeys: int
    can_change: bool


class AccountList(Answer):
    """All accounts of this node, and the roles that whoever asks may give."""

    accounts: list[AccountAnswer]
    roles: list[str]


class NewAccount(Answer):
    """An account to be made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = Field(min_length=2, max_length=40)
    name: str = Field(min_length=1, max_length=100)
    role: Role


class ChangeAccount(Answer):
    """What becomes of an account; what is left out stays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=100)
    role: Role | None = None
    is_active: bool | None = None


class OneTimePassword(Answer):
    """A password to be handed over; it is shown once and stored nowhere in plain.

    Attributes:
        until_ms: until when it can be changed into another.
    """

    user: str
    password: str
    until_ms: int


class TrailEntry(Answer):
    """A line of the audit trail.

    Attributes:
        detail: as far as it may be read here.
        is_sealed: there are words that cannot be opened without the office's key.
    """

    number: int
    at_ms: int
    user: str
    role: str
    action: str
    document_id: str
    detail: str
    is_sealed: bool


class TrailPage(Answer):
    """Lines of the audit trail, newest first.

    Attributes:
        next: to ask for the following page with; 0 if there is none.
        actions: that stand in the trail, to choose from.
        users: the same of users.
    """

    lines: list[TrailEntry]
    next: int
    actions: list[str]
    users: list[str]


class OfficeKeyAnswer(Answer):
    """How the key that opens sealed values is kept.

    Attributes:
        is_open: sealed values can be opened now.
        is_plain: whoever has the file has the key.
        is_beside: the file lies in the data folder.
    """

    is_open: bool
    is_plain: bool
    is_beside: bool


class Passphrase(Answer):
    """The passphrase of the office key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passphrase: str = Field(min_length=1, max_length=256)


class PasskeyLine(Answer):
    """One of the own passkeys.

    Attributes:
        id: base64url of the credential's id.
        site: name of this node under which it works.
    """

    id: str
    site: str
    name: str
    made_ms: int
    used_ms: int


class PasskeyList(Answer):
    """The own passkeys."""

    passkeys: list[PasskeyLine]


class PasskeyOptions(Answer):
    """What navigator.credentials wants, in the JSON form of WebAuthn level 3."""

    options: dict[str, Any]


class NewPasskey(Answer):
    """A passkey that the browser made, with the password that shows who asks.

    Attributes:
        credential: what PublicKeyCredential.toJSON() returned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    password: str = Field(min_length=1, max_length=256)
    credential: dict[str, Any]


class PasskeySignIn(Answer):
    """The answer of a passkey.

    Attributes:
        credential: what PublicKeyCredential.toJSON() returned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    credential: dict[str, Any]
