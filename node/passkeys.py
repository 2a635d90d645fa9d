"""Passkeys (WebAuthn level 2): signing in with a device that holds a key, besides the password.

A passkey belongs to the name under which the page was open (`localhost` or `NAME.local`), the
browser sees to that; an address is no such name. Everything is checked here, so it works without a
network. Challenges are not stored: each is signed by this process for one purpose and five
minutes, and one that was answered is not taken again.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from node.accounts import AccountError

PASSKEYS_PER_USER_MAX: Final = 10
CHALLENGE_MS_MAX: Final = 5 * 60_000
NONCE_BYTES: Final = 16
_TIME_BYTES: Final = 8
_MAC_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Under which name the page is open.

    Attributes:
        name: the relying party's id: a host name, no address.
        origin: scheme, name and port, as the browser says it.
    """

    name: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """A passkey as its owner's list shows it.

    Attributes:
        id: base64url of the credential's id.
        name: as its owner called it.
    """

    id: str
    site: str
    name: str
    made_ms: int
    used_ms: int


class Challenges:
    """Makes challenges and takes each back once."""

    def __init__(self, secret: bytes) -> None:
        """Sign with a secret of this process."""
        self._secret = secret
        self._answered: dict[bytes, int] = {}

    def make(self, purpose: str, nonce: bytes, now_ms: int) -> bytes:
        """Return a challenge for a purpose; nonce are NONCE_BYTES random bytes."""
        content = nonce + (now_ms + CHALLENGE_MS_MAX).to_bytes(_TIME_BYTES, "big")
        return content + self._mac(purpose, content)

    def take(self, purpose: str, challenge: bytes, now_ms: int) -> None:
        """Take an answered challenge; after it was right, not again.

        Raises:
            AccountError: it was not made here for this, is too old, or was answered before.
        """
        content, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        is_ours = hmac.compare_digest(mac, self._mac(purpose, content))
        if not is_ours or len(content) != NONCE_BYTES + _TIME_BYTES:
            refuse("the challenge is not ours")
        until_ms = int.from_bytes(content[NONCE_BYTES:], "big")
        # A clock that was set back makes none of them last longer.
        if not now_ms <= until_ms <= now_ms + CHALLENGE_MS_MAX:
            refuse("the challenge is too old")
        if challenge in self._answered:
            refuse("the challenge was answered before")
        self._answered = {c: at for c, at in self._answered.items() if at >= now_ms}
        self._answered[challenge] = until_ms

    def _mac(self, purpose: str, content: bytes) -> bytes:
        message = purpose.encode() + b"\n" + content
        return hmac.new(self._secret, message, hashlib.sha256).digest()[:_MAC_BYTES]


def site_of(scheme: str, host: str, host_and_port: str) -> Site:
    """Return the site of a page's address.

    Raises:
        AccountError: it is an address, to which no passkey can belong.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return Site(name=host.lower(), origin=f"{scheme}://{host_and_port.lower()}")
    raise AccountError(
        "passkey_needs_name",
        "A passkey belongs to a name, and this page is open by an address.",
        "Open the page by the node's name (NAME.local), or on the machine itself as localhost.",
    )


def registration_options(
    site: Site, *, office: str, user: str, name: str, known: list[bytes], challenge: bytes
) -> dict[str, Any]:
    """Return what navigator.credentials.create() wants, as JSON data.

    Args:
        site: of the page.
        office: name shown beside the site.
        user: account name.
        name: of the person.
        known: credential ids that the user has at this site already.
        challenge: from Challenges.
    """
    options = generate_registration_options(
        rp_id=site.name,
        rp_name=office,
        # Not the name itself: the id may be shown to whoever holds the device.
        user_id=hashlib.sha256(f"tiepdan passkey {site.name} {user}".encode()).digest()[:16],
        user_name=user,
        user_display_name=name,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
    )
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def sign_in_options(site: Site, challenge: bytes) -> dict[str, Any]:
    """Return what navigator.credentials.get() wants; the device knows whose passkey it holds."""
    options = generate_authentication_options(
        rp_id=site.name,
        challenge=challenge,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def challenge_in(credential: dict[str, Any]) -> bytes:
    """Return the challenge that a browser's answer claims to answer.

    Raises:
        AccountError: it is no such answer.
    """
    try:
        data = _bytes(credential["response"]["clientDataJSON"])
        return parse_client_data_json(data).challenge
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        refuse("the answer of the browser is malformed", error)


def add_passkey(
    db: sqlite3.Connection,
    site: Site,
    user: str,
    name: str,
    credential: dict[str, Any],
    challenge: bytes,
    now_ms: int,
) -> str:
    """Check a new passkey, store it, and return its id.

    Raises:
        AccountError: the answer is not right, or there are too many.
    """
    if len(passkeys_of(db, user)) >= PASSKEYS_PER_USER_MAX:
        raise AccountError(
            "passkeys_too_many", "There are enough passkeys.", "Remove one that is not used."
        )
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        refuse("the passkey is not right", error)
    try:
        db.execute(
            "INSERT INTO passkey VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (
                verified.credential_id,
                user,
                site.name,
                verified.credential_public_key,
                verified.sign_count,
                name,
                now_ms,
            ),
        )
    except sqlite3.IntegrityError as error:
        refuse("the passkey is known already", error)
    return _text(verified.credential_id)


def check_passkey(
    db: sqlite3.Connection, site: Site, credential: dict[str, Any], challenge: bytes, now_ms: int
) -> str:
    """Check the answer of a passkey, note its use, and return whose it is.

    Raises:
        AccountError: no such passkey, or the answer is not right.
    """
    try:
        raw_id = _bytes(credential["rawId"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        refuse("the answer of the browser is malformed", error)
    row = db.execute(
        "SELECT user, data, uses FROM passkey WHERE credential = ? AND site = ?",
        (raw_id, site.name),
    ).fetchone()
    if row is None:
        refuse("no passkey of this node")
    try:
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=site.origin,
            credential_public_key=bytes(row[1]),
            credential_current_sign_count=row[2],
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        refuse("the answer of the passkey is not right", error)
    db.execute(
        "UPDATE passkey SET uses = ?, used_ms = ? WHERE credential = ?",
        (verified.new_sign_count, now_ms, raw_id),
    )
    return str(row[0])


def passkeys_of(db: sqlite3.Connection, user: str) -> list[Passkey]:
    """Return the passkeys of a user, oldest first."""
    rows = db.execute(
        "SELECT credential, site, name, made_ms, used_ms FROM passkey WHERE user = ?"
        " ORDER BY made_ms, credential",
        (user,),
    ).fetchall()
    return [
        Passkey(id=_text(row[0]), site=row[1], name=row[2], made_ms=row[3], used_ms=row[4])
        for row in rows
    ]


def credentials_at(db: sqlite3.Connection, user: str, site: Site) -> list[bytes]:
    """Return the credential ids of a user at a site."""
    query = "SELECT credential FROM passkey WHERE user = ? AND site = ?"
    return [bytes(row[0]) for row in db.execute(query, (user, site.name)).fetchall()]


def drop_passkey(db: sqlite3.Connection, user: str, passkey: str) -> None:
    """Remove a passkey.

    Raises:
        AccountError: the user has none of that id.
    """
    try:
        raw_id = _bytes(passkey)
    except ValueError:
        raw_id = b""
    query = "DELETE FROM passkey WHERE user = ? AND credential = ?"
    if db.execute(query, (user, raw_id)).rowcount == 0:
        raise AccountError("passkey_unknown", "There is no such passkey.")


def refuse(reason: str, cause: Exception | None = None) -> NoReturn:
    """Refuse a passkey; the reason is for the log, as it helps only who attacks.

    Raises:
        AccountError: always.
    """
    raise AccountError("passkey_refused", f"The passkey was not accepted: {reason}.") from cause


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
