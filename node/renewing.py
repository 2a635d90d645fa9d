"""Renewal of this node's certificate at the tier above, long before it ends or after it has."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crypto.certificates import (
    chain_from_der,
    chain_from_pem,
    make_request,
    request_to_pem,
    verify_chain,
)
from crypto.errors import CertificateError, CryptoError
from crypto.keyfile import read_chain
from node.asking import ask
from node.clock import Clock
from node.errors import NodeError, RequestError
from node.folder import NodeFolder, check_key, expiry_ms, install_chain, is_directly_below
from node.tls import plain_client_context, subject_shown
from schemas.codes import Tier

log = logging.getLogger(__name__)

RENEW_PATH: Final = "/renew/1"
_PEM_CHARS_MAX: Final = 16_384
# A third of its life: a month for a commune, so that a long outage leaves it good.
_LEFT: Final = 1 / 3
_LOOK_S: Final = 5.0
_AGAIN_MS: Final = 3_600_000
_DAILY_MS: Final = 24 * 3_600_000
# Who keeps the node has to act where it does not renew itself.
_SOON_MS: Final = 14 * 24 * 3_600_000
_BY_HAND_SOON_MS: Final = 60 * 24 * 3_600_000

# By the clock of the tier above; the second where that was ahead when it signed.
_OUT_OF_TIME: Final = ("certificate_expired", "certificate_not_yet_valid")

CertificateState = Literal["good", "due", "ends_soon", "ended"]


class RenewRequest(BaseModel):
    """What the node says: a PKCS #10 request in PEM, with the key and name it has already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: str = Field(max_length=_PEM_CHARS_MAX)


class RenewAnswer(BaseModel):
    """What the tier above says: the chain, then the root, in PEM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificates: str


@dataclass(slots=True)
class RenewalStatus:
    """What the pages say of the last attempt.

    Attributes:
        tried_ms: when it was; None: none yet since the start.
        error: stable code and sentence of why it failed; None when it did not.
    """

    tried_ms: int | None = None
    error: tuple[str, str] | None = None


def certificate_state(certificate: x509.Certificate, tier: Tier, now_ms: int) -> CertificateState:
    """Return how near the end of a node's certificate is."""
    ends_ms = expiry_ms(certificate)
    if now_ms >= ends_ms:
        return "ended"
    if ends_ms - now_ms < (_SOON_MS if tier in (Tier.COMMUNE, Tier.OUTPOST) else _BY_HAND_SOON_MS):
        return "ends_soon"
    return "due" if is_due(certificate, now_ms) else "good"


def is_due(certificate: x509.Certificate, now_ms: int) -> bool:
    """Tell whether a certificate is to be renewed."""
    begins_ms = int(certificate.not_valid_before_utc.timestamp() * 1000)
    ends_ms = expiry_ms(certificate)
    return ends_ms - now_ms < (ends_ms - begins_ms) * _LEFT


def renew(folder: NodeFolder) -> list[x509.Certificate]:
    """Ask the tier above for a new certificate, install it, and return the new chain; it blocks.

    Our clock is not asked: it may be wrong, and the tier above judges times.

    Raises:
        RequestError: the tier above cannot be reached, or refuses.
        CryptoError: somebody else answers, or what it answers is not good.
        ConfigError: the answer belongs to another key or root.
    """
    own = folder.subject
    chain = certified(folder, make_request(folder.key, own.tier, own.code, own.name, own.succeeds))
    check_key(verify_chain(chain, folder.root, None), folder.key)
    install_chain(folder.path, chain, folder.root)
    return chain


def check_above(folder: NodeFolder, listener: bytes) -> None:
    """Check that a certificate (DER), whose key the listener has, is of the tier above.

    Raises:
        CryptoError: it is not.
    """
    shown, _ = subject_shown(chain_from_der([listener])[0], folder, None)
    if not is_directly_below(folder.subject, shown):
        raise CertificateError(
            "certificate_wrong_tier",
            f"{shown.name} ({shown.code}) is not the tier above this node",
            "Check the setting `parent` in node.toml.",
        )


def certified(
    folder: NodeFolder, request: x509.CertificateSigningRequest
) -> list[x509.Certificate]:
    """Return the chain that the tier above issues for a request of this node; it blocks.

    Raises:
        RequestError: the tier above cannot be reached, or refuses.
        CryptoError: somebody else answers, or what it answers does not lead to our root.
    """

    def say(listener: bytes) -> bytes:
        check_above(folder, listener)
        return RenewRequest(request=request_to_pem(request).decode()).model_dump_json().encode()

    content = ask(folder.config.parent, RENEW_PATH, say, context=plain_client_context(folder))
    try:
        answer = RenewAnswer.model_validate_json(content)
    except ValidationError as error:
        raise RequestError(
            "answer_malformed", "The answer of the tier above cannot be read.", "Check its version."
        ) from error
    *chain, _ = chain_from_pem(answer.certificates.encode())
    verify_chain(chain, folder.root, None)
    return chain


class Renewal:
    """Keeps a node's certificate good, for as long as the node runs.

    Attributes:
        status: for the pages.
    """

    def __init__(
        self,
        folder: NodeFolder,
        clock: Clock,
        *,
        link_error: Callable[[], str],
        renewed: Callable[[list[x509.Certificate]], None],
    ) -> None:
        """Renew the certificate of a folder's node.

        Args:
            folder: of this node.
            clock: ours; where it is wrong, the link says so.
            link_error: code of why the link is down; empty while it is up.
            renewed: takes the new chain into use.
        """
        self._folder = folder
        self._clock = clock
        self._link_error = link_error
        self._renewed = renewed
        self._seen_ns: int | None = None
        self.status = RenewalStatus()

    async def run(self) -> None:
        """Renew whenever it is time, until cancelled."""
        while True:
            self._look()
            if self._folder.config.parent and self._is_time():
                await self.attempt()
            await self._clock.sleep(_LOOK_S)

    def _look(self) -> None:
        """Take into use what was installed from a file while the node runs."""
        path = self._folder.path / "chain.pem"
        try:
            changed_ns = path.stat().st_mtime_ns
        except OSError:
            # Its certificate is in memory; the next start says what is missing.
            return
        if changed_ns == self._seen_ns:
            return
        self._seen_ns = changed_ns
        try:
            chain = read_chain(path)
            check_key(verify_chain(chain, self._folder.root, None), self._folder.key)
        except (NodeError, CryptoError) as error:
            log.error("certificate file not usable", extra={"code": error.code})
            return
        if chain != self._folder.chain:
            self._take(chain)

    def _take(self, chain: list[x509.Certificate]) -> None:
        self.status.error = None
        self._renewed(chain)
        log.info("certificate taken into use", extra={"ends_ms": expiry_ms(chain[0])})

    def _is_time(self) -> bool:
        now_ms, tried_ms = self._clock.now_ms(), self.status.tried_ms
        # What the parent's own certificate cuts short is no longer each time.
        rest_ms = _AGAIN_MS if self.status.error else _DAILY_MS
        if tried_ms is not None and 0 <= now_ms - tried_ms < rest_ms:
            return False
        return is_due(self._folder.chain[0], now_ms) or self._link_error() in _OUT_OF_TIME

    async def attempt(self) -> None:
        """Try once; what comes of it is in the status."""
        self.status.tried_ms = self._clock.now_ms()
        try:
            chain = await asyncio.to_thread(renew, self._folder)
        except (NodeError, CryptoError) as error:
            hint = getattr(error, "hint", "")
            self.status.error = (error.code, f"{error} {hint}".strip())
            log.warning("certificate not renewed", extra={"code": error.code})
            return
        self._take(chain)
