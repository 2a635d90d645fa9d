"""Certificates as the technician's page has them: this node's own, and tokens for those below."""

import sqlite3
from collections.abc import Callable, Sequence

from node.clock import Clock
from node.errors import RequestError
from node.folder import SPARE_CHAIN, NodeFolder, expiry_ms
from node.queries.node_facts import OutpostLine
from node.queries.outposts import outposts
from node.renewing import CertificateState, Renewal, RenewalStatus, certificate_state
from node.tokens import MadeToken, make_token, tokens, withdraw
from node.travelling import choose
from schemas.codes import Tier


class Enrolment:
    """Who may link: this node upwards, and those below that get a token."""

    def __init__(
        self,
        folder: NodeFolder,
        clock: Clock,
        renewal: Renewal,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Speak for the node of a folder."""
        self._folder = folder
        self._clock = clock
        self._renewal = renewal
        self._entropy = entropy

    @property
    def state(self) -> CertificateState:
        """How near the end of this node's certificate is."""
        own = self._folder.chain[0]
        return certificate_state(own, self._folder.subject.tier, self._clock.now_ms())

    @property
    def ends_ms(self) -> int:
        """When this node's certificate ends."""
        return expiry_ms(self._folder.chain[0])

    @property
    def key(self) -> str:
        """The key of this node, hexadecimal."""
        return self._folder.subject.peer_id.hex()

    @property
    def renews_itself(self) -> bool:
        """Whether there is somebody to ask for a new certificate."""
        return bool(self._folder.config.parent)

    @property
    def has_spare(self) -> bool | None:
        """Whether a spare key is ready; None where there is none by nature."""
        if self._folder.subject.tier is not Tier.COMMUNE:
            return None
        return (self._folder.path / SPARE_CHAIN).exists()

    @property
    def renewal(self) -> RenewalStatus:
        """What became of the last attempt."""
        return self._renewal.status

    def tokens(self) -> list[MadeToken]:
        """Return the tokens that are kept."""
        return list(tokens(self._folder.path))

    def make_token(self, code: str, *, hours: int, is_again: bool) -> tuple[str, int]:
        """Make a token for a place below; return its line and until when it holds.

        Raises:
            RequestError: it is not known where that place reaches this node.
            CryptoError: the place is not directly below this node.
        """
        own = self._folder.subject
        token = make_token(
            self._folder.path,
            own=(own.tier, own.code, own.peer_id),
            code=code,
            address=self._folder.config.sync_address,
            now_ms=self._clock.now_ms(),
            entropy=self._entropy,
            hours=hours,
            is_again=is_again,
        )
        return token.text(), token.expires_ms

    def outposts(self, db: sqlite3.Connection) -> list[OutpostLine]:
        """Return the outposts that were enrolled here."""
        return outposts(db, self._folder.path)

    def let_travel(self, code: str, users: Sequence[str]) -> None:
        """Say whose accounts travel to an outpost.

        Raises:
            RequestError: there can be no such outpost here, or there is no such account.
        """
        choose(self._folder.path, self._folder.subject, code, users)

    def withdraw(self, code: str) -> None:
        """Make the token of a place worthless.

        Raises:
            RequestError: it has none.
        """
        if not withdraw(self._folder.path, code):
            raise RequestError("token_unknown", f"There is no token for {code}.")
