"""The pairings that this node has on offer, in memory: what was not confirmed leaves nothing.

A code of 8 digits can be guessed with luck, so only five wrong ones are heard in an hour, one code
is open at a time, and each takes one attempt. The secret of a QR code cannot be guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from crypto.errors import PairingError
from crypto.identity import NodeKey
from crypto.pairing import (
    DeviceProof,
    Greeting,
    Hello,
    NodePairing,
    NodeProof,
    Way,
    mint_secret,
)
from node.site import Site
from schemas.codes import DeviceScope

WRONG_CODES_MAX: Final = 5
WRONG_CODES_MS: Final = 3_600_000
# So long a device may ask what became of it, and a replayed code is told from an unknown one.
_KEPT_MS: Final = 3_600_000
_KEPT_MAX: Final = 64


@dataclass(kw_only=True)
class Offer:
    """One pairing on offer, and what the technician said of the device.

    Attributes:
        id: 32 hex digits, known to the technician's page and to the device that came first.
        secret: what the device needs to know.
        by: account of the technician.
        made_ms: of a clock that does not jump.
        certificate: as DER, once the device is stored.
    """

    id: str
    pairing: NodePairing
    secret: bytes
    name: str
    scope: DeviceScope
    by: str
    made_ms: int
    certificate: bytes = field(default=b"")


class Pairings:
    """All offers of the last hour."""

    def __init__(self, site: Site, key: NodeKey, entropy: Callable[[int], bytes]) -> None:
        """Start with none."""
        self._site = site
        self._key = key
        self._entropy = entropy
        self._offers: dict[str, Offer] = {}
        self._wrong_ms: list[int] = []

    def offer(self, way: Way, name: str, scope: DeviceScope, by: str, now_ms: int) -> Offer:
        """Begin a pairing; a code that was shown before counts no more.

        Raises:
            PairingError: pairing_too_many.
        """
        self._forget(now_ms)
        if way is Way.CODE:
            self._check_guesses(now_ms)
        for earlier in self._offers.values():
            # One technician pairs one device at a time.
            if earlier.pairing.way is way and not earlier.pairing.is_over(now_ms):
                earlier.pairing.refuse("pairing_replaced")
        secret = mint_secret(way, self._entropy)
        made = Offer(
            id=self._entropy(16).hex(),
            pairing=NodePairing(
                way=way,
                secret=secret,
                key=self._key,
                site=self._site.fingerprint,
                now_ms=now_ms,
                entropy=self._entropy,
            ),
            secret=secret,
            name=name,
            scope=scope,
            by=by,
            made_ms=now_ms,
        )
        self._offers[made.id] = made
        return made

    def find(self, offer: str, now_ms: int) -> Offer:
        """Return an offer by its id, refused if its time is over.

        Raises:
            PairingError: pairing_unknown.
        """
        found = self._offers.get(offer)
        if found is None:
            raise _unknown()
        found.pairing.is_over(now_ms)
        return found

    def greet(self, hello: Hello, now_ms: int) -> tuple[str, Greeting]:
        """Answer a device, and return the id of its pairing with the greeting.

        Raises:
            PairingError: pairing_unknown, pairing_expired, pairing_used, pairing_too_many or
                pairing_malformed.
        """
        if hello.way is Way.CODE:
            self._check_guesses(now_ms)
        matching = [
            offer
            for offer in self._offers.values()
            if offer.pairing.way is hello.way and offer.pairing.offer == hello.offer
        ]
        if not matching:
            raise _unknown()
        offer = matching[-1]
        greeting = offer.pairing.greet(hello, now_ms)
        if hello.way is Way.CODE:
            # Taken back when the code was right.
            self._wrong_ms.append(now_ms)
        return offer.id, greeting

    def prove(self, offer: str, shown: DeviceProof, now_ms: int) -> NodeProof:
        """Check a device's proof, and return the node's.

        Raises:
            PairingError: pairing_unknown, pairing_expired, pairing_used, pairing_proof_wrong,
                pairing_key_unproven or pairing_malformed.
        """
        found = self.find(offer, now_ms)
        answer = found.pairing.prove(shown, now_ms)
        if found.pairing.way is Way.CODE and self._wrong_ms:
            self._wrong_ms.pop()
        return answer

    def _check_guesses(self, now_ms: int) -> None:
        self._wrong_ms = [at for at in self._wrong_ms if now_ms - at < WRONG_CODES_MS]
        if len(self._wrong_ms) >= WRONG_CODES_MAX:
            raise PairingError(
                "pairing_too_many",
                "five wrong codes were tried within an hour",
                "Pair with the QR code, or wait an hour; if nobody here mistyped, somebody on this"
                " network is trying codes.",
            )

    def _forget(self, now_ms: int) -> None:
        kept = [offer for offer in self._offers.values() if now_ms - offer.made_ms < _KEPT_MS]
        self._offers = {offer.id: offer for offer in kept[-_KEPT_MAX + 1 :]}


def _unknown() -> PairingError:
    return PairingError(
        "pairing_unknown",
        "no such code is shown at this node",
        "Have a new code shown; a code is valid for five minutes.",
    )
