"""How a device and a node come to trust each other, without the network (docs/PROTOCOL.md, 13).

The shape is Matter's. The node shows a QR code with a secret of 16 bytes and the fingerprint of its
site, or a code of 8 digits. Both sides prove that they know it, over both keys and nonces; both
then show the same six digits; the technician compares, and only then is anything kept.

- The device commits to its key and nonce before it hears the node's nonce, so that somebody between
  them who has read the QR code cannot try keys until the six digits are equal.
- A code of 8 digits goes through SPAKE2, which gives each side one guess and nobody a way to try
  codes alone. The library's arithmetic takes a time that depends on the secret; hence one attempt a
  code.
- What is proved covers the site that each side *sees*: the device the one under whose CA its TLS
  connection was verified, the node its own. With somebody between them these differ.

Time and randomness are arguments; times are milliseconds of a clock that does not jump.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.parameters.i3072 import Params3072

from crypto import p256
from crypto.errors import CryptoError, PairingError, SignatureError
from crypto.identity import NodeKey, verify

SECRET_BYTES: Final = 16
NONCE_BYTES: Final = 32
OFFER_BYTES: Final = 8
CODE_DIGITS: Final = 8
SPAKE_BYTES: Final = 385
# From showing the code to the device's proof, and again from there to the technician's answer.
LIFETIME_MS: Final = 5 * 60_000
_DEVICE: Final = b"tiepdan device"
_NODE: Final = b"tiepdan node"

Entropy = Callable[[int], bytes]


class Way(StrEnum):
    """How the secret gets from the node to the device."""

    QR = "qr"
    CODE = "code"


class PairingState(StrEnum):
    """How far a pairing is, at the node."""

    OPEN = "open"
    GREETED = "greeted"
    PROVEN = "proven"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


# Reasons of the technician, who shows another code or none.
_WITHDRAWN: Final = ("pairing_replaced", "pairing_refused")
_ENDED: Final = (PairingState.CONFIRMED, PairingState.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the device says first.

    Attributes:
        offer: names the offer of a QR code; empty with 8 digits.
        commitment: 32 bytes that fix the device's key and nonce without showing them.
        spake: SPAKE2 message with 8 digits, else empty.
    """

    way: Way
    offer: bytes
    commitment: bytes
    spake: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the node answers.

    Attributes:
        site: fingerprint of the site's CA.
        peer_id: the node's Ed25519 key.
        spake: SPAKE2 message with 8 digits, else empty.
    """

    site: bytes
    peer_id: bytes
    nonce: bytes
    spake: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProof:
    """The device's key and nonce, the proof that it knows the secret, and that it has the key.

    Attributes:
        point: P-256 public key, 65 bytes.
    """

    point: bytes
    nonce: bytes
    proof: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProof:
    """The proof that the node knows the secret, and that it has its key."""

    proof: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Everything that was agreed on; both sides must see the same."""

    hello: Hello
    greeting: Greeting
    point: bytes
    nonce: bytes

    def digest(self) -> bytes:
        """Return the SHA-256 of all of it."""
        parts = (
            self.hello.way.value.encode(),
            self.hello.offer,
            self.hello.commitment,
            self.hello.spake,
            self.greeting.site,
            self.greeting.peer_id,
            self.greeting.nonce,
            self.greeting.spake,
            self.point,
            self.nonce,
        )
        framed = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        return hashlib.sha256(b"tiepdan pairing v1\n" + framed).digest()


def mint_secret(way: Way, entropy: Entropy) -> bytes:
    """Return a new secret: 16 bytes, or 8 ASCII digits."""
    if way is Way.QR:
        return entropy(SECRET_BYTES)
    number: int = int.from_bytes(entropy(8), "big") % 10**CODE_DIGITS
    return f"{number:0{CODE_DIGITS}}".encode()


def offer_id(secret: bytes) -> bytes:
    """Return the name of the offer with a secret of 16 bytes."""
    return hashlib.sha256(b"tiepdan pairing offer v1\n" + secret).digest()[:OFFER_BYTES]


class NodePairing:
    """The node's side of one pairing.

    Attributes:
        state: how far it is.
        reason: code of the error that ended it, or empty.
        digits: the six digits to compare, from PROVEN on.
        point: the device's public key, from PROVEN on.
        expires_ms: when it ends unless it goes on.
    """

    def __init__(
        self,
        *,
        way: Way,
        secret: bytes,
        key: NodeKey,
        site: bytes,
        now_ms: int,
        entropy: Entropy,
    ) -> None:
        """Offer a pairing."""
        self.way = way
        self.offer = offer_id(secret) if way is Way.QR else b""
        self.state = PairingState.OPEN
        self.reason = ""
        self.digits = ""
        self.point = b""
        self.expires_ms = now_ms + LIFETIME_MS
        self._secret = secret
        self._key = key
        self._site = site
        self._entropy = entropy
        self._hello: Hello | None = None
        self._greeting: Greeting | None = None

    def greet(self, hello: Hello, now_ms: int) -> Greeting:
        """Answer the device that comes first; there is no second attempt.

        Raises:
            PairingError: pairing_expired, pairing_used, pairing_replaced or pairing_malformed.
        """
        self._check_time(now_ms)
        if self.state is not PairingState.OPEN:
            raise _withdrawn() if self.reason in _WITHDRAWN else _used()
        spake = b""
        if self.way is Way.CODE:
            try:
                spake, self._secret = _answer_spake(self._secret, hello.spake, self._entropy)
            except PairingError as error:
                self.refuse(error.code)
                raise
        self._hello = hello
        self._greeting = Greeting(
            site=self._site,
            peer_id=self._key.peer_id,
            nonce=self._entropy(NONCE_BYTES),
            spake=spake,
        )
        self.state = PairingState.GREETED
        return self._greeting

    def prove(self, shown: DeviceProof, now_ms: int) -> NodeProof:
        """Check the device's proof, and prove the same to it.

        Raises:
            PairingError: pairing_expired, pairing_used, pairing_proof_wrong or
                pairing_key_unproven; none of them leaves a second attempt.
        """
        self._check_time(now_ms)
        if self.state is not PairingState.GREETED:
            raise _used()
        assert self._hello is not None
        assert self._greeting is not None
        try:
            _check_commitment(self._hello, shown)
            digest = Transcript(
                hello=self._hello, greeting=self._greeting, point=shown.point, nonce=shown.nonce
            ).digest()
            _check_proof(self._secret, b"device\n", digest, shown.proof)
            _check_key(shown, digest)
        except PairingError as error:
            self.refuse(error.code)
            raise
        self.point = shown.point
        self.digits = _six_digits(self._secret, digest)
        self.state = PairingState.PROVEN
        self.expires_ms = now_ms + LIFETIME_MS
        return NodeProof(
            proof=_proof(self._secret, b"node\n", digest),
            signature=self._key.sign(b"tiepdan pairing node v1\n" + digest),
        )

    def confirm(self, now_ms: int) -> None:
        """Note that the technician has seen the same digits on both sides.

        Raises:
            PairingError: pairing_expired, or pairing_not_proven when there is nothing to confirm.
        """
        self._check_time(now_ms)
        if self.state is not PairingState.PROVEN:
            raise PairingError(
                "pairing_not_proven",
                "no device waits to be confirmed",
                "Make a new code and pair again.",
            )
        self.state = PairingState.CONFIRMED

    def refuse(self, reason: str) -> None:
        """End it, unless it has been confirmed."""
        if self.state is not PairingState.CONFIRMED:
            self.state, self.reason = PairingState.REFUSED, reason

    def fail(self, reason: str) -> None:
        """Take a confirmation back that could not be kept; no device has heard of it."""
        self.state, self.reason = PairingState.REFUSED, reason

    def is_over(self, now_ms: int) -> bool:
        """Tell whether nothing can come of it any more; what has expired is refused."""
        if now_ms >= self.expires_ms and self.state not in _ENDED:
            self.refuse("pairing_expired")
        return self.state in _ENDED

    def _check_time(self, now_ms: int) -> None:
        if self.is_over(now_ms) and self.reason == "pairing_expired":
            raise PairingError(
                "pairing_expired",
                "this code has expired",
                "Have a new one shown at the node; it is valid for five minutes.",
            )


class DevicePairing:
    """The device's side of one pairing."""

    def __init__(
        self,
        *,
        way: Way,
        secret: bytes,
        key: ec.EllipticCurvePrivateKey,
        expected_site: bytes,
        entropy: Entropy,
    ) -> None:
        """Begin a pairing.

        Args:
            way: how the secret came.
            secret: 16 bytes, or 8 ASCII digits.
            key: the device's.
            expected_site: fingerprint in the QR code; empty with 8 digits.
            entropy: makes the nonce.
        """
        self._secret = secret
        self._key = key
        self._expected = expected_site
        self._point = p256.point_of(key.public_key())
        self._nonce = entropy(NONCE_BYTES)
        self._digest = b""
        self._peer_id = b""
        self._spake: SPAKE2_A | None = None
        spake = b""
        if way is Way.CODE:
            self._spake = SPAKE2_A(
                secret, idA=_DEVICE, idB=_NODE, params=Params3072, entropy_f=entropy
            )
            spake = self._spake.start()
        self.hello = Hello(
            way=way,
            offer=offer_id(secret) if way is Way.QR else b"",
            commitment=_commitment(self._point, self._nonce),
            spake=spake,
        )

    def check_site(self, seen_site: bytes) -> None:
        """Check the site that this connection was verified under, before saying anything to it.

        Raises:
            PairingError: pairing_site_foreign.
        """
        if self._expected not in (b"", seen_site):
            raise _foreign()

    def prove(self, greeting: Greeting, seen_site: bytes) -> DeviceProof:
        """Answer the node's greeting.

        Args:
            greeting: from the node.
            seen_site: fingerprint of the CA under which this connection was verified.

        Raises:
            PairingError: pairing_site_foreign or pairing_malformed.
        """
        self.check_site(seen_site)
        if greeting.site != seen_site:
            raise _foreign()
        if self._spake is not None:
            self._secret = _finish_spake(self._spake, greeting.spake)
        self._peer_id = greeting.peer_id
        self._digest = Transcript(
            hello=self.hello, greeting=greeting, point=self._point, nonce=self._nonce
        ).digest()
        return DeviceProof(
            point=self._point,
            nonce=self._nonce,
            proof=_proof(self._secret, b"device\n", self._digest),
            signature=p256.sign(self._key, b"tiepdan pairing device v1\n" + self._digest),
        )

    def finish(self, shown: NodeProof) -> str:
        """Check that the node knows the secret too, and return the six digits to show.

        Raises:
            PairingError: pairing_node_unproven.
        """
        try:
            _check_proof(self._secret, b"node\n", self._digest, shown.proof)
            verify(self._peer_id, b"tiepdan pairing node v1\n" + self._digest, shown.signature)
        except (PairingError, SignatureError) as error:
            raise PairingError(
                "pairing_node_unproven",
                "the other side does not know the code",
                "It is not the node that showed it. Do not go on.",
            ) from error
        return _six_digits(self._secret, self._digest)


def _answer_spake(code: bytes, message: bytes, entropy: Entropy) -> tuple[bytes, bytes]:
    side = SPAKE2_B(code, idA=_DEVICE, idB=_NODE, params=Params3072, entropy_f=entropy)
    return side.start(), _finish_spake(side, message)


def _finish_spake(side: SPAKE2_A | SPAKE2_B, message: bytes) -> bytes:
    # The library only asserts what it expects.
    if len(message) != SPAKE_BYTES:
        raise _malformed()
    try:
        return bytes(side.finish(message))
    except (SPAKEError, ValueError) as error:
        raise _malformed() from error


def _commitment(point: bytes, nonce: bytes) -> bytes:
    return hashlib.sha256(b"tiepdan pairing commitment v1\n" + point + nonce).digest()


def _check_commitment(hello: Hello, shown: DeviceProof) -> None:
    if len(shown.point) != p256.POINT_BYTES or len(shown.nonce) != NONCE_BYTES:
        raise _malformed()
    if not hmac.compare_digest(hello.commitment, _commitment(shown.point, shown.nonce)):
        raise _wrong_proof()


def _proof(secret: bytes, side: bytes, digest: bytes) -> bytes:
    return hmac.digest(secret, side + digest, "sha256")


def _check_proof(secret: bytes, side: bytes, digest: bytes, shown: bytes) -> None:
    if not hmac.compare_digest(_proof(secret, side, digest), shown):
        raise _wrong_proof()


def _check_key(shown: DeviceProof, digest: bytes) -> None:
    try:
        p256.verify(shown.point, b"tiepdan pairing device v1\n" + digest, shown.signature)
    except CryptoError as error:
        raise PairingError(
            "pairing_key_unproven",
            "the device did not show that it has its key",
            "Start the pairing again with a new code.",
        ) from error


def _six_digits(secret: bytes, digest: bytes) -> str:
    number = int.from_bytes(_proof(secret, b"digits\n", digest)[:8], "big") % 1_000_000
    return f"{number:06}"


def _foreign() -> PairingError:
    return PairingError(
        "pairing_site_foreign",
        "this is not the node that showed the code: its key is another",
        "Somebody may stand between this device and the node. Do not go on; tell the technician.",
    )


def _used() -> PairingError:
    return PairingError(
        "pairing_used",
        "this code has been used already",
        "Each code is good for one attempt; have a new one shown at the node.",
    )


def _withdrawn() -> PairingError:
    return PairingError(
        "pairing_replaced", "this code is not shown any more", "Use the one that is shown now."
    )


def _wrong_proof() -> PairingError:
    return PairingError(
        "pairing_proof_wrong",
        "the code is wrong, or somebody stands between the device and the node",
        "Have a new code shown and type it again; if that fails, stop and look at the network.",
    )


def _malformed() -> PairingError:
    return PairingError("pairing_malformed", "this is no message of a pairing")
