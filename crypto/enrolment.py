"""One-time tokens: how a node that has no certificate yet and the one above it know each other.

A token is one line, which can be read out over the telephone:

    40.17083@10.0.0.1:8443/4RQ0-9TDN-...

the code of the place, the address to dial, and 40 signs in groups of four: 80 bits of the hash of
the key that answers there, an 80-bit secret, until when it holds, and a check of the whole line.
The pin lets nobody else answer; the secret lets nobody else ask. Each side proves that it knows the
secret over both keys, so what was proved to one listener is worth nothing at another.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crypto.errors import EnrolmentError
from crypto.identity import PeerId
from crypto.tiers import tier_of
from schemas.codes import Tier

PIN_BYTES: Final = 10
SECRET_BYTES: Final = 10
NAME_BYTES: Final = 8
PROOF_BYTES: Final = 32
HOUR_MS: Final = 3_600_000

# Crockford's base 32, which has no I, L, O and U: what sounds or looks alike means the same.
_SIGNS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE: Final = str.maketrans("OIL", "011")
_GROUP: Final = 4
_SIGNS_OF_TOKEN: Final = 40
_HOURS_BITS: Final = 20
_CHECK_BITS: Final = 20
# 2020-01-01 in hours since 1970; with 20 bits that lasts until 2139.
_HOURS_FROM: Final = 438_288
_LINE: Final = re.compile(r"\s*([0-9.]{1,11})@(\S{3,260})/([0-9A-Za-z\s-]+)")
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says.

    Attributes:
        code: of the place that is to be enrolled.
        address: `host:port` to dial.
        pin: 10 bytes of the hash of the key that answers there.
        secret: 10 random bytes.
        expires_h: hours since 1970; whoever made it goes by its own clock.
    """

    code: str
    address: str
    pin: bytes
    secret: bytes
    expires_h: int

    @property
    def expires_ms(self) -> int:
        """Until when it holds, in milliseconds since 1970."""
        return self.expires_h * HOUR_MS

    def text(self) -> str:
        """Return the line."""
        hours = self.expires_h - _HOURS_FROM
        body = int.from_bytes(self.pin + self.secret) << _HOURS_BITS | hours
        number = body << _CHECK_BITS | _check(self.code, self.address, body)
        signs = "".join(_SIGNS[number >> 5 * at & 31] for at in reversed(range(_SIGNS_OF_TOKEN)))
        groups = [signs[at : at + _GROUP] for at in range(0, _SIGNS_OF_TOKEN, _GROUP)]
        return f"{self.code}@{self.address}/{'-'.join(groups)}"


def parse_token(text: str) -> Token:
    """Return what a line says; spaces, dashes and small letters do not matter.

    Raises:
        EnrolmentError: token_malformed, where something was misheard or is missing.
        CertificateError: there is no such code.
    """
    line = _LINE.fullmatch(text)
    if line is None or not _ADDRESS.fullmatch(line[2]):
        raise _malformed("it has the form CODE@ADDRESS:PORT/SIGNS")
    code, address = line[1], line[2]
    signs = re.sub(r"[\s-]", "", line[3]).upper().translate(_ALIKE)
    if len(signs) != _SIGNS_OF_TOKEN:
        raise _malformed(f"it has {_SIGNS_OF_TOKEN} signs after the address, not {len(signs)}")
    number = 0
    for sign in signs:
        if sign not in _SIGNS:
            raise _malformed(f"{sign!r} does not occur in tokens")
        number = number << 5 | _SIGNS.index(sign)
    body, check = number >> _CHECK_BITS, number & (1 << _CHECK_BITS) - 1
    if check != _check(code, address, body):
        raise _malformed("a sign, the code or the address differs from what was made")
    if tier_of(code) not in (Tier.COMMUNE, Tier.OUTPOST):
        raise _malformed("only communes and their outposts enrol with one")
    known = (body >> _HOURS_BITS).to_bytes(PIN_BYTES + SECRET_BYTES, "big")
    return Token(
        code=code,
        address=address,
        pin=known[:PIN_BYTES],
        secret=known[PIN_BYTES:],
        expires_h=_HOURS_FROM + (body & (1 << _HOURS_BITS) - 1),
    )


def pin_of(peer_id: PeerId) -> bytes:
    """Return what a token says of the key that answers."""
    return hashlib.sha256(b"tiepdan enrol pin v1\n" + peer_id).digest()[:PIN_BYTES]


def name_of(secret: bytes) -> bytes:
    """Return by what the one who made a token finds it again; it tells nothing of the secret."""
    return hashlib.sha256(b"tiepdan enrol name v1\n" + secret).digest()[:NAME_BYTES]


def proof_key(secret: bytes) -> bytes:
    """Return the key of the proofs, which is all that the one who made the token keeps."""
    return hashlib.sha256(b"tiepdan enrol key v1\n" + secret).digest()


def request_proof(key: bytes, listener: bytes, request: bytes) -> bytes:
    """Return the proof of who asks.

    Args:
        key: of proofs.
        listener: certificate that the other side showed, DER.
        request: for a certificate, DER.
    """
    parts = hashlib.sha256(listener).digest() + hashlib.sha256(request).digest()
    return hmac.digest(key, b"tiepdan enrol request v1\n" + parts, hashlib.sha256)


def answer_proof(key: bytes, asked: bytes, certificates: Sequence[bytes]) -> bytes:
    """Return the proof of who answers.

    Args:
        key: of proofs.
        asked: the proof of the request.
        certificates: DER, the new one first, the root last.
    """
    digests = b"".join(hashlib.sha256(each).digest() for each in certificates)
    return hmac.digest(key, b"tiepdan enrol answer v1\n" + asked + digests, hashlib.sha256)


def check_proof(expected: bytes, shown: bytes) -> None:
    """Compare proofs in constant time.

    Raises:
        EnrolmentError: token_proof_wrong.
    """
    if not hmac.compare_digest(expected, shown):
        raise EnrolmentError(
            "token_proof_wrong",
            "the other side does not know the secret of the token, or speaks to somebody else",
            "Somebody may stand between both nodes: check the line, make a new token and try again"
            " from elsewhere, or enrol with files on a stick.",
        )


def _check(code: str, address: str, body: int) -> int:
    line = f"tiepdan token v1\n{code}\n{address.lower()}\n{body:x}".encode()
    return int.from_bytes(hashlib.sha256(line).digest()[:4]) >> 32 - _CHECK_BITS


def _malformed(why: str) -> EnrolmentError:
    return EnrolmentError(
        "token_malformed",
        f"this is not a token: {why}",
        "Have it read out again, group by group, or sent as a text; nothing was used up.",
    )
