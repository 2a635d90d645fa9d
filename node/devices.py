"""The devices of this site: browsers known by a cookie, and devices that were paired.

One table holds both. A browser that somebody signed in with at the node itself is known by the
secret in its cookie. A paired device has a key of its own and a certificate of the site; it proves
its key, and gets such a cookie for it. Either counts failed sign-ins by itself, writes under its
own id, and can be revoked.

Each function that changes something runs inside a transaction.
"""

import hashlib
import hmac
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crypto import p256
from crypto.errors import SignatureError
from crypto.identity import device_id
from node.errors import RequestError
from schemas.codes import DeviceScope

# A slow tablet signs within seconds.
CHALLENGE_MS: Final = 2 * 60_000
_MARK_BYTES: Final = 16
_CHALLENGE_BYTES: Final = 8 + 16 + _MARK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is known of a device that may be used.

    Attributes:
        device: its id; of a paired one the hash of its key.
        point: public key of a paired device; empty for a browser known by its cookie.
        certificate: as DER; empty like the key.
    """

    device: bytes
    name: str
    scope: DeviceScope
    point: bytes
    certificate: bytes

    @property
    def is_paired(self) -> bool:
        """Whether it has a key that this node has confirmed."""
        return bool(self.point)


def secret_digest(secret: str) -> bytes:
    """Return what is stored of a secret that a browser keeps."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def find_device(db: sqlite3.Connection, secret: str) -> Device | None:
    """Return the device that holds the secret of a cookie, unless it was revoked."""
    return _found(db, "secret_hash = ?", secret_digest(secret))


def device_with_id(db: sqlite3.Connection, device: bytes) -> Device | None:
    """Return the device with that id, unless it was revoked."""
    return _found(db, "device = ?", device)


def _found(db: sqlite3.Connection, condition: str, value: bytes) -> Device | None:
    row = db.execute(
        "SELECT device, name, scope, point, certificate FROM device"
        f" WHERE {condition} AND revoked_ms IS NULL",
        (value,),
    ).fetchone()
    if row is None:
        return None
    return Device(
        device=bytes(row[0]),
        name=row[1],
        scope=DeviceScope(row[2]),
        point=bytes(row[3] or b""),
        certificate=bytes(row[4] or b""),
    )


def add_browser(db: sqlite3.Connection, device: bytes, secret: str, name: str, now_ms: int) -> None:
    """Remember a browser by its cookie."""
    db.execute(
        "INSERT INTO device (device, secret_hash, name, first_seen_ms, seen_ms, scope)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (device, secret_digest(secret), name, now_ms, now_ms, DeviceScope.WORK.value),
    )


def add_paired(
    db: sqlite3.Connection,
    *,
    point: bytes,
    certificate: bytes,
    name: str,
    scope: DeviceScope,
    by: str,
    now_ms: int,
) -> bytes:
    """Remember a device that the technician has confirmed, and return its id.

    Raises:
        RequestError: this key was paired before, or revoked.
    """
    device = device_id(point)
    earlier = db.execute("SELECT 1 FROM device WHERE device = ?", (device,)).fetchone()
    if earlier is not None:
        raise RequestError(
            "device_known",
            "This key was paired before.",
            "Pair with a new key; a key that was revoked never comes back.",
        )
    db.execute(
        "INSERT INTO device (device, name, first_seen_ms, seen_ms, scope, point, certificate,"
        " paired_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (device, name, now_ms, now_ms, scope.value, point, certificate, by),
    )
    return device


def revoke_device(db: sqlite3.Connection, device: bytes, by: str, now_ms: int) -> None:
    """End the trust in a device: its sign-ins go, and its key and cookie count no more.

    Raises:
        RequestError: there is no such device, or it is revoked already.
    """
    done = db.execute(
        "UPDATE device SET revoked_ms = ?, revoked_by = ?, secret_hash = NULL"
        " WHERE device = ? AND revoked_ms IS NULL",
        (now_ms, by, device),
    )
    if done.rowcount == 0:
        raise RequestError("device_unknown", "There is no such device, or it is revoked already.")
    db.execute("DELETE FROM sign_in WHERE device = ?", (device,))


def admit(db: sqlite3.Connection, device: bytes, secret: str, now_ms: int) -> None:
    """Give a device that has proved its key a new cookie; its old one counts no more."""
    db.execute(
        "UPDATE device SET secret_hash = ?, seen_ms = ? WHERE device = ? AND revoked_ms IS NULL",
        (secret_digest(secret), now_ms, device),
    )


def renew_certificate(db: sqlite3.Connection, device: bytes, certificate: bytes) -> None:
    """Keep a device's new certificate."""
    db.execute("UPDATE device SET certificate = ? WHERE device = ?", (certificate, device))


class Challenges:
    """What a device signs to prove its key: made for everybody, remembered for nobody.

    A challenge carries its time and a mark of this process, so strangers who ask for many take no
    memory. Only one that has been answered is remembered, until it is too old anyway.
    """

    def __init__(self, entropy: Callable[[int], bytes], site: bytes) -> None:
        """Make the challenges of a process; the fingerprint of the site is signed along."""
        self._entropy = entropy
        self._key = entropy(32)
        self._site = site
        self._answered: dict[bytes, int] = {}

    def make(self, now_ms: int) -> bytes:
        """Return a new challenge.

        Args:
            now_ms: of a clock that does not jump.
        """
        body = now_ms.to_bytes(8, "big") + self._entropy(16)
        return body + self._mark(body)

    def check(self, device: Device, challenge: bytes, signature: bytes, now_ms: int) -> None:
        """Check that a device signed a challenge of ours that is fresh and not answered yet.

        Raises:
            RequestError: device_proof_old or device_proof_wrong.
        """
        body, mark = challenge[:-_MARK_BYTES], challenge[-_MARK_BYTES:]
        if len(challenge) != _CHALLENGE_BYTES or not hmac.compare_digest(self._mark(body), mark):
            raise wrong_proof()
        made_ms = int.from_bytes(body[:8], "big")
        if challenge in self._answered or now_ms - made_ms > CHALLENGE_MS:
            raise RequestError("device_proof_old", "This proof came too late.", "Try again.")
        try:
            p256.verify(device.point, signed_challenge(self._site, challenge), signature)
        except SignatureError as error:
            raise wrong_proof() from error
        self._answered = {
            known: at_ms
            for known, at_ms in self._answered.items()
            if now_ms - at_ms <= CHALLENGE_MS
        }
        self._answered[challenge] = made_ms

    def _mark(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MARK_BYTES]


def signed_challenge(site: bytes, challenge: bytes) -> bytes:
    """Return the message that a device signs with its key."""
    return b"tiepdan device proof v1\n" + site + challenge


def wrong_proof() -> RequestError:
    """Return the error for a proof that does not hold, and for a device that is not there."""
    return RequestError(
        "device_proof_wrong",
        "This device is not paired with this node, or not any more.",
        "Ask the technician to pair it.",
    )
